"""Pictures and folders of them that the tests of training data are written with."""

from pathlib import Path

import av
import numpy as np
import pytest

from stsr_cli.data import Clip, load_clips
from stsr_cli.video import reader


@pytest.fixture(scope="session")
def textures():
    """`textures([0, 1, 3])`: frames of a texture that has moved so many pixels to the right, (N, H, W, 3) uint8."""

    def make(positions, height=48, width=64):
        y, x = np.mgrid[0:height, 0:width]
        frames = [
            128 + 60 * np.sin((x - position) / 3)[..., None] * np.cos(y / 5)[..., None] * np.ones(3)
            for position in positions
        ]
        return np.stack(frames).round().astype(np.uint8)

    return make


@pytest.fixture(scope="session")
def write_images():
    """`write_images(folder, frames, names)`: a lossless image a frame, 000.png, 001.png, ... unless named."""

    def write(folder, frames, names=None):
        folder.mkdir(parents=True, exist_ok=True)
        for index, pixels in enumerate(frames):
            path = folder / (names[index] if names else f"{index:03d}.png")
            codec, pix_fmt = {".png": ("png", "rgb24"), ".jpg": ("mjpeg", "yuvj444p")}[path.suffix]
            with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
                stream = container.add_stream(codec, rate=1)
                stream.height, stream.width, stream.pix_fmt = *pixels.shape[:2], pix_fmt
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                container.mux(stream.encode(frame.reformat(format=pix_fmt)))
                container.mux(stream.encode(None))

    return write


@pytest.fixture(scope="session")
def numbered_clip():
    """`numbered_clip(name, num_frames)`: a clip in memory, every three frames of it a triplet."""

    def make(name, num_frames, size=(8, 8), is_labeled=True):
        """Pixels say where they are: frame number, row and column of the high-resolution frame."""
        height, width = size
        y, x = np.mgrid[0 : 4 * height, 0 : 4 * width]
        hr_frames = np.stack([np.stack([y * 0 + i, y, x], -1) for i in range(num_frames)])
        hr_frames = hr_frames.astype(np.uint8)
        starts = np.arange(max(num_frames - 2, 0))
        return Clip(name, hr_frames[:, ::4, ::4], hr_frames if is_labeled else None, starts)

    return make


@pytest.fixture
def load(tmp_path):
    """`load(path, ...)`: labeled clips at a scale of 4, decoded into a cache of the test's own."""

    def run(*paths, **wishes):
        options = {"scale": 4, "is_labeled": True, "cache": tmp_path / "cache", **wishes}
        return load_clips([Path(path) for path in paths], **options)

    return run


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that were decoded since the test began, in order."""
    names = []

    def count(read):
        def run(source, **options):
            names.append(Path(getattr(source, "path", source)).name)
            return read(source, **options)

        return run

    for name in ("read_frames", "read_image"):
        monkeypatch.setattr(reader, name, count(getattr(reader, name)))
    return names
