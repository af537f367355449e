"""A weights name becomes a local file: a path, weights that ship with stsr, or a file on the Hugging Face Hub.

`weights/manifest.json` describes what stsr has published, by name. An entry is embedded, `{"file", "sha256", ...}`, or
on the Hub, `{"repo", "revision", "file", "sha256", ...}` with a commit as the revision. A file from the Hub is used
when its sha256 is the pinned one, or for an `hf:` name the one by which the Hub files it. The Hub's own client writes
its cache atomically and under a lock, and obeys HF_ENDPOINT, HF_HOME, HF_TOKEN, HF_HUB_OFFLINE and the proxies.
"""

import contextlib
import difflib
import errno
import logging
import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

from stsr_cli.checkpoint import load_weights, read_header, shortened
from stsr_cli.errors import StsrError, WeightsError
from stsr_cli.files import parse_json, sha256
from stsr_cli.modules import shapes_only
from stsr_cli.registry import Kind, available, build

Place = Literal["embedded", "cached", "hub", "file"]

_HUB_NAME = re.compile(
    r"hf:(?P<repo>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[\w./-]+))?:(?P<file>[^:]+\.safetensors)"
)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RETRY_SECONDS = 1.0
_MOST_ORIGINS = 20  # that a file may name
TRAINED_FROM = " (trained from "  # between the terms of weights and what these come from


@dataclass(frozen=True)
class HubFile:
    """A file on the Hub.

    Attributes:
        name: what the user calls it, for messages.
        repo, file: where it is, e.g. "owner/repo" and "pair.safetensors".
        revision: commit, tag or branch; None is the main branch.
        sha256: what the file must have, or None where nobody pinned it.
    """

    name: str
    repo: str
    file: str
    revision: str | None = None
    sha256: str | None = None


def weights_folder() -> Path:
    """Return the folder of the embedded weights: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / "weights"
    return inside if inside.is_dir() else package.parent / "weights"


@cache
def manifest() -> dict[str, dict[str, Any]]:
    """Return the descriptions of the published weights by name."""
    path = weights_folder() / "manifest.json"
    try:
        return cast(dict[str, dict[str, Any]], parse_json(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"the list of embedded weights ({path}) is missing or damaged; install stsr again"
        ) from error


def resolve_weights(name: str, offline: bool = False) -> Path:
    """Return the local file for a weights name or path; what is on the Hub is fetched and checked.

    Args:
        name: a path of a .safetensors file, a name in the manifest such as `span+rife`, or a file on the Hugging Face
            Hub: `hf:OWNER/REPO[@REVISION]:FILE.safetensors`.
        offline: use what is on this machine only, as HF_HUB_OFFLINE=1 does.

    Raises:
        WeightsError: there is no such file or name, a file is damaged, or the Hub cannot be reached.
    """
    found = _find(name)
    if isinstance(found, HubFile):
        return _fetch(found, offline)
    pinned = _pinned(name)
    if pinned is not None and not (found.is_file() and sha256(found) == pinned):
        raise WeightsError(
            f"embedded weights {name!r} ({found}) are missing or damaged; install stsr again"
        )
    if not found.is_file():
        raise WeightsError(f"weights file {found} does not exist")
    return found


def local_path(name: str) -> Path | None:
    """Return where a weights name lies on this machine, unchecked, or None; asks no network."""
    found = _find(name)
    path = _cached(found) if isinstance(found, HubFile) else found
    return path if path is not None and path.is_file() else None


def place(name: str) -> Place:
    """Return where a weights name is: it ships with stsr, lies in the Hub's cache or only on the Hub, or is a path."""
    found = _find(name)
    if isinstance(found, HubFile):
        return "cached" if _cached(found) else "hub"
    return "embedded" if _pinned(name) else "file"


def verify(name: str, offline: bool = False) -> Path:
    """Check that weights have their sha256 and fill modules of this version; return their file.

    A file that is on this machine is checked as it lies there. One that is not is fetched first, if `offline` allows.

    Raises:
        WeightsError: what is wrong.
    """
    path = local_path(name) or resolve_weights(name, offline)
    expected = expected_sha256(name)
    if expected is not None and sha256(path) != expected:
        raise WeightsError(f"damaged: its sha256 is {sha256(path)}, not {expected}")
    load_weights(path)
    return path


def expected_sha256(name: str) -> str | None:
    """Return the sha256 that weights must have; None where nobody says it: for a path, and where the Hub has none."""
    found = _find(name)
    if isinstance(found, HubFile):
        path = _cached(found)
        return found.sha256 if path is None else _expected(found, path)
    return _pinned(name)


@dataclass(frozen=True)
class Origin:
    """Weights that others were trained from: their name, and their terms or None where nobody knows them."""

    name: str
    licence: str | None


