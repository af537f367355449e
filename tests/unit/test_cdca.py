"""CDCA: cubic interpolation in closed form, the network around it, and the losses of its three stages."""

import itertools

import pytest
import torch

from stsr_cli import cdca as module
from stsr_cli.cdca import CDCA, tricubic
from stsr_cli.errors import UsageError
from stsr_cli.losses import Objective
from stsr_cli.ops import cubic_weights, imresize, upsample
from stsr_cli.training.cdca import (
    AUTO_ENCODERS_UNTIL,
    MAPPING_UNTIL,
    CDCAStage,
    CoupledAutoEncoders,
    coupled_batch,
)
from stsr_cli.training.sampling import Batch

SMALL = {"num_channels": 6, "num_features": 4}
SQUARED = Objective(penalty="squared", reduction="mean")


def small(**options):
    """A tiny CDCA with enough in every layer that each shows in the picture."""
    torch.manual_seed(0)
    model = CDCA(**SMALL, **options)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.5 / parameter[0].numel() ** 0.5)
    return model.eval()


def test_weights_in_time_are_those_of_keys_kernel():
    # Keys, a = -0.5, at distances 1/4 and 3/4, and 5/4 and 7/4 of the repeated neighbours, in 128ths: 111, 29, -9, -3
    assert cubic_weights(0.25) == ((111 - 9) / 128, (29 - 3) / 128)
    assert cubic_weights(0.75) == ((29 - 3) / 128, (111 - 9) / 128)
    assert cubic_weights(0.5) == (0.5, 0.5)
    assert (cubic_weights(0), cubic_weights(1)) == ((1, 0), (0, 1))


def test_tricubic_is_bicubic_and_blend_half_way():
    frame0, frame1 = torch.rand(2, 2, 3, 7, 9)
    expected = imresize((frame0 + frame1) / 2, (28, 36))
    torch.testing.assert_close(tricubic(frame0, frame1, 0.5, 4), expected, rtol=0, atol=1e-6)
    quarter = (111 - 9) / 128 * upsample(frame0, 4) + (29 - 3) / 128 * upsample(frame1, 4)
    torch.testing.assert_close(tricubic(frame0, frame1, 0.25, 4), quarter, rtol=0, atol=1e-6)


def test_the_untrained_network_gives_the_tricubic_picture():
    frame0, frame1 = 0.2 + 0.6 * torch.rand(2, 1, 3, 12, 16)
    model = CDCA().eval()
    with torch.inference_mode():
        (middle,) = model.between(frame0, frame1)
    expected = tricubic(frame0, frame1, 0.5, 4).clamp(min=0)
    assert (middle - expected).abs().max() < 0.02


@pytest.mark.parametrize("time_scale", [1, 2, 3, 4])
def test_shapes_and_times_of_new_frames(time_scale):
    model = small(time_scale=time_scale)
    lr_frames = torch.rand(3, 3, 7, 10)
    with torch.inference_mode():
        hr_frames, new = model.extend(lr_frames)
        assert hr_frames.shape == (3, 3, 28, 40)
        assert [frames.shape for frames in new] == [(2, 3, 28, 40)] * (time_scale - 1)
        for index, frames in enumerate(new, start=1):
            t = index / time_scale
            expected = model(tricubic(lr_frames[1:2], lr_frames[2:3], t, 4))
            torch.testing.assert_close(frames[1:], expected)
        torch.testing.assert_close(hr_frames[2:], model(upsample(lr_frames[2:], 4)))


def test_going_on_along_a_video_equals_all_at_once():
    model, lr_frames = small(), torch.rand(4, 3, 6, 8)
    with torch.inference_mode():
        hr_all, (new_all,) = model.extend(lr_frames)
        previous, given, new = None, [], []
        for lr_frame in lr_frames.split(1):
            hr_frame, middles = model.extend(lr_frame, "s2t", previous)
            previous = (lr_frame, hr_frame)
            given.append(hr_frame)
            new += middles
    torch.testing.assert_close(torch.cat(given), hr_all)
    torch.testing.assert_close(torch.cat(new), new_all)


