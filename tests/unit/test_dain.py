"""DAIN's operations in closed form: cost volume, depth-aware projection, adaptive warp; and their gradients."""

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from stsr_cli.ops import backward_warp
from stsr_cli.temporal.dain.adaptive_warp import adaptive_warp
from stsr_cli.temporal.dain.flow import PWCNet, correlation
from stsr_cli.temporal.dain.projection import project_flow


def constant_flow(x: float, y: float, height: int = 6, width: int = 8) -> Tensor:
    return torch.tensor((x, y), dtype=torch.float32).view(1, 2, 1, 1).repeat(1, 1, height, width)


def inner_taps() -> Tensor:
    """The kernel of plain bilinear sampling."""
    kernel = torch.zeros(4, 4)
    kernel[1:3, 1:3] = 1
    return kernel.reshape(1, 16, 1, 1)


def test_correlation_is_the_mean_product_with_every_shift() -> None:
    one, other = torch.rand(2, 1, 3, 5, 7)
    found = correlation(one, other, radius=2)
    assert found.shape == (1, 25, 5, 7)
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            y, x = 2, 3
            expected = (one[0, :, y, x] * other[0, :, y + dy, x + dx]).mean()
            torch.testing.assert_close(found[0, (dy + 2) * 5 + dx + 2, y, x], expected)
    assert found[0, :10, 0].eq(0).all()  # two rows above the top there is nothing


def test_flow_net_treats_both_directions_alike() -> None:
    net = PWCNet().eval()
    frame0, frame1 = torch.rand(2, 1, 3, 64, 64)
    with torch.inference_mode():
        there, back = net(frame0, frame1)
        swapped_there, swapped_back = net(frame1, frame0)
    assert there.shape == (1, 2, 16, 16)
    torch.testing.assert_close(there, swapped_back)
    torch.testing.assert_close(back, swapped_there)


def test_an_integer_flow_leads_back_from_where_it_lands() -> None:
    flow, weight = constant_flow(2, 1), torch.rand(1, 1, 6, 8) + 0.5
    found = project_flow(flow, weight, fill_holes=False)
    torch.testing.assert_close(found[:, :, 1:, 2:], -flow[:, :, 1:, 2:])
    assert found[:, :, :1].eq(0).all()
    assert found[:, :, :, :2].eq(0).all()


def test_holes_take_the_mean_of_the_nearest_values_around() -> None:
    flow, weight = constant_flow(100, 0), torch.ones(1, 1, 6, 8)
    # The only two that stay in the image; they cover columns 1 and 2, and columns 5 and 6, of rows 2 and 3.
    flow[0, :, 2, 1] = torch.tensor((0.0, 0.5))
    flow[0, :, 2, 5] = torch.tensor((0.5, 0.0))
    found = project_flow(flow, weight, fill_holes=True)
    first, second = torch.tensor((0.0, -0.5)), torch.tensor((-0.5, 0.0))
    torch.testing.assert_close(found[0, :, 3, 2], first)
    torch.testing.assert_close(found[0, :, 2, 6], second)
    torch.testing.assert_close(found[0, :, 2, 3], (first + second) / 2)  # to the left and right
    torch.testing.assert_close(found[0, :, 2, 7], second)  # to the left alone
    torch.testing.assert_close(found[0, :, 0, 1], first)  # below
    torch.testing.assert_close(found[0, :, 5, 5], second)  # above
    assert found[0, :, 0, 3].eq(0).all()  # nothing in any direction
    without = project_flow(flow, weight, fill_holes=False)
    assert without[0].ne(0).any(0).sum() == 8


def test_the_nearer_of_two_sources_counts_more() -> None:
    flow, weight = constant_flow(100, 0), torch.ones(1, 1, 6, 8)
    flow[0, :, 3, 2], flow[0, :, 3, 6] = torch.tensor((2.0, 0.0)), torch.tensor((-2.0, 0.0))
    weight[0, 0, 3, 2] = 3
    found = project_flow(flow, weight, fill_holes=False)
    torch.testing.assert_close(found[0, :, 3, 4], torch.tensor((-(3 * 2 - 2) / 4, 0.0)))


