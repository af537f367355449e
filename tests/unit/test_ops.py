"""Tensor operations against closed forms and hand-computed values."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from stsr_cli import ops


def flow(x: float, y: float, height: int, width: int, batch: int = 1) -> torch.Tensor:
    return torch.tensor((x, y)).view(1, 2, 1, 1).expand(batch, 2, height, width).contiguous()


def symmetric(image: torch.Tensor, pad: int) -> torch.Tensor:
    """Mirror the border, its own pixels included."""
    for axis in (-2, -1):
        before = image.narrow(axis, 0, pad).flip(axis)
        after = image.narrow(axis, image.shape[axis] - pad, pad).flip(axis)
        image = torch.cat((before, image, after), axis)
    return image


def test_zero_flow_is_the_identity() -> None:
    image = torch.rand(2, 3, 7, 9, dtype=torch.float64)
    warped = ops.backward_warp(image, flow(0, 0, 7, 9, 2).double())
    torch.testing.assert_close(warped, image, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("x", "y"), [(1, 0), (0, 1), (-2, 3), (3, -1)])
def test_whole_flow_is_a_shift_and_the_border_repeats(x: int, y: int) -> None:
    image = torch.rand(1, 2, 8, 10, dtype=torch.float64)
    rows = (torch.arange(8) + y).clamp(0, 7)
    columns = (torch.arange(10) + x).clamp(0, 9)
    warped = ops.backward_warp(image, flow(x, y, 8, 10).double())
    torch.testing.assert_close(warped, image[:, :, rows][..., columns], atol=1e-12, rtol=0)


def test_half_a_pixel_is_the_mean_of_two() -> None:
    image = torch.rand(1, 1, 5, 6, dtype=torch.float64)
    warped = ops.backward_warp(image, flow(0.5, 0, 5, 6).double())
    expected = (image[..., :-1] + image[..., 1:]) / 2
    torch.testing.assert_close(warped[..., :-1], expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(warped[..., -1], image[..., -1], atol=1e-12, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_does_not_move_pixels(dtype: torch.dtype) -> None:
    image = (torch.rand(1, 1, 3, 1801) > 0.5).to(dtype)
    warped = ops.backward_warp(image, flow(0, 0, 3, 1801).to(dtype))
    assert warped.dtype == dtype
    torch.testing.assert_close(warped, image, atol=0.01, rtol=0)


def test_flow_has_x_before_y() -> None:
    ramp = torch.arange(6.0).expand(1, 1, 5, 6)  # the value is the column
    assert torch.allclose(ops.backward_warp(ramp, flow(1, 0, 5, 6))[..., 0], torch.tensor(1.0))
    assert torch.allclose(ops.backward_warp(ramp, flow(0, 1, 5, 6)), ramp, atol=1e-5)


def test_imresize_halves_by_hand() -> None:
    # One output pixel of two: MATLAB widens the kernel to 8 taps around 0.5 and mirrors outside taps.
    # Distances (in kernel units) .25 .75 1.25 1.75, weights of Keys' cubic with a = -0.5:
    inner = [1.5 * d**3 - 2.5 * d**2 + 1 for d in (0.25, 0.75)]
    outer = [-0.5 * d**3 + 2.5 * d**2 - 4 * d + 2 for d in (1.25, 1.75)]
    assert inner + outer == [0.8671875, 0.2265625, -0.0703125, -0.0234375]
    weights = np.array([*outer[::-1], *inner[::-1], *inner, *outer]) / 2  # they sum to 2
    line = np.array([3.0, 7.0, 1.0, 4.0])
    # Output 0 lies at 0.5: taps -3..4 of the mirrored line; output 1 at 2.5: taps -1..6.
    mirrored = np.concatenate((line[::-1], line, line[::-1]))
    expected = [weights @ mirrored[1:9], weights @ mirrored[3:11]]
    found = ops.imresize(torch.from_numpy(line)[None], (1, 2))
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-12)


def test_imresize_doubles_by_hand() -> None:
    # Output 2 lies at 0.75: distances 1.75, 0.75, 0.25, 1.25 from the pixels at -1, 0, 1, 2.
    line = torch.tensor([[3.0, 7.0, 1.0, 4.0]], dtype=torch.float64)
    found = ops.imresize(line, (1, 8))[0]
    # The tap at -1 is the mirrored 3.
    expected = 0.2265625 * 3 + 0.8671875 * 7 - 0.0703125 * 1 - 0.0234375 * 3
    assert found[2].item() == pytest.approx(expected)
    assert found[0].item() == pytest.approx(
        0.8671875 * 3 + 0.2265625 * 3 - 0.0703125 * 7 - 0.0234375 * 7
    )


@given(st.integers(1, 40), st.integers(1, 40))
def test_imresize_keeps_a_constant(length: int, new_length: int) -> None:
    found = ops.imresize(torch.full((1, length), 0.7, dtype=torch.float64), (1, new_length))
    torch.testing.assert_close(found, torch.full_like(found, 0.7), atol=1e-12, rtol=0)


@given(st.integers(1, 40), st.integers(1, 40))
def test_the_weights_of_every_output_sum_to_one(length: int, new_length: int) -> None:
    rows = ops.imresize(torch.eye(length, dtype=torch.float64), (length, new_length))
    torch.testing.assert_close(rows.sum(0), torch.ones(new_length).double(), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("size", "new_size"), [((48, 64), (12, 16)), ((12, 16), (48, 64))])
def test_imresize_is_torch_antialiased_bicubic_inside(size, new_size) -> None:
    image = torch.rand(1, 3, *size, dtype=torch.float64)
    expected = F.interpolate(image, size=new_size, mode="bicubic", antialias=True)
    border = max(2 * new_size[0] // size[0], 2)
    inside = np.s_[..., border:-border, border:-border]
    torch.testing.assert_close(
        ops.imresize(image, new_size)[inside], expected[inside], atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 3), (9, 7)])
def test_upsample_is_imresize_borders_included(scale: int, size: tuple[int, int]) -> None:
    image = torch.rand(2, 3, *size, dtype=torch.float64)
    expected = ops.imresize(image, (scale * size[0], scale * size[1]))
    torch.testing.assert_close(ops.upsample(image, scale), expected, atol=1e-12, rtol=0)


def test_cached_constants_serve_training_after_inference() -> None:
    image = torch.rand(1, 3, 5, 11, requires_grad=True)
    with torch.inference_mode():
        ops.upsample(image.detach(), 5)
        ops.imresize(image.detach(), (13, 17))
    (ops.upsample(image, 5).sum() + ops.imresize(image, (13, 17)).sum()).backward()
    assert image.grad is not None
    assert image.grad.abs().min() > 0


def test_ycbcr_of_known_colours() -> None:
    # MATLAB's rgb2ycbcr of black, white, red, green, blue.
    colours = [(0, 0, 0), (1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    expected = [(16, 128, 128), (235, 128, 128), (81, 90, 240), (145, 54, 34), (41, 240, 110)]
    image = torch.tensor(colours, dtype=torch.float64)[:, :, None, None]
    found = ops.rgb_to_ycbcr(image)[:, :, 0, 0] * 255
    torch.testing.assert_close(found.round(), torch.tensor(expected).double())


def test_ycbcr_round_trip() -> None:
    image = torch.rand(2, 3, 4, 5, dtype=torch.float64) * 3 - 1  # nothing is clamped
    torch.testing.assert_close(ops.ycbcr_to_rgb(ops.rgb_to_ycbcr(image)), image)


@given(st.integers(1, 33), st.integers(1, 33), st.integers(1, 16), st.integers(1, 40))
def test_padding_is_the_least_that_fits(height, width, multiple_of, min_size) -> None:
    image = torch.rand(1, 1, height, width)
    padded = ops.pad_to_multiple(image, multiple_of, min_size)
    assert torch.equal(padded[..., :height, :width], image)
    for length, new_length in zip((height, width), padded.shape[-2:], strict=True):
        assert new_length % multiple_of == 0
        assert new_length >= min_size
        assert new_length - max(length, min_size) < multiple_of
    assert torch.equal(padded[..., -1, -1], image[..., -1, -1])


def test_image_of_the_right_size_is_not_copied() -> None:
    image = torch.rand(1, 3, 16, 32)
    assert ops.pad_to_multiple(image, 16) is image


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_pixel_value_survives_the_round_trip(dtype) -> None:
    peak = np.iinfo(dtype).max
    values = np.arange(peak + 1, dtype=dtype)
    pixels = np.resize(values, (len(values) // 256 * 86 + 1, 3, 3))
    tensor = ops.to_tensor(pixels)
    assert tensor.shape == (3, *pixels.shape[:2])
    assert tensor.dtype == torch.float32
    assert (tensor.min(), tensor.max()) == (0, 1)
    found = ops.quantise(tensor, peak).movedim(0, -1).numpy()
    np.testing.assert_array_equal(found, pixels)


def test_quantise_rounds_and_clamps() -> None:
    values = torch.tensor([-3.0, -0.1, 0.0, 99.4, 99.6, 254.4, 254.6, 255.0, 400.0]) / 255
    expected = [0, 0, 0, 99, 100, 254, 255, 255, 255]
    assert ops.quantise(values, 255).tolist() == expected
    assert ops.quantise(torch.tensor([-1.0, 0.25, 2.0]), 65535).tolist() == [0, 16384, 65535]


def test_half_precision_is_quantised_in_single() -> None:
    # bfloat16 has no 65535, only 65536.
    assert ops.quantise(torch.tensor([1.0], dtype=torch.bfloat16), 65535).tolist() == [65535]


def test_to_pixels_moves_the_channels_last() -> None:
    image = torch.rand(2, 3, 4, 5)
    found = ops.to_pixels(image)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, (image * 255).round().byte().permute(0, 2, 3, 1).numpy())


def test_channels_stay_in_order() -> None:
    pixels = np.array([[[10, 20, 30]]], np.uint8)
    assert (ops.to_tensor(pixels)[:, 0, 0] * 255).tolist() == pytest.approx([10, 20, 30])


@pytest.mark.parametrize("outside", ["border", "zeros"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_flow_that_is_not_finite_shows_and_has_a_gradient(outside, value):
    """As of a training that diverges; the gradient of torch's own grid_sample ends the process."""
    image = torch.rand(1, 3, 20, 20, requires_grad=True)
    flow = torch.zeros(1, 2, 20, 20)
    flow[0, 1, 3, 4] = value
    flow.requires_grad_()
    warped = ops.backward_warp(image, flow, outside)
    is_bad = torch.zeros(20, 20, dtype=torch.bool)
    is_bad[3, 4] = True
    assert (warped.isnan().all(dim=1)[0] == is_bad).all()
    torch.testing.assert_close(warped[..., ~is_bad], image[..., ~is_bad])
    warped.sum().backward()
    assert image.grad.shape == image.shape


