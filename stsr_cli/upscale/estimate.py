"""What a run will take, from trials: a few frames at a few places of the video, run and encoded as the whole would be.

Time: trials of two lengths, so that what each costs once is no part of what a frame costs. Size: packets of the
encoder, keyframes and others apart. Memory: the peak of this process, and the frames that the encoder will hold back.
docs/results/estimates.md has what was predicted beside what came.
"""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from stsr_cli.device import peak_memory, resolve_device, start_memory
from stsr_cli.options import NO_TRACKS, OnDoubt, UpscaleOptions
from stsr_cli.upscale.engine import upscale
from stsr_cli.video.probe import SourceInfo, estimate_num_frames, probe
from stsr_cli.video.sizes import FrameSizes, frame_sizes, track_bytes
from stsr_cli.video.target import image_pattern
from stsr_cli.video.timing.excerpt import excerpt
from stsr_cli.video.timing.retime import with_time_scale
from stsr_cli.video.tracks.plan import Track

_PLACES = (Fraction(1, 2), Fraction(1, 6), Fraction(5, 6))
_SHORT, _LONG = (
    2,
    8,
)  # source frames of a trial: a pair, and enough for the encoder to show what it does
_BUDGET_SECONDS = 8.0  # that trials may take, but for the first
_KEYFRAME_INTERVAL = 250  # frames: of x264 and x265
_HELD_FRAMES = 60  # by an encoder that looks ahead, in the output's pixel format
_BYTES_A_PIXEL = 4  # of such a frame, and what the encoder notes about it
TIME_SPREAD = 1.5  # factors within which the truth should be: docs/results/estimates.md
SIZE_SPREAD = 2.0


@dataclass(frozen=True)
class Estimate:
    """What a run will take. Anything is None where the file does not say how many frames it has.

    Attributes:
        num_frames: of the output.
        seconds: of wall time, without the choice of a stream.
        video_bytes: of the output's video.
        track_bytes: of what goes along.
        memory_bytes: most memory of the process at a time.
        gpu_bytes: most memory of tensors on a GPU at a time, or None: it runs on none.
        num_tried: source frames that were run for that.
        free_bytes: free where the output will lie, or None: there is no such folder yet.
        warnings: what of the pictures is lost or changed, a sentence each.
    """

    num_frames: int | None
    seconds: float | None
    video_bytes: int | None
    track_bytes: int | None
    memory_bytes: int
    gpu_bytes: int | None
    num_tried: int
    free_bytes: int | None
    warnings: tuple[str, ...]

    @property
    def output_bytes(self) -> int | None:
        """Size of the whole file."""
        if self.video_bytes is None or self.track_bytes is None:
            return None
        return self.video_bytes + self.track_bytes


@dataclass(frozen=True)
class _Trial:
    """One trial.

    Source frames run, output frames, pixels of one, seconds from the first frame to the file, packets of the video,
    warnings.
    """

    frames_in: int
    frames_out: int
    num_pixels: int
    seconds: float
    sizes: FrameSizes
    warnings: tuple[str, ...]


def estimate(
    options: UpscaleOptions,
    tracks: Sequence[Track],
    on_trial: Callable[[int, int], None] = lambda num_done, num_all: None,
) -> Estimate:
    """Try a run on a few frames and say what the whole will take.

    Args:
        options: the run; nothing is written beside its target.
        tracks: what becomes of each other track of the source.
        on_trial: told how many trials are done, of how many at most.

    Raises:
        StsrError: as `upscale`, on these frames.
    """
    source = excerpt(probe(options.source, options.read), options.read)
    options = with_time_scale(options, source)
    device = resolve_device(options.model.device)
    num_all = estimate_num_frames(source)
    start_memory(device)
    trials = _trials(options, source, num_all, on_trial)
    host = peak_memory(resolve_device("cpu"))
    most = max(trial.frames_out for trial in trials)
    pixels = max(trial.num_pixels for trial in trials)
    missing = min(_HELD_FRAMES, num_all or _HELD_FRAMES) - most
    rate = source.frame_rate
    seconds = num_all / rate if num_all is not None and rate else None
    num_out = None if num_all is None else num_all * options.time_scale
    if seconds is not None and options.fps is not None:
        num_out = round(seconds * options.fps)
    folder = options.target.absolute().parent
    return Estimate(
        num_frames=num_out,
        seconds=None if num_all is None else _seconds(trials, num_all),
        video_bytes=None if num_out is None else _bytes(trials, num_out),
        track_bytes=track_bytes(source, tracks, seconds),
        memory_bytes=host + max(missing, 0) * pixels * _BYTES_A_PIXEL,
        gpu_bytes=peak_memory(device) if device.type == "cuda" else None,
        num_tried=sum(trial.frames_in for trial in trials),
        free_bytes=shutil.disk_usage(folder).free if folder.is_dir() else None,
        warnings=tuple(dict.fromkeys(text for trial in trials for text in trial.warnings)),
    )


