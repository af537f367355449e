"""What the weights and their output may be used for is told where people look."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stsr_cli import hub

PLAIN = ("--spatial", "bicubic", "--temporal", "blend")
SAID = "non-commercial research only, and so is the output"


@pytest.fixture(autouse=True)
def clip(make_clip: Callable[..., Path]) -> Path:
    return make_clip("in.mp4", num_frames=2, width=32, height=32)


def test_the_version_and_the_list_say_it(call) -> None:
    version = call("--version").stdout
    assert version.startswith("stsr, version ")
    assert "Apache-2.0" in version
    said = " ".join(version.split())
    assert "so are the default weights" in said
    assert "fast, espcn+dvf, cdca) are for non-commercial research only" in said
    listed = call("weights", "list")
    terms = [entry["licence"] for entry in hub.manifest().values()]
    assert listed.stderr.count("non-commercial research ") >= terms.count("non-commercial research")
    assert listed.stderr.count("Apache-2.0 ") >= terms.count("Apache-2.0") > 0
    assert str(hub.terms_file()) in listed.stderr.replace("\n", "")
    assert hub.terms_file().is_file()


def test_a_run_says_it_at_the_end_and_in_its_report(call, tmp_path) -> None:
    shutil.copy(hub.weights_folder() / "fast.safetensors", tmp_path / "copy.safetensors")
    for name in ("fast", "copy.safetensors"):  # by its name, and by what is in the file
        ran = call(
            *("upscale", "in.mp4", "out.mp4", "-y", "--report", "run.json"), "--weights", name
        )
        assert f"the weights {name} are for {SAID}" in ran.stderr
        (weights,) = json.loads((tmp_path / "run.json").read_text())["network"]["weights"]
        assert (weights["name"], weights["licence"]) == (name, "non-commercial research")
    ran = call("upscale", "in.mp4", "out.mp4", "-y", "--weights", "fast", "--progress", "jsonl")
    events = [json.loads(line) for line in ran.stderr.splitlines()]
    assert [one for one in events if one["event"] == "note" and SAID in one["message"]]


def test_a_batch_says_it_once_and_a_run_without_weights_never(call, tmp_path) -> None:
    shutil.copy("in.mp4", "other.mp4")
    assert (
        call("upscale", "in.mp4", "other.mp4", "out/", "--weights", "fast").stderr.count(SAID) == 1
    )
    assert SAID not in call("upscale", "in.mp4", "out.mp4", *PLAIN).stderr


def test_a_run_with_free_weights_names_their_licence_alone(call, tmp_path) -> None:
    shutil.copy(hub.weights_folder() / "span-rife.safetensors", tmp_path / "copy.safetensors")
    for name in ("span+rife", "copy.safetensors"):
        ran = call("upscale", "in.mp4", "out.mp4", "-y", "--weights", name)
        assert f"the terms of the weights {name}: Apache-2.0" in ran.stderr
        assert "non-commercial" not in ran.stderr
