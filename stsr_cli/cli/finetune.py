"""`stsr finetune`."""

from pathlib import Path
from typing import Any

import click

from stsr_cli.cli.fields import is_default
from stsr_cli.cli.loading import loading
from stsr_cli.cli.run_options import PATH, preset_option, run, run_options, split_recipe
from stsr_cli.options import DEFAULT_SPATIAL, DEFAULT_TEMPORAL, TrainOptions
from stsr_cli.presets import recipe

_VALIDATE_STEPS = 25


@click.command()
@click.argument("clips", metavar="[CLIP]...", nargs=-1, type=PATH)
@click.option(
    "--weights",
    "init",
    multiple=True,
    help="Weights to start from: name or path (repeatable) [default: the pair's].",
)
@click.option("--spatial", help="Name of f_S [default: what the weights hold].")
@click.option("--temporal", help="Name of f_T [default: what the weights hold].")
@click.option(
    "--labeled",
    type=PATH,
    multiple=True,
    help="High-resolution footage to learn from beside the clips (repeatable).",
)
@click.option(
    "--unlabeled",
    type=PATH,
    multiple=True,
    help="Low-resolution footage for L_C beside the clips (repeatable).",
)
@preset_option("finetune")
@run_options
def command(
    clips: tuple[Path, ...],
    init: tuple[str, ...],
    spatial: str | None,
    temporal: str | None,
    preset: str,
    out: Path | None,
    dry_run: bool,
    **values: Any,
) -> None:
    """Go on training published or own weights: on CLIPs without originals, or on labeled footage.

    A CLIP is your own footage: both streams must agree on it as it is (L_C) and restore it from what is left of it at a
    quarter of its size with every other frame dropped (L_R). Its last part is held out; training ends when that
    gains no more, and weights that do worse there than the ones it started from are not saved. Validates every 25 steps
    unless --validate-steps or --validate-minutes is given.
    """
    changes, values = split_recipe(values)
    if values["validate_steps"] is None and is_default("validate_minutes"):
        values["validate_steps"] = _VALIDATE_STEPS
    if not clips and not values["labeled"]:
        raise click.UsageError("nothing to learn from: give CLIPs, or --labeled")
    with loading():
        from stsr_cli.training.setup import names_in

    held = names_in(init, values["offline"])
    name = clips[0].stem if clips else "labeled"
    options = TrainOptions(
        out=out or Path("runs", f"finetune-{name}"),
        stage="joint",
        recipe=recipe(preset, "joint", changes),
        clips=clips,
        spatial=spatial or held.get("spatial", DEFAULT_SPATIAL),
        temporal=temporal or held.get("temporal", DEFAULT_TEMPORAL),
        init=init,
        pretrained=True,
        **values,
    )
    run([options], dry_run)