def _trials(
    options: UpscaleOptions,
    source: SourceInfo,
    num_all: int | None,
    on_trial: Callable[[int, int], None],
) -> list[_Trial]:
    """Trials at the places, a short one first; none is begun when the time is used up."""
    rate = source.frame_rate or Fraction(25)
    start = options.read.start or Fraction(0)
    length = (num_all or 0) / rate
    middle, *others = _PLACES
    wanted = [(middle, _SHORT), (middle, _LONG), (middle, _SHORT)]
    wanted += [(place, _LONG) for place in others]
    trials: list[_Trial] = []
    images = image_pattern(options.target)
    name = images.name if images else f"trial{options.target.suffix}"
    with tempfile.TemporaryDirectory(prefix="stsr-") as folder:
        for index, (place, num_frames) in enumerate(wanted):
            target = Path(folder) / str(index) / name
            target.parent.mkdir()
            begin = start + max(length * place - num_frames / rate, Fraction(0))
            part = replace(options.read, start=begin, end=begin + num_frames / rate)
            if num_all is not None and num_all <= num_frames:
                part = options.read
            tried = replace(
                options,
                target=target,
                read=part,
                tracks=replace(NO_TRACKS, strict=options.tracks.strict),
                disagreement=(),
                segment=Fraction(0),
                on_doubt=options.on_doubt
                or (OnDoubt("hold", 255.0) if options.disagreement else None),
                overwrite=False,
            )
            report = upscale(tried)
            options = replace(options, model=replace(options.model, stream=report.stream))
            sizes = frame_sizes(target)
            num_pixels = report.width * report.height
            counts = (report.frames_in, report.frames_out, num_pixels, report.seconds)
            trials.append(_Trial(*counts, sizes, report.warnings))
            on_trial(index + 1, len(wanted))
            next_frames = wanted[min(index + 1, len(wanted) - 1)][1]
            due = trials[-1].seconds / trials[-1].frames_in * next_frames
            if sum(trial.seconds for trial in trials) + due > _BUDGET_SECONDS:
                break
    return trials


def _seconds(trials: list[_Trial], num_all: int) -> float:
    """By what frames of long trials cost beyond those of a short one, or by all that frames cost where it is missing.

    The first trial pays for what is done once; it counts only where it is alone.
    """
    *_, last = trials[:2]
    short, *longer = sorted(trials[1:] or trials, key=lambda trial: trial.frames_in)
    more = [trial for trial in longer if trial.frames_in > short.frames_in]
    if not more:
        return last.seconds / last.frames_in * num_all
    slopes = [(t.seconds - short.seconds) / (t.frames_in - short.frames_in) for t in more]
    frame = max(sum(slopes) / len(slopes), 0.0)
    return max(short.seconds - frame * short.frames_in, 0.0) + frame * num_all


def _bytes(trials: list[_Trial], num_out: int) -> int:
    """By the sizes of the encoder's packets, the longest trials' before all others'."""
    longest = max(trial.frames_out for trial in trials)
    sizes = [trial.sizes for trial in trials if trial.frames_out == longest]
    keys = [size for one in sizes for size in one.keyframes]
    others = [size for one in sizes for size in one.others]
    key = sum(keys) / len(keys)
    if not others:
        return round(key * num_out)
    other = sum(others) / len(others)
    is_intra = len(keys) > len(others)
    num_keys = num_out if is_intra else -(-num_out // _KEYFRAME_INTERVAL)
    return round(num_keys * key + (num_out - num_keys) * other)