def licence(name: str, path: Path) -> str | None:
    """Return the terms of weights, by their name or, of a path, by what is in the file; None: unknown.

    Weights trained from others have the strictest terms of those: "non-commercial research (trained from span+rife)".
    """
    _, entry = _published_as(name, path)
    if entry is not None:
        return entry.get("licence")
    start = _start_in(path) or ()
    terms = [one.licence for one in start]
    bound = [one for one in terms if one is not None and one.startswith("non-commercial")]
    if not start or (None in terms and not bound):
        return None
    strictest = bound[:1] or dict.fromkeys(filter(None, terms))
    return f"{', '.join(strictest)}{TRAINED_FROM}{', '.join(one.name for one in start)})"


def origins(name: str, path: Path) -> tuple[Origin, ...]:
    """Return what weights trained from these ones come from: these, or those that these were trained from."""
    known, entry = _published_as(name, path)
    if entry is not None:
        return (Origin(known, entry.get("licence")),)
    start = _start_in(path)
    return (Origin(known, None),) if start is None else start


def _published_as(name: str, path: Path) -> tuple[str, dict[str, Any] | None]:
    """The name and the description of published weights; of others how they are called, without folders, and None."""
    if _is_path(name):
        digest = sha256(path)
        copied = [one for one in manifest().items() if one[1].get("sha256") == digest]
        return copied[0] if copied else (Path(name).name, None)
    return name, _entry(name)


def _start_in(path: Path) -> tuple[Origin, ...] | None:
    """What a file says that it was trained from, nothing included; None: it does not say."""
    found = read_header(path).get("training", {}).get("start")
    if not isinstance(found, list):
        return None
    return tuple(
        Origin(
            shortened(str(one.get("name"))),
            None if one.get("licence") is None else shortened(str(one["licence"])),
        )
        for one in found[:_MOST_ORIGINS]
        if isinstance(one, dict)
    )


def terms_file() -> Path:
    """Return the text of the terms of the embedded weights."""
    return weights_folder() / "LICENSE"


def without_weights() -> dict[Kind, list[str]]:
    """Return the modules that have parameters and for which no weights are published, by kind."""
    kinds: tuple[Kind, ...] = ("spatial", "temporal")
    missing: dict[Kind, list[str]] = {}
    for kind in kinds:
        published = {entry.get(kind) for entry in manifest().values()}
        with shapes_only():
            missing[kind] = [
                name
                for name in available(kind)
                if name not in published and any(True for _ in build(kind, name).parameters())
            ]
    return missing


def _entry(name: str) -> dict[str, Any] | None:
    """The manifest's description; the names of 0.1 had a dash."""
    entries = manifest()
    dashed = {known.replace("+", "-"): entry for known, entry in entries.items()}
    return entries.get(name) or dashed.get(name)


def _is_path(name: str) -> bool:
    """Whether a weights name is a file's; a folder holds no weights, and may be called as weights are."""
    return Path(name).suffix == ".safetensors" or Path(name).is_file()


def _pinned(name: str) -> str | None:
    """The sha256 that embedded weights must have; None for a path."""
    if _is_path(name):
        return None
    entry = _entry(name)
    return None if entry is None else str(entry["sha256"])


def _find(name: str) -> Path | HubFile:
    """What a weights name stands for."""
    if name.startswith("hf:"):
        parts = _HUB_NAME.fullmatch(name)
        if parts is None:
            raise WeightsError(f"{name!r} is not hf:OWNER/REPO[@REVISION]:FILE.safetensors")
        return HubFile(name, parts["repo"], parts["file"], parts["revision"])
    if _is_path(name):
        return Path(name)
    entry = _entry(name)
    if entry is None:
        close = difflib.get_close_matches(name, manifest(), n=1)
        meant = f"did you mean {close[0]!r}? " if close else ""
        raise WeightsError(
            f"no weights {name!r}; {meant}published: {', '.join(sorted(manifest()))}; "
            "or give a .safetensors path, or hf:OWNER/REPO:FILE"
        )
    if "repo" in entry:
        return HubFile(name, entry["repo"], entry["file"], entry["revision"], entry["sha256"])
    return weights_folder() / str(entry["file"])


def _fetch(source: HubFile, offline: bool) -> Path:
    """The local copy of a file on the Hub, with the right sha256; a damaged copy is fetched once more."""
    from huggingface_hub import constants

    cached = _cached(source)
    if offline or constants.HF_HUB_OFFLINE:
        if cached is None:
            raise WeightsError(
                f"{source.name} is not in the cache, and --offline or HF_HUB_OFFLINE forbids fetching it; "
                f"run `stsr weights pull {source.name}` once with a network"
            )
        if not _is_intact(source, cached):
            raise WeightsError(
                f"the cached copy of {source.name} ({cached}) is damaged; "
                f"run `stsr weights pull {source.name}` with a network to fetch it again"
            )
        return cached
    path = _download(source, cached)
    if not _is_intact(source, path):
        path = _download(source, None, force=True)
    if not _is_intact(source, path):
        expected, actual = _expected(source, path), sha256(path)
        for damaged in {path.resolve(), path}:
            with contextlib.suppress(OSError):
                damaged.unlink()
        raise WeightsError(
            f"{source.name} was refused and removed: its sha256 is {actual}, not {expected}; "
            "do not use it, tell its owner"
        )
    return path


