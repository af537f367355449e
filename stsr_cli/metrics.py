"""The measures of 8-bit images by their names, in the convention that this project reports.

RGB is primary, no border is cropped unless asked for, and both images are 8-bit pixels, so that a prediction is rounded
before it is measured. Y is the luma of BT.601 in limited range (16..235), unrounded, on the same peak of 255.
SSIM: Wang et al., IEEE TIP 2004, Gaussian window of 11 and sigma 1.5, per channel, windows that lie fully inside (what
scikit-image calls gaussian_weights=True, sigma=1.5, use_sample_covariance=False). Knows nothing about data sets.

torchmetrics computes the same SSIM (the tests compare) without separating the window: on a 480p frame and one core 44
times as slowly in float64, 2.4 times in float32, and its three-dimensional one takes more than ten seconds. So SSIM is
computed here; LPIPS and VMAF, which are others' models, are in `perceptual`.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from stsr_cli import perceptual
from stsr_cli.errors import UsageError
from stsr_cli.ops import rgb_to_ycbcr

Pixels = NDArray[np.uint8]

_PEAK = 255
_WINDOW = 11
_SIGMA = 1.5
_C1 = (0.01 * _PEAK) ** 2
_C2 = (0.03 * _PEAK) ** 2


def psnr_rgb(prediction: Pixels, target: Pixels, crop_border: int = 0) -> float:
    """Peak signal-to-noise ratio in dB over all three channels; infinite where the images are equal.

    Args:
        prediction: (H, W, 3) uint8 RGB.
        target: the same.
        crop_border: pixels left out on every side.

    Raises:
        UsageError: the sizes differ, or nothing is left of the image (all four measures).
    """
    return _psnr(*_prepare(prediction, target, crop_border, 1))


def psnr_y(prediction: Pixels, target: Pixels, crop_border: int = 0) -> float:
    """Peak signal-to-noise ratio of the luma in dB; arguments as of `psnr_rgb`."""
    return _psnr(*_luma(*_prepare(prediction, target, crop_border, 1)))


def ssim_rgb(prediction: Pixels, target: Pixels, crop_border: int = 0) -> float:
    """Mean structural similarity of the three channels, at most 1; arguments as of `psnr_rgb`."""
    return _ssim(*_prepare(prediction, target, crop_border, _WINDOW))


def ssim_y(prediction: Pixels, target: Pixels, crop_border: int = 0) -> float:
    """Mean structural similarity of the luma, at most 1; arguments as of `psnr_rgb`."""
    return _ssim(*_luma(*_prepare(prediction, target, crop_border, _WINDOW)))


def ssim_3d(prediction: Pixels, target: Pixels, crop_border: int = 0) -> float:
    """Mean structural similarity with one window over height, width and channels; arguments as of `psnr_rgb`.

    The images are volumes of H x W x 3, and past every side, that of the channels included, the nearest value repeats:
    what MATLAB's ssim() makes of a colour image, and `ssim_matlab` in the code of RIFE and IFRNet. It lies a little
    above `ssim_rgb`.
    """
    images = _prepare(prediction, target, crop_border, _WINDOW)
    reach = _WINDOW // 2
    prediction_padded, target_padded = (
        F.pad(image, (reach,) * 4, mode="replicate") for image in images
    )
    return _ssim(prediction_padded, target_padded, is_across_channels=True)


def lpips(prediction: Pixels, target: Pixels, crop_border: int = 0) -> float:
    """Learned perceptual distance, 0 is equal (see `perceptual.lpips`); arguments as of `psnr_rgb`."""
    images = _prepare(prediction, target, crop_border, _WINDOW)
    return perceptual.lpips(*(image.float() / (_PEAK / 2) - 1 for image in images))


def vmaf(prediction: Pixels, target: Pixels, crop_border: int = 0) -> float:
    """VMAF of the single frame, 0 to 100 (see `perceptual.vmaf`); arguments as of `psnr_rgb`."""
    images = _prepare(prediction, target, crop_border, _WINDOW)
    return perceptual.vmaf(
        *(image[0].movedim(0, -1).to(torch.uint8).contiguous().numpy() for image in images)
    )


Measure = Callable[[Pixels, Pixels, int], float]

MEASURES: dict[str, Measure] = {
    function.__name__: function
    for function in (psnr_rgb, ssim_rgb, psnr_y, ssim_y, ssim_3d, lpips, vmaf)
}
DEFAULT_MEASURES = ("psnr_rgb", "ssim_rgb", "psnr_y", "ssim_y", "ssim_3d")


def sharpness(pixels: Pixels) -> float:
    """Variance of the Laplacian of (H, W, 3) pixels, mean of the channels: how much of a frame is fine detail."""
    image = torch.from_numpy(pixels.astype(np.float32)).movedim(-1, 0)[:, None]  # (3, 1, H, W)
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    return float(F.conv2d(image, kernel).flatten(1).var(dim=1, correction=0).mean())


def sharpness_ratio(new: Pixels, given: Sequence[Pixels]) -> float:
    """How sharp a new frame is beside the given ones around it, 1: as sharp; 1 where there is no detail at all.

    Played, frames that are softer every second time breathe, whatever their PSNR.
    """
    expected = float(np.mean([sharpness(pixels) for pixels in given]))
    found = sharpness(new)
    return found / expected if expected else float("inf") if found else 1.0


def first_psnr(measures: Iterable[str]) -> str | None:
    """Return the PSNR that comes first among the names of measures: the one that gains are stated in; or None."""
    return next((name for name in measures if name.startswith("psnr")), None)


def available_measures(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Find out, before anything is measured, which measures are there.

    Returns:
        those that are, and of each that needs something that is not installed why, a sentence.

    Raises:
        UsageError: an unknown one, or none is there.
    """
    for name in names:
        if name not in MEASURES:
            raise UsageError(f"no measure {name!r}; there are: {', '.join(MEASURES)}")
    kept, problems = [], []
    checks = {"lpips": perceptual.check_lpips, "vmaf": perceptual.check_vmaf}
    for name in names:
        try:
            checks.get(name, lambda: None)()
            kept.append(name)
        except UsageError as error:
            problems.append(str(error))
    if not kept:
        raise UsageError("; ".join(problems))
    return tuple(kept), tuple(problems)


