"""Weights go to the Hugging Face Hub: the file and a model card, in one commit.

`prepare` contacts nobody; `push` asks the Hub whether there is a card already, keeps its text, and adds the metadata
that it lacks.
"""

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stsr_cli import __version__
from stsr_cli.card import card_text, networks_of, num_parameters
from stsr_cli.checkpoint import PARTS, Weights, load_weights
from stsr_cli.errors import InputError, StsrError, UsageError
from stsr_cli.files import sha256
from stsr_cli.hub import TRAINED_FROM, hub_client, licence, manifest
from stsr_cli.options import PushOptions
from stsr_cli.registry import name_of

CARD = "README.md"


@dataclass(frozen=True)
class Upload:
    """What a push uploads.

    Attributes:
        options: the request.
        entry: the file as the manifest describes it, but for the commit.
        card: text of the model card for a repository without one, or of the one that was asked for.
    """

    options: PushOptions
    entry: dict[str, Any]
    card: str

    @property
    def file(self) -> str:
        """Name of the weights in the repository."""
        return self.options.weights.name

    def files(self) -> list[tuple[str, int, str]]:
        """Name, size in bytes and sha256 of every file."""
        card = self.card.encode()
        return [
            (self.file, self.entry["size_bytes"], self.entry["sha256"]),
            (CARD, len(card), hashlib.sha256(card).hexdigest()),
        ]


@dataclass(frozen=True)
class Published:
    """What a push has made: the weights' name at its commit, and the manifest entry that pins it."""

    name: str
    entry: dict[str, Any]


def prepare(options: PushOptions) -> Upload:
    """Check the weights and write their card, without the network.

    Raises:
        UsageError: the file or repository has a name that no `hf:` name could spell.
        InputError: the card that was given cannot be read.
        WeightsError: the file is damaged, holds NaN, or is not one of stsr's.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.errors import HFValidationError

    try:
        hf_hub_url(options.repo, options.weights.name)
        is_valid = options.repo.count("/") == 1
    except HFValidationError:
        is_valid = False
    if not is_valid:
        raise UsageError(f"{options.repo!r} is no repository on the Hub; give OWNER/REPO")
    if options.weights.suffix != ".safetensors":
        raise UsageError(f"{options.weights} does not end in .safetensors; rename it")
    weights = load_weights(options.weights)
    networks = networks_of(weights)
    digest = sha256(options.weights)
    known = next((entry for entry in manifest().values() if entry["sha256"] == digest), {})
    terms = licence(str(options.weights), options.weights)
    entry = {
        "repo": options.repo,
        "file": options.weights.name,
        "sha256": digest,
        "size_bytes": options.weights.stat().st_size,
        **{part: name_of(network) for part, network in networks.items()},
        "parameters": {part: num_parameters(network) for part, network in networks.items()},
        "licence": options.licence or terms or "unknown",
        "results": known.get("results", {}),
    }
    if options.card is None:
        text = _body(options, weights, entry)
    else:
        try:
            text = options.card.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"cannot read the card {options.card}: {error}; give a UTF-8 text file"
            ) from error
    return Upload(options, entry, _completed(text, entry, str(options.card)))


def push(upload: Upload) -> Published:
    """Create the repository and branch where they are missing and commit the files.

    Raises:
        StsrError: the Hub cannot be reached or refuses; the repository is as it was, or has the whole commit.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    options = upload.options
    api = HfApi(library_name="stsr", library_version=__version__)
    with hub_client(f"push to {options.repo}", StsrError):
        api.create_repo(options.repo, private=options.private or None, exist_ok=True)
        if options.private and not api.repo_info(options.repo).private:
            raise StsrError(
                f"{options.repo} exists and is public; choose another one, or push without --private"
            )
        if options.branch is not None:
            api.create_branch(options.repo, branch=options.branch, exist_ok=True)
        old, parent = _card_of(api, options)
        new = upload.card
        if old is not None and options.card is None:
            new = _completed(old, upload.entry, f"of {options.repo}")
        operations = [CommitOperationAdd(upload.file, options.weights)]
        if new != old:
            operations.append(CommitOperationAdd(CARD, new.encode()))
        commit = api.create_commit(
            options.repo,
            operations,
            commit_message=options.message or f"Add {upload.file} (stsr {__version__})",
            revision=options.branch,
            parent_commit=parent,
        )
    modules = [upload.entry[part] for part in PARTS if part in upload.entry]
    entry = {"repo": options.repo, "revision": commit.oid, **upload.entry}
    return Published(f"hf:{options.repo}@{commit.oid}:{upload.file}", {"+".join(modules): entry})


