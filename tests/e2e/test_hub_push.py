"""`stsr weights push` with the Hub's real client, against a server on this machine that speaks the commit protocol.

The client sends large files by plain LFS here (HF_HUB_DISABLE_XET): the Xet store is a protocol of its own.
"""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from stsr_cli.checkpoint import Weights, load_weights, read_header, save_weights
from stsr_cli.registry import build

from .hub_server import TOKEN, digest

FAILED, USAGE, INPUT, WEIGHTS = 1, 2, 4, 5
LOGGED_IN = {"HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}


@pytest.fixture
def push(hub_stsr, weights_file):
    """Push the small ESPCN to someone/pair; return what was printed: the name and the manifest entry."""

    def run(*arguments, repo="someone/pair"):
        ran = hub_stsr("weights", "push", weights_file, repo, *arguments, env=LOGGED_IN)
        assert (ran.returncode, ran.stderr) == (0, "")
        name, _, entry = ran.stdout.partition("\n")
        return name, json.loads(entry)

    return run


def commits(hub, repo="someone/pair"):
    """The messages of all commits; the first is the Hub's own."""
    return hub.repositories[repo].messages


def files(hub, repo="someone/pair", branch="main"):
    repository = hub.repositories[repo]
    return repository.commits[repository.branches[branch]]


def test_a_new_repository(hub_stsr, hub, push, weights_file, tmp_path):
    content = weights_file.read_bytes()
    name, entry = push()
    commit = hub.repositories["someone/pair"].branches["main"]
    assert name == f"hf:someone/pair@{commit}:espcn.safetensors"
    assert files(hub)["espcn.safetensors"] == content
    assert len(commits(hub)) == 2
    assert "espcn.safetensors" in commits(hub)[1]
    assert not hub.repositories["someone/pair"].private
    card = files(hub)["README.md"].decode()
    for word in (
        "library_name: stsr",
        "license: unknown",
        "--weights hf:someone/pair:espcn.safetensors --spatial espcn\n",
        '{"num_channels": 8, "output": "linear", "scale": 4}',
        digest(content),
        "does not say how it was trained",
    ):
        assert word in card
    pulled = hub_stsr("weights", "path", name)
    assert pulled.returncode == 0, pulled.stderr

    # The printed entry is one of the manifest: it pins what was uploaded.
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(entry))
    assert entry["espcn"]["revision"] == commit
    assert entry["espcn"]["sha256"] == digest(content)
    verified = hub_stsr("weights", "verify", "espcn", weights_folder=folder)
    assert verified.returncode == 0, verified.stderr


def test_the_same_again_is_no_commit(hub, push):
    first, _ = push()
    again, _ = push()
    assert again == first
    assert len(commits(hub)) == 2


def test_new_weights_are_one_commit(hub, push, weights_file):
    push()
    save_weights(weights_file, Weights(spatial=build("spatial", "espcn", {"num_channels": 4})))
    push("--message", "smaller")
    assert commits(hub)[2:] == ["smaller"]
    assert files(hub)["espcn.safetensors"] == weights_file.read_bytes()


CARD = b"---\nlicense: mit\n# mine\ntags:\n- mine\n---\n\n# My pair\n\nMy words.\n"


def test_a_card_that_is_there_is_kept_and_completed(hub, push):
    hub.repository("someone/pair", {"README.md": CARD})
    push("--licence", "cc0-1.0")
    assert len(commits(hub)) == 2
    card = files(hub)["README.md"].decode()
    assert card.endswith("---\n\n# My pair\n\nMy words.\n")
    head = card.split("---")[1]
    assert "license: mit" in head
    assert "license_name" not in head
    assert "library_name: stsr" in head
    assert head.index("- mine") < head.index("- stsr") < head.index("- espcn")
    before = len(hub.log)
    push()
    assert files(hub)["README.md"].decode() == card
    assert len(commits(hub)) == 2
    assert ("POST", "/api/models/someone/pair/commit/main") not in hub.log[before:]


def test_a_card_of_one_s_own_replaces_it(hub, push, tmp_path):
    hub.repository("someone/pair", {"README.md": CARD})
    (tmp_path / "card.md").write_text("# Other\n\nOther words.\n")
    push("--card", "card.md", "--licence", "Research only")
    card = files(hub)["README.md"].decode()
    assert card.endswith("---\n# Other\n\nOther words.\n")
    assert "license: other\nlicense_name: research-only" in card


def test_a_branch_and_a_private_repository(hub, push, weights_file):
    name, _ = push("--branch", "next", "--private", repo="someone/hidden")
    repository = hub.repositories["someone/hidden"]
    assert repository.private
    assert name == f"hf:someone/hidden@{repository.branches['next']}:espcn.safetensors"
    assert "espcn.safetensors" not in files(hub, "someone/hidden")
    assert files(hub, "someone/hidden", "next")["espcn.safetensors"] == weights_file.read_bytes()


