"""What is settled before the first frame: what is read, on which clock it is written, where and how it is computed."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from stsr_cli.device import resolve_device, resolve_dtype
from stsr_cli.disagreement import check_disagreement
from stsr_cli.errors import UsageError
from stsr_cli.options import StreamChoice, UpscaleOptions
from stsr_cli.pairs import System, load_system, to_device
from stsr_cli.self_score import Choice, choose_stream
from stsr_cli.streams import TwoStream
from stsr_cli.text import plural
from stsr_cli.upscale.listener import RunStart
from stsr_cli.upscale.manifest import check_manifest
from stsr_cli.upscale.memory import foreseen, within_memory
from stsr_cli.upscale.network import Network
from stsr_cli.upscale.numbers import Exact
from stsr_cli.upscale.transparency import AlphaNetwork
from stsr_cli.video.colour.keeping import tone_mapped
from stsr_cli.video.encode.encoder import EncoderPlan
from stsr_cli.video.hardware import accelerated
from stsr_cli.video.pipes.pipe import PIPE
from stsr_cli.video.probe import (
    SourceInfo,
    estimate_num_frames,
    looked_beside,
    probe,
    shown,
)
from stsr_cli.video.reader import early_times, find_pauses, read_frames
from stsr_cli.video.sizes import disk_warning
from stsr_cli.video.target import refuse_loss
from stsr_cli.video.timing.excerpt import excerpt
from stsr_cli.video.timing.retime import (
    ConstantTimes,
    SourceTimes,
    Times,
    on_output_clock,
    output_rate,
    with_time_scale,
)
from stsr_cli.video.timing.timeline import own_ticks, slots
from stsr_cli.video.writer import open_writer
from stsr_cli.video.written import Writer

_GPU_BATCH = 4
_COMMON_SCALES = (1, 4, 16)  # that f_S reaches by itself, or refuses when it is loaded
_LONG_PAUSE = Fraction(60)  # seconds
_FEW = 25  # frames that may be closer than a tick: they are moved apart


@dataclass(frozen=True)
class Job:
    """A run before its first frame.

    Attributes:
        options: of the run, `time_scale` settled.
        source: what is read.
        timed: the same on the output's clock.
        ticks: parts into which the output divides a tick of that.
        device: where the network runs.
        dtype: what it computes in.
        batch_size: frame pairs a network call.
        scale: factor of the network, which Lanczos brings to that of the options.
        source_notes: what is worth to know of the source, a sentence each.
        tick: of the output's clock in seconds, where it is too coarse for all times of the plan; None: it is not.
        unread: what of the source is not read, a sentence each.
    """

    options: UpscaleOptions
    source: SourceInfo
    timed: SourceInfo
    ticks: int
    device: torch.device
    dtype: torch.dtype
    batch_size: int
    scale: int
    source_notes: tuple[str, ...] = ()
    tick: Fraction | None = None
    unread: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of what was settled, a sentence each."""
        asked = self.options.scale
        if self.scale == asked or self.options.size is not None:
            return self.source_notes
        return (
            *self.source_notes,
            f"--scale {asked}: the networks make x{self.scale}, which Lanczos brings to x{asked}; "
            "--height or --size name any other size",
        )

    @property
    def network_options(self) -> UpscaleOptions:
        """The options, with the factor of the network."""
        return replace(self.options, scale=self.scale)

    @property
    def ticks_a_tick(self) -> Fraction | None:
        """Ticks of the output's plan in one of its clock, where frames must share one; None: there is room for all."""
        if self.tick is None or output_rate(self.source, self.options) is not None:
            return None
        return self.tick * self.options.time_scale / self.source.time_base

    def times(self, first_pts: int | None = None) -> Times[Any]:
        """What settles when frames are shown; `first_pts`: of the video's first frame, where reading begins later."""
        rate = output_rate(self.source, self.options)
        if rate is None:
            return SourceTimes()
        scale = self.options.time_scale
        first = None if first_pts is None else first_pts * scale
        return ConstantTimes(rate, self.source.time_base / scale, self.timed.time_base, first)

    def first_pts(self) -> int | None:
        """When the first frame is shown, in the source's ticks, where a constant rate counts from it; else None."""
        if output_rate(self.source, self.options) is None:
            return None
        frames = read_frames(self.source)
        first = next(frames, None)
        frames.close()
        return None if first is None else first.pts


