"""Finding out what a container format holds: a small file of it is written into memory and read back."""

import contextlib
import io
from collections.abc import Callable
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.format import ContainerFormat, Flags
from av.stream import Stream
from av.video.frame import VideoFrame

from stsr_cli.video.opening import demuxer_of


def trial_container(data: io.BytesIO, format_name: str, **options: Any) -> OutputContainer:
    """Open a container in memory, with options of `av.open`.

    Raises:
        ValueError: muxers of the format open files by name, whatever they are given: one would be left behind.
    """
    if Flags.no_file in Flags(ContainerFormat(format_name, "w").flags):
        raise ValueError(f"{format_name} cannot be written into memory")
    return av.open(data, mode="w", format=format_name, **options)


def opened_trial(data: io.BytesIO, format_name: str, **options: Any) -> InputContainer:
    """Open what a muxer of that name has written into memory; its beginning is not guessed from."""
    data.seek(0)
    return av.open(data, mode="r", format=demuxer_of(format_name), **options)


def blank_frame(width: int, height: int, pix_fmt: str) -> VideoFrame:
    """A frame of zeros: PyAV leaves to chance what is in a new one, and encoders differ by it."""
    frame = VideoFrame(width, height, pix_fmt)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    return frame


def is_taken(format_name: str, add: Callable[[OutputContainer], object]) -> bool:
    """Whether a muxer writes a header with what `add` adds."""
    output = av.open(io.BytesIO(), mode="w", format=format_name)
    try:
        add(output)
        output.start_encoding()
    except (av.FFmpegError, OSError, ValueError):
        return False
    finally:
        with contextlib.suppress(av.FFmpegError, OSError, ValueError):
            output.close()
    return True


def codec_of(stream: Stream) -> str | None:
    """FFmpeg's name of the codec; of data, PyAV knows no more than that."""
    return stream.codec_context.name if stream.codec_context else getattr(stream, "name", None)
