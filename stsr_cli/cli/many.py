"""Many files in one `stsr upscale`: which arguments make it a batch, and the batch they make."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stsr_cli.cli.fields import Decorator, option_of, output_path, refuse_given, section
from stsr_cli.errors import InputError, InterruptedRun, UsageError
from stsr_cli.options import BatchOptions, TellOptions, UpscaleOptions
from stsr_cli.text import command_line, plural

if TYPE_CHECKING:
    from stsr_cli.batch.run import Make

_option = option_of(BatchOptions)

many_options: Decorator = section(
    "Many files",
    click.option("-r", "--recursive", is_flag=True, help="Take videos in folders of folders, too."),
    _option(
        "--output-pattern",
        "pattern",
        metavar="NAME",
        help='Name of each output, such as "{stem}_{w}x{h}_{fps}fps{ext}"; also {name}, {scale}, {time_scale}, {index} '
        "and {parent}, the input's folder. Without a folder as OUTPUT it lies beside its input.",
    ),
    click.option(
        "--skip-existing",
        is_flag=True,
        help="Leave out files whose output exists, whatever made it.",
    ),
    click.option(
        "--halt-on-error", is_flag=True, help="Try no other file after the first that fails."
    ),
)


@dataclass(frozen=True)
class Arguments:
    """INPUT... OUTPUT, sorted out.

    Attributes:
        inputs: all but the output.
        output: as it was written; None: there is none, and outputs lie beside their inputs.
        is_batch: whether OUTPUT is a folder of videos, and not one video or sequence of images.
    """

    inputs: tuple[Path, ...]
    output: str | None
    is_batch: bool

    @property
    def target(self) -> Path:
        """The output of a single run, or a stand-in."""
        path = None if self.is_batch else output_path_of(self.output)
        return path or Path("OUTPUT.mkv")


def output_path_of(value: str | None) -> Path | None:
    """See `fields.output_path`."""
    return output_path(click.get_current_context(), click.Argument(["output"]), value)


def sort_arguments(
    paths: tuple[str, ...], values: dict[str, Any], *, is_output_named: bool
) -> Arguments:
    """What of the arguments is read and where it goes.

    It is a batch with more than one input, with -r or --output-pattern, or if the input is a folder that holds videos
    and no frames of a sequence. The last argument is the output; with --output-pattern only if it is a folder, and not
    alone, or if `is_output_named`: -o said so.

    Raises:
        click.UsageError: there is no output, or it is no folder and has to be one.
    """
    has_pattern = values["pattern"] is not None
    if len(paths) < 2 and not has_pattern:
        raise click.UsageError(
            f"Missing argument 'OUTPUT'; write: {command_line(upscale_command(list(paths)))}"
        )
    if is_output_named and len(paths) == 3 and not Path(paths[1]).exists() and not has_pattern:
        raise click.UsageError(f"OUTPUT was named twice: {paths[1]} and {paths[2]}; leave one out")
    first, last = tuple(map(Path, paths[:-1])), paths[-1]
    is_batch = len(first) > 1 or has_pattern or values["recursive"]
    is_folder = last.endswith(("/", os.sep)) or Path(last).is_dir()
    if not is_batch and first[0].is_dir():
        is_batch = _is_folder_of_videos(first[0], is_folder)
    if not is_batch:
        refuse_given("with one INPUT that is no folder of videos", "skip_existing", "halt_on_error")
        return Arguments(first, last, is_batch=False)
    refuse_given("with several files; it is one file of one run", "report", "disagreement")
    refuse_given("with several files", "preview_seconds", "format")
    if has_pattern and not is_output_named and not (first and is_folder):
        return Arguments((*first, Path(last)), None, is_batch=True)
    if not is_folder:
        several = "more than one input" if len(first) > 1 else "a folder of videos"
        what = "a file" if Path(last).exists() else "none"
        advice = f"write {last}/ to have it made"
        if Path(last).suffix:
            advice = "name a folder behind the inputs, such as out/ (with its slash)"
        raise click.UsageError(
            f"{several} needs a folder as output, and OUTPUT, {last!r}, is {what}; {advice}, or name outputs by "
            "--output-pattern"
        )
    return Arguments(first, last, is_batch=True)


def refuse_second_input(source: Path, target: Path, *, is_output_named: bool) -> None:
    """Refuse an output that exists and looks like an input; `is_output_named`: -o said that it is the output.

    Raises:
        InputError: there is no input of that name, so that it may be the other one.
        UsageError: it is a file other than the input.
    """
    if not target.is_file() or (source.exists() and not source.is_file()):
        return
    from stsr_cli.video.images.sequence import parse_pattern
    from stsr_cli.video.probe import shown

    if not source.exists():
        is_name = str(source) != "-" and "://" not in shown(source)
        if is_name and not is_output_named and parse_pattern(source.name) is None:
            command = command_line(["stsr", "upscale", str(target), str(source)])
            raise InputError(
                f"no such file: {shown(source)}; {shown(target)} is there: INPUT comes first, as in: {command}"
            )
        return
    if source.samefile(target):
        return
    last = "" if is_output_named else ", the last argument"
    raise UsageError(f"{shown(target)} exists and is OUTPUT{last}; -y replaces it")


def upscale_command(arguments: list[str]) -> list[str]:
    """The command that upscales; arguments that are one input alone get an output."""
    if len(arguments) == 1 and not arguments[0].startswith("-"):
        from stsr_cli.batch.naming import extension

        source = Path(arguments[0])
        is_folder = source.is_dir()
        target = f"{source}_4x/" if is_folder else source.with_name(f"{source.stem}_4x")
        arguments = [arguments[0], f"{target}{'' if is_folder else extension(source)}"]
    return ["stsr", "upscale", *arguments]


def _is_folder_of_videos(folder: Path, is_output_folder: bool) -> bool:
    """Whether a folder is meant for its videos; pictures of them beside are none of a sequence.

    Raises:
        click.UsageError: it holds both, and OUTPUT does not tell which is meant.
    """
    from stsr_cli.video.images.sequence import contents

    found = contents(folder)
    if found.videos and found.images and is_output_folder:
        frame, video = found.images[0], found.videos[0]
        raise click.UsageError(
            f"{folder} holds {plural(len(found.videos), 'video')} ({video.name}) and "
            f"{plural(len(found.images), 'numbered image')} ({frame.name}); name the "
            f"videos themselves, or the images by a pattern, such as {folder / '%06d'}{frame.suffix}"
        )
    return bool(found.videos) and not found.images


def take_batch(arguments: Arguments, values: dict[str, Any], run: UpscaleOptions) -> BatchOptions:
    """The batch that arguments and options describe."""
    return BatchOptions(
        inputs=arguments.inputs,
        folder=None if arguments.output is None else Path(arguments.output),
        run=run,
        **values,
    )


def run_many(options: BatchOptions, tell: TellOptions, make: "Make") -> int:
    """As the library does, with what is told; `make` makes one file. Returns the exit code.

    Raises:
        InterruptedRun: it was stopped, after the summary.
    """
    from stsr_cli.batch.inputs import left_out
    from stsr_cli.batch.plan import plan_batch
    from stsr_cli.batch.run import run_batch
    from stsr_cli.cli.telling import telling

    with telling(tell) as told:
        items = plan_batch(options, told.on_probe)
        for note in left_out(options.inputs):
            told.on_note(note)
        report = run_batch(items, told, make, halt_on_error=options.halt_on_error)
        told.summarise(report)
    if report.exit_code == InterruptedRun.exit_code and tell.progress != "jsonl":
        raise InterruptedRun("interrupted", goes_on=True)
    return report.exit_code
