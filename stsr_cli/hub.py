"""A weights name becomes a local file: a path, weights that ship with stsr, or a file on the Hugging Face Hub.

Embedded weights lie in `weights/`, described by `manifest.json`: name -> {file, sha256, spatial, temporal}.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, cast

from stsr_cli.checkpoint import sha256
from stsr_cli.errors import WeightsError


def weights_folder() -> Path:
    """Return the folder of the embedded weights: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / "weights"
    return inside if inside.is_dir() else package.parent / "weights"


@cache
def manifest() -> dict[str, dict[str, Any]]:
    """Return the descriptions of the embedded weights by name."""
    path = weights_folder() / "manifest.json"
    try:
        return cast(dict[str, dict[str, Any]], json.loads(path.read_text()))
    except FileNotFoundError as error:
        raise WeightsError(
            f"the embedded weights are missing ({path}); install stsr again"
        ) from error


def resolve_weights(name: str) -> Path:
    """Return the local file for a weights name or path.

    Args:
        name: a path of a .safetensors file, or the name of embedded weights.

    Raises:
        WeightsError: there is no such file or name, or an embedded file is damaged.
    """
    path = Path(name)
    if path.suffix == ".safetensors" or path.exists():
        if not path.is_file():
            raise WeightsError(f"weights file {path} does not exist")
        return path
    entries = manifest()
    if name not in entries:
        raise WeightsError(
            f"no weights {name!r}; embedded: {', '.join(sorted(entries))}; or give a .safetensors path"
        )
    path = weights_folder() / str(entries[name]["file"])
    if not path.is_file() or sha256(path) != entries[name]["sha256"]:
        raise WeightsError(
            f"embedded weights {name!r} ({path}) are missing or damaged; install stsr again"
        )
    return path
