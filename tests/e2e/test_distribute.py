"""Segments made by processes of this machine, some of which are killed."""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from stsr_cli.distribute.runner import Distributed
from stsr_cli.errors import InputError, StsrError
from stsr_cli.options import UpscaleOptions
from stsr_cli.options.distribute import DistributeOptions
from stsr_cli.segments.journal import work_folder
from stsr_cli.upscale import upscale

from .distribution import (
    Told,
    in_background,
    make_options,
    pictures,
    run,
    wait_for_writer,
    workers_of,
    writer_in,
)

LOCAL = DistributeOptions("local", num_workers=2, worker_cores=1)


@pytest.fixture
def options(tmp_path: Path, make_clip: Callable[..., Path]) -> UpscaleOptions:
    return make_options(tmp_path, make_clip)


@pytest.fixture
def expected(options: UpscaleOptions) -> str:
    """The pictures of the same run in one process."""
    alone = replace(options, target=options.target.with_name("alone.mp4"))
    upscale(alone)
    return pictures(alone.target)


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


def test_a_segment_that_kills_every_worker_ends_the_run(options: UpscaleOptions) -> None:
    folder, is_over = work_folder(options.target), threading.Event()

    def kill_all() -> None:
        while not is_over.is_set():
            if (pid := writer_in(folder)) is not None:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)

    thread = in_background(kill_all)
    one = replace(LOCAL, num_workers=1)
    with pytest.raises(StsrError, match="SIGKILL, as 3 workers before it"):
        upscale(options, None, Distributed(one))
    is_over.set()
    thread.join()
    assert not options.target.exists()
    assert not workers_of(psutil.Process())


def test_what_any_worker_would_refuse_is_not_tried_again(options: UpscaleOptions) -> None:
    class Spoiler(Told):
        def on_note(self, note: str) -> None:  # said when all is settled, before a worker runs
            options.source.write_bytes(b"no video any more")

    with pytest.raises(InputError, match=r"clip\.mp4"):
        upscale(options, Spoiler(), Distributed(LOCAL))
    assert not workers_of(psutil.Process())
