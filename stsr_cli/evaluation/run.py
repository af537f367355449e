"""Measure every system on every frame that a protocol scores, data set after data set."""

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from stsr_cli.data import Pixels
from stsr_cli.device import resolve_device
from stsr_cli.errors import InputError, StsrError
from stsr_cli.evaluation.external import External, ExternalError, OutputFrames
from stsr_cli.evaluation.rows import EvalReport, Key, Measured, Row, failed_row, rows_of
from stsr_cli.evaluation.samples import SCALE, Sample, read_given, read_samples
from stsr_cli.evaluation.systems import NO_STREAM, Network, find_systems
from stsr_cli.metrics import DEFAULT_MEASURES, available_measures, measure, sharpness_ratio
from stsr_cli.options import EvalOptions, ModelOptions, Protocol
from stsr_cli.testsets import Clip, Dataset, Still, find_dataset
from stsr_cli.video.lossless import write_lossless

_PROTOCOL_MEASURES: dict[Protocol, tuple[str, ...]] = {
    "paper": DEFAULT_MEASURES,
    "stvsr": ("psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb"),
}


@dataclass(frozen=True, eq=False)
class Prediction:
    """What one system made of a frame through one of its streams.

    Attributes:
        pixels: (4h, 4w, 3) uint8.
        measures: by their names.
        sharpness_ratio: of a new frame to the given ones beside it, see `metrics.sharpness_ratio`; None of a given one,
            and of a command line's.
    """

    pixels: Pixels
    measures: Mapping[str, float]
    sharpness_ratio: float | None = None


@dataclass(frozen=True, eq=False)
class MeasuredFrame:
    """One scored frame, all systems side by side; whoever is told of it should not keep many.

    Attributes:
        dataset: name of the data set.
        clip: name of the clip within it.
        name: of the frame: its file's, without the ending, or `frame INDEX` of a video.
        index: 0-based position in the clip.
        given: the (h, w, 3) uint8 frames the systems saw: two neighbours, or one that was only enlarged.
        truth: (4h, 4w, 3) uint8.
        predictions: by (system, stream), bicubic + blend first; a system that failed is not in it.
        disagreement: by system: the mean absolute difference of its t2s and s2t in 8-bit levels, where both ran.
    """

    dataset: str
    clip: str
    name: str
    index: int
    given: tuple[Pixels, ...]
    truth: Pixels
    predictions: Mapping[Key, Prediction]
    disagreement: Mapping[str, float]


@dataclass
class _Run:
    """What stays the same over the data sets, and what went wrong so far."""

    systems: Sequence[Network | External]
    measures: tuple[str, ...]
    protocol: Protocol
    on_sample: Callable[[], None]
    on_measured: Callable[[MeasuredFrame], None] | None
    problems: list[str] = field(default_factory=list)


def evaluate(
    datasets: Sequence[str | Path],
    model: ModelOptions | None = None,
    options: EvalOptions | None = None,
    *,
    on_frame: Callable[[int, int], None] = lambda done, total: None,
    on_measured: Callable[[MeasuredFrame], None] | None = None,
) -> EvalReport:
    """Measure systems on data sets by one of the two protocols (see the package), bicubic + blend first.

    What goes wrong with one data set, one clip or one command line is told in the report and ends nothing else: a clip
    that cannot be read whole is left out for all systems, a command that fails has no figures on that data set.

    Args:
        datasets: see `testsets.find_dataset`.
        model: the pair; its `system`, `stream` and `precision` are not used. None: the default one.
        options: what to measure, and how. None: the defaults.
        on_frame: told how many frames are done, of about how many.
        on_measured: told every scored frame, with the pixels. It may be told of frames of a clip that is then left out.

    Raises:
        UsageError, WeightsError, DeviceError: see `find_systems`; also an unknown measure, or none that is there.
        InputError: nothing at all could be measured.
    """
    model, options = model or ModelOptions(), options or EvalOptions()
    measures, missing = available_measures(options.measures or _PROTOCOL_MEASURES[options.protocol])
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    systems = find_systems(model, options, resolve_device(model.device))
    problems = [f"{reason}; the other measures are kept" for reason in missing]
    found: list[Dataset] = []
    for given in datasets:
        try:
            dataset = find_dataset(given, options.limit)
            if dataset.name in {one.name for one in found}:  # two folders of the same name
                dataset = replace(dataset, name=str(given))
            found.append(dataset)
        except InputError as error:
            problems.append(str(error))
    total = sum(dataset.num_samples for dataset in found)
    num_done = 0

    def on_sample() -> None:
        nonlocal num_done
        num_done += 1
        on_frame(num_done, max(num_done, total))

    run = _Run(systems, measures, options.protocol, on_sample, on_measured, problems)
    rows = [row for dataset in found for row in _measure_dataset(run, dataset)]
    if not any(row["num_frames"] for row in rows):
        raise InputError(
            problems[len(missing)]
            if len(problems) > len(missing)
            else f"{datasets[0]} ends before its first chosen frame; leave --limit out"
        )
    return EvalReport(rows, problems)


