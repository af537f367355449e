"""What every tier of the suite shares: clips, the installed command, and a fixed random state."""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

# Before torch is imported: threads of several processes would wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parents[1]

# The same examples in every run, and no deadline: a loaded machine is not a failing test.
settings.register_profile("stsr", derandomize=True, deadline=None, database=None)
settings.load_profile("stsr")


@pytest.fixture(autouse=True)
def _fixed_random_state() -> None:
    """Start every test from the same random state, whatever ran before it.

    torch is seeded where the test's module has imported it; a test without torch stays without.
    (torch imported for the first time inside a test starts from its own fixed seed.)
    """
    random.seed(0)
    np.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _gpu_or_fail(request: pytest.FixtureRequest) -> None:
    """Fail a test marked `gpu` on a machine without one: it was asked for by name."""
    if request.node.get_closest_marker("gpu") is None:
        return
    import torch

    if not torch.cuda.is_available():
        pytest.fail("this test is marked gpu and torch sees no CUDA device")


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder `shared` beside the checkout: data sets too large for the repository."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs the folder 'shared' beside the checkout (data sets); there is none")
    return folder


@pytest.fixture(scope="session")
def demo_clip() -> Path:
    """tests/data/demo.mp4: 256x144, 48 frames at 24 fps, H.264 with AAC sound."""
    return REPOSITORY / "tests" / "data" / "demo.mp4"


RunStsr = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run_stsr(tmp_path_factory: pytest.TempPathFactory) -> RunStsr:
    """Run the installed `stsr`: `run_stsr("probe", path, cwd=tmp_path)`; never raises on a bad exit.

    It runs with an empty HOME, without the Hub and without colours; `env` adds variables to that.
    """
    command = Path(sys.executable).with_name("stsr")
    assert command.is_file(), f"{command} is missing; `make test` installs it"
    home = tmp_path_factory.mktemp("home")

    def run(
        *arguments: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout_seconds: float = 240,
    ) -> "subprocess.CompletedProcess[str]":
        isolated = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("HF_", "XDG_", "STSR_"))},
            "HOME": str(home),
            "HF_HUB_OFFLINE": "1",
            "NO_COLOR": "1",
            "COLUMNS": "100",
        }
        return subprocess.run(
            [str(command), *map(str, arguments)],
            cwd=cwd,
            env={**isolated, **(env or {})},
            timeout=timeout_seconds,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )

    return run


MakeClip = Callable[..., Path]


@pytest.fixture
def make_clip(tmp_path: Path) -> MakeClip:
    """Build a small clip: `make_clip("in.mkv", num_frames=5, frame_rate=Fraction(24000, 1001))`.

    See `write_clip` for what can be asked for; the name's ending chooses the container.
    """

    def make(name: str = "clip.mp4", **wishes: Any) -> Path:
        path = tmp_path / name
        write_clip(path, **wishes)
        return path

    return make


def textured_frame(index: int, width: int, height: int) -> np.ndarray:
    """Return frame `index` of a moving texture over a gradient: (H, W, 3) uint8 RGB.

    The texture moves 2 pixels right and 1 pixel down a frame; the gradient stays.
    """
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    u, v = x - 2 * index, y - index
    waves = np.sin(u / 3) * np.cos(v / 4) + 0.5 * np.sin((u + v) / 7)
    ramps = (x / max(width - 1, 1), y / max(height - 1, 1), 0.5 + 0 * x)
    channels = [128 + 70 * (ramp - 0.5) + 40 * waves for ramp in ramps]
    return np.stack(channels, axis=-1).round().clip(0, 255).astype(np.uint8)


def write_clip(
    path: Path,
    *,
    width: int = 64,
    height: int = 48,
    num_frames: int = 8,
    frame_rate: Fraction = Fraction(25),
    frame_pts: Sequence[int] | None = None,
    frames: Sequence[np.ndarray] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: Mapping[str, str] | None = None,
    colorspace: int | None = None,
    color_range: int | None = None,
    color_primaries: int | None = None,
    color_trc: int | None = None,
    has_sound: bool = False,
    sample_rate: int = 44100,
) -> None:
    """Write a synthetic clip.

    Args:
        path: the file; its ending chooses the container.
        width, height: size in pixels.
        num_frames: number of frames, unless `frames` says it.
        frame_rate: frames a second; the time base is its inverse.
        frame_pts: one pts a frame, in units of 1/frame_rate, for a variable frame rate.
        frames: (H, W, 3) uint8 RGB pictures instead of the moving texture.
        codec: name of the video encoder.
        pix_fmt: pixel format that is encoded.
        options: options of the encoder, e.g. {"crf": "0"}.
        colorspace, color_range, color_primaries, color_trc: colour tags as FFmpeg numbers them (matrix 1 = BT.709,
            5 = BT.601 625 lines; range 1 = limited, 2 = full); None leaves one unspecified. The RGB is converted with
            the tagged matrix and range, BT.601 and limited where unspecified.
        has_sound: add a 440 Hz AAC tone as long as the picture.
        sample_rate: of the sound, in Hz.
    """
    import av
    from av.video.reformatter import VideoReformatter

    pictures = (
        [textured_frame(index, width, height) for index in range(num_frames)]
        if frames is None
        else list(frames)
    )
    all_pts = list(range(len(pictures))) if frame_pts is None else list(frame_pts)
    reformatter = VideoReformatter()
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=frame_rate, options=dict(options or {}))
        video.height, video.width = pictures[0].shape[:2]
        video.pix_fmt = pix_fmt
        video.time_base = video.codec_context.time_base = 1 / frame_rate
        tags = {
            "colorspace": colorspace,
            "color_range": color_range,
            "color_primaries": color_primaries,
            "color_trc": color_trc,
        }
        for name, value in tags.items():
            if value is not None:
                setattr(video.codec_context, name, value)
        sound = container.add_stream("aac", rate=sample_rate) if has_sound else None
        for pts, picture in zip(all_pts, pictures, strict=True):
            frame = reformatter.reformat(
                av.VideoFrame.from_ndarray(picture, format="rgb24"),
                format=pix_fmt,
                dst_colorspace=5 if colorspace is None else colorspace,
                dst_color_range=1 if color_range is None else color_range,
            )
            frame.pts, frame.time_base = pts, 1 / frame_rate
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound is not None:
            num_samples = int((all_pts[-1] + 1) / frame_rate * sample_rate)
            tone = 0.2 * np.sin(2 * np.pi * 440 * np.arange(num_samples) / sample_rate)
            samples = av.AudioFrame.from_ndarray(
                tone.astype(np.float32)[None], format="fltp", layout="mono"
            )
            samples.sample_rate, samples.pts = sample_rate, 0
            samples.time_base = Fraction(1, sample_rate)
            container.mux(sound.encode(samples))
            container.mux(sound.encode(None))
