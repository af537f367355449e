"""The size and shape of the output: targets, pixels that are not square, turns, odd and tiny sizes, limits."""

import json
import shutil
import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest

from stsr_cli.checkpoint import Weights, save_weights
from stsr_cli.errors import UsageError
from stsr_cli.options import EncodeOptions
from stsr_cli.registry import build
from stsr_cli.video.encode.encoder import plan_encoder
from stsr_cli.video.encode.orientation import keeps_display_matrix, upright
from stsr_cli.video.probe import probe
from stsr_cli.video.reader import read_frames

PLAIN = ("--spatial", "bicubic", "--temporal", "blend")
ONE = 1 << 16
# By what a phone or an editor writes: the picture as it is shown, from the picture as it is stored.
TURNS = {
    "90": (0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30),
    "180": (-ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30),
    "270": (0, -ONE, 0, ONE, 0, 0, 0, 0, 1 << 30),
    "mirrored": (-ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30),
    "90-mirrored": (0, ONE, 0, ONE, 0, 0, 0, 0, 1 << 30),
}


def write_shaped(path, width, height, shape=None, matrix=None, num_frames=2, pix_fmt="yuv420p"):
    """A clip whose left half is dark and whose top is red, with pixels of a shape, turned by a matrix."""
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([255 * (y < height / 2), 0 * x, 255 * (x >= width / 2)], axis=-1)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"crf": "1"})
        video.width, video.height, video.pix_fmt = width, height, pix_fmt
        if shape:
            video.codec_context.sample_aspect_ratio = shape
        if matrix:
            video.set_display_matrix(matrix)
        for _ in range(num_frames):
            frame = av.VideoFrame.from_ndarray(picture.astype(np.uint8), "rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))


def planned(path, *, scale=4, size=None, codec="libx264", format_name="mp4", pix_fmt="auto"):
    encode = EncodeOptions(codec, pix_fmt=pix_fmt)
    return plan_encoder(probe(path), encode, scale=scale, format_name=format_name, size=size)


@pytest.mark.parametrize(
    ("stored", "shape", "size", "expected", "pixels"),
    [
        # PAL wide screen: 1024x576 in square pixels.
        ((720, 576), Fraction(64, 45), (None, 1080), (1920, 1080), 1),
        ((720, 576), Fraction(64, 45), (1920, 1080), (1920, 1080), 1),
        ((720, 576), Fraction(64, 45), (1440, 1080), (1440, 1080), Fraction(4, 3)),
        # NTSC: 10:11 is about 4:3.
        ((704, 480), Fraction(10, 11), (None, 1080), (1440, 1080), 1),
        ((640, 480), None, (None, 1080), (1440, 1080), None),
        ((640, 480), None, (1920, 1080), (1920, 1080), Fraction(3, 4)),
        # 853.33 pixels wide: the nearest even width, and square all the same.
        ((640, 360), None, (None, 480), (854, 480), None),
        ((640, 360), None, (853, 480), (852, 480), None),
        ((640, 360), None, (854, 480), (854, 480), None),
        ((640, 360), None, (None, 481), (854, 480), None),
        ((640, 360), None, (None, 1), (4, 2), None),
    ],
)
def test_a_target_keeps_the_shape_of_the_picture(tmp_path, stored, shape, size, expected, pixels):
    write_shaped(tmp_path / "in.mp4", *stored, shape, num_frames=1)
    plan = planned(tmp_path / "in.mp4", size=size)
    assert (plan.width, plan.height) == expected
    assert plan.sample_aspect_ratio == pixels
    asked = expected if size[0] is None else size
    is_rounded = (plan.height != size[1]) or plan.width != asked[0]
    assert any("needs even sizes" in note for note in plan.notes) == is_rounded
    is_odd = pixels not in (None, 1)
    assert any("keep the shape of the picture" in note for note in plan.notes) == is_odd


def test_a_target_of_odd_size_is_kept_where_the_pixel_format_can(tmp_path):
    write_shaped(tmp_path / "in.mp4", 64, 48, num_frames=1)
    plan = planned(tmp_path / "in.mp4", size=(101, 75), pix_fmt="yuv444p")
    assert (plan.width, plan.height, plan.notes) == (101, 75, ())
    plan = planned(tmp_path / "in.mp4", size=(101, 75), pix_fmt="yuv422p")
    assert (plan.width, plan.height) == (100, 75)


@pytest.mark.parametrize("turn", TURNS)
def test_a_target_counts_as_shown(tmp_path, turn):
    """A phone's upright video is stored lying."""
    write_shaped(tmp_path / "in.mp4", 64, 48, Fraction(2), TURNS[turn], num_frames=1)
    is_swapped = turn.startswith(("90", "270"))
    plan = planned(tmp_path / "in.mp4", size=(None, 240))
    # as shown, 128x48 or 48x128 in square pixels
    assert (plan.width, plan.height) == ((240, 90) if is_swapped else (640, 240))
    plan = planned(tmp_path / "in.mp4", size=(90, 240) if is_swapped else (640, 240))
    assert (plan.width, plan.height) == ((240, 90) if is_swapped else (640, 240))
    assert plan.sample_aspect_ratio == 1


def test_an_enlargement_past_the_networks_and_one_without_them_are_said(tmp_path):
    write_shaped(tmp_path / "in.mp4", 64, 48, num_frames=1)
    assert planned(tmp_path / "in.mp4", size=(None, 192)).notes == ()
    (note,) = planned(tmp_path / "in.mp4", size=(None, 480)).notes
    assert note == "from the networks' 256x192 on, the picture is enlarged by Lanczos"
    (note,) = planned(tmp_path / "in.mp4", size=(None, 96), scale=1).notes
    assert note == "the size changes by Lanczos alone at --scale 1"


def seen_by_ffprobe(path):
    if shutil.which("ffprobe") is None:
        pytest.skip("needs ffprobe, an independent reader")
    command = ["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v:0"]
    command += ["-show_streams", "-of", "json", str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)["streams"][0]


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.mov", "out.nut"])
def test_pixels_that_are_not_square_arrive(call, tmp_path, name):
    write_shaped(tmp_path / "in.mp4", 72, 48, Fraction(64, 45))
    call("upscale", "in.mp4", name, *PLAIN, "-q")
    stream = seen_by_ffprobe(tmp_path / name)
    assert (stream["width"], stream["height"]) == (288, 192)
    assert stream["sample_aspect_ratio"] == "64:45"
    call("upscale", "in.mp4", name, *PLAIN, "-q", "-y", "--height", "96")
    stream = seen_by_ffprobe(tmp_path / name)
    assert (stream["width"], stream["height"]) == (204, 96)
    assert stream["sample_aspect_ratio"] == "1:1"


@pytest.mark.parametrize(
    ("shape", "expected"), [(Fraction(64, 45), (410, 192)), (Fraction(8, 9), (288, 216))]
)
@pytest.mark.parametrize(
    ("codec", "name"), [("auto", "out.webm"), ("ffv1", "out.mkv"), ("libsvtav1", "out.mkv")]
)
def test_pixels_become_square_where_nothing_says_that_they_are_not(
    call, tmp_path, shape, expected, codec, name
):
    write_shaped(tmp_path / "in.mp4", 72, 48, shape)
    ran = call("upscale", "in.mp4", name, *PLAIN, "--codec", codec)
    assert "cannot say that pixels are not square: they are made square" in ran.stderr
    after = probe(tmp_path / name)
    assert (after.width, after.height) == expected
    assert after.sample_aspect_ratio in (None, 1)
    ran = call("upscale", "in.mp4", name, *PLAIN, "-y", "--codec", codec, "--size", "200x200")
    assert "warning: " in ran.stderr and "the picture changes its shape" in ran.stderr
    call(
        *("upscale", "in.mp4", name, *PLAIN, "-y", "--codec", codec, "--size", "200x200"),
        "--strict",
        code=2,
    )


@pytest.mark.parametrize("codec", ["libx265", "libsvtav1", "libvpx-vp9"])
def test_mp4_says_the_shape_of_pixels_for_every_codec(call, tmp_path, codec):
    write_shaped(tmp_path / "in.mp4", 72, 48, Fraction(64, 45))
    call("upscale", "in.mp4", "out.mp4", *PLAIN, "-q", "--codec", codec)
    assert seen_by_ffprobe(tmp_path / "out.mp4")["sample_aspect_ratio"] == "64:45"


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.mov", "out.nut"])
def test_a_turned_video_is_shown_as_before(call, tmp_path, name, turn):
    """By the display matrix where the container has one, else with its pixels turned; either way, one picture."""
    write_shaped(tmp_path / "in.mp4", 64, 48, Fraction(4, 3), TURNS[turn])
    ran = call("upscale", "in.mp4", name, *PLAIN, "--time-scale", "1", "--height", "60")
    before, after = probe(tmp_path / "in.mp4"), probe(tmp_path / name)
    is_turned = name == "out.nut"
    assert ("its pixels are turned" in ran.stderr) == is_turned
    assert after.display_matrix == (None if is_turned else TURNS[turn])
    is_swapped = turn.startswith(("90", "270"))
    shown_size = (34, 60) if is_swapped else (106, 60)
    is_lying = is_swapped and not is_turned
    assert (after.width, after.height) == (shown_size[::-1] if is_lying else shown_size)
    shown = [
        upright(next(read_frames(source)).pixels, source.display_matrix)
        for source in (before, after)
    ]
    for row in (0.25, 0.75):
        for column in (0.25, 0.75):
            colours = [
                picture[int(row * picture.shape[0]), int(column * picture.shape[1])].astype(int)
                for picture in shown
            ]
            assert np.abs(colours[0] - colours[1]).max() < 12
    if not is_turned:
        stream = seen_by_ffprobe(tmp_path / name)
        (side,) = [s for s in stream["side_data_list"] if s["side_data_type"] == "Display Matrix"]
        rotation = {"90": -90, "180": 180, "270": 90, "90-mirrored": -90, "mirrored": 180}
        assert abs(side["rotation"]) == abs(rotation[turn])


@pytest.mark.parametrize(
    ("name", "is_kept"), [("mp4", True), ("matroska", True), ("mov", True), ("webm", True)]
)
def test_containers_that_turn(name, is_kept):
    assert keeps_display_matrix(name) == is_kept
    assert not keeps_display_matrix("nut")
    assert not keeps_display_matrix("nonsense")


@pytest.mark.parametrize(
    ("codec", "size", "limit"),
    [
        ("libx264", (16386, 64), "libx264 takes 16384x16384"),
        ("libx265", (16386, 64), "libx265 takes 16384x16384"),
        ("libsvtav1", (64, 8706), "libsvtav1 takes 16384x8704"),
        ("libvpx-vp9", (65536, 64), "libvpx-vp9 takes 65535x65535"),
        ("h264_nvenc", (4098, 64), "h264_nvenc takes 4096x4096"),
        ("hevc_nvenc", (8194, 64), "hevc_nvenc takes 8192x8192"),
        ("ffv1", (16384, 16384), "FFmpeg holds no picture of 16384x16384"),
    ],
)
def test_a_size_that_the_encoder_cannot_take_is_refused_at_once(tmp_path, codec, size, limit):
    write_shaped(tmp_path / "in.mp4", 64, 48, num_frames=1)
    with pytest.raises(UsageError, match=limit) as caught:
        planned(tmp_path / "in.mp4", size=size, codec=codec, format_name="matroska")
    assert "--size or --height" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_odd_size_that_an_encoder_has_no_format_for_is_said(tmp_path):
    write_shaped(tmp_path / "in.mp4", 65, 49, num_frames=1, pix_fmt="yuv444p")
    with pytest.raises(UsageError, match=r"libsvtav1 takes no odd sizes .* --size or --height"):
        planned(tmp_path / "in.mp4", scale=1, codec="libsvtav1")
    plan = planned(tmp_path / "in.mp4", scale=1, codec="libsvtav1", size=(None, 48))
    assert (plan.width, plan.height, plan.pix_fmt) == (64, 48, "yuv420p")
    assert planned(tmp_path / "in.mp4", scale=4, codec="libsvtav1").width == 260


def test_the_heat_map_keeps_the_size_of_the_networks(call, tmp_path):
    write_shaped(tmp_path / "in.mp4", 64, 48, num_frames=3)
    call(
        "upscale", "in.mp4", "out.mp4", *PLAIN, "-q", "--height", "90", "--disagreement", "map.mp4"
    )
    sizes = [probe(tmp_path / name) for name in ("out.mp4", "map.mp4")]
    assert [(size.width, size.height) for size in sizes] == [(120, 90), (256, 192)]


def test_scale_16_can_be_too_large(call, tmp_path):
    write_shaped(tmp_path / "in.mp4", 1280, 32, num_frames=1)
    ran = call("upscale", "in.mp4", "out.mp4", *PLAIN, "--scale", "16", code=2)
    assert "libx264 takes 16384x16384 pixels at most and the output is 20480x512" in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (16, 16), (17, 31)])
