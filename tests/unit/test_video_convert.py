"""Conversion against float64 matrices, and what tags mean."""

from dataclasses import replace

import numpy as np
import pytest
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from stsr_cli.errors import InputError
from stsr_cli.video.colour.convert import FromRgb, ToRgb
from stsr_cli.video.colour.meaning import ColourTags, output_tags, read_tags

LUMA = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
LIMITED, FULL = 1, 2


def tags_of(matrix, colour_range):
    return ColourTags(matrix, colour_range, 2, 2, matrix or None, colour_range)


def ideal_yuv(rgb, matrix, colour_range, depth, white):
    red, blue = LUMA[matrix]
    r, g, b = np.moveaxis(rgb.astype(np.float64) / white, -1, 0)
    y = red * r + (1 - red - blue) * g + blue * b
    chroma = (b - y) / (2 - 2 * blue), (r - y) / (2 - 2 * red)
    unit, peak = 2 ** (depth - 8), 2**depth - 1
    spans = (peak, peak) if colour_range == FULL else (219 * unit, 224 * unit)
    offset = 0 if colour_range == FULL else 16 * unit
    levels = [y * spans[0] + offset, *(c * spans[1] + 128 * unit for c in chroma)]
    return np.clip(np.stack(levels, axis=-1), 0, peak)


def planes_of(frame):
    dtype = np.uint8 if frame.format.components[0].bits <= 8 else np.uint16
    lines = [np.frombuffer(plane, dtype).reshape(plane.height, -1) for plane in frame.planes]
    return np.stack([line[:, : frame.width] for line in lines], axis=-1)


def random_rgb(dtype, size=64):
    highest = np.iinfo(dtype).max
    rgb = np.random.default_rng(1).integers(0, highest, (size, size, 3), dtype=dtype, endpoint=True)
    rgb[0], rgb[1] = 0, highest
    return rgb


