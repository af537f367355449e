"""A larger network that starts as a smaller one: the same function, and more to train."""

import pytest
import torch

from stsr_cli.errors import UsageError
from stsr_cli.registry import build


def filled(kind, name, config, seed=0):
    """A network whose every parameter does something, as after training."""
    torch.manual_seed(seed)
    module = build(kind, name, config)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return module.eval()


def test_a_wider_span_is_the_narrow_one_and_all_of_it_can_learn():
    narrow = filled("spatial", "span", {"num_channels": 8, "num_blocks": 3})
    wide = build("spatial", "span", {"num_channels": 12, "num_blocks": 3})
    wide.take_over(narrow)
    frames = torch.rand(2, 3, 9, 11)
    torch.testing.assert_close(wide(frames), narrow(frames), rtol=0, atol=1e-5)
    # what is new takes part after a step or two: its way out starts at zero, its way in does not
    optimizer = torch.optim.SGD(wide.parameters(), lr=1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        wide(frames).square().sum().backward()
        optimizer.step()
    assert wide.blocks[1].conv2.weight.grad[8:].abs().sum() > 0
    assert wide.head.weight.grad[8:].abs().sum() > 0


def test_rife_with_a_coarser_scale_is_the_one_without():
    small = filled("temporal", "rife", {"scales": [2, 1], "num_channels": [16, 8]})
    large = build("temporal", "rife", {"scales": [4, 2, 1], "num_channels": [12, 16, 8]})
    large.take_over(small)
    frame0, frame1 = torch.rand(1, 3, 32, 48), torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        motion, grown = small.find_motion(frame0, frame1), large.find_motion(frame0, frame1)
        assert motion[:, :4].abs().max() > 0.1
        torch.testing.assert_close(grown, motion, rtol=0, atol=1e-4)
        torch.testing.assert_close(large(frame0, frame1), small(frame0, frame1), rtol=0, atol=1e-4)


def test_a_deeper_refinement_starts_anew():
    small = filled("temporal", "rife", {"scales": [1], "num_channels": [8]})
    large = build("temporal", "rife", {"scales": [1], "num_channels": [8], "num_refine_convs": 3})
    before = {name: tensor.clone() for name, tensor in large.refine.state_dict().items()}
    large.take_over(small)
    for name, tensor in large.refine.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert torch.equal(large.blocks[0].tail.weight, small.blocks[0].tail.weight)


@pytest.mark.parametrize(
    ("kind", "name", "small", "large"),
    [
        ("spatial", "span", {"num_blocks": 3}, {"num_blocks": 4}),
        ("spatial", "span", {"num_channels": 16}, {"num_channels": 8}),
        ("spatial", "span", {"scale": 2}, {"scale": 4}),
        ("spatial", "espcn", {}, {}),
        ("temporal", "rife", {"scales": [4, 2, 1]}, {"scales": [2, 1], "num_channels": [64, 48]}),
        ("temporal", "rife", {}, {"num_channels": [96, 96, 48]}),
        ("temporal", "dvf", {}, {}),
    ],
)
def test_what_cannot_be_grown_is_refused(kind, name, small, large):
    with pytest.raises(UsageError, match="cannot start from weights with"):
        build(kind, name, large).take_over(build(kind, name, small))
