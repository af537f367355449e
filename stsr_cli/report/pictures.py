"""Images side by side with their titles. Their pixels are copied, never resampled.

matplotlib draws the text where it is installed, else a small font of ours does.
"""

import io
import math
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stsr_cli.report.letters import draw_letters

if TYPE_CHECKING:
    from stsr_cli.training.status import Picture

Image = NDArray[np.uint8]  # (H, W, 3) RGB

_PAPER = 255
_GAP = 6  # pixels between images
TEXT_PIXELS = 12  # height of a title's letters with their descenders
_DPI = 100


def picture_strip(picture: "Picture") -> Image:
    """Put the columns of a picture side by side, each below its title: (H, W, 3) uint8 RGB."""
    cells = []
    for index, (title, image) in enumerate(picture.columns):
        if index:
            cells.append(_paper(1, _GAP))
        cells.append(_stack([draw_text(title), image]))
    height = max(cell.shape[0] for cell in cells)
    return np.concatenate([_padded(cell, height, cell.shape[1]) for cell in cells], axis=1)


def contact_sheet(pictures: Sequence["Picture"]) -> bytes:
    """Put pictures one below the other, each below its name, as a PNG.

    Raises:
        ImportError: matplotlib is missing.
    """
    rows: list[Image] = []
    for picture in pictures:
        rows += [draw_text(picture.name, is_bold=True), picture_strip(picture), _paper(_GAP, 1)]
    return png(_padded(_stack(rows[:-1]), 0, 0, margin=_GAP))


def png(image: Image) -> bytes:
    """Encode (H, W, 3) uint8 RGB.

    Raises:
        ImportError: matplotlib is missing.
    """
    from matplotlib.image import imsave

    file = io.BytesIO()
    imsave(file, image, format="png")
    return file.getvalue()


@lru_cache(maxsize=64)  # names and most titles come back at every validation
def draw_text(text: str, is_bold: bool = False, pixels: int = TEXT_PIXELS) -> Image:
    """Draw a line of text, black on white, as wide as it needs to be.

    Args:
        text: what to write; what cannot be printed becomes a question mark.
        is_bold: in bold letters.
        pixels: height of the letters with their descenders; the image is half as much higher.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    shown = "".join(letter if letter.isprintable() else "?" for letter in text) or " "
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        letters = draw_letters(shown, pixels + pixels // 2, is_bold=is_bold)
        return np.repeat(letters[..., None], 3, axis=2)
    figure = Figure(dpi=_DPI)
    canvas = FigureCanvasAgg(figure)
    drawn = figure.text(
        0,
        0.25,
        shown,
        fontsize=pixels * 0.75 * 72 / _DPI,
        fontweight="bold" if is_bold else "normal",
        parse_math=False,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a box is drawn instead
        width = math.ceil(drawn.get_window_extent(canvas.get_renderer()).width) + 2
        figure.set_size_inches(width / _DPI, pixels * 1.5 / _DPI)
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _stack(images: Sequence[Image]) -> Image:
    """One below the other, flush left."""
    width = max(image.shape[1] for image in images)
    return np.concatenate([_padded(image, image.shape[0], width) for image in images])


def _padded(image: Image, height: int, width: int, margin: int = 0) -> Image:
    """Paper below and to the right up to a size, and a margin around."""
    below, right = max(height - image.shape[0], 0), max(width - image.shape[1], 0)
    paddings = ((margin, margin + below), (margin, margin + right), (0, 0))
    return np.pad(image, paddings, constant_values=_PAPER)


def _paper(height: int, width: int) -> Image:
    return np.full((height, width, 3), _PAPER, dtype=np.uint8)