@pytest.mark.parametrize("matrix", LUMA)
@pytest.mark.parametrize("colour_range", [LIMITED, FULL])
@pytest.mark.parametrize(("pix_fmt", "depth"), [("yuv444p", 8), ("yuv444p10le", 10)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_rgb_to_444_rounds_to_the_nearest_level(matrix, colour_range, pix_fmt, depth, dtype):
    rgb = random_rgb(dtype)
    frame = FromRgb(pix_fmt, tags_of(matrix, colour_range))(rgb)
    ideal = ideal_yuv(rgb, matrix, colour_range, depth, np.iinfo(dtype).max)
    assert np.abs(planes_of(frame) - ideal).max() < 0.501


@pytest.mark.parametrize("matrix", LUMA)
@pytest.mark.parametrize("colour_range", [LIMITED, FULL])
@pytest.mark.parametrize(("pix_fmt", "depth"), [("yuv420p", 8), ("yuv422p10le", 10)])
def test_subsampled_formats_are_right_on_flat_colours(matrix, colour_range, pix_fmt, depth):
    convert = FromRgb(pix_fmt, tags_of(matrix, colour_range))
    for colour in np.random.default_rng(2).integers(0, 256, (20, 3), dtype=np.uint8):
        frame = convert(np.full((16, 16, 3), colour))
        ideal = ideal_yuv(colour, matrix, colour_range, depth, 255)
        dtype = np.uint8 if depth == 8 else np.uint16
        for plane, level in zip(frame.planes, ideal, strict=True):
            values = np.frombuffer(plane, dtype).reshape(plane.height, -1)[:, : plane.width]
            assert np.abs(values - level).max() < 0.9  # 0.50 from rounding, the rest swscale's


@pytest.mark.parametrize("matrix", LUMA)
@pytest.mark.parametrize("colour_range", [LIMITED, FULL])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_yuv_to_rgb_and_back_keeps_rgb_within_one_level(matrix, colour_range, dtype):
    tags = tags_of(matrix, colour_range)
    pix_fmt = "yuv444p" if dtype == np.uint8 else "yuv444p10le"
    to_rgb, from_rgb = ToRgb(tags), FromRgb(pix_fmt, tags)
    first = to_rgb(from_rgb(random_rgb(dtype, 256)))
    again = to_rgb(from_rgb(first))
    level = 1 if dtype == np.uint8 else 65535 / 1023
    assert first.dtype == dtype
    assert np.abs(again.astype(int) - first).max() <= level


@pytest.mark.parametrize("colour_range", [LIMITED, FULL])
@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv420p10le", "yuv444p12le"])
def test_white_is_white_and_black_is_black(colour_range, pix_fmt):
    tags = tags_of(1, colour_range)
    rgb = np.zeros((16, 16, 3), np.uint8)
    rgb[:8] = 255
    decoded = ToRgb(tags)(FromRgb(pix_fmt, tags)(rgb))
    assert decoded[0].min() == np.iinfo(decoded.dtype).max
    assert decoded[-1].max() == 0


@pytest.mark.parametrize("pix_fmt", ["rgb24", "bgr0", "gbrp", "rgba"])
def test_8_bit_rgb_formats_are_exact(pix_fmt):
    tags, rgb = ColourTags(0, 2, 2, 2, None, 2), random_rgb(np.uint8)
    assert np.array_equal(ToRgb(tags)(FromRgb(pix_fmt, tags)(rgb)), rgb)


@pytest.mark.parametrize(("pix_fmt", "error"), [("gbrp10le", 32), ("gbrp16le", 0), ("rgb48le", 0)])
def test_deep_rgb_formats_round(pix_fmt, error):
    tags, rgb = ColourTags(0, 2, 2, 2, None, 2), random_rgb(np.uint16)
    assert np.abs(ToRgb(tags)(FromRgb(pix_fmt, tags)(rgb)).astype(int) - rgb).max() <= error


def test_repacked_formats_hold_the_same_levels():
    tags, rgb = tags_of(1, LIMITED), random_rgb(np.uint8)
    assert np.array_equal(
        ToRgb(tags)(FromRgb("nv12", tags)(rgb)), ToRgb(tags)(FromRgb("yuv420p", tags)(rgb))
    )


def test_a_format_that_is_neither_rgb_nor_usual_yuv_is_refused():
    with pytest.raises(ValueError, match="yuv411p"):
        FromRgb("yuv411p", tags_of(1, LIMITED))


@pytest.mark.parametrize(("height", "matrix"), [(576, 6), (577, 1)])
def test_an_untagged_matrix_is_guessed_by_height(height, matrix):
    tags = read_tags(VideoFrame(16, height, "yuv420p"))
    assert (tags.matrix, tags.effective_matrix, tags.effective_range) == (2, matrix, LIMITED)


def test_yuvj_is_full_range_and_rgb_has_no_matrix():
    assert read_tags(VideoFrame(16, 16, "yuvj420p")).effective_range == FULL
    assert read_tags(VideoFrame(16, 16, "gbrp")).effective_matrix is None


def test_a_matrix_that_cannot_be_converted_is_refused():
    frame = VideoFrame(16, 16, "yuv444p")
    frame.colorspace = 8
    with pytest.raises(InputError, match="colour matrix 8"):
        read_tags(frame)


def test_output_tags_stay_unless_they_would_be_untrue():
    yuv, rgb = VideoFormat("yuv420p", 16, 16), VideoFormat("gbrp", 16, 16)
    tagged, untagged = tags_of(1, LIMITED), replace(tags_of(6, LIMITED), matrix=2, range=0)
    assert output_tags(tagged, yuv, 2160) == tagged
    assert output_tags(untagged, yuv, 480) == untagged
    assert output_tags(untagged, yuv, 1080).matrix == 6  # players would guess BT.709 now
    assert output_tags(tagged, rgb, 480).matrix == 0
    from_rgb = output_tags(ColourTags(0, 2, 2, 2, None, 2), yuv, 1080)
    assert (from_rgb.matrix, from_rgb.effective_matrix, from_rgb.range) == (1, 1, LIMITED)
    assert output_tags(tagged, VideoFormat("yuvj420p", 16, 16), 480).range == FULL