@pytest.mark.parametrize(("size", "new_size"), [((40, 60), (97, 45)), ((50, 33), (20, 70))])
def test_lanczos_is_pillows_inside(size, new_size) -> None:
    image = pytest.importorskip("PIL.Image", reason="needs Pillow, an independent Lanczos")
    pixels = np.random.default_rng(0).random(size).astype(np.float32)
    width_first = (new_size[1], new_size[0])
    expected = np.asarray(image.fromarray(pixels).resize(width_first, image.Resampling.LANCZOS))
    found = ops.lanczos(torch.from_numpy(pixels), new_size).numpy()
    inside = tuple(
        slice(border, -border)
        for border in (
            math.ceil(3 * max(1, new / old)) for old, new in zip(size, new_size, strict=True)
        )
    )
    assert np.abs(found - expected)[inside].max() < 1e-5


@given(st.integers(1, 40), st.integers(1, 90))
def test_lanczos_keeps_a_constant_and_a_mirror_image(length: int, new_length: int) -> None:
    flat = torch.full((1, length), 0.7, dtype=torch.float64)
    torch.testing.assert_close(
        ops.lanczos(flat, (1, new_length)), torch.full((1, new_length), 0.7, dtype=torch.float64)
    )
    line = torch.rand(1, length, dtype=torch.float64)
    mirrored = ops.lanczos(line.flip(-1), (1, new_length)).flip(-1)
    torch.testing.assert_close(ops.lanczos(line, (1, new_length)), mirrored, atol=1e-9, rtol=0)


