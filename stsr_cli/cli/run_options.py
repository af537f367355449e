"""What `stsr train` and `stsr finetune` share: the options of a run, where they come from, and running it.

A flag wins over a configuration file (--config), which wins over the preset.
"""

import typing
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from stsr_cli.cli.fields import Decorator, option_of
from stsr_cli.cli.loading import loading
from stsr_cli.cli.units import GIB
from stsr_cli.errors import UsageError
from stsr_cli.files import parse_json
from stsr_cli.options import Precision, Recipe, TrainOptions
from stsr_cli.presets import RECIPE_KEYS, available, read_config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stsr_cli.training.dry_run import DryRun

option = option_of(TrainOptions)
PATH = click.Path(path_type=Path)


class _JSONObject(click.ParamType[dict[str, Any]]):
    """A JSON object on the command line, a table in a TOML file."""

    name = "json"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, Any]:
        if isinstance(value, str):
            try:
                value = parse_json(value)
            except ValueError:
                value = [value]
        if not isinstance(value, dict):
            self.fail('not a JSON object such as {"num_channels": 32}', param, ctx)
        return value


JSON_OBJECT = _JSONObject()


def _read_config(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    """Let a file's values stand where the defaults would."""
    if value is None:
        return
    values, is_finetune = read_config(value), ctx.info_name == "finetune"
    if values.get("pretrained", is_finetune) != is_finetune:
        raise UsageError(
            f"{value} is of `stsr {'train' if is_finetune else 'finetune'}`; use that command"
        )
    if values.get("clips") and not is_finetune:
        values["unlabeled"] = values["clips"]  # which `stsr train --init` adapts to
    ctx.default_map = {**(ctx.default_map or {}), **values}


_HELP = {
    "steps": "Optimizer steps to reach; 0: only --minutes ends the run.",
    "optimizer": "sgd (with momentum: the paper's) or adamw.",
    "schedule": "Of the step size.",
    "learning_rate": "Step size; of a cosine, the largest.",
    "warmup_steps": "Steps over which the step size grows from nothing.",
    "momentum": "Of sgd; adamw's first beta.",
    "weight_decay": "Of the optimizer.",
    "batch_size": "Samples a step and process; half labeled, half not, where there are both.",
    "accumulate": "Micro-batches of that size before a step.",
    "crop": "Side of a low-resolution crop in pixels.",
    "consistency_weight": "lambda of Eq. 5; depends on penalty and reduction.",
    "given_weight": "Weight of f_S's loss on the two given frames; 0 in the paper.",
    "temporal_weight": "Weight of f_T's loss at low resolution, on unlabeled video too; 0 in the paper.",
    "penalty": "squared is the paper's.",
    "reduction": "sum over a frame is the paper's.",
    "clip_norm": "Largest gradient norm; 0: no clipping.",
    "ema_decay": "Of the averaged weights; 0: no averaging.",
    "stills_share": "Share of still images in f_S's samples.",
    "max_stride": "Triplets also of every second, third, ... frame up to this: faster motion.",
    "made_share": "Share of labeled triplets that are scenes made of your pictures: fast motion, still captions.",
    "patience": "Validations without a gain before a run ends; 0: never ends early.",
}
_LIMITS: dict[str, click.ParamType[Any]] = {
    **dict.fromkeys(("steps", "warmup_steps", "patience"), click.IntRange(0)),
    **dict.fromkeys(("batch_size", "accumulate"), click.IntRange(1)),
    "crop": click.IntRange(16),
    "learning_rate": click.FloatRange(0, min_open=True),
    **dict.fromkeys(("momentum", "ema_decay"), click.FloatRange(0, 1, max_open=True)),
    **dict.fromkeys(
        ("weight_decay", "consistency_weight", "given_weight", "temporal_weight", "clip_norm"),
        click.FloatRange(0),
    ),
    "stills_share": click.FloatRange(0, 1),
    "max_stride": click.IntRange(1),
    "made_share": click.FloatRange(0, 1),
}


def _recipe_options() -> list[Decorator]:
    """One flag for each field of a recipe, without a default of its own: that is the preset's."""
    types = typing.get_type_hints(Recipe)
    return [
        click.option(
            f"--{name.replace('_', '-')}",
            type=_LIMITS.get(name) or click.Choice(get_args(types[name])),
            help=_HELP[name],
        )
        for name in RECIPE_KEYS
    ]


_RUN_OPTIONS: list[Decorator] = [
    click.option(
        "-o",
        "--out",
        type=PATH,
        help="Folder of the run, made if it does not exist [default: runs/NAME].",
    ),
    click.option(
        "--config",
        type=PATH,
        is_eager=True,
        expose_value=False,
        callback=_read_config,
        help="TOML file of options, such as the config.toml of a run; flags win over it.",
    ),
    click.option(
        "--dry-run",
        is_flag=True,
        help="Say what would be read and what a step takes; train and write nothing.",
    ),
    click.option("--resume", is_flag=True, help="Go on from the last checkpoint in OUT."),
    click.option("-y", "--overwrite", is_flag=True, help="Start over although OUT exists."),
    click.option("--offline", is_flag=True, help="Fetch no weights; use what is here."),
    option(
        "--minutes",
        type=click.FloatRange(0, min_open=True),
        help="Training time to reach; without --steps, it alone ends the run.",
    ),
    *_recipe_options(),
    option("--seed", type=click.IntRange(0), help="Seed of initialisation and sampling."),
    option("--validate-minutes", type=click.FloatRange(0), help="Time between validations."),
    option("--validate-steps", type=click.IntRange(1), help="The same in steps, instead."),
    option("--save-minutes", type=click.FloatRange(0), help="Time between checkpoints."),
    option("--device", help="auto, cpu, cuda, cuda:N or mps."),
    option("--precision", type=click.Choice(get_args(Precision)), help="Of the forward pass."),
    option("--threads", type=click.IntRange(1), help="CPU threads."),
    option(
        "--workers",
        type=click.IntRange(0),
        help="Processes that prepare batches [default: 0 on a CPU, 4 on a GPU].",
    ),
    option(
        "--cache", type=PATH, help="Folder of decoded frames [default: the user's cache folder]."
    ),
    option("--cache-gib", metavar="GIB", type=GIB, help="Bound of that folder."),
]


def preset_option(default: str) -> Decorator:
    """The flag that names the preset, with what a command takes unless it is given."""
    return click.option(
        "--preset",
        type=click.Choice(available()),
        default=default,
        show_default=True,
        help="Where the options below come from unless they are given.",
    )


def run_options(function: Any) -> Any:
    """Add the options of a run to a command."""
    for decorator in reversed(_RUN_OPTIONS):
        function = decorator(function)
    return function


def split_recipe(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What of a command's values changes the preset's recipe, and the rest."""
    changes = {name: values[name] for name in RECIPE_KEYS if values[name] is not None}
    if values["minutes"] is not None:
        changes.setdefault("steps", 0)
    return changes, {name: value for name, value in values.items() if name not in RECIPE_KEYS}


def run(runs: "Sequence[TrainOptions]", is_dry: bool) -> None:
    """Train one stage after another, or say what that would take; print where the weights are."""
    with loading():
        from stsr_cli.console import TrainConsole
        from stsr_cli.training.dry_run import dry_run
        from stsr_cli.training.loop import Trainer
        from stsr_cli.training.setup import check_options

    for options in runs:  # not after hours of the stages before
        check_options(options)
    for options in runs:
        with TrainConsole() as console:
            trainer = Trainer(options, on_source=console.on_source, on_note=console.on_note)
            if trainer.is_main:
                console.on_start(trainer.validation.baseline)
            if not is_dry:
                trainer.run(console.on_status, console.on_step)
                continue
            found = dry_run(trainer)
            if trainer.is_main:
                _print_dry_run(options.stage, found)
    if trainer.is_main and not is_dry:
        click.echo(str(trainer.folder.weights_path))


def _print_dry_run(stage: str, found: "DryRun") -> None:
    from stsr_cli.console import print_table

    rows = [[role, *(f"{count:,}" for count in counts)] for role, counts in found.footage.items()]
    end = (
        f", {found.steps:,} steps in {_duration(found.steps * found.seconds)}"
        if found.steps
        else ""
    )
    print_table(
        f"{stage} stage",
        ["what for", "clips", "frames", "triplets"],
        rows,
        f"{found.num_parameters:,} parameters to train; {found.batch} a step; {found.seconds:.3g} s a step{end}; "
        f"peak memory {found.peak_memory_bytes / 2**30:.2f} GiB",
    )


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes:.1f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
