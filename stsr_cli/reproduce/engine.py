"""From options to results: read the footage, do the cells, judge, and write NAME.json, NAME.md and NAME.png."""

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from stsr_cli import __version__
from stsr_cli.data import Clip, load_clips, split
from stsr_cli.device import machine_name, resolve_device
from stsr_cli.errors import StsrError, UsageError
from stsr_cli.extras import install_command
from stsr_cli.files import parse_json, write_atomically
from stsr_cli.options import ReproduceOptions
from stsr_cli.registry import unknown_name
from stsr_cli.report.ablation import draw_ablation, write_ablation
from stsr_cli.reproduce.cell import FACTOR, Study
from stsr_cli.reproduce.figures import FIGURES
from stsr_cli.reproduce.plan import Cell, Figure, in_order
from stsr_cli.reproduce.pool import OnCell, do_all
from stsr_cli.reproduce.samples import Draw, digest, tests
from stsr_cli.reproduce.scales import SCALES, Scale
from stsr_cli.reproduce.verdicts import judge, mean_and_error

_IDENTITY = "identity.json"
# What of a scale decides how a cell is done; the rest decides which cells there are.
_OF_A_CELL = (
    *("spatial", "temporal", "spatial_config", "temporal_config", "cdca_config"),
    *("recipes", "batch_sizes", "lr_size"),
)
_STREAMS = ("mean", "t2s", "s2t")


def plan(
    options: ReproduceOptions, scales: Mapping[str, Callable[[], Scale]] | None = None
) -> tuple[Scale, list[Figure], list[Cell]]:
    """The constants, the figures and every cell that they need, in order.

    Raises:
        UsageError: an unknown figure or scale.
    """
    scales = scales or SCALES
    if options.scale not in scales:
        raise UsageError(unknown_name("scale", options.scale, tuple(scales)))
    for name in options.figures:
        if name not in FIGURES:
            raise UsageError(unknown_name("figure", name, tuple(FIGURES)))
    scale = scales[options.scale]()
    figures = [FIGURES[name](scale) for name in dict.fromkeys(options.figures)]
    return scale, figures, in_order(figures, options.seeds)


def reproduce(
    options: ReproduceOptions,
    command: str,
    *,
    scales: Mapping[str, Callable[[], Scale]] | None = None,
    on_source: Callable[[int, int], None] = lambda done, total: None,
    on_note: Callable[[str], None] = lambda line: None,
    on_plan: Callable[[int, int], None] = lambda done, total: None,
    on_cell: OnCell = lambda cell, result: None,
) -> list[dict[str, Any]]:
    """Run what is left of the experiments and write their results.

    Args:
        options: what to do.
        command: how it was called, for the results.
        scales: other constants than those of `scales.py`, by name.
        on_source: told how many sources of footage are read, of how many.
        on_note: told, in one line, what is wrong with a file of the footage.
        on_plan: told how many cells are done already, of how many.
        on_cell: told of every cell that has been done.

    Returns:
        What each NAME.json holds.

    Raises:
        UsageError: no footage, too little of it, or OUT holds results of other settings.
        InputError: see `load_clips`.
        InterruptedRun: see `do_all`.
        StsrError: a cell failed, or matplotlib is missing.
    """
    scale, figures, cells = plan(options, scales)
    study = _prepare(options, scale, cells, on_source, on_note)
    on_plan(sum(study.is_done(cell) for cell in cells), len(cells))
    is_gpu = resolve_device(options.device).type != "cpu"
    num_processes = options.jobs or (1 if is_gpu else os.cpu_count() or 1)
    do_all(cells, study, num_processes, on_cell)
    about = {
        "command": command,
        "date": time.strftime("%Y-%m-%d"),
        "version": __version__,
        "machine": f"{machine_name(resolve_device(options.device))}, {os.cpu_count()} cores",
        "software": f"Python {platform.python_version()}, torch {torch.__version__}",
        "seeds": options.seeds,
        "scale": scale.name,
        "data": _identity(study)["data"],
        "settings": _identity(study)["scale"],
    }
    results = []
    for figure in figures:
        result = _result(figure, study, options.seeds, about)
        _write(options.out, result)
        results.append(result)
    return results