@pytest.mark.parametrize("scale", [1, 4])
def test_tiny_and_odd_sizes_go_through(call, tmp_path, size, scale):
    """Through the default pair, whose modules want multiples of more."""
    write_shaped(tmp_path / "in.mkv", *size, num_frames=2, pix_fmt="yuv444p")
    call("upscale", "in.mkv", "out.mkv", "-q", "--scale", scale)
    after = probe(tmp_path / "out.mkv")
    assert (after.width, after.height) == tuple(side * scale for side in size)
    assert len(list(read_frames(after))) == 4


@pytest.mark.parametrize("scale", [2, 3, 5])
def test_any_factor_is_reached_by_the_networks_and_lanczos(call, tmp_path, scale):
    """The same pixels as of the size that is asked for, under the factor's own name."""
    write_shaped(tmp_path / "in.mp4", 32, 24, Fraction(4, 3), pix_fmt="yuv444p")
    same = (*PLAIN, "-q", "--crf", "0", "--pix-fmt", "yuv444p", "--time-scale", "1")
    size = f"{32 * scale}x{24 * scale}"
    call("upscale", "in.mp4", "a.mp4", *same, "--scale", f"{scale}x", "--report", "a.json")
    reached = 4 if scale < 4 else 16
    call("upscale", "in.mp4", "b.mp4", *same, "--scale", reached, "--size", size)
    after = probe(tmp_path / "a.mp4")
    assert (after.width, after.height) == (32 * scale, 24 * scale)
    assert after.sample_aspect_ratio == Fraction(4, 3)
    ours, asked = (
        [frame.pixels for frame in read_frames(tmp_path / name)] for name in ("a.mp4", "b.mp4")
    )
    np.testing.assert_array_equal(ours, asked)
    report = json.loads((tmp_path / "a.json").read_text())
    assert (report["options"]["scale"], report["options"]["size"]) == (scale, None)
    assert report["target"]["width"] == 32 * scale
    call("upscale", "in.mp4", "square.webm", *PLAIN, "--scale", scale)  # keeps no shape of pixels
    after = probe(tmp_path / "square.webm")
    assert (after.width, after.height) == (round(32 * scale * 4 / 3), 24 * scale)