def settle(options: UpscaleOptions) -> Job:
    """Look at the source and the machine, and refuse what cannot be.

    Raises:
        InputError, UsageError, DeviceError: nothing is written yet.
    """
    if options.source == PIPE and options.model.stream == "auto":
        raise UsageError(
            "--stream auto looks at pairs from all over the video, and - is read once; choose t2s, s2t or both"
        )
    source = accelerated(probe(options.source, options.read), options.read.hwaccel)
    source = excerpt(source, options.read)
    source = looked_beside(source)
    if options.encode.hdr == "tonemap":
        source = tone_mapped(source)
    options = with_time_scale(options, source)
    check_disagreement(options)
    check_manifest(options)
    scale = network_scale(options)
    timed, ticks = on_output_clock(source, options)
    device = resolve_device(options.model.device)
    dtype = resolve_dtype(options.model.precision, device)
    batch_size = options.batch_size or (_GPU_BATCH if device.type == "cuda" else 1)
    return Job(options, source, timed, ticks, device, dtype, batch_size, scale)


def network_scale(options: UpscaleOptions) -> int:
    """The factor that the network makes for `scale`: the smallest that it reaches by itself and is no less.

    Raises:
        UsageError: CDCA makes one factor, and it is less.
        WeightsError: as of `load_system`; weights are read where most networks do not reach `scale`.
    """
    scale, is_cdca = options.scale, options.model.system == "cdca"
    if scale in _COMMON_SCALES and (not is_cdca or scale < 16):
        return scale
    base = load_system(options.model).scale
    if is_cdca:
        if scale > base:
            raise UsageError(
                f"scale {scale} cannot be reached by CDCA, whose network upscales by {base}; try {base}, --height or "
                "--size for another size, or --system streams"
            )
        return base
    reached = base
    while base > 1 and reached < scale:
        reached *= base
    return reached


def open_output(job: Job) -> Writer:
    """Open the output and write its header."""
    options = job.options
    return open_writer(
        options.target,
        job.timed,
        options.encode,
        scale=options.scale if options.size is None else job.scale,
        time_scale=job.ticks,
        overwrite=options.overwrite,
        tracks=options.tracks,
        size=options.size,
    )


def warnings_of(job: Job, writer: Writer, copies: int = 1) -> list[str]:
    """What is known beforehand to be lost, or to go wrong; `copies`: as of `disk_warning`."""
    num_frames = (estimate_num_frames(job.source) or 0) * job.options.time_scale
    lost = [*job.unread, *crowding(job)]
    refuse_loss(lost, job.options.tracks)
    return [
        *lost,
        *writer.warnings,
        *disk_warning(job.options.target, writer.plan, num_frames, copies),
    ]


def pauses_to_fill(job: Job) -> tuple[str, ...]:
    """What to say of long stretches without a new picture, where a constant rate fills them with the one before."""
    rate = output_rate(job.source, job.options)
    if rate is None or not (pauses := find_pauses(job.source, _LONG_PAUSE)):
        return ()
    start, length = max(pauses, key=lambda pause: pause[1])
    number = "a pause" if len(pauses) == 1 else f"{len(pauses)} pauses"
    total = sum(round(length * rate) - 1 for _, length in pauses)
    return (
        f"{number} of up to {float(length):.0f} s without a new picture (the longest {float(start):.2f} s after the "
        f"first): {total:,} frames repeat the one before; --vfr keep holds it instead",
    )


