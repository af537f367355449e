"""The standard output: a stream to another program. Nothing else prints there meanwhile; nobody can read it back."""

from __future__ import annotations

import errno
import os
import sys
from dataclasses import replace
from fractions import Fraction

import av
from av.container import OutputContainer
from av.video.format import VideoFormat

from stsr_cli.errors import UsageError
from stsr_cli.options import EncodeOptions
from stsr_cli.video.colour.meaning import is_rgb
from stsr_cli.video.encode.encoder import EncoderPlan, plan_encoder
from stsr_cli.video.encode.geometry import Size
from stsr_cli.video.pipes.pipe import FORMATS
from stsr_cli.video.probe import SourceInfo

_BUFFER_BYTES = 1 << 20
_CODECS = {"nut": "rawvideo", "y4m": "rawvideo", "matroska": "ffv1"}
_Y4M_DEPTHS = (8, 9, 10, 12, 14, 16)


def plan_pipe(
    source: SourceInfo, encode: EncodeOptions, *, scale: int, size: Size | None
) -> EncoderPlan:
    """Settle how `source`, enlarged by `scale`, is encoded for the standard output: raw, or without loss.

    Args:
        source: what is upscaled.
        encode: what was asked for.
        scale: of the networks.
        size: of the output as shown, or None: what the networks make.

    Raises:
        UsageError: as of `plan_encoder`, or y4m cannot hold it.
    """
    codec = _CODECS[encode.format] if encode.codec == "auto" else encode.codec
    pix_fmt = encode.pix_fmt
    if encode.format == "y4m":
        if codec != "rawvideo":
            raise UsageError(f"y4m holds raw video alone and no {codec}; use --format nut")
        if pix_fmt == "auto" and is_rgb(VideoFormat(source.pix_fmt, 8, 8)):
            depth = next((d for d in _Y4M_DEPTHS if d >= source.bit_depth), 16)
            pix_fmt = "yuv444p" if depth == 8 else f"yuv444p{depth}le"
    wanted = replace(encode, codec=codec, pix_fmt=pix_fmt)
    return plan_encoder(source, wanted, scale=scale, format_name=FORMATS[encode.format], size=size)


class EvenTimes:
    """The times of frames in y4m, which counts frames and knows no more than their rate.

    Attributes:
        source: the source on a clock that ticks once a frame.
        warnings: that frames are not shown when they should be, if they are half a frame or more off.
    """

    def __init__(self, source: SourceInfo, time_scale: int) -> None:
        """Take the rate of `source` times `time_scale`."""
        rate = source.frame_rate or Fraction(25)
        self.source = replace(source, time_base=1 / rate, duration=None)
        self.warnings: tuple[str, ...] = ()
        self._clock, self._interval = source.time_base / time_scale, 1 / (rate * time_scale)
        self._num_frames = self._first_pts = 0
        self._furthest = Fraction(0)

    def __call__(self, pts: int, duration: int) -> tuple[int, int]:
        """The pts and the duration that count."""
        if not self._num_frames:
            self._first_pts = pts
        off = (pts - self._first_pts) * self._clock - self._num_frames * self._interval
        self._furthest = max(self._furthest, abs(off))
        if self._furthest >= self._interval / 2:
            self.warnings = (
                f"y4m has no times: frames are shown up to {float(self._furthest):.3f} s off theirs; "
                "use --format nut, or --vfr cfr",
            )
        self._num_frames += 1
        return self._num_frames - 1, 1


class OutputPipe:
    """The standard output as a container. Until it is closed, whatever else prints there prints on stderr.

    Attributes:
        format_name: FFmpeg's name of the muxer.
    """

    def __init__(self, format_name: str) -> None:
        """Take the standard output for a muxer of that name.

        Raises:
            UsageError: it is a terminal.
        """
        if os.isatty(1):
            raise UsageError("- writes a video to another program; write stsr ... - | PROGRAM")
        self.format_name = format_name
        self._file: _Unseekable | None = None

    @property
    def is_even(self) -> bool:
        """Whether it has a frame rate and no times."""
        return self.format_name == "yuv4mpegpipe"

    def open(self) -> OutputContainer:
        """A muxer that has written nothing yet."""
        self._file = _Unseekable()
        # unofficial: y4m with more than 8 bits
        options = {"strict": "-1"} if self.is_even else {}
        return av.open(
            self._file,
            mode="w",
            format=self.format_name,
            options=options,
            buffer_size=_BUFFER_BYTES,
            metadata_errors="surrogateescape",
        )

    def close(self) -> None:
        """Give the standard output back. Safe to repeat."""
        if self._file is not None:
            self._file.close()
            self._file = None


class _Unseekable:
    """What was the standard output, to append to alone, even where it is a regular file."""

    def __init__(self) -> None:
        self._descriptor = os.dup(1)
        os.dup2(2, 1)

    def write(self, data: bytes) -> int:
        """Write all of it; a pipe may take less at a time."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except OSError as error:
                if (
                    sys.platform == "win32" and error.errno == errno.EINVAL
                ):  # a pipe without a reader there
                    raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error
                raise
        return len(data)

    def close(self) -> None:
        """Let others print there again."""
        os.dup2(self._descriptor, 1)
        os.close(self._descriptor)
