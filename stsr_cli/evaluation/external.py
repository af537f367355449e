"""Systems that are command lines: the given frames of a clip go in as a lossless video, and a video comes out.

A command gets N frames and writes 2N - 1 or 2N of four times the size, of which 1, 3, 5 ... (from 0) are interpolated.
It runs without a shell, in the current folder, once a clip; its output may have any codec.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stsr_cli.data import Pixels
from stsr_cli.data.frames import decode
from stsr_cli.errors import InputError, StsrError, UsageError
from stsr_cli.evaluation.samples import SCALE
from stsr_cli.text import split_command

_MAX_LINE = 300  # characters of what a command said that a message repeats

# Lanczos first and motion at the full size, which is slower and better than the other order: on 4 truths each of Vid4's
# calendar, city and walk 18.81, 23.95 and 24.52 dB instead of 18.75, 23.63 and 23.64. 4:4:4 in full range, since
# minterpolate takes no RGB. It ends 2 input frames early but for one step, so the last one is repeated once: N frames
# give 2N - 1, and frame 2k of them is the given frame k.
_FFMPEG_FILTERS = (
    "tpad=stop=1:stop_mode=clone,"
    f"scale=iw*{SCALE}:ih*{SCALE}:flags=lanczos+accurate_rnd+full_chroma_int:in_range=full:out_range=full,"
    "format=yuvj444p,"
    "minterpolate=fps=50:mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1:scd=none"
)
_FFMPEG_ARGUMENTS = (
    *("-v", "error", "-nostdin", "-y", "-i", "{in}", "-vf", _FFMPEG_FILTERS),
    *("-c:v", "ffv1", "-pix_fmt", "bgr0", "{out}"),
)


class ExternalError(StsrError):
    """A command failed on a clip, ran too long, or wrote something else than was asked for."""


@dataclass(frozen=True)
class External:
    """A command line.

    Attributes:
        name: what the tables call it.
        command: its words; `{in}` and `{out}` in them are replaced by the files.
        timeout: seconds that it may take.
    """

    name: str
    command: tuple[str, ...]
    timeout: float

    def run(self, source: Path, target: Path) -> None:
        """Let the command make `target` of `source`.

        Raises:
            ExternalError: it cannot be started, fails, takes too long or writes nothing.
        """
        words = [w.replace("{in}", str(source)).replace("{out}", str(target)) for w in self.command]
        with tempfile.TemporaryFile() as said:
            try:
                process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    start_new_session=True,  # so that what it starts ends with it
                )
            except OSError as error:
                raise self.failed(f"cannot be started: {error.strerror}") from error
            try:
                status = process.wait(self.timeout)
            except subprocess.TimeoutExpired:
                raise self.failed(
                    f"took more than {self.timeout:g} seconds for one clip; see --external-timeout"
                ) from None
            finally:
                _end(process)
            if status:
                how = f"exit status {status}" if status > 0 else f"signal {-status}"
                raise self.failed(f"failed with {how}: {_last_line(said.fileno())}")
        if not target.is_file() or not target.stat().st_size:
            raise self.failed("ended well and wrote no video to {out}")

    def failed(self, what: str) -> ExternalError:
        """Return the error that says what was wrong with the command, on one line."""
        return ExternalError(f"{self.name} ({' '.join(self.command)[:_MAX_LINE]!r}) {what}")


class OutputFrames:
    """What a command wrote for a clip, frame by frame in order, checked on the way.

    Args:
        external: the command.
        path: its video.
        num_given: frames that it was given.
        size: (height, width) that its frames should have.
    """

    def __init__(
        self, external: External, path: Path, num_given: int, size: tuple[int, int]
    ) -> None:
        self._external, self._num_given, self._size = external, num_given, size
        self._frames: Iterator[Pixels] = decode(path)
        self._num_read = 0
        self._last: Pixels | None = None

    def at(self, index: int) -> Pixels:
        """Return frame `index`, not before the one asked for last.

        Raises:
            ExternalError: the video ends before it, has another size, or cannot be read.
        """
        while self._num_read <= index:
            if not self._step():
                raise self._wrong_number()
        assert self._last is not None
        return self._last

    def finish(self) -> None:
        """Read the rest; raises as `at`, and where the number of frames is neither 2N - 1 nor 2N."""
        while self._num_read <= 2 * self._num_given and self._step():
            pass
        if self._num_read not in (2 * self._num_given - 1, 2 * self._num_given):
            raise self._wrong_number()

    def _step(self) -> bool:
        try:
            frame = next(self._frames, None)
        except InputError as error:
            raise self._external.failed(f"wrote what cannot be read: {error}") from error
        if frame is None:
            return False
        if frame.shape[:2] != self._size:
            expected = f"{self._size[1]}x{self._size[0]}"
            raise self._external.failed(
                f"wrote frames of {frame.shape[1]}x{frame.shape[0]} pixels; expected {expected}"
            )
        self._last = frame
        self._num_read += 1
        return True

    def _wrong_number(self) -> ExternalError:
        given = self._num_given
        is_more = self._num_read > 2 * given
        found = f"more than {2 * given}" if is_more else str(self._num_read)
        return self._external.failed(
            f"wrote {found} frames; expected {2 * given - 1} or {2 * given} for {given} given ones"
        )


def parse_external(given: str, timeout: float) -> External:
    """Read "[NAME=]CMD {in} {out}"; the name is else that of the program.

    Raises:
        UsageError: the quotes do not match, or a placeholder is missing.
    """
    parts = re.fullmatch(r"(?:([\w.+-]+)=)?(.*)", given.strip(), re.DOTALL)
    assert parts is not None
    try:
        words = split_command(parts[2])
    except ValueError as error:
        raise UsageError(f"--external {given!r} cannot be read: {error}") from error
    missing = [mark for mark in ("{in}", "{out}") if not any(mark in word for word in words[1:])]
    if missing:
        raise UsageError(
            f"--external {given!r} has no {' and no '.join(missing)}; "
            "expected [NAME=]CMD {in} {out}: the video of the given frames, and the one to write"
        )
    return External(parts[1] or Path(words[0]).name, tuple(words), timeout)


def ffmpeg(timeout: float) -> External:
    """Return FFmpeg's own: Lanczos and motion-compensated interpolation.

    Raises:
        UsageError: there is no ffmpeg on the PATH.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        raise UsageError(
            "--system ffmpeg needs an ffmpeg on the PATH, and there is none; install it "
            "(apt-get install ffmpeg, brew install ffmpeg), or leave the system out"
        )
    return External("ffmpeg", (program, *_FFMPEG_ARGUMENTS), timeout)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a command that still runs, and all that it started."""
    if process.poll() is None:
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _last_line(descriptor: int) -> str:
    """The last line of text in an open file."""
    size = os.lseek(descriptor, 0, os.SEEK_END)
    os.lseek(descriptor, max(0, size - 4096), os.SEEK_SET)
    text = os.read(descriptor, 4096).decode(errors="replace")
    lines = [
        line
        for line in re.sub(r"[^\x20-\x7e\n\r\u00a0-\uffff]", "", text).splitlines()
        if line.strip()
    ]
    return lines[-1].strip()[:_MAX_LINE] if lines else "it said nothing"
