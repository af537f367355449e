"""Segments made by processes of this machine, some of which are killed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import psutil
import pytest
import torch

from stsr_cli import __version__
from stsr_cli.checkpoint import Weights, save_weights
from stsr_cli.distribute.dispatch import LOG
from stsr_cli.distribute.runner import Distributed
from stsr_cli.errors import InputError, InterruptedRun, StsrError, UsageError
from stsr_cli.options import UpscaleOptions
from stsr_cli.options.distribute import DistributeOptions
from stsr_cli.registry import build
from stsr_cli.segments.journal import work_folder
from stsr_cli.upscale import upscale

from ..conftest import RunStsr, write_clip
from .distribution import (
    NUM_SEGMENTS,
    Told,
    in_background,
    made_alone,
    make_options,
    pictures,
    run,
    wait_for_writer,
    workers_of,
    writer_in,
)

LOCAL = DistributeOptions("local", num_workers=2, worker_cores=1)
ONE = replace(LOCAL, num_workers=1)


@pytest.fixture
def options(tmp_path: Path, make_clip: Callable[..., Path]) -> UpscaleOptions:
    return make_options(tmp_path, make_clip)


@pytest.fixture
def expected(options: UpscaleOptions) -> str:
    """The pictures of the same run in one process."""
    return made_alone(options)


def test_processes_make_what_one_makes(options: UpscaleOptions, expected: str) -> None:
    told = run(options, LOCAL)
    assert pictures(options.target) == expected
    assert len(set(told.workers.values())) == 2
    assert str(os.getpid()) not in {name.split(":")[1] for name in told.workers.values()}
    assert not workers_of(psutil.Process())


def test_a_killed_process_costs_its_segment_alone(options: UpscaleOptions, expected: str) -> None:
    folder, killed = work_folder(options.target), list[int]()

    def kill() -> None:
        killed.append(wait_for_writer(folder))
        os.kill(killed[0], signal.SIGKILL)

    thread = in_background(kill)
    told = run(options, LOCAL)
    thread.join()
    assert pictures(options.target) == expected
    lost = [note for note in told.notes if "SIGKILL" in note]
    assert len(lost) == 1
    assert f"process {killed[0]} ended by signal SIGKILL; another worker makes it again" in lost[0]


def test_a_segment_that_kills_every_worker_ends_the_run(
    options: UpscaleOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stsr_cli.distribute.dispatch.MAX_TRIES", 2)
    folder, is_over = work_folder(options.target), threading.Event()

    def kill_all() -> None:
        while not is_over.is_set():
            if (pid := writer_in(folder)) is not None:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)

    thread = in_background(kill_all)
    with pytest.raises(StsrError, match="SIGKILL, as 1 before it"):
        upscale(options, None, Distributed(ONE))
    is_over.set()
    thread.join()
    assert not options.target.exists()
    assert not workers_of(psutil.Process())


def test_what_any_worker_would_refuse_is_not_tried_again(options: UpscaleOptions) -> None:
    class Spoiler(Told):
        def on_note(self, note: str) -> None:  # said when all is settled, before a worker runs
            options.source.write_bytes(b"no video any more")

    with pytest.raises(InputError, match=r"clip\.mp4"):
        upscale(options, Spoiler(), Distributed(ONE))
    assert not workers_of(psutil.Process())


def another_clip(options: UpscaleOptions) -> None:
    """Put another video in the source's place."""
    other = options.source.with_name("other.mp4")
    write_clip(other, width=128, height=96, num_frames=50, frame_rate=Fraction(10))
    other.replace(options.source)


def other_weights(options: UpscaleOptions) -> None:
    """Put other weights of the same network in the place of those that were given."""
    torch.manual_seed(2)
    tensors = Weights(spatial=build("spatial", "espcn", {"num_channels": 8}))
    save_weights(Path(options.model.weights[0]), tensors)


