"""Presets: recipes as TOML files that ship with stsr, and the user's own configuration files. Standard library only.

A preset's top-level keys hold for every stage, those of a table named after a stage for that stage alone.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from stsr_cli.errors import InputError, UsageError
from stsr_cli.options import Recipe, Stage, TrainOptions
from stsr_cli.registry import unknown_name

_FOLDER = Path(__file__).parent
RECIPE_KEYS = tuple(field.name for field in fields(Recipe))
# What a configuration file may hold: every option of a run but the recipe as a whole.
CONFIG_KEYS = (
    "preset",
    *(field.name for field in fields(TrainOptions) if field.name != "recipe"),
    *RECIPE_KEYS,
)


def available() -> tuple[str, ...]:
    """Return the names of the presets, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def recipe(preset: str, stage: Stage, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Read a preset's recipe for one stage.

    Args:
        preset: name of a shipped preset.
        stage: whose table counts.
        changes: fields that differ, which win.

    Raises:
        UsageError: no such preset.
    """
    if preset not in available():
        raise UsageError(unknown_name("preset", preset, available()))
    values = tomllib.loads((_FOLDER / f"{preset}.toml").read_text(encoding="utf-8"))
    tables = {name: values.pop(name, {}) for name in get_args(Stage)}
    values |= tables[stage] | dict(changes or {})
    return Recipe(**values)


def read_config(path: Path) -> dict[str, Any]:
    """Read a run's configuration, such as the config.toml of an earlier run (see `CONFIG_KEYS`).

    Raises:
        UsageError: an unknown key, of which the message names the closest one, or a value of another type.
        InputError: the file cannot be read, or is no TOML.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read {path}: {reason}; expected a TOML file") from error
    hints = {"preset": str, **get_type_hints(TrainOptions), **get_type_hints(Recipe)}
    for key, value in values.items():
        if key not in CONFIG_KEYS:
            raise UsageError(f"{path}: {unknown_name('option', key, CONFIG_KEYS)}")
        expected, types = _in_toml(hints[key])
        is_listed = not isinstance(value, list) or all(isinstance(item, str) for item in value)
        if type(value) not in types or not is_listed:
            raise UsageError(f"{path}: {key} = {value!r}; expected {expected}")
    return values


def _in_toml(hint: Any) -> tuple[str, set[type]]:
    """What a field of the dataclasses is in a TOML file: in words, and its types there."""
    if NoneType in get_args(hint):  # what is None is left out
        hint = next(kind for kind in get_args(hint) if kind is not NoneType)
    kinds: dict[Any, tuple[str, set[type]]] = {
        bool: ("true or false", {bool}),
        int: ("a whole number", {int}),
        float: ("a number", {int, float}),
        tuple: ("a list of texts", {list}),
        Mapping: ("a table", {dict}),
    }
    return kinds.get(get_origin(hint) or hint, ("a text", {str}))
