"""Comparing what is really in a written file with what went into it."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from stsr_cli.errors import InputError, StsrError
from stsr_cli.text import plural
from stsr_cli.video.boxes import TrackDescription
from stsr_cli.video.check.picture import PictureTraits
from stsr_cli.video.check.readback import Found, FoundTrack, read_back
from stsr_cli.video.probe import reason
from stsr_cli.video.tracks.tags import same_chapters


@dataclass(frozen=True)
class ExpectedTrack:
    """What a file must hold of one track.

    Attributes:
        name: what to call it in a message.
        num_packets: muxed.
        sha256: of their payload, one after another, as `payload` gives it.
        pts: of each of them, in ticks of `time_base`, on the clock of the video; empty: not compared.
        time_base: seconds per tick.
        tags: by key in lower case, the language's code included.
        flags: FFmpeg's disposition; more may be set.
        description: how MP4 or QuickTime describes it; None: not compared.
    """

    name: str
    num_packets: int
    sha256: str
    pts: Sequence[int] = ()
    time_base: Fraction = Fraction(1)
    tags: dict[str, str] = field(default_factory=dict)
    flags: int = 0
    description: TrackDescription | None = None


@dataclass(frozen=True)
class Expected:
    """What a file must hold; the video is its first stream.

    Attributes:
        pts: of each frame in the order they are shown, in ticks of `time_base`.
        time_base: seconds per tick.
        duration: seconds that the container must state for the video; None where it states none.
        size: width and height in pixels; None: not compared.
        picture: what a decoder must say of the pictures; None: not compared.
        messages: checksum of what lies beside each picture that has such messages, by pts.
        tags, flags: of the video, as in `ExpectedTrack`.
        tracks: each other track, by stream index.
        attached: SHA-256 of each attachment and cover, sorted.
        chapters: as PyAV gives them.
        file_tags: the file's metadata.
    """

    pts: Sequence[int]
    time_base: Fraction
    duration: Fraction | None = None
    size: tuple[int, int] | None = None
    picture: PictureTraits | None = None
    messages: Mapping[int, int] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    flags: int = 0
    tracks: dict[int, ExpectedTrack] = field(default_factory=dict)
    attached: list[str] = field(default_factory=list)
    chapters: list[Any] = field(default_factory=list)
    file_tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """One comparison that went well.

    Attributes:
        what: was compared.
        expected, actual: as JSON's types; they may differ by as much as a tick of the container's clock.
    """

    what: str
    expected: Any
    actual: Any


class Difference(StsrError):
    """A file does not hold what was written into it.

    Attributes:
        text: what is different, without the advice.
    """

    def __init__(self, message: str, text: str = "") -> None:
        super().__init__(message)
        self.text = text


class _Comparison:
    """Collects what is the same; what is not ends it."""

    def __init__(self, name: str) -> None:
        self.checks: list[Check] = []
        self._name = name

    def same(
        self, what: str, expected: Any, actual: Any, *, is_same: bool | None = None, note: str = ""
    ) -> None:
        """Take note of a comparison.

        Raises:
            Difference: they differ; by default if they are not equal.
        """
        if not (expected == actual if is_same is None else is_same):
            text = f"{what}: {_shown(actual)} instead of {_shown(expected)}{note}"
            raise Difference(
                f"written file does not verify: {self._name}: {text}; check the disk and run again",
                text,
            )
        self.checks.append(Check(what, expected, actual))


def verify(
    path: Path, expected: Expected, name: str, muxer: str | None = None
) -> tuple[Check, ...]:
    """Compare a file with what was written into it: all of its packets, its first and its last picture.

    Args:
        path: the file.
        expected: what was written.
        name: what to call the file in the message.
        muxer: FFmpeg's name of what wrote it; None: its format is guessed.

    Returns:
        Everything that was compared.

    Raises:
        StsrError: something is missing or different, or the file cannot be read back.
    """
    try:
        found = read_back(path, muxer)
    except (InputError, av.FFmpegError, OSError, ValueError, StopIteration) as error:
        raise StsrError(
            f"written file does not verify: {name} cannot be read back ({reason(error)}); "
            "check the disk and run again"
        ) from error
    return compare(found, expected, name)


def compare(found: Found, expected: Expected, name: str) -> tuple[Check, ...]:
    """Compare what was read back with what was written; see `verify`.

    Raises:
        Difference: something is missing or different.
    """
    comparison = _Comparison(name)
    shift = _compare_video(found, expected, comparison)
    _compare_picture(found, expected, comparison)
    for index, track in expected.tracks.items():
        _compare_track(found, index, track, comparison, shift)
    comparison.same("attachments", expected.attached, found.attached)
    comparison.same(
        "chapters",
        len(expected.chapters),
        len(found.chapters),
        is_same=same_chapters(found.chapters, expected.chapters),
        note=", or others",
    )
    for key, value in expected.file_tags.items():
        comparison.same(f"tag {key!r}", value, found.tags.get(key.lower()))
    return tuple(comparison.checks)


def different_tracks(found: Found, expected: Expected) -> dict[int, str]:
    """What is different of each track that is not as it was written, by its index; the video must be right.

    Raises:
        Difference: of the video.
    """
    comparison, different = _Comparison(""), {}
    shift = _compare_video(found, expected, comparison)
    for index, track in expected.tracks.items():
        try:
            _compare_track(found, index, track, comparison, shift)
        except Difference as error:
            different[index] = error.text.removeprefix(f"{track.name}: ")
    return different


def _compare_video(found: Found, expected: Expected, comparison: _Comparison) -> Fraction:
    """Frames and their times; returns by how many seconds the container moved everything."""
    video = found.tracks.get(0, FoundTrack("nothing", Fraction(1), {}, 0))
    comparison.same("video: kind of track", "video", video.kind)
    comparison.same("video: frames", len(expected.pts), video.num_packets)
    times = sorted(video.pts)
    num_distinct = len(set(times))
    comparison.same("video: distinct times of frames", len(expected.pts), num_distinct)
    written = _rescaled(expected.pts, expected.time_base, video.time_base)
    shift = times[0] - written[0]
    num_right = sum(
        abs(a - b - shift) <= (index // 2 + 1 if found.adds_delays else 0)
        for index, (a, b) in enumerate(zip(times, written, strict=True))
    )
    comparison.same("video: frames at the time they were written at", len(written), num_right)
    if expected.duration is not None:
        duration = (found.duration or 0) * video.time_base
        tolerance = video.time_base if expected.time_base % video.time_base else Fraction(0)
        is_same = abs(duration - expected.duration) <= tolerance
        what = "video: duration in seconds"
        comparison.same(what, float(expected.duration), float(duration), is_same=is_same)
    _compare_messages(found, expected, times, comparison)
    _compare_tags("video", video, expected.tags, expected.flags, comparison)
    return shift * video.time_base


def _compare_messages(
    found: Found, expected: Expected, times: Sequence[int], comparison: _Comparison
) -> None:
    """Captions and other messages, beside the same pictures as they were written."""
    if not expected.messages:
        return
    given = [expected.messages.get(pts) for pts in sorted(expected.pts)]
    read = [found.messages.get(pts) for pts in times]
    num_right = sum(a == b for a, b in zip(given, read, strict=True) if a is not None)
    what = "video: captions and other messages beside their frames"
    comparison.same(what, len(expected.messages), num_right)


def _compare_picture(found: Found, expected: Expected, comparison: _Comparison) -> None:
    if found.picture is None:
        return
    ends = (min(found.tracks[0].pts), max(found.tracks[0].pts))
    comparison.same(
        "video: ticks of the first and the last decoded picture", [*ends], [*found.ends]
    )
    if expected.size is not None:
        for place, size in zip(("first", "last"), found.sizes, strict=True):
            comparison.same(f"video: size of the {place} picture", [*expected.size], [*size])
    if expected.picture is not None:
        different = expected.picture.differences(found.picture, found.sizes[0][0])
        for name in PictureTraits.__dataclass_fields__:
            given, read = getattr(expected.picture, name), getattr(found.picture, name)
            what = f"video: {name.replace('_', ' ')}"
            comparison.same(what, _plain(given), _plain(read), is_same=name not in different)


def _compare_track(
    found: Found, index: int, track: ExpectedTrack, comparison: _Comparison, shift: Fraction
) -> None:
    actual = found.tracks.get(index, FoundTrack("nothing", Fraction(1), {}, 0))
    # Demuxers cut PCM into other packets: what counts is the data in all of them.
    comparison.same(
        f"{track.name}: SHA-256 of its packets",
        track.sha256,
        actual.digest.hexdigest(),
        note=f" ({plural(actual.num_packets, 'packet')} instead of {track.num_packets})",
    )
    _compare_times(found.tracks[0].time_base, track, actual, comparison, shift)
    if track.description is not None:
        _compare_description(track.name, track.description, actual.description, comparison)
    _compare_tags(track.name, actual, track.tags, track.flags, comparison)


def _compare_description(
    name: str,
    expected: TrackDescription,
    actual: TrackDescription | None,
    comparison: _Comparison,
) -> None:
    tag = actual.tag if actual else None
    comparison.same(f"{name}: its description", expected.tag, tag, is_same=expected == actual)


def _compare_times(
    video_tick: Fraction,
    track: ExpectedTrack,
    actual: FoundTrack,
    comparison: _Comparison,
    shift: Fraction,
) -> None:
    """Each packet as far behind the video as it was written, to a tick of the output's clocks and one of the source's.

    A source's clock may be the coarser one: Matroska's times of PCM, in milliseconds, come back in samples.
    """
    if not track.pts or not actual.pts:
        return
    num = len(track.pts) if len(track.pts) == len(actual.pts) else 1
    tolerance = max(video_tick, actual.time_base) + track.time_base
    clocks = (actual.time_base, track.time_base, shift, tolerance)
    common = math.lcm(*(clock.denominator for clock in clocks))  # integers: there may be millions
    found, written, moved, most = (int(clock * common) for clock in clocks)
    late = [
        abs(a * found - b * written - moved)
        for a, b in zip(actual.pts[:num], track.pts[:num], strict=True)
    ]
    num_right = sum(offset <= most for offset in late)
    comparison.same(
        f"{track.name}: packets at their time",
        num,
        num_right,
        note=f" (one is {max(late) / common:.6f} s off)",
    )


def _compare_tags(
    name: str, actual: FoundTrack, tags: dict[str, str], flags: int, comparison: _Comparison
) -> None:
    for key, value in tags.items():
        comparison.same(f"{name}: tag {key!r}", value, actual.tags.get(key))
    comparison.same(f"{name}: flags", flags, actual.flags & flags)


def _rescaled(pts: Sequence[int], old: Fraction, new: Fraction) -> array[int]:
    """Times in ticks of another clock, rounded as FFmpeg does: to the nearest, a half away from zero."""
    numerator = old.numerator * new.denominator
    denominator = old.denominator * new.numerator
    return array(
        "q",
        (
            (2 * t * numerator + denominator) // (2 * denominator)
            if t >= 0
            else -((-2 * t * numerator + denominator) // (2 * denominator))
            for t in pts
        ),
    )


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, Fraction):
        return f"{value.numerator}:{value.denominator}"
    return [*value] if isinstance(value, tuple) else value


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
