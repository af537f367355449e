"""`stsr train` over all stages, its dry run, and where weights that stand in the way are."""

import signal

import pytest

from stsr_cli.checkpoint import load_weights
from stsr_cli.console import TrainConsole

from .training import (
    FAST,
    PAIR,
    PLAIN,
    assert_same_run,
    names_under,
    read_checkpoint,
    read_log,
)

SPEED = [*PLAIN, "--steps", "6", "--learning-rate", "0.02", "--validate-steps", "2"]
STAGES = ("spatial", "temporal", "joint")


@pytest.fixture
def train_all(call, data):
    """Run `stsr train` without a stage on labeled and unlabeled footage."""

    def run(*arguments, code=0):
        sources = ["--labeled", data / "hr", "--unlabeled", data / "lr", "--cache", data / "cache"]
        return call("train", *sources, *FAST, *PAIR, *SPEED, *arguments, code=code)

    return run


def test_all_stages_one_after_another_and_on_from_the_middle(
    train_all, call, make_clip, tmp_path, monkeypatch
):
    result = train_all("--out", "straight")
    assert result.stdout == "straight/joint/weights.safetensors\n"
    straight = tmp_path / "straight"
    assert {path.name for path in straight.iterdir()} == set(STAGES)
    first, second = (load_weights(straight / s / "weights.safetensors") for s in STAGES[:2])
    assert (first.temporal, second.spatial) == (None, None)
    start = read_log(straight / "joint")[0]
    assert start["step"] == 0, "the joint stage starts from the weights of the others"
    whole = load_weights(straight / "joint" / "weights.safetensors")
    assert whole.spatial is not None and whole.temporal is not None
    command = ["upscale", make_clip(num_frames=2), "big.mp4", "--spatial", "espcn"]
    call(*command, "--temporal", "dvf", "--weights", "straight/joint/weights.safetensors")

    on_status, calls = TrainConsole.on_status, []

    def stopping(self, status):
        calls.append(status.step)
        if len(calls) == 5:
            signal.raise_signal(signal.SIGINT)
        on_status(self, status)

    with monkeypatch.context() as patch:
        patch.setattr(TrainConsole, "on_status", stopping)
        result = train_all("--out", "out", code=130)
    out = tmp_path / "out"
    assert calls == [2, 4, 6, 2, 4]
    assert result.stderr.splitlines()[-1].startswith("stsr: stopped at step 5;")
    assert {path.name for path in out.iterdir()} == {"spatial", "temporal"}
    train_all("--out", "out", "--resume")
    for stage in STAGES:
        assert_same_run(out / stage, straight / stage)


def test_a_stop_in_the_last_validation_of_a_stage_starts_no_other(train_all, tmp_path, monkeypatch):
    def stop(self, status):
        if status.step == 6:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(TrainConsole, "on_status", stop)
    result = train_all("--out", "out", code=130)
    assert "--resume" in result.stderr.splitlines()[-1]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"spatial"}
    assert read_checkpoint(tmp_path / "out" / "spatial")["step"] == 6


def test_a_stage_that_was_killed_before_its_first_checkpoint_begins_anew(train_all, tmp_path):
    train_all("--out", "straight", "--steps", "2")
    train_all("--out", "out", "--steps", "2")
    for stage in ("temporal", "joint"):  # what a kill leaves: a folder, and nothing to go on from
        for path in sorted((tmp_path / "out" / stage / "checkpoints").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    train_all("--out", "out", "--steps", "2", "--resume")
    for stage in STAGES:
        assert_same_run(tmp_path / "out" / stage, tmp_path / "straight" / stage)


def test_a_later_stages_folder_stands_in_the_way_at_once(train_all, tmp_path):
    (tmp_path / "out" / "joint").mkdir(parents=True)
    result = train_all("--out", "out", code=2)
    assert result.stderr.startswith("stsr: out/joint exists; ")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"joint"}


def test_a_dry_run_writes_nothing_and_says_what_a_run_takes(train_all, tmp_path):
    result = train_all("--out", "out", "--dry-run", "--accumulate", "2", "--steps", "1000")
    assert result.stdout == ""
    assert names_under(tmp_path) == set()
    text = result.stderr
    for stage in STAGES:
        assert f"{stage} stage" in text
    assert [line.split()[:4] for line in text.splitlines() if "D_L, training" in line] == [
        ["D_L,", "training", "3", "63"]
    ] * 3
    assert sum(line.split()[:3] == ["D_U", "1", "12"] for line in text.splitlines()) == 1
    assert sum(line.split()[:4] == ["held", "out", "3", "9"] for line in text.splitlines()) == 3
    words = " ".join(text.split())
    assert words.count("2 x 4 crops of 24 -> 96 pixels a step") == 3
    assert words.count("1,000 steps in ") == 3
    assert words.count("parameters to train") == 3
    assert words.count("peak memory ") == 3


def test_a_dry_run_of_a_time_says_no_steps(train_all, tmp_path):
    result = train_all("--stage", "spatial", "--dry-run", "--steps", "0", "--minutes", "5")
    assert "s a step; peak memory" in " ".join(result.stderr.split())
    assert names_under(tmp_path) == set()
