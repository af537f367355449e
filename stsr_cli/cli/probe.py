"""`stsr probe`."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stsr_cli.cli.fields import SectionedCommand, option_of, output_path, refuse_given, take
from stsr_cli.cli.reading import source_options
from stsr_cli.cli.upscale import levels
from stsr_cli.options import SourceOptions, TrackOptions, UpscaleOptions

if TYPE_CHECKING:
    from stsr_cli.video.plan import Track
    from stsr_cli.video.probe import SourceInfo
    from stsr_cli.video.scenes import Shots

_option = option_of(UpscaleOptions)


@click.command(cls=SectionedCommand)
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.argument(
    "target", metavar="[OUTPUT]", type=click.Path(), callback=output_path, required=False
)
@source_options
@click.option("--strict", is_flag=True, help="Fail if OUTPUT cannot hold a track.")
@click.option(
    "--scenes", "is_decoded", is_flag=True, help="Decode INPUT to the end and list its cuts."
)
@_option(
    "--scene-threshold",
    metavar="LEVELS",
    type=float,
    callback=levels,
    help="As of `upscale`, for --scenes.",
)
@click.option("--json", "is_json", is_flag=True, help="Print one object on stdout.")
def command(source: Path, target: Path | None, **values: Any) -> None:
    """Say what the video INPUT holds and, track by track, what `stsr upscale INPUT OUTPUT` would make of it.

    Nothing is written: of OUTPUT only the name's ending counts.
    """
    if not values["is_decoded"]:
        refuse_given("without --scenes, which looks for cuts", "scene_threshold")
    from stsr_cli.video.describe import describe
    from stsr_cli.video.excerpt import excerpt
    from stsr_cli.video.plan import list_tracks, plan_output
    from stsr_cli.video.probe import probe

    options = take(values, SourceOptions)
    info = excerpt(probe(source, options), options)
    if target is None:
        tracks = list_tracks(info)
    else:
        tracks = plan_output(info, target, TrackOptions(strict=values["strict"]))
    video = describe(info)
    shots = _find_cuts(info, values["scene_threshold"]) if values["is_decoded"] else None
    if values["is_json"]:
        found: dict[str, Any] = {"video": video}
        found["tracks"] = [_as_json(track, bool(target)) for track in tracks]
        if shots:
            found["scenes"] = {**asdict(shots), "is_rate_variable": shots.is_rate_variable}
        click.echo(json.dumps(found, indent=1))
        return
    from stsr_cli.console import print_table

    _print_tracks(source.name, video, tracks, target)
    if shots:
        rows = [[str(cut.frame_index), f"{cut.seconds:.3f}"] for cut in shots.cuts]
        number = "1 cut" if len(rows) == 1 else f"{len(rows)} cuts"
        rate = "variable" if shots.is_rate_variable else "constant"
        click.echo(f"{number} in {shots.num_frames} frames, at a {rate} rate", err=True)
        if rows:
            print_table("", ["first frame of a shot", "seconds"], rows, "")


def _find_cuts(source: "SourceInfo", threshold: float) -> "Shots":
    """As the library does, with a bar."""
    from stsr_cli.console import Counter
    from stsr_cli.video.probe import estimate_num_frames
    from stsr_cli.video.scenes import find_cuts

    num_all = estimate_num_frames(source) or 0
    with Counter("looking for cuts") as counter:
        return find_cuts(source, threshold, lambda num_done: counter.update(num_done, num_all))


def _as_json(track: "Track", is_planned: bool) -> dict[str, Any]:
    return {
        "kind": track.kind,
        "index": track.index,
        "codec": track.codec,
        "language": track.language,
        "title": track.title,
        "action": track.action if is_planned else None,
        "target": track.target,
        "reason": track.reason,
    }


def _print_tracks(
    name: str, video: dict[str, Any], tracks: "Sequence[Track]", target: Path | None
) -> None:
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
    print_table(name, columns, [first, *others], "")
