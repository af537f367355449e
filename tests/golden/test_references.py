"""Modules against stored outputs of their public reference implementations."""

from typing import Any

import pytest
import torch
from torch import nn

from stsr_cli.spatial.espcn import ESPCN
from stsr_cli.temporal.dvf import DVF

from .keys import renamed


def filled(module: nn.Module, golden: Any) -> Any:
    """The module in eval mode with the golden's weights; every name must fit, none may be left over."""
    weights = golden.state_dict()
    name = golden.meta["golden"]
    module.load_state_dict({renamed(name, key): value for key, value in weights.items()})
    assert len(weights) == len(module.state_dict())
    return module.eval()


def test_the_rule_gives_its_published_values(fill) -> None:
    kernel = fill("conv1.weight", (2, 3, 3, 3), "float32", {})
    expected = [0.38869318, 0.13266385, -0.04337576]
    assert kernel.flatten()[:3].tolist() == pytest.approx(expected, abs=1e-8)
    assert fill("act.weight", (1,), "float32", {}).item() == pytest.approx(0.27593109, abs=1e-8)


def test_the_longest_prefix_sets_the_gain(fill) -> None:
    plain = fill("a.b.weight", (2, 2), "float32", {})
    gained = fill("a.b.weight", (2, 2), "float32", {"a.": 3.0, "a.b.": 0.5, "b.": 7.0})
    torch.testing.assert_close(gained, plain / 2)


@torch.inference_mode()
def test_espcn(golden) -> None:
    reference = golden("ESPCN")
    module = filled(ESPCN(scale=4, num_channels=64), reference)
    reference.check("linear", module.upsample_luma(reference.input("x")))


@torch.inference_mode()
def test_dvf(golden) -> None:
    reference = golden("DVF")
    module = filled(DVF(num_channels=64), reference)
    frames = reference.input("frame0"), reference.input("frame1")
    reference.check("tanh3", module.voxel_flow(*frames))
    reference.check("frame", module(*frames) * 2 - 1)  # the reference's range is [-1, 1]
