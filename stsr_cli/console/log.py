"""What the library and FFmpeg log, told like everything else: a line, or an event."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stsr_cli.options import LogLevel

_LOGGERS = ("stsr_cli", "libav")


class _Teller(logging.Handler):
    def __init__(self, tell: Callable[[int, str, str], None]) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        message = record.getMessage()
        if record.exc_info:
            message += f"\n{logging.Formatter().formatException(record.exc_info)}"
        self._tell(record.levelno, record.name, message.strip())


@contextmanager
def logs_told(level: LogLevel, tell: Callable[[int, str, str], None]) -> Iterator[None]:
    """Tell level, logger and message of what is logged at `level` or above, in this context."""
    handler, before = _Teller(tell), [logging.getLogger(name) for name in _LOGGERS]
    states = [(logger.level, logger.propagate) for logger in before]
    for logger in before:
        logger.setLevel(level.upper())
        logger.propagate = False
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger, (old_level, propagates) in zip(before, states, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(old_level)
            logger.propagate = propagates
