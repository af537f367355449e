"""`stsr eval`."""

import json
import math
from pathlib import Path
from typing import Any, get_args

import click

from stsr_cli.cli.fields import refuse_given
from stsr_cli.options import ModelOptions, System

_MEASURES = ("psnr_rgb", "ssim_rgb", "psnr_y", "ssim_y", "gain_psnr_rgb")


@click.command()
@click.argument(
    "datasets", metavar="DATASET_DIR...", type=click.Path(path_type=Path), nargs=-1, required=True
)
@click.option(
    "--system",
    "systems",
    type=click.Choice(get_args(System)),
    default=(ModelOptions.system,),
    show_default=True,
    multiple=True,
    help="The pair, B (the same modules trained apart) or CDCA (repeatable).",
)
@click.option("--spatial", default=ModelOptions.spatial, show_default=True, help="Name of f_S.")
@click.option("--temporal", default=ModelOptions.temporal, show_default=True, help="Name of f_T.")
@click.option("--weights", multiple=True, help="As of `upscale`.")
@click.option("--offline", is_flag=True, help="As of `upscale`.")
@click.option(
    "--stream",
    type=click.Choice(["t2s", "s2t", "both"]),
    default="both",
    show_default=True,
    help="both also measures the mean of the two.",
)
@click.option("--limit", type=click.IntRange(1), help="Triplets a data set, spread evenly over it.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.")
@click.option("--device", default=ModelOptions.device, show_default=True, help="As of `upscale`.")
@click.option("--json", "is_json", is_flag=True, help="Print a list of rows on stdout.")
def command(
    datasets: tuple[Path, ...],
    systems: tuple[System, ...],
    spatial: str,
    temporal: str,
    weights: tuple[str, ...],
    offline: bool,
    stream: Any,
    limit: int | None,
    threads: int | None,
    device: str,
    is_json: bool,
) -> None:
    """Measure PSNR and SSIM of interpolated frames by the paper's protocol, beside bicubic + blend.

    Odd frames, reduced to a quarter by MATLAB's bicubic, are given; even frames are the truth. A DATASET_DIR holds
    folders of frames (Vid4, DAVIS, UCF101), or input/ and gt/ (Middlebury). One of still images, NAME_lr beside NAME_hr
    (Set5), measures f_S alone; there a border of 4 pixels is cropped.
    """
    if set(systems) == {"cdca"}:
        refuse_given(
            "with --system cdca alone, which has no modules and no streams",
            "spatial",
            "temporal",
            "stream",
        )
    options = ModelOptions(
        spatial=spatial, temporal=temporal, weights=weights, offline=offline, device=device
    )
    from stsr_cli.console import Counter, print_table
    from stsr_cli.evaluation import evaluate

    with Counter("measuring") as counter:
        rows = evaluate(
            datasets,
            options,
            stream,
            systems,
            limit=limit,
            threads=threads,
            on_triplet=counter.update,
        )
    if is_json:
        click.echo(json.dumps(_finite(rows), indent=1))
        return
    print_table(
        "the frame in between, 4x: mean over all truths",
        [
            "data set",
            "system",
            "stream",
            "frames",
            "PSNR RGB",
            "SSIM RGB",
            "PSNR Y",
            "SSIM Y",
            "gain dB",
        ],
        [
            [str(row[key]) for key in ("dataset", "system", "stream", "num_frames")]
            + [
                f"{row[key]:{'+.2f' if 'gain' in key else '.2f' if 'psnr' in key else '.4f'}}"
                for key in _MEASURES
            ]
            for row in rows
        ],
        "PSNR in dB on 8-bit frames, no border cropped but of stills; gain: PSNR RGB over bicubic+blend.",
    )


def _finite(value: Any) -> Any:
    """The same with null where JSON has no number: a perfect prediction has infinite PSNR."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
