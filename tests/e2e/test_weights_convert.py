"""`stsr weights convert`: a published checkpoint becomes weights that `stsr` runs, or one clear line says why not."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from stsr_cli.cli import main

USAGE, WEIGHTS = 2, 5


def espcn(num_channels: int = 8) -> dict[str, Tensor]:
    """A state dict as Lornatang/ESPCN-PyTorch names it."""
    c = num_channels
    shapes = {"feature_maps.0": (c, 1, 5, 5), "feature_maps.2": (c // 2, c, 3, 3)}
    shapes["sub_pixel.0"] = (16, c // 2, 3, 3)
    tensors = {f"{name}.weight": 0.1 * torch.rand(shape) for name, shape in shapes.items()}
    return tensors | {f"{name}.bias": torch.zeros(shape[0]) for name, shape in shapes.items()}


# What the authors of VDSR's public weights ran, in small: the whole module goes into the file.
WHOLE_MODULE = """
import torch
from torch import nn

class Conv_ReLU_Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.residual_layer = nn.Sequential(*(Conv_ReLU_Block() for _ in range(18)))
        self.input = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.output = nn.Conv2d(4, 1, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)
"""


def test_a_whole_pickled_module_runs_after_conversion(run_stsr, make_clip, tmp_path) -> None:
    (tmp_path / "vdsr.py").write_text(WHOLE_MODULE)
    save = (
        "import torch, vdsr; torch.save({'epoch': 50, 'model': vdsr.Net()}, 'model_epoch_50.pth', "
        "_use_new_zipfile_serialization=False)"
    )
    subprocess.run([sys.executable, "-c", save], cwd=tmp_path, check=True)
    words = ["weights", "convert", "model_epoch_50.pth", "--arch", "vdsr", "-o", "v.safetensors"]
    done = run_stsr(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "v.safetensors\n"
    assert "vdsr: 2,664 parameters" in done.stderr
    assert "twtygqyy/pytorch-vdsr, MIT" in done.stderr
    make_clip("in.mp4", num_frames=2, width=32, height=32)
    words = ["--spatial", "vdsr", "--temporal", "blend", "--weights", "v.safetensors"]
    done = run_stsr("upscale", "in.mp4", "out.mp4", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.mp4").is_file()


@pytest.fixture
def fails(tmp_path, monkeypatch):
    """Convert `published.pth` made of an object or bytes; check the code, one line with `words`, nothing written."""
    monkeypatch.chdir(tmp_path)

    def run(
        code: int, words: list[str], content: Any, arch: str = "espcn", out: str = "o.safetensors"
    ) -> None:
        source = tmp_path / "published.pth"
        if isinstance(content, bytes):
            source.write_bytes(content)
        else:
            torch.save(content, source)
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        words_of_command = ["weights", "convert", source.name, "--arch", arch, "-o", out]
        result = CliRunner().invoke(main, words_of_command, prog_name="stsr")
        assert isinstance(result.exception, SystemExit), result.exception
        assert result.exit_code == code, result.stderr
        assert result.stdout == ""
        assert len(result.stderr.splitlines()) == 1, result.stderr
        assert result.stderr.startswith("stsr: ")
        for word in words:
            assert word in result.stderr
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before

    return run


def test_a_checkpoint_of_another_architecture(fails) -> None:
    fails(WEIGHTS, ["published.pth", "no checkpoint of vdsr", "input.weight"], espcn(), "vdsr")


class Hostile:
    """Unpickled the usual way, it runs a command."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def test_a_pickle_with_a_hostile_global(fails, tmp_path) -> None:
    marker = tmp_path / "executed"
    fails(WEIGHTS, ["system"], {"state_dict": espcn(), "optimizer": Hostile(marker)})
    assert not marker.exists()


def test_a_truncated_checkpoint(fails, tmp_path) -> None:
    torch.save(espcn(), tmp_path / "whole.pth")
    content = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "whole.pth").unlink()
    fails(WEIGHTS, ["published.pth"], content[: len(content) // 2])


def test_a_truncated_safetensors_file(fails) -> None:
    from safetensors.torch import save

    fails(WEIGHTS, ["published.pth"], save(espcn())[:-100])


def test_weights_that_are_not_finite(fails) -> None:
    tensors = espcn()
    tensors["sub_pixel.0.weight"][0, 0, 0, 0] = torch.inf
    fails(WEIGHTS, ["sub_pixel.0.weight", "NaN or infinity"], tensors)


def test_no_checkpoint_at_all(fails, demo_clip) -> None:
    fails(WEIGHTS, ["no PyTorch checkpoint"], demo_clip.read_bytes()[:5000])


def test_an_unknown_architecture(fails) -> None:
    fails(USAGE, ["'espnc'", "did you mean 'espcn'"], espcn(), "espnc")


def test_an_output_of_another_kind(fails) -> None:
    fails(USAGE, ["o.pth", ".safetensors"], espcn(), out="o.pth")


def test_an_output_that_exists(fails, tmp_path) -> None:
    (tmp_path / "old.safetensors").write_bytes(b"precious")
    fails(USAGE, ["old.safetensors exists", "-y replaces it"], espcn(), out="old.safetensors")


def test_a_folder_that_does_not_exist(fails) -> None:
    fails(1, ["nowhere"], espcn(), out="nowhere/o.safetensors")


# Y PSNR in dB on the small images of the usual Set5, border of 4 cropped, and their mean.
SET5 = {"baby": 33.46, "bird": 33.69, "butterfly": 27.21, "head": 32.82, "woman": 30.02}
SET5_MEAN = 31.44


def test_the_real_vdsr_gives_its_published_figures(run_stsr, shared_dir, tmp_path) -> None:
    checkpoint = shared_dir / "weights" / "vdsr" / "vdsr_state_dict.pt"
    if not checkpoint.is_file():
        pytest.skip("needs VDSR's published weights in the folder 'shared'")
    out = tmp_path / "vdsr.safetensors"
    done = run_stsr("weights", "convert", checkpoint, "--arch", "vdsr", "-o", out)
    assert done.returncode == 0, done.stderr
    words = ["--spatial", "vdsr", "--temporal", "blend", "--weights", out, "--json"]
    done = run_stsr("eval", shared_dir / "data" / "eval" / "set5", *words)
    assert done.returncode == 0, done.stderr
    baseline, vdsr = json.loads(done.stdout)
    assert baseline["psnr_y"] == pytest.approx(28.43, abs=0.01)
    assert vdsr["psnr_y"] == pytest.approx(SET5_MEAN, abs=0.015)
    found = {clip["clip"]: clip["psnr_y"] for clip in vdsr["clips"]}
    assert found == pytest.approx(SET5, abs=0.025)  # here the result is rounded to 8 bits
