"""The model card of a run: what came out, how to use it, what it was trained on and how, and how good it is."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stsr_cli.card import card_text
from stsr_cli.checkpoint import Weights
from stsr_cli.labels import label
from stsr_cli.training.status import TrainStatus

_FOOTAGE = {
    "labeled": "labeled: original in high resolution, reduced to make the input",
    "unlabeled": "unlabeled: low resolution, as it is",
    "clips": "adapted to: as it is, and reduced once more",
    "held_out": "not trained on: the best weights were chosen by it",
}
# What is said elsewhere in the card, and what leaves no trace in the weights.
_NOT_OF_THE_RECIPE = {
    *_FOOTAGE,
    *("out", "spatial", "temporal", "spatial_config", "temporal_config", "cdca_config"),
    *("resume", "overwrite", "offline", "steps", "minutes", "device", "threads", "workers"),
    *("validate_minutes", "validate_steps", "save_minutes", "cache", "cache_gib"),
}
_STAGES = {
    "spatial": "f_S was trained alone, to upscale frames",
    "temporal": "f_T was trained alone, to interpolate frames",
    "joint": "both streams, T->S and S->T, were trained together",
    "cdca": "CDCA was trained, as a baseline",
}


def run_card(options: Mapping[str, Any], weights: Weights, status: TrainStatus) -> str:
    """The card of a run's best weights, as Markdown.

    Args:
        options: of the run, flat: "out", its folder; "stage"; "labeled", "unlabeled", "clips" and "held_out", the
            footage; what else there is belongs to the recipe.
        weights: what the run has saved.
        status: the validation that found them the best.
    """
    folder = Path(options["out"])
    stage = _STAGES.get(options["stage"], options["stage"])
    length = f"{status.step:,} steps, {status.elapsed_minutes:.1f} minutes"
    about = f"In this run {stage}; the weights are those after {length}, the best on the held-out split so far."
    sections = {
        "Trained on": _footage(options),
        "Recipe": _recipe(options),
        "Results": _results(status),
        "Licence": _licence(weights.training.get("start", ())),
    }
    return card_text(folder.name, _shown(folder / "weights.safetensors"), weights, sections, about)


def _licence(start: Sequence[Mapping[str, Any]]) -> str:
    """What the weights may be used for, by what they were trained from and on."""
    named = ", ".join(f"`{one['name']}` ({one['licence'] or 'terms unknown'})" for one in start)
    strictest = ", the strictest of them" if len(start) > 1 else ""
    terms = (
        f"Trained from {named}; those terms{strictest} hold for these weights, too. "
        if named
        else ""
    )
    also = "also " if named else ""
    return (
        f"{terms}The licence of the footage above {also}decides what these weights may be used for; "
        "stsr's own is that of the code alone. State one before you give the weights away (`stsr weights push "
        "--licence`)."
    )


def _footage(options: Mapping[str, Any]) -> str:
    rows = [
        f"| `{_shown(Path(path))}` | {role} |"
        for kind, role in _FOOTAGE.items()
        for path in options.get(kind, ())
    ]
    return "\n".join(["| footage | use |", "|---|---|", *rows]) if rows else ""


def _recipe(options: Mapping[str, Any]) -> str:
    rows = [
        f"| {name.replace('_', ' ')} | {_plain(value)} |"
        for name, value in options.items()
        if name not in _NOT_OF_THE_RECIPE and value not in (None, (), [], {})
    ]
    table = "\n".join(["| option | value |", "|---|---|", *rows])
    return f"{table}\n\n`config.toml` beside this card holds every option of the run, `log.jsonl` every validation."


def _results(status: TrainStatus) -> str:
    rows = [
        f"| {label(name)} | {status.baseline[name]:.2f} | {value:.2f} | {value - status.baseline[name]:+.2f} |"
        for name, value in status.psnr.items()
    ]
    if not rows:
        return "The footage left nothing to hold out, so nothing was measured."
    head = ["| | bicubic + blend | these weights | gain |", "|---|---|---|---|"]
    return "\n".join(
        [
            "RGB PSNR in dB on central crops of the held-out split, never trained on.",
            "",
            *head,
            *rows,
        ]
    )


def _plain(value: Any) -> str:
    if isinstance(value, str | int | float):
        return str(value)
    return f"`{json.dumps(value, default=str)}`"


def _shown(path: Path) -> str:
    """A path from the present folder where it lies in there: names of the folders above are nobody's business."""
    folder = Path.cwd()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
