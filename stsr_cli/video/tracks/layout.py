"""Where the channels of a sound belong, and where they usually do if the file does not say."""

from __future__ import annotations

import ctypes
from typing import Any

from av.container import OutputContainer
from av.stream import Stream

_USUAL = dict(enumerate(("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1"), 1))
_UNNAMED = " channels"  # "2 channels" has no places, "6 channels (UNSD+...)" a map of its own


def usual_layout(num_channels: int) -> str | None:
    """The layout that sound of so many channels usually has, or None: there is none."""
    return _USUAL.get(num_channels)


def num_channels(context: Any) -> int:
    """How many channels a codec context has; 0: it does not say."""
    return int(_layout(context).nb_channels)


def layout_name(context: Any) -> str:
    """FFmpeg's name of a codec context's layout; see `is_named`."""
    return str(_layout(context).name)


def is_named(context: Any) -> bool:
    """Whether a codec context says where each channel belongs, in a way that every encoder understands."""
    return _UNNAMED not in layout_name(context)


def name_layout(context: Any) -> None:
    """Give a codec context that is not open yet the usual layout of its channels, if it has none that can be named.

    Matroska and AVI do not store the layout of PCM, and MP4's and QuickTime's muxers refuse sound without one.
    """
    layout = usual_layout(num_channels(context))
    if layout and not is_named(context):
        context.layout = layout


def add_copy(output: OutputContainer, stream: Stream) -> Stream:
    """Announce a stream in an output as it is; sound without a layout gets the usual one.

    Raises:
        FFmpegError, ValueError: the container does not hold its codec.
    """
    added = output.add_stream_from_template(stream)
    if added.type == "audio" and added.codec_context:
        name_layout(added.codec_context)
    return added


def _layout(context: Any) -> Any:
    """The layout of a context, never freed: PyAV 18 shares the map of a custom one and frees it a second time."""
    layout = context.layout
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(layout))
    return layout
