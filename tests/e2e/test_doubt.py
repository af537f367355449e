"""`stsr upscale` with both streams: their mean, the better one, where they differ, and what is shown instead."""

import csv
import itertools
import re

import av
import numpy as np
import pytest
import torch

from stsr_cli.disagreement import disagreement, heat_map
from stsr_cli.ops import to_tensor
from stsr_cli.options import ModelOptions, OnDoubt, UpscaleOptions
from stsr_cli.upscale import Silent, upscale

from .test_upscale import LOSSLESS, PLAIN, RGB_SOURCE, decode, pictures_of_noise, write_tiny_weights

USAGE = 2


@pytest.fixture
def tiny(tmp_path):
    """Small random networks whose streams differ, and the options that ask for them."""
    model = write_tiny_weights(tmp_path / "tiny.safetensors", "span", "rife")
    return model, ("--spatial", "span", "--temporal", "rife", "--weights", "tiny.safetensors")


@pytest.fixture
def clip(make_clip):
    """Five pictures of 48x32 that have nothing to do with each other."""
    frames = pictures_of_noise(5, 48, 32)
    return make_clip("in.mp4", frames=frames, **RGB_SOURCE), frames


@torch.inference_mode()
def streams_of(model, frames):
    """f_S of every frame (N, 3, H, W), and the new frames by both streams, (N - 1, 3, H, W)."""
    hr_frames, ((t2s, s2t),) = model.extend_both(to_tensor(np.stack(frames)))
    return hr_frames, t2s, s2t


def levels(frames):
    return frames.clamp(0, 1).mul(255).movedim(1, -1).numpy().astype(np.float64)


def assert_shows(found, expected):
    assert np.abs(np.stack(found).astype(np.float64) - levels(expected)).max() < 0.6


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("batch_size", [1, 4])
def test_both_is_the_mean_of_the_streams(call, tiny, clip, tmp_path, batch_size):
    (source, frames), (model, names) = clip, tiny
    options = ("--stream", "both", "--batch-size", batch_size)
    result = call("upscale", source, "out.mp4", *names, *LOSSLESS, *options)
    assert "(the mean of both streams)" in result.stderr
    hr_frames, t2s, s2t = streams_of(model, frames)
    found, _ = decode(tmp_path / "out.mp4")
    assert_shows(found[0:-1:2], hr_frames)
    assert_shows(found[1:-1:2], (t2s + s2t) / 2)


def test_a_table_and_a_heat_map_of_the_streams(call, tiny, clip, tmp_path):
    (source, frames), (model, names) = clip, tiny
    files = ("--disagreement", "d.csv", "--disagreement", "d.mkv")
    result = call("upscale", source, "out.mp4", *names, *LOSSLESS, "--stream", "s2t", *files)
    _, t2s, s2t = streams_of(model, frames)
    expected = disagreement(t2s, s2t)
    found, times = decode(tmp_path / "out.mp4")
    assert_shows(found[1:-1:2], s2t)
    rows = table(tmp_path / "d.csv")
    assert [int(row["frame"]) for row in rows] == [1, 3, 5, 7]
    assert [float(row["seconds"]) for row in rows] == pytest.approx([0.02, 0.06, 0.1, 0.14])
    for row, doubt in zip(rows, expected, strict=True):
        assert float(row["mean_levels"]) == pytest.approx(doubt.mean_levels, abs=2e-3)
        assert float(row["worst_block_levels"]) == pytest.approx(doubt.worst_block_levels, abs=0.01)
        assert float(row["psnr_db"]) == pytest.approx(doubt.psnr_db, abs=2e-3)
        assert row["replaced"] == "0"
    mean = float(np.mean([doubt.mean_levels for doubt in expected]))
    assert f"differ by {mean:.2f} levels" in result.stderr
    assert "replaced" not in result.stderr
    heat, heat_times = decode(tmp_path / "d.mkv")
    assert [round(float(time), 3) for time in heat_times] == [round(float(t), 3) for t in times]
    assert heat[0].shape == found[0].shape
    assert max(heat[index].max() for index in (0, 2, 4, 6, 8, 9)) < 20, "given frames are dark"
    for image, doubt in zip(heat[1:-1:2], expected, strict=True):
        difference = np.abs(image.astype(float) - heat_map(doubt.levels))
        assert difference.mean() < 30, "but for the encoder's loss"


