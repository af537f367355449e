"""Which way up: the right-angle turns and flips that a file leaves to its player, done to the pixels."""

import functools
import io
from dataclasses import replace

import av
import numpy as np

from stsr_cli.video.colour.convert import Pixels
from stsr_cli.video.probe import SourceInfo
from stsr_cli.video.side_data.decoded import display_matrix
from stsr_cli.video.trial import blank_frame, opened_trial, trial_container

_A_TURN_AND_A_FLIP = (0, 1 << 16, 0, 1 << 16, 0, 0, 0, 0, 1 << 30)
_SIDE = 64  # pixels of a trial


def upright(pixels: Pixels, display_matrix: tuple[int, ...] | None) -> Pixels:
    """Turn and flip (H, W, C) as a display matrix says; another angle counts as the right angle near it."""
    if display_matrix is None:
        return pixels
    a, b, _, c, d = display_matrix[:5]  # x' = a x + c y, y' = b x + d y
    signs = (d, a)  # of the rows' direction and the columns'
    if swaps_axes(display_matrix):
        pixels, signs = pixels.swapaxes(0, 1), (b, c)
    for axis, sign in enumerate(signs):
        if sign < 0:
            pixels = np.flip(pixels, axis)
    return pixels.copy()  # in one piece


def upright_source(source: SourceInfo) -> SourceInfo:
    """What the source would be if its pixels were stored as they are shown."""
    if is_turned(source):
        shape = source.sample_aspect_ratio
        source = replace(
            source,
            width=source.height,
            height=source.width,
            sample_aspect_ratio=1 / shape if shape else None,
        )
    return replace(source, display_matrix=None, rotation=0)


def is_turned(source: SourceInfo) -> bool:
    """Whether a player swaps width and height."""
    return source.display_matrix is not None and swaps_axes(source.display_matrix)


def swaps_axes(matrix: tuple[int, ...]) -> bool:
    """Whether a display matrix swaps width and height."""
    return abs(matrix[0]) < abs(matrix[1])


@functools.cache
def keeps_display_matrix(format_name: str) -> bool:
    """Whether a container of a format can tell a player to turn the picture: it is tried, in memory."""
    data = io.BytesIO()
    try:
        with trial_container(data, format_name) as output:
            codec = next(c for c in ("mpeg4", "libvpx-vp9") if c in output.supported_codecs)
            video = output.add_stream(codec, rate=25)
            video.width, video.height, video.pix_fmt = _SIDE, _SIDE, "yuv420p"
            video.set_display_matrix(_A_TURN_AND_A_FLIP)
            frame = blank_frame(_SIDE, _SIDE, "yuv420p")
            output.mux([*video.encode(frame), *video.encode(None)])
        with opened_trial(data, format_name) as back:
            matrix = display_matrix(next(back.decode(video=0)))
    except (av.FFmpegError, OSError, ValueError, StopIteration):
        return False
    return matrix is not None and matrix[:5] == _A_TURN_AND_A_FLIP[:5]