def crowding(job: Job) -> list[str]:
    """What the output's clock has no room for, a sentence each: by the frame rate, and by the first frames' times.

    Raises:
        UsageError: not even for the source's own frames.
    """
    tick, ticks = job.tick, job.ticks_a_tick
    if tick is None:
        return []
    rate, name = job.timed.frame_rate, shown(job.options.target)
    early = [pts - job.source.shift for pts in early_times(job.source)] if ticks else []
    if len(early) > _FEW:  # times tell more than what a header calls the rate
        rate = (len(early) - 1) / ((early[-1] - early[0]) * job.source.time_base)
    least = rate * tick * (1 if ticks else job.ticks) if rate else 0
    clock = f"{name} has a clock of {float(tick * 1000):g} ms"
    if least > 1:
        raise UsageError(
            f"{clock}, too coarse for {float(least / tick):g} frames a second; write a .mp4 or .mov"
        )
    if ticks is None:
        return []
    scale = job.options.time_scale
    num_new = num_left = 0
    for one, other in pairwise(early):
        num_new += scale - 1
        num_left += scale - len(own_ticks(slots(one, other, scale), other * scale, ticks))
    if not num_left:
        return []
    return [
        f"{clock}: of the first {plural(num_new, 'new frame')} {num_left} would share a tick with another "
        "and are left out; a .mp4 or .mov has room for all"
    ]


@dataclass(frozen=True)
class Loaded:
    """The network of a run.

    Attributes:
        system: f_S and f_T on the device, or CDCA.
        stream: whose frames are written.
        choice: how that was chosen, where it was left to stsr.
        weights: name and file of each weights file that was read.
        exact: the system in fp32, where it computes in half precision.
        on_note: told what becomes different on the way.
    """

    system: System
    stream: StreamChoice
    choice: Choice | None
    weights: tuple[tuple[str, Path], ...]
    exact: Exact | None
    on_note: Callable[[str], None]

    def network(self, options: UpscaleOptions, *, has_alpha: bool) -> Network:
        """What frames go through."""
        kind = AlphaNetwork if has_alpha else Network
        is_compared = bool(options.disagreement)
        return kind(
            self.system, self.stream, is_compared, options.on_doubt, self.exact, self.on_note
        )


def load(
    job: Job,
    on_pair: Callable[[int, int], None] = lambda done, total: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> Loaded:
    """Load the weights, see that they fit into memory, and choose the stream where that is left to stsr.

    Raises:
        WeightsError: they are missing, damaged or not for these modules.
    """
    options = job.options
    weights: list[tuple[str, Path]] = []
    system = load_system(
        options.model,
        job.scale,
        options.time_scale,
        lambda name, path: weights.append((name, path)),
    )

    def place(system: System, dtype: torch.dtype) -> System:
        size, device = (job.source.height, job.source.width), job.device
        placed = to_device(system, device, dtype)
        return within_memory(placed, job.network_options, size, device, job.batch_size, on_note)

    exact = None
    if job.dtype != torch.float32:
        kept = copy.deepcopy(system)  # halving rounds the weights
        exact = Exact(lambda: place(kept, torch.float32), on_note)
    model = place(system, job.dtype)
    choice = _choose(job, model, on_pair)
    stream = choice.stream if choice else options.model.stream
    runs: StreamChoice = "both" if options.disagreement or options.on_doubt else stream
    for note in foreseen(model, runs, (job.source.height, job.source.width)):
        on_note(note)
    return Loaded(model, stream, choice, tuple(weights), exact, on_note)


def run_start(job: Job, loaded: Loaded, plan: EncoderPlan) -> RunStart:
    """What there is to say of a run that begins."""
    names = dict.fromkeys(name for name, _ in loaded.weights)
    size = (plan.width, plan.height)
    return RunStart(job.source, str(job.device), loaded.choice, size, tuple(names))


def _choose(job: Job, model: System, on_pair: Callable[[int, int], None]) -> Choice | None:
    """Which stream to use, where that is left to stsr and makes a difference."""
    options = job.options
    if options.model.stream != "auto" or not isinstance(model, TwoStream):
        return None
    if options.time_scale == 1 and not options.dedup:
        return Choice("t2s", why="there are no new frames at --time-scale 1")
    if options.scale == 1:
        return Choice("t2s", why="both streams are the same at --scale 1")
    return choose_stream(model, job.source, job.device, job.dtype, on_pair)