def measure(
    prediction: Pixels,
    target: Pixels,
    crop_border: int = 0,
    names: Sequence[str] = DEFAULT_MEASURES,
) -> dict[str, float]:
    """The measures by their names, in the order of `names`."""
    return {name: MEASURES[name](prediction, target, crop_border) for name in names}


def _prepare(
    prediction: Pixels, target: Pixels, crop_border: int, min_size: int
) -> tuple[Tensor, Tensor]:
    """Two (H, W, 3) images -> two (1, 3, h, w) tensors, float64, 0..255."""
    if prediction.shape != target.shape:
        sizes = [f"{image.shape[1]}x{image.shape[0]}" for image in (prediction, target)]
        raise UsageError(f"images of {sizes[0]} and {sizes[1]} pixels cannot be compared; crop one")
    height, width = (length - 2 * crop_border for length in target.shape[:2])
    if min(height, width) < min_size:
        raise UsageError(
            f"{width}x{height} pixels remain to compare, at least {min_size}x{min_size} are needed; "
            "choose a larger image or a smaller crop_border"
        )
    inside = np.s_[crop_border : crop_border + height, crop_border : crop_border + width]
    pair = np.stack((prediction[inside], target[inside])).astype(np.float64)
    images = torch.from_numpy(pair).movedim(-1, -3).contiguous()
    return images[:1], images[1:]


def _luma(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Two (1, 3, H, W) RGB images in 0..255 -> their Y, (1, 1, H, W), in 16..235."""
    luma = rgb_to_ycbcr(torch.cat((prediction, target)) / _PEAK)[:, :1] * _PEAK
    return luma[:1], luma[1:]


def _psnr(prediction: Tensor, target: Tensor) -> float:
    mean_squared_error = (prediction - target).square().mean().item()
    if mean_squared_error == 0:
        return math.inf
    return 10 * math.log10(_PEAK**2 / mean_squared_error)


def _ssim(prediction: Tensor, target: Tensor, is_across_channels: bool = False) -> float:
    moments = torch.cat(
        (prediction, target, prediction**2, target**2, prediction * target)
    )  # (5, C, H, W)
    if is_across_channels:
        moments = torch.einsum("ij,njhw->nihw", _across_channels(moments.shape[1]), moments)
    mean0, mean1, square0, square1, product = _smooth(moments)
    variance0, variance1 = square0 - mean0**2, square1 - mean1**2
    covariance = product - mean0 * mean1
    luminance = (2 * mean0 * mean1 + _C1) / (mean0**2 + mean1**2 + _C1)
    structure = (2 * covariance + _C2) / (variance0 + variance1 + _C2)
    return (luminance * structure).mean().item()


@cache
def _window() -> list[float]:
    offset = torch.arange(_WINDOW, dtype=torch.float64) - _WINDOW // 2
    weight = torch.exp(-(offset**2) / (2 * _SIGMA**2))
    weights: list[float] = (weight / weight.sum()).tolist()
    return weights


def _across_channels(num_channels: int) -> Tensor:
    """(C, C): the window along the channels, in which the first and the last one repeat."""
    matrix = torch.zeros(num_channels, num_channels, dtype=torch.float64)
    for channel in range(num_channels):
        for index, share in enumerate(_window()):
            source = min(max(channel + index - _WINDOW // 2, 0), num_channels - 1)
            matrix[channel, source] += share
    return matrix


def _smooth(images: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, H - 10, W - 10): Gaussian means of all windows that lie inside.

    Channel by channel, so that the sums stay in the processor's cache: 4 times as fast as conv2d in float64.
    """
    smooth = []
    for channel in images.flatten(0, 1):
        for axis in (0, 1):
            length = channel.shape[axis] - _WINDOW + 1
            mean = torch.zeros_like(channel.narrow(axis, 0, length))
            for index, share in enumerate(_window()):
                mean.add_(channel.narrow(axis, index, length), alpha=share)
            channel = mean
        smooth.append(channel)
    return torch.stack(smooth).view(*images.shape[:2], *smooth[0].shape)
