"""Every pixel format, matrix and range: what is read is the picture, and what is written is what was read.

Pictures are smooth functions of place, so that a chroma sample's right value is known wherever it lies. A round trip is
that of `--scale 1 --time-scale 1`: `read_frames` into `open_writer`, with a lossless codec, compared plane by plane.
"""

import av
import numpy as np
import pytest
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from stsr_cli.options import EncodeOptions
from stsr_cli.video.colour.convert import ToRgb
from stsr_cli.video.colour.meaning import read_tags
from stsr_cli.video.probe import probe
from stsr_cli.video.reader import read_frames
from stsr_cli.video.writer import open_writer

WIDTH, HEIGHT = 64, 48
LIMITED, FULL = 1, 2
LUMA = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
TAGS = [(matrix, levels) for matrix in LUMA for levels in (LIMITED, FULL)]


def colour(x, y):
    """(..., 3) RGB in [0.15, 0.85] at pixels x, y."""
    u, v = x / WIDTH, y / HEIGHT
    channels = [
        0.5 + 0.35 * np.sin(2 * u + v),
        0.5 + 0.3 * np.cos(1.5 * v - u),
        0.5 + 0.35 * np.sin(2 + u - 2 * v),
    ]
    return np.stack(np.broadcast_arrays(*channels), axis=-1)


def yuv(rgb, matrix, levels, depth):
    """(..., 3) levels, not rounded."""
    red, blue = LUMA[matrix]
    luma = rgb @ [red, 1 - red - blue, blue]
    chroma = (rgb[..., 2] - luma) / (2 - 2 * blue), (rgb[..., 0] - luma) / (2 - 2 * red)
    unit, peak = 2 ** (depth - 8), 2**depth - 1
    spans = (peak, peak) if levels == FULL else (219 * unit, 224 * unit)
    low = 0 if levels == FULL else 16 * unit
    return np.stack([luma * spans[0] + low, *(c * spans[1] + 128 * unit for c in chroma)], -1)


def lines(frame, index):
    plane, name = frame.planes[index], frame.format.name
    bits = max(component.bits for component in frame.format.components)
    dtype = np.dtype("u1" if bits <= 8 else "f4" if "f32" in name else "u2")
    dtype = dtype.newbyteorder(">" if name.endswith("be") else "<")
    return np.frombuffer(plane, dtype).reshape(plane.height, -1)


def planar_frame(pix_fmt, matrix, levels):
    """The picture in a planar format: chroma on the left, as an untagged file's is taken to be; alpha a ramp."""
    frame, layout = VideoFrame(WIDTH, HEIGHT, pix_fmt), VideoFormat(pix_fmt, WIDTH, HEIGHT)
    depth = min(max(component.bits for component in layout.components), 16)
    for index, plane in enumerate(frame.planes):
        step_x, step_y = WIDTH // plane.width, HEIGHT // plane.height
        x, y = np.meshgrid(np.arange(plane.width) * step_x, np.arange(plane.height) * step_y)
        if step_x == 4 and step_y == 4:  # 4:1:0 has its chroma in the centre
            x = x + 1.5
        place = colour(x, y + (step_y - 1) / 2)
        peak = 2**depth - 1
        if index == 3:
            values = peak * (x + 1) / WIDTH
        elif layout.is_rgb:
            values = place[..., (1, 2, 0)[index]] * peak
        else:
            values = yuv(place, matrix, levels, depth)[..., index]
        if "f32" in pix_fmt:
            lines(frame, index)[:, : plane.width] = values / peak
        else:
            lines(frame, index)[:, : plane.width] = values.round()
    return frame


def write(path, frame, codec, matrix, levels):
    with av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=25, options={"qp": "0"} if codec == "libx264" else {})
        video.width, video.height, video.pix_fmt = frame.width, frame.height, frame.format.name
        context = video.codec_context
        context.colorspace, context.color_range = matrix, levels
        context.time_base = 1 / video.average_rate if video.average_rate else None
        for pts in range(2):
            frame.pts = pts
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path


