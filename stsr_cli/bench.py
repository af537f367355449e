"""Latency, multiply-adds and memory of one new frame, beside what this machine can do at best.

The paper's case: two frames of 64x112 become one new frame of 256x448. T->S of a new frame runs f_T at low resolution
and f_S once. S->T of the first pair runs f_S twice and f_T at high resolution; that is what is measured, although a
video's later pairs reuse one f_S of the pair before. Every case runs in a process of its own, so that its peak memory
is its own. Weights do not matter for speed: embedded ones where there are any, because they carry the configuration
that ships, else freshly initialised modules.

Some pairs take a CPU seconds or minutes. What a frame takes is counted before anything runs, on tensors without memory:
multiply-adds of each module at each resolution, once (`count_macs`).
"""

import contextlib
import copy
import math
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from stsr_cli.cdca import CDCA
from stsr_cli.device import machine_name, peak_memory, resolve_device, resolve_dtype, start_memory
from stsr_cli.errors import StsrError, WeightsError
from stsr_cli.options import ModelOptions
from stsr_cli.pairs import System, load_pair, load_system, to_device
from stsr_cli.registry import build
from stsr_cli.streams import Interval, TwoStream

# The paper's Sec. 4.3, two frames of 64x112 to one of 256x448, on a GTX 1080 Ti.
PAPER_MS = 60
CDCA_MS = 18
PAPER_SIZE = (64, 112)

# A new frame that takes more, at the paper's size, keeps two CPU cores for a quarter of a second: not a quick case.
QUICK_MACS = 30e9

_NUM_WARMUPS = 3
_MIN_RUNS = 3
_WARMUP_LIMIT_SECONDS = 5.0
_TIME_LIMIT_SECONDS = 5.0
_PRODUCT_SIZE = 2048
_PRECISIONS = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}


@dataclass(frozen=True)
class Case:
    """What one process measures.

    Attributes:
        model: the system, its modules and stream, device and precision.
        height, width: of the given frames, in pixels.
        threads: CPU threads, or None for torch's choice.
        repeats: timed runs; fewer, but at least three, when they would take more than 5 s.
    """

    model: ModelOptions
    height: int
    width: int
    threads: int | None
    repeats: int


@dataclass(frozen=True)
class Result:
    """What a process found; times in seconds, memory in bytes.

    Attributes:
        case: what was measured.
        seconds: one latency a run, sorted.
        params: parameters of the system.
        macs: multiply-adds of convolutions and matrix products that were executed for one new frame.
        peak_memory_bytes: CPU: growth of the process from before the modules were built to its peak, weights and
            library buffers included; CUDA: peak of the allocated tensors, weights included.
        product_flops: best rate of a 2048^3 float32 matrix product before, between and after the runs, in FLOP/s.
        threads: CPU threads in use.
        device, precision: what "auto" became.
        machine: processor or graphics card.
    """

    case: Case
    seconds: tuple[float, ...]
    params: int
    macs: int
    peak_memory_bytes: int
    product_flops: float
    threads: int
    device: str
    precision: str
    machine: str

    @property
    def flops(self) -> float:
        """FLOP/s of the median run, two for each multiply-add."""
        return 2 * self.macs / quantile(self.seconds, 0.5)


def run(
    cases: Sequence[Case], on_case: Callable[[int, int], None] = lambda done, total: None
) -> list[Result]:
    """Measure every case, one after another, each in a fresh process.

    Args:
        cases: what to measure.
        on_case: told how many cases are done, of how many.

    Raises:
        DeviceError: the device or the precision is not there.
        UsageError: an unknown module.
        StsrError: a process died, most likely for lack of memory.
    """
    results = []
    for index, case in enumerate(cases):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            try:
                results.append(pool.submit(measure, case).result())
            except BrokenProcessPool as error:
                raise StsrError(
                    f"the process that measured {case.model.title} died; "
                    "it may have run out of memory: try a smaller --size"
                ) from error
        on_case(index + 1, len(cases))
    return results


def rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """One flat row a result, for JSON; shares are of the best matrix product of the whole run."""
    best_flops = max((result.product_flops for result in results), default=math.nan)
    return [
        {
            "system": result.case.model.name,
            **{
                name: _of_pair(result.case.model, name)
                for name in ("spatial", "temporal", "stream")
            },
            "median_ms": 1000 * quantile(result.seconds, 0.5),
            "p95_ms": 1000 * quantile(result.seconds, 0.95),
            "num_runs": len(result.seconds),
            "params": result.params,
            "gmacs": result.macs / 1e9,
            "gflops": result.flops / 1e9,
            "peak_share": result.flops / best_flops,
            "peak_memory_bytes": result.peak_memory_bytes,
            "size": f"{result.case.height}x{result.case.width}",
            "device": result.device,
            "precision": result.precision,
            "threads": result.threads,
            "machine": result.machine,
            "torch": torch.__version__,
            "product_gflops": best_flops / 1e9,
        }
        for result in results
    ]


def _of_pair(options: ModelOptions, name: str) -> str | None:
    """What CDCA has not: modules and a stream."""
    return None if options.system == "cdca" else getattr(options, name)


