"""The `stsr` command: a group whose commands are imported when they are called, and the one place that exits.

One file a command: parse -> options -> one library call -> print. torch and av are imported inside the commands.
"""

import contextlib
import difflib
import importlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from stsr_cli import __version__
from stsr_cli.cli.standard_streams import surviving_streams
from stsr_cli.errors import InterruptedRun, StsrError
from stsr_cli.text import command_line, going_on

# Command -> (its file here, help line), so that `stsr --help` imports no command.
_COMMANDS = {
    "upscale": ("upscale", "Upscale a video in space and time."),
    "probe": ("probe", "Say what a video holds and what becomes of it in an output."),
    "train": ("train", "Train f_S, f_T, and both streams together."),
    "finetune": ("finetune", "Adapt weights to your own footage, without originals."),
    "compare": ("compare", "Put videos beside each other, in a video or on a page."),
    "eval": ("evaluate", "Measure PSNR and SSIM of interpolated frames on test sets."),
    "weights": ("weights", "List, fetch, check, publish and convert weights."),
    "reproduce": ("reproduce", "Repeat the paper's ablations, in small or in full."),
    "bench": ("bench", "Measure latency, throughput and memory on this machine."),
}

_TERMS = (
    "The code is Apache-2.0, and so are the default weights. The others that ship (fast, espcn+dvf, cdca) are for\n"
    "non-commercial research only, and so is what you make with them; `stsr weights list` has the terms of each."
)

# Options of other programs -> what to do here.
_OF_OTHERS = {
    "i": "INPUT is named without it; leave it out",
    "input": "INPUT is named without it; leave it out",
    "width": "give --size 1920x1080, or --height 1080 and the width follows",
}

_VERSION = f"%(prog)s, version %(version)s\n{_TERMS}"


class _LazyGroup(click.Group):
    """Lists its commands without importing them and maps `StsrError` to exit codes."""

    def main(self, args: Sequence[str] | None = None, *others: Any, **options: Any) -> Any:
        words = [*(sys.argv[1:] if args is None else args)]
        with surviving_streams():
            # `obj`: what was typed, for messages that name a command to go on with
            return super().main(args, *others, obj=words, **options)

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """See `click.Command`."""
        with _usage_in_one_line():
            return super().make_context(*arguments, **options)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"stsr_cli.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Take a command by its name; a word that is none is answered with the command that was meant.

        `help` and `version` are words for the options.

        Raises:
            click.UsageError: it is none.
        """
        if args == ["help"]:
            click.echo(ctx.get_help())
            ctx.exit()
        if args[:1] == ["help"]:
            args = [*args[1:], "--help"]
        if args[:1] == ["version"]:
            click.echo(_VERSION % {"prog": "stsr", "version": __version__})
            ctx.exit()
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            meant = _meant(args)
            advice = f"did you mean: {command_line(meant)}" if meant else "stsr --help lists them"
            raise click.UsageError(f"no such command: {args[0]!r}; {advice}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        # Idle threads of torch would spin on cores that the decoder and the encoder want. Read when torch is loaded.
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")
        # SIGTERM cleans up like Ctrl-C; a command that can do better sets its own handlers.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        # a terminal that is closed, unless nohup is there; Windows: also Ctrl-Break
        if sys.platform == "win32":
            hang_up = signal.SIGBREAK
        else:
            hang_up = signal.SIGHUP
        if signal.getsignal(hang_up) == signal.SIG_DFL:
            signal.signal(hang_up, signal.default_int_handler)
        try:
            with _usage_in_one_line():
                return super().invoke(ctx)
        except StsrError as error:
            # every process of a distributed run is stopped; the first one says so
            if not isinstance(error, InterruptedRun) or os.environ.get("RANK", "0") == "0":
                again = f"; to go on: {going_on(['stsr', *ctx.obj])}" if error.goes_on else ""
                click.echo(f"stsr: {error}{again}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("stsr: interrupted; nothing unfinished was left behind", err=True)
            sys.exit(InterruptedRun.exit_code)


@contextlib.contextmanager
def _usage_in_one_line() -> Iterator[None]:
    """Say what is wrong with a command as every error is said: in one line, and with exit code 2."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        message = " ".join(error.format_message().split()).rstrip(".")
        command = error.ctx.info_name if error.ctx is not None else None
        if isinstance(error, click.NoSuchOption) and command in ("upscale", "probe"):
            advice = _OF_OTHERS.get(error.option_name.lstrip("-"))
            message = f"no such option: {error.option_name}; {advice}" if advice else message
        message = message.replace("a valid integer range", "a whole number")
        message = message.replace("a valid float range", "a number")
        if ";" not in message and error.ctx is not None:
            message += f"; {error.ctx.command_path} --help lists what there is"
        if not message[:2].isupper():  # the name of an argument, such as INPUT
            message = f"{message[:1].lower()}{message[1:]}"
        click.echo(f"stsr: {message}", err=True)
        sys.exit(error.exit_code)


def _meant(args: list[str]) -> list[str] | None:
    """The command that was meant by one whose first word is no command; None: who knows."""
    from stsr_cli.cli.many import upscale_command

    word, *others = args
    if word == "preview":
        files = [one for one in others if not one.startswith("-")]
        if len(files) == 1:
            files = upscale_command(files)[2:]
        return ["stsr", "upscale", *(files or ["INPUT", "OUTPUT"]), "--preview", "2"]
    close = difflib.get_close_matches(word.lower(), _COMMANDS, n=1)
    if Path(word).exists() or (not close and Path(word).suffix):
        return upscale_command(args)
    return ["stsr", *close, *others] if close else None


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(
    __version__,
    "-V",
    "--version",
    prog_name="stsr",
    message=_VERSION,
)
def main() -> None:
    """Spatiotemporal video super-resolution: 4x the resolution and 2x the frame rate, on the CPU or a GPU."""
