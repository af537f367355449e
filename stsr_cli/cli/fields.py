"""Click options that take their defaults from the dataclasses in `options.py`, where each is written once."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import click

Decorator = Callable[[Any], Any]


def option_of(*classes: Any) -> Callable[..., Decorator]:
    """Return `click.option` with the default of the field that the last name given spells, of one of the classes."""
    defaults = {field.name: field.default for options in classes for field in fields(options)}

    def option(*names: str, **attributes: Any) -> Decorator:
        default = defaults[names[-1].removeprefix("--").replace("-", "_")]
        return click.option(*names, default=default, show_default=default is not None, **attributes)

    return option
