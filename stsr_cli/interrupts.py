"""Keep Ctrl-C, which reaches all processes of a terminal, from those that the first one ends itself."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_interrupts() -> Iterator[None]:
    """Processes that start in here inherit the mask: Ctrl-C reaches none of them, not even one that has just begun."""
    if sys.platform == "win32":  # which has no such mask
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
