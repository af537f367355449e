"""The objective, Eq. 5-8, by hand."""

import math

import pytest
import torch

from stsr_cli.losses import Objective, distance

LABELED = torch.tensor([True, True])


def frames(*levels: float, requires_grad: bool = False) -> torch.Tensor:
    """One 3x2x2 frame (12 values) of a constant level for each sample."""
    return torch.tensor(levels).view(-1, 1, 1, 1).repeat(1, 3, 2, 2).requires_grad_(requires_grad)


def test_squared_distance_is_the_norm_of_the_paper() -> None:
    found = distance(frames(1.0, 0.5), frames(0.0, 0.25), "squared", "sum")
    assert found.tolist() == pytest.approx([12, 12 / 16])
    found = distance(frames(1.0, 0.5), frames(0.0, 0.25), "squared", "mean")
    assert found.tolist() == pytest.approx([1, 1 / 16])


def test_charbonnier_distance() -> None:
    found = distance(frames(3.0, 0.5), frames(0.0, 0.5), "charbonnier", "mean")
    assert found.tolist() == pytest.approx([math.sqrt(9 + 1e-6), 1e-3])


def test_reconstruction_adds_both_streams() -> None:
    found = Objective().reconstruction_loss(
        frames(1.0, 0.0), frames(2.0, 0.5), frames(0.0, 0.0), LABELED
    )
    # t2s: (12 + 0) / 2; s2t: (48 + 3) / 2.
    assert found.item() == pytest.approx(6 + 25.5)


def test_reconstruction_counts_labeled_samples_only() -> None:
    t2s, s2t = frames(1.0, 7.0, requires_grad=True), frames(2.0, 9.0, requires_grad=True)
    loss = Objective().reconstruction_loss(t2s, s2t, frames(0.0, 0.0), torch.tensor([True, False]))
    assert loss.item() == pytest.approx(12 + 48)  # the mean over one sample, not two
    loss.backward()
    assert t2s.grad is not None
    assert t2s.grad[0].abs().min() > 0
    assert t2s.grad[1].abs().max() == 0


@pytest.mark.parametrize("penalty", ["squared", "charbonnier"])
def test_without_labeled_samples_reconstruction_is_zero(penalty) -> None:
    t2s, s2t = frames(1.0, 7.0, requires_grad=True), frames(2.0, 9.0, requires_grad=True)
    objective = Objective(penalty=penalty)
    unlabeled = torch.tensor([False, False])
    loss = objective.reconstruction_loss(t2s, s2t, frames(0.0, 0.0), unlabeled)
    loss = loss + objective.given_loss(t2s, s2t, frames(0.0, 0.0), frames(0.0, 0.0), unlabeled)
    assert loss.item() == 0
    loss.backward()
    assert t2s.grad is not None
    assert torch.equal(t2s.grad, torch.zeros_like(t2s))


def test_consistency_counts_every_sample_and_is_symmetric() -> None:
    t2s, s2t = frames(1.0, 0.25), frames(0.5, 0.75)
    expected = (12 * 0.25 + 12 * 0.25) / 2
    assert Objective().consistency_loss(t2s, s2t).item() == pytest.approx(expected)
    assert Objective().consistency_loss(s2t, t2s).item() == pytest.approx(expected)


@pytest.mark.parametrize("penalty", ["squared", "charbonnier"])
def test_consistency_gradient_reaches_both_streams(penalty) -> None:
    t2s, s2t = frames(1.0, requires_grad=True), frames(0.5, requires_grad=True)
    Objective(penalty=penalty).consistency_loss(t2s, s2t).backward()
    assert t2s.grad is not None
    assert s2t.grad is not None
    # Each stream is pulled towards the other, equally.
    assert t2s.grad.min() > 0
    assert torch.equal(t2s.grad, -s2t.grad)


def test_given_frames_are_measured_against_their_originals() -> None:
    found = Objective().given_loss(frames(1.0), frames(0.0), frames(0.0), frames(2.0), LABELED[:1])
    assert found.item() == pytest.approx(12 + 48)


def test_gradient_of_charbonnier_is_finite_where_nothing_differs() -> None:
    prediction = frames(0.5, requires_grad=True)
    distance(prediction, frames(0.5), "charbonnier", "sum").sum().backward()
    assert prediction.grad is not None
    assert torch.equal(prediction.grad, torch.zeros_like(prediction))