def test_strips_do_not_show(monkeypatch):
    model, picture = small(), torch.rand(2, 3, 150, 20)
    with torch.no_grad():
        whole = model(picture)
        monkeypatch.setattr(module, "_STRIP_PIXELS", 2 * 20 * 60)
        strips = model(picture)
    torch.testing.assert_close(strips, whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("factors", [(2, 2), (16, 2), (1, 2), (4, 0)])
def test_factors_out_of_reach(factors):
    with pytest.raises(UsageError, match=r"cannot be reached.*; try "):
        CDCA(**SMALL).set_factors(*factors)


@pytest.mark.parametrize("config", [{"scale": 0}, {"num_channels": 2}, {"num_features": 2}])
def test_a_senseless_size_is_refused(config):
    with pytest.raises(UsageError, match="or more"):
        CDCA(**config)


def batch(num_samples=4, size=8):
    lr = torch.rand(3, num_samples, 3, size, size)
    hr = torch.rand(3, num_samples, 3, 4 * size, 4 * size)
    return Batch(tuple(lr), tuple(hr), torch.ones(num_samples, dtype=torch.bool))


def test_new_and_given_frames_are_trained_in_turn():
    sample = batch(5)
    upsampled, target = coupled_batch(sample, 4)
    (lr0, _, lr1), (hr0, middle, _) = sample.lr_frames, sample.hr_frames
    assert torch.equal(target, torch.cat((middle[::2], hr0[1::2])))
    expected = torch.cat((upsample((lr0 + lr1)[::2] / 2, 4), upsample(lr0[1::2], 4)))
    torch.testing.assert_close(upsampled, expected)
    upsampled, target = coupled_batch(batch(1), 4)
    assert upsampled.shape == target.shape == (1, 3, 32, 32)


ALL = ("cdca.encoder_lr", "cdca.mapping", "cdca.decoder_hr", "encoder_hr", "decoder_lr")


@pytest.mark.parametrize(
    ("progress", "trained"),
    [
        (0.0, (ALL[0], *ALL[2:])),
        (AUTO_ENCODERS_UNTIL - 1e-6, (ALL[0], *ALL[2:])),
        (AUTO_ENCODERS_UNTIL, (ALL[1],)),
        (MAPPING_UNTIL - 1e-6, (ALL[1],)),
        (MAPPING_UNTIL, ALL),
        (1.0, ALL),
    ],
)
def test_each_stage_trains_what_it_should(progress, trained):
    model = CoupledAutoEncoders(CDCA(**SMALL))
    CDCAStage(model, SQUARED)(batch(), progress)["loss"].backward()
    for name, parameter in model.named_parameters():
        is_trained = name.startswith(trained)
        has_gradient = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
        assert has_gradient == is_trained, name


def test_losses_are_what_they_say():
    model, sample = CoupledAutoEncoders(small()), batch()
    cdca = model.cdca
    upsampled, target = coupled_batch(sample, 4)

    def auto_encoding(upsampled, target):
        lr = (model.decoder_lr(cdca.encoder_lr(upsampled)) - upsampled).square().mean()
        return lr + (cdca.decoder_hr(model.encoder_hr(target)) - target).square().mean()

    features = cdca.mapping(cdca.encoder_lr(upsampled)) - model.encoder_hr(target)
    few = slice(0, None, 4)
    whole = (cdca(upsampled) - target).square().mean()
    expected = [
        auto_encoding(upsampled, target),
        features.square().mean(),
        whole + 0.1 * auto_encoding(upsampled[few], target[few]),
    ]
    for progress, loss in zip((0, AUTO_ENCODERS_UNTIL, 0.9), expected, strict=True):
        actual = CDCAStage(model, SQUARED)(sample, progress)["loss"]
        torch.testing.assert_close(actual, loss)
    assert all(abs(a - b) > 1e-3 for a, b in itertools.pairwise(expected))