@pytest.mark.parametrize("time_scale", [2, 4])
@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("action", ["hold", "blend"])
def test_doubtful_frames_are_replaced(call, tiny, clip, tmp_path, action, batch_size, time_scale):
    """The threshold lies in the middle of what was measured: about half of the new frames go."""
    (source, frames), (model, names) = clip, tiny
    factors = ("--time-scale", time_scale, "--batch-size", batch_size)
    common = ("upscale", source, "out.mp4", *names, *LOSSLESS, *factors, "--disagreement", "d.csv")
    call(*common)
    plain, _ = decode(tmp_path / "out.mp4")
    measured = sorted(float(row["mean_levels"]) for row in table(tmp_path / "d.csv"))
    assert len(measured) == (len(frames) - 1) * (time_scale - 1)
    middle = len(measured) // 2
    threshold = (measured[middle - 1] + measured[middle]) / 2
    result = call(*common, "-y", "--on-doubt", f"{action}:{threshold:.5f}")
    num_replaced = len(measured) - middle
    assert f"{num_replaced} of {len(measured)} new frames replaced" in result.stderr
    rows = {int(row["frame"]): row for row in table(tmp_path / "d.csv")}
    found, _ = decode(tmp_path / "out.mp4")
    hr_frames, *_ = streams_of(model, frames)
    for index, image in enumerate(found):
        row = rows.get(index)
        is_replaced = row is not None and float(row["mean_levels"]) > threshold
        assert row is None or row["replaced"] == str(int(is_replaced))
        if not is_replaced:
            assert np.array_equal(image, plain[index])
            continue
        first, step = divmod(index, time_scale)
        if action == "hold":
            assert np.array_equal(image, found[first * time_scale])
        else:
            before, after = hr_frames[first], hr_frames[first + 1]
            assert_shows([image], torch.lerp(before, after, step / time_scale)[None])


def test_streams_that_agree_leave_nothing_to_replace(call, clip, tmp_path):
    source, _ = clip
    files = ("--disagreement", "d.csv", "--on-doubt", "hold:0.01")
    result = call("upscale", source, "out.mp4", *PLAIN, *files)
    assert "differ by 0.00 levels" in result.stderr
    assert "0 of 4 new frames replaced" in result.stderr
    assert {row["mean_levels"] for row in table(tmp_path / "d.csv")} == {"0.0000"}


def test_nothing_is_compared_at_a_cut_that_is_held(call, make_clip, tmp_path):
    """With the weights that ship: three frames of a wave, then three of another picture."""
    y, x = np.mgrid[0:64, 0:96]
    wave = [np.sin((x - 2 * i) / 9 + y / 14) for i in range(3)]
    other = [np.sign(np.sin((y - i) / 5) * np.sin((x + 2 * i) / 7)) for i in range(3)]
    frames = [
        np.repeat((128 + 100 * picture)[..., None], 3, -1).round().astype(np.uint8)
        for picture in (*wave, *other)
    ]
    source = make_clip("in.mp4", frames=frames, **RGB_SOURCE)
    files = ("--disagreement", "d.csv", "--on-doubt", "hold")
    result = call("upscale", source, "out.mp4", *LOSSLESS, *files)
    assert "1 cut, the frame before is held" in result.stderr
    assert "0 of 5 new frames replaced" in result.stderr
    rows = table(tmp_path / "d.csv")
    assert [row["frame"] for row in rows] == ["1", "3", "7", "9"], "nothing to compare at the cut"
    found, _ = decode(tmp_path / "out.mp4")
    assert np.array_equal(found[5], found[4])


