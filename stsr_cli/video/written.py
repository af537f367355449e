"""What every kind of output has in common: how it is written, and what became of it."""

import contextlib
import errno
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import av

from stsr_cli.errors import StsrError
from stsr_cli.video.check.verify import Check
from stsr_cli.video.colour.convert import Pixels
from stsr_cli.video.encode.encoder import EncoderPlan
from stsr_cli.video.probe import reason, shown
from stsr_cli.video.side_data.bitstream import Message
from stsr_cli.video.tracks.plan import Track

GONE = "the program behind it has stopped reading"
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})


@dataclass(frozen=True)
class WrittenReport:
    """What became of a finished output.

    Attributes:
        path: the file.
        frames: video frames in it.
        duration: of the video, in seconds, exact.
        packets_copied: packets of other tracks taken over from the source, converted ones included.
        checks: what was compared when it was read back.
        damage: what of the other tracks could not be read, a sentence each.
    """

    path: Path
    frames: int
    duration: Fraction
    packets_copied: int
    checks: tuple[Check, ...] = ()
    damage: tuple[str, ...] = ()


class Writer(Protocol):
    """An output that is being written, as a context manager: an exception removes what there is of it.

    Leaving the block without an exception closes the writer, unless `close` was called already.
    """

    @property
    def plan(self) -> EncoderPlan:
        """How the frames are encoded; its width and height are those that `write` takes."""

    @property
    def tick(self) -> Fraction | None:
        """Seconds per tick of the output's clock, where it is coarser than that of the times that `write` takes."""

    @property
    def tracks(self) -> tuple[Track, ...]:
        """What becomes of each other track of the source."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What else of the source the output cannot keep, a sentence each; some is only known after `close`."""

    @property
    def time_base(self) -> Fraction:
        """Seconds per tick of the times that `write` takes."""

    def write(
        self, pixels: Pixels, pts: int, duration: int, messages: Sequence[Message] = ()
    ) -> None:
        """Encode one frame; call in presentation order.

        Args:
            pixels: (H, W, 3) RGB, full range: uint8, or uint16 with white at 65535.
            pts: when it is shown, in ticks of the source's time base / time_scale; greater than the one before.
            duration: for how long, in the same ticks.
            messages: that go along with it, as far as the output holds them.

        Raises:
            StsrError: it could not be written; nothing is left behind then.
        """

    def close(self) -> WrittenReport:
        """Finish, verify, and give the output its name.

        Raises:
            StsrError: it could not be written or does not verify; nothing is left behind then.
        """

    def abort(self) -> None:
        """Give up: remove what there is, leave the target alone. Safe to repeat."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Abortable(Protocol):
    """What is being written and can be given up."""

    def abort(self) -> None:
        """Remove what there is. Safe to repeat."""


@contextlib.contextmanager
def removing_on_failure(
    writer: Abortable, target: Path, advise: Callable[[int | None], str]
) -> Iterator[None]:
    """Abort on any exception, and tell libav's and the system's as one line.

    Args:
        writer: the output that is given up.
        target: what to call it.
        advise: from the system's number of the error, if it has one, to what can be done about it.
    """
    try:
        yield
    except FileNotFoundError as error:  # it was open: writing it did not fail
        writer.abort()
        raise StsrError(
            f"cannot write {shown(target)}: it is gone; was its folder removed or renamed meanwhile?"
        ) from error
    except (av.FFmpegError, OSError) as error:
        writer.abort()
        advice = advise(getattr(error, "errno", None))
        raise StsrError(f"cannot write {shown(target)}: {reason(error)}; {advice}") from error
    except BaseException:
        writer.abort()
        raise


def is_of_disk(error: BaseException | None) -> bool:
    """Whether an error is the disk's: another container would meet it as well."""
    return getattr(error, "errno", None) in _DISK_ERRORS


def joining_advice(number: int | None) -> str:
    """What can be done about a system's error while tracks are put together."""
    if number == errno.EPIPE:
        return GONE
    if number in _DISK_ERRORS:
        return "free some space or write elsewhere"
    return "write another container, such as .mkv, or leave out tracks (--no-audio, --no-subs)"


def encoding_advice(number: int | None) -> str:
    """What can be done about a system's error while video is encoded and written."""
    if number == errno.EPIPE:
        return GONE
    return "free some space or write elsewhere" if number in _DISK_ERRORS else "try another codec"
