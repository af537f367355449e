"""`stsr upscale`."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast, get_args

import click

from stsr_cli.cli.distributing import distribute_options, engine, take_distribute
from stsr_cli.cli.encoding import (
    LIST,
    encode_options,
    print_encoder_options,
    take_tracks,
    track_options,
)
from stsr_cli.cli.fields import (
    SectionedCommand,
    is_default,
    option_of,
    refuse_given,
    section,
    take,
)
from stsr_cli.cli.many import (
    many_options,
    refuse_second_input,
    run_many,
    sort_arguments,
    take_batch,
)
from stsr_cli.cli.memory import memory_options
from stsr_cli.cli.preview import run_preview
from stsr_cli.cli.reading import decoding_options, source_options
from stsr_cli.cli.telling import take_telling, tell_options, telling
from stsr_cli.cli.units import HEIGHT, RATE, SCALE, SIDES, TIME, TIME_SCALE
from stsr_cli.errors import FINISHED_DAMAGED, UnfinishedOutput
from stsr_cli.options import (
    CutAction,
    DoubtAction,
    EncodeOptions,
    ModelOptions,
    OnDoubt,
    SourceOptions,
    StreamChoice,
    System,
    UpscaleOptions,
    VariableRate,
)
from stsr_cli.text import going_on

_option = option_of(UpscaleOptions, ModelOptions)
_MANY = ("pattern", "recursive", "halt_on_error", "skip_existing")


def _on_doubt(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> OnDoubt | None:
    """Read `hold` or `blend`, with a threshold behind a colon or without."""
    if value is None:
        return None
    action, colon, text = value.partition(":")
    if action not in get_args(DoubtAction):
        raise click.BadParameter(f"{value!r} is neither hold nor blend; write hold, or hold:12")
    if not colon:
        return OnDoubt(cast(DoubtAction, action))
    try:
        threshold = float(text)
    except ValueError:
        threshold = math.nan
    if not 0 <= threshold <= 255:
        raise click.BadParameter(
            f"the threshold {text!r} is no number from 0 to 255; write {action}:12"
        )
    return OnDoubt(cast(DoubtAction, action), threshold)


def levels(context: click.Context, parameter: click.Parameter, value: float) -> float:
    """Refuse what is no number of levels, nan included."""
    if not 0 <= value <= 255:
        raise click.BadParameter(f"{value:g} is no number from 0 to 255; write 10")
    return value


_what_is_computed = section(
    "What is computed",
    _option(
        "--scale",
        metavar="N",
        type=SCALE,
        help="Spatial factor: 1 (time only), 4, or 16 (f_S twice); any other is reached by Lanczos from the next of "
        "them above.",
    ),
    _option(
        "--size",
        metavar="WxH",
        type=SIDES,
        help="Size of OUTPUT as shown, by a Lanczos resize after f_S; the picture keeps its shape on the screen.",
    ),
    click.option(
        "--height",
        metavar="N",
        type=HEIGHT,
        help="Height of OUTPUT as shown; the width follows, and pixels are square.",
    ),
    _option(
        "--time-scale",
        metavar="N",
        type=TIME_SCALE,
        help="Frame-rate factor: 1 (space only), 2, 4 or 8 (f_T repeated); with --fps, the smallest that reaches it.",
    ),
    _option(
        "--fps",
        metavar="RATE",
        type=RATE,
        help="Constant frame rate of OUTPUT, such as 60, 59.94 or 60000/1001: each of its ticks shows the nearest "
        "frame of those that the networks made.",
    ),
    _option(
        "--vfr",
        type=click.Choice(get_args(VariableRate)),
        help="Of a variable frame rate: every frame keeps its time (keep), or the rate becomes constant, frames being "
        "shown again or left out (cfr).",
    ),
    _option(
        "--system",
        type=click.Choice(get_args(System)),
        help="f_S and f_T trained together, trained apart (baseline), or CDCA, which has neither.",
    ),
    _option(
        "--stream",
        type=click.Choice(get_args(StreamChoice)),
        help="s2t upscales, then interpolates, which is sharper; t2s the other way round, which is faster unless f_T "
        "is rife; both: their mean; auto measures both on pairs sampled from INPUT and takes the better one.",
    ),
    _option(
        "--disagreement",
        metavar="FILE",
        multiple=True,
        type=click.Path(path_type=Path),
        help="Write where the two streams differ: FILE.csv has a row for each new frame but at cuts; FILE.mp4 or .mkv "
        "is a heat map, black where they agree, pale yellow from 32 levels of 255. Runs both streams (repeatable).",
    ),
    _option(
        "--on-doubt",
        metavar="hold|blend[:LEVELS]",
        callback=_on_doubt,
        help="Where the streams differ by more than LEVELS of 255 on average "
        f"[default: {OnDoubt('hold').threshold:g}], show the frame before again (hold) or a fade (blend) instead of "
        "the new frame. Runs both streams.",
    ),
    _option(
        "--cut",
        type=click.Choice(get_args(CutAction)),
        help="Between the last frame of a shot and the first of the next: the frame before again (hold), a fade "
        "(blend), or what the networks make of them (off).",
    ),
    _option(
        "--scene-threshold",
        metavar="LEVELS",
        type=float,
        callback=levels,
        help="How far the change at a cut rises above the motion around it, in levels of 255; lower finds more cuts.",
    ),
    click.option(
        "--dedup",
        is_flag=True,
        help="Replace the repeated frames of animation on twos and threes by new ones; no frame moves in time.",
    ),
)

_networks = section(
    "Networks",
    _option("--spatial", help="Name of f_S."),
    _option("--temporal", help="Name of f_T."),
    _option(
        "--weights",
        metavar="NAME|PATH",
        multiple=True,
        help="A name of `stsr weights list`, a .safetensors file, or hf:OWNER/REPO[@REVISION]:FILE; a later one wins "
        "(repeatable)  [default: those published for the modules]",
    ),
    click.option("--offline", is_flag=True, help="Fetch no weights; use what is here."),
    _option("--device", help="auto, cpu, cuda, cuda:N or mps."),
    _option(
        "--precision",
        type=click.Choice(["auto", "fp32", "fp16", "bf16"]),
        help="auto is fp16 on a recent CUDA GPU, else fp32.",
    ),
    _option(
        "--batch-size",
        type=click.IntRange(1),
        help="Frame pairs a network call  [default: 1 on a CPU, 4 on a GPU]",
    ),
)

_long_runs = section(
    "Long runs",
    _option(
        "--segment",
        metavar="SECONDS",
        type=TIME,
        help="Length of the parts that a longer video is made in; each is done once and for all, in OUTPUT.stsr, and "
        "the same command goes on after an interruption. 0: all of it is one part.",
    ),
    click.option(
        "--resume/--no-resume",
        default=True,
        help="Go on with the parts that an earlier run has made, or make them anew  [default: go on]",
    ),
    click.option("--keep-work", is_flag=True, help="Leave OUTPUT.stsr when OUTPUT is complete."),
)


def run_options(command: Any) -> Any:
    """Every option that says how a run goes; `take_run` reads them."""
    groups = (
        source_options,
        decoding_options,
        _what_is_computed,
        _networks,
        memory_options,
        _long_runs,
        encode_options,
        track_options,
    )
    for group in reversed(groups):
        command = group(command)
    return command


def take_run(values: dict[str, Any]) -> UpscaleOptions:
    """The run that `values` describe; refuses what makes no sense together."""
    if values["system"] == "cdca":
        refuse_given(
            "with --system cdca, which has no modules and no streams",
            "spatial",
            "temporal",
            "stream",
            "disagreement",
            "on_doubt",
        )
    if values["cut"] == "off":
        refuse_given("with --cut off, which looks for no cuts", "scene_threshold")
    height = values.pop("height")
    if height is not None:
        refuse_given("with --height", "size")
        values["size"] = (None, height)
    if values["fps"] is not None:
        values["is_time_scale_free"] = is_default("time_scale")
        if values["vfr"] == "keep":
            refuse_given("with --fps, which makes the frame rate constant", "vfr")
    from stsr_cli.video.target import image_pattern

    if image_pattern(values["target"]):
        refuse_given("for images, whose ending says how to encode", "codec", "crf", "preset")
    if str(values["target"]) != "-":
        refuse_given("without - as OUTPUT, since a file's ending says it", "format")
    groups = {
        "read": take(values, SourceOptions),
        "model": take(values, ModelOptions),
        "encode": take(values, EncodeOptions),
        "tracks": take_tracks(values),
    }
    return UpscaleOptions(**values, **groups)


def _ways_out(error: UnfinishedOutput, output: str, words: Sequence[str]) -> str:
    """The commands that complete an output; `output`: how it is called among `words`, which were typed."""
    commands = []
    forms = {output: "", f"-o{output}": "-o", f"--output={output}": "--output="}
    place = max((place for place, word in enumerate(words) if word in forms), default=0)
    before, after = words[1:place], words[place + 1 :]
    for target, options in error.ways if place else ():
        called = words[place]
        if Path(output).suffix != target.suffix:
            called = f"{forms[called]}{target}"
        commands.append(going_on(["stsr", words[0], *options, *before, called, *after]))
    return f"; to join them: {'; or: '.join(commands)}" if commands else ""


@click.command(cls=SectionedCommand)
@click.argument("paths", metavar="INPUT... OUTPUT", type=click.Path(), nargs=-1, required=True)
@run_options
@many_options
@distribute_options
@tell_options
@click.option(
    "--preview",
    "preview_seconds",
    metavar="SECONDS",
    type=TIME,
    help="Write three excerpts of SECONDS each instead, every frame beside what bicubic and blend make of it.",
)
@_option(
    "--report",
    metavar="FILE.json",
    type=click.Path(path_type=Path),
    help="Write what was done and what was verified: versions, weights, options, tracks, cuts, times.",
)
@click.option(
    "-o", "--output", metavar="OUTPUT", help="OUTPUT, which may stand here instead of at the end."
)
@click.option("-y", "--overwrite", is_flag=True, help="Replace OUTPUT and FILE if they exist.")
@click.pass_context
def command(
    context: click.Context, /, paths: tuple[str, ...], output: str | None, **values: Any
) -> None:
    """Upscale the video INPUT to OUTPUT: 4x the resolution and 2x the frame rate.

    Sound, subtitles, chapters, attachments and tags are copied as they are where OUTPUT can hold them, else converted
    or left out with a warning; `stsr probe INPUT OUTPUT` says beforehand. Colours and timestamps are kept. OUTPUT
    appears under its name when it is complete and has been checked.

    Both may be images, numbered (frames/%06d.png) or all in a folder (frames/), or - for a stream from or to another
    program.

    Several INPUTs, or folders of videos, go into the folder OUTPUT, one after the other; the same command again goes on
    with those that are left.
    """
    paths = paths if output is None else (*paths, output)
    paths, distribute = take_distribute(paths, values)
    tell = take_telling(values)
    arguments = sort_arguments(paths, values, is_output_named=output is not None)
    many = {name: values.pop(name) for name in _MANY}
    preview_seconds = values.pop("preview_seconds")
    options = take_run({**values, "source": arguments.inputs[0], "target": arguments.target})
    if (LIST, "") in options.encode.options:
        print_encoder_options(options.encode.codec, options.target)
        return
    if preview_seconds is not None:
        run_preview(options, preview_seconds, tell)
        return
    make = engine(distribute, is_shown=tell.progress == "auto")
    if arguments.is_batch:
        context.exit(run_many(take_batch(arguments, many, options), tell, make))
    with telling(tell) as told:
        listener = told.file(options)
        if not options.overwrite:
            refuse_second_input(options.source, options.target, is_output_named=output is not None)
        try:
            report = make(options, listener)
        except UnfinishedOutput as error:
            raise error.with_advice(_ways_out(error, str(arguments.output), context.obj)) from error
        told.finish(report)
    if report.damage:
        context.exit(FINISHED_DAMAGED)
