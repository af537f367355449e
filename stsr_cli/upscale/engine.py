"""A run: frames are decoded, run through one stream in pairs, and encoded, all at once.

Time is the timeline's business, colour and tracks are `video/`'s, padding is the streams'; the only clamp and the only
rounding are in `outputs`, between the network and the encoder.
"""

from collections.abc import Iterator
from dataclasses import replace

from stsr_cli.disagreement import DisagreementFiles
from stsr_cli.errors import StsrError
from stsr_cli.options import UpscaleOptions
from stsr_cli.upscale.job import (
    Job,
    load,
    open_output,
    pauses_to_fill,
    run_start,
    settle,
    warnings_of,
)
from stsr_cli.upscale.listener import Listener, Silent
from stsr_cli.upscale.manifest import write_manifest
from stsr_cli.upscale.outputs import Output
from stsr_cli.upscale.passage import Passage
from stsr_cli.upscale.pump import Clock, Waits, pump, write_slots
from stsr_cli.upscale.report import UpscaleReport
from stsr_cli.upscale.segment_task import Runner, here
from stsr_cli.upscale.segmented import in_segments, left_behind, plan_segments, why_in_one_go
from stsr_cli.upscale.totals import Totals, output_counts
from stsr_cli.video.files_behind import unread_files
from stsr_cli.video.hardware import decoder_note
from stsr_cli.video.program_changes import unread_tracks
from stsr_cli.video.size_changes import check_sizes
from stsr_cli.video.target import held, refuse_loss
from stsr_cli.video.written import is_of_disk


def upscale(
    options: UpscaleOptions, listener: Listener | None = None, runner: Runner = here
) -> UpscaleReport:
    """Upscale one video, or image sequence, in space and time.

    A video longer than a segment is made in segments, which are kept if the run ends before they are all there: the
    same call goes on with the rest. A shorter one is a segment, kept until the output is complete.

    Args:
        options: the run.
        listener: told how it goes on.
        runner: makes the segments.

    Raises:
        InputError, UsageError, WeightsError, DeviceError: before anything is written.
        InputError: the source turns out to be damaged; nothing is left behind but finished segments.
        StsrError: the output could not be written; likewise. What does not verify is left under another name.
        UnfinishedOutput: all segments are there and kept, and could not be joined.
        InterruptedRun: it was stopped, and goes on with the same call.
    """
    listener = listener or Silent()
    job = settle(options)
    unread = (*unread_files(job.source), *unread_tracks(job.source))
    refuse_loss(unread, options.tracks)
    notes = (*check_sizes(job.source), *pauses_to_fill(job))
    job = replace(job, source_notes=notes, unread=unread)
    with held(options.target):
        grid = plan_segments(job)
        if runner is not here and (grid is None or grid.is_whole):
            runner = here
            listener.on_note(
                "made in one go, here: only segments of a longer video file are spread (--segment sets their length)"
            )
        report = in_segments(job, grid, listener, runner) if grid else None
        if report is None:
            for note in left_behind(options):
                listener.on_note(note)
            try:
                report = _in_one_go(job, listener)
            except StsrError as error:
                why = why_in_one_go(job)
                if not (why and is_of_disk(error.__cause__)):
                    raise
                again = error.with_advice(f"; the next run begins anew, for {why}")
                raise again from error
    write_manifest(job.options, job.source, report)
    return report


def _in_one_go(job: Job, listener: Listener) -> UpscaleReport:
    options, source = job.options, job.source
    times, totals = job.times(), Totals()
    with open_output(job) as writer, DisagreementFiles(job.network_options, source) as doubts:

        def receive(output: Output) -> Iterator[None]:
            for image, slots in times.push(output.image, output.slots):
                yield from write_slots(writer, image, slots, passage.side_data)
            doubts.write(output.doubt, output.slots)

        job = replace(job, tick=writer.tick)
        passage, warnings = Passage(job), warnings_of(job, writer)
        notes = (*job.notes, *decoder_note(source, options.read.hwaccel), *writer.plan.notes)
        listener.on_plan(writer.tracks, warnings, notes)
        loaded = load(job, listener.on_pair, listener.on_note)
        network = loaded.network(options, has_alpha=writer.plan.has_alpha)
        listener.on_start(run_start(job, loaded, writer.plan))
        clock = Clock()
        waits = pump(job, network, passage, writer.plan, receive, listener.on_frame)
        drain = Clock()
        for image, slots in times.flush():
            for _ in write_slots(writer, image, slots, passage.side_data):
                pass
        written = writer.close()
        doubts.close()
    (tally,) = passage.tallies
    counts = {**tally.counts._asdict(), **output_counts(times, doubts, network)}
    totals.add(tally.num_frames, tally.num_repeats, tally.end_pts, tally.cuts, counts)
    waits = Waits(waits.decode, waits.encode + drain.seconds)
    return totals.report(job, loaded, writer, written, warnings, seconds=clock.seconds, waits=waits)
