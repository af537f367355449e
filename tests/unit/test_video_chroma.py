"""Where chroma lies: read, kept through an upscale, and written, with edges whose place is known."""

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from stsr_cli.options import EncodeOptions, UpscaleOptions
from stsr_cli.video.colour.chroma import output_location, read_chroma_location
from stsr_cli.video.probe import probe

WIDTH, HEIGHT, EDGE = 96, 64, (47.3, 30.6)
PLACES = {  # of the first chroma sample of 4:2:0, in pixels
    "left": (0, 0.5),
    "center": (0.5, 0.5),
    "topleft": (0, 0),
    "top": (0.5, 0),
    "bottomleft": (0, 1),
    "bottom": (0.5, 1),
}


def step(x, centre):
    return 1 / (1 + np.exp(-(x - centre) / 2))


def write_edges(path, location, codec="libx264", subsampling=(2, 2), tagged=True):
    """Luma and Cb have an edge at the same column, Cr at the row EDGE[1]: sampled where the samples lie."""
    pix_fmt = {(2, 2): "yuv420p10le", (2, 1): "yuv422p10le"}[subsampling]
    columns, rows = np.arange(WIDTH), np.arange(HEIGHT)
    first_x, first_y = PLACES[location]
    frame = VideoFrame(WIDTH, HEIGHT, pix_fmt)
    chroma_x = columns[:: subsampling[0]] + first_x
    chroma_y = rows[:: subsampling[1]] + (first_y if subsampling[1] == 2 else 0)
    planes = [
        np.broadcast_to(80 + 40 * step(columns, EDGE[0]), (HEIGHT, WIDTH)),
        np.broadcast_to(110 + 36 * step(chroma_x, EDGE[0]), (len(chroma_y), len(chroma_x))),
        np.broadcast_to(
            110 + 36 * step(chroma_y, EDGE[1])[:, None], (len(chroma_y), len(chroma_x))
        ),
    ]
    for plane, values in zip(frame.planes, planes, strict=True):
        lines = np.frombuffer(plane, np.uint16).reshape(plane.height, -1)
        lines[:, : plane.width] = (4 * values).round()
    options = {"crf": "0"} if codec == "libx264" else {}
    if tagged:
        options["chroma_sample_location"] = location
    with av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=25, options=options)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, pix_fmt
        video.codec_context.color_range, video.codec_context.colorspace = 1, 1
        for pts in range(2):
            frame.pts = pts
            out.mux(video.encode(frame))
        out.mux(video.encode(None))


def edge(values):
    """Where a rising logistic edge lies between its first and last value, in samples, by a straight line's fit."""
    values = values.astype(float)
    share = (values - values[0]) / (values[-1] - values[0])
    places = np.flatnonzero((share > 0.1) & (share < 0.9))
    slope, offset = np.polyfit(places, np.log(share[places] / (1 - share[places])), 1)
    return -offset / slope


def edges_of(path, location):
    """Columns of the edge in luma and Cb, and the row of Cr's, in pixels of the file."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    planes = [
        np.frombuffer(plane, np.uint16).reshape(plane.height, -1)[:, : plane.width]
        for plane in frame.planes
    ]
    x, y = PLACES[location]
    vertical = frame.height // frame.planes[1].height
    middle, centre = planes[0][frame.height // 2], planes[1][frame.planes[1].height // 4]
    found = (edge(middle), 2 * edge(centre) + x)
    return *found, vertical * edge(planes[2][:, 4]) + (y if vertical == 2 else 0)


@pytest.mark.parametrize("location", PLACES)
def test_every_location_of_h264_is_read(tmp_path, location):
    write_edges(tmp_path / "in.mp4", location)
    assert probe(tmp_path / "in.mp4").colour.chroma_location == location


def test_untagged_frames_and_those_without_subsampled_chroma_have_none(tmp_path):
    write_edges(tmp_path / "in.mkv", "left", "ffv1", tagged=False)
    assert probe(tmp_path / "in.mkv").colour.chroma_location == "unspecified"
    for pix_fmt in ("yuv444p", "gray", "rgb24", "pal8"):
        assert read_chroma_location(VideoFrame(16, 16, pix_fmt)) == "unspecified"


@pytest.mark.parametrize(
    ("codec", "location", "expected"),
    [
        ("libx264", "topleft", "topleft"),
        ("libx264", "unspecified", "unspecified"),
        ("libsvtav1", "center", "left"),
        ("libsvtav1", "topleft", "topleft"),
        ("mpeg2video", "topleft", "left"),
        ("mjpeg", "left", "center"),
    ],
)
def test_an_output_is_sited_where_its_codec_can_say_so(codec, location, expected):
    assert output_location(codec, av.VideoFormat("yuv420p"), location) == expected
    assert output_location(codec, av.VideoFormat("yuv444p"), location) == "unspecified"


@pytest.mark.parametrize(
    ("location", "codec", "tagged"),
    [(name, "libx264", True) for name in PLACES]
    + [("left", "ffv1", False), ("topleft", "ffv1", True)],
)
def test_colours_stay_on_their_edges_through_a_4x_upscale(tmp_path, location, codec, tagged):
    from stsr_cli.options import ModelOptions
    from stsr_cli.upscale import upscale

    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    write_edges(source, location, codec, tagged=tagged)
    upscale(
        UpscaleOptions(
            source,
            target,
            time_scale=1,
            model=ModelOptions("bicubic", "blend", device="cpu"),
            encode=EncodeOptions(codec=codec, crf=0),
        )
    )
    found = probe(target).colour.chroma_location
    assert found == (location if tagged else "unspecified")
    luma, cb, cr = edges_of(target, location)
    assert luma == pytest.approx(4 * EDGE[0] + 1.5, abs=0.3)
    assert cb - luma == pytest.approx(0, abs=0.15)
    assert cr == pytest.approx(4 * EDGE[1] + 1.5, abs=0.3)


def test_422_is_cosited_when_untagged(tmp_path):
    from stsr_cli.options import ModelOptions
    from stsr_cli.upscale import upscale

    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    write_edges(source, "left", "ffv1", (2, 1), tagged=False)
    model = ModelOptions("bicubic", "blend", device="cpu")
    upscale(UpscaleOptions(source, target, time_scale=1, model=model, encode=EncodeOptions("ffv1")))
    luma, cb, _ = edges_of(target, "left")
    assert cb - luma == pytest.approx(0, abs=0.15)
