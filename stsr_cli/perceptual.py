"""The measures that are other people's trained models, where what they need is installed: LPIPS and VMAF.

LPIPS: Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018, on AlexNet, by
torchmetrics, which brings the learned weights of the distance; those of AlexNet are torchvision's, which fetches them
once. VMAF: Netflix's model v0.6.1 by an ffmpeg that was built with libvmaf.
"""

import json
import shutil
import subprocess
import tempfile
import warnings
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stsr_cli.errors import StsrError, UsageError
from stsr_cli.extras import install_command

_VMAF_SECONDS = 120


def check_lpips() -> None:
    """Load LPIPS.

    Raises:
        UsageError: torchmetrics or torchvision is missing or does not fit, or AlexNet's weights cannot be fetched.
    """
    missing = [name for name in ("torchmetrics", "torchvision") if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"lpips needs {' and '.join(missing)} that fit torch {torch.__version__}: {_install_lpips()}"
        )
    try:
        import_module("torchvision")
    except (ImportError, OSError, RuntimeError) as error:
        raise UsageError(
            f"lpips needs a torchvision that fits torch {torch.__version__}, and the one here does not "
            f"({_reason(error)}): {_install_lpips()}"
        ) from error
    try:
        _lpips_network()
    except (OSError, RuntimeError) as error:
        raise UsageError(
            f"lpips needs torchvision's AlexNet weights, which cannot be fetched: {_reason(error)}; "
            f"run once with a network, or put alexnet-owt-7be5be79.pth into {Path(torch.hub.get_dir()) / 'checkpoints'}"
        ) from error


def _install_lpips() -> str:
    """The command that installs what LPIPS needs beside this torch; its builds have indexes of their own."""
    release, _, build = torch.__version__.partition("+")
    index = f" --extra-index-url https://download.pytorch.org/whl/{build}" if build else ""
    return f"{install_command('eval')} torch=={release}{index}"


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@cache
def _lpips_network() -> Any:
    with (
        warnings.catch_warnings()
    ):  # of its imports, and of torchvision's own deprecated arguments inside it
        warnings.simplefilter("ignore")
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        return LearnedPerceptualImagePatchSimilarity(net_type="alex").eval()


@torch.inference_mode()
def lpips(prediction: Tensor, target: Tensor) -> float:
    """LPIPS (AlexNet) of two (1, 3, H, W) float32 images in [-1, 1]; 0 is equal, smaller is better."""
    network = _lpips_network()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value: Tensor = network(prediction, target)
    network.reset()  # it would keep every value for a mean of its own
    return value.item()


def check_vmaf() -> None:
    """Look for an ffmpeg with libvmaf.

    Raises:
        UsageError: there is none on the PATH, or it has no libvmaf.
    """
    ffmpeg = shutil.which("ffmpeg")
    advice = "install an ffmpeg that was built with libvmaf (ffmpeg -filters lists it)"
    if ffmpeg is None:
        raise UsageError(f"vmaf needs an ffmpeg on the PATH, and there is none; {advice}")
    command = [ffmpeg, "-hide_banner", "-filters"]
    listed = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    if b" libvmaf " not in listed.stdout:
        raise UsageError(f"vmaf needs libvmaf, which {ffmpeg} does not have; {advice}")


def vmaf(prediction: NDArray[np.uint8], target: NDArray[np.uint8]) -> float:
    """VMAF of one (H, W, 3) uint8 RGB frame, 0 to 100, greater is better; its part for motion is 0.

    Raises:
        StsrError: ffmpeg failed.
    """
    height, width = target.shape[:2]
    with tempfile.TemporaryDirectory(prefix="stsr-") as folder:
        inputs: list[str] = []
        for name, pixels in (("prediction", prediction), ("target", target)):
            (Path(folder) / name).write_bytes(pixels.tobytes())
            inputs += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-i", name]
        graph = (
            "[0]format=yuv420p[a];[1]format=yuv420p[b];[a][b]libvmaf=log_fmt=json:log_path=log.json"
        )
        command = ["ffmpeg", "-v", "error", "-nostdin", *inputs, "-lavfi", graph, "-f", "null", "-"]
        try:
            subprocess.run(
                command, cwd=folder, check=True, capture_output=True, timeout=_VMAF_SECONDS
            )
            log = json.loads((Path(folder) / "log.json").read_text(encoding="utf-8"))
            return float(log["frames"][0]["metrics"]["vmaf"])
        except subprocess.CalledProcessError as error:
            lines = error.stderr.decode(errors="replace").strip().splitlines() or ["no reason"]
            raise StsrError(
                f"ffmpeg cannot measure vmaf: {lines[-1]}; leave --measure vmaf out"
            ) from error
        except (OSError, subprocess.TimeoutExpired, ValueError, LookupError) as error:
            raise StsrError(
                f"ffmpeg cannot measure vmaf: {error}; leave --measure vmaf out"
            ) from error
