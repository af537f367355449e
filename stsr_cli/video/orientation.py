"""Which way up: the right-angle turns and flips that a file leaves to its player, done to the pixels."""

from dataclasses import replace

import numpy as np

from stsr_cli.video.convert import Pixels
from stsr_cli.video.probe import SourceInfo


def upright(pixels: Pixels, source: SourceInfo) -> Pixels:
    """Turn and flip (H, W, 3) as the source's display matrix says; another angle counts as the right angle near it."""
    if source.display_matrix is None:
        return pixels
    a, b, _, c, d = source.display_matrix[:5]  # x' = a x + c y, y' = b x + d y
    signs = (d, a)  # of the rows' direction and the columns'
    if is_turned(source):
        pixels, signs = pixels.swapaxes(0, 1), (b, c)
    for axis, sign in enumerate(signs):
        if sign < 0:
            pixels = np.flip(pixels, axis)
    return pixels


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
    matrix = source.display_matrix
    return matrix is not None and abs(matrix[0]) < abs(matrix[1])
