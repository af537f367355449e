"""`stsr train`."""

from pathlib import Path
from typing import Any, get_args

import click

from stsr_cli.cli.fields import refuse_given
from stsr_cli.cli.loading import loading
from stsr_cli.cli.run_options import (
    JSON_OBJECT,
    PATH,
    option,
    preset_option,
    run,
    run_options,
    split_recipe,
)
from stsr_cli.options import Stage, TrainOptions
from stsr_cli.presets import recipe

_MODULES = ("spatial", "temporal", "spatial_config", "temporal_config")


@click.command()
@click.option(
    "--labeled",
    type=PATH,
    multiple=True,
    help="D_L: high-resolution videos, folders, data sets or lists (repeatable).",
)
@click.option(
    "--unlabeled",
    type=PATH,
    multiple=True,
    help="D_U: low-resolution footage, for L_C in the joint stage (repeatable).",
)
@click.option(
    "--held-out",
    type=PATH,
    multiple=True,
    help="High-resolution footage to choose the best weights by [default: one clip in sixteen of D_L] (repeatable).",
)
@click.option(
    "--stage",
    type=click.Choice(["all", *get_args(Stage)]),
    default="all",
    show_default=True,
    help="f_S alone, f_T alone, both streams together, or CDCA; all: the first three in order.",
)
@preset_option("modern")
@option("--spatial", help="Name of f_S.")
@option("--temporal", help="Name of f_T.")
@click.option("--spatial-config", type=JSON_OBJECT, default="{}", help="f_S's arguments, as JSON.")
@click.option("--temporal-config", type=JSON_OBJECT, default="{}", help="f_T's arguments, as JSON.")
@click.option("--cdca-config", type=JSON_OBJECT, default="{}", help="CDCA's arguments, as JSON.")
@click.option(
    "--init",
    multiple=True,
    help="Weights to start from: name or path (repeatable); with --spatial-config or --temporal-config of a larger "
    "network, it starts as the smaller one.",
)
@run_options
def command(stage: str, preset: str, out: Path | None, dry_run: bool, **values: Any) -> None:
    """Train f_S, f_T, and both streams together: L = L_R(D_L) + lambda L_C(D_L u D_U).

    Writes to OUT: the best weights by a held-out split, checkpoints (Ctrl-C saves one; --resume goes on from it), the
    configuration, a log, curves, pictures, TensorBoard events and a model card. A path may be a video, an image, a
    folder of either, the root of Vimeo-90K, DAVIS, REDS or GoPro, or a list file. Unlabeled footage alone has
    nothing to hold the streams to, unless --init gives weights to adapt.
    """
    changes, values = split_recipe(values)
    if stage == "cdca":
        refuse_given("with --stage cdca, which has no f_S and no f_T", *_MODULES)
    if values["unlabeled"] and values["init"] and not values["labeled"]:
        values["clips"], values["unlabeled"] = values["unlabeled"], ()
        stage = "joint" if stage == "all" else stage  # both modules have learnt their task
    name = "cdca" if stage == "cdca" else f"{values['spatial']}+{values['temporal']}"
    if stage in ("spatial", "temporal"):
        name = values[stage]
    first: Stage = "joint" if stage == "all" else stage  # type: ignore[assignment]
    options = TrainOptions(
        out=out or Path("runs", name if stage in ("all", "cdca") else f"{name}-{stage}"),
        stage=first,
        recipe=recipe(preset, first, changes),
        **values,
    )
    if stage != "all":
        run([options], dry_run)
        return
    with loading():
        from stsr_cli.training.stages import in_order

    run(in_order(options, lambda stage: recipe(preset, stage, changes), dry_run), dry_run)
