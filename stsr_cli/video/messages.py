"""What FFmpeg's libraries and the encoders in them say of themselves: nothing, or everything, into Python's logging."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import av
from av.codec.context import CodecContext, ThreadType

_capturing = threading.RLock()
_logged = threading.Event()
_SETTLE_SECONDS = 0.01
_QUIET = -8  # AV_LOG_QUIET


@contextlib.contextmanager
def messages_captured(level: int) -> Iterator[list[tuple[int, str, str]]]:
    """Collect what they say in this thread, in this context: level, speaker and text of each message.

    A decoder's thread that has something to say meanwhile waits for the interpreter's lock. It gets it before the
    context is left: whoever closed that decoder would hold the lock and wait for the thread, for ever.

    Args:
        level: the least that is collected, one of `av.logging`'s.
    """
    with _capturing, _ignored_elsewhere(before := av.logging.get_level()):
        av.logging.set_level(level)
        try:
            with av.logging.Capture() as messages:
                yield messages
        finally:
            if before is None:
                # Messages go nowhere from here on. Not by None at once: PyAV compares one that is on its way with it.
                av.logging.set_libav_level(_QUIET)
                av.logging.restore_default_callback()
            time.sleep(_SETTLE_SECONDS)
            av.logging.set_level(before)


def _ignored_elsewhere(level: int | None) -> Any:
    """Keep what is said in other threads off the terminal, unless it is asked for (`level`)."""
    return av.logging.Capture(local=False) if level is None else contextlib.nullcontext()


@contextlib.contextmanager
def messages_logged(*, stderr_too: bool) -> Iterator[None]:
    """Log what they say, as `libav.*`, in this context; `stderr_too`: SVT-AV1, which writes there itself, may.

    Otherwise they are silent: what matters of it, stsr says in its own words. Every message takes the interpreter's
    lock, so this is for finding out what is wrong and not for every day: decoders have no threads then (`let_thread`).
    """
    level = av.logging.get_level()
    _logged.set()
    if stderr_too:
        os.environ.setdefault("SVT_LOG", "3")
    av.logging.set_level(av.logging.VERBOSE)
    try:
        yield
    finally:
        av.logging.set_level(level)
        if level is None:
            _logged.clear()


def let_thread(decoder: CodecContext) -> None:
    """Let a decoder that is not open yet decode several frames at once, where that is safe.

    It is not while messages are logged: a thread of its own that has something to say waits for the interpreter's lock,
    which whoever closes the decoder holds while it waits for the thread.
    """
    if _logged.is_set():
        decoder.thread_count = 1
    else:
        decoder.thread_type = ThreadType.AUTO
