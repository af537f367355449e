"""Losses that are not finite: training goes back, goes on more slowly, and gives up when that does not help."""

import math
import signal

import pytest
import torch

from stsr_cli.errors import InterruptedRun, StsrError
from stsr_cli.training import guard
from stsr_cli.training.joint import JointStage
from stsr_cli.training.loop import Trainer

from .training import PAIR, PLAIN, assert_same_tensors, read_checkpoint, read_log, run_of


@pytest.fixture(autouse=True)
def _keep_often(monkeypatch):
    """Good weights are kept every other step instead of every fiftieth."""
    monkeypatch.setattr(guard, "_KEEP_EVERY", 2)


@pytest.fixture
def poison(monkeypatch):
    """Make the loss of the given calls of the joint stage what no training survives."""

    def poison(*calls, value=math.nan):
        forward, count = JointStage.forward, iter(range(1, 10**6))

        def poisoned(self, batch, progress):
            losses = forward(self, batch, progress)
            if next(count) in calls:
                losses["loss"] = losses["loss"] * value
            return losses

        monkeypatch.setattr(JointStage, "forward", poisoned)

    return poison


def options_of(data, tmp_path, **changes):
    plain = {"steps": 8, "warmup_steps": 0, "schedule": "constant", "learning_rate": 0.01}
    sizes = {"batch_size": 2, "crop": 16, "ema_decay": 0.5, "threads": 1}
    return run_of(data, tmp_path / "out", {**plain, **sizes, **changes})


@pytest.mark.parametrize(
    ("value", "accumulate"), [(math.nan, 1), (math.inf, 1), (math.nan, 2)], ids=str
)
def test_a_run_goes_back_and_on_more_slowly(data, tmp_path, poison, value, accumulate):
    """Step 6 fails: the weights, their average and the optimizer become those after step 4 again."""
    poison(6 * accumulate, value=value)
    notes, statuses, weights = [], [], {}
    options = options_of(data, tmp_path, accumulate=accumulate)
    trainer = Trainer(options, on_note=notes.append)

    def on_step(status):
        statuses.append(status)
        state = {**trainer.system.state_dict(), **trainer.ema.state_dict()}
        weights[status.step] = {name: tensor.clone() for name, tensor in state.items()}
        moments = trainer.optimizer.state_dict()["state"]
        weights[status.step] |= {f"moment {i}": s["exp_avg"].clone() for i, s in moments.items()}

    end = trainer.run(on_step=on_step)
    assert_same_tensors(weights[6], weights[4])
    assert any(not torch.equal(weights[7][name], weights[6][name]) for name in weights[6])
    (note,) = notes
    assert note.startswith("step 6: loss ")
    assert "back to the weights of step 4, at 0.5 times the learning rate" in note
    assert [status.learning_rate for status in statuses] == pytest.approx([0.01] * 6 + [0.005] * 2)
    assert [bool(status.losses) for status in statuses] == [n != 6 for n in range(1, 9)]
    assert end.step == 8
    assert math.isfinite(end.losses["loss"])
    state = read_checkpoint(tmp_path / "out")
    assert all(tensor.isfinite().all() for tensor in state["model"].values())
    assert (state["state"]["rate"], state["state"]["num_returns"]) == (0.5, 1)


def test_the_slower_pace_survives_a_stop(data, tmp_path, poison):
    poison(3)

    def stop(status):
        if status.step == 5:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(InterruptedRun, match="stopped at step 5"):
        Trainer(options_of(data, tmp_path)).run(on_step=stop)
    rates = []
    trainer = Trainer(options_of(data, tmp_path, resume=True))
    assert (trainer.guard.rate, trainer.guard.num_returns) == (0.5, 1)
    trainer.run(on_step=lambda status: rates.append(status.learning_rate))
    assert rates == pytest.approx([0.005] * 3)


def test_a_run_that_keeps_diverging_ends_with_one_line(train, tmp_path, poison):
    poison(*range(3, 1000))
    result = train("joint", *PAIR, *PLAIN, "--steps", "50", "--validate-steps", "1", code=1)
    *notes, last_line = result.stderr.splitlines()
    assert last_line.startswith("stsr: training diverged at step 8: loss nan")
    assert "lower --learning-rate" in last_line
    assert sum("back to the weights of step 2" in note for note in notes) == 5
    assert result.stdout == ""
    # the weights of before are good
    assert all(
        math.isfinite(value)
        for line in read_log(tmp_path / "out")
        for value in line["psnr"].values()
    )
    assert (tmp_path / "out" / "weights.safetensors").exists()


def test_returns_are_forgiven_after_a_long_good_time(data, tmp_path, poison, monkeypatch):
    monkeypatch.setattr(guard, "_FORGIVEN_AFTER", 2)
    poison(*range(1, 40, 4))
    Trainer(options_of(data, tmp_path, steps=32)).run()
    assert read_checkpoint(tmp_path / "out")["step"] == 32


def test_endless_divergence_is_an_error_in_python_too(data, tmp_path, poison):
    poison(*range(1, 1000))
    with pytest.raises(StsrError, match="training diverged at step 6"):
        Trainer(options_of(data, tmp_path, steps=40)).run()
