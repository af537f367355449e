"""Pictures whose size changes on the way: found before a network is loaded, refused, or fitted into the first size."""

import json
from fractions import Fraction

import av
import numpy as np
import pytest
from av.codec.context import CodecContext

from stsr_cli.options import SourceOptions
from stsr_cli.video.probe import probe
from stsr_cli.video.reader import read_frames
from stsr_cli.video.size_changes import find_size_changes
from tests.conftest import textured_frame

PLAIN = ("--spatial", "bicubic", "--temporal", "blend", "--scale", 1)
LOSSLESS = ("--codec", "ffv1")
SIZES = ((64, 48), (96, 64), (64, 48))
IN_BAND = {"bf": "0", "x264-params": "repeat-headers=1"}
HEVC = {"x265-params": "log-level=none:repeat-headers=1", "preset": "ultrafast"}
FIT = SourceOptions(on_size_change="fit")


def write(path, codec, sizes=SIZES, num_frames=8, pix_fmt="yuv420p", frame_of=None, **options):
    """One stream of several sizes, each from an encoder of its own."""
    frame_of, pts = frame_of or textured_frame, 0
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        for width, height in sizes:
            context = CodecContext.create(codec, "w") if pts else stream.codec_context
            context.width, context.height, context.pix_fmt = width, height, pix_fmt
            context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
            context.options = options
            packets = []
            for _ in range(num_frames):
                picture = av.VideoFrame.from_ndarray(frame_of(pts, width, height), format="rgb24")
                frame = picture.reformat(format=pix_fmt)
                frame.pts, frame.time_base, pts = pts, Fraction(1, 25), pts + 1
                packets += context.encode(frame)
            for packet in [*packets, *context.encode(None)]:
                packet.stream = stream
                container.mux(packet)
    return path


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("in.webm", "libvpx", {}),
        ("in.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
        ("in.ts", "libx264", {"preset": "ultrafast"}),
        ("in.mkv", "libx264", IN_BAND),
        ("in.flv", "libx264", IN_BAND),
        ("in.ts", "libx265", HEVC),
        ("in.mkv", "libx265", HEVC),
        ("in.mpg", "mpeg1video", {}),
        ("in.ts", "mpeg2video", {}),
        ("in.ts", "mpeg4", {}),
        ("in.mkv", "libsvtav1", {"preset": "12"}),
        ("in.avi", "mjpeg", {"pix_fmt": "yuvj420p"}),
    ],
)
def test_changes_are_found_in_the_headers_of_packets(name, codec, options, tmp_path):
    source = probe(write(tmp_path / name, codec, **options))
    found = [(change.seconds, change.width, change.height) for change in find_size_changes(source)]
    assert found == [(pytest.approx(0.32), 96, 64), (pytest.approx(0.64), 64, 48)]


def test_one_size_is_no_change(demo_clip):
    assert find_size_changes(probe(demo_clip)) == ()


@pytest.fixture
def recording(tmp_path):
    """What a browser records of a call: it begins small."""
    return write(tmp_path / "in.webm", "libvpx", crf="4", b="4M")


def test_it_is_refused_before_a_network_is_loaded(recording, call):
    result = call(
        "upscale", "in.webm", "out.mkv", *PLAIN, "--weights", "no.safetensors", code=4
    )  # not missed yet
    assert "64x48, then 96x64 from 0.32 s, 64x48 from 0.64 s" in result.stderr
    assert "--on-size-change fit" in result.stderr


def test_probe_tells_it(recording, call):
    video = json.loads(call("probe", "in.webm", "--json").stdout)["video"]
    assert [change["width"] for change in video["size_changes"]] == [96, 64]
    assert "64x48, then 96x64 from 0.32 s" in video["text"]


@pytest.mark.parametrize("segment", [0, 0.25])
def test_all_are_fitted_into_the_first(segment, recording, call, tmp_path):
    arguments = ("in.webm", "out.mkv", *PLAIN, *LOSSLESS, "--time-scale", 1, "--segment", segment)
    result = call("upscale", *arguments, "--on-size-change", "fit")
    assert "fitted into the first: 64x48, then 96x64" in result.stderr
    with av.open(str(tmp_path / "out.mkv")) as container:
        made = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [frame.shape for frame in made] == 24 * [(48, 64, 3)]
    # 96x64 is 64 x 42.67: 43 rows, with bars above and below
    for index, frame in enumerate(made):
        is_fitted = 8 <= index < 16
        assert (frame[[0, 47]].max() < 8) == is_fitted
        assert frame[3:44].min(axis=(1, 2)).max() > 8


def test_pixels_keep_their_shape_and_bars_are_black(tmp_path):
    """A white picture of 64x64 in 64x48: 48x48 in the middle, white to its edges."""

    def white(_, width, height):
        return np.full((height, width, 3), 255, np.uint8)

    path = write(tmp_path / "in.mov", "png", [(64, 48), (64, 64)], 1, "rgb24", white)
    first, second = (frame.pixels for frame in read_frames(probe(path, FIT)))
    assert first.min() == 255
    assert second[:, 8:56].min() == 255
    assert second[:, :8].max() == second[:, 56:].max() == 0


def test_interlaced_pictures_of_another_size_are_deinterlaced(tmp_path):
    options = {
        "flags": "+ilme+ildct",
        "x264-params": "tff=1:repeat-headers=1",
        "preset": "ultrafast",
    }
    path = write(tmp_path / "in.ts", "libx264", [(64, 48), (96, 64)], **options)
    frames = list(read_frames(probe(path, FIT)))
    assert [frame.pixels.shape for frame in frames] == 16 * [(48, 64, 3)]
    assert np.diff([frame.pts for frame in frames]).tolist() == 15 * [3600]


def test_a_part_has_the_size_that_it_begins_with(recording, call, tmp_path):
    part = ("--start", 0.32, "--end", 0.64)
    call("upscale", "in.webm", "out.mkv", *PLAIN, *LOSSLESS, *part)
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (96, 64)


def test_what_was_found_late_goes_on_with_fit(tmp_path, call):
    """PNG says no size that is looked for: the change is met on the way, and what was done before it stays."""
    write(tmp_path / "in.mov", "png", [(64, 48), (96, 64)], 20, "rgb24")
    arguments = ("upscale", "in.mov", "out.mkv", *PLAIN, *LOSSLESS, "--segment", 0.25)
    error = call(*arguments, code=4).stderr
    assert "from 64x48 to 96x64 at frame 20" in error
    assert "--on-size-change fit" in error
    assert "segments are done and kept in out.mkv.stsr" in error
    assert "going on from there" in call(*arguments, "--on-size-change", "fit").stderr


def test_images_of_several_sizes(tmp_path, call):
    (tmp_path / "in").mkdir()
    for index, (width, height) in enumerate([(64, 48), (64, 48), (32, 48)]):
        picture = av.VideoFrame.from_ndarray(textured_frame(index, width, height), format="rgb24")
        picture.to_image().save(tmp_path / "in" / f"{index}.png")
    assert "then 32x48 from 0.08 s" in call("upscale", "in", "out.mkv", *PLAIN, code=4).stderr
    call("upscale", "in", "out.mkv", *PLAIN, *LOSSLESS, "--on-size-change", "fit")
