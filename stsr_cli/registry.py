"""The folder is the registry: which modules there are is read from `spatial/` and `temporal/` without importing them.

Standard library only; a module's file (and so torch) is imported by `load` alone.
"""

import difflib
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from stsr_cli.errors import UsageError

if TYPE_CHECKING:
    from stsr_cli.modules import SpatialModule, TemporalModule

Kind = Literal["spatial", "temporal"]


def available(kind: Kind) -> tuple[str, ...]:
    """Return the names of the modules of one kind, sorted."""
    folder = Path(__file__).parent / kind
    return tuple(
        sorted(
            entry.stem
            for entry in folder.iterdir()
            if not entry.name.startswith(("_", "."))
            and (entry.suffix == ".py" or (entry / "__init__.py").is_file())
        )
    )


def unknown_name(what: str, name: str, names: Sequence[str]) -> str:
    """Say that there is no `what` of that name, which one is close, and which there are."""
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"no {what} {name!r}; {hint}available: {', '.join(names)}"


@overload
def load(kind: Literal["spatial"], name: str) -> "type[SpatialModule]": ...
@overload
def load(kind: Literal["temporal"], name: str) -> "type[TemporalModule]": ...
@overload
def load(kind: Kind, name: str) -> "type[SpatialModule] | type[TemporalModule]": ...


def load(kind: Kind, name: str) -> "type[SpatialModule] | type[TemporalModule]":
    """Import the class of module `name`.

    Raises:
        UsageError: there is no such module; the message names the closest one and lists all.
    """
    names = available(kind)
    if name not in names:
        raise UsageError(unknown_name(f"{kind} module", name, names))
    module = importlib.import_module(f"stsr_cli.{kind}.{name}")
    found: type[SpatialModule] | type[TemporalModule] = module.MODULE
    return found


@overload
def build(
    kind: Literal["spatial"], name: str, config: Mapping[str, Any] = ...
) -> "SpatialModule": ...
@overload
def build(
    kind: Literal["temporal"], name: str, config: Mapping[str, Any] = ...
) -> "TemporalModule": ...
@overload
def build(
    kind: Kind, name: str, config: Mapping[str, Any] = ...
) -> "SpatialModule | TemporalModule": ...


def build(
    kind: Kind, name: str, config: Mapping[str, Any] | None = None
) -> "SpatialModule | TemporalModule":
    """Make module `name` from its keyword arguments, freshly initialised.

    Raises:
        UsageError: there is no such module, or it does not know an argument.
    """
    module: Any = load(kind, name)
    try:
        made: SpatialModule | TemporalModule = module(**(config or {}))
    except TypeError as error:
        raise UsageError(
            f"{kind} module {name!r} cannot be built from {dict(config or {})}: {error}"
        ) from error
    return made


def name_of(module: object) -> str:
    """The name that `build` made a module by: that of the file, or folder, its class is in."""
    return type(module).__module__.split(".")[2]
