"""Frames that are larger than allowed; of those of a file that does not decode, FFmpeg says so in its log alone."""

import re
from contextlib import suppress
from pathlib import Path

import av

from stsr_cli.errors import InputError
from stsr_cli.options import SourceOptions
from stsr_cli.video.messages import messages_captured
from stsr_cli.video.opening import open_input, shown

_TOO_LARGE = re.compile(r"Picture size (\d+)x(\d+)")
_NUM_PACKETS = 4
_MOST_PIXELS = 2**28  # that FFmpeg takes


def check_size(width: int, height: int, limit: int, path: Path) -> None:
    """Refuse frames of more than `limit` pixels.

    Raises:
        InputError: they have more.
    """
    if width * height > limit:
        more = f"; allow more with --max-pixels {width * height}"
        raise InputError(
            f"{shown(path)} is {width}x{height}, and a frame may have {limit} pixels"
            + (more if width * height <= _MOST_PIXELS else ", and never so many")
        )


def check_log(path: Path, options: SourceOptions) -> None:
    """Open a file that did not decode once more, and listen.

    Raises:
        InputError: the frames are too large.
    """
    is_skipping = av.logging.get_skip_repeated()
    av.logging.set_skip_repeated(False)  # of the file before this one, too
    try:
        with (
            messages_captured(av.logging.ERROR) as logged,
            suppress(InputError, av.FFmpegError, OSError, ValueError, IndexError),
            open_input(path, options=options) as container,
        ):
            stream = container.streams.video[0]
            if stream.codec_context is None:
                return
            stream.codec_context.options = {"max_pixels": str(options.max_pixels)}
            for _, packet in zip(range(_NUM_PACKETS), container.demux(stream), strict=False):
                packet.decode()
    finally:
        av.logging.set_skip_repeated(is_skipping)
    for _, _, text in logged:
        if match := _TOO_LARGE.search(text):
            check_size(int(match[1]), int(match[2]), options.max_pixels, path)
