"""`stsr finetune`: weights adapt to a clip without an original, and never become worse on its held-out part."""

import json
import tomllib

import pytest
import torch

from stsr_cli import hub
from stsr_cli.checkpoint import Weights, load_weights, save_weights
from stsr_cli.registry import build

from .training import CONFIGS, FAST, PLAIN, moving_texture, names_under, read_log, write_clip

SMALL = [*PLAIN, "--crop", "16", "--warmup-steps", "0"]


@pytest.fixture
def clip(data):
    return data / "hr" / "clip0.mp4"


@pytest.fixture
def start(tmp_path):
    """Weights of the tiny pair that have learnt nothing."""
    torch.manual_seed(0)
    path = tmp_path / "start.safetensors"
    modules = {
        "spatial": build("spatial", "espcn", CONFIGS["espcn"]),
        "temporal": build("temporal", "dvf", CONFIGS["dvf"]),
    }
    save_weights(path, Weights(**modules))
    return path


@pytest.fixture
def finetune(call, data):
    def run(*arguments, code=0):
        own = ["--cache", data / "cache", "--out", "out", *FAST, *SMALL, "--offline"]
        return call("finetune", *own, *arguments, code=code)

    return run


def test_weights_gain_on_the_clip_and_upscale_it(finetune, call, clip, start, tmp_path):
    before = start.read_bytes()
    speed = ["--steps", "20", "--learning-rate", "0.05", "--validate-steps", "5"]
    result = finetune(clip, "--weights", start, *speed)
    assert result.stdout == "out/weights.safetensors\n"
    assert start.read_bytes() == before
    log = read_log(tmp_path / "out")
    assert [line["step"] for line in log] == [0, 5, 10, 15, 20]
    psnr = [sum(line["psnr"].values()) for line in log]
    assert max(psnr) > psnr[0] + 3
    assert {"reconstruction", "consistency", "given"} <= log[1]["losses"].keys()
    assert "saved" not in next(
        line for line in result.stderr.splitlines() if "step      0 " in line
    )
    weights = load_weights(tmp_path / "out" / "weights.safetensors")
    assert sum(weights.training["psnr"].values()) == pytest.approx(max(psnr))
    names = ["--spatial", "espcn", "--temporal", "dvf", "--weights", "out/weights.safetensors"]
    call("upscale", clip, "big.mp4", *names, "--scale", "4")


def test_the_terms_of_the_start_go_on_to_hold(finetune, call, clip, start, tmp_path):
    """In the card, the file, the run's end line and its report; of weights that were themselves trained from others."""
    before = load_weights(start)
    came_from = {"name": "espcn+dvf", "licence": "non-commercial research"}
    save_weights(start, Weights(before.spatial, before.temporal, training={"start": [came_from]}))
    finetune(clip, "--weights", start, "--steps", "4", "--learning-rate", "0.05")
    weights = "out/weights.safetensors"
    assert load_weights(tmp_path / weights).training["start"] == [came_from]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Trained from `espcn+dvf` (non-commercial research)" in card
    names = ["--spatial", "espcn", "--temporal", "dvf", "--weights", weights, "--scale", "1"]
    ran = call("upscale", clip, "big.mp4", *names, "--report", "run.json")
    said = f"the weights {weights} (trained from espcn+dvf) are for non-commercial research only"
    assert said in ran.stderr
    (used,) = json.loads((tmp_path / "run.json").read_text())["network"]["weights"]
    assert used["licence"] == "non-commercial research (trained from espcn+dvf)"


def test_published_weights_that_a_run_starts_from_are_named(finetune, clip, tmp_path):
    names = ["--spatial", "espcn", "--temporal", "dvf"]
    speed = ["--steps", "1", "--batch-size", "2", "--learning-rate", "10"]
    finetune(clip, *names, *speed, code=1)
    config = tomllib.loads((tmp_path / "out" / "config.toml").read_text())
    assert config["init"] == ["espcn+dvf"]
    path = hub.resolve_weights("espcn+dvf")
    origin = hub.Origin("espcn+dvf", "non-commercial research")
    assert hub.origins("espcn+dvf", path) == hub.origins(str(path), path) == (origin,)


