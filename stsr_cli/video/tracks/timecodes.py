"""The timecode tags of a source at the output's frame rate."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from av.container import InputContainer
from av.stream import Stream

from stsr_cli.video.boxes import track_description
from stsr_cli.video.probe import SourceInfo, frame_rate
from stsr_cli.video.timing.timecode import retimed

_KEY = "timecode"
_RATE_PLACE = 24  # of ticks per second, ticks per frame and frames per second, in a description


@dataclass(frozen=True)
class TimecodeChange:
    """How the timecode of a source changes.

    Attributes:
        rate: frames per second that it counts in.
        new_rate: of the output's video; None: nobody knows, and it stays.
        num_frames: of them before the part that is read.
    """

    rate: Fraction
    new_rate: Fraction | None
    num_frames: int

    @classmethod
    def of(
        cls, container: InputContainer, source: SourceInfo, new_rate: Fraction | None
    ) -> TimecodeChange:
        """The change from an opened source to an output of that frame rate."""
        video: Any = container.streams[source.stream_index]
        counted = (_track_rate(stream) for stream in container.streams)
        rate = next(filter(None, counted), None) or frame_rate(video)
        seconds = Fraction(0)
        if source.begin_pts is not None and video.start_time is not None:
            first = (source.start_pts + source.shift) * source.time_base
            seconds = max(Fraction(0), first - video.start_time * video.time_base)
        return cls(rate or Fraction(0), new_rate, int(seconds * (rate or 0)))

    def apply(
        self, file_tags: dict[str, str], video_tags: dict[str, str]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Tags of a file and of its video with the timecode at the new rate, without it where there is none.

        It goes with the video, from which it is read back, wherever it was.
        """
        code = timecode_in(video_tags) or timecode_in(file_tags)
        file_tags, video_tags = without_timecode(file_tags), without_timecode(video_tags)
        if code is not None and self.new_rate is not None:
            code = retimed(code, self.rate, self.new_rate, self.num_frames)
        return file_tags, video_tags if code is None else video_tags | {_KEY: code}


def timecode_in(tags: dict[str, str]) -> str | None:
    """The timecode among tags, or None."""
    return next((value for key, value in tags.items() if key.lower() == _KEY), None)


def without_timecode(tags: dict[str, str]) -> dict[str, str]:
    """Tags without a timecode."""
    return {key: value for key, value in tags.items() if key.lower() != _KEY}


def _track_rate(stream: Stream) -> Fraction | None:
    """Frames per second of a timecode track of QuickTime; None: it is none, or does not tell."""
    described = track_description(stream) if _KEY in stream.metadata else None
    if described is None or described.tag != "tmcd" or len(described.entry) < _RATE_PLACE + 9:
        return None
    ticks, length, count = struct.unpack_from(">IIB", described.entry, _RATE_PLACE)
    rate = Fraction(ticks, length) if length else Fraction(0)
    return rate if round(rate) == count else Fraction(count) or None
