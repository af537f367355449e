"""What the paper's networks do in closed form, whatever their weights: VDSR, ESPCN, DBPN, Super SloMo."""

import pytest
import torch

from stsr_cli.errors import UsageError
from stsr_cli.ops import backward_warp, upsample
from stsr_cli.registry import build
from stsr_cli.spatial.vdsr import VDSR
from stsr_cli.temporal.superslomo import SuperSloMo


@torch.inference_mode()
def test_vdsr_without_a_residual_is_bicubic() -> None:
    module = VDSR(num_layers=3, has_bias=True)
    module.convs[-1].weight.zero_()
    frames = torch.rand(1, 3, 7, 9)
    torch.testing.assert_close(module(frames), upsample(frames, 4), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_espcn_can_end_in_a_sigmoid() -> None:
    module = build("spatial", "espcn", {"output": "sigmoid"})
    luma = torch.rand(1, 1, 6, 6)
    found = module.upsample_luma(luma)  # type: ignore[operator]
    assert found.min() > 0
    assert found.max() < 1
    module.output = "linear"  # type: ignore[assignment]
    torch.testing.assert_close(torch.sigmoid(module.upsample_luma(luma)), found)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("name", "kind", "config"),
    [
        ("espcn", "spatial", {"output": "tanh"}),
        ("superslomo", "temporal", {"warp_grid": "fuzzy"}),
    ],
)
def test_an_unknown_choice_is_refused(name, kind, config) -> None:
    with pytest.raises(UsageError, match=name):
        build(kind, name, config)


@pytest.mark.parametrize(
    ("num_stages", "num_features", "num_channels", "num_parameters"),
    [(2, 64, 16, None), (3, 16, 8, None), (2, 256, 64, 2_386_958), (7, 256, 64, 10_426_358)],
)
def test_dbpn_by_its_arguments(num_stages, num_features, num_channels, num_parameters) -> None:
    config = {
        "num_stages": num_stages,
        "num_features": num_features,
        "num_channels": num_channels,
    }
    module = build("spatial", "dbpn", config)
    if num_parameters is not None:
        assert sum(parameter.numel() for parameter in module.parameters()) == num_parameters
        return
    assert module(torch.rand(1, 3, 5, 6)).shape == (1, 3, 20, 24)


def small_slomo(warp_grid: str = "exact") -> SuperSloMo:
    torch.manual_seed(3)
    module = SuperSloMo(num_channels=4, warp_grid=warp_grid).eval()  # type: ignore[arg-type]
    for net in (module.flow_net, module.interpolation_net):
        torch.nn.init.normal_(net.tail.weight, std=0.5)
    return module


@torch.inference_mode()
def test_superslomo_warps_on_each_grid() -> None:
    image = torch.rand(1, 2, 32, 32)
    flow = torch.rand(1, 2, 32, 32) - 0.5
    exact = small_slomo("exact").warp(image, flow)
    torch.testing.assert_close(exact, backward_warp(image, flow, outside="zeros"))
    half = small_slomo("legacy-half").warp(image, flow + 0.5)
    torch.testing.assert_close(half, exact, atol=1e-5, rtol=0)
    # x / W (W - 1): nothing moves at the left edge, almost a pixel at the right one.
    still = small_slomo("legacy").warp(image, torch.zeros_like(flow))
    torch.testing.assert_close(still[..., 0, 0], image[..., 0, 0])
    expected = image[..., 0, 30] + (image[..., 0, 31] - image[..., 0, 30]) / 32
    torch.testing.assert_close(still[..., 0, 31], expected, atol=1e-5, rtol=0)


@torch.inference_mode()
@pytest.mark.parametrize("t", [0.25, 0.5, 0.9])
def test_superslomo_between_two_flat_frames_of_one_colour(t: float) -> None:
    """Visibilities are shares: wherever the flow stays inside, their sum is one."""
    module = small_slomo()
    module.flow_net.tail.weight.zero_()
    module.interpolation_net.tail.weight[:4] = 0
    frame = torch.tensor((0.3, 0.6, 0.9)).view(1, 3, 1, 1).expand(1, 3, 32, 64)
    torch.testing.assert_close(module(frame, frame, t), frame, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_superslomo_at_the_ends_of_time_trusts_the_nearer_frame() -> None:
    module = small_slomo()
    module.flow_net.tail.weight.zero_()
    module.interpolation_net.tail.weight.zero_()
    frame0, frame1 = torch.rand(2, 1, 3, 32, 32)
    torch.testing.assert_close(module(frame0, frame1, 0.25), 0.75 * frame0 + 0.25 * frame1)
