"""How much a command tells while it runs: `--progress`, `--log-level`, `--quiet`; and who is told."""

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, get_args

import click

from stsr_cli.cli.fields import Decorator, option_of, refuse_given, section, take
from stsr_cli.errors import InterruptedRun, StsrError
from stsr_cli.options import LogLevel, ProgressKind, TellOptions

if TYPE_CHECKING:
    from stsr_cli.console import Events, People

_option = option_of(TellOptions)

tell_options: Decorator = section(
    "What is told, on stderr",
    _option(
        "--progress",
        type=click.Choice(get_args(ProgressKind)),
        help="auto: a bar on a terminal; plain: a line every few seconds, for logs; jsonl: everything as JSON, one "
        "object a line (docs/progress.md); none.",
    ),
    _option(
        "--log-level",
        type=click.Choice(get_args(LogLevel)),
        help="The least that is said: errors; warnings of what is lost; notes and summaries (info); what FFmpeg "
        "and the encoders say themselves (debug).",
    ),
    click.option("-q", "--quiet", is_flag=True, help="As --progress none --log-level warning."),
)


def take_telling(values: dict[str, Any]) -> TellOptions:
    """The options of `tell_options` among `values`, which lose them."""
    if values.pop("quiet"):
        refuse_given("with --quiet", "progress", "log_level")
        values |= {"progress": "none", "log_level": "warning"}
    options: TellOptions = take(values, TellOptions)
    return options


@contextlib.contextmanager
def telling(options: TellOptions) -> "Iterator[People | Events]":
    """Whoever is told of the run in this context; to programs, its failure is an event as well, and the last word."""
    from stsr_cli.console import Events, Gauges, People, logs_told
    from stsr_cli.device import peak_memory, resolve_device
    from stsr_cli.video.messages import messages_logged
    from stsr_cli.video.probe import estimate_num_frames

    gauges = Gauges(estimate_num_frames, lambda: peak_memory(resolve_device("cpu")))
    is_json, is_debug = options.progress == "jsonl", options.log_level == "debug"
    spoken = messages_logged(stderr_too=not is_json) if is_debug else contextlib.nullcontext()
    if not is_json:
        with (
            People(options, gauges) as people,
            logs_told(options.log_level, people.log),
            spoken,
        ):
            yield people
        return
    events = Events(options, gauges)
    with logs_told(options.log_level, events.log):
        try:
            with spoken:
                yield events
        except StsrError as error:
            events.fail(str(error), error.exit_code)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            events.fail("interrupted; nothing unfinished was left behind", InterruptedRun.exit_code)
            sys.exit(InterruptedRun.exit_code)