def test_ten_bits_odd_sizes_and_sound(call, make_clip, demo_clip, tmp_path):
    source = make_clip(
        "in.mkv",
        num_frames=4,
        width=33,
        height=35,
        codec="ffv1",
        pix_fmt="yuv420p10le",
        has_sound=True,
    )
    files = ("--disagreement", "d.mp4", "--disagreement", "d.csv", "--on-doubt", "blend:0")
    result = call("upscale", source, "out.mkv", *PLAIN, "--stream", "auto", *files)
    assert "stream auto: t2s, +0.00 dB over s2t on " in result.stderr
    assert "(t2s) on cpu" in result.stderr
    with av.open(str(tmp_path / "d.mp4")) as heat, av.open(str(tmp_path / "out.mkv")) as out:
        assert heat.streams.video[0].format.name == "yuv420p"
        assert out.streams.video[0].format.name == "yuv420p10le"
        assert [stream.type for stream in heat.streams] == ["video", "audio"]
    heat, found = decode(tmp_path / "d.mp4")[0], decode(tmp_path / "out.mkv")[0]
    assert len(heat) == len(found) == 8
    assert heat[0].shape == found[0].shape == (140, 132, 3)


def test_auto_says_what_it_took_and_why(call, tiny, make_clip, tmp_path):
    _, names = tiny
    source = make_clip("in.mp4", num_frames=6, width=64, height=48, options={"crf": "1"})
    result = call("upscale", source, "out.mp4", *names, "--stream", "auto")
    first, second, *_ = result.stderr.splitlines()
    said = re.fullmatch(
        r"stream auto: (t2s|s2t), (?:\+\d+\.\d\d dB over (?:t2s|s2t)|since .* may be chance .*) on (\d+) sampled pairs "
        r"of the clip at 1/4 of its size; the mean of both would give [+-]\d+\.\d\d dB",
        first,
    )
    assert said, first
    assert 1 <= int(said[2]) <= 4
    assert f"({said[1]}), weights tiny.safetensors, on cpu" in second
    call("upscale", source, "same.mp4", *names, "--stream", said[1])
    assert all(
        np.array_equal(one, other)
        for one, other in zip(decode("out.mp4")[0], decode("same.mp4")[0], strict=True)
    )


@pytest.mark.parametrize(
    ("wishes", "factors", "why"),
    [
        ({"num_frames": 2}, (), "no three frames of the clip move"),
        ({"width": 30}, (), "30x48 pixels"),
        ({}, ("--scale", "1"), "both streams are the same at --scale 1"),
        ({}, ("--time-scale", "1"), "no new frames at --time-scale 1"),
    ],
    ids=["short", "small", "scale 1", "time scale 1"],
)
def test_auto_falls_back_and_says_so(call, make_clip, wishes, factors, why):
    source = make_clip("in.mkv", codec="ffv1", pix_fmt="bgr0", **wishes)
    result = call("upscale", source, "out.mp4", *PLAIN, "--stream", "auto", *factors)
    first, second, *_ = result.stderr.splitlines()
    assert first.startswith("stream auto: t2s, unmeasured: ")
    assert why in first
    assert "(t2s) on cpu" in second


def test_both_at_scale_1_is_one_stream(call, make_clip, tmp_path):
    source = make_clip("in.mp4", num_frames=3, **RGB_SOURCE)
    for name, stream in (("both.mp4", "both"), ("t2s.mp4", "t2s")):
        call("upscale", source, name, *PLAIN, *LOSSLESS, "--scale", "1", "--stream", stream)
    both, t2s = (decode(tmp_path / name)[0] for name in ("both.mp4", "t2s.mp4"))
    assert all(np.array_equal(one, other) for one, other in itertools.zip_longest(both, t2s))


