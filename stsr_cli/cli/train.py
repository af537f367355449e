"""`stsr train`."""

import json
from pathlib import Path
from typing import Any, get_args

import click

from stsr_cli.cli.fields import option_of, refuse_given
from stsr_cli.options import Stage, TrainOptions

_option = option_of(TrainOptions)
_MODULES = ("spatial", "temporal", "spatial_config", "temporal_config")


def _json_object(ctx: click.Context, parameter: click.Parameter, value: str) -> dict[str, Any]:
    try:
        config = json.loads(value)
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise click.BadParameter(f'{value!r} is not a JSON object such as {{"num_channels": 32}}')
    return config


_path = click.Path(path_type=Path)


@click.command()
@click.option(
    "--labeled",
    type=_path,
    multiple=True,
    required=True,
    help="D_L: high-resolution videos, folders, or lists (repeatable).",
)
@click.option(
    "--unlabeled",
    type=_path,
    multiple=True,
    help="D_U: low-resolution footage, used in the joint stage (repeatable).",
)
@click.option(
    "--stage",
    type=click.Choice(get_args(Stage)),
    required=True,
    help="Train f_S alone, f_T alone, both streams together, or CDCA.",
)
@click.option("--out", type=_path, required=True, help="Weights file to write (.safetensors).")
@_option("--spatial", help="Name of f_S.")
@_option("--temporal", help="Name of f_T.")
@click.option(
    "--spatial-config", default="{}", callback=_json_object, help="f_S's arguments, as JSON."
)
@click.option(
    "--temporal-config", default="{}", callback=_json_object, help="f_T's arguments, as JSON."
)
@click.option(
    "--cdca-config", default="{}", callback=_json_object, help="CDCA's arguments, as JSON."
)
@click.option("--init", multiple=True, help="Weights to start from: name or path (repeatable).")
@click.option("--offline", is_flag=True, help="Fetch no weights for --init; use what is here.")
@click.option("--resume", is_flag=True, help="Go on from OUT.state.")
@click.option(
    "-y", "--overwrite", is_flag=True, help="Start over although OUT or OUT.state exists."
)
@_option("--steps", type=click.IntRange(1), help="Optimizer steps to reach.")
@_option("--minutes", type=click.FloatRange(0, min_open=True), help="Training time to reach.")
@_option("--seed", type=click.IntRange(0), help="Seed of initialisation and sampling.")
@_option(
    "--batch-size",
    type=click.IntRange(1),
    help="Samples a step [default: 16, 8, 4, 8 for the four stages].",
)
@_option("--crop", type=click.IntRange(16), help="Side of a low-resolution crop in pixels.")
@_option(
    "--optimizer",
    type=click.Choice(["adamw", "sgd"]),
    help="adamw follows a cosine; sgd is the paper's.",
)
@_option("--learning-rate", type=click.FloatRange(0, min_open=True), help="Step size.")
@_option("--weight-decay", type=click.FloatRange(0), help="Of the optimizer.")
@_option("--consistency-weight", type=click.FloatRange(0), help="lambda of Eq. 5.")
@_option(
    "--given-weight",
    type=click.FloatRange(0),
    help="Weight of f_S's loss on the two given frames; 0 in the paper.",
)
@_option("--penalty", type=click.Choice(["charbonnier", "squared"]), help="squared is the paper's.")
@_option("--reduction", type=click.Choice(["mean", "sum"]), help="sum is the paper's norm.")
@_option("--clip-norm", type=click.FloatRange(0, min_open=True), help="Largest gradient norm.")
@_option(
    "--ema-decay",
    type=click.FloatRange(0, 1, max_open=True),
    help="Of the averaged weights; 0: no averaging.",
)
@_option(
    "--stills-share", type=click.FloatRange(0, 1), help="Share of still images in f_S's samples."
)
@_option("--validate-minutes", type=click.FloatRange(0), help="Time between validations.")
@_option("--save-minutes", type=click.FloatRange(0), help="Time between checkpoints.")
@_option("--device", help="auto, cpu, cuda, cuda:N or mps.")
@_option("--threads", type=click.IntRange(1), help="CPU threads.")
@_option("--cache", type=_path, help="Folder of decoded frames [default: the user's cache folder].")
@_option(
    "--cache-gib",
    type=click.FloatRange(0, min_open=True),
    help="Bound of the decoded videos there.",
)
def command(**values: Any) -> None:
    """Train f_S, f_T, or both streams together: L = L_R(D_L) + lambda L_C(D_L u D_U).

    Writes the best weights by a held-out split to OUT, the run's state to OUT.state (Ctrl-C saves it; --resume goes on
    from it) and a line for every validation to OUT.log.jsonl. --stage cdca trains the auto-encoders, the mapping
    between them, and the whole, one after another.
    """
    if values["stage"] == "cdca":
        refuse_given("with --stage cdca, which has no f_S and no f_T", *_MODULES)
    options = TrainOptions(**values)
    from stsr_cli.console import TrainConsole
    from stsr_cli.training.loop import Trainer

    with TrainConsole() as console:
        trainer = Trainer(options, console.on_source)
        console.on_start(trainer.validation.baseline)
        trainer.run(console.on_status)
    click.echo(str(options.out))