def _card_of(api: Any, options: PushOptions) -> tuple[str | None, str | None]:
    """The text of the repository's card and the commit it is of; None and None where there is no card."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.errors import RemoteEntryNotFoundError

    try:
        metadata = api.get_hf_file_metadata(
            url=hf_hub_url(options.repo, CARD, revision=options.branch)
        )
    except RemoteEntryNotFoundError:
        return None, None
    with tempfile.TemporaryDirectory() as folder:
        path = api.hf_hub_download(
            options.repo, CARD, revision=metadata.commit_hash, cache_dir=folder
        )
        return Path(path).read_bytes().decode(), metadata.commit_hash


def _completed(text: str, entry: dict[str, Any], whose: str) -> str:
    """A card with the metadata it lacks; what it has stays, and one that lacks nothing stays byte for byte."""
    from huggingface_hub import ModelCard, ModelCardData

    terms = str(entry["licence"]).partition(TRAINED_FROM)[0]
    is_identifier = terms == terms.lower() and " " not in terms
    names = [entry[part] for part in PARTS if part in entry]
    ours = ModelCardData(
        license=terms if is_identifier else "other",
        license_name=None if is_identifier else "-".join(terms.lower().split()),
        library_name="stsr",
        tags=["stsr", "video-super-resolution", "frame-interpolation", *names],
    ).to_dict()
    try:
        with hub_client("read a card"):
            card = ModelCard(text)
    except StsrError as error:
        raise InputError(
            f"the metadata of the card {whose} cannot be read: {error.__cause__}".splitlines()[0]
            + "; mend its YAML block"
        ) from error
    before = card.data.to_dict()
    if "license" in before:
        ours.pop("license_name", None)
    for key, value in ours.items():
        if key == "tags":
            card.data[key] = list(dict.fromkeys([*(before.get(key) or []), *value]))
        elif before.get(key) is None:
            card.data[key] = value
    return text if card.data.to_dict() == before else str(card)


def _body(options: PushOptions, weights: Weights, entry: dict[str, Any]) -> str:
    """The text of a card: how to use the weights, what they are, how they were trained."""
    revision = f"@{options.branch}" if options.branch else ""
    training = (
        f"```json\n{json.dumps(dict(weights.training), indent=1, sort_keys=True)}\n```"
        if weights.training
        else "The file does not say how it was trained."
    )
    results = "\n".join(
        f"| {dataset} | {', '.join(f'{way} {value:.2f}' for way, value in psnr.items())} |"
        for dataset, psnr in entry["results"].items()
    )
    measured = f"RGB PSNR in dB of the frame in between.\n\n| | by stream |\n|---|---|\n{results}"
    terms = entry["licence"]
    sections = {
        "Training": training,
        "Results": measured if results else "",
        "Licence": terms
        if terms != "unknown"
        else "Not stated: ask the owner before you use these weights.",
        "File": f"`{entry['file']}`: {entry['size_bytes']:,} bytes, sha256 `{entry['sha256']}`. "
        "The configuration above is in its header.",
    }
    name = f"hf:{options.repo}{revision}:{entry['file']}"
    return card_text(options.weights.stem, name, weights, sections)