def _prepare(
    options: ReproduceOptions,
    scale: Scale,
    cells: Sequence[Cell],
    on_source: Callable[[int, int], None],
    on_note: Callable[[str], None],
) -> Study:
    if not options.labeled:
        needed = max(cell.num_labeled + cell.num_unlabeled for cell in cells)
        what = {"paper": "Vimeo-90K's vimeo_triplet folder"}.get(options.scale, "videos")
        raise UsageError(
            f"the experiments draw {needed} samples at random from footage: give --labeled, such as {what}"
        )

    def load(paths: Sequence[Path]) -> list[Clip]:
        return load_clips(
            paths,
            scale=FACTOR,
            is_labeled=True,
            cache=options.cache,
            cache_gib=options.cache_gib,
            cache_share=0.5 if options.test else 1.0,
            on_source=on_source,
            on_broken=on_note,
        )

    if options.test:
        clips, held_out = load(options.labeled), load(options.test)
    else:
        clips, held_out = split(load(options.labeled))
    study = Study(
        scale,
        options.out / "cells",
        options.labeled,
        clips,
        tests(held_out, scale.num_tests, FACTOR, scale.lr_size),
        options.device,
    )
    needed = max(cell.num_labeled + cell.num_unlabeled for cell in cells)
    Draw(clips, 0, FACTOR, scale.lr_size).samples(needed, needed)  # refuses now what a cell would
    _claim_folder(study)
    return study


def _identity(study: Study) -> dict[str, dict[str, Any]]:
    """What must be the same for finished cells to count: not which cells there are, but how each is done."""
    scale = json.loads(json.dumps(asdict(study.scale)))
    return {
        "scale": {name: scale[name] for name in _OF_A_CELL},
        "data": {
            "triplets": sum(len(clip.starts) for clip in study.clips),
            "clips": digest(study.clips),
            "tests": digest(study.tests),
            "num_tests": len(study.tests),
        },
    }


def _claim_folder(study: Study) -> None:
    """Make the folder of the cells, or check that it is this study's."""
    path, identity = study.folder / _IDENTITY, _identity(study)
    try:
        study.folder.mkdir(parents=True, exist_ok=True)
        known = parse_json(path.read_text(encoding="utf-8")) if path.exists() else None
        if known is not None and not isinstance(known, dict):
            raise ValueError(f"{path.name} is damaged")
    except (OSError, ValueError) as error:
        raise StsrError(f"cannot use {study.folder}: {error}; choose another --out") from error
    if known is None:
        write_atomically(study.folder / ".gitignore", b"*\n")
        write_atomically(path, json.dumps(identity, indent=1).encode())
        return
    different = [
        name
        for part, values in identity.items()
        for name, value in values.items()
        if known.get(part, {}).get(name) != value
    ]
    if different:
        raise UsageError(
            f"{study.folder} holds cells of other settings ({', '.join(different)}); choose another --out, or remove it"
        )


def _result(
    figure: Figure, study: Study, num_seeds: int, about: Mapping[str, Any]
) -> dict[str, Any]:
    """What NAME.json holds."""
    rows, psnrs = [], {}
    cells: dict[Cell, float] = {}
    for method, x, cell in figure.points():
        found = []
        for seed in range(num_seeds):
            one = cell.of_seed(seed)
            result = study.result(one)
            assert result is not None
            found.append(result)
            for part in (*one.needs, one):
                cells[part] = float((study.result(part) or {}).get("seconds", 0))
        row: dict[str, Any] = {"method": method, "x": x, "cell": cell.name.rpartition("-")[0]}
        row |= {
            "num_labeled": cell.num_labeled,
            "num_unlabeled": cell.num_unlabeled,
            "consistency_weight": cell.consistency_weight,
        }
        for stream in _STREAMS:
            if stream in found[0]:
                row[stream] = _summary([one[stream] for one in found])
        if "apart" in found[0]:
            row["apart"] = _summary([one["apart"] for one in found])
        rows.append(row)
        psnrs[method, x] = row["mean"]["psnr_rgb"]["seeds"]
    return {
        "name": figure.name,
        "title": figure.title,
        **about,
        "cell_minutes": round(sum(cells.values()) / 60, 1),
        "x_label": figure.x_label,
        "x_scale": figure.x_scale,
        "rows": rows,
        "claims": [judge(claim, psnrs) for claim in figure.claims],
        "paper": {
            "states": figure.paper,
            "values": {
                method: {name: list(values) for name, values in sets.items()}
                for method, sets in figure.paper_values.items()
            },
        },
        "differences": [*study.scale.differences, *figure.differences],
    }


def _summary(found: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Every measure over the seeds."""
    summary = {}
    for name in found[0]:
        values = [one[name] for one in found]
        mean, error = mean_and_error(values)
        summary[name] = {"mean": mean, "standard_error": error, "seeds": values}
    return summary


def _write(folder: Path, result: Mapping[str, Any]) -> None:
    """The three files of a result; the picture last, which needs the most."""
    name = result["name"]
    write_atomically(folder / f"{name}.json", (json.dumps(result, indent=1) + "\n").encode())
    write_atomically(folder / f"{name}.md", write_ablation(result).encode())
    try:
        picture = draw_ablation(result)
    except ImportError as error:
        raise StsrError(
            f"{name}.json and {name}.md are written, and the picture needs more packages ({error}): "
            f"{install_command('train')}"
        ) from error
    write_atomically(folder / f"{name}.png", picture)
