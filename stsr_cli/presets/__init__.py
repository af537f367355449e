"""Presets: recipes as TOML files that ship with stsr, and the user's own configuration files. Standard library only.

A preset's top-level keys hold for every stage, those of a table named after a stage for that stage alone.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

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
        UsageError: an unknown key; the message names the closest one.
        InputError: the file cannot be read, or is no TOML.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read {path}: {reason}; expected a TOML file") from error
    for key in values:
        if key not in CONFIG_KEYS:
            raise UsageError(f"{path}: {unknown_name('option', key, CONFIG_KEYS)}")
    return values
