"""Interlaced video: made progressive, at the same times, the right field first, better than combed."""

from fractions import Fraction

import av
import numpy as np
import pytest

from stsr_cli.video.reader import read_frames
from stsr_cli.video.timing.deinterlace import deinterlace

RUN = ["--scale", "1", "--spatial", "bicubic", "--temporal", "blend", "--time-scale", "1"]
LOSSLESS = [*RUN, "--codec", "ffv1"]
WIDTH, HEIGHT = 96, 64


def scene(index):
    """A soft texture that moves 3 pixels to the right and 1 down a field, (H, W, 3) uint8."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(float)
    waves = np.sin((x - 3 * index) / 5) * np.cos((y - index) / 7)
    return np.repeat((128 + 90 * waves).round().astype(np.uint8)[..., None], 3, axis=2)


def write_interlaced(path, first, num_frames=12):
    """Weave every two pictures of 50 a second into a frame of 25; `first`: "top" or "bottom" field."""
    order = "tff" if first == "top" else "bff"
    fields = av.filter.Graph()
    given = fields.add_buffer(width=WIDTH, height=HEIGHT, format="rgb24", time_base=Fraction(1, 25))
    fields.link_nodes(
        given,
        fields.add("setfield", order),
        fields.add("scale", "interl=1"),
        fields.add("format", "yuv420p"),
        fields.add("buffersink"),
    ).configure()
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"qp": "4", "x264-params": f"{order}=1"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(num_frames):
            woven = scene(2 * index)
            second = slice(1, None, 2) if first == "top" else slice(0, None, 2)
            woven[second] = scene(2 * index + 1)[second]
            frame = av.VideoFrame.from_ndarray(woven, "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            fields.vpush(frame)
            out.mux(video.encode(fields.vpull()))
        out.mux(video.encode(None))


def psnr(frame, index):
    """Of a frame against picture `index`, the border aside."""
    difference = frame.pixels[8:-8, 8:-8].astype(float) - scene(index)[8:-8, 8:-8]
    return 10 * np.log10(255**2 / np.square(difference).mean())


@pytest.mark.parametrize("first", ["top", "bottom"])
def test_flagged_frames_are_made_progressive(call, tmp_path, first):
    write_interlaced(tmp_path / "in.mkv", first)
    result = call("upscale", "in.mkv", "out.mkv", *LOSSLESS)
    assert "deinterlaced: 12 source frames" in result.stderr
    call("upscale", "in.mkv", "combed.mkv", *LOSSLESS, "--deinterlace", "off")
    combed = list(read_frames(tmp_path / "combed.mkv"))
    given, made = (list(read_frames(tmp_path / name)) for name in ("in.mkv", "out.mkv"))
    assert [frame.pts for frame in made] == [frame.pts for frame in given]
    for index in range(1, 11):
        assert psnr(made[index], 2 * index) > psnr(combed[index], 2 * index) + 10
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert not any(frame.interlaced_frame for frame in container.decode(video=0))


@pytest.mark.parametrize("first", ["top", "bottom"])
def test_fields_become_frames_at_their_own_times(call, tmp_path, first):
    write_interlaced(tmp_path / "in.mkv", first)
    call("upscale", "in.mkv", "out.mkv", *LOSSLESS, "--deinterlace", "fields")
    made = list(read_frames(tmp_path / "out.mkv"))
    assert [frame.pts * frame.time_base for frame in made] == [Fraction(n, 50) for n in range(24)]
    assert all(psnr(made[index], index) > 28 for index in range(2, 22))
    options = ["--deinterlace", "fields", "--start", "0.22"]
    result = call("upscale", "in.mkv", "cut.mp4", *RUN, *options)
    assert "deinterlaced: 6 source frames" in result.stderr
    cut = list(read_frames(tmp_path / "cut.mp4"))
    assert [frame.pts * frame.time_base for frame in cut] == [Fraction(n, 50) for n in range(13)]
    assert all(psnr(frame, index) > 28 for index, frame in enumerate(cut[:11], 11))


def test_what_is_left_interlaced_is_a_warning(call, tmp_path):
    write_interlaced(tmp_path / "in.mkv", "top", num_frames=3)
    result = call("upscale", "in.mkv", "out.mkv", *LOSSLESS, "--deinterlace", "off")
    assert "warning: upscaled as they are, combs included: 3 interlaced frames" in result.stderr


def test_progressive_frames_are_not_touched_unless_asked(call, make_clip, tmp_path):
    clip = make_clip(num_frames=4)
    call("upscale", clip, "auto.mkv", *LOSSLESS)
    call("upscale", clip, "off.mkv", *LOSSLESS, "--deinterlace", "off")
    result = call("upscale", clip, "all.mkv", *LOSSLESS, "--deinterlace", "bwdif")
    assert "deinterlaced: 4 source frames" in result.stderr
    auto, off, made = (
        [frame.pixels for frame in read_frames(tmp_path / name)]
        for name in ("auto.mkv", "off.mkv", "all.mkv")
    )
    assert np.array_equal(auto, off)
    assert len(made) == 4
    assert not np.array_equal(auto, made)


def test_a_format_that_cannot_be_deinterlaced_is_refused(call, make_clip):
    clip = make_clip("in.mkv", codec="libx264rgb", pix_fmt="rgb24")
    given = ["upscale", clip, "out.mkv", *LOSSLESS]
    call(*given)
    with av.open(str(clip)) as container:
        is_planar = next(container.decode(video=0)).format.name.startswith("gbrp")
    if not is_planar:
        result = call(*given, "-y", "--deinterlace", "bwdif", code=2)
        assert "which bwdif does not take" in result.stderr


def flagged(index, mode):
    """A picture as a frame with its field order set: "prog", "tff" or "bff"."""
    graph = av.filter.Graph()
    given = graph.add_buffer(width=WIDTH, height=HEIGHT, format="gray", time_base=Fraction(1, 25))
    graph.link_nodes(given, graph.add("setfield", mode), graph.add("buffersink")).configure()
    frame = av.VideoFrame.from_ndarray(scene(index)[..., 0].copy(), "gray")
    frame.pts, frame.duration, frame.time_base = 7 + index, 1, Fraction(1, 25)
    graph.vpush(frame)
    return graph.vpull()


@pytest.mark.parametrize("num_before", [0, 1, 3])
def test_frames_that_turn_interlaced_on_the_way(num_before):
    modes = ["prog"] * num_before + ["tff"] * 3 + ["prog"] * 2 + ["bff"]
    progressive = set()
    frames = [flagged(index, mode) for index, mode in enumerate(modes)]
    assert [frame.interlaced_frame for frame in frames] == [mode != "prog" for mode in modes]
    made = list(deinterlace(frames, "auto", Fraction(1, 25), progressive))
    assert [(frame.pts, frame.duration) for frame in made] == [
        (7 + n, 1) for n in range(len(modes))
    ]
    assert progressive == {7 + n for n, mode in enumerate(modes) if mode != "prog"}
    for index, (mode, frame) in enumerate(zip(modes, made, strict=True)):
        assert np.array_equal(frame.to_ndarray(), scene(index)[..., 0]) == (mode == "prog")


def test_soft_telecine_keeps_its_times(tmp_path):
    """Film on DVD: every second frame is shown for three fields instead of two, by a flag of MPEG-2."""
    path = tmp_path / "film.m2v"
    with av.open(str(path), "w") as out:
        options = {"flags": "+ildct", "qmin": "2", "g": "6"}
        video = out.add_stream("mpeg2video", rate=Fraction(30000, 1001), options=options)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(9):
            out.mux(video.encode(av.VideoFrame.from_ndarray(scene(index), "rgb24")))
        out.mux(video.encode(None))
    data, at = bytearray(path.read_bytes()), -1
    flags = [0x82, 0x00, 0x02, 0x80]  # top field first, repeat first field
    for index in range(9):
        at = data.index(b"\0\0\1\xb5", at + 1)
        while data[at + 4] >> 4 != 8:  # picture coding extension
            at = data.index(b"\0\0\1\xb5", at + 1)
        data[at + 7] = data[at + 7] & ~0x82 | flags[index % 4]
        data[at + 8] |= 0x80  # progressive frame
    path.write_bytes(data)
    frames = list(read_frames(path))
    fields = [(f.pts - frames[0].pts) * f.time_base * Fraction(60000, 1001) for f in frames[:8]]
    assert fields == [0, 3, 5, 8, 10, 13, 15, 18]