def round_trip(path, target, codec="ffv1", pix_fmt="auto"):
    """Read and write again; the source's and the output's first frames as they were decoded."""
    source = probe(path)
    encode = EncodeOptions(codec, pix_fmt=pix_fmt)
    with open_writer(target, source, encode, scale=1, time_scale=1, overwrite=False) as writer:
        for frame in read_frames(source, with_alpha=writer.plan.has_alpha):
            writer.write(frame.pixels, frame.pts, frame.duration or 40)
    return first(path), first(target)


def first(path):
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


def assert_same_planes(before, after, levels=1):
    """Within `levels`.

    Subsampled chroma is resampled both ways: of 16 bits it is within 2, and past the border, where there is no sample,
    within 2 of 10 bits.
    """
    assert after.format.name == before.format.name
    depth = before.format.components[0].bits
    for index, plane in enumerate(before.planes):
        have, want = (lines(frame, index)[:, : plane.width] for frame in (after, before))
        error = np.abs(have.astype(float) - want.astype(float))
        if (plane.width, plane.height) != (before.width, before.height):
            assert error.max() <= max(levels, 2 ** (depth - 9))
            error = error[4:-4, 4:-4] / (2 if depth > 12 else 1)
        assert error.max() <= levels


def assert_is_the_picture(pixels, levels, grey_matrix=None):
    """Within `levels` of 255."""
    want = colour(*np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)))
    if grey_matrix:
        red, blue = LUMA[grey_matrix]
        want = np.repeat((want @ [red, 1 - red - blue, blue])[..., None], 3, axis=-1)
    inside = (slice(2, -2), slice(4, -4))  # past the border chroma is extrapolated
    error = np.abs(pixels[..., :3] / np.iinfo(pixels.dtype).max - want)[inside].max()
    assert error * 255 <= levels


YUV = [
    f"yuv{chroma}p{depth}" for chroma in (420, 422, 444) for depth in ("", "10le", "12le", "16le")
]


@pytest.mark.parametrize(("matrix", "levels"), TAGS)
@pytest.mark.parametrize("pix_fmt", [*YUV, "yuv420p9le", "yuv444p14le"])
def test_yuv(tmp_path, pix_fmt, matrix, levels):
    path = tmp_path / "in.mkv"
    write(path, planar_frame(pix_fmt, matrix, levels), "ffv1", matrix, levels)
    is_8_bit = pix_fmt.endswith("p")
    assert_is_the_picture(next(read_frames(path)).pixels, 2.2 if is_8_bit else 0.9)
    assert_same_planes(*round_trip(path, tmp_path / "out.mkv"))


@pytest.mark.parametrize(("matrix", "levels"), TAGS)
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p10le"])
def test_h264(tmp_path, pix_fmt, matrix, levels):
    path = tmp_path / "in.mp4"
    write(path, planar_frame(pix_fmt, matrix, levels), "libx264", matrix, levels)
    before, after = round_trip(path, tmp_path / "out.mkv", "ffv1")
    for index in range(3):
        difference = lines(after, index).astype(int) - lines(before, index)
        assert np.abs(difference[:, : before.planes[index].width]).max() <= 1


@pytest.mark.parametrize("pix_fmt", ["gbrp", *(f"gbrp{n}le" for n in (9, 10, 12, 14, 16))])
def test_planar_rgb_is_exact(tmp_path, pix_fmt):
    is_8_bit = pix_fmt == "gbrp"  # FFV1 has that as bgr0
    codec, ending = ("ffvhuff", "nut") if is_8_bit else ("ffv1", "mkv")
    frame = planar_frame(pix_fmt, 1, FULL)
    path = write(tmp_path / f"in.{ending}", frame, codec, 0, FULL)
    assert_is_the_picture(next(read_frames(path)).pixels, 0.51)
    assert_same_planes(*round_trip(path, tmp_path / f"out.{ending}", codec), levels=0)


@pytest.mark.parametrize("pix_fmt", ["bgr0", "rgb48le"])
def test_packed_rgb_is_exact(tmp_path, pix_fmt):
    frame = planar_frame("gbrp16le", 1, FULL).reformat(format=pix_fmt)
    path = write(tmp_path / "in.mkv", frame, "ffv1", 0, FULL)
    assert_same_planes(*round_trip(path, tmp_path / "out.mkv", pix_fmt=pix_fmt), levels=0)