def _cached(source: HubFile) -> Path | None:
    """The file in the client's cache, unchecked."""
    from huggingface_hub import try_to_load_from_cache

    with hub_client(f"fetch {source.name}"):
        found = try_to_load_from_cache(source.repo, source.file, revision=source.revision)
    return Path(found) if isinstance(found, str) else None


def _expected(source: HubFile, path: Path) -> str | None:
    """The sha256 of the file: pinned, or the name the client filed it by, which for large files is the Hub's sha256.

    The cache holds a link to `blobs/ETAG`. Only that link is followed: a blob may itself link elsewhere.
    """
    if source.sha256 is not None:
        return source.sha256
    etag = path.readlink().name if path.is_symlink() else ""
    return etag if _SHA256.fullmatch(etag) else None


def _is_intact(source: HubFile, path: Path) -> bool:
    expected = _expected(source, path)
    return expected is None or sha256(path) == expected


def _download(source: HubFile, cached: Path | None, *, force: bool = False) -> Path:
    """Ask the Hub for the newest file of that revision; `cached` serves where the Hub does not answer."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import RemoteEntryNotFoundError, RevisionNotFoundError

    with hub_client(f"fetch {source.name}"):
        if cached is None:
            # The client would try for minutes where there is no network; this asks twice.
            url = hf_hub_url(source.repo, source.file, revision=source.revision)
            try:
                get_hf_file_metadata(url)
            except Exception as error:
                if not is_passing(error):
                    raise
                time.sleep(_RETRY_SECONDS)
                get_hf_file_metadata(url)
        try:
            return Path(
                hf_hub_download(
                    source.repo, source.file, revision=source.revision, force_download=force
                )
            )
        except (RevisionNotFoundError, RemoteEntryNotFoundError):
            raise  # the Hub did answer
        except Exception:  # the client falls back by itself, but not when a connection is cut
            if cached is None:
                raise
            return cached


def is_passing(error: Exception) -> bool:
    """Say whether an error of the client may be gone a moment later: no connection, a busy or broken server."""
    response = getattr(error, "response", None)
    return response is None or response.status_code in (408, 429) or response.status_code >= 500


@contextlib.contextmanager
def hub_client(what: str, kind: type[StsrError] = WeightsError) -> Iterator[None]:
    """Keep the Hub's client from writing to stderr, but for bars on a terminal; its errors become one line.

    Args:
        what: what is being done, e.g. "fetch hf:owner/repo:a.safetensors".
        kind: the error that is raised.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils.logging import set_verbosity
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if "HF_HUB_VERBOSITY" not in os.environ and not constants.HF_DEBUG:
        set_verbosity(logging.CRITICAL)
    if constants.HF_HUB_DISABLE_PROGRESS_BARS is None and not sys.stderr.isatty():
        disable_progress_bars()
    try:
        yield
    except StsrError:
        raise
    except Exception as error:  # the client's, those of what it stands on, the file system's
        raise kind(f"cannot {what}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """Why the client failed and what to do about it, on one line."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    while not isinstance(error, HfHubHTTPError) and error.__cause__ is not None:
        error = error.__cause__
    log_in = "log in with `hf auth login` or set HF_TOKEN"
    if isinstance(error, GatedRepoError):
        return f"the repository is gated; ask for access on its page, then {log_in}"
    if isinstance(error, RepositoryNotFoundError):
        return f"there is no such repository, or it is private; check the name, or {log_in}"
    if isinstance(error, RevisionNotFoundError):
        return "the repository has no such revision; check the name"
    if isinstance(error, RemoteEntryNotFoundError):
        return "the repository has no such file; check the name"
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        said = " ".join((error.server_message or "").split())
        advice = (
            "try again later" if is_passing(error) or status in (409, 412) else "check the name"
        )
        advice = {401: log_in, 403: "check what the token may do"}.get(status, advice)
        return f"the Hub answered {status}{': ' + said if said else ''}; {advice}"
    said = " ".join((str(error).strip() or type(error).__name__).splitlines()[0].split())
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.ENOTDIR):
        return f"{said}; make room for the Hub's cache, or choose another place with HF_HOME"
    if isinstance(error, ValueError):
        return f"{said}; check the name"
    xet = ", or try HF_HUB_DISABLE_XET=1" if "hf_xet" in sys.modules else ""
    return f"{said}; check the network, the proxy and HF_ENDPOINT{xet}"
