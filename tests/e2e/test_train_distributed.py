"""Training on two processes: the same losses and weights as on one with twice the batch, and one voice."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from .training import PAIR, environment, names_under, read_checkpoint, read_log

# Each starts `-m stsr_cli`; of accelerate, which has several processes of a CPU only under MPI, the one it can.
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
ACCELERATE = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"]
ACCELERATE += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "-m"]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes of POSIX")


def joint(data, *arguments):
    """Arguments of eight steps on D_L and D_U with everything that has a state."""
    sources = ["--labeled", data / "hr", "--unlabeled", data / "lr", "--cache", data / "cache"]
    size = ["--stage", "joint", *PAIR, "--crop", "16", "--threads", "1", "--device", "cpu"]
    # sgd: adamw's first steps are signs of the gradient, and so any difference in its last digits
    speed = ["--steps", "8", "--optimizer", "sgd", "--learning-rate", "0.1", "--ema-decay", "0.5"]
    plain = ["--warmup-steps", "0", "--validate-steps", "1"]
    return [*map(str, ["train", *sources, *size, *speed, *plain, *arguments])]


@pytest.fixture
def one_process(call, data, tmp_path):
    """What one process with a batch of four does; trained once."""
    kept = data / "one"
    if not kept.is_dir():
        call(*joint(data, "--out", kept, "--batch-size", "4"))
    return kept


def launch(arguments, folder):
    """Run python with its children in a group of their own, which ends with it whatever happens."""
    command = [sys.executable, *arguments]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(OMP_NUM_THREADS="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def assert_equal_runs(actual, expected):
    one, other = read_log(actual), read_log(expected)
    assert [line["step"] for line in one] == [line["step"] for line in other] == list(range(1, 9))
    for line, same in zip(one, other, strict=True):
        assert line["losses"].keys() == same["losses"].keys() > {"reconstruction", "consistency"}
        assert line["losses"] == pytest.approx(same["losses"], rel=2e-5), line["step"]
        assert line["psnr"] == pytest.approx(same["psnr"], abs=1e-3)
    assert np.ptp([line["losses"]["loss"] for line in one]) > 0.01, "they differ from step to step"
    one, other = read_checkpoint(actual), read_checkpoint(expected)
    for name, tensor in other["model"].items():
        torch.testing.assert_close(one["model"][name], tensor, rtol=1e-4, atol=1e-5)
    for name, tensor in other["ema"].items():
        torch.testing.assert_close(one["ema"][name], tensor, rtol=1e-4, atol=1e-5)


def test_two_micro_batches_equal_one_batch(call, data, tmp_path, one_process):
    call(*joint(data, "--out", "out", "--batch-size", "2", "--accumulate", "2"))
    assert_equal_runs(tmp_path / "out", one_process)


@pytest.mark.parametrize(
    ("launcher", "batch_size"), [(TORCHRUN, 2), (ACCELERATE, 4)], ids=["torchrun", "accelerate"]
)
def test_launched_processes_equal_one(data, tmp_path, one_process, launcher, batch_size):
    arguments = joint(data, "--out", "out", "--batch-size", batch_size, "--save-minutes", "0")
    done = launch([*launcher, "stsr_cli", *arguments], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "out/weights.safetensors\n", "one process speaks"
    for step in range(1, 9):
        assert done.stderr.count(f" step {step:6d} ") == 1, done.stderr
    assert done.stderr.count("on the held-out split") == 1
    assert "Warning" not in done.stderr
    assert_equal_runs(tmp_path / "out", one_process)
    assert not [name for name in names_under(tmp_path) if ".part" in name]