def test_an_integer_flow_and_a_kernel_of_ones_sum_the_four_taps_up_to_the_position() -> None:
    image = torch.rand(1, 2, 6, 8)
    found = adaptive_warp(image, constant_flow(1, 2), torch.ones(1, 16, 6, 8))
    y, x = 2, 3
    patch = image[0, :, y + 2 - 1 : y + 2 + 1, x + 1 - 1 : x + 1 + 1]
    torch.testing.assert_close(found[0, :, y, x], patch.sum((1, 2)))


def test_the_inner_taps_alone_are_bilinear_sampling() -> None:
    image = torch.rand(2, 3, 9, 12)
    flow = torch.rand(2, 2, 9, 12) * 3 - 1.5
    y, x = torch.meshgrid(torch.arange(9.0), torch.arange(12.0), indexing="ij")
    flow[:, 0] = (x + flow[:, 0]).clamp(0, 11) - x
    flow[:, 1] = (y + flow[:, 1]).clamp(0, 8) - y
    found = adaptive_warp(image, flow, inner_taps().expand(2, -1, 9, 12))
    torch.testing.assert_close(found, backward_warp(image, flow), atol=1e-5, rtol=0)


@pytest.mark.parametrize("flow", [(-1, 0), (0, 6), (4, 0), (0, -3)], ids=str)
def test_outside_or_half_an_image_away_the_pixel_itself_is_taken(flow) -> None:
    image = torch.rand(1, 2, 6, 8)
    found = adaptive_warp(image, constant_flow(*flow), torch.rand(1, 16, 6, 8))
    is_outside = {(-1, 0): (0, 0), (0, 6): (2, 2), (4, 0): (0, 0), (0, -3): (5, 5)}[flow]
    assert torch.equal(found[0, :, is_outside[0], is_outside[1]], image[0, :, *is_outside])


def random_flow() -> Tensor:
    """Positions in and out of a 4x5 image, none near an integer, where the functions jump."""
    flow = torch.randint(-2, 3, (2, 2, 4, 5)).double()
    return (flow + 0.25 + 0.5 * torch.rand(2, 2, 4, 5, dtype=torch.float64)).requires_grad_()


def test_gradient_of_the_projection() -> None:
    flow = random_flow()
    weight = (torch.rand(2, 1, 4, 5, dtype=torch.float64) + 0.5).requires_grad_()
    assert gradcheck(lambda f, w: project_flow(f, w, fill_holes=False), (flow, weight))


def test_gradient_of_the_adaptive_warp() -> None:
    image = torch.rand(2, 3, 4, 5, dtype=torch.float64).requires_grad_()
    kernel = torch.randn(2, 16, 4, 5, dtype=torch.float64).requires_grad_()
    assert gradcheck(adaptive_warp, (image, random_flow(), kernel))


class Largest(TorchDispatchMode):
    """Remembers how many elements the largest result of any operation had."""

    num_elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, Tensor):
                self.num_elements = max(self.num_elements, value.numel())
        return result


def test_no_tensor_holds_all_taps_of_all_channels() -> None:
    image, flow, kernel = (
        torch.rand(1, 196, 16, 24),
        torch.zeros(1, 2, 16, 24),
        torch.rand(1, 16, 16, 24),
    )
    with Largest() as largest:
        adaptive_warp(image, flow, kernel)
    assert 0 < largest.num_elements <= image.numel()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_a_flow_that_is_not_finite_arrives_nowhere(value):
    flow, weight = torch.zeros(1, 2, 6, 7), torch.ones(1, 1, 6, 7)
    flow[0, 0, 2, 3] = value
    projected = project_flow(flow, weight, fill_holes=True)
    assert torch.equal(projected, torch.zeros(1, 2, 6, 7))
