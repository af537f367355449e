"""stdout and stderr that may go away: a reader that stops, a full disk, a terminal that is closed.

What is said there is lost then; the run it is said of goes on to its end, and the exit code tells the result. Results
that a command was to print are another matter: losing them makes the exit code 1.
"""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any

# Whoever reads has had enough. Windows calls a pipe without a reader an invalid argument.
_GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ESHUTDOWN}) | (
    frozenset({errno.EINVAL} if sys.platform == "win32" else ())
)


class StandardStream:
    """One of the two, for writers that do not expect it to fail.

    Attributes:
        error: why the rest of what was written is lost; None: nothing is.
    """

    def __init__(self, stream: Any) -> None:
        """Stand in for `stream`, a text file."""
        self._stream = stream
        self.error: OSError | None = None
        if not str(getattr(stream, "encoding", "")).lower().startswith("utf"):
            # cp1252, where Windows writes into a file or a pipe: a name that it cannot spell is written by numbers
            with contextlib.suppress(AttributeError, ValueError):
                stream.reconfigure(errors="backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text, or lose it."""
        if self.error is None:
            with self._surviving():
                self._stream.write(text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write texts one after the other."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Bring out what is buffered, or lose it."""
        if self.error is None:
            with self._surviving():
                self._stream.flush()

    @contextlib.contextmanager
    def _surviving(self) -> Iterator[None]:
        try:
            yield
        except (
            BlockingIOError
        ):  # a pipe that does not wait and is full: this text is lost, and not the next
            return
        except OSError as error:
            self.error = error
            self._discard()

    def _discard(self) -> None:
        """Lead the descriptor nowhere, so that what is buffered causes no other error when Python ends."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            descriptor = os.open(os.devnull, os.O_WRONLY)
            os.dup2(descriptor, self._stream.fileno())
            os.close(descriptor)
            self._stream.flush()


@contextlib.contextmanager
def surviving_streams() -> Iterator[None]:
    """Let nothing in this context fail because stdout or stderr does.

    Raises:
        SystemExit: 1, where the rest went well and what was printed on stdout could not be stored.
    """
    _occupy_descriptors()
    given = sys.stdout, sys.stderr
    out: Any = StandardStream(sys.stdout) if sys.stdout else None
    err: Any = StandardStream(sys.stderr) if sys.stderr else None
    sys.stdout, sys.stderr = out, err
    try:
        try:
            yield
        except SystemExit as end:
            if end.code in (None, 0):
                _tell_loss(out)
            raise
        else:
            _tell_loss(out)
    finally:
        for stream in filter(None, (out, err)):
            stream.flush()
        sys.stdout, sys.stderr = given


def _tell_loss(out: StandardStream | None) -> None:
    """Fail if what was printed is lost, but for a reader that stopped reading."""
    if out is None:
        return
    out.flush()
    if out.error is not None and out.error.errno not in _GONE:
        if sys.stderr is not None:
            sys.stderr.write(
                f"stsr: not all that was to be printed on stdout could be written: {out.error.strerror}\n"
            )
        sys.exit(1)


def _occupy_descriptors() -> None:
    """Open what was closed by the caller (`2>&-`), so that no file of ours gets the number of stderr.

    It can be read alone: a video that is to be written there fails.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # the lowest number that is free
