"""A run: frames are decoded, run through one stream in pairs, and encoded, all at once.

Time is the timeline's business, colour and tracks are `video/`'s, padding is the streams'; the only clamp and the only
rounding are in `outputs`, between the network and the encoder.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stsr_cli.device import resolve_device, resolve_dtype
from stsr_cli.disagreement import DisagreementFiles, check_disagreement
from stsr_cli.errors import UsageError
from stsr_cli.options import UpscaleOptions
from stsr_cli.pairs import System, load_system, to_device
from stsr_cli.pipeline import Prefetch, Sink
from stsr_cli.self_score import Choice, choose_stream
from stsr_cli.streams import TwoStream
from stsr_cli.upscale.listener import Listener, Silent
from stsr_cli.upscale.manifest import check_manifest, write_manifest
from stsr_cli.upscale.network import Network
from stsr_cli.upscale.outputs import Output, outputs
from stsr_cli.upscale.report import UpscaleReport
from stsr_cli.upscale.transparency import AlphaNetwork
from stsr_cli.video.colour.keeping import tone_mapped
from stsr_cli.video.describe import ends_early
from stsr_cli.video.hardware import accelerated, decoder_note
from stsr_cli.video.pipes.pipe import PIPE
from stsr_cli.video.probe import SourceInfo, estimate_num_frames, probe
from stsr_cli.video.reader import Frame, read_frames
from stsr_cli.video.sizes import disk_warning
from stsr_cli.video.timing.deinterlace import FrameFlags
from stsr_cli.video.timing.excerpt import excerpt
from stsr_cli.video.timing.repeats import Step, batches_of_shots, steps
from stsr_cli.video.timing.retime import (
    ConstantTimes,
    SourceTimes,
    Times,
    at_rate,
    output_rate,
    with_time_scale,
)
from stsr_cli.video.timing.scenes import Cut, mark_cuts
from stsr_cli.video.timing.timeline import Jumps, PtsRepair, Slot, least_interval
from stsr_cli.video.writer import open_writer
from stsr_cli.video.written import Writer

_QUEUE_DEPTH = 4  # frames decoded ahead, frames waiting for the encoder
_GPU_BATCH = 4
_PRECISIONS = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}


def upscale(options: UpscaleOptions, listener: Listener | None = None) -> UpscaleReport:
    """Upscale one video, or image sequence, in space and time.

    Args:
        options: the run.
        listener: told how it goes on.

    Raises:
        InputError, UsageError, WeightsError, DeviceError: before anything is written.
        InputError: the source turns out to be damaged; nothing is left behind.
        StsrError: the output could not be written or does not verify; nothing is left behind.
    """
    listener = listener or Silent()
    if options.source == PIPE and options.model.stream == "auto":
        raise UsageError(
            "--stream auto looks at pairs from all over the video, and - is read once; choose t2s, s2t or both"
        )
    source = accelerated(probe(options.source, options.read), options.read.hwaccel)
    source = excerpt(source, options.read)
    source = replace(source, jumps=source.jumps and Jumps())  # that sound and pictures share
    if options.encode.hdr == "tonemap":
        source = tone_mapped(source)
    options = with_time_scale(options, source)
    check_disagreement(options)
    check_manifest(options)
    times, timed, ticks = _output_times(source, options)
    device = resolve_device(options.model.device)
    dtype = resolve_dtype(options.model.precision, device)
    batch_size = options.batch_size or (_GPU_BATCH if device.type == "cuda" else 1)
    least = least_interval(options.time_scale, source.time_base)
    repair, flags = PtsRepair(source.start_pts, least), FrameFlags()
    with (
        open_writer(
            options.target,
            timed,
            options.encode,
            scale=options.scale,
            time_scale=ticks,
            overwrite=options.overwrite,
            tracks=options.tracks,
            size=options.size,
        ) as writer,
        DisagreementFiles(options, source) as doubts,
    ):
        num_out = (estimate_num_frames(source) or 0) * options.time_scale
        warnings = [*writer.warnings, *disk_warning(options.target, writer.plan, num_out)]
        notes = (*decoder_note(source, options.read.hwaccel), *writer.plan.notes)
        listener.on_plan(writer.tracks, warnings, notes)
        size = writer.plan.frame_size
        weights: list[tuple[str, Path]] = []
        system = load_system(
            options.model,
            options.scale,
            options.time_scale,
            lambda name, path: weights.append((name, path)),
        )
        model = to_device(system, device, dtype)
        choice = _choose(options, model, replace(source, jumps=None), device, dtype, listener)
        stream = choice.stream if choice else options.model.stream
        kind = AlphaNetwork if writer.plan.has_alpha else Network
        network = kind(model, stream, bool(options.disagreement), options.on_doubt)
        begin = time.perf_counter()
        decoded = read_frames(source, repair, flags=flags, with_alpha=writer.plan.has_alpha)
        with Prefetch(_steps(decoded, options), _QUEUE_DEPTH) as frames:
            listener.on_start(source, str(device), choice)
            counted = _Counter(frames, listener.on_frame)
            batches = batches_of_shots(counted, batch_size)
            with (
                Sink[Output](
                    lambda output: _write(writer, doubts, times, output), _QUEUE_DEPTH
                ) as sink,
                torch.inference_mode(),
            ):
                for output in outputs(network, batches, source, options.cut, device, dtype, size):
                    sink.put(output)
        drain = time.perf_counter()
        for image, slots in times.flush():
            _encode(writer, image, slots)
        written = writer.close()
        doubts.close()
    warnings += ends_early(source, counted.end_pts)
    end = time.perf_counter()
    decode, encode = frames.waited_seconds, sink.waited_seconds + end - drain
    seconds = end - begin
    report = UpscaleReport(
        target=options.target,
        frames_in=counted.num_frames,
        frames_out=written.frames,
        width=writer.plan.width,
        height=writer.plan.height,
        seconds=seconds,
        decode_share=decode / seconds,
        network_share=1 - (decode + encode) / seconds,
        encode_share=encode / seconds,
        repaired_timestamps=repair.num_repaired,
        num_jumps=source.jumps.num_jumps if source.jumps else 0,
        num_missing_times=repair.num_missing,
        device=str(device),
        stream=stream,
        choice=choice,
        tracks=writer.tracks,
        num_new=(counted.num_frames - 1) * (options.time_scale - 1) + counted.num_repeats,
        num_cuts=len(counted.cuts),
        num_repeats=counted.num_repeats,
        num_replaced=doubts.num_replaced,
        mean_disagreement=doubts.mean_levels,
        warnings=tuple(dict.fromkeys([*warnings, *writer.warnings, *flags.warnings])),
        num_deinterlaced=flags.num_deinterlaced,
        num_repeated=times.num_repeated,
        num_dropped=times.num_dropped,
        precision=_PRECISIONS[dtype],
        encoder=writer.plan,
        cuts=tuple(
            Cut(index, float((pts - source.start_pts) * source.time_base))
            for index, pts in counted.cuts
        ),
        weights=tuple(weights),
        checks=written.checks,
    )
    write_manifest(options, source, report)
    return report


def _choose(
    options: UpscaleOptions,
    model: System,
    source: SourceInfo,
    device: torch.device,
    dtype: torch.dtype,
    listener: Listener,
) -> Choice | None:
    """Which stream to use, where that is left to stsr and makes a difference."""
    if options.model.stream != "auto" or not isinstance(model, TwoStream):
        return None
    if options.time_scale == 1 and not options.dedup:
        return Choice("t2s", why="there are no new frames at --time-scale 1")
    if options.scale == 1:
        return Choice("t2s", why="both streams are the same at --scale 1")
    return choose_stream(model, source, device, dtype, listener.on_pair)


def _steps(frames: Iterator[Frame], options: UpscaleOptions) -> Iterator[Step]:
    """From each frame to the next: cuts are looked for where that makes a difference, repeats if asked for."""
    is_asked = options.cut != "off" and (options.time_scale > 1 or options.dedup)
    unmarked = ((frame, False) for frame in frames)
    marked = mark_cuts(frames, options.scene_threshold) if is_asked else unmarked
    return steps(marked, options.time_scale, dedup=options.dedup)


class _Counter:
    """Passes steps on and reports how many frames were taken, how many after a cut, how many of them repeats."""

    def __init__(self, steps: Iterable[Step], on_frame: Callable[[int], None]) -> None:
        self.num_frames = self.num_repeats = 0
        self.end_pts = 0  # of the last frame
        self.cuts: list[tuple[int, int]] = []  # index and pts of the first frame after each
        self._steps, self._on_frame = steps, on_frame

    def __iter__(self) -> Iterator[Step]:
        for step in self._steps:
            yield step
            self.num_frames += 1 + step.num_repeats
            if step.is_after_cut:
                self.cuts.append((self.num_frames - 1, step.frame.pts))
            self.num_repeats += step.num_repeats
            self.end_pts = step.frame.pts + (step.frame.duration or 0)
            self._on_frame(self.num_frames)


def _output_times(
    source: SourceInfo, options: UpscaleOptions
) -> tuple[Times[Tensor], SourceInfo, int]:
    """What settles when frames are shown, the source on the output's clock, and how its ticks are divided there."""
    rate = output_rate(source, options)
    if rate is None:
        return SourceTimes(), source, options.time_scale
    timed = at_rate(source, rate)
    return ConstantTimes(rate, source.time_base / options.time_scale, timed.time_base), timed, 1


def _write(writer: Writer, doubts: DisagreementFiles, times: Times[Tensor], output: Output) -> None:
    """Bring a frame to the host and encode it, in the encoder's thread."""
    for image, slots in times.push(output.image, output.slots):
        _encode(writer, image, slots)
    doubts.write(output.doubt, output.slots)


def _encode(writer: Writer, image: Tensor, slots: tuple[Slot, ...]) -> None:
    pixels = image.movedim(0, -1).contiguous().cpu().numpy()
    if pixels.dtype != np.uint8:
        pixels = pixels.astype(np.uint16)
    for slot in slots:
        writer.write(pixels, slot.pts, slot.duration)
