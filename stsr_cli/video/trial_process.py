"""A process of its own for what may crash in FFmpeg's libraries: it answers calls, and a crash is an answer, too.

One is started by the first call, or by `start` before that, and kept for the next ones. It ends with this process, and
by itself when nothing was asked for a while. It is a plain new interpreter, on every system; it imports no torch.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_LONGEST_SECONDS = 120.0  # of an answer; nothing that is tried takes long
_IDLE_SECONDS = 30.0
_PROGRAM = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from stsr_cli.video.trial_process import serve; serve()"
)


class CrashedTrial(Exception):
    """What was tried ended its process, or never came to an end; the text says how."""


class _Process:
    """The process that answers."""

    def __init__(self) -> None:
        # -P: a folder in which stsr runs is a stranger's, and no module is taken from it.
        self.child = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self.child.stdin and self.child.stdout
        self.input: IO[bytes] = self.child.stdin
        self.output: IO[bytes] = self.child.stdout
        self.send(sys.path)

    def send(self, value: object) -> None:
        with contextlib.suppress(OSError):  # it has ended: reading its answer finds out
            pickle.dump(value, self.input)
            self.input.flush()

    def answer(self) -> tuple[bool, Any]:
        """Whether a call went well, and its result or its exception.

        Raises:
            EOFError: the process ended.
        """
        timer = threading.Timer(_LONGEST_SECONDS, self.child.kill)
        timer.daemon = True
        timer.start()
        try:
            answer: tuple[bool, Any] = pickle.load(self.output)
            return answer
        except (OSError, pickle.UnpicklingError) as error:
            raise EOFError from error
        finally:
            timer.cancel()

    def end(self) -> int:
        """End it, if it has not ended; its exit code."""
        if self.child.poll() is None:
            self.child.kill()
        code = self.child.wait()
        for pipe in (self.input, self.output):
            with contextlib.suppress(OSError):
                pipe.close()
        return code


_lock = threading.Lock()
_process: _Process | None = None


def start() -> None:
    """Start the process, so that it is ready when something is asked; it takes its time beside this one."""
    global _process
    with _lock, contextlib.suppress(OSError):
        if _process is None:
            _process = _Process()


def call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function of a module in the process; its arguments and its result are pickled.

    Raises:
        CrashedTrial: the process ended meanwhile, or did not answer.
        Exception: what the function raises.
    """
    global _process
    with _lock:
        for is_last in (False, True):
            process = _process or _Process()
            _process = None  # an exception here, Ctrl-C too, leaves none with half an answer
            try:
                process.send((str(Path.cwd()), function, args, kwargs))
                is_well, result = process.answer()
            except EOFError:
                code = process.end()
                if abs(code) == signal.SIGTERM and not is_last:  # it had nothing to do for a while
                    continue
                raise CrashedTrial(_ended(code)) from None
            except BaseException:
                process.end()
                raise
            _process = process
            break
    if is_well:
        value: T = result
        return value
    raise result


def stop() -> None:
    """End the process. Safe to repeat."""
    global _process
    with _lock:
        if _process is not None:
            _process.end()
            _process = None


atexit.register(stop)


def serve() -> None:
    """The whole life of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; the one that asks decides
    if sys.platform != "win32":
        import resource

        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    import stsr_cli.video.rehearsal  # noqa: F401  what is going to be asked for

    while True:
        idle = threading.Timer(_IDLE_SECONDS, os.kill, (os.getpid(), signal.SIGTERM))
        idle.daemon = True
        idle.start()
        try:
            folder, function, args, kwargs = pickle.load(sys.stdin.buffer)
        except (EOFError, OSError):
            return
        finally:
            idle.cancel()
        with contextlib.suppress(OSError):
            os.chdir(folder)
        try:
            answer = (True, function(*args, **kwargs))
        except Exception as error:
            answer = (False, error)
        try:
            data = pickle.dumps(answer)
            pickle.loads(data)
        except Exception:  # an exception may hold anything
            data = pickle.dumps((False, RuntimeError(repr(answer[1]))))
        answers.write(data)
        answers.flush()


def _ended(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"FFmpeg crashes on it, {signal.Signals(-code).name}"
    return f"FFmpeg crashes on it, exit code {code}"
