"""Frames of several videos in one: side by side, split, their difference, one after the other; labels in a bar above.

Pixels are copied, never resampled, and no label covers one. Knows nothing about files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stsr_cli.options import CompareMode
from stsr_cli.report.pictures import draw_text

Pixels = NDArray[Any]  # (H, W, 3) RGB, uint8 or uint16

_BAR_SHARE = 20  # a bar has at least this part of the picture's height
_LEAST_BAR = 24
_BAR_LEVEL = 28  # of its grey
_LINE_WIDTH = 2


@dataclass(frozen=True)
class Montage:
    """How frames of equal size become one.

    Attributes:
        mode: as in `CompareOptions`.
        labels: of the videos, in their order.
        gain: what differences are multiplied by.
        has_labels: whether there is a bar.
    """

    mode: CompareMode
    labels: Sequence[str]
    gain: float
    has_labels: bool

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of a montage of frames of a size, in pixels."""
        return height + self._bar_height(height), width * self._num_columns()

    def draw(self, frames: Sequence[Pixels], turn: int = 0) -> Pixels:
        """Put frames together.

        Args:
            frames: one a video, all of one shape and type.
            turn: counts what "flip" shows; the other modes do not ask.
        """
        height, width = frames[0].shape[:2]
        if self.mode == "side":
            picture = np.concatenate(frames, axis=1)
        elif self.mode == "split":
            picture = _split(frames)
        elif self.mode == "difference":
            apart = [_difference(frames[0], other, self.gain) for other in frames[1:]]
            picture = np.concatenate(apart, axis=1)
        else:
            picture = frames[turn % len(frames)]
        if not self.has_labels:
            return picture
        bar = self._bar(self._bar_height(height), width * self._num_columns(), turn)
        if picture.dtype == np.uint16:
            return np.concatenate([bar.astype(np.uint16) * 257, picture])
        return np.concatenate([bar, picture])

    def _num_columns(self) -> int:
        return {"side": len(self.labels), "difference": len(self.labels) - 1}.get(self.mode, 1)

    def _bar_height(self, height: int) -> int:
        """Even, so that an even picture stays even, as most encoders want it."""
        return max(_LEAST_BAR, height // _BAR_SHARE // 2 * 2) if self.has_labels else 0

    def _texts(self, turn: int) -> list[str]:
        if self.mode == "flip":
            return [self.labels[turn % len(self.labels)]]
        if self.mode == "difference":
            first, *others = self.labels
            return [f"|{first} \N{MINUS SIGN} {other}| ×{self.gain:g}" for other in others]
        return list(self.labels)

    def _bar(self, height: int, width: int, turn: int) -> NDArray[np.uint8]:
        """Each label in the middle of its part of the bar."""
        bar = np.full((height, width, 3), _BAR_LEVEL, dtype=np.uint8)
        texts = self._texts(turn)
        for index, text in enumerate(texts):
            left, right = (width * place // len(texts) for place in (index, index + 1))
            letters = _fitting(text, height, right - left)
            top = (height - letters.shape[0]) // 2
            begin = left + (right - left - letters.shape[1]) // 2
            light = 255 - letters.astype(np.int32) * (255 - _BAR_LEVEL) // 255
            bar[top : top + letters.shape[0], begin : begin + letters.shape[1]] = light
        return bar


def _fitting(text: str, height: int, width: int) -> NDArray[np.uint8]:
    """A label's letters; one that is too long for its place is cut."""
    pixels = height // 2
    letters = draw_text(text, pixels=pixels)
    while letters.shape[1] > width and len(text) > 1:
        # a whole share of what is too much at once: a name may have hundreds of letters
        text = text[: min(len(text) - 1, len(text) * width // letters.shape[1])]
        letters = draw_text(f"{text}…", pixels=pixels)
    return letters[:height, :width]


def _split(frames: Sequence[Pixels]) -> Pixels:
    """A strip from each, and a white line where the next one begins."""
    width = frames[0].shape[1]
    edges = [width * index // len(frames) for index in range(len(frames) + 1)]
    strips = [
        frame[:, left:right]
        for frame, left, right in zip(frames, edges[:-1], edges[1:], strict=True)
    ]
    picture = np.concatenate(strips, axis=1)
    for edge in edges[1:-1]:
        line = slice(max(edge - _LINE_WIDTH // 2, 0), edge + _LINE_WIDTH // 2)
        picture[:, line] = np.iinfo(picture.dtype).max
    return picture


def _difference(first: Pixels, other: Pixels, gain: float) -> Pixels:
    apart = np.abs(first.astype(np.int32) - other.astype(np.int32)) * np.float32(gain)
    peak = np.iinfo(first.dtype).max
    return apart.round().clip(0, peak).astype(first.dtype)
