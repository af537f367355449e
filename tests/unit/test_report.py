"""Curves and pictures of a run: what is drawn can be decoded, and the pixels of the pictures are as they were."""

import io
import math
import subprocess
import sys

import av
import numpy as np
import pytest

from stsr_cli.report.curves import draw_curves
from stsr_cli.report.paper import beside_paper, paper_figures
from stsr_cli.report.pictures import contact_sheet, picture_strip, png
from stsr_cli.training.status import Picture

STAGES = [("t2s", "s2t"), ("spatial",), ("temporal_lr", "temporal_hr"), ("given", "new")]


def decode(content: bytes) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a PNG."""
    with av.open(io.BytesIO(content), format="png_pipe") as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def random_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def holds(image: np.ndarray, part: np.ndarray) -> bool:
    """Whether `part` is somewhere in `image`, pixel for pixel."""
    height, width = part.shape[:2]
    corners = (image[: 1 - height or None, : 1 - width or None] == part[0, 0]).all(axis=-1)
    return any(
        np.array_equal(image[y : y + height, x : x + width], part) for y, x in np.argwhere(corners)
    )


def log_lines(num_lines: int, names: tuple[str, ...] = ("t2s", "s2t")) -> list[dict]:
    """A log in which the loss falls from 1 to 0.01 and the best line is the last but one."""
    lines = []
    for index in range(num_lines):
        share = index / max(num_lines - 1, 1)
        lines.append(
            {
                "step": 40 * (index + 1),
                "losses": {"loss": math.exp(-4.6 * share), "reconstruction": 0.5, "x": 0.2},
                "psnr": {name: 25 + share for name in names},
                "baseline": dict.fromkeys(names, 25.5),
                "is_best": index <= max(num_lines - 2, 0),
            }
        )
    return lines


def test_a_strip_shows_every_pixel_as_it_is():
    images = [random_image(24, 32, seed) for seed in range(3)]
    titles = ["a", "T->S 27.10 dB, a title wider than its image", "original"]
    strip = picture_strip(Picture("clip", tuple(zip(titles, images, strict=True))))
    assert strip.dtype == np.uint8
    assert strip.shape[0] > 24
    assert strip.shape[1] > 3 * 32 + 150, "the long title has its room"
    for image in images:
        assert holds(strip, image)
    band = strip[: strip.shape[0] - 24]
    assert band.min() < 100 and band.max() == 255, "titles are dark on paper"


def test_a_sheet_shows_every_pixel_of_pictures_of_any_size():
    sizes = [(24, 32), (40, 20), (1, 1)]
    pictures = [
        Picture(f"clip {turn}", (("a", random_image(*size, turn)), ("b", random_image(9, 9, turn))))
        for turn, size in enumerate(sizes)
    ]
    sheet = decode(contact_sheet(pictures))
    for picture in pictures:
        for _, image in picture.columns:
            assert holds(sheet, image)
    assert (sheet[:4] == 255).all() and (sheet[:, :4] == 255).all(), "a margin"


def test_a_png_is_lossless():
    image = random_image(37, 53)
    assert np.array_equal(decode(png(image)), image)


@pytest.mark.parametrize("name", ["", "$x^2 $", r"$\frac{", "a\nb\x00", "日本 🎬", "[bold]{x}%s"])
def test_any_name_can_be_drawn(name):
    image = random_image(8, 8)
    assert holds(picture_strip(Picture(name, ((name, image),))), image)
    assert decode(contact_sheet([Picture(name, ((name, image),))])).size


@pytest.mark.parametrize(
    ("num_lines", "names"),
    [*((num_lines, STAGES[0]) for num_lines in (0, 1, 500)), *((2, names) for names in STAGES[1:])],
)
def test_curves_are_drawn_for_every_stage(num_lines, names):
    image = decode(draw_curves(log_lines(num_lines, names)))
    assert image.shape == (480, 1280, 3)
    assert image.min() < 50 and image.max() == 255


def test_curves_of_lines_that_lack_something():
    lines = log_lines(3)
    lines[0]["losses"] = {}  # a validation before the first step
    lines[1]["psnr"] = {}
    lines[2]["losses"] = {"loss": 0.0}  # which no logarithm has
    assert decode(draw_curves(lines)).shape == (480, 1280, 3)
    for line in lines:
        line.update(losses={}, psnr={}, is_best=False)
    assert decode(draw_curves(lines)).shape == (480, 1280, 3)


def test_the_best_validation_is_marked():
    lines = log_lines(5)
    marked = decode(draw_curves(lines))
    for line in lines:
        line["is_best"] = line is lines[1]
    elsewhere = decode(draw_curves(lines))
    assert np.array_equal(marked[:, :600], elsewhere[:, :600]), "the losses are the same"
    assert not np.array_equal(marked[:, 700:], elsewhere[:, 700:])


def test_matplotlib_is_imported_on_use_and_pyplot_never():
    script = """
import sys
from stsr_cli.report import curves, pictures
assert not {"matplotlib", "torch"} & set(sys.modules)
curves.draw_curves([])
assert "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_papers_figures_beside_ours() -> None:
    # Averages that the paper prints are those of its columns, to its rounding.
    for methods in paper_figures().values():
        assert len(methods) == 11
        for figures in methods.values():
            if "t2s" in figures:
                pairs = zip(figures["t2s"], figures["s2t"], figures["average"], strict=True)
                for t2s, s2t, average in pairs:
                    assert average == pytest.approx((t2s + s2t) / 2, abs=0.011)
    row = {"layout": "vid4", "system": "x", "error": None}
    rows = [
        row | {"stream": "t2s", "psnr_rgb": 22.0, "ssim_rgb": 0.6},
        row | {"stream": "s2t", "psnr_rgb": 23.0, "ssim_rgb": 0.7},
        row | {"stream": "mean", "psnr_rgb": 25.0, "ssim_rgb": 0.8},
        row | {"system": "y", "stream": "-", "psnr_rgb": 21.0, "ssim_rgb": 0.5},
        row | {"system": "z", "stream": "-", "psnr_rgb": None, "ssim_rgb": None, "error": "no"},
    ]
    lines = beside_paper(rows)
    assert lines[:2] == [
        ["here", "x", "22.00", "0.600", "23.00", "0.700", "22.50", "0.650"],
        ["here", "y", "", "", "", "", "21.00", "0.500"],
    ]
    assert lines[2] == ["paper", "CDCA", "", "", "", "", "21.51", "0.581"]
    assert len(lines) == 13
    assert beside_paper([rows[0] | {"layout": "ucf101"}]) == []
