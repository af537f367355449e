"""Tasks of a Ray cluster. The one owner of ray.

Ray places tasks and notices that a worker or a machine is gone; what is made again, and how often, is decided by the
dispatcher, so that it can be told. Progress comes through an actor, results as results.
"""

import contextlib
import logging
import math
import os
import re
import signal
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stsr_cli.distribute.crew import Assignment, Done, Event, Failed, Lost, Note, Withdrawn
from stsr_cli.errors import StsrError, UsageError
from stsr_cli.extras import install_command
from stsr_cli.text import plural

_WAIT_SECONDS = 0.5
_GRACE_SECONDS = 10.0  # for tasks that are told to stop, to remove what is unfinished
_PATIENCE_SECONDS = 10.0  # before it is said that no node has room
_LOOK_SECONDS = 2.0  # between two looks at the nodes
_RAY_SECONDS = 5.0  # for Ray to say what became of tasks on a node that is gone
_GONE = "its machine left the cluster"
_NUM_AHEAD = 4  # tasks submitted beyond twice what fits
_MAX_CORES = 4  # of a worker, unless the user says otherwise
_ANSWER_SECONDS = 5.0  # for the mailbox
_KNOCK_SECONDS = 10.0  # for the cluster
_HOST_AND_PORT = re.compile(r":\d+$")


@dataclass(frozen=True)
class _Placed:
    """On which node an attempt is."""

    number: int
    node: str


class _Mailbox:
    """An actor: keeps what workers tell until it is asked for."""

    def __init__(self) -> None:
        self._events: list[Event | _Placed] = []

    def put(self, event: Event | _Placed) -> None:
        self._events.append(event)

    def take(self) -> list[Event | _Placed]:
        events, self._events = self._events, []
        return events


