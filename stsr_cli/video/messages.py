"""What FFmpeg's libraries and the encoders in them say of themselves: nothing, or everything, into Python's logging."""

import contextlib
import os
from collections.abc import Iterator

import av


@contextlib.contextmanager
def messages_logged(*, stderr_too: bool) -> Iterator[None]:
    """Log what they say, as `libav.*`, in this context; `stderr_too`: SVT-AV1, which writes there itself, may.

    Otherwise they are silent: what matters of it, stsr says in its own words. Every message takes the interpreter's
    lock, so this is for finding out what is wrong and not for every day.
    """
    level = av.logging.get_level()
    if stderr_too:
        os.environ.setdefault("SVT_LOG", "3")
    av.logging.set_level(av.logging.VERBOSE)
    try:
        yield
    finally:
        av.logging.set_level(level)
