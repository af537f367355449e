"""Shapes and overlays of made scenes, drawn at random: smooth blobs, letters, boxes with holes, captions.

An image is (C, H, W) float, RGB in [0, 1]; a mask is (H, W) in [0, 1], with edges one to two pixels wide.
"""

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Generator = np.random.Generator

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!-'"
# 7 rows of 5 pixels each, a row in two hexadecimal digits.
_GLYPHS = (
    "0E11111F111111 1E11111E11111E 0E11101010110E 1E11111111111E 1F10101E10101F 1F10101E101010 0E11101713110F "
    "1111111F111111 0E04040404040E 0702020202120C 11121418141211 1010101010101F 111B1515111111 11191513111111 "
    "0E11111111110E 1E11111E101010 0E11111115120D 1E11111E141211 0F10100E01011E 1F040404040404 1111111111110E "
    "11111111110A04 1111111515150A 11110A040A1111 11110A04040404 1F01020408101F 0E11131519110E 040C040404040E "
    "0E11010204081F 1F02040201110E 02060A121F0202 1F101E0101110E 0608101E11110E 1F010204080808 0E11110E11110E "
    "0E11110F01020C 00000000000C0C 000000000C0408 04040404000004 00000E00000000 0C040800000000"
).split()


@lru_cache(maxsize=1)
def _font() -> Tensor:
    """(41, 9, 7): the letters, each in a rim of one empty pixel."""
    rows = [[int(glyph[i : i + 2], 16) for i in range(0, 14, 2)] for glyph in _GLYPHS]
    pixels = torch.tensor(rows)[..., None] >> torch.arange(4, -1, -1) & 1
    return F.pad(pixels.float(), (1, 1, 1, 1))


def draw_shape(rng: Generator, height: int, width: int) -> Tensor:
    """A mask of a foreground: a blob, a letter, or a box with holes, with nothing at its rim."""
    kind = rng.choice(["blob", "letter", "box"], p=[0.5, 0.2, 0.3])
    if kind == "blob":
        mask = _blob(rng, height, width)
    elif kind == "letter":
        glyph = _font()[rng.integers(len(_LETTERS) - 5)]  # a letter or a digit
        mask = _sharp(_enlarged(glyph, height, width) - 0.5)
    else:
        mask = _box_with_holes(rng, height, width)
    mask[:2], mask[-2:], mask[:, :2], mask[:, -2:] = 0, 0, 0, 0
    return mask


def _blob(rng: Generator, height: int, width: int) -> Tensor:
    """Where smooth noise is above the distance from the centre."""
    cells = int(rng.integers(3, 9))
    noise = _enlarged(_noise(rng, cells, cells), height, width)
    y, x = torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)
    return _sharp(0.55 - (y * y + x * x) + float(rng.uniform(0.1, 0.35)) * noise)


def _box_with_holes(rng: Generator, height: int, width: int) -> Tensor:
    """A rectangle, in most cases with round or square holes in rows: windows, a fence, a grid."""
    y, x = torch.arange(height)[:, None] + 0.5, torch.arange(width) + 0.5
    inside = torch.minimum(
        torch.minimum(x, width - x) - 3, torch.minimum(y, height - y) - 3
    )  # pixels to the rim
    if rng.random() < 0.8:
        rows, columns = (int(rng.integers(1, 6)) for _ in range(2))
        of_cell = float(rng.uniform(0.25, 0.45))
        dy = ((y * rows / height) % 1 - 0.5).abs() * height / rows
        dx = ((x * columns / width) % 1 - 0.5).abs() * width / columns
        size = of_cell * min(height / rows, width / columns)
        if rng.random() < 0.5:
            hole = size - (dx * dx + dy * dy).sqrt()
        else:
            hole = torch.minimum(of_cell * width / columns - dx, of_cell * height / rows - dy)
        inside = torch.minimum(inside, -hole)
    return (inside / 1.5 + 0.5).clamp(0, 1)


def draw_overlay(rng: Generator, side: int, scale: int) -> Tensor:
    """What stands still before a scene, (4, side, side) RGBA: captions, a logo, black bars, one or two of them.

    Strokes of letters are one to three pixels wide once the scene is `scale` times smaller.
    """
    overlay = torch.zeros(4, side, side)
    kinds = ["caption", "logo", "bars"]
    names = rng.choice(kinds, size=1 + int(rng.random() < 0.3), replace=False, p=[0.65, 0.2, 0.15])
    for name in sorted(names):  # bars behind captions
        if name == "bars":
            _add_bars(rng, overlay)
        elif name == "caption":
            _add_caption(rng, overlay, scale)
        else:
            _add_logo(rng, overlay)
    return overlay


def _add_bars(rng: Generator, overlay: Tensor) -> None:
    side = overlay.shape[-1]
    bar = torch.tensor([0.0, 0, 0, 1])[:, None, None]
    size = int(side * rng.uniform(0.05, 0.2))
    first, second = rng.random(2) < 0.7
    is_upright = rng.random() < 0.25
    area = overlay.mT if is_upright else overlay
    if first or not second:
        area[:, :size] = bar
    if second:
        area[:, side - size :] = bar


