"""Keeping an encoder from doing things to the process that opens it.

SVT-AV1 prints a banner past FFmpeg's log. Run by root, as in most containers, it also makes itself and the thread that
opens it real-time (SCHED_FIFO, 99), which those it starts inherit: a run then takes the machine from all others, and
threads that spin on a core wait for ever for one that needs it.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_THREADS = Path("/proc/self/task")


@contextlib.contextmanager
def restrained() -> Iterator[None]:
    """Open an encoder in this context; threads that it made real-time are ordinary ones afterwards."""
    os.environ.setdefault("SVT_LOG", "1")
    if sys.platform != "linux":
        yield
        return
    before = os.sched_getscheduler(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != before:
            for thread in _THREADS.iterdir():
                with contextlib.suppress(OSError):  # it has ended meanwhile
                    os.sched_setscheduler(int(thread.name), before, os.sched_param(0))