def count_macs(models: Sequence[ModelOptions], height: int, width: int) -> list[int]:
    """Multiply-adds of one new frame, from one count for each module and resolution; nothing is run."""

    @cache
    def spatial(name: str) -> tuple[int, int]:
        model = _build(ModelOptions(name, "blend"))
        macs = _macs(model, lambda model, frame0, _: model.upscale(frame0), height, width)
        return macs, model.scale

    @cache
    def temporal(name: str, scale: int) -> int:
        def interpolate(model: TwoStream, frame0: Tensor, frame1: Tensor) -> None:
            hr_frames = [
                frame.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
                for frame in (frame0, frame1)
            ]
            Interval(model, frame0, frame1, *hr_frames).s2t(Fraction(1, 2))

        return _macs(_build(ModelOptions("bicubic", name)), interpolate, height, width)

    def macs(options: ModelOptions) -> int:
        if options.system == "cdca":
            return _macs(_build(options), CDCA.between, height, width)
        f_s, scale = spatial(options.spatial)
        if options.stream == "t2s":
            return temporal(options.temporal, 1) + f_s
        return 2 * f_s + temporal(options.temporal, scale)

    return [macs(options) for options in models]


def _macs(model: System, function: Callable[..., Any], height: int, width: int) -> int:
    """Multiply-adds of `function(model, frame0, frame1)`, run on tensors without memory if it can be."""

    def count(model: System, device: str) -> int:
        frames = torch.rand(2, 1, 3, height, width, device=device)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            function(model, *frames)
        return counter.get_total_flops() // 2

    try:
        return count(copy.deepcopy(model).to("meta"), "meta")
    except (NotImplementedError, RuntimeError):  # its way depends on numbers
        return count(model, "cpu")


def quantile(sorted_values: Sequence[float], share: float) -> float:
    """The value below which `share` of the sorted values lie, linear between neighbours."""
    position = share * (len(sorted_values) - 1)
    below = math.floor(position)
    above = min(below + 1, len(sorted_values) - 1)
    return sorted_values[below] + (position - below) * (sorted_values[above] - sorted_values[below])


def measure(case: Case) -> Result:
    """Measure one case in this process; the figure for memory needs a fresh one (see `run`)."""
    if case.threads is not None:
        torch.set_num_threads(case.threads)
    device = resolve_device(case.model.device)
    dtype = resolve_dtype(case.model.precision, device)
    memory_before = start_memory(device)
    model = to_device(_build(case.model), device, dtype)
    shape = (2, 1, 3, case.height, case.width)
    lr_frame0, lr_frame1 = (
        frame.to(device, dtype, memory_format=torch.channels_last) for frame in torch.rand(shape)
    )

    def new_frame() -> None:
        if isinstance(model, CDCA):
            model.between(lr_frame0, lr_frame1)
        elif case.model.stream == "t2s":
            model.t2s(lr_frame0, lr_frame1)
        else:
            model(lr_frame0, lr_frame1, "s2t")

    with torch.inference_mode():
        warm_until = time.perf_counter() + _WARMUP_LIMIT_SECONDS
        for _ in range(_NUM_WARMUPS):
            _seconds(new_frame, device)
            if time.perf_counter() > warm_until:
                break
        peak_memory_bytes = peak_memory(device) - memory_before
        product_flops = [_product_flops(device)]
        seconds: list[float] = []
        for num_runs in (max(case.repeats // 2, 2), max(case.repeats, _MIN_RUNS)):
            while len(seconds) < num_runs and (
                len(seconds) < _MIN_RUNS or sum(seconds) < _TIME_LIMIT_SECONDS
            ):
                seconds.append(_seconds(new_frame, device))
            product_flops.append(_product_flops(device))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        new_frame()
    return Result(
        case=case,
        seconds=tuple(sorted(seconds)),
        params=sum(parameter.numel() for parameter in model.parameters()),
        macs=counter.get_total_flops() // 2,
        peak_memory_bytes=peak_memory_bytes,
        product_flops=max(product_flops),
        threads=torch.get_num_threads(),
        device=str(device),
        precision=_PRECISIONS[dtype],
        machine=machine_name(device),
    )


def _build(options: ModelOptions) -> System:
    """The system with its weights, or those that are here, or for each module by itself, or as it is initialised."""
    if options.weights:
        return load_system(options)
    with contextlib.suppress(WeightsError):
        return load_system(replace(options, offline=True))
    if options.system == "cdca":
        return CDCA().eval()
    f_s, f_t = build("spatial", options.spatial), build("temporal", options.temporal)
    with contextlib.suppress(WeightsError):
        f_s = load_pair(ModelOptions(options.spatial, "blend", offline=True)).spatial
    with contextlib.suppress(WeightsError):
        f_t = load_pair(ModelOptions("bicubic", options.temporal, offline=True)).temporal
    return TwoStream(f_s, f_t).eval()


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _seconds(function: Callable[[], Any], device: torch.device) -> float:
    _synchronize(device)
    start = time.perf_counter()
    function()
    _synchronize(device)
    return time.perf_counter() - start


def _product_flops(device: torch.device) -> float:
    """FLOP/s of the best of three float32 matrix products, after one that warms up."""
    matrix = torch.rand(_PRODUCT_SIZE, _PRODUCT_SIZE, device=device)
    seconds = [_seconds(lambda: matrix @ matrix, device) for _ in range(4)][1:]
    return 2 * _PRODUCT_SIZE**3 / min(seconds)
