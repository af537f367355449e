"""`stsr bench`."""

import json
import re
from typing import get_args

import click

from stsr_cli.cli.fields import refuse_given
from stsr_cli.cli.loading import loading
from stsr_cli.options import ModelOptions, Precision, Stream
from stsr_cli.registry import available


def _size(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", value)
    if match is None:
        raise click.BadParameter(f"{value!r} is not HEIGHTxWIDTH in pixels, such as 64x112")
    return int(match[1]), int(match[2])


_OF_PAIRS = ("spatial", "temporal", "stream", "pairs")


def _quick(models: list[ModelOptions]) -> list[ModelOptions]:
    """Those that a CPU does quickly; says on stderr which others there are."""
    from stsr_cli import bench

    counted = list(zip(models, bench.count_macs(models, *bench.PAPER_SIZE), strict=True))
    slow = [f"{one.title} {macs / 1e9:.3g}" for one, macs in counted if macs > bench.QUICK_MACS]
    if slow:
        click.echo(
            f"left out, over {bench.QUICK_MACS / 1e9:.3g} GMAC a new frame of the paper's size: {', '.join(slow)}; "
            "--pairs all, or choosing modules, runs them",
            err=True,
        )
    return [one for one, macs in counted if macs <= bench.QUICK_MACS]


@click.command()
@click.option(
    "--system",
    "systems",
    type=click.Choice(["streams", "cdca"]),
    multiple=True,
    help="Pairs of modules, or CDCA (repeatable) [default: both, or the pairs where modules are chosen].",
)
@click.option(
    "--pairs",
    type=click.Choice(["quick", "all"]),
    default="quick",
    show_default=True,
    help="quick leaves out what takes over 30 GMAC a frame of the paper's size, unless modules are chosen.",
)
@click.option("--spatial", help="Name of f_S [default: all].")
@click.option("--temporal", help="Name of f_T [default: all].")
@click.option(
    "--weights",
    multiple=True,
    help="As of `upscale`, for a pair that is chosen [default: what is here, else as initialised].",
)
@click.option(
    "--stream", type=click.Choice(get_args(Stream)), help="One of the two streams [default: both]."
)
@click.option(
    "--size",
    default="64x112",
    show_default=True,
    callback=_size,
    metavar="HEIGHTxWIDTH",
    help="Of the given frames.",
)
@click.option(
    "--repeats", type=click.IntRange(1), default=20, show_default=True, help="Timed runs."
)
@click.option("--threads", type=click.IntRange(1), help="CPU threads.")
@click.option("--device", default=ModelOptions.device, show_default=True, help="As of `upscale`.")
@click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    default=ModelOptions.precision,
    show_default=True,
    help="auto is fp16 on CUDA, else fp32.",
)
@click.option("--json", "is_json", is_flag=True, help="Print a list of rows on stdout.")
def command(
    systems: tuple[str, ...],
    pairs: str,
    spatial: str | None,
    temporal: str | None,
    weights: tuple[str, ...],
    stream: Stream | None,
    size: tuple[int, int],
    repeats: int,
    threads: int | None,
    device: str,
    precision: Precision,
    is_json: bool,
) -> None:
    """Measure how long one new frame takes, and how close that is to this machine's limit.

    The default is the paper's case: two frames of 64x112 become one of 256x448. S->T is measured for a first pair, with
    f_S of both frames; later pairs of a video save one. Shares are of a 2048^3 float32 matrix product, timed meanwhile.
    """
    if systems == ("cdca",):
        refuse_given("with --system cdca alone, which has no modules and no streams", *_OF_PAIRS)
    if weights and None in (spatial, temporal):
        raise click.UsageError("--weights needs a pair to fill: give --spatial and --temporal")
    with loading():
        from stsr_cli import bench
        from stsr_cli.console import Counter, print_table
        from stsr_cli.registry import load

    spatials = available("spatial") if spatial is None else (spatial,)
    temporals = available("temporal") if temporal is None else (temporal,)
    for name in spatials:
        load("spatial", name)
    for name in temporals:
        load("temporal", name)
    is_chosen = (spatial, temporal, stream) != (None, None, None)
    models = []
    if "streams" in systems or not systems:
        models += [
            ModelOptions(f_s, f_t, weights, stream=one, device=device, precision=precision)
            for f_s in spatials
            for f_t in temporals
            for one in ((stream,) if stream else get_args(Stream))
        ]
    if "cdca" in systems or not (systems or is_chosen):
        models.append(ModelOptions(system="cdca", device=device, precision=precision))
    if pairs == "quick" and spatial is None and temporal is None:
        models = _quick(models)
    cases = [bench.Case(model, *size, threads, repeats) for model in models]
    with Counter("measuring") as counter:
        rows = bench.rows(bench.run(cases, counter.update))
    if is_json:
        click.echo(json.dumps(rows, indent=1))
        return
    first, (height, width) = rows[0], size
    print_table(
        f"one new frame from two of {height}x{width}",
        [
            "system",
            "stream",
            "median ms",
            "p95 ms",
            "M params",
            "GMAC",
            "GFLOP/s",
            "share",
            "MiB",
        ],
        [
            [
                row["system"],
                row["stream"] or "-",
                f"{row['median_ms']:.1f}",
                f"{row['p95_ms']:.1f}",
                f"{row['params'] / 1e6:.3f}",
                f"{row['gmacs']:.2f}",
                f"{row['gflops']:.1f}",
                f"{row['peak_share']:.0%}",
                f"{row['peak_memory_bytes'] / 2**20:.0f}",
            ]
            for row in rows
        ],
        f"{first['machine']}, {first['threads']} threads, torch {first['torch']}, {first['device']}, "
        f"{first['precision']}; 2048^3 float32 product {first['product_gflops']:.0f} GFLOP/s. "
        f"The paper, 64x112 to 256x448 on a GTX 1080 Ti: {bench.PAPER_MS} ms; CDCA {bench.CDCA_MS} ms.",
    )
