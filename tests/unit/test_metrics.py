"""PSNR and SSIM against closed forms, against a straight transcription of the definition, and against torchmetrics."""

import math

import numpy as np
import pytest

from stsr_cli.errors import UsageError
from stsr_cli.metrics import (
    DEFAULT_MEASURES,
    MEASURES,
    available_measures,
    lpips,
    measure,
    psnr_rgb,
    psnr_y,
    sharpness,
    sharpness_ratio,
    ssim_3d,
    ssim_rgb,
    ssim_y,
    vmaf,
)


def constant(*rgb: int, height: int = 16, width: int = 20) -> np.ndarray:
    return np.full((height, width, 3), rgb, np.uint8)


def noisy_pair() -> tuple[np.ndarray, np.ndarray]:
    target = np.random.default_rng(1).integers(0, 256, (23, 30, 3), np.uint8)
    noise = np.random.default_rng(2).integers(-30, 31, target.shape)
    return (target + noise).clip(0, 255).astype(np.uint8), target


def luma(image: np.ndarray) -> np.ndarray:
    """BT.601, limited range, 0..255."""
    return image.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) / 255 + 16


def ssim_by_definition(prediction: np.ndarray, target: np.ndarray) -> float:
    """Window by window, of one channel."""
    axis = np.arange(11) - 5
    line = np.exp(-(axis**2) / (2 * 1.5**2))
    weight = np.outer(line, line) / line.sum() ** 2
    values = []
    for y in range(target.shape[0] - 10):
        for x in range(target.shape[1] - 10):
            a, b = (image[y : y + 11, x : x + 11].astype(float) for image in (prediction, target))
            mean_a, mean_b = (weight * a).sum(), (weight * b).sum()
            variance_a = (weight * (a - mean_a) ** 2).sum()
            variance_b = (weight * (b - mean_b) ** 2).sum()
            covariance = (weight * (a - mean_a) * (b - mean_b)).sum()
            c1, c2 = 6.5025, 58.5225
            values.append(
                (2 * mean_a * mean_b + c1)
                * (2 * covariance + c2)
                / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))
            )
    return float(np.mean(values))


def test_equal_images_are_perfect() -> None:
    image = noisy_pair()[0]
    assert psnr_rgb(image, image) == psnr_y(image, image) == math.inf
    assert ssim_rgb(image, image) == pytest.approx(1, abs=1e-12)
    assert ssim_y(image, image) == pytest.approx(1, abs=1e-12)


def test_psnr_of_a_constant_difference() -> None:
    # One channel of three is 9 off: the mean square is 27.
    found = psnr_rgb(constant(100, 59, 60), constant(100, 50, 60))
    assert found == pytest.approx(10 * math.log10(255**2 / 27))
    # A difference of 255 everywhere is 0 dB.
    assert psnr_rgb(constant(255, 255, 255), constant(0, 0, 0)) == 0


def test_psnr_of_luma_is_limited_range() -> None:
    # White is 235 and black is 16.
    found = psnr_y(constant(255, 255, 255), constant(0, 0, 0))
    assert found == pytest.approx(20 * math.log10(255 / 219), abs=1e-6)
    prediction, target = noisy_pair()
    error = np.mean((luma(prediction) - luma(target)) ** 2)
    assert psnr_y(prediction, target) == pytest.approx(10 * math.log10(255**2 / error), abs=1e-6)


def test_ssim_of_constant_images() -> None:
    # No variance: what is left is (2ab + c1) / (a^2 + b^2 + c1).
    expected = (2 * 100 * 150 + 6.5025) / (100**2 + 150**2 + 6.5025)
    found = ssim_rgb(constant(100, 100, 100), constant(150, 150, 150))
    assert found == pytest.approx(expected, abs=1e-9)


def test_ssim_is_the_definition() -> None:
    prediction, target = noisy_pair()
    by_channel = [ssim_by_definition(prediction[..., i], target[..., i]) for i in range(3)]
    assert ssim_rgb(prediction, target) == pytest.approx(np.mean(by_channel), abs=1e-9)
    expected = ssim_by_definition(luma(prediction), luma(target))
    assert ssim_y(prediction, target) == pytest.approx(expected, abs=1e-6)


def ssim_of_volumes(prediction: np.ndarray, target: np.ndarray) -> float:
    """Window by window over height, width and channels, the nearest value repeated past every side."""
    axis = np.arange(11) - 5
    line = np.exp(-(axis**2) / (2 * 1.5**2))
    weight = np.einsum("i,j,k->ijk", line, line, line) / line.sum() ** 3
    volumes = [np.pad(image.astype(float), 5, mode="edge") for image in (prediction, target)]
    values = []
    for y, x, c in np.ndindex(target.shape):
        a, b = (volume[y : y + 11, x : x + 11, c : c + 11] for volume in volumes)
        mean_a, mean_b = (weight * a).sum(), (weight * b).sum()
        variances = (weight * (a - mean_a) ** 2).sum() + (weight * (b - mean_b) ** 2).sum()
        covariance = (weight * (a - mean_a) * (b - mean_b)).sum()
        luminance = (2 * mean_a * mean_b + 6.5025) / (mean_a**2 + mean_b**2 + 6.5025)
        values.append(luminance * (2 * covariance + 58.5225) / (variances + 58.5225))
    return float(np.mean(values))