def _measure_dataset(run: _Run, dataset: Dataset) -> list[Row]:
    run.problems += dataset.problems
    is_still = isinstance(dataset.clips[0], Still)
    # A command makes a video of a video; a still image has nothing to interpolate.
    systems = [one for one in run.systems if not (is_still and isinstance(one, External))]
    errors: dict[str, str] = {}
    measured: Measured = {}
    for clip in dataset.clips:
        left = [one for one in systems if one.name not in errors]
        try:
            its_measures = _measure_clip(run, dataset, clip, left, errors)
        except InputError as error:
            run.problems.append(f"{error}; clip {clip.name} of {dataset.name} is left out")
            continue
        for key, values in its_measures.items():
            measured.setdefault(key, {})[clip.name] = values
    rows = rows_of(dataset, measured, errors, run.measures, run.protocol)
    for name, reason in errors.items():
        run.problems.append(f"{dataset.name}: {reason}")
        rows.append(failed_row(dataset, name, reason, run.measures))
    return rows


def _measure_clip(
    run: _Run,
    dataset: Dataset,
    clip: Clip | Still,
    systems: Sequence[Network | External],
    errors: dict[str, str],
) -> dict[Key, list[dict[str, float]]]:
    """The measures of each scored frame by system and stream; adds to `errors` what a command did wrong."""
    found: dict[Key, list[dict[str, float]]] = {}
    with _outputs(clip, systems, errors) as outputs:
        for sample in read_samples(clip, run.protocol == "stvsr"):
            predicted: dict[Key, Pixels] = {}
            ratios: dict[Key, float] = {}
            for system in systems:
                if isinstance(system, Network):
                    made = system.predict(sample.given)
                    if len(sample.given) > 1:
                        beside = system.enlarged(sample.given)
                        for stream, pixels in made.items():
                            ratios[system.name, stream] = sharpness_ratio(pixels, beside)
                    if isinstance(clip, Still):
                        made = {NO_STREAM: made[system.streams[0]]}
                    predicted |= {(system.name, stream): pixels for stream, pixels in made.items()}
                elif system.name in outputs:
                    try:
                        predicted[system.name, NO_STREAM] = outputs[system.name].at(sample.index)
                    except ExternalError as error:
                        errors[system.name] = str(error)
                        del outputs[system.name]
            frame = _measured(run, dataset, clip, sample, predicted, ratios)
            for key, prediction in frame.predictions.items():
                values = {**prediction.measures}
                if prediction.sharpness_ratio is not None:
                    values["sharpness_ratio"] = prediction.sharpness_ratio
                found.setdefault(key, []).append(values)
            if run.on_measured is not None:
                run.on_measured(frame)
            run.on_sample()
        for name, output in outputs.items():
            try:
                output.finish()
            except ExternalError as error:
                errors[name] = str(error)
    return found


def _measured(
    run: _Run,
    dataset: Dataset,
    clip: Clip | Still,
    sample: Sample,
    predicted: Mapping[Key, Pixels],
    ratios: Mapping[Key, float],
) -> MeasuredFrame:
    known: dict[int, dict[str, float]] = {}  # a given frame is the same picture in every stream
    predictions: dict[Key, Prediction] = {}
    for key, pixels in predicted.items():
        if id(pixels) not in known:
            known[id(pixels)] = {name: _measure(run, name, pixels, sample) for name in run.measures}
        predictions[key] = Prediction(pixels, known[id(pixels)], ratios.get(key))
    disagreement = {
        name: float(np.abs(pixels.astype(np.int16) - predicted[name, "s2t"]).mean())
        for (name, stream), pixels in predicted.items()
        if stream == "t2s" and (name, "s2t") in predicted
    }
    return MeasuredFrame(
        dataset=dataset.name,
        clip=clip.name,
        name=sample.name,
        index=sample.index,
        given=sample.given,
        truth=sample.target,
        predictions=predictions,
        disagreement=disagreement,
    )


def _measure(run: _Run, name: str, pixels: Pixels, sample: Sample) -> float:
    """One measure of one frame; what cannot be measured is no number, and told once."""
    try:
        return measure(pixels, sample.target, sample.crop_border, (name,))[name]
    except StsrError as error:
        if str(error) not in run.problems:
            run.problems.append(str(error))
        return math.nan


@contextmanager
def _outputs(
    clip: Clip | Still, systems: Sequence[Network | External], errors: dict[str, str]
) -> Iterator[dict[str, OutputFrames]]:
    """Let every command make its video of the clip; all of it is gone when the block is left."""
    externals = [system for system in systems if isinstance(system, External)]
    outputs: dict[str, OutputFrames] = {}
    if isinstance(clip, Still) or not externals:
        yield outputs
        return
    with tempfile.TemporaryDirectory(prefix="stsr-eval-") as folder:
        source = Path(folder) / "given.mkv"
        size = [0, 0]

        def given() -> Iterator[Pixels]:
            for lr_frame in read_given(clip):
                size[:] = lr_frame.shape[:2]
                yield lr_frame

        num_given = write_lossless(source, given())
        hr_size = (SCALE * size[0], SCALE * size[1])
        for index, external in enumerate(externals):
            target = Path(folder) / f"made-{index}.mkv"
            try:
                external.run(source, target)
            except ExternalError as error:
                errors[external.name] = str(error)
                continue
            outputs[external.name] = OutputFrames(external, target, num_given, hr_size)
        yield outputs
