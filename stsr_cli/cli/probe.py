"""`stsr probe`."""

import json
from pathlib import Path
from typing import Any

import click

from stsr_cli.cli.fields import SectionedCommand, output_path, take
from stsr_cli.cli.reading import source_options
from stsr_cli.options import SourceOptions, TrackOptions


@click.command(cls=SectionedCommand)
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.argument(
    "target", metavar="[OUTPUT]", type=click.Path(), callback=output_path, required=False
)
@source_options
@click.option("--strict", is_flag=True, help="Fail if OUTPUT cannot hold a track.")
@click.option("--json", "is_json", is_flag=True, help="Print one object on stdout.")
def command(source: Path, target: Path | None, strict: bool, is_json: bool, **values: Any) -> None:
    """Say what the video INPUT holds and, track by track, what `stsr upscale INPUT OUTPUT` would make of it.

    Nothing is written: of OUTPUT only the name's ending counts.
    """
    from stsr_cli.video.plan import list_tracks, plan_output
    from stsr_cli.video.probe import describe, probe

    info = probe(source, take(values, SourceOptions))
    if target is None:
        tracks = list_tracks(info)
    else:
        tracks = plan_output(info, target, TrackOptions(strict=strict))
    video = describe(info)
    if is_json:
        rows: list[dict[str, Any]] = [
            {
                "kind": track.kind,
                "index": track.index,
                "codec": track.codec,
                "language": track.language,
                "title": track.title,
                "action": track.action if target else None,
                "target": track.target,
                "reason": track.reason,
            }
            for track in tracks
        ]
        click.echo(json.dumps({"video": video, "tracks": rows}, indent=1))
        return
    from stsr_cli.console import print_table

    first = ["video", str(video["index"]), video["text"], "", "", "upscaled" if target else ""]
    others = [
        [
            track.kind,
            "" if track.index is None else str(track.index),
            track.codec,
            track.language or "",
            track.title or "",
            track.fate if target else "",
        ]
        for track in tracks
    ]
    columns = ["track", "index", "what", "language", "title", f"in {target.name}" if target else ""]
    print_table(source.name, columns, [first, *others], "")
