"""A weights name becomes a local file: a path, weights that ship with stsr, or a file on the Hugging Face Hub.

Embedded weights lie in `weights/`, described by `manifest.json`: name -> {file, sha256, spatial, temporal}. The Hub's
own client keeps what it fetched, verified and complete, in its cache, and obeys HF_ENDPOINT, HF_HOME, HF_HUB_OFFLINE.
"""

import json
import re
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
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"the list of embedded weights ({path}) is missing or damaged; install stsr again"
        ) from error


_HUB_NAME = re.compile(
    r"hf:(?P<repo>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[\w./-]+))?:(?P<file>[^:]+\.safetensors)"
)


def resolve_weights(name: str) -> Path:
    """Return the local file for a weights name or path.

    Args:
        name: a path of a .safetensors file, the name of embedded weights, or a file on the Hugging Face Hub:
            `hf:OWNER/REPO[@REVISION]:FILE.safetensors`.

    Raises:
        WeightsError: there is no such file or name, an embedded file is damaged, or the Hub cannot be reached.
    """
    if name.startswith("hf:"):
        return _download(name)
    path = Path(name)
    if path.suffix == ".safetensors" or path.exists():
        if not path.is_file():
            raise WeightsError(f"weights file {path} does not exist")
        return path
    entries = manifest()
    if name not in entries:
        raise WeightsError(
            f"no weights {name!r}; embedded: {', '.join(sorted(entries))}; "
            "or give a .safetensors path, or hf:OWNER/REPO:FILE"
        )
    path = weights_folder() / str(entries[name]["file"])
    if not path.is_file() or sha256(path) != entries[name]["sha256"]:
        raise WeightsError(
            f"embedded weights {name!r} ({path}) are missing or damaged; install stsr again"
        )
    return path


def _download(name: str) -> Path:
    """The local copy of a file on the Hub; what is cached already needs no network."""
    parts = _HUB_NAME.fullmatch(name)
    if parts is None:
        raise WeightsError(f"{name!r} is not hf:OWNER/REPO[@REVISION]:FILE.safetensors")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(parts["repo"], parts["file"], revision=parts["revision"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(
            f"cannot fetch {name}: {reason}; check the name and the network"
        ) from error