def _make_remotely(
    assignment: Assignment, mailbox: Any, cores: int, *, is_on_gpu: bool
) -> Done | Exception:
    """A task: what was made, or why not; an exception that leaves it is Ray's."""
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # as the command does
    import ray

    mailbox.put.remote(_Placed(assignment.number, ray.get_runtime_context().get_node_id()))
    import torch

    from stsr_cli.distribute.worker import make, portable
    from stsr_cli.upscale.segment_task import worker_name

    torch.set_num_threads(cores)
    try:
        num_sharing = 1 if is_on_gpu else max(1, (os.cpu_count() or 1) // cores)
        return make(assignment, lambda event: mailbox.put.remote(event), num_sharing)
    except StsrError as error:
        return error.with_advice(f" (on {worker_name()})")
    except Exception as error:
        return portable(error)


class RayCrew:
    """A task for each assignment; Ray starts as many at a time as the cluster's GPUs or cores allow.

    Attributes:
        description: the cluster, for the user.
    """

    def __init__(self, address: str | None, cores: int | None, wants_gpu: bool | None) -> None:
        """Connect to a cluster, or start one on this machine.

        Args:
            address: as `ray.init` takes it; None: RAY_ADDRESS, else a cluster that runs here, else a new one.
            cores: CPU cores of a task, or None: 4, or fewer on smaller machines.
            wants_gpu: whether tasks need a GPU each; None: if the cluster has any.

        Raises:
            UsageError: Ray is not installed.
            StsrError: there is no cluster at `address`, or it has no GPU and one is needed.
        """
        ray = _ray()
        self._ray, self._is_ours = ray, not ray.is_initialized()
        if self._is_ours:
            _silence(ray)
            _connect(ray, address)
        try:
            self._set_up(cores, wants_gpu)
        except BaseException:
            self.close()
            raise

    def _set_up(self, cores: int | None, wants_gpu: bool | None) -> None:
        ray = self._ray
        self._running: dict[Any, int] = {}
        self._places: dict[int, str] = {}
        self._given_seconds: dict[int, float] = {}
        self._missed: dict[str, float] = {}  # nodes that are gone, and when that was seen
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        num_gpus = int(sum(node.get("GPU", 0) for node in nodes))
        if wants_gpu and not num_gpus:
            raise StsrError("no node of the Ray cluster has a GPU; use --device auto or cpu")
        on_gpu = wants_gpu is not False and num_gpus > 0
        fitting = [node for node in nodes if node.get("GPU" if on_gpu else "CPU", 0) >= 1]
        share = [node.get("CPU", 1) / (node["GPU"] if on_gpu else 1) for node in fitting]
        self._cores = cores or max(1, min(_MAX_CORES, math.floor(min(share, default=_MAX_CORES))))
        task = ray.remote(
            num_cpus=self._cores, num_gpus=1 if on_gpu else 0, max_retries=0, max_calls=0
        )
        self._task = task(_make_remotely)
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=True
        )
        actor = ray.remote(num_cpus=0, max_restarts=-1, scheduling_strategy=here)
        self._mailbox = actor(_Mailbox).remote()
        # What a worker tells before it is there goes nowhere if the worker's machine is lost meanwhile.
        ray.wait([self._mailbox.take.remote()], timeout=_ANSWER_SECONDS)
        self._needs = {"CPU": self._cores, "GPU": 1 if on_gpu else 0}
        self._doubted_seconds = self._looked_seconds = time.monotonic()
        self._num_slots = self._count_slots(nodes)
        num_cores = int(sum(node.get("CPU", 0) for node in nodes))
        gpus = f", {plural(num_gpus, 'GPU')}" if num_gpus else ""
        each = "a GPU and " if on_gpu else ""
        self.description = (
            f"Ray cluster of {plural(len(nodes), 'node')}, "
            f"{plural(num_cores, 'core')}{gpus}; "
            f"each segment on {each}{plural(self._cores, 'core')}"
        )

    def has_room(self) -> bool:
        """Whether Ray would know of no more than twice what it can do at once, and a few for a cluster that grows.

        More would only wait there, in front of segments that are to be made again.
        """
        return len(self._running) < 2 * self._num_slots + _NUM_AHEAD

    def _count_slots(self, nodes: Sequence[Mapping[str, float]]) -> int:
        """How many tasks fit at once into nodes with these resources."""
        return sum(
            int(min(node.get(name, 0) // number for name, number in self._needs.items() if number))
            for node in nodes
        )

    def give(self, assignment: Assignment) -> None:
        """Submit it."""
        reference = self._task.remote(
            assignment, self._mailbox, self._cores, is_on_gpu=bool(self._needs["GPU"])
        )
        self._running[reference] = assignment.number
        self._given_seconds[assignment.number] = time.monotonic()

    def wait(self) -> list[Event]:
        """What was told, then what was finished or lost."""
        running = list(self._running)
        self._ray.wait(running, timeout=_WAIT_SECONDS)
        done, _ = self._ray.wait(running, num_returns=len(running), timeout=0)
        events = self._told()
        for reference in done:
            events.append(self._result(reference, self._running.pop(reference)))
        return [*events, *self._look()]

    def _look(self) -> list[Event]:
        """Look at the nodes: how much they can do, and which are gone.

        Ray misses a node soon, but what ran there only when its connections break, which a machine that lost its power
        or network does not see to. Ray may also have handed a task to a worker there that never said so: what was given
        before a node was lost and has not said where it is, is withdrawn.
        """
        now = time.monotonic()
        if now - self._looked_seconds < _LOOK_SECONDS:
            return []
        self._looked_seconds = now
        nodes = self._ray.nodes()
        self._num_slots = self._count_slots([n["Resources"] for n in nodes if n["Alive"]])
        for node in nodes:
            if not node["Alive"]:
                self._missed.setdefault(node["NodeID"], now)
        events: list[Event] = []
        for reference, number in list(self._running.items()):
            place = self._places.get(number)
            if place is None:
                missed = max(self._missed.values(), default=0.0)
                is_doubtful = self._given_seconds[number] < missed < now - _RAY_SECONDS
            else:
                is_doubtful = self._missed.get(place, now) < now - _RAY_SECONDS
            if is_doubtful:
                del self._running[reference]
                with contextlib.suppress(Exception):  # it has ended meanwhile
                    self._ray.cancel(reference)  # it may still wait in a queue
                events.append(Lost(number, _GONE) if place else Withdrawn(number))
        return events or self._doubts(now)

    def _doubts(self, now: float) -> list[Event]:
        """Say so where no node could ever take a task; one may join."""
        if self._num_slots or not self._running or now - self._doubted_seconds < _PATIENCE_SECONDS:
            return []
        self._doubted_seconds = now
        gpu = " and a GPU" if self._needs["GPU"] else ""
        text = (
            f"no node of the Ray cluster has {plural(self._cores, 'core')}{gpu}: waiting for one; "
            "--worker-cores asks for fewer"
        )
        return [Note(min(self._running.values()), text)]

    def close(self) -> None:
        """Cancel what runs, then leave the cluster; one that was started for the run ends."""
        running = list(getattr(self, "_running", {}))
        try:
            for reference in running:
                self._ray.cancel(reference)
            if running:
                self._ray.wait(running, num_returns=len(running), timeout=_GRACE_SECONDS)
        finally:
            for reference in running:
                with contextlib.suppress(Exception):  # it has ended meanwhile
                    self._ray.cancel(reference, force=True)
            self._running = {}
            if self._is_ours:
                self._ray.shutdown()

    def _told(self) -> list[Event]:
        try:
            told = self._ray.get(self._mailbox.take.remote(), timeout=_ANSWER_SECONDS)
        except self._ray.exceptions.RayError:  # its node is gone: another one starts it anew
            return []
        places = [event for event in told if isinstance(event, _Placed)]
        self._places.update({event.number: event.node for event in places})
        return [event for event in told if not isinstance(event, _Placed)]

    def _result(self, reference: Any, number: int) -> Event:
        errors = self._ray.exceptions
        try:
            made = self._ray.get(reference)
        except errors.RayTaskError as error:
            return Failed(number, StsrError(_refusal(error)))
        except errors.RayError as error:  # the worker's process, its node, or its memory
            return Lost(number, _reason(errors, error))
        return made if isinstance(made, Done) else Failed(number, made)


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when ray is loaded
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            f"--distribute ray needs Ray, which is not installed: {install_command('ray')}"
        ) from error
    return ray


def _silence(ray: Any) -> None:
    """Keep Ray from printing what its nodes report to stdout, which is the command's; losses are told as notes."""
    worker = ray._private.worker
    if hasattr(worker, "print_to_stdstream"):  # no option of Ray's stops it
        worker.print_to_stdstream = lambda *_, **__: None


def _connect(ray: Any, address: str | None) -> None:
    address = address or os.environ.get("RAY_ADDRESS")
    where = f"the Ray cluster at {address}" if address else "a Ray cluster"
    try:
        with _own_signals():
            if address and _HOST_AND_PORT.search(address):
                _knock(address)  # Ray itself would try for minutes
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # of gRPC, of the network, of Ray
        raise StsrError(
            f"cannot connect to {where}: {_first_line(error)}; is it running, with this version of Ray and Python? "
            "one that asks for a token needs RAY_AUTH_MODE=token"
        ) from error


def _knock(address: str) -> None:
    """Raise OSError where nobody listens."""
    host, _, port = address.rpartition("//")[2].rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), _KNOCK_SECONDS).close()


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself; Ctrl-C and SIGTERM are the run's."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except SystemExit:  # how Ray answers SIGTERM
        raise KeyboardInterrupt from None
    finally:
        for number, handler in before.items():
            with contextlib.suppress(ValueError):  # not the main thread: nothing was taken
                signal.signal(number, handler)


def _reason(errors: Any, error: Exception) -> str:
    if isinstance(error, errors.NodeDiedError):
        return _GONE
    if isinstance(error, errors.OutOfMemoryError):
        return "its machine ran out of memory, and Ray ended its process"
    if isinstance(error, errors.WorkerCrashedError):
        return "its process died"
    return _first_line(error)


def _refusal(error: Exception) -> str:
    """Why a task could not even begin: what is raised in it comes back as its result."""
    lines = str(error).strip().splitlines()
    if any("No module named" in line for line in lines):
        return "a node of the Ray cluster has no stsr; install stsr-cli[ray], the same version, on all nodes"
    return f"a Ray task failed: {lines[-1] if lines else type(error).__name__}"


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
