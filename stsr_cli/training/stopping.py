"""Ctrl-C and SIGTERM as a flag that the training loop looks at between steps."""

import signal
from typing import Any, Self


class StopSignals:
    """While entered, Ctrl-C and SIGTERM set a flag instead of ending the process, so that a step is never torn."""

    def __init__(self) -> None:
        self.is_set = False
        self._previous: dict[int, Any] = {}

    def _set(self, *_: object) -> None:
        self.is_set = True

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._set)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