DISAGREEMENT, DOUBT = "--disagreement", "--on-doubt"


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["'foo'", "neither hold nor blend"], (DOUBT, "foo")),
        (["''", "neither hold nor blend"], (DOUBT, "")),
        (["'-1'", "from 0 to 255", "blend:12"], (DOUBT, "blend:-1")),
        (["'abc'", "from 0 to 255"], (DOUBT, "hold:abc")),
        (["''", "from 0 to 255"], (DOUBT, "hold:")),
        (["'nan'", "from 0 to 255"], (DOUBT, "hold:nan")),
        (["'256'", "from 0 to 255"], (DOUBT, "hold:256")),
        (["--time-scale 1"], (DOUBT, "hold", "--time-scale", "1")),
        (["--time-scale 1"], (DISAGREEMENT, "d.csv", "--time-scale", "1")),
        (["--scale 1"], (DISAGREEMENT, "d.csv", "--scale", "1")),
        (["d.txt", ".csv", ".mp4"], (DISAGREEMENT, "d.txt")),
        (["disagreement", "neither a table"], (DISAGREEMENT, "disagreement")),
        (["in.mp4", "the input"], (DISAGREEMENT, "in.mp4")),
        (["in.mp4", "the input"], (DISAGREEMENT, "folder/../in.mp4", "-y")),
        (["out.mp4", "the output"], (DISAGREEMENT, "out.mp4", "-y")),
        (["d.csv", "named twice"], (DISAGREEMENT, "d.csv", DISAGREEMENT, "./d.csv")),
        (["gone", "does not exist"], (DISAGREEMENT, "gone/d.csv")),
        (["folder.csv", "is a folder"], (DISAGREEMENT, "folder.csv")),
        (["old.csv", "exists"], (DISAGREEMENT, "old.csv")),
        (["old.mkv", "exists"], (DISAGREEMENT, "old.mkv")),
        (["--disagreement", "cdca"], (DISAGREEMENT, "d.csv", "--system", "cdca")),
        (["--on-doubt", "cdca"], (DOUBT, "hold", "--system", "cdca")),
        (["--stream", "cdca"], ("--stream", "both", "--system", "cdca")),
        (["'mean'", "both"], ("--stream", "mean")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_is_one_line_and_changes_nothing(call, make_clip, tmp_path, words, options):
    make_clip("in.mp4", num_frames=3)
    for name in ("folder", "folder.csv"):
        (tmp_path / name).mkdir()
    for name in ("old.csv", "old.mkv"):
        (tmp_path / name).write_text("precious")
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    names = () if "--system" in options else PLAIN
    result = call("upscale", "in.mp4", "out.mp4", *names, *options, code=USAGE)
    (line,) = result.stderr.splitlines()
    assert line.startswith("stsr: ")
    for word in words:
        assert word in line
    assert before == {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}


def test_the_report_says_what_was_chosen_and_replaced(make_clip, tmp_path):
    source = make_clip("in.mp4", num_frames=6, options={"crf": "1"})
    model = ModelOptions(spatial="bicubic", temporal="blend", stream="auto")
    told = []

    class Told(Silent):
        def on_start(self, start):
            told.append(start.choice)

        def on_pair(self, num_done, num_total):
            told.append((num_done, num_total))

    report = upscale(
        UpscaleOptions(source, tmp_path / "out.mp4", model=model, on_doubt=OnDoubt("hold", 0.0)),
        Told(),
    )
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4), report.choice]
    assert report.stream == report.choice.stream == "t2s"
    assert report.num_new == 5
    assert report.mean_disagreement == pytest.approx(0, abs=1e-4)
    # Equal but for the last bit of a float, which is more than 0 levels.
    assert 0 <= report.num_replaced <= 5


def test_a_damaged_source_leaves_nothing_while_the_stream_is_chosen(call, make_clip, tmp_path):
    clip = make_clip("in.mov", num_frames=40, codec="png", pix_fmt="rgb24")
    content = bytearray(clip.read_bytes())
    for place in range(len(content) // 2, len(content) * 3 // 4, 50):
        content[place] ^= 255
    clip.write_bytes(content)
    files = ("--disagreement", "d.csv", "--disagreement", "d.mkv")
    strict = ("--stream", "auto", "--max-bad-frames", 0)
    result = call("upscale", clip, "out.mp4", *PLAIN, *strict, *files, code=4)
    assert "in.mov is damaged" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in.mov"]
