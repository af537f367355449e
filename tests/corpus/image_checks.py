"""Checks of image sequences: ffprobe and FFmpeg's command line read every image on its own."""

from pathlib import Path

import numpy as np

from . import readers
from .case import Case, check
from .pictures import planes, to_rgb
from .writing import BARS


def _images(case: Case, folder: str, ending: str) -> list[Path]:
    root = case.output.parent if case.row.output.endswith("/") else case.output.parent.parent
    return sorted((root / folder).glob(f"*.{ending}"))


@check("{number} {ending} images", "the folder")
def image_count(case: Case, folder: str, ending: str, number: int) -> None:
    found = _images(case, folder, ending)
    assert len(found) == number, found


@check("{pix_fmt}: colours as drawn, at most {levels} of 255 levels off", "ffprobe, ffmpeg + numpy")
def image_bars(case: Case, folder: str, ending: str, levels: float, pix_fmt: str = "rgb24") -> None:
    for number, path in enumerate(_images(case, folder, ending)[:: case.row.time_scale]):
        assert readers.video_stream(path)["pix_fmt"] == pix_fmt
        name, frames = planes(path)
        rgb = to_rgb(frames[0], name, "709", True) * 255
        step = rgb.shape[1] / len(BARS)
        found = [rgb[:, int((n + 0.5) * step)].mean(0) for n in range(len(BARS))]
        wanted = np.array(BARS) * (1 - 0.04 * number)
        wanted = wanted.round() if pix_fmt == "rgb24" else wanted
        off = np.abs(np.array(found) - wanted).max()
        assert off <= levels, f"{path.name}: {off:.3f} levels off"