def test_private_is_not_taken_lightly(hub, hub_fails, weights_file):
    hub.repository("someone/pair", {})
    arguments = ["weights", "push", weights_file, "someone/pair", "--private"]
    assert "is public" in hub_fails(FAILED, *arguments, env=LOGGED_IN)
    assert len(commits(hub)) == 1


def test_a_dry_run_contacts_nobody(hub, hub_stsr, weights_file, push):
    ran = hub_stsr("weights", "push", weights_file, "someone/pair", "--dry-run", env=LOGGED_IN)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert hub.log == []
    content = weights_file.read_bytes()
    assert f"espcn.safetensors  {len(content):,} bytes  sha256 {digest(content)}" in ran.stdout
    push()
    card = files(hub)["README.md"]
    assert f"README.md  {len(card):,} bytes  sha256 {digest(card)}" in ran.stdout
    assert ran.stdout.endswith("README.md:\n" + card.decode())


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"HF_TOKEN": ""}, ["401", "hf auth login", "HF_TOKEN"]),
        ({"HF_TOKEN": "hf_wrong"}, ["401", "hf auth login"]),
        ({"HF_HUB_OFFLINE": "1"}, ["offline"]),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, ["refused", "network"]),
    ],
    ids=str,
)
def test_a_hub_that_cannot_be_used(hub, hub_fails, weights_file, env, words):
    arguments = ["weights", "push", weights_file, "someone/pair"]
    said = hub_fails(FAILED, *arguments, env={**LOGGED_IN, **env})
    for word in ["cannot push to someone/pair", *words]:
        assert word in said
    assert hub.repositories == {}


def test_somebody_else_commits_meanwhile(hub, hub_fails, weights_file):
    hub.repository("someone/pair", {"README.md": CARD})
    hub.is_busy = True
    arguments = ["weights", "push", weights_file, "someone/pair"]
    said = hub_fails(FAILED, *arguments, env=LOGGED_IN)
    assert "412: A commit has happened since.; try again later" in said
    assert commits(hub)[1:] == ["between"]
    assert files(hub) == {"README.md": b"Somebody else's."}


def test_a_broken_hub(hub, hub_fails, weights_file):
    hub.status = 500
    arguments = ["weights", "push", weights_file, "someone/pair"]
    assert "the Hub answered 500" in hub_fails(FAILED, *arguments, env=LOGGED_IN)


@pytest.mark.parametrize(
    ("code", "words", "arguments"),
    [
        (WEIGHTS, ["NaN", "spatial."], ["nan.safetensors", "a/b"]),
        (WEIGHTS, ["inf", "spatial."], ["inf.safetensors", "a/b"]),
        (WEIGHTS, ["cut.safetensors"], ["cut.safetensors", "a/b"]),
        (WEIGHTS, ["no stsr weights"], ["other.safetensors", "a/b"]),
        (WEIGHTS, ["nextgen"], ["later.safetensors", "a/b"]),
        (WEIGHTS, ["gone.safetensors"], ["gone.safetensors", "a/b"]),
        (USAGE, ["old.bin"], ["old.bin", "a/b"]),
        (USAGE, ["'pair'", "OWNER/REPO"], ["good.safetensors", "pair"]),
        (USAGE, ["a/b/c"], ["good.safetensors", "a/b/c"]),
        (USAGE, ["a--b"], ["good.safetensors", "a--b/c"]),
        (INPUT, ["gone.md"], ["good.safetensors", "a/b", "--card", "gone.md"]),
        (INPUT, ["bad.md", "YAML"], ["good.safetensors", "a/b", "--card", "bad.md"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_what_is_not_pushed(hub, hub_fails, weights_file, tmp_path, code, words, arguments):
    content, header = weights_file.read_bytes(), read_header(weights_file)
    (tmp_path / "good.safetensors").write_bytes(content)
    (tmp_path / "old.bin").write_bytes(content)
    (tmp_path / "cut.safetensors").write_bytes(content[:-9])
    (tmp_path / "bad.md").write_text("---\nlicense: [mit\n---\nwords\n")
    tensors = load_file(weights_file)
    save_file(tensors, tmp_path / "other.safetensors")
    later = {**header, "spatial": {"name": "nextgen", "config": {}}}
    save_file(tensors, tmp_path / "later.safetensors", {"stsr-1": json.dumps(later)})
    for name in ("nan", "inf"):
        module = load_weights(weights_file).spatial
        with torch.no_grad():
            next(module.parameters()).view(-1)[3] = float(name)
        save_weights(tmp_path / f"{name}.safetensors", Weights(spatial=module))
    said = hub_fails(code, "weights", "push", *arguments, env=LOGGED_IN)
    for word in words:
        assert word in said
    assert hub.log == []
