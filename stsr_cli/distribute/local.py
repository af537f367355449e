"""Processes of this machine. Each has a pipe of its own, so that one that dies takes nothing from the others."""

import contextlib
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess

if sys.platform == "win32":
    from multiprocessing.connection import PipeConnection as Connection
else:
    from multiprocessing.connection import Connection

from stsr_cli.distribute.crew import Assignment, Done, Event, Failed, Lost
from stsr_cli.interrupts import no_interrupts
from stsr_cli.text import plural

_WAIT_SECONDS = 0.5
_GRACE_SECONDS = 10.0  # for a worker that is told to stop, to remove what is unfinished


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    gpu: str | None
    number: int | None = None  # of the attempt that it is at


class LocalCrew:
    """`num_workers` processes, started when there is work for them and kept for the next.

    Attributes:
        description: how many, for the user.
    """

    def __init__(self, num_workers: int, cores: int, gpus: Sequence[str] = ()) -> None:
        """Start nothing yet.

        Args:
            num_workers: processes at a time.
            cores: threads of each.
            gpus: what CUDA_VISIBLE_DEVICES is for each process in turn; none: it is left alone.
        """
        self._num_workers, self._cores, self._gpus = num_workers, cores, gpus
        self._num_sharing = math.ceil(num_workers / (len(gpus) or 1))
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        where = f" on {plural(len(gpus), 'GPU')}" if gpus else ""
        self.description = (
            f"{plural(num_workers, 'process')}{where}, {plural(cores, 'thread')} each"
        )

    def has_room(self) -> bool:
        """Whether a process is idle, or one more may be started."""
        is_idle = any(worker.number is None for worker in self._workers)
        return is_idle or len(self._workers) < self._num_workers

    def give(self, assignment: Assignment) -> None:
        """Hand it to an idle process, or to a new one."""
        idle = (worker for worker in self._workers if worker.number is None)
        worker = next(idle, None) or self._start()
        worker.number = assignment.number
        with contextlib.suppress(OSError):  # it has just died: `wait` finds out
            worker.pipe.send(assignment)

    def wait(self) -> list[Event]:
        """What has happened; a process that ended while at something has lost it."""
        events: list[Event] = []
        pipes = {worker.pipe: worker for worker in self._workers}
        for pipe in wait(list(pipes), _WAIT_SECONDS):
            assert isinstance(pipe, Connection)
            worker = pipes[pipe]
            try:
                event: Event = pipe.recv()
            except (EOFError, OSError):
                events += self._bury(worker)
                continue
            if isinstance(event, Done | Failed):
                worker.number = None
            events.append(event)
        return events

    def close(self) -> None:
        """Ask all to stop and wait for them; kill those that do not, or all if that is interrupted."""
        try:
            for worker in self._workers:
                worker.process.terminate()
            end = time.monotonic() + _GRACE_SECONDS
            for worker in self._workers:
                worker.process.join(max(0.0, end - time.monotonic()))
        finally:
            for worker in self._workers:
                worker.process.kill()
                worker.process.join()
                worker.pipe.close()
            self._workers.clear()

    def _start(self) -> _Worker:
        taken = [worker.gpu for worker in self._workers]
        gpu = min(self._gpus, key=taken.count, default=None)
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_serve,
            args=(theirs, gpu, self._cores, self._num_sharing),
            name="stsr-worker",
            daemon=True,
        )
        with no_interrupts():
            process.start()
        theirs.close()  # so that its end is the pipe's
        worker = _Worker(process, ours, gpu)
        self._workers.append(worker)
        return worker

    def _bury(self, worker: _Worker) -> list[Event]:
        worker.process.join()
        worker.pipe.close()
        self._workers.remove(worker)
        if worker.number is None:
            return []
        code = worker.process.exitcode or 0
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return [Lost(worker.number, f"process {worker.process.pid} ended {how}")]


def _serve(pipe: Connection, gpu: str | None, cores: int, num_sharing: int) -> None:
    """The whole life of a worker process."""
    # Ctrl-C reaches all processes of a terminal: the first one decides, and ends the others by SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    with contextlib.suppress(KeyboardInterrupt, EOFError, BrokenPipeError):
        _work(pipe, cores, num_sharing)


def _work(pipe: Connection, cores: int, num_sharing: int) -> None:
    import torch

    from stsr_cli.distribute.worker import make, portable

    torch.set_num_threads(cores)
    sending = threading.Lock()

    def tell(event: Event) -> None:
        with sending:
            pipe.send(event)

    while True:
        assignment: Assignment = pipe.recv()
        try:
            tell(make(assignment, tell, num_sharing))
        except Exception as error:  # raised again where the journal is kept
            tell(Failed(assignment.number, portable(error)))


def _end_with_parent() -> None:
    """End this process when the one that started it is killed: nothing would ever tell it to stop."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    if sys.platform != "win32":  # there that was the end
        threading.Event().wait(_GRACE_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)
