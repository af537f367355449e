"""Deinterlacing, by FFmpeg's bwdif. Knows frames, not files."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import av
from av.filter import Graph
from av.video.frame import VideoFrame

from stsr_cli.errors import UsageError
from stsr_cli.options import Deinterlace
from stsr_cli.text import plural
from stsr_cli.video.damage import Counted
from stsr_cli.video.probe import SourceInfo, shown


@dataclass
class FrameFlags(Counted):
    """What the decoder says of the frames that were read, damage included.

    Attributes:
        num_deinterlaced: frames of the source that were made progressive.
        num_interlaced: frames that are flagged as interlaced and were left as they are.
    """

    num_deinterlaced: int = 0
    num_interlaced: int = 0

    def count(self, frame: VideoFrame, is_made: bool) -> None:
        """Count a frame; `is_made`: it was made progressive, or the first of the two that were."""
        self.num_deinterlaced += is_made
        self.num_interlaced += bool(frame.interlaced_frame)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the output shows of it, a sentence each."""
        warnings = []
        if self.num_interlaced:
            warnings.append(
                f"upscaled as they are, combs included: {plural(self.num_interlaced, 'interlaced frame')}; "
                "see --deinterlace"
            )
        return (*warnings, *self.damage)


def deinterlaced(source: SourceInfo, mode: Deinterlace) -> SourceInfo:
    """The source as it is read with that mode; "fields" doubles its rate.

    Raises:
        UsageError: the pixel format is none that can be deinterlaced.
    """
    is_forced = mode in ("bwdif", "fields")
    if is_forced and not _is_supported(source.pix_fmt):
        raise UsageError(
            f"{shown(source.path)} is {source.pix_fmt}, which bwdif does not take; "
            "leave out --deinterlace"
        )
    source = replace(source, deinterlace=mode)
    if mode != "fields":
        return source
    return replace(
        source,
        time_base=source.time_base / 2,
        frame_rate=source.frame_rate and 2 * source.frame_rate,
        nominal_rate=source.nominal_rate and 2 * source.nominal_rate,
        start_pts=2 * source.start_pts,
        duration=source.duration and 2 * source.duration,
        num_frames_from_header=2 * source.num_frames_from_header,
    )


def deinterlace(
    frames: Iterable[VideoFrame], mode: Deinterlace, time_base: Fraction, made: set[int]
) -> Iterator[VideoFrame]:
    """Make frames progressive, one for one at the same pts; of "fields", two for one at half the interval.

    Args:
        frames: with a pts each, in ticks of `time_base`.
        mode: "auto" touches those that are flagged as interlaced, and no other; "bwdif" and "fields" all.
        time_base: of the frames; of "fields", those that come out count in half of it.
        made: gets the pts, as it comes out, of each frame that was made progressive.
    """
    frames = iter(frames)
    before: VideoFrame | None = None
    if mode in ("auto", "off"):
        for frame in frames:
            if frame.interlaced_frame and mode == "auto" and _is_supported(frame.format.name):
                frames = itertools.chain([frame], frames)
                break
            yield frame
            before = frame
        else:
            return
    given = frames if before is None else itertools.chain([before], frames)
    filtered = _filtered(given, mode, time_base, made)
    if before is not None:
        next(filtered)  # the one before serves as bwdif's neighbour only
    yield from filtered


def _filtered(
    frames: Iterable[VideoFrame], mode: Deinterlace, time_base: Fraction, made: set[int]
) -> Iterator[VideoFrame]:
    graph: Graph | None = None
    halves = 1 if mode == "fields" else 2  # bwdif counts in halves of a tick
    last_pts: int | None = None
    for frame in _with_ends(frames):
        if graph is None:
            if frame is None:
                return
            graph = _graph(frame, mode, time_base)
        if frame is not None:
            frame.time_base = time_base
            if frame.pts is not None and (mode != "auto" or frame.interlaced_frame):
                made.add(frame.pts * 2 // halves)
        graph.vpush(frame)
        while True:
            try:
                frame_out = graph.vpull()
            except (av.BlockingIOError, EOFError):
                break
            assert frame_out.pts is not None
            frame_out.pts //= halves
            if (
                last_pts is not None
            ):  # the second field of a picture without a next one has no time of its own
                frame_out.pts = max(frame_out.pts, last_pts + 1)
            last_pts = frame_out.pts
            frame_out.duration = (frame_out.duration or 0) // halves
            frame_out.time_base = time_base * halves / 2
            yield frame_out
        if frame is None:
            graph = None


def _with_ends(frames: Iterable[VideoFrame]) -> Iterator[VideoFrame | None]:
    """Frames, and None behind the last one of each size and format: a graph takes but one."""
    before: tuple[int, int, str] | None = None
    for frame in frames:
        layout = (frame.width, frame.height, frame.format.name)
        if before not in (None, layout):
            yield None
        before = layout
        yield frame
    yield None


def _graph(frame: VideoFrame, mode: Deinterlace, time_base: Fraction) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=time_base
    )
    which = "interlaced" if mode == "auto" else "all"
    rate = "send_field" if mode == "fields" else "send_frame"
    bwdif = graph.add("bwdif", f"mode={rate}:parity=auto:deint={which}")
    sink = graph.add("buffersink")
    source.link_to(bwdif)
    bwdif.link_to(sink)
    graph.configure()
    return graph


def _is_supported(pix_fmt: str) -> bool:
    """Whether bwdif takes a format as it is: planar YUV, gray, planar RGB."""
    return pix_fmt.startswith(("yuv", "gbrp", "gray")) and not pix_fmt.startswith("yuyv")
