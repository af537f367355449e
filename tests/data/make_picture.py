"""Make the README's picture: an interpolated frame of the demo clip by bicubic + blend and by the default pair.

python tests/data/make_picture.py        writes tests/data/before_after.png (needs the `train` extra for matplotlib)
"""

import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from stsr_cli.video.reader import read_frames

HERE = Path(__file__).parent
FRAME = 55  # odd: between two frames of the source
CROPS = ((40, 380, 300, 400), (190, 40, 300, 400))  # y, x, height, width in the output
PAIRS = {"bicubic + blend": ("bicubic", "blend"), "stsr (span + rife)": ("span", "rife")}


def interpolated_frame(spatial: str, temporal: str) -> np.ndarray:
    """Upscale the demo clip losslessly with one pair and return one frame, (H, W, 3) uint8."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "out.mkv")
        command = [str(Path(sys.executable).with_name("stsr")), "upscale", str(HERE / "demo.mp4")]
        options = ["--spatial", spatial, "--temporal", temporal, "--codec", "ffv1", "-q"]
        subprocess.run([*command, str(target), *options], check=True)
        return next(islice(read_frames(target), FRAME, None)).pixels


def main() -> None:
    frames = {name: interpolated_frame(*pair) for name, pair in PAIRS.items()}
    height = sum(crop[2] for crop in CROPS) / CROPS[0][3] * 4
    figure = Figure(figsize=(8, height + 0.3), dpi=110, layout="constrained")
    axes = figure.subplots(len(CROPS), len(frames))
    for row, (y, x, crop_height, crop_width) in enumerate(CROPS):
        for column, (name, pixels) in enumerate(frames.items()):
            axes[row][column].imshow(
                pixels[y : y + crop_height, x : x + crop_width], interpolation="nearest"
            )
            axes[row][column].set_axis_off()
            if row == 0:
                axes[row][column].set_title(name, fontsize=11)
    figure.savefig(HERE / "before_after.png")


if __name__ == "__main__":
    main()
