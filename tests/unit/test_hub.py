"""A weights name becomes a file: paths, embedded names, the Hub; and nothing that is damaged."""

import hashlib
import json
import re

import pytest

from stsr_cli import hub
from stsr_cli.checkpoint import PARTS, Weights, load_weights, save_weights
from stsr_cli.errors import WeightsError
from stsr_cli.files import sha256
from stsr_cli.registry import name_of


@pytest.fixture
def embedded(tmp_path, monkeypatch):
    """Stand in for the folder of the embedded weights, with one file in it."""
    folder = tmp_path / "embedded"
    folder.mkdir()
    content = b"some weights"
    (folder / "demo-v1.safetensors").write_bytes(content)
    entry = {
        "file": "demo-v1.safetensors",
        "sha256": hashlib.sha256(content).hexdigest(),
        "spatial": "espcn",
        "temporal": "dvf",
    }
    (folder / "manifest.json").write_text(json.dumps({"demo": entry, "other": entry}))
    monkeypatch.setattr(hub, "weights_folder", lambda: folder)
    hub.manifest.cache_clear()
    yield folder
    hub.manifest.cache_clear()


def refusal(name):
    with pytest.raises(WeightsError) as caught:
        hub.resolve_weights(name)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_an_embedded_name(embedded):
    assert hub.resolve_weights("demo") == embedded / "demo-v1.safetensors"


def test_a_path(embedded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my weights.safetensors").write_bytes(b"x")
    (tmp_path / "old.bin").write_bytes(b"x")
    assert hub.resolve_weights("my weights.safetensors").samefile("my weights.safetensors")
    assert hub.resolve_weights(str(tmp_path / "old.bin")) == tmp_path / "old.bin"


def test_an_unknown_name_lists_the_known_ones(embedded):
    message = refusal("demmo")
    assert "'demmo'" in message
    assert "demo, other" in message


def test_a_missing_path_is_named(embedded, tmp_path):
    path = tmp_path / "gone.safetensors"
    assert str(path) in refusal(str(path))


def test_a_folder_is_no_weights_file(embedded, tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    assert str(tmp_path / "folder") in refusal(str(tmp_path / "folder"))
    assert refusal("")


def test_an_embedded_file_that_changed(embedded):
    (embedded / "demo-v1.safetensors").write_bytes(b"some weight5")
    assert "damaged" in refusal("demo")


def test_an_embedded_file_that_is_gone(embedded):
    (embedded / "demo-v1.safetensors").unlink()
    assert "'demo'" in refusal("demo")


def test_no_manifest(embedded):
    (embedded / "manifest.json").unlink()
    assert "install stsr again" in refusal("demo")


def test_a_damaged_manifest(embedded):
    (embedded / "manifest.json").write_text('{"demo": ')
    assert "manifest.json" in refusal("demo")


def test_paths_need_no_manifest(embedded, tmp_path):
    (embedded / "manifest.json").unlink()
    (tmp_path / "a.safetensors").write_bytes(b"x")
    assert hub.resolve_weights(str(tmp_path / "a.safetensors")) == tmp_path / "a.safetensors"


@pytest.mark.parametrize(
    "name",
    ["hf:", "hf:owner/repo", "hf:owner:file.safetensors", "hf:owner/repo:model.bin", "hf:a/b/c:d"],
)
def test_a_name_on_the_hub_that_is_none(name):
    assert repr(name) in refusal(name)


def test_the_hub_without_a_network(tmp_path, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert "hf:owner/repo:pair.safetensors" in refusal("hf:owner/repo:pair.safetensors")


def test_verify_says_what_is_wrong(embedded, tmp_path):
    with pytest.raises(WeightsError, match="cannot read weights"):
        hub.verify("demo")
    (embedded / "demo-v1.safetensors").write_bytes(b"some weight5")
    with pytest.raises(WeightsError, match="damaged: its sha256 is"):
        hub.verify("demo")
    (embedded / "demo-v1.safetensors").unlink()
    with pytest.raises(WeightsError, match="install stsr again"):
        hub.verify("demo")


def test_places(embedded, tmp_path, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "a.safetensors").write_bytes(b"x")
    assert hub.place("demo") == "embedded"
    assert hub.place(str(tmp_path / "a.safetensors")) == "file"
    assert hub.local_path(str(tmp_path / "a.safetensors")) == tmp_path / "a.safetensors"
    assert hub.local_path(str(tmp_path / "b.safetensors")) is None


def test_modules_without_weights(embedded):
    without = hub.without_weights()
    assert "span" in without["spatial"]
    assert "rife" in without["temporal"]
    assert not {"espcn", "bicubic"} & set(without["spatial"])
    assert not {"dvf", "blend"} & set(without["temporal"])


@pytest.fixture
def published():
    """What ships with stsr."""
    hub.manifest.cache_clear()
    return hub.manifest()


def test_the_manifest_is_true(published):
    """Each entry names its modules and says of its file what the file says of itself."""
    assert list(published) == sorted(published)
    for name, entry in published.items():
        if "repo" in entry:
            assert re.fullmatch(r"[0-9a-f]{40}", entry["revision"]), name
            continue
        path = hub.resolve_weights(name)
        weights = load_weights(path)
        assert entry["sha256"] == sha256(path)
        assert entry["size_bytes"] == path.stat().st_size
        parts = [part for part in PARTS if getattr(weights, part) is not None]
        assert parts == list(entry["parameters"])
        for part in parts:
            module = getattr(weights, part)
            assert entry[part] == name_of(module)
            assert entry["parameters"][part] == sum(p.numel() for p in module.parameters())
        if entry.get("choice") != "by name":
            apart = "-separate" if "training" in entry else ""
            assert name == "+".join(entry[part] for part in parts) + apart
        assert hub.resolve_weights(name.replace("+", "-")) == path


def test_the_manifest_gives_the_results_of_the_cards(published):
    for entry in published.values():
        if "card" not in entry:
            continue
        card = (hub.weights_folder() / entry["card"]).read_text(encoding="utf-8")
        assert entry["licence"] in card
        rows = (("cdca", "CDCA"),) if "cdca" in entry else (("t2s", "T->S"), ("s2t", "S->T"))
        for stream, row in rows:
            (line,) = re.findall(rf"^\| {row} \| (.+) \|$", card, re.MULTILINE)
            psnrs = [float(cell.split(" / ")[0]) for cell in line.split(" | ")]
            assert [one[stream] for one in entry["results"].values()] == psnrs


def test_the_strictest_terms_of_what_weights_come_from_count(tmp_path):
    free, bound = ("a", "Apache-2.0"), ("b", "non-commercial research")
    for start, terms in (
        ([free], "Apache-2.0 (trained from a)"),
        ([free, bound], "non-commercial research (trained from a, b)"),
        (
            [("own.safetensors", None), bound],
            "non-commercial research (trained from own.safetensors, b)",
        ),
        ([("own.safetensors", None), free], None),
        ([], None),
    ):
        path = tmp_path / "trained.safetensors"
        training = {"start": [{"name": name, "licence": licence} for name, licence in start]}
        save_weights(path, Weights(training=training))
        assert hub.licence(str(path), path) == terms
        assert hub.origins(str(path), path) == tuple(hub.Origin(*one) for one in start)
    save_weights(path, Weights(training={"start": {"senseless": [1]}}))
    assert hub.licence(str(path), path) is None
    assert hub.origins(str(path), path) == (hub.Origin("trained.safetensors", None),)
