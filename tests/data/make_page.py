"""Make docs/page.png: the page that `stsr compare --html` writes of three systems, as Chromium shows it.

python tests/data/make_page.py [bbb.mp4]

With the film that demo.mp4 was cut from (see README.md here), every second frame of demo.mp4 is upscaled and measured
against the film's own frames; without it, demo.mp4 is upscaled, and measured against bicubic + blend. Needs the extras
`train` and `dev`, and a chromium.
"""

import csv
import io
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from stsr_cli.video.reader import read_frames

HERE = Path(__file__).parent
PICTURE = HERE.parents[1] / "docs" / "page.png"
FILM_SECONDS, NUM_FRAMES, RATE = Fraction(4388, 24), 48, 24  # of demo.mp4, as make_demo.py has them
SYSTEMS = {
    "bicubic + blend": ("--spatial", "bicubic", "--temporal", "blend"),
    "T→S": ("--stream", "t2s"),
    "S→T": ("--stream", "s2t"),
}
WIDTH = 1240
LINE_COLOURS = 64  # of 256: those of the charts, which a palette of the photograph would turn grey


def stsr(*arguments: str | Path) -> None:
    subprocess.run([Path(sys.executable).with_name("stsr"), *arguments], check=True)


def write(path: Path, frames: Iterable[np.ndarray], rate: int) -> None:
    """Write (H, W, 3) uint8 frames without loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=rate, options={"crf": "0"})
        stream.pix_fmt = "rgb24"
        for pixels in frames:
            if not stream.codec_context.is_open:
                stream.height, stream.width = pixels.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def film_frames(film: Path) -> Iterable[np.ndarray]:
    """The film's frames of demo.mp4, at four times its size."""
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        container.seek(int((FILM_SECONDS - 1) * av.time_base))
        shown = (f for f in container.decode(stream) if f.time > float(FILM_SECONDS) - 1e-3)
        for frame in islice(shown, NUM_FRAMES):
            yield frame.to_ndarray(format="rgb24", width=1024, height=576, interpolation="AREA")


def write_disagreement(path: Path, videos: tuple[Path, Path]) -> None:
    """How far two videos are apart in every frame, as `stsr upscale --disagreement` writes it."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("frame", "seconds", "mean_levels"))
        for index, (one, other) in enumerate(zip(*map(read_frames, videos), strict=True)):
            apart = np.abs(one.pixels.astype(np.int16) - other.pixels).mean()
            rows.writerow((index, float(one.pts * one.time_base), f"{apart:.4f}"))


def photograph(page: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        tab = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="light")
        tab.goto(page.as_uri())
        tab.locator("#film img").last.wait_for()
        tab.get_by_label("Charts of").select_option("odd frames")  # the new ones
        tab.wait_for_timeout(500)  # the last picture is decoded
        picture = Image.open(io.BytesIO(tab.screenshot(full_page=True))).convert("RGB")
        top = int(tab.locator("#charts").bounding_box()["y"])
        browser.close()
    charts = picture.crop((0, top, picture.width, picture.height)).getcolors(1 << 24)
    exact = [colour for _, colour in sorted(charts, reverse=True)[:LINE_COLOURS]]
    others = picture.quantize(256 - len(exact)).getpalette()
    palette = Image.new("P", (1, 1))
    palette.putpalette([*(level for colour in exact for level in colour), *others])
    small = picture.quantize(palette=palette, dither=Image.Dither.NONE)
    small.save(PICTURE, optimize=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, options = HERE / "demo.mp4", []
        if film := next((Path(argument) for argument in sys.argv[1:]), None):
            frames = (frame.pixels for frame in islice(read_frames(source), None, None, 2))
            source = folder / "given.mp4"
            write(source, frames, RATE // 2)
            write(folder / "film.mp4", film_frames(film), RATE)
            options = ["--truth", folder / "film.mp4"]
        outputs = []
        for label, choice in SYSTEMS.items():
            outputs.append(folder / f"{choice[-1]}.mkv")
            stsr("upscale", source, outputs[-1], *choice, "--codec", "ffv1")
            options += ["--label", label]
        write_disagreement(folder / "apart.csv", tuple(outputs[1:]))
        options += ["--disagreement", folder / "apart.csv", "--html", folder / "page.html"]
        stsr("compare", *outputs, *options)
        photograph(folder / "page.html")


if __name__ == "__main__":
    main()
