"""From the measures of single frames to the figures of a data set, for tables, JSON and CSV."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stsr_cli.metrics import first_psnr
from stsr_cli.options import Protocol
from stsr_cli.testsets import Dataset

Key = tuple[str, str]  # (system, stream)
Measured = dict[Key, dict[str, list[dict[str, float]]]]  # the measures of each frame, clip by clip
Row = dict[str, Any]


@dataclass(frozen=True)
class EvalReport:
    """What a run found.

    Attributes:
        rows: one for every data set, system and stream, bicubic + blend first (its streams are equal; it runs as t2s):
            dataset, layout, system, stream ("-" of CDCA, command lines and stills), num_frames, the measures,
            `gain_NAME` of the PSNR that comes first over bicubic + blend in dB, `sharpness_ratio` of new frames to
            given ones (None where a system made no new frame here), `clips`, the same by clip, and `error`: None, or
            why a command line has no figures (they are None then).
        problems: a line for everything that was left out or failed; empty when all went well.
    """

    rows: list[Row]
    problems: list[str]


def rows_of(
    dataset: Dataset,
    measured: Measured,
    errors: Mapping[str, str],
    measures: Sequence[str],
    protocol: Protocol,
) -> list[Row]:
    """Average what was measured on one data set: over all frames, or of stvsr over the means of the clips."""
    rows: list[Row] = []
    gain_of = first_psnr(measures)
    for (system, stream), by_clip in measured.items():
        if system in errors:
            continue
        clips = [
            {"clip": clip, "num_frames": len(values)}
            | _mean(values, measures)
            | {"sharpness_ratio": _sharpness(values)}
            for clip, values in by_clip.items()
        ]
        frames = [value for values in by_clip.values() for value in values]
        mean = _mean(clips if protocol == "stvsr" else frames, measures)
        row = _head(dataset, system, stream) | {"num_frames": len(frames)} | mean
        row["sharpness_ratio"] = _sharpness(frames)
        if gain_of is not None:
            first = rows[0][gain_of] if rows else mean[gain_of]
            row[f"gain_{gain_of}"] = mean[gain_of] - first if mean[gain_of] != first else 0.0
        rows.append(row | {"clips": clips, "error": None})
    return rows


def failed_row(dataset: Dataset, system: str, error: str, measures: Sequence[str]) -> Row:
    """Return the row of a system that has no figures on a data set."""
    row = _head(dataset, system, "-") | {"num_frames": 0} | dict.fromkeys(measures)
    row["sharpness_ratio"] = None
    gain_of = first_psnr(measures)
    gain = {} if gain_of is None else {f"gain_{gain_of}": None}
    return row | gain | {"clips": [], "error": error}


def better_stream(rows: Sequence[Row]) -> list[tuple[Row, Row, float]]:
    """Compare t2s with s2t, for each data set and system that has both.

    Returns:
        (the better row, the other one, by how many dB in the first PSNR of the run), in the order of `rows`.
    """
    found = []
    by_key = {(row["dataset"], row["system"], row["stream"]): row for row in rows}
    for (dataset, system, stream), row in by_key.items():
        other = by_key.get((dataset, system, "s2t"))
        gain = next((name for name in row if name.startswith("gain_psnr")), None)
        if stream != "t2s" or other is None or gain is None:
            continue
        name = gain.removeprefix("gain_")
        better, worse = sorted((row, other), key=lambda one: -one[name])
        found.append(
            (better, worse, better[name] - worse[name] if better[name] != worse[name] else 0.0)
        )
    return found


def to_csv(rows: Sequence[Row]) -> bytes:
    """Return the rows as CSV: a line for every clip, then one for the whole data set, whose `clip` is empty."""
    names = [name for name in rows[0] if name not in ("clips", "error")]
    columns = [*names[:4], "clip", *names[4:], "error"]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        for line in [*({**_labels(row), **clip} for clip in row["clips"]), row]:
            writer.writerow({name: _cell(value) for name, value in line.items()})
    return text.getvalue().encode()


def to_json(value: Any) -> Any:
    """Return the same with null where JSON has no number: a perfect prediction has infinite PSNR."""
    if isinstance(value, dict):
        return {key: to_json(part) for key, part in value.items()}
    if isinstance(value, list):
        return [to_json(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _head(dataset: Dataset, system: str, stream: str) -> Row:
    return {
        "dataset": dataset.name,
        "layout": dataset.layout,
        "system": system,
        "stream": stream,
    }


def _labels(row: Row) -> Row:
    return {name: row[name] for name in ("dataset", "layout", "system", "stream")}


def _cell(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def _mean(values: Sequence[Mapping[str, Any]], measures: Sequence[str]) -> dict[str, float]:
    return {name: float(np.mean([value[name] for value in values])) for name in measures}


def _sharpness(values: Sequence[Mapping[str, float]]) -> float | None:
    ratios = [value["sharpness_ratio"] for value in values if "sharpness_ratio" in value]
    return float(np.mean(ratios)) if ratios else None
