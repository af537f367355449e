"""`stsr bench`."""

import json
import re
from typing import get_args

import click

from stsr_cli.options import ModelOptions, Precision, Stream
from stsr_cli.registry import available


def _size(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", value)
    if match is None:
        raise click.BadParameter(f"{value!r} is not HEIGHTxWIDTH in pixels, such as 64x112")
    return int(match[1]), int(match[2])


@click.command()
@click.option("--spatial", help="Name of f_S [default: all].")
@click.option("--temporal", help="Name of f_T [default: all].")
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
    spatial: str | None,
    temporal: str | None,
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
    from stsr_cli import bench
    from stsr_cli.console import Counter, print_table
    from stsr_cli.registry import load

    spatials = available("spatial") if spatial is None else (spatial,)
    temporals = available("temporal") if temporal is None else (temporal,)
    for name in spatials:
        load("spatial", name)
    for name in temporals:
        load("temporal", name)
    streams: tuple[Stream, ...] = ("t2s", "s2t") if stream is None else (stream,)
    cases = [
        bench.Case(f_s, f_t, one, *size, threads, device, precision, repeats)
        for f_s in spatials
        for f_t in temporals
        for one in streams
    ]
    with Counter("measuring") as counter:
        rows = bench.rows(bench.run(cases, counter.update))
    if is_json:
        click.echo(json.dumps(rows, indent=1))
        return
    first, (height, width) = rows[0], size
    print_table(
        f"one new frame from two of {height}x{width}",
        [
            "f_S",
            "f_T",
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
                *(str(row[key]) for key in ("spatial", "temporal", "stream")),
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
