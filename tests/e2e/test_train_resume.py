"""Stopping, going on and saving: a run that is stopped, killed or out of disk space loses nothing but time."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from stsr_cli.errors import InterruptedRun, StsrError
from stsr_cli.training import checkpoints, loop
from stsr_cli.training.loop import Trainer
from stsr_cli.training.validation import Validation

from .training import (
    EVERY_STEP,
    FAST,
    PAIR,
    PLAIN,
    STSR,
    assert_same_run,
    assert_same_tensors,
    environment,
    names_under,
    newest_checkpoint,
    read_checkpoint,
    read_log,
    run_of,
    stop_after,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@pytest.fixture
def _one_thread():
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_going_on_equals_never_stopping(train, data, tmp_path, accumulate):
    """Killed after ten steps and gone on to the end: the very same tensors, labeled and unlabeled, averaged, cosine."""
    options = [*PAIR, "--unlabeled", data / "lr", "--accumulate", accumulate, "--steps", "20"]
    options += ["--ema-decay", "0.9", "--learning-rate", "0.02", "--schedule", "cosine"]
    options += ["--warmup-steps", "4", "--validate-steps", "2", "--crop", "16"]
    train("joint", *options, out="straight")
    command = [STSR, "train", "--labeled", data / "hr", "--cache", data / "cache"]
    command += ["--stage", "joint", "--out", "out", *FAST, *options, "--save-minutes", "0"]
    stop_after(command, "step     10 ", signal.SIGKILL, -9, tmp_path)
    stopped_at = int(checkpoints.newest(tmp_path / "out" / "checkpoints").name[5:])
    assert 9 <= stopped_at < 20
    train("joint", *options, "--resume")
    assert read_checkpoint(tmp_path / "out")["step"] == 20
    assert_same_run(tmp_path / "out", tmp_path / "straight")


@pytest.mark.usefixtures("_one_thread")
def test_cdca_goes_on_through_its_stages_as_if_never_stopped(data, tmp_path):
    """Stopped in every stage: after 3 of 40 steps (auto-encoders), 5 (mapping), 9 (the whole)."""

    def run(name, stop_at=0, **more):
        def on_status(status):
            if status.step == stop_at:
                signal.raise_signal(signal.SIGINT)  # ends the run after one more step

        changes = {
            "stage": "cdca",
            "cdca_config": {"num_channels": 8, "num_features": 8},
            **{"steps": 40, "batch_size": 2, "crop": 16, "ema_decay": 0.9, "learning_rate": 0.01},
        }
        Trainer(run_of(data, tmp_path / name, {**changes, **more})).run(on_status)

    run("straight")
    for stop_at, is_averaged in ((2, False), (4, False), (8, True)):
        with pytest.raises(InterruptedRun, match=f"stopped at step {stop_at + 1};"):
            run("out", stop_at, resume=stop_at > 2, validate_steps=1)
        state = read_checkpoint(tmp_path / "out")
        equal = [
            torch.equal(tensor, state["ema"][f"module.{name}"])
            for name, tensor in state["model"].items()
        ]
        assert all(equal) != is_averaged, "the average begins with the last stage"
    run("out", resume=True)
    straight, resumed = (read_checkpoint(tmp_path / name) for name in ("straight", "out"))
    assert straight["step"] == resumed["step"] == 40
    assert_same_tensors(resumed["model"], straight["model"])
    assert_same_tensors(resumed["ema"], straight["ema"])


def test_sigterm_saves_the_state_and_says_how_to_go_on(data, tmp_path):
    command = [STSR, "train", "--labeled", data / "hr", "--cache", data / "cache", *FAST]
    command += ["--stage", "spatial", "--out", "out", *PAIR, "--minutes", "5", *EVERY_STEP]
    stderr = stop_after(command, "step      3 ", signal.SIGTERM, 130, tmp_path)
    last_line = stderr.splitlines()[-1]
    assert last_line.startswith("stsr: stopped at step ")
    assert "--resume" in last_line
    assert read_checkpoint(tmp_path / "out")["step"] >= 3
    assert not [name for name in names_under(tmp_path) if ".part" in name]


SHORT = [*PAIR, *PLAIN, "--steps", "6", "--learning-rate", "0.02", "--validate-steps", "3"]


@pytest.fixture
def straight(train, data, tmp_path):
    """What SHORT leaves in out/ when nothing comes between, copied; trained once."""
    kept = data / "straight"
    if not kept.is_dir():
        train("joint", *SHORT, "--save-minutes", "0")
        shutil.copytree(tmp_path / "out", kept)
        shutil.rmtree(tmp_path / "out")
    return kept


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize(
    ("owner", "name", "nth", "stopped_at"),
    [
        (Validation, "measure", 2, 4),  # at step 3; the first is the baseline's
        (Validation, "measure", 3, 6),  # the last one
        (loop, "save_weights", 1, 4),
        (checkpoints, "write_tensors", 3, 3),  # a file of the checkpoint of step 2
        (checkpoints, "write_tensors", 11, 6),  # of the last one
    ],
)
def test_a_signal_tears_nothing(
    straight, train, tmp_path, monkeypatch, number, owner, name, nth, stopped_at
):
    original, calls = getattr(owner, name), []

    def signalled(*arguments):
        calls.append(name)
        if len(calls) == nth:
            signal.raise_signal(number)
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, signalled)
        result = train("joint", *SHORT, "--save-minutes", "0", code=130)
    last_line = result.stderr.splitlines()[-1]
    assert last_line.startswith(f"stsr: stopped at step {stopped_at}")
    assert "--resume" in last_line
    assert result.stdout == ""
    assert not [path for path in names_under(tmp_path) if ".part" in path]
    assert read_checkpoint(tmp_path / "out")["step"] == stopped_at
    train("joint", *SHORT, "--resume")
    assert_same_run(tmp_path / "out", straight)


def test_resuming_a_finished_run_changes_nothing(finished_run, train, tmp_path):
    def files():
        return {
            path.name: path.read_bytes()
            for path in (tmp_path / "out").rglob("*")
            if path.suffix
            in {".safetensors", ".pt"}  # (config.toml names the folder, which is a copy)
        }

    before = files()
    assert len(before) == 4
    train("spatial", *PAIR, "--steps", "3", "--resume")
    assert before == files()
    assert {line["step"] for line in read_log(tmp_path / "out")} == {3}


@pytest.mark.parametrize("content", ["garbage", "another program's", "cut", "model", "ema", "gone"])
def test_resume_from_a_damaged_checkpoint(finished_run, refused, data, tmp_path, content):
    folder = newest_checkpoint(tmp_path / "out")
    state = folder / "state.pt"
    if content == "garbage":
        state.write_bytes(b"no state at all\n" * 9)
    elif content == "another program's":
        torch.save({"epoch": 3, "weights": torch.zeros(5)}, state)
    elif content == "gone":
        (folder / "ema.safetensors").unlink()
    else:
        path = state if content == "cut" else folder / f"{content}.safetensors"
        path.write_bytes(path.read_bytes()[:-300])
    again = ["--labeled", data / "hr", "--stage", "spatial", *PAIR, "--steps", "3", "--resume"]
    refused("train", 5, [folder.name, "--overwrite"], *again)


FULL_DISK = """
import pickle, resource, sys
from stsr_cli.errors import StsrError
from stsr_cli.training.loop import Trainer