def test_what_harms_is_not_saved(finetune, clip, tmp_path):
    """A step size of 10, from weights that are good."""
    speed = ["--steps", "4", "--learning-rate", "10", "--validate-steps", "2"]
    result = finetune(clip, "--weights", "espcn+dvf", *speed, "--batch-size", "2", code=1)
    assert result.stdout == ""
    last_line = result.stderr.splitlines()[-1]
    assert last_line.startswith("stsr: nothing was saved: no validation was better")
    assert "saved" not in "".join(result.stderr.splitlines()[:-1])
    assert not [name for name in names_under(tmp_path) if name.endswith("out/weights.safetensors")]


def test_weights_choose_the_modules(finetune, clip, tmp_path):
    finetune(clip, "--weights", "espcn+dvf", "--steps", "1", "--batch-size", "2", "--dry-run")
    assert names_under(tmp_path) == set()


def test_a_labeled_set_beside_the_clip(finetune, data, clip, start, tmp_path):
    """Learnt from beside the clip; held out is the clip's part alone."""
    speed = ["--steps", "4", "--learning-rate", "0.05", "--weights", start]
    finetune(clip, "--labeled", data / "hr" / "clip1.mp4", *speed, "--unlabeled", data / "lr")
    assert (tmp_path / "out" / "weights.safetensors").exists()
    result = finetune(clip, "--labeled", data / "hr", *speed, "--dry-run", "--out", "other")
    rows = [line.split() for line in result.stderr.splitlines()]
    (held_out,) = [row for row in rows if row[:2] == ["held", "out"]]
    assert held_out[2:4] == ["1", "3"]
    (training,) = [row for row in rows if row[:2] == ["D_L,", "training"]]
    assert training[2] == "4", "its own and the three labeled ones"


def test_a_labeled_set_alone(finetune, data, start, tmp_path):
    speed = ["--steps", "2", "--learning-rate", "0.05", "--weights", start]
    finetune("--labeled", data / "hr", *speed)
    assert (tmp_path / "out" / "weights.safetensors").exists()


def refuse(refused, data, code, words, *arguments):
    return refused("finetune", code, words, *SMALL, "--offline", "--steps", "2", *arguments)


def test_nothing_to_learn_from(refused, data):
    refuse(refused, data, 2, ["give CLIPs, or --labeled"])


def test_a_clip_that_does_not_exist(refused, data, start):
    refuse(refused, data, 4, ["gone.mp4"], "gone.mp4", "--weights", start)


def test_a_clip_too_small_to_be_degraded_once_more(refused, data, start, tmp_path):
    write_clip(tmp_path / "small.mp4", moving_texture(0, 24, 56, 56))
    words = ["small.mp4", "14x14", "16 pixels a side are needed"]
    refuse(refused, data, 2, words, "small.mp4", "--weights", start)


def test_a_clip_too_short_to_hold_anything_out(refused, data, start, tmp_path):
    write_clip(tmp_path / "short.mp4", moving_texture(0, 6, 96, 96))
    refuse(refused, data, 2, ["give a longer clip"], "short.mp4", "--weights", start)


def test_weights_of_another_architecture(refused, data, clip):
    names = ["--spatial", "vdsr", "--temporal", "blend", "--weights", "espcn+dvf"]
    refuse(refused, data, 5, ["espcn+dvf", "vdsr"], clip, *names)


def test_weights_that_do_not_exist(refused, data, clip):
    refuse(refused, data, 5, ["gone.safetensors"], clip, "--weights", "gone.safetensors")


def test_a_batch_of_one(refused, data, clip, start):
    arguments = [clip, "--weights", start, "--batch-size", "1"]
    refuse(refused, data, 2, ["give 2 or more"], *arguments)
