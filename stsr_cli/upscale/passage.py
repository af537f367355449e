"""One pass of the decoder: frames become steps, each in a segment, and what is read of each segment is counted.

A pass may begin somewhere in the file. It reads some frames before, so that it knows cuts, repeats and fields as a pass
from the beginning does, and ends behind the frame that the segment after its own begins with.
"""

import math
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from stsr_cli.segments.grid import Grid
from stsr_cli.upscale.job import Job
from stsr_cli.video.reader import Frame, read_frames
from stsr_cli.video.side_data.queue import SideDataQueue
from stsr_cli.video.timing.deinterlace import FrameFlags
from stsr_cli.video.timing.repeats import Step, on_clock, steps
from stsr_cli.video.timing.scenes import mark_cuts
from stsr_cli.video.timing.timeline import PtsRepair, Slot, least_interval


class Counts(NamedTuple):
    """What was counted of source frames on the way; from `num_deinterlaced` on as in `FrameFlags`."""

    num_missing_times: int = 0
    num_moved_times: int = 0
    num_jumps: int = 0
    num_deinterlaced: int = 0
    num_interlaced: int = 0
    num_corrupt: int = 0
    num_held: int = 0
    num_skipped: int = 0
    num_missing: int = 0
    num_captioned: int = 0

    def since(self, before: "Counts") -> "Counts":
        """What came after `before`."""
        return Counts(*(now - then for now, then in zip(self, before, strict=True)))


@dataclass
class Tally:
    """What was read of one segment; complete when the next one begins.

    Attributes:
        index: of the segment.
        first_pts: of its first frame, in the source's ticks.
        checksum: of that frame's pixels, 0 where nobody compares it.
        num_frames, num_repeats: source frames, and those of them that new ones replace.
        end_pts: end of its last frame.
        cuts: (index in the segment, pts) of the first frame of each shot but the first of the video.
        counts: what else was counted.
    """

    index: int
    first_pts: int
    checksum: int = 0
    num_frames: int = 0
    num_repeats: int = 0
    end_pts: int = 0
    cuts: list[tuple[int, int]] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)


class Passage:
    """A pass over consecutive segments, or over the whole video.

    Attributes:
        tallies: of the segments that were begun, in order; the last may be that of the segment after the pass.
        way: times of the output frames on the way to the first frame from the one before, which is not of this pass.
        is_way_held: whether a cut lies on it.
        side_data: what came beside the given frames that were read, for those that are written.
        is_whole: whether the pass ends with the video; known at its end.
    """

    def __init__(
        self,
        job: Job,
        grid: Grid | None = None,
        first: int = 0,
        last: int | None = None,
        *,
        is_sought: bool = False,
    ) -> None:
        """Pass over the segments from `first` up to, not including, `last` (None: to the end) of a grid.

        Without a grid the whole video is one segment. `is_sought`: begin to read shortly before, not at the beginning.
        """
        self.tallies: list[Tally] = []
        self.side_data = SideDataQueue()
        self.way: tuple[Slot, ...] = ()
        self.is_way_held = False
        self.is_whole = False
        self._flags = FrameFlags()
        self._job, self._grid = job, grid
        self._first, self._last = first, last
        self._start = grid.reading_start(first) if grid and is_sought and first else None
        least = least_interval(job.options.time_scale, job.source.time_base)
        gap = math.ceil(job.tick / job.source.time_base) if job.tick and job.ticks_a_tick else 1
        first_pts = job.source.start_pts + job.source.shift
        self._repair = PtsRepair(first_pts, least, gap)
        self._start_seconds = first_pts * job.source.time_base
        self._reached = self._start_seconds  # of the file's clock, like that
        self._seen: deque[tuple[int, Counts]] = deque()
        self._before = Counts()  # what was counted before the frame that is looked at
        self._base = Counts()  # and before the segment

    @property
    def has_last(self) -> bool:
        """Whether the video's last frame is of this pass; it must have been there if the pass began with the video."""
        return self.is_whole and (self._first == 0 or bool(self.tallies))

    def steps(self, *, with_alpha: bool) -> Iterator[Step]:
        """The steps of its segments, and then the one to the frame that the next segment begins with."""
        decoded = read_frames(
            self._job.source,
            self._repair,
            self._start,
            flags=self._flags,
            with_alpha=with_alpha,
            side_data=self.side_data,
        )
        options = self._job.options
        frames = self._counted(decoded)
        is_asked = options.cut != "off" and (options.time_scale > 1 or options.dedup)
        unmarked = ((frame, False) for frame in frames)
        marked = mark_cuts(frames, options.scene_threshold) if is_asked else unmarked
        found = steps(marked, options.time_scale, dedup=options.dedup)
        ticks = self._job.ticks_a_tick
        return self._within(on_clock(found, options.time_scale, ticks) if ticks else found)

    def _counted(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        for frame in frames:
            self._reached = (frame.pts + self._job.source.shift) * self._job.source.time_base
            self._seen.append((frame.pts, self._total()))
            yield frame

    def _total(self) -> Counts:
        resets = self._job.source.resets
        return Counts(
            self._repair.num_missing,
            self._repair.num_moved,
            resets.num_between(self._start_seconds, self._reached) if resets else 0,
            self._flags.num_deinterlaced,
            self._flags.num_interlaced,
            self._flags.num_corrupt,
            self._flags.num_held,
            self._flags.num_skipped,
            self._flags.num_missing,
            self.side_data.num_captioned,
        )

    def _within(self, steps: Iterable[Step]) -> Iterator[Step]:
        current: Tally | None = None
        index = 0
        for step in steps:
            frame = step.frame
            while self._seen and self._seen[0][0] < frame.pts:
                self._before = self._seen.popleft()[1]
            if self._grid:
                index = max(index, self._grid.index(frame.pts, is_after_cut=step.is_after_cut))
            if index < self._first:
                continue
            if current is not None:
                current.num_frames += step.num_repeats
                current.num_repeats += step.num_repeats
            if current is None or index > current.index:
                if current is None:  # nothing that leads here is of this pass
                    self.way, self.is_way_held = step.slots, step.is_after_cut
                    step = replace(step, slots=(), num_repeats=0)
                else:
                    current.counts = self._before.since(self._base)
                self._base = self._before
                current = Tally(
                    index, frame.pts, zlib.crc32(frame.pixels.tobytes()) if self._grid else 0
                )
                self.tallies.append(current)
                if self._last is not None and index >= self._last:
                    yield step
                    return
            if step.is_after_cut:
                current.cuts.append((current.num_frames, frame.pts))
            current.num_frames += 1
            current.end_pts = frame.pts + (frame.duration or 0)
            yield step
        self.is_whole = True
        if current is not None:
            current.counts = self._total().since(self._base)
