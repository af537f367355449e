"""Click options that take their defaults from the dataclasses in `options/`, where each is written once.

Also: which of them make no sense together, and the sections of a long help.
"""

import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from stsr_cli.options import DEFAULT_IMAGE_NAME

Decorator = Callable[[Any], Any]


def option_of(*classes: Any) -> Callable[..., Decorator]:
    """Return `click.option` with the default of the field that the last name given spells, of one of the classes."""
    defaults = {field.name: field.default for options in classes for field in fields(options)}

    def option(*names: str, **attributes: Any) -> Decorator:
        default = defaults[names[-1].removeprefix("--").replace("-", "_")]
        show_default = default not in (None, ())
        return click.option(*names, default=default, show_default=show_default, **attributes)

    return option


def output_path(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> Path | None:
    """An output as a path, None as None; with a slash at its end it is a folder of images.

    A link to a file is written through, as by any program that opens it: what it leads to may be on a larger disk.
    """
    if value is None:
        return None
    is_folder = value.endswith(("/", os.sep))
    path = Path(value) / DEFAULT_IMAGE_NAME if is_folder else Path(value)
    try:
        return path.resolve() if path.is_symlink() and not path.is_dir() else path
    except (OSError, RuntimeError):
        raise click.BadParameter(f"{value!r} is a link that leads nowhere") from None


class SectionedCommand(click.Command):
    """A command whose help lists the options of each `section` under a title of their own."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, those of no section first."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                title = _SECTIONS.get(parameter, "Options")
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


_SECTIONS: dict[click.Parameter, str] = {}


def section(title: str, *options: Decorator) -> Decorator:
    """Several options as one decorator; the help of a `SectionedCommand` has them under `title`."""

    def decorate(command: Any) -> Any:
        num_before = len(getattr(command, "__click_params__", ()))
        for option in reversed(options):
            command = option(command)
        for parameter in command.__click_params__[num_before:]:
            _SECTIONS[parameter] = title
        return command

    return decorate


def hidden(options: Decorator, *shown: str) -> Decorator:
    """The same options, of which a help lists those named alone."""

    def decorate(command: Any) -> Any:
        num_before = len(getattr(command, "__click_params__", ()))
        command = options(command)
        for parameter in command.__click_params__[num_before:]:
            parameter.hidden = parameter.name not in shown
        return command

    return decorate


def take(values: dict[str, Any], options: Any) -> Any:
    """An instance of the dataclass `options`, with those of its fields that are among `values`, which lose them."""
    return options(
        **{field.name: values.pop(field.name) for field in fields(options) if field.name in values}
    )


def refuse_given(why: str, *names: str) -> None:
    """Refuse options of the running command that make no sense `why`, if they were given at all.

    Raises:
        click.UsageError: one was given on the command line; the message names all that were.
    """
    context = click.get_current_context()
    given = [
        parameter.opts[-1]
        for parameter in context.command.params
        if parameter.name in names
        and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(
            f"{', '.join(given)} cannot be used {why}; leave out what is not needed"
        )


def is_default(name: str) -> bool:
    """Whether an option of the running command was given neither on the command line nor by a file."""
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.DEFAULT