@pytest.mark.parametrize(("change", "what"), [(another_clip, "source"), (other_weights, "weights")])
def test_a_worker_refuses_what_the_run_did_not_begin_with(
    options: UpscaleOptions,
    weights_file: Path,
    change: Callable[[UpscaleOptions], None],
    what: str,
) -> None:
    model = replace(options.model, spatial="espcn", weights=(str(weights_file),))
    options = replace(options, model=model)

    class Spoiler(Told):
        def on_note(self, note: str) -> None:  # said when all is settled, before a worker runs
            change(options)

    with pytest.raises(StsrError, match=f"does not have what the run began with: {what}, "):
        upscale(options, Spoiler(), Distributed(ONE))


def test_a_worker_of_another_version_refuses(
    options: UpscaleOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stsr_cli.upscale.identity.__version__", "0.0.1")
    with pytest.raises(StsrError, match=f"software, stsr: {__version__}, not 0.0.1; all machines"):
        upscale(options, None, Distributed(ONE))


def test_machines_that_share_no_storage(
    options: UpscaleOptions, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Source and segments go by URL; on the way nothing is left, and a worker's cache serves the next."""
    bucket, caches = tmp_path / "bucket", tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(caches))
    run(options, replace(ONE, work_url=bucket.as_uri()))
    assert pictures(options.target) == expected
    assert list(bucket.rglob("*")) == []
    (copy,) = caches.rglob("clip.mp4")
    assert copy.read_bytes() == options.source.read_bytes()


@pytest.mark.posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_a_run_that_ends_leaves_no_process_and_goes_on(
    options: UpscaleOptions, expected: str, name: str
) -> None:
    words = ["--segment", "1", "--spatial", "bicubic", "--temporal", "blend", "--preset", "medium"]
    command = [sys.executable, "-m", "stsr_cli", "upscale", options.source, options.target, *words]
    process = subprocess.Popen(
        [*command, "--distribute", "local:2"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    folder = work_folder(options.target)
    wait_for_writer(folder)
    workers = workers_of(psutil.Process(process.pid))
    number = signal.Signals[name]
    if name == "SIGINT":
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    _, said = process.communicate(timeout=60)
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
    assert len(workers) in (1, 2)  # the second may just be starting
    assert not options.target.exists()
    if name == "SIGINT":
        assert process.returncode == InterruptedRun.exit_code, said
        assert "Traceback" not in said
        assert not [*folder.glob("attempt-*"), *folder.rglob(".*.nut")]
    run(options, ONE)
    assert pictures(options.target) == expected


def test_the_work_folder_may_lie_elsewhere(
    options: UpscaleOptions, run_stsr: RunStsr, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    words = ["--segment", "1", "--spatial", "bicubic", "--temporal", "blend", "--keep-work"]
    words += ["--work-dir", scratch, "--distribute", "local:2", "--worker-cores", "1"]
    done = run_stsr("upscale", options.source, options.target, *words)
    assert done.returncode == 0, done.stderr
    assert "2 processes, 1 thread each" in done.stderr
    assert not work_folder(options.target).exists()
    log = (work_folder(options.target, scratch) / LOG).read_text().splitlines()
    assert [json.loads(line)["outcome"] for line in log] == ["made"] * NUM_SEGMENTS


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--distribute", "mars"], "'mars' says not who; write local:4"),
        (["--distribute", "local:0"], "'local:0' says not who"),
        (["--worker-cores", "2"], "--worker-cores cannot be used without --distribute"),
        (["--work-dir", "file:///x"], "--work-dir cannot be used without --distribute"),
    ],
)
def test_what_makes_no_sense_is_refused(
    options: UpscaleOptions, run_stsr: RunStsr, words: list[str], said: str
) -> None:
    done = run_stsr("upscale", options.source, options.target, *words)
    assert done.returncode == UsageError.exit_code
    assert said in done.stderr


def test_the_source_may_be_an_address(
    options: UpscaleOptions, run_stsr: RunStsr, expected: str
) -> None:
    words = ["--segment", "1", "--spatial", "bicubic", "--temporal", "blend", "--preset", "medium"]
    words += ["--distribute", "local:1", "--allow-protocols", "file"]
    done = run_stsr("upscale", options.source.as_uri(), options.target, *words)
    assert done.returncode == 0, done.stderr
    assert pictures(options.target) == expected