@pytest.mark.parametrize("scale", [2, 3])
def test_a_factor_of_a_turned_video_counts_as_stored(call, tmp_path, scale):
    write_shaped(tmp_path / "in.mp4", 64, 48, matrix=TURNS["90"])
    ran = call("upscale", "in.mp4", "out.mp4", *PLAIN, "--scale", scale)
    after = probe(tmp_path / "out.mp4")
    assert (after.width, after.height) == (64 * scale, 48 * scale)
    said = f"--scale {scale}: the networks make x4, which Lanczos brings to x{scale}; --height or"
    assert said in ran.stderr
    assert f"x{scale} in space" in ran.stderr
    assert "pixels of" not in ran.stderr


def test_a_heat_map_of_another_factor_has_the_size_of_the_networks(call, tmp_path):
    write_shaped(tmp_path / "in.mp4", 64, 48, num_frames=3)
    call(
        *("upscale", "in.mp4", "out.mp4", *PLAIN, "-q", "--scale", "2", "--disagreement", "map.mp4")
    )
    sizes = [probe(tmp_path / name) for name in ("out.mp4", "map.mp4")]
    assert [(size.width, size.height) for size in sizes] == [(128, 96), (256, 192)]


def test_a_factor_that_the_weights_reach_is_theirs(call, tmp_path):
    """f_S of x2: 2 is one pass of it and 8 three, 3 is two and Lanczos."""
    write_shaped(tmp_path / "in.mp4", 32, 24)
    save_weights(
        tmp_path / "x2.safetensors",
        Weights(spatial=build("spatial", "espcn", {"num_channels": 4, "scale": 2})),
    )
    x2 = ("--spatial", "espcn", "--temporal", "blend", "--weights", "x2.safetensors")
    for scale, reached in ((2, 2), (8, 8), (3, 4)):
        ran = call("upscale", "in.mp4", "out.mp4", "-y", *x2, "--scale", scale)
        assert (f"make x{reached}," in ran.stderr) is (scale != reached)
        assert probe(tmp_path / "out.mp4").width == 32 * scale


def test_a_batch_names_the_factor_that_was_asked_for_and_knows_it_again(call, tmp_path):
    write_shaped(tmp_path / "in.mp4", 32, 24)
    words = ("upscale", "in.mp4", "-o", "out/", *PLAIN, "--scale", "2")
    words += ("--output-pattern", "{stem}_{scale}x_{w}x{h}{ext}")
    call(*words)
    assert (tmp_path / "out" / "in_2x_64x48.mp4").is_file()
    assert "1 skipped" in call(*words).stderr


def test_cdca_goes_below_its_factor_and_not_above(call, tmp_path):
    write_shaped(tmp_path / "in.mp4", 32, 24)
    cdca = ("--system", "cdca", "-q", "--time-scale", "1")
    call("upscale", "in.mp4", "out.mp4", *cdca, "--scale", "2")
    assert probe(tmp_path / "out.mp4").width == 64
    ran = call("upscale", "in.mp4", "more.mp4", *cdca, "--scale", "5", code=2)
    assert "try 4, --height" in ran.stderr
