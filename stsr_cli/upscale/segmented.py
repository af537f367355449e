"""A run in segments: those that are missing are made, here or elsewhere, and all are joined to the output."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from stsr_cli.errors import InterruptedRun, StsrError, UnfinishedOutput
from stsr_cli.files import folder_bytes, sha256
from stsr_cli.options import UpscaleOptions
from stsr_cli.segments.grid import Grid
from stsr_cli.segments.journal import (
    Journal,
    SegmentRecord,
    find_work_folder,
    has_journal,
    work_folder,
)
from stsr_cli.text import plural, size_text
from stsr_cli.upscale.identity import identity
from stsr_cli.upscale.job import Job, Loaded, load, open_output, run_start, settle, warnings_of
from stsr_cli.upscale.listener import Listener
from stsr_cli.upscale.pump import Clock, Waits
from stsr_cli.upscale.report import UpscaleReport
from stsr_cli.upscale.segment_task import Runner, SegmentTask
from stsr_cli.upscale.totals import Totals
from stsr_cli.video.hardware import decoder_note
from stsr_cli.video.opening import address
from stsr_cli.video.pipes.pipe import PIPE
from stsr_cli.video.probe import estimate_seconds, shown
from stsr_cli.video.segment import read_segment, segment_format
from stsr_cli.video.target import image_pattern
from stsr_cli.video.tracks.plan import Track
from stsr_cli.video.writer import VideoWriter
from stsr_cli.video.written import Writer, WrittenReport, is_of_disk

_LONGEST_IN_ONE_GO = Fraction(5, 4)  # of a segment
_CONTAINERS = (".mkv", ".mp4", ".mov")
_WITHOUT = {
    **{"audio": "--no-audio", "subtitle": "--no-subs", "chapters": "--no-chapters"},
    **{"attachment": "--no-attachments", "cover": "--no-attachments"},
}
_MOST_ATTEMPTS = 3  # at a segment that does not fit the ones beside it


def plan_segments(job: Job) -> Grid | None:
    """Where the segments of a run begin, or None: there are none.

    A video no longer than a segment is one, so that it need not be made again if the output cannot be completed. There
    are none where there is nothing to go on with (`why_in_one_go`).
    """
    options, source = job.options, job.source
    if why_in_one_go(job):
        return None
    seconds = estimate_seconds(source)
    is_short = seconds is not None and seconds <= _LONGEST_IN_ONE_GO * options.segment
    if is_short or not options.segment:
        return Grid.whole(source.start_pts)
    return Grid.of(options.segment, source.start_pts, source.time_base, source.frame_rate)


def why_in_one_go(job: Job) -> str | None:
    """Why a run has no segments whatever --segment says, for a message; None: it has."""
    options, source = job.options, job.source
    if source.pipe is not None:
        return "a pipe is read only once"
    if address(source.path, source.options) is not None:
        return "an address may hold something else the next time"
    if options.disagreement:
        return "tables of --disagreement are written row after row"
    if options.target == PIPE:
        return "a pipe is written only once"
    if image_pattern(options.target):
        return "images are written one after another"
    return None


def in_segments(job: Job, grid: Grid, listener: Listener, runner: Runner) -> UpscaleReport | None:
    """Make what is missing of a run's segments, and join them; None: no format stores the one that it would be.

    Raises:
        UsageError: the work folder is in use, or holds another run's segments.
        InterruptedRun: stopped; the same run goes on.
        StsrError, InputError: as of `upscale`; what was finished is kept.
    """
    options, source = job.options, job.source
    with open_output(job) as writer:  # what cannot work fails now
        job = replace(job, tick=writer.tick)
        plan, warnings = writer.plan, warnings_of(job, writer, copies=2)
        notes = (*job.notes, *decoder_note(source, options.read.hwaccel), *plan.notes)
        tracks = writer.tracks
        writer.abort()
    storage = segment_format(plan)
    if storage is None and grid.is_whole:
        return None
    listener.on_plan(tracks, warnings, notes)
    if storage is None:
        raise StsrError(
            f"{plan.codec} video cannot be made in segments; use --segment 0, or another codec"
        )
    loaded = load(job, listener.on_pair, listener.on_note)
    header, first_pts = identity(job, loaded, plan, storage, grid), job.first_pts()
    folder = _work_folder(options, header, listener)
    with Journal(folder, header, resume=options.resume) as journal:
        for note in journal.notes:
            listener.on_note(note)
        listener.on_start(run_start(job, loaded, plan))
        resumed = Totals.of(journal.records.values())
        if journal.records:
            listener.on_resume(resumed.num_frames, len(journal.records))
        task = SegmentTask(
            options=replace(options, model=replace(options.model, stream=loaded.stream)),
            folder=journal.folder,
            run=journal.run,
            grid=grid,
            plan=plan,
            storage=storage,
            first=0,
            last=None,
            is_sought=(source.resets is None or source.resets.can_seek)
            and source.dts_delay is None,
            first_pts=first_pts,
            tick=job.tick,
        )
        clock = Clock()
        try:
            waits = _complete(journal, task, job, loaded, listener, runner)
            Totals.of(journal.chain).check_damage(source)
        except KeyboardInterrupt:
            raise _interrupted(journal) from None
        except StsrError as error:
            ended = error.with_advice(_kept(journal))
            ended.goes_on = is_of_disk(error.__cause__) and bool(journal.records)
            raise ended from error
        drain = Clock()
        try:
            writer, written = _join(job, journal)
        except KeyboardInterrupt:
            raise _interrupted(journal) from None
        except StsrError as error:

            def is_same(options: UpscaleOptions) -> bool:
                with contextlib.suppress(StsrError):
                    other = settle(replace(options, report=None))
                    with open_output(other) as writer:
                        writer.abort()
                        return header == identity(other, loaded, writer.plan, storage, grid)
                return False

            ways = _ways_out(job, error, plan.codec, tracks, is_same)
            message = f"{error}{_kept(journal)}"
            raise UnfinishedOutput(message, ways, error.exit_code) from error
        report = Totals.of(journal.chain).report(
            job,
            loaded,
            writer,
            written,
            warnings,
            seconds=clock.seconds,
            waits=Waits(waits.decode, waits.encode + drain.seconds),
            frames_resumed=resumed.num_outputs,
        )
        if not options.keep_work:
            journal.remove()
    return report


def _complete(
    journal: Journal,
    task: SegmentTask,
    job: Job,
    loaded: Loaded,
    listener: Listener,
    runner: Runner,
) -> Waits:
    """Have the missing segments made until all are there and fit together."""
    decode = encode = 0.0
    for _ in range(_MOST_ATTEMPTS):
        tasks = [replace(task, first=first, last=last) for first, last in journal.missing]
        num_before = Totals.of(journal.records.values()).num_frames

        def on_segment(record: SegmentRecord) -> None:
            journal.add(record)
            listener.on_segment(record.index, record.num_frames, record.num_bytes, record.worker)

        def on_frame(num_done: int, num_before: int = num_before) -> None:
            listener.on_frame(num_before + num_done)

        if tasks:
            waits = runner(tasks, on_segment, on_frame, listener, job, loaded)
            decode, encode = decode + waits.decode, encode + waits.encode
        bad = [
            record
            for record in journal.chain
            if record.file and sha256(journal.folder / record.file) != record.sha256
        ]
        seams = journal.broken_seams()
        if seams:  # it decodes otherwise from its middle on: it is read from its beginning
            task = replace(task, is_sought=False)
            bad += [record for pair in seams for record in pair if record.is_sought]
        if journal.is_complete and not bad and not seams:
            return Waits(decode, encode)
        for index in sorted({record.index for record in bad}):
            journal.drop(index)
            listener.on_note(
                f"segment {index} does not fit the others or is damaged; it is made again"
            )
    raise StsrError(
        f"{shown(job.source.path)} decodes otherwise each time it is read; use --segment 0"
    )


def _work_folder(options: UpscaleOptions, header: Mapping[str, Any], listener: Listener) -> Path:
    """Where the segments are, or are going to be; says so where the name of the output does not."""
    own = work_folder(options.target, options.work_dir)
    if not options.resume:
        return own
    folder, others = find_work_folder(options.target, options.work_dir, header)
    if folder != own:
        listener.on_note(f"the segments in {shown(folder)} are of the same pictures and are used")
    for other in others:
        output = other.with_suffix("").with_suffix(options.target.suffix)
        listener.on_note(
            f"{_size_of(other)}, left by a run that ended early, has segments of these pictures; a run to "
            f"{shown(output)} uses and removes it, else delete it"
        )
    return folder


def left_behind(options: UpscaleOptions) -> list[str]:
    """What to say of the work folder of an earlier run to this output, which a run without segments does not use."""
    folder = work_folder(options.target, options.work_dir)
    if options.target == PIPE or not has_journal(folder):
        return []
    return [
        f"{_size_of(folder)}, left by an earlier run to {shown(options.target)}, is not used by this one; "
        "delete it, or repeat that run, which goes on from there"
    ]


def _size_of(folder: Path) -> str:
    """A work folder with what it takes on the disk."""
    return f"the folder {shown(folder)} ({size_text(folder_bytes(folder))})"


def _join(job: Job, journal: Journal) -> tuple[Writer, WrittenReport]:
    """Write the output: the packets of all segments, and the other tracks."""
    chain = journal.chain
    delay = max(record.delay for record in chain)
    with open_output(job) as writer:
        assert isinstance(writer, VideoWriter)
        for record in chain:
            if record.file:
                path, slots = journal.folder / record.file, record.slots
                packets = read_segment(
                    path, slots, writer.time_base, is_header_global=writer.is_header_global
                )
                writer.write_encoded(packets, slots, delay)
        return writer, writer.close()


def _ways_out(
    job: Job,
    error: StsrError,
    codec: str,
    tracks: Sequence[Track],
    is_same: Callable[[UpscaleOptions], bool],
) -> list[tuple[Path, tuple[str, ...]]]:
    """What completes an output that could not be joined, of the segments that are there; see `UnfinishedOutput`.

    Args:
        job: the run.
        error: why not.
        codec: that the segments are encoded by.
        tracks: of the output.
        is_same: whether another run can be, and has the same segments.
    """
    target, ways = job.options.target, list[tuple[Path, tuple[str, ...]]]()
    if is_of_disk(error.__cause__):
        return [(target, ())]
    for ending in _CONTAINERS:
        other = target.with_suffix(ending)
        if ending == target.suffix.lower() or (other.exists() and not job.options.overwrite):
            continue
        options = replace(job.options, target=other)
        pinned = replace(options, encode=replace(options.encode, codec=codec))
        if is_same(options):
            ways.append((other, ()))
            break
        if is_same(pinned):  # which "auto" takes in the first container alone
            ways.append((other, ("--codec", codec)))
            break
    kept = {track.kind for track in tracks if track.action in ("copy", "convert")}
    without = dict.fromkeys(option for kind, option in _WITHOUT.items() if kind in kept)
    return [*ways, (target, tuple(without))] if without else ways


def _interrupted(journal: Journal) -> InterruptedRun:
    """What to say of a run that was stopped; the same command goes on if there is something to go on from."""
    if kept := _kept(journal):
        return InterruptedRun(f"interrupted{kept}", goes_on=bool(journal.records))
    return InterruptedRun("interrupted before a segment was finished; nothing is kept")


def _kept(journal: Journal) -> str:
    """What an ended run leaves, for its message; nothing if no segment is done."""
    num_before = len(journal.records)
    journal.forget_lost()
    if not journal.records:
        journal.remove()
        lost = plural(num_before, "finished segment")
        return f"; gone with {shown(journal.folder)}: {lost}" if num_before else ""
    done = Totals.of(journal.records.values())
    return (
        f"; {plural(done.num_frames, 'frame')} in {plural(len(journal.records), 'segment')} are done and kept in "
        f"{shown(journal.folder)}"
    )