def _add_caption(rng: Generator, overlay: Tensor, scale: int) -> None:
    """One to three lines of random words, with an outline, a shadow or a box behind them."""
    side = overlay.shape[-1]
    stroke = float(rng.uniform(1, 3)) * scale
    line_height = round(9 * stroke)
    max_letters = max(round(side / (6 * stroke)) + 2, 3)
    lines = [_text(rng, max_letters) for _ in range(int(rng.integers(1, 4)))]
    is_smooth = rng.random() < 0.7
    mask = torch.zeros(side, side)
    x = round(float(rng.uniform(-0.2, 0.5)) * side)
    y = round(float(rng.uniform(-0.1, 1)) * side - line_height / 2)
    for number, line in enumerate(lines):
        height, width = line_height, round(line.shape[1] * stroke)
        drawn = _enlarged(line, height, width, "bicubic" if is_smooth else "nearest")
        if is_smooth:
            drawn = _sharp(drawn - 0.45)
        _put(mask, drawn, y + number * line_height, x)
    light = float(rng.uniform(0.75, 1))
    colour = torch.full((3,), light)
    if rng.random() < 0.35:
        colour = torch.from_numpy(rng.uniform(0, 1, 3)).float()
    behind = torch.zeros(3) if colour.mean() > 0.4 or rng.random() < 0.3 else torch.ones(3)
    style = rng.choice(["outline", "shadow", "box", "none"], p=[0.6, 0.15, 0.15, 0.1])
    if style == "outline":
        reach = 2 * round(float(rng.uniform(0.5, 1.2)) * scale) + 1
        _paint(overlay, behind, F.max_pool2d(mask[None], reach, 1, reach // 2)[0])
    elif style == "shadow":
        shift = max(round(stroke / 2), 1)
        _paint(overlay, behind, mask.roll((shift, shift), (0, 1)))
    elif style == "box":
        box = torch.zeros(side, side)
        rim = scale
        height = len(lines) * line_height
        box[max(y - rim, 0) : max(y + height + rim, 0)] = float(rng.choice([0.6, 0.8, 1.0]))
        _paint(overlay, behind, box)
    _paint(overlay, colour, mask)


def _text(rng: Generator, max_letters: int) -> Tensor:
    """(9, W): random words side by side, a pixel of space between two letters."""
    columns = []
    num_letters = 0
    while num_letters < max_letters:
        word = rng.integers(0, len(_LETTERS), int(rng.integers(1, 9)))
        columns += [_font()[letter][:, :6] for letter in word] + [torch.zeros(9, 3)]
        num_letters += len(word) + 1
    return torch.cat(columns, 1)[:, : 6 * max_letters]


def _add_logo(rng: Generator, overlay: Tensor) -> None:
    """A shape in one or two colours near a corner, sometimes see-through."""
    side = overlay.shape[-1]
    size = int(side * rng.uniform(0.12, 0.3))
    corner = rng.integers(0, 2, 2) * (side - size - side // 8) + rng.integers(0, side // 8, 2)
    y, x = (int(value) for value in corner)
    opacity = float(rng.choice([1.0, 1.0, 0.7, 0.45]))
    mask = torch.zeros(side, side)
    for _ in range(int(rng.integers(1, 3))):
        mask.zero_()
        _put(mask, draw_shape(rng, size, size), y, x)
        _paint(overlay, torch.from_numpy(rng.uniform(0, 1, 3)).float(), mask * opacity)


def _paint(overlay: Tensor, colour: Tensor, mask: Tensor) -> None:
    """Lay a colour over an RGBA image, in place."""
    alpha = mask + overlay[3] * (1 - mask)
    painted = colour[:, None, None] * mask + overlay[:3] * overlay[3] * (1 - mask)
    overlay[:3] = torch.where(alpha > 0, painted / alpha.clamp(min=1e-6), overlay[:3])
    overlay[3] = alpha


def _put(canvas: Tensor, patch: Tensor, y: int, x: int) -> None:
    """Lay a mask into a larger one, in place, as far as it reaches."""
    top, left = max(y, 0), max(x, 0)
    bottom = min(y + patch.shape[0], canvas.shape[0])
    right = min(x + patch.shape[1], canvas.shape[1])
    if top < bottom and left < right:
        part = canvas[top:bottom, left:right]
        part.copy_(torch.maximum(part, patch[top - y : bottom - y, left - x : right - x]))


def _noise(rng: Generator, height: int, width: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal((height, width), dtype=np.float32))


def _enlarged(mask: Tensor, height: int, width: int, mode: str = "bicubic") -> Tensor:
    return F.interpolate(mask[None, None], size=(height, width), mode=mode)[0, 0]


def _sharp(field: Tensor) -> Tensor:
    """The mask of where a smooth field is positive, its edge 1.5 pixels wide."""
    dy, dx = torch.gradient(field)
    slope = (dx * dx + dy * dy).sqrt().clamp(min=1e-4)
    return (field / (1.5 * slope) + 0.5).clamp(0, 1)
