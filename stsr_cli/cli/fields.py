"""Click options that take their defaults from the dataclasses in `options.py`, where each is written once.

Also: which of them make no sense together.
"""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import click
from click.core import ParameterSource

Decorator = Callable[[Any], Any]


def option_of(*classes: Any) -> Callable[..., Decorator]:
    """Return `click.option` with the default of the field that the last name given spells, of one of the classes."""
    defaults = {field.name: field.default for options in classes for field in fields(options)}

    def option(*names: str, **attributes: Any) -> Decorator:
        default = defaults[names[-1].removeprefix("--").replace("-", "_")]
        show_default = default not in (None, ())
        return click.option(*names, default=default, show_default=show_default, **attributes)

    return option


def refuse_given(why: str, *names: str) -> None:
    """Refuse options of the running command that make no sense `why`, if they were given at all.

    Raises:
        click.UsageError: one was given on the command line; the message names all that were.
    """
    context = click.get_current_context()
    given = [
        f"--{name.replace('_', '-')}"
        for name in names
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(
            f"{', '.join(given)} cannot be used {why}; leave out what is not needed"
        )


def is_default(name: str) -> bool:
    """Whether an option of the running command was given neither on the command line nor by a file."""
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.DEFAULT
