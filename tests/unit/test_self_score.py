"""Which stream does better on a clip: what is sampled, what is measured, and what is said where nothing can be."""

import math

import numpy as np
import pytest
import torch

from stsr_cli.data import degrade
from stsr_cli.metrics import psnr_rgb
from stsr_cli.ops import to_pixels, to_tensor
from stsr_cli.self_score import Choice, choose_stream
from stsr_cli.spatial.bicubic import Bicubic
from stsr_cli.streams import TwoStream
from stsr_cli.temporal.blend import Blend
from stsr_cli.video.probe import probe

LOSSLESS = {"codec": "libx264rgb", "pix_fmt": "rgb24", "options": {"crf": "0"}}


class Large(Blend):
    """Blends large frames alone, and of small ones shows the first: right in S->T, wrong in T->S."""

    def forward(self, frame0, frame1, t=0.5):
        return super().forward(frame0, frame1, t) if frame0.shape[-1] > 16 else frame0


class Small(Blend):
    """The other way round."""

    def forward(self, frame0, frame1, t=0.5):
        return frame0 if frame0.shape[-1] > 16 else super().forward(frame0, frame1, t)


def moving(num_frames=12, width=64, height=48, step=1.0):
    """A smooth wave that moves by `step` pixels a frame."""
    y, x = np.mgrid[0:height, 0:width]
    return [
        np.stack([128 + 90 * np.sin((x - step * i) / 12 + y / 20 + c) for c in range(3)], -1)
        .round()
        .astype(np.uint8)
        for i in range(num_frames)
    ]


def choose(clip, temporal=None, spatial=None):
    model = TwoStream(spatial or Bicubic(), temporal or Blend(), 4, 8)
    return choose_stream(model, probe(clip), torch.device("cpu"), torch.float32)


@pytest.mark.parametrize(("temporal", "stream"), [(Large(), "s2t"), (Small(), "t2s")])
def test_the_better_stream_is_chosen(make_clip, temporal, stream) -> None:
    choice = choose(make_clip("in.mkv", frames=moving(step=3), **LOSSLESS), temporal)
    other = {"s2t": "t2s", "t2s": "s2t"}[stream]
    assert choice.stream == stream
    assert choice.num_pairs == 10
    gain = choice.psnr_rgb[stream] - choice.psnr_rgb[other]
    assert gain > 1
    assert f"{stream}, +{gain:.2f} dB over {other} on 10 sampled pairs" in str(choice)


def test_figures_are_those_of_the_papers_protocol(make_clip) -> None:
    """Three frames make one pair: frames 0 and 2 degraded, frame 1 the truth, cropped to whole pixels."""
    frames = moving(3, 67, 49, step=4)
    choice = choose(make_clip("in.mkv", frames=frames, codec="ffv1", pix_fmt="bgr0"), Large())
    frames = [pixels[:48, :64] for pixels in frames]
    lr0, lr1 = (to_tensor(degrade(frames[index], 4))[None] for index in (0, 2))
    model = TwoStream(Bicubic(), Large())
    (t2s,) = model.t2s(lr0, lr1)
    (s2t,) = model.s2t(lr0, lr1, model.upscale(lr0), model.upscale(lr1))
    expected = {
        name: psnr_rgb(to_pixels(frame[0]), frames[1])
        for name, frame in {"t2s": t2s, "s2t": s2t, "mean": (t2s + s2t) / 2}.items()
    }
    assert choice.num_pairs == 1
    assert choice.psnr_rgb == pytest.approx(expected, abs=1e-6)


def test_equal_streams_are_a_tie_for_the_cheaper_one(make_clip) -> None:
    choice = choose(make_clip("in.mkv", frames=moving(6, step=3), **LOSSLESS))
    assert choice.stream == "t2s"
    assert "t2s, +0.00 dB over s2t on 4 sampled pairs" in str(choice)


def test_deep_video_is_measured_too(make_clip) -> None:
    clip = make_clip("in.mkv", frames=moving(step=3), codec="ffv1", pix_fmt="yuv444p10le")
    assert choose(clip, Large()).stream == "s2t"


def test_repeated_frames_and_cuts_are_left_out(make_clip) -> None:
    """Animation on twos, and a cut: 12 frames with 6 pictures, of which 3 and 3 belong together."""
    first, second = moving(3, step=3), [255 - pixels for pixels in moving(3, step=-3)]
    frames = [pixels for picture in (*first, *second) for pixels in (picture, picture)]
    choice = choose(make_clip("in.mkv", frames=frames, **LOSSLESS))
    assert choice.num_pairs > 1
    assert choice.psnr_rgb["t2s"] > 30, "a pair across the cut"


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        (moving(1), "no three frames"),
        (moving(2), "no three frames"),
        (moving(8, step=0), "no three frames"),
        (moving(8, 31, 64), "31x64 pixels, and 32x32 are the least"),
    ],
    ids=["one frame", "two frames", "static", "tiny"],
)
def test_what_cannot_be_measured_is_said(make_clip, frames, why) -> None:
    clip = make_clip("in.mkv", frames=frames, codec="ffv1", pix_fmt="bgr0")
    choice = choose(clip)
    assert (choice.stream, choice.num_pairs, choice.psnr_rgb) == ("t2s", 0, {})
    assert str(choice).startswith("stream auto: t2s, unmeasured: ")
    assert why in str(choice)


def test_equal_pictures_keep_the_figures_finite(make_clip) -> None:
    """A linear fade of grey, which blending restores exactly."""
    frames = [np.full((48, 64, 3), 100 + 4 * index, np.uint8) for index in range(6)]
    choice = choose(make_clip("in.mkv", frames=frames, **LOSSLESS))
    assert choice == Choice("t2s", 4, dict.fromkeys(("t2s", "s2t", "mean"), 100.0), 0.0, 4)


def test_the_dearer_stream_must_be_better_beyond_chance(make_clip) -> None:
    """A single pair has no error to compare with: t2s stays, and the line says why."""
    clip = make_clip("in.mkv", frames=moving(3, step=4), **LOSSLESS)
    choice = choose(clip, Large())
    assert choice.psnr_rgb["s2t"] > choice.psnr_rgb["t2s"] + 1
    assert (choice.stream, choice.error) == ("t2s", math.inf)
    assert "t2s, since +" in str(choice)
    assert "of s2t may be chance (error inf dB) on 1 sampled pairs" in str(choice)
