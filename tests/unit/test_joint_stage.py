"""The joint stage adds up what Eq. 8 and its extensions say, over the samples that each term counts."""

import pytest
import torch

from stsr_cli.losses import Objective
from stsr_cli.registry import build
from stsr_cli.streams import TwoStream
from stsr_cli.training.joint import JointStage
from stsr_cli.training.sampling import Batch


def stage(**weights):
    system = TwoStream(build("spatial", "bicubic"), build("temporal", "blend"))
    return JointStage(system, Objective(penalty="squared", reduction="sum", **weights))


def batch(is_labeled):
    lr_frames = tuple(torch.rand(2, 3, 8, 8) for _ in range(3))
    hr_frames = tuple(torch.rand(2, 3, 32, 32) for _ in range(3))
    return Batch(lr_frames, hr_frames, torch.tensor(is_labeled))


def squares(difference):
    return difference.square().sum()


def test_loss_is_l_r_of_labeled_plus_lambda_l_c_of_all():
    sample = batch([True, False])
    (lr0, _, lr1), target = sample.lr_frames, sample.hr_frames[1]
    system = stage().system
    t2s = system.t2s(lr0, lr1)[0]
    s2t = system(lr0, lr1, "s2t")[1]
    losses = stage(consistency_weight=3.0)(sample, 0.0)
    l_r = squares(t2s[0] - target[0]) + squares(s2t[0] - target[0])
    l_c = squares(t2s - s2t) / 2
    torch.testing.assert_close(losses["reconstruction"], l_r)
    torch.testing.assert_close(losses["consistency"], l_c)
    torch.testing.assert_close(losses["loss"], l_r + 3 * l_c)
    assert losses.keys() == {"loss", "reconstruction", "consistency"}


def test_without_a_labeled_sample_l_r_is_zero():
    losses = stage(given_weight=1.0)(batch([False, False]), 0.0)
    assert losses["reconstruction"] == losses["given"] == 0
    assert losses["loss"] == losses["consistency"]


@pytest.mark.parametrize("is_labeled", [[True, False], [False, False]])
def test_unlabeled_video_teaches_f_t_at_low_resolution(is_labeled):
    sample = batch(is_labeled)
    lr0, middle, lr1 = sample.lr_frames
    without = stage()(sample, 0.0)["loss"]
    losses = stage(temporal_weight=0.5)(sample, 0.0)
    expected = squares((lr0 + lr1) / 2 - middle) / 2
    torch.testing.assert_close(losses["temporal"], expected)
    torch.testing.assert_close(losses["loss"], without + 0.5 * expected)
