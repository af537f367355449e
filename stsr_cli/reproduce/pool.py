"""Doing many cells in processes, each as soon as what it starts from is done; stopped cleanly by Ctrl-C."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.synchronize import Event
from typing import Any

from stsr_cli.errors import InterruptedRun, StsrError
from stsr_cli.reproduce.cell import Study, do
from stsr_cli.reproduce.plan import Cell

OnCell = Callable[[Cell, dict[str, Any]], None]

# Of a worker process.
_study: Study | None = None
_stop: Event | None = None


def _start_worker(study: Study, stop: Event) -> None:
    import torch

    global _study, _stop
    _study, _stop = study, stop
    torch.set_num_threads(1)
    # Ctrl-C reaches all processes of a terminal: the first one decides, and tells the others by `stop`.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the one that started it is killed: nothing would ever tell it to stop."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _do(cell: Cell) -> dict[str, Any]:
    assert _study is not None
    assert _stop is not None
    return do(cell, _study, _stop.is_set)


def do_all(
    cells: Sequence[Cell], study: Study, num_processes: int, on_cell: OnCell = lambda *_: None
) -> None:
    """Do every cell that is not done yet.

    Args:
        cells: in an order in which each comes after those it needs.
        study: what they are part of.
        num_processes: how many at a time, with one thread each on a CPU.
        on_cell: told of every cell that has been done, with its result.

    Raises:
        InterruptedRun: Ctrl-C or SIGTERM; finished cells are kept, and the others go on where they stopped.
        StsrError: a cell failed; those that had begun are stopped in the same way.
    """
    left = [cell for cell in cells if not study.is_done(cell)]
    if not left:
        return
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    executor = ProcessPoolExecutor(
        min(num_processes, len(left)), context, _start_worker, (study, stop)
    )
    try:
        _run(left, executor, on_cell, num_processes)
    except KeyboardInterrupt as error:
        raise InterruptedRun(
            "stopped; what is done is kept, and the same command goes on from there"
        ) from error
    except BrokenProcessPool as error:
        raise StsrError(
            "a process that did a cell died; it may have run out of memory: lower --jobs and start again, "
            "what is done is kept"
        ) from error
    finally:
        stop.set()
        executor.shutdown(wait=True, cancel_futures=True)


def _run(
    left: list[Cell], executor: ProcessPoolExecutor, on_cell: OnCell, num_processes: int
) -> None:
    """Keep the processes busy; as few cells as possible wait in the executor, where the order is fixed."""
    open_cells = set(left)
    running: dict[Future[dict[str, Any]], Cell] = {}
    while left or running:
        for cell in [cell for cell in left if not open_cells.intersection(cell.needs)]:
            if len(running) == num_processes:
                break
            left.remove(cell)
            running[executor.submit(_do, cell)] = cell
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:
            cell = running.pop(future)
            result = future.result()
            open_cells.remove(cell)
            on_cell(cell, result)
