"""`stsr upscale`."""

from pathlib import Path
from typing import Any, get_args

import click

from stsr_cli.cli.fields import option_of, refuse_given
from stsr_cli.options import EncodeOptions, ModelOptions, System, UpscaleOptions

_option = option_of(UpscaleOptions, ModelOptions, EncodeOptions)


@click.command()
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUTPUT", type=click.Path(path_type=Path))
@_option(
    "--scale", type=click.IntRange(1), help="Spatial factor: 1 (time only), 4, or 16 (f_S twice)."
)
@_option(
    "--time-scale",
    type=click.IntRange(1),
    help="Frame-rate factor: 1 (space only), 2, 4 or 8 (f_T repeated).",
)
@_option(
    "--system",
    type=click.Choice(get_args(System)),
    help="f_S and f_T trained together, trained apart (baseline), or CDCA, which has neither.",
)
@_option(
    "--stream",
    type=click.Choice(["t2s", "s2t"]),
    help="t2s interpolates, then upscales; s2t the other way round: 16 times the pixels for f_T.",
)
@_option("--spatial", help="Name of f_S.")
@_option("--temporal", help="Name of f_T.")
@_option(
    "--weights",
    metavar="NAME|PATH",
    multiple=True,
    help="A name of `stsr weights list`, a .safetensors file, or hf:OWNER/REPO[@REVISION]:FILE; a later one wins "
    "(repeatable)  [default: those published for the modules]",
)
@click.option("--offline", is_flag=True, help="Fetch no weights; use what is here.")
@_option("--device", help="auto, cpu, cuda, cuda:N or mps.")
@_option(
    "--precision",
    type=click.Choice(["auto", "fp32", "fp16", "bf16"]),
    help="auto is fp16 on a recent CUDA GPU, else fp32.",
)
@_option(
    "--batch-size",
    type=click.IntRange(1),
    help="Frame pairs a network call  [default: 1 on a CPU, 4 on a GPU]",
)
@_option("--codec", help="Name of the video encoder.")
@_option(
    "--crf",
    type=click.IntRange(0, 63),
    help="Quality of x264 and its kin; smaller is better, 0 is lossless.",
)
@_option("--preset", help="Speed preset of x264 and its kin.")
@_option("--pix-fmt", help="Pixel format; auto follows the source.")
@click.option("-y", "--overwrite", is_flag=True, help="Replace OUTPUT if it exists.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar, no summary.")
def command(**values: Any) -> None:
    """Upscale the video INPUT to OUTPUT: 4x the resolution and 2x the frame rate.

    Sound is copied as it is, colours and timestamps are kept. OUTPUT appears under its name when it is complete and has
    been checked.
    """
    if values["system"] == "cdca":
        refuse_given(
            "with --system cdca, which has no modules and no streams",
            "spatial",
            "temporal",
            "stream",
        )
    is_quiet = values.pop("quiet")
    model = ModelOptions(**{name: values.pop(name) for name in ModelOptions.__dataclass_fields__})
    encode = EncodeOptions(
        **{name: values.pop(name) for name in EncodeOptions.__dataclass_fields__}
    )
    options = UpscaleOptions(**values, model=model, encode=encode)
    from stsr_cli.console import UpscaleConsole
    from stsr_cli.upscale import upscale

    with UpscaleConsole(options, is_quiet) as console:
        report = upscale(options, console.on_start, console.on_frame)
    console.summarise(report)
