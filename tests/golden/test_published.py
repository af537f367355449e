"""SPAN and RIFE as their authors published them, converted: equal to a network written from the papers' descriptions.

Where the published files lie beside the repository, they are converted, too, and compared with what their authors'
code made of two frames.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stsr_cli.checkpoint import load_weights
from stsr_cli.convert import convert_checkpoint, module_from
from stsr_cli.errors import WeightsError
from stsr_cli.ops import to_tensor
from stsr_cli.registry import build

PEERS = Path(__file__).parents[3] / "shared" / "weights" / "peers"
WIDTHS = (16, 12, 8, 6)


def sequence(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers)


class Scaled(nn.Module):
    """RIFE 4.6: LeakyReLU of a scaled convolution plus its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, 1, 1)
        self.beta = nn.Parameter(torch.ones(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.conv(x) * self.beta + x, 0.2)


class ReferenceBlock(nn.Module):
    def __init__(self, num_in: int, width: int, version: str) -> None:
        super().__init__()
        self.version = version

        def conv(num_in: int, num_out: int, stride: int) -> nn.Sequential:
            act = nn.LeakyReLU(0.2) if version == "4.6" else nn.PReLU(num_out)
            return sequence(nn.Conv2d(num_in, num_out, 3, stride, 1), act)

        self.conv0 = sequence(conv(num_in, width // 2, 2), conv(width // 2, width, 2))
        if version == "4.6":
            self.convblock = sequence(*(Scaled(width) for _ in range(8)))
            self.lastconv = sequence(nn.ConvTranspose2d(width, 24, 4, 2, 1), nn.PixelShuffle(2))
        else:
            self.convblock = sequence(*(conv(width, width, 1) for _ in range(8)))
            self.lastconv = nn.ConvTranspose2d(width, 5, 4, 2, 1)

    def forward(self, x: Tensor, flow: Tensor | None, scale: float) -> tuple[Tensor, Tensor]:
        def resize(image: Tensor, factor: float) -> Tensor:
            return F.interpolate(image, scale_factor=factor, mode="bilinear", align_corners=False)

        x = resize(x, 1 / scale)
        if flow is not None:
            x = torch.cat((x, resize(flow, 1 / scale) / scale), 1)
        features = self.conv0(x)
        body = self.convblock(features)
        if self.version == "4.6":
            delta = resize(self.lastconv(body), scale)
            return delta[:, :4] * scale, delta[:, 4:5]
        delta = resize(self.lastconv(body + features), scale * 2)
        return delta[:, :4] * scale * 2, delta[:, 4:5]


def warp(image: Tensor, flow: Tensor) -> Tensor:
    height, width = image.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    grid = torch.stack(
        ((x + flow[:, 0]) / (width - 1) * 2 - 1, (y + flow[:, 1]) / (height - 1) * 2 - 1), -1
    )
    return F.grid_sample(image, grid, "bilinear", "border", align_corners=True)


class ReferenceRIFE(nn.Module):
    def __init__(self, version: str) -> None:
        super().__init__()
        # 4.0 has the fields of ours, 4.6 leaves the frames themselves out after the first block
        num_later = 12 if version == "4.6" else 18
        for index, width in enumerate(WIDTHS):
            block = ReferenceBlock(num_later if index else 7, width, version)
            setattr(self, f"block{index}", block)
        self.version = version

    def forward(self, frame0: Tensor, frame1: Tensor, scales: tuple[float, ...]) -> Tensor:
        time = torch.full_like(frame0[:, :1], 0.5)
        flow, mask = self.block0(torch.cat((frame0, frame1, time), 1), None, scales[0])
        for index in (1, 2, 3):
            warped = warp(frame0, flow[:, :2]), warp(frame1, flow[:, 2:])
            frames = () if self.version == "4.6" else (frame0, frame1)
            inputs = torch.cat((*frames, *warped, time, mask), 1)
            change = getattr(self, f"block{index}")(inputs, flow, scales[index])
            flow, mask = flow + change[0], mask + change[1]
        share = torch.sigmoid(mask)
        return share * warp(frame0, flow[:, :2]) + (1 - share) * warp(frame1, flow[:, 2:])


@torch.inference_mode()
@pytest.mark.parametrize("version", ["4.0", "4.6"])
def test_rife(version: str, tmp_path) -> None:
    torch.manual_seed(3)
    reference = ReferenceRIFE(version)
    for name, parameter in reference.named_parameters():
        parameter += (0.2 if "beta" in name else 0.05) * torch.randn_like(parameter)
    torch.save({f"module.{n}": v for n, v in reference.state_dict().items()}, tmp_path / "flow.pkl")
    conversion = convert_checkpoint(tmp_path / "flow.pkl", "rife", tmp_path / "rife.safetensors")
    assert conversion.config["num_channels"] == list(WIDTHS)
    module = load_weights(tmp_path / "rife.safetensors").temporal
    frame0, frame1 = torch.rand(2, 1, 3, 64, 96)
    motion = module.find_motion(frame0, frame1)
    assert motion[:, :4].abs().max() > 1, "something moves"
    expected = reference(frame0, frame1, (8, 4, 2, 1))
    torch.testing.assert_close(module(frame0, frame1), expected, rtol=0, atol=1e-4)
    # the switch that RIFE has for small frames is another configuration
    fine = build("temporal", "rife", {**module.config, "scales": [4, 2, 1, 0.5]})
    fine.take_over(module)
    expected = reference(frame0, frame1, (4, 2, 1, 0.5))
    torch.testing.assert_close(fine(frame0, frame1), expected, rtol=0, atol=1e-4)


class ReferenceSPAN(nn.Module):
    """The published network with the names of its evaluation form."""

    def __init__(self, width: int, num_blocks: int) -> None:
        super().__init__()

        def conv(num_in: int, num_out: int) -> nn.Module:
            module = nn.Module()
            module.eval_conv = nn.Conv2d(num_in, num_out, 3, padding=1)
            return module

        self.conv_1, self.conv_2 = conv(3, width), conv(width, width)
        for index in range(1, num_blocks + 1):
            block = nn.Module()
            block.c1_r, block.c2_r, block.c3_r = (conv(width, width) for _ in range(3))
            setattr(self, f"block_{index}", block)
        self.conv_cat = nn.Conv2d(4 * width, width, 1)
        self.upsampler = sequence(nn.Conv2d(width, 48, 3, padding=1), nn.PixelShuffle(4))
        self.num_blocks = num_blocks

    def forward(self, frames: Tensor) -> Tensor:
        mean = torch.tensor([0.4488, 0.4371, 0.4040])[:, None, None]
        head = self.conv_1.eval_conv((frames - mean) * 255)
        features, firsts = head, []
        for index in range(1, self.num_blocks + 1):
            block = getattr(self, f"block_{index}")
            inner = F.silu(block.c1_r.eval_conv(features))
            last = block.c3_r.eval_conv(F.silu(block.c2_r.eval_conv(inner)))
            features = (last + features) * (torch.sigmoid(last) - 0.5)
            firsts.append(features)
        body = self.conv_2.eval_conv(features)
        return self.upsampler(self.conv_cat(torch.cat((head, body, firsts[0], inner), 1)))


@torch.inference_mode()
def test_span(tmp_path) -> None:
    torch.manual_seed(4)
    reference = ReferenceSPAN(8, 3)
    state = {f"{name}": value for name, value in reference.state_dict().items()}
    # the branches that training folds into the evaluation form are in the file, and not read
    state["block_1.c1_r.sk.weight"] = torch.ones(8, 8, 1, 1)
    state["block_1.c1_r.conv.0.weight"] = torch.ones(16, 8, 1, 1)
    torch.save({"params": state}, tmp_path / "span.pth")
    conversion = convert_checkpoint(tmp_path / "span.pth", "span", tmp_path / "span.safetensors")
    assert conversion.config == {
        "scale": 4,
        "num_channels": 8,
        "num_blocks": 3,
        "form": "published",
    }
    module = load_weights(tmp_path / "span.safetensors").spatial
    frames = torch.rand(2, 3, 17, 13)
    torch.testing.assert_close(module(frames), reference(frames), rtol=1e-4, atol=1e-4)


def test_another_version_of_rife_is_refused() -> None:
    """4.7 and later have a network for features in front."""
    state = ReferenceRIFE("4.6").state_dict()
    state["block1.conv0.0.0.weight"] = torch.zeros(6, 20, 3, 3)
    with pytest.raises(WeightsError, match="shape"):
        module_from("rife", state)
    with pytest.raises(WeightsError, match="it has no tensor"):
        module_from("rife", {"block0.conv0.0.0.weight": torch.zeros(1)})


@torch.inference_mode()
@pytest.mark.skipif(not PEERS.is_dir(), reason="the published files are not there")
def test_published_files(tmp_path) -> None:
    golden = np.load(PEERS / "golden.npz")
    frame0, frame1 = (to_tensor(golden[name])[None] for name in ("frame0", "frame1"))
    modules = {}
    for arch, name in (("span", "span_x4_ch48"), ("rife", "rife46")):
        convert_checkpoint(PEERS / f"{name}.safetensors", arch, tmp_path / f"{arch}.safetensors")
        weights = load_weights(tmp_path / f"{arch}.safetensors")
        modules[arch] = weights.spatial or weights.temporal
    rife, span = modules["rife"], modules["span"]
    fine = build("temporal", "rife", {**rife.config, "scales": [4, 2, 1, 0.5]})
    fine.take_over(rife)
    for module, name in ((rife, "rife46"), (fine, "rife46_scale2")):
        expected = torch.from_numpy(golden[name])
        torch.testing.assert_close(module(frame0, frame1), expected, rtol=0, atol=1e-4)
    expected = torch.from_numpy(golden["span_x4_ch48"])
    # the golden frame was computed on a scale of 0 to 255
    torch.testing.assert_close(span(frame0[..., :32, :48]), expected, rtol=0, atol=1e-3)