def test_ssim_with_a_window_across_channels() -> None:
    prediction, target = noisy_pair()
    expected = ssim_of_volumes(prediction[:13, :17], target[:13, :17])
    assert ssim_3d(prediction[:13, :17], target[:13, :17]) == pytest.approx(expected, abs=1e-9)
    assert ssim_3d(target, target) == pytest.approx(1, abs=1e-12)
    # Without variance along any axis the window makes no difference.
    pair = constant(100, 100, 100), constant(150, 150, 150)
    assert ssim_3d(*pair) == pytest.approx(ssim_rgb(*pair), abs=1e-9)


@pytest.mark.filterwarnings("ignore")  # of torchmetrics' own imports
def test_ssim_3d_is_that_of_torchmetrics() -> None:
    functional = pytest.importorskip("torchmetrics.functional.image")
    import torch

    prediction, target = (image[:13, :17] for image in noisy_pair())
    volumes = [
        torch.from_numpy(np.pad(image.astype(np.float64), 5, mode="edge"))[None, None]
        for image in (prediction, target)
    ]
    _, full = functional.structural_similarity_index_measure(
        *volumes, data_range=255.0, return_full_image=True
    )
    expected = full[..., 5:-5, 5:-5, 5:-5].mean()
    assert ssim_3d(prediction, target) == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.filterwarnings("ignore")  # of torchmetrics' own imports
def test_ssim_is_that_of_torchmetrics() -> None:
    functional = pytest.importorskip("torchmetrics.functional.image")
    import torch

    prediction, target = noisy_pair()
    tensors = [
        torch.from_numpy(image).movedim(-1, 0)[None].double() for image in (prediction, target)
    ]
    # Its own mean includes windows that reach over the (mirrored) border.
    _, full = functional.structural_similarity_index_measure(
        *tensors, data_range=255.0, return_full_image=True
    )
    expected = full[..., 5:-5, 5:-5].mean()
    assert ssim_rgb(prediction, target) == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("function", [psnr_rgb, psnr_y, ssim_rgb, ssim_y, ssim_3d])
def test_crop_border_leaves_the_border_out(function) -> None:
    prediction, target = noisy_pair()
    inner = np.s_[4:-4, 4:-4]
    expected = function(
        np.ascontiguousarray(prediction[inner]), np.ascontiguousarray(target[inner])
    )
    assert function(prediction, target, crop_border=4) == pytest.approx(expected, abs=1e-12)
    assert function(prediction, target, crop_border=4) != function(prediction, target)


def test_measures_come_by_their_names() -> None:
    pair = noisy_pair()
    found = measure(*pair)
    assert tuple(found) == DEFAULT_MEASURES
    assert found == {name: MEASURES[name](*pair, 0) for name in DEFAULT_MEASURES}
    assert measure(*pair, names=("ssim_y", "psnr_y")) == {
        "ssim_y": ssim_y(*pair),
        "psnr_y": psnr_y(*pair),
    }
    assert available_measures(DEFAULT_MEASURES) == (DEFAULT_MEASURES, ())
    with pytest.raises(
        UsageError, match="no measure 'psnr'; there are: psnr_rgb, ssim_rgb, psnr_y"
    ):
        available_measures(["psnr_y", "psnr"])


def test_a_measure_that_is_missing_takes_no_other_with_it(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    kept, problems = available_measures(["psnr_y", "vmaf", "ssim_y"])
    assert kept == ("psnr_y", "ssim_y")
    assert len(problems) == 1
    assert problems[0].startswith("vmaf needs an ffmpeg")
    with pytest.raises(UsageError, match="vmaf needs an ffmpeg"):
        available_measures(["vmaf"])


@pytest.mark.parametrize(("name", "is_better"), [("lpips", np.less), ("vmaf", np.greater)])
def test_measures_that_others_trained(name: str, is_better) -> None:
    try:
        available_measures([name])
    except UsageError as error:
        assert "install" in str(error) or "cannot be fetched" in str(error), str(error)
        assert "\n" not in str(error)
        pytest.skip(str(error))
    function = {"lpips": lpips, "vmaf": vmaf}[name]
    target = np.kron(noisy_pair()[1], np.ones((4, 4, 1), np.uint8))
    noise = np.random.default_rng(3).integers(-30, 31, target.shape)
    prediction = (target + noise).clip(0, 255).astype(np.uint8)
    assert is_better(function(target, target), function(prediction, target))


def test_images_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(UsageError, match="20x16 and 21x16"):
        psnr_rgb(constant(0, 0, 0), constant(0, 0, 0, width=21))
    with pytest.raises(UsageError, match="at least 11x11"):
        ssim_rgb(constant(0, 0, 0, height=10), constant(0, 0, 0, height=10))
    with pytest.raises(UsageError, match="smaller crop_border"):
        psnr_rgb(constant(0, 0, 0), constant(0, 0, 0), crop_border=8)


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    y, x = np.mgrid[0:8, 0:10]
    board = np.repeat(((x + y) % 2 * 40 + 50).astype(np.uint8)[..., None], 3, axis=-1)
    # four neighbours 40 levels away, from both sides of a mean of zero
    assert sharpness(board) == pytest.approx(160**2)
    half = ((board.astype(int) - 70) // 2 + 70).astype(np.uint8)
    assert sharpness_ratio(half, (board, board)) == pytest.approx(1 / 4)
    flat = np.full_like(board, 90)
    assert sharpness_ratio(board, (board, flat)) == pytest.approx(2)
    assert (sharpness_ratio(flat, (flat, flat)), sharpness_ratio(board, (flat,))) == (1, math.inf)