def test_lanczos_of_the_same_size_copies_nothing_and_half_precision_is_computed_in_single() -> None:
    image = torch.rand(1, 3, 8, 9)
    assert ops.lanczos(image, (8, 9)) is image
    half = ops.lanczos(image.half(), (16, 5))
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, ops.lanczos(image.half().float(), (16, 5)))


@pytest.mark.parametrize("outside", ["border", "zeros"])
@pytest.mark.parametrize("sampling", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(7, 9), (1, 5), (4, 1)])
@pytest.mark.parametrize("is_training", [False, True])
def test_a_device_without_kernels_warps_to_the_same(
    outside, sampling, size, is_training, monkeypatch
) -> None:
    image = torch.rand(2, 3, *size, dtype=torch.float64, requires_grad=is_training)
    motion = (6 * torch.rand(2, 2, *size, dtype=torch.float64) - 3).requires_grad_(is_training)
    with torch.set_grad_enabled(is_training):
        expected = ops.backward_warp(image, motion, outside, sampling)
        monkeypatch.setattr(ops, "_DEVICES_WITHOUT", frozenset({"cpu"}))
        warped = ops.backward_warp(image, motion, outside, sampling)
    torch.testing.assert_close(warped, expected, rtol=0, atol=1e-12)
    if is_training:
        weight = torch.rand_like(warped)
        for ours, theirs in zip(
            torch.autograd.grad((warped * weight).sum(), (image, motion)),
            torch.autograd.grad((expected * weight).sum(), (image, motion)),
            strict=True,
        ):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)


def test_a_device_without_kernels_bears_positions_that_are_no_numbers(monkeypatch) -> None:
    monkeypatch.setattr(ops, "_DEVICES_WITHOUT", frozenset({"cpu"}))
    motion = torch.zeros(1, 2, 3, 4)
    motion[0, :, 0, 0] = float("nan")
    motion[0, :, 1, 1] = float("inf")
    for sampling in ("bilinear", "bicubic"):
        for is_training in (False, True):
            image = torch.rand(1, 3, 3, 4)
            given = motion.clone().requires_grad_(is_training)
            with torch.set_grad_enabled(is_training):
                warped = ops.backward_warp(image, given, sampling=sampling)
            is_finite = torch.ones(3, 4, dtype=torch.bool)
            is_finite[0, 0] = is_finite[1, 1] = False
            assert torch.equal(warped[..., is_finite], image[..., is_finite])
