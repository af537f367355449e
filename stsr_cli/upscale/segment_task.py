"""Consecutive segments of a run, made into files of the work folder: in one pass of the decoder, wherever that runs."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Protocol

from torch import Tensor

from stsr_cli.disagreement import DisagreementFiles
from stsr_cli.files import sha256
from stsr_cli.options import UpscaleOptions
from stsr_cli.segments.grid import Grid
from stsr_cli.segments.journal import SegmentRecord, packed_times
from stsr_cli.upscale.job import Job, Loaded, load, settle
from stsr_cli.upscale.listener import Listener
from stsr_cli.upscale.network import Network
from stsr_cli.upscale.outputs import Output
from stsr_cli.upscale.passage import Passage
from stsr_cli.upscale.pump import Clock, Waits, pump, write_slots
from stsr_cli.upscale.totals import output_counts
from stsr_cli.video.encode.encoder import EncoderPlan
from stsr_cli.video.segment import SegmentWriter
from stsr_cli.video.target import incomplete_name
from stsr_cli.video.timing.retime import Times
from stsr_cli.video.timing.timeline import Slot


@dataclass(frozen=True)
class SegmentTask:
    """Consecutive segments of a run, for whoever makes them; it can be pickled.

    Attributes:
        options: of the run, with the stream that was chosen.
        folder: where the files go.
        run: identity of the run.
        grid, plan, storage: where segments begin, how they are encoded, and stored.
        first, last: which: from the first on, up to, not including, the last; None: to the end of the video.
        is_sought: whether reading begins shortly before the first, and not at the beginning.
        first_pts: of the video's first frame, where the output's frame rate is constant.
        tick: of the output's clock, as in `Job`.
    """

    options: UpscaleOptions
    folder: Path
    run: str
    grid: Grid
    plan: EncoderPlan
    storage: str
    first: int
    last: int | None
    is_sought: bool
    first_pts: int | None
    tick: Fraction | None = None


class Runner(Protocol):
    """Makes segments, wherever that is."""

    def __call__(
        self,
        tasks: Sequence[SegmentTask],
        on_segment: Callable[[SegmentRecord], None],
        on_frame: Callable[[int], None],
        listener: Listener,
        job: Job,
        loaded: Loaded,
    ) -> Waits:
        """Make the segments of all `tasks`.

        Args:
            tasks: what is missing; their order does not matter.
            on_segment: takes each finished segment, from any thread; its file is in the folder then.
            on_frame: told how many source frames of the tasks are done.
            listener: of the run, for what else there is to tell.
            job: the run in this process.
            loaded: its network.
        """


def worker_name() -> str:
    """Machine and process, as users find them and as `SegmentRecord.worker` has them."""
    return f"{platform.node()}:{os.getpid()}"


def make_segments(
    task: SegmentTask,
    on_segment: Callable[[SegmentRecord], None],
    on_frame: Callable[[int], None] = lambda num_done: None,
    job: Job | None = None,
    loaded: Loaded | None = None,
) -> Waits:
    """Make consecutive segments into the work folder; the journal is another's business.

    Args:
        task: which.
        on_segment: takes each finished one, in a thread of its own.
        on_frame: told how many source frames are done.
        job: of the task's options, where it is settled already.
        loaded: its network, where it is loaded already.
    """
    job = replace(job or settle(replace(task.options, report=None)), tick=task.tick)
    loaded = loaded or load(job)
    passage = Passage(job, task.grid, task.first, task.last, is_sought=task.is_sought)
    network = loaded.network(job.options, has_alpha=task.plan.has_alpha)
    with _Splitter(task, job, passage, network, on_segment) as splitter:
        waits = pump(job, network, passage, task.plan, splitter.receive, on_frame)
        drain = Clock()
        splitter.finish()
        return Waits(waits.decode, waits.encode + drain.seconds)


def here(
    tasks: Sequence[SegmentTask],
    on_segment: Callable[[SegmentRecord], None],
    on_frame: Callable[[int], None],
    listener: Listener,
    job: Job,
    loaded: Loaded,
) -> Waits:
    """The `Runner` of this process: one task after another."""
    decode = encode = 0.0
    num_done = 0
    for task in tasks:
        last = 0

        def told(num: int, num_before: int = num_done) -> None:
            nonlocal last
            last = num
            on_frame(num_before + num)

        waits = make_segments(task, on_segment, told, job, loaded)
        num_done += last
        decode, encode = decode + waits.decode, encode + waits.encode
    return Waits(decode, encode)


class _Splitter:
    """Gives each output frame to the file of its segment.

    A context manager: an exception removes what is unfinished.
    """

    def __init__(
        self,
        task: SegmentTask,
        job: Job,
        passage: Passage,
        network: Network,
        on_segment: Callable[[SegmentRecord], None],
    ) -> None:
        self._task, self._job, self._passage, self._network = task, job, passage, network
        self._on_segment = on_segment
        self._times: Times[tuple[int, Tensor]] = job.times(task.first_pts)
        # it counts; a segment has no tables
        self._doubts = DisagreementFiles(job.network_options, job.source)
        self._place = -1  # among the tallies, of the frames that come in
        self._num_finished = 0
        self._writer: SegmentWriter | None = None
        self._is_first = True  # the frame that is encoded next
        self._begin_seconds = time.time()
        self._counted: Counter[str] = Counter()
        # A segment is drained, read back and synced while frames of the next one are made.
        self._finisher = ThreadPoolExecutor(1, "finish")
        self._finishing: Future[None] | None = None

    def __enter__(self) -> _Splitter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._writer is not None:
            self._writer.abort()
        self._finisher.shutdown()  # the segment before is complete, and counts

    def receive(self, output: Output) -> Iterator[None]:
        """Take the next frame, in steps."""
        if self._place < 0:
            self._place = 0
            self._skip_way()
        tallies, time_scale = self._passage.tallies, self._job.options.time_scale
        while (
            self._place + 1 < len(tallies)
            and output.slots[0].pts >= tallies[self._place + 1].first_pts * time_scale
        ):
            self._place += 1
        yield from self._encode(self._times.push((self._place, output.image), output.slots))
        self._doubts.write(output.doubt, output.slots)

    def finish(self) -> None:
        """Complete the last segment."""
        passage = self._passage
        if passage.is_whole:
            self._encode_all(self._times.flush())
        elif passage.tallies:
            pts = passage.tallies[-1].first_pts * self._job.options.time_scale
            self._encode_all(self._times.push(None, (Slot(pts, 1),)))
            self._encode_all(self._times.leave())
        self._finish_until(len(passage.tallies) - (not passage.is_whole))
        self._wait()

    def _skip_way(self) -> None:
        """Let the frames that lead here take their times, as they do in a pass from the beginning."""
        way = self._passage.way
        for slots in [way] if self._passage.is_way_held and way else [(slot,) for slot in way]:
            self._times.push(None, slots)

    def _encode_all(self, frames: Sequence[tuple[tuple[int, Tensor], Sequence[Slot]]]) -> None:
        for _ in self._encode(frames):
            pass

    def _encode(
        self, frames: Sequence[tuple[tuple[int, Tensor], Sequence[Slot]]]
    ) -> Iterator[None]:
        for (place, image), slots in frames:
            self._finish_until(place)
            if self._writer is None:
                self._writer = self._open(place)
            if self._is_first and self._task.first:
                self._skip_side_data(slots[0])
            self._is_first = False
            yield from write_slots(self._writer, image, slots, self._passage.side_data)

    def _skip_side_data(self, slot: Slot) -> None:
        """Leave what lies beside frames before the first segment's to those who make the segment before it.

        At a constant rate frames since the tick before count: that tick was written too early for them.
        """
        is_constant = self._task.first_pts is not None
        begin = slot.pts - slot.duration if is_constant else slot.pts
        seconds = begin * self._job.timed.time_base / self._job.ticks
        self._passage.side_data.skip(seconds, inclusive=is_constant)

    def _open(self, place: int) -> SegmentWriter:
        task = self._task
        name = f"{self._passage.tallies[place].index:06d}.{task.storage}"
        # of several segments those before are kept
        target = task.options.target if task.grid.is_whole else None
        return SegmentWriter(
            task.folder / name,
            self._job.timed,
            task.plan,
            task.storage,
            time_scale=self._job.ticks,
            leftover=target and incomplete_name(target, task.storage),
        )

    def _finish_until(self, place: int) -> None:
        """Finish the segments before one; those without a frame of the output have no file."""
        while self._num_finished < place:
            self._wait()  # no more than two encoders at once
            finish = partial(
                self._finish, self._num_finished, self._writer, self._begin_seconds, self._counts()
            )
            self._writer, self._begin_seconds = None, time.time()
            self._num_finished += 1
            self._finishing = self._finisher.submit(finish)

    def _wait(self) -> None:
        """Wait for the segment that is being finished, and raise what went wrong with it."""
        if self._finishing is not None:
            self._finishing.result()

    def _finish(
        self,
        place: int,
        writer: SegmentWriter | None,
        begin_seconds: float,
        counts: dict[str, float],
    ) -> None:
        if writer is not None:
            writer.close()
        tallies = self._passage.tallies
        tally = tallies[place]
        after = tallies[place + 1] if place + 1 < len(tallies) else None
        record = SegmentRecord(
            index=tally.index,
            following=after.index if after else None,
            first_pts=tally.first_pts,
            first_checksum=tally.checksum,
            end_pts=after.first_pts if after else tally.end_pts,
            end_checksum=after.checksum if after else 0,
            is_sought=self._task.is_sought and self._task.first > 0,
            file=writer.path.name if writer else "",
            num_bytes=writer.path.stat().st_size if writer else 0,
            sha256=sha256(writer.path) if writer else "",
            run=self._task.run,
            delay=writer.delay if writer else 0,
            times=packed_times(writer.slots) if writer else (),
            num_frames=tally.num_frames,
            num_repeats=tally.num_repeats,
            cuts=tuple(tally.cuts),
            counts={**tally.counts._asdict(), **counts},
            worker=worker_name(),
            begin_seconds=begin_seconds,
            end_seconds=time.time(),
        )
        self._on_segment(record)

    def _counts(self) -> dict[str, float]:
        """What was counted of output frames since the segment before."""
        now = Counter(output_counts(self._times, self._doubts, self._network))
        since: dict[str, float] = {
            name: number - self._counted[name] for name, number in now.items()
        }
        self._counted = now
        return since
