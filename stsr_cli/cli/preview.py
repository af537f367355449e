"""`stsr upscale --preview`."""

from fractions import Fraction

import click

from stsr_cli.cli.fields import refuse_given
from stsr_cli.cli.loading import loading
from stsr_cli.options import TellOptions, UpscaleOptions
from stsr_cli.text import plural


def run_preview(options: UpscaleOptions, seconds: Fraction, tell: TellOptions) -> None:
    """As the library does, with a bar; says where the excerpts are."""
    if not seconds:
        raise click.UsageError("--preview 0 shows nothing; write --preview 2")
    refuse_given("with --preview, which is a video to look at", "disagreement", "report")
    if tell.progress in ("plain", "jsonl"):
        refuse_given("with --preview, whose bar is all it shows", "progress")
    with loading(is_shown=tell.progress == "auto"):
        from stsr_cli.console import Counter
        from stsr_cli.upscale.preview import preview

    with Counter("runs", is_shown=tell.progress != "none") as counter:
        report = preview(options, seconds, counter.update)
    if tell.log_level in ("error", "warning"):
        return
    parts = [
        f"{float(start):.3f} s to {'the end' if end is None else f'{float(end):.3f} s'}"
        for start, end in report.parts
    ]
    click.echo(f"excerpts of {options.source.name}: {', '.join(parts)}", err=True)
    click.echo(
        f"{report.target}: {plural(report.num_frames, 'frame')} of {report.width}x{report.height}, "
        f"left bicubic + blend, right {options.model.title}",
        err=True,
    )
    for terms in report.terms:
        click.echo(terms, err=True)
