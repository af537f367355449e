"""`stsr upscale` at cuts: what stands between two shots, what is counted, what is refused."""

import itertools
import json

import numpy as np
import pytest
import torch

from stsr_cli.ops import to_tensor

from .test_doubt import assert_shows
from .test_upscale import LOSSLESS, PLAIN, RGB_SOURCE, bicubic, decode, write_tiny_weights

USAGE = 2
TINY_NAMES = ("--spatial", "span", "--temporal", "rife", "--weights", "tiny.safetensors")
CUTS = (3, 7)  # first frames of the second and third shot
LENGTH = 10


@pytest.fixture
def clip(make_clip):
    """Three shots of 3, 4 and 3 frames, each a moving wave of a colour of its own."""
    y, x = np.mgrid[0:32, 0:48]
    colours = np.array([[200, 60, 60], [60, 190, 80], [70, 80, 210]], dtype=float)
    frames = []
    for index in range(LENGTH):
        shot = sum(index >= cut for cut in CUTS)
        wave = 30 * np.sin((x - 2 * index) / 5 + shot + y / 7)
        frames.append((colours[shot] + wave[..., None]).round().astype(np.uint8))
    return make_clip("in.mp4", frames=frames, **RGB_SOURCE), frames


@pytest.mark.parametrize("time_scale", [2, 4])
@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_a_cut_is_held_and_all_else_is_as_without_it(call, clip, tmp_path, batch_size, time_scale):
    source, _ = clip
    write_tiny_weights(tmp_path / "tiny.safetensors", "span", "rife")
    common = (*TINY_NAMES, *LOSSLESS, "--time-scale", time_scale, "--batch-size", batch_size)
    result = call("upscale", source, "held.mp4", *common)
    assert "2 cuts, the frame before is held instead of new frames" in result.stderr
    plain = call("upscale", source, "plain.mp4", *common, "--cut", "off")
    assert "cut" not in plain.stderr
    held, held_times = decode(tmp_path / "held.mp4")
    off, off_times = decode(tmp_path / "plain.mp4")
    assert held_times == off_times
    assert len(held) == LENGTH * time_scale
    for index, (image, other) in enumerate(zip(held, off, strict=True)):
        before, step = divmod(index, time_scale)
        if step and before + 1 in CUTS:
            assert np.array_equal(image, held[before * time_scale])
            assert not np.array_equal(image, other)
        else:  # batches end at a cut: a float's last bit may differ
            assert np.abs(image.astype(int) - other).max() <= 1


@pytest.mark.parametrize("stream", ["t2s", "both"])
def test_a_cut_is_blended(call, clip, tmp_path, stream):
    source, frames = clip
    model = write_tiny_weights(tmp_path / "tiny.safetensors", "span", "rife")
    options = ("--cut", "blend", "--time-scale", "4", "--stream", stream)
    result = call("upscale", source, "out.mp4", *TINY_NAMES, *LOSSLESS, *options)
    assert "2 cuts, a fade instead of new frames" in result.stderr
    found, _ = decode(tmp_path / "out.mp4")
    with torch.inference_mode():
        hr_frames = model.upscale(to_tensor(np.stack(frames)))
    for cut, step in itertools.product(CUTS, (1, 2, 3)):
        expected = torch.lerp(hr_frames[cut - 1], hr_frames[cut], step / 4)
        assert_shows([found[4 * (cut - 1) + step]], expected[None])


def test_a_higher_threshold_finds_no_cut(call, clip, tmp_path):
    source, frames = clip
    result = call("upscale", source, "out.mp4", *PLAIN, *LOSSLESS, "--scene-threshold", "200")
    assert "cut" not in result.stderr
    found, _ = decode(tmp_path / "out.mp4")
    mean = (bicubic(frames[2], 4) + bicubic(frames[3], 4)) / 2
    assert np.abs(found[5] - mean.clip(0, 255)).max() < 1


def test_cuts_of_ten_bits_without_streams_and_without_new_frames(call, make_clip, clip, tmp_path):
    _, frames = clip
    deep = make_clip("deep.mkv", frames=frames, codec="ffv1", pix_fmt="yuv420p10le")
    assert "2 cuts, " in call("upscale", deep, "deep.mp4", *PLAIN, "--scale", "1").stderr
    still = call("upscale", deep, "still.mp4", *PLAIN, "--time-scale", "1").stderr
    assert "cut" not in still, "at --time-scale 1 there is nothing to hold"
    assert len(decode(tmp_path / "still.mp4")[0]) == LENGTH


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--cut", "fade"), ["'fade'", "hold", "blend", "off"]),
        (("--scene-threshold", "abc"), ["'abc'", "--scene-threshold"]),
        (("--scene-threshold", "-1"), ["-1", "from 0 to 255"]),
        (("--scene-threshold", "nan"), ["nan", "from 0 to 255"]),
        (("--cut", "off", "--scene-threshold", "9"), ["--scene-threshold", "--cut off"]),
    ],
)
def test_bad_options_are_one_line(call, clip, tmp_path, options, words):
    source, _ = clip
    result = call("upscale", source, "out.mp4", *PLAIN, *options, code=USAGE)
    line = result.stderr.splitlines()[-1]
    assert line.startswith("stsr: ")
    for word in words:
        assert word in line
    assert not (tmp_path / "out.mp4").exists()


def test_probe_lists_the_cuts(call, clip):
    source, _ = clip
    table = call("probe", source, "--scenes").stderr
    assert f"2 cuts in {LENGTH} frames, at a constant rate" in table
    scenes = json.loads(call("probe", source, "--scenes", "--json").stdout)["scenes"]
    assert scenes["num_frames"] == LENGTH
    assert [cut["frame_index"] for cut in scenes["cuts"]] == [*CUTS]
    assert [cut["seconds"] for cut in scenes["cuts"]] == [3 / 25, 7 / 25]
    none = json.loads(call("probe", source, "--scenes", "--scene-threshold", 200, "--json").stdout)
    assert none["scenes"]["cuts"] == []
    assert "scenes" not in json.loads(call("probe", source, "--json").stdout)
    call("probe", source, "--scene-threshold", 9, code=USAGE)