def limit(num_bytes):
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, resource.RLIM_INFINITY))

def on_step(status):  # full at the saves of step 4 and from step 8 on
    if status.step in (4, 8):
        limit(10_000)
    if status.step == 5:
        limit(resource.RLIM_INFINITY)

options = pickle.load(open(sys.argv[1], "rb"))
try:
    Trainer(options, on_note=lambda line: print("note:", line)).run(on_step=on_step)
except StsrError as error:
    print("error:", error)
    sys.exit(error.exit_code)
"""


def test_a_full_disk_costs_no_more_than_the_steps_since(train, data, tmp_path):
    """A limit on the size of a file stands for the disk; a checkpoint of this run takes about 100 kB."""
    options = run_of(
        data,
        tmp_path / "out",
        {
            **{"steps": 9, "ema_decay": 0.5, "batch_size": 2, "crop": 24, "learning_rate": 0.02},
            **{"threads": 1, "save_minutes": 0.0, "validate_steps": 4},
        },
    )
    path = tmp_path / "options"
    path.write_bytes(pickle.dumps(options))
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, "TensorBoard's thread fails too"
    *notes, error = done.stdout.splitlines()
    assert all(note.startswith("note: ") for note in notes)
    saving = [note for note in notes if "cannot save step" in note]
    assert "cannot save step 4: " in saving[0]
    assert "the checkpoint of step 3 is kept" in saving[0]
    assert "cannot save step 8: " in saving[1]
    assert "the checkpoint of step 7 is kept" in saving[1]
    assert any(note.startswith("note: step 4: cannot write") for note in notes), "the weights"
    assert error.startswith("error: cannot save step 9: ")
    assert "File too large; free some space" in error
    assert "the checkpoint of step 7 is kept" in error
    assert read_checkpoint(tmp_path / "out")["step"] == 7
    assert not [name for name in names_under(tmp_path) if ".part" in name]
    Trainer(replace(options, resume=True)).run()
    Trainer(replace(options, out=tmp_path / "straight")).run()
    assert_same_run(tmp_path / "out", tmp_path / "straight")


def test_weights_that_cannot_be_saved_are_told_and_come_with_the_next_run(
    straight, train, tmp_path, monkeypatch
):
    def fail(path, weights):
        raise StsrError(f"cannot write {path}: No space left on device; free some space")

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_weights", fail)
        result = train("joint", *SHORT, code=1)
    assert result.stdout == ""
    assert "saved" not in result.stderr.replace("not saved", "")
    assert "step 3: cannot write" in result.stderr
    assert "the best weights are not saved: cannot write" in result.stderr.splitlines()[-1]
    assert not (tmp_path / "out" / "weights.safetensors").exists()
    train("joint", *SHORT, "--resume")
    assert_same_run(tmp_path / "out", straight)
