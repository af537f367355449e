"""Side data of a decoded frame, past two faults of PyAV 18.1. Nobody else asks a frame for it."""

import ctypes
import gc
from typing import Any

from av.dictionary import Dictionary
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame


def _unnamed(kinds: type[SideDataType], value: object) -> SideDataType:
    """A member for a number that PyAV has no name for; without it no side data of such a frame could be read."""
    kind: Any = object.__new__(kinds)
    kind._name_, kind._value_ = f"KIND_{value}", value
    kinds._value2member_map_[value] = kind
    return kind


SideDataType._missing_ = classmethod(_unnamed)  # type: ignore[assignment,method-assign]


def side_data(frame: VideoFrame) -> Any:
    """What PyAV gives: entries in order, and a mapping by kind.

    PyAV frees the words that come with an entry (the name of a PNG's colour profile), and FFmpeg does so again, which
    ends the process: they are held for ever here.
    """
    entries: Any = frame.side_data
    for entry in entries:
        for words in gc.get_referents(entry):
            if isinstance(words, Dictionary) and words:
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(words))
    return entries
