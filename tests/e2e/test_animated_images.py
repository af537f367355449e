"""GIF, APNG and WebP that move: what is read of them, and what is said where they cannot be read or written."""

import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from stsr_cli.errors import InputError
from stsr_cli.video.probe import probe
from stsr_cli.video.reader import read_frames

STARTS = (0, 40, 200, 300, 340)  # ms


def drawing(index):
    pixels = np.full((48, 64, 3), 255, np.uint8)
    pixels[10:30, 10 + 5 * index : 30 + 5 * index] = (255, 0, 0)
    return pixels


def write_moving(path, codec, pix_fmt, container):
    with av.open(str(path), "w", format=container) as out:
        options = {"lossless": "1"} if codec == "libwebp_anim" else {}
        video = out.add_stream(codec, rate=25, options=options)
        video.width, video.height, video.pix_fmt = 64, 48, pix_fmt
        video.codec_context.time_base = Fraction(1, 100)
        for index, start in enumerate(STARTS):
            frame = av.VideoFrame.from_ndarray(drawing(index), "rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = start // 10, Fraction(1, 100)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "container"),
    [
        ("a.gif", "gif", "rgb8", "gif"),
        ("a.apng", "apng", "rgb24", "apng"),
        ("a.png", "apng", "rgb24", "apng"),
    ],
)
def test_moving_images_keep_their_times_and_pixels(tmp_path, name, codec, pix_fmt, container):
    path = write_moving(tmp_path / name, codec, pix_fmt, container)
    source = probe(path)
    frames = list(read_frames(source))
    assert [frame.pts * source.time_base * 1000 for frame in frames] == list(STARTS)
    assert frames[1].duration * source.time_base == Fraction(16, 100)
    for index, frame in enumerate(frames):
        difference = frame.pixels[..., :3].astype(int) - drawing(index)
        assert np.abs(difference).max() <= (40 if codec == "gif" else 0)  # rgb8 is dithered


def test_moving_webp_keeps_its_times_pixels_and_transparency(tmp_path):
    path = write_moving(tmp_path / "a.webp", "libwebp_anim", "bgra", "webp")
    source = probe(path)
    frames = list(read_frames(source, with_alpha=source.has_alpha))
    assert [frame.pts * source.time_base * 1000 for frame in frames] == list(STARTS)
    assert [f.duration * source.time_base * 1000 for f in frames[:-1]] == list(np.diff(STARTS))
    for index, frame in enumerate(frames):
        assert np.array_equal(frame.pixels[..., :3], drawing(index))


def test_moving_webp_that_fades_is_upscaled_with_its_transparency(tmp_path, call):
    pictures = [Image.fromarray(drawing(index)) for index in range(4)]
    for index, picture in enumerate(pictures):
        picture.putalpha(255 - 50 * index)
    path = tmp_path / "a.webp"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=80, lossless=True)
    call(
        "upscale",
        path,
        "out.mkv",
        *"--scale 1 --spatial bicubic --temporal blend".split(),
        "--codec",
        "ffv1",
    )
    shown = list(read_frames(tmp_path / "out.mkv", with_alpha=True))
    assert [int(frame.pixels[0, 0, 3]) for frame in shown] == [
        255,
        230,
        205,
        180,
        155,
        130,
        105,
        105,
    ]
    assert shown[-1].pts * shown[-1].time_base == Fraction(280, 1000)


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_part_of_a_moving_webp_is_an_error(tmp_path, share):
    path = write_moving(tmp_path / "a.webp", "libwebp_anim", "bgra", "webp")
    data = path.read_bytes()
    path.write_bytes(data[: round(share * len(data))])
    with pytest.raises(InputError, match=r"a\.webp"):
        list(read_frames(probe(path)))


def test_moving_webp_without_pillow_says_how_to_get_it(tmp_path, monkeypatch):
    path = write_moving(tmp_path / "a.webp", "libwebp_anim", "bgra", "webp")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(InputError, match=r"takes Pillow: .* -m pip install 'pillow>="):
        probe(path)


@pytest.mark.parametrize(
    ("name", "words"),
    [("out.gif", "256 colours"), ("out.webp", "cannot read moving WebP"), ("out.png", "%06d.png")],
)
def test_what_cannot_be_written_is_refused_with_a_way_out(tmp_path, call, name, words):
    write_moving(tmp_path / "a.gif", "gif", "rgb8", "gif")
    arguments = ("a.gif", name, "--spatial", "bicubic", "--temporal", "blend")
    assert words in call("upscale", *arguments, code=2).stderr
    call("upscale", "a.gif", "out.apng", *arguments[2:])
    assert len(list(read_frames(tmp_path / "out.apng"))) == 10


@pytest.mark.parametrize("frame_rate", [Fraction(24), Fraction(24000, 1001)], ids=str)
def test_an_animated_png_may_have_delays_that_are_no_whole_ticks(
    call, tmp_path, make_clip, frame_rate
):
    """Its reader rounds each delay to 10 us and adds them up: 48 frames a second drift by a tick every third frame."""
    make_clip("in.mp4", num_frames=12, frame_rate=frame_rate)
    call(
        "upscale", "in.mp4", "out.apng", "--spatial", "bicubic", "--temporal", "blend", "--offline"
    )
    times = [frame.pts for frame in read_frames(tmp_path / "out.apng")]
    assert len(times) == 24