@pytest.mark.parametrize("levels", [LIMITED, FULL])
@pytest.mark.parametrize(
    "pix_fmt", ["gray", "gray9le", "gray10le", "gray12le", "gray14le", "gray16le"]
)
def test_grey(tmp_path, pix_fmt, levels):
    path = write(tmp_path / "in.mkv", planar_frame(pix_fmt, 1, levels), "ffv1", 1, levels)
    pixels = next(read_frames(path)).pixels
    assert_is_the_picture(pixels, 1.1 if pix_fmt == "gray" else 0.3, grey_matrix=1)
    assert pixels.dtype == (np.uint8 if pix_fmt == "gray" else np.uint16)
    before, after = round_trip(path, tmp_path / "out.mkv")
    assert_same_planes(before, after)
    assert after.color_range == levels


def test_grey_becomes_neutral_420_where_there_is_no_grey(tmp_path):
    path = write(tmp_path / "in.mkv", planar_frame("gray", 1, LIMITED), "ffv1", 1, LIMITED)
    before, after = round_trip(path, tmp_path / "out.mkv", "mpeg4")
    assert after.format.name == "yuv420p"
    for index in (1, 2):
        assert np.abs(lines(after, index)[:, : WIDTH // 2].astype(int) - 128).max() <= 1
    assert np.abs(lines(after, 0)[:, :WIDTH].astype(int) - lines(before, 0)[:, :WIDTH]).mean() < 2


def test_prores_cannot_say_full_range_so_it_is_limited(tmp_path):
    path = write(tmp_path / "in.mkv", planar_frame("yuv422p10le", 1, FULL), "ffv1", 1, FULL)
    target = tmp_path / "out.mov"
    round_trip(path, target, "prores_ks")
    assert probe(target).colour.effective_range == LIMITED
    assert_is_the_picture(next(read_frames(target)).pixels, 6)


@pytest.mark.parametrize(
    ("pix_fmt", "planar"),
    [
        ("nv12", "yuv420p"),
        ("nv16", "yuv422p"),
        ("uyvy422", "yuv422p"),
        ("p010le", "yuv420p10le"),
        ("p016le", "yuv420p16le"),
        ("y210le", "yuv422p10le"),
        ("xv36le", "yuv444p12le"),
        ("yuv420p10be", "yuv420p10le"),
        ("x2rgb10le", "gbrp10le"),
        ("x2bgr10le", "gbrp10le"),
        ("rgb48be", "gbrp16le"),
        ("bgr48le", "gbrp16le"),
    ],
)
def test_packed_and_interleaved_formats_are_read_as_the_planar_one(pix_fmt, planar):
    """Few muxers hold them: these frames are as a hardware decoder or a capture device gives them."""
    frame = planar_frame(planar, 1, LIMITED)
    tags = read_tags(frame)
    pixels = ToRgb(tags)(frame)
    packed = ToRgb(tags)(frame.reformat(format=pix_fmt))
    assert packed.dtype == pixels.dtype
    assert np.abs(packed.astype(int) - pixels).max() <= 1


def test_nv12_and_uyvy_files(tmp_path):
    for pix_fmt, planar in (("nv12", "yuv420p"), ("uyvy422", "yuv422p")):
        frame = planar_frame(planar, 1, LIMITED)
        path = write(tmp_path / f"{pix_fmt}.nut", frame.reformat(format=pix_fmt), "rawvideo", 1, 1)
        assert first(path).format.name == pix_fmt
        assert_same_planes(frame, round_trip(path, tmp_path / f"{pix_fmt}.mkv")[1])


@pytest.mark.parametrize(
    ("pix_fmt", "levels"), [("yuv411p", 2.2), ("yuv410p", 4), ("yuv440p", 2.2)]
)
def test_odd_subsampling_is_read_in_place_and_becomes_444(tmp_path, pix_fmt, levels):
    path = write(tmp_path / "in.mkv", planar_frame(pix_fmt, 1, LIMITED), "ffv1", 1, LIMITED)
    assert_is_the_picture(next(read_frames(path)).pixels, levels)
    _, after = round_trip(path, tmp_path / "out.mkv")
    assert after.format.name == "yuv444p"


@pytest.mark.parametrize(
    "pix_fmt",
    [
        *("yuva420p", "yuva422p", "yuva444p", "yuva420p10le", "yuva444p12le", "yuva444p16le"),
        *("gbrap10le", "gbrap16le"),
    ],
)
def test_alpha_of_every_depth(tmp_path, pix_fmt):
    is_rgb = pix_fmt.startswith("gbr")
    tags = (0, FULL) if is_rgb else (1, LIMITED)
    path = write(tmp_path / "in.mkv", planar_frame(pix_fmt, 1, LIMITED), "ffv1", *tags)
    before, after = round_trip(path, tmp_path / "out.mkv")
    assert_same_planes(before, after)
    width = before.planes[3].width
    assert np.array_equal(lines(before, 3)[:, :width], lines(after, 3)[:, :width])


@pytest.mark.parametrize("pix_fmt", ["ya8", "rgba", "rgba64be", "ya16be"])
def test_alpha_of_png(tmp_path, pix_fmt):
    deep = planar_frame("gbrap16le", 1, FULL)
    path = write(tmp_path / "in.mov", deep.reformat(format=pix_fmt), "png", 0, FULL)
    before, after = round_trip(path, tmp_path / "out.mov", "png")
    assert_same_planes(before, after)


@pytest.mark.parametrize("pix_fmt", ["gbrpf32le", "gbrapf32le", "grayf32le"])
def test_float(tmp_path, pix_fmt):
    """OpenEXR is linear light: on sRGB's curve in the networks, and tagged so in an output of whole numbers."""
    frame = planar_frame(pix_fmt, 1, FULL)
    path = write_image(tmp_path / "in.exr", frame, "exr")
    source = probe(path)
    assert (source.pix_fmt, source.bit_depth) == (pix_fmt, 16)
    deep = next(read_frames(path)).pixels
    linear = lines(frame, 0)[:, :WIDTH]  # green, or grey
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(deep[..., 1] / 65535 - curve).max() <= 1 / 65535
    _, after = round_trip(path, tmp_path / "out.mkv")
    assert after.format.components[0].bits == 16 and after.color_trc == 13
    packed = after.format.name == "rgba64le"
    plane = lines(after, 0).reshape(HEIGHT, -1, 4)[..., 1] if packed else lines(after, 0)
    assert np.abs(plane[:, :WIDTH] / 65535 - curve).max() <= 1.01 / 65535


def write_image(path, frame, codec):
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as out:
        video = out.add_stream(codec, rate=1)
        video.width, video.height, video.pix_fmt = frame.width, frame.height, frame.format.name
        out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path


def test_a_palette_is_rgb(tmp_path):
    indexes = np.arange(WIDTH * HEIGHT, dtype=np.uint8).reshape(HEIGHT, WIDTH)
    palette = np.random.default_rng(0).integers(0, 256, (256, 4), np.uint8)
    palette[:, 0] = 255  # alpha first
    frame = VideoFrame.from_ndarray((indexes, palette), "pal8")
    path = write_image(tmp_path / "in.png", frame, "png")
    assert (probe(path).pix_fmt, probe(path).has_alpha) == ("pal8", False)
    assert np.array_equal(next(read_frames(path)).pixels, palette[indexes][..., 1:])


def test_a_stream_that_changes_its_format_and_tags_is_followed(tmp_path):
    """Two H.264 streams, one after the other: BT.601 limited 4:2:0, then BT.709 full 4:4:4."""
    parts = [("yuv420p", 6, LIMITED), ("yuv444p", 1, FULL)]
    data = b""
    for pix_fmt, matrix, levels in parts:
        frame = planar_frame(pix_fmt, matrix, levels)
        part = write(tmp_path / f"{pix_fmt}.h264", frame, "libx264", matrix, levels)
        data += part.read_bytes()
    (tmp_path / "in.h264").write_bytes(data)
    frames = list(read_frames(tmp_path / "in.h264"))
    assert len(frames) == 4
    for frame in frames:
        assert_is_the_picture(frame.pixels, 2.2)
