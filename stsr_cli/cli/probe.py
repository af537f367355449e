"""`stsr probe`."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stsr_cli.cli.fields import SectionedCommand, hidden, output_path, refuse_given
from stsr_cli.cli.upscale import run_options, take_run
from stsr_cli.options import SourceOptions, UpscaleOptions
from stsr_cli.text import plural

if TYPE_CHECKING:
    from stsr_cli.upscale.estimate import Estimate
    from stsr_cli.video.probe import SourceInfo
    from stsr_cli.video.timing.scenes import Shots
    from stsr_cli.video.tracks.plan import Track

_SHOWN = {*SourceOptions.__dataclass_fields__, "strict", "scene_threshold"} - {"hwaccel"}


@click.command(cls=SectionedCommand)
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.argument(
    "target", metavar="[OUTPUT]", type=click.Path(), callback=output_path, required=False
)
@click.option("-o", "--output", metavar="OUTPUT", help="OUTPUT, as of `stsr upscale`.")
@hidden(run_options, *_SHOWN)
@click.option(
    "--scenes", "is_decoded", is_flag=True, help="Decode INPUT to the end and list its cuts."
)
@click.option(
    "--no-trial", is_flag=True, help="With OUTPUT: run no frames to estimate time, disk and memory."
)
@click.option("--json", "is_json", is_flag=True, help="Print one object on stdout.")
@click.pass_context
def command(
    context: click.Context,
    /,
    is_decoded: bool,
    no_trial: bool,
    is_json: bool,
    output: str | None,
    **values: Any,
) -> None:
    """Say what the video INPUT holds and what `stsr upscale INPUT OUTPUT` would make of it, track by track.

    A few frames of INPUT are run and encoded to estimate what the whole takes; give the options of `stsr upscale` for
    that. Nothing is written.
    """
    if output is not None:
        if values["target"] is not None:
            raise click.UsageError(f"two outputs: {values['target']} and {output}; give one")
        values["target"] = output_path(context, click.Argument(["target"]), output)
    is_planned = values["target"] is not None
    if not is_decoded and not is_planned:
        refuse_given("without --scenes and OUTPUT: no cuts are looked for", "scene_threshold")
    options = take_run({**values, "target": values["target"] or values["source"]})
    from stsr_cli.video import trial_process

    if is_planned:
        trial_process.start()
    from stsr_cli.video.describe import describe
    from stsr_cli.video.pipes.pipe import PIPE
    from stsr_cli.video.probe import probe
    from stsr_cli.video.size_changes import find_size_changes
    from stsr_cli.video.timing.excerpt import excerpt
    from stsr_cli.video.tracks.plan import list_tracks, printable

    info = excerpt(probe(options.source, options.read), options.read)
    tracks = _plan_tracks(options, info) if is_planned else list_tracks(info)
    video = describe(info, find_size_changes(info))
    if not is_json:
        _print_tracks(video, tracks, options, is_planned)
    shots = _find_cuts(info, options.scene_threshold) if is_decoded else None
    if shots and not is_json:
        _print_cuts(shots)
    if is_planned and options.target.is_file() and not is_json:
        click.echo(f"{printable(str(options.target))} exists; -y replaces it", err=True)
    is_tried = is_planned and not no_trial and PIPE not in (options.source, options.target)
    needed = _estimate(options, tracks) if is_tried else None
    if needed and not is_json:
        _print_estimate(needed)
    if is_json:
        found: dict[str, Any] = {"video": video}
        found["tracks"] = [_as_json(track, is_planned) for track in tracks]
        if shots:
            found["scenes"] = {**asdict(shots), "is_rate_variable": shots.is_rate_variable}
        if needed:
            found["estimate"] = {**asdict(needed), "output_bytes": needed.output_bytes}
        click.echo(json.dumps(found, indent=1))


def _plan_tracks(options: UpscaleOptions, source: "SourceInfo") -> "tuple[Track, ...]":
    """As the run does: by a trial with the first packets of each track."""
    from stsr_cli.video.colour.keeping import tone_mapped
    from stsr_cli.video.pipes.pipe import PIPE
    from stsr_cli.video.rehearsal import PlannedOutput, rehearse
    from stsr_cli.video.timing.retime import on_output_clock, with_time_scale
    from stsr_cli.video.writer import plan_video

    if options.encode.hdr == "tonemap":
        source = tone_mapped(source)
    timed, ticks = on_output_clock(source, with_time_scale(options, source))
    plan, format_name = plan_video(
        options.target, timed, options.encode, scale=options.scale, size=options.size
    )
    suffix = "" if options.target == PIPE else options.target.suffix.lower()
    return rehearse(PlannedOutput(timed, plan, format_name, ticks, suffix), options.tracks).tracks


def _find_cuts(source: "SourceInfo", threshold: float) -> "Shots":
    """As the library does, with a bar."""
    from stsr_cli.console import Counter
    from stsr_cli.video.probe import estimate_num_frames
    from stsr_cli.video.timing.scenes import find_cuts

    num_all = estimate_num_frames(source) or 0
    with Counter("looking for cuts") as counter:
        return find_cuts(source, threshold, lambda num_done: counter.update(num_done, num_all))


def _estimate(options: UpscaleOptions, tracks: "Sequence[Track]") -> "Estimate":
    """As the library does, with a bar."""
    from stsr_cli.console import Counter
    from stsr_cli.upscale.estimate import estimate

    with Counter("running a few frames") as counter:
        return estimate(options, tracks, counter.update)


def _print_tracks(
    video: dict[str, Any], tracks: "Sequence[Track]", options: UpscaleOptions, is_planned: bool
) -> None:
    from stsr_cli.console import print_table
    from stsr_cli.video.tracks.plan import printable

    first = ["video", str(video["index"]), video["text"], "", "", "upscaled" if is_planned else ""]
    others = [
        [
            track.kind,
            "" if track.index is None else str(track.index),
            printable(track.codec),
            printable(track.language),
            printable(track.title),
            track.fate if is_planned else "",
        ]
        for track in tracks
    ]
    last = f"in {options.target.name}" if is_planned else ""
    columns = ["track", "index", "what", "language", "title", last]
    print_table(printable(options.source.name), columns, [first, *others], "")


def _print_cuts(shots: "Shots") -> None:
    from stsr_cli.console import print_table

    rows = [[str(cut.frame_index), f"{cut.seconds:.3f}"] for cut in shots.cuts]
    rate = "variable" if shots.is_rate_variable else "constant"
    click.echo(
        f"{plural(len(rows), 'cut')} in {plural(shots.num_frames, 'frame')}, at a {rate} rate",
        err=True,
    )
    if rows:
        print_table("", ["first frame of a shot", "seconds"], rows, "")


def _print_estimate(needed: "Estimate") -> None:
    """What a run will take, a line each; how far off that may be."""
    from stsr_cli.upscale.estimate import SIZE_SPREAD, TIME_SPREAD

    lines = [f"warning: {warning}" for warning in needed.warnings]
    if needed.seconds is not None:
        low, high = needed.seconds / TIME_SPREAD, needed.seconds * TIME_SPREAD
        lines.append(
            f"time: about {_time(needed.seconds)} ({_time(low)} to {_time(high)}) if nothing else runs"
        )
    size = needed.output_bytes
    if size is not None:
        low, high = size / SIZE_SPREAD, size * SIZE_SPREAD
        free = "" if needed.free_bytes is None else f"; {_size(needed.free_bytes)} are free"
        lines.append(f"disk: about {_size(size)} ({_size(low)} to {_size(high)}){free}")
    gpu = "" if needed.gpu_bytes is None else f", and {_size(needed.gpu_bytes)} on the GPU"
    lines.append(f"memory: about {_size(needed.memory_bytes)}{gpu}")
    if needed.seconds is None:
        lines.append("time and disk: unknown, since INPUT does not say how long it is")
    lines.append(f"estimated by running {plural(needed.num_tried, 'frame')}; scenes differ")
    click.echo("\n".join(lines), err=True)


def _time(seconds: float) -> str:
    """12 s, 3 min, 5 h 20 min."""
    if seconds < 100:
        return f"{max(seconds, 1):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def _size(num_bytes: float) -> str:
    """640 kB, 12 MB, 3.4 GB."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if num_bytes >= size:
            return f"{num_bytes / size:.{1 if num_bytes < 10 * size else 0}f} {unit}"
    return f"{num_bytes / 1e3:.0f} kB"


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
