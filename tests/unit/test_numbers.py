"""Frames that half precision got wrong: noticed, made again in fp32, counted, said once. With real networks."""

import copy

import pytest
import torch

from stsr_cli.errors import WeightsError
from stsr_cli.options import OnDoubt
from stsr_cli.registry import build
from stsr_cli.streams import TwoStream, even_times
from stsr_cli.upscale.network import Network
from stsr_cli.upscale.numbers import Exact
from stsr_cli.upscale.transparency import AlphaNetwork


def overflowing(dtype=torch.float16):
    """SPAN whose last features exceed what fp16 holds, and are scaled back: nothing to fp32."""
    torch.manual_seed(0)
    f_s = build("spatial", "span", {"num_channels": 8, "num_blocks": 2}).eval()
    with torch.no_grad():
        f_s.fuse.bias += 1e6
        f_s.tail.weight.fill_(1e-9)
    return TwoStream(f_s, build("temporal", "blend"))


def sound():
    torch.manual_seed(0)
    return TwoStream(
        build("spatial", "span", {"num_channels": 8}), build("temporal", "blend")
    ).eval()


def half(system, kind=Network, dtype=torch.float16, stream="t2s", **wishes):
    """A network in half precision, what it says, and what fp32 is for it."""
    said = []
    exact = Exact(lambda: system, said.append)
    model = copy.deepcopy(system).to(dtype)
    return kind(model, stream, False, wishes.get("on_doubt"), exact), exact, said


def frames(number, dtype=torch.float16, channels=3):
    torch.manual_seed(1)
    return torch.rand(number, channels, 16, 20).to(dtype)


@pytest.mark.parametrize("stream", ["t2s", "s2t", "both"])
def test_what_overflows_is_made_again(stream):
    system = overflowing()
    network, exact, said = half(system, stream=stream)
    lr_frames = frames(2)
    plain = copy.deepcopy(system).half().upscale(lr_frames)
    assert not plain.isfinite().all(), "it does overflow"
    with torch.inference_mode():
        hr_frames, ((middle, _),) = network.extend(lr_frames, None, even_times(2))
        expected = Network(system, stream, False, None).extend(
            lr_frames.float(), None, even_times(2)
        )
    assert torch.equal(hr_frames, expected[0])
    assert torch.equal(middle, expected[1][0][0])
    assert network.num_redone == exact.num_redone == 3
    assert said == ["fp16 gave a frame that is no picture; it is made again in fp32"]


def test_after_several_the_run_stays_in_fp32():
    network, exact, said = half(overflowing())
    previous = None
    with torch.inference_mode():
        for lr_frames in frames(4).split(1):
            hr_frames, _ = network.extend(lr_frames, previous, even_times(2))
            previous = lr_frames, hr_frames
            assert hr_frames.isfinite().all()
    assert exact.is_always
    assert len(said) == 2
    assert "goes on in fp32" in said[1]
    assert network.num_redone == 5, "1 + 2 + 2, and none is tried in fp16 after that"


def test_what_is_sound_is_left_alone():
    network, exact, said = half(sound())
    with torch.inference_mode():
        lr_frames = frames(3)
        hr_frames, middles = network.extend(lr_frames, None, even_times(2))
        black = network.extend(torch.zeros(2, 3, 16, 20).half(), None, even_times(2))
    assert hr_frames.dtype == middles[0][0].dtype == torch.float16
    assert black[0].abs().max() < 0.1
    assert (exact.num_redone, said) == (0, [])


def test_only_the_frames_that_are_wrong_are_replaced():
    """One of three given frames is bright enough to overflow."""
    system = sound()
    with torch.no_grad():  # what is bright comes to more than 65 504
        system.spatial.head.weight *= 6e4
        system.spatial.tail.weight *= 1e-6
    lr_frames = frames(3) / 40
    lr_frames[1] *= 40
    network, exact, _ = half(system)
    with torch.inference_mode():
        plain = copy.deepcopy(system).half().upscale(lr_frames)
        wrong = [not frame.isfinite().all() for frame in plain]
        assert wrong == [False, True, False]
        hr_frames, _ = network.extend(lr_frames, None, even_times(2))
        expected = system.upscale(lr_frames.float())
    assert torch.equal(hr_frames[[0, 2]], plain[[0, 2]].float())
    assert torch.equal(hr_frames[1], expected[1])
    assert exact.num_redone >= 1


@pytest.mark.parametrize(
    ("bias", "value"), [(float("nan"), "nan"), (0.0, "flat"), (30.0, "far"), (float("inf"), "inf")]
)
def test_what_counts_as_no_picture(bias, value):
    """In half precision alone; what fp32 makes is taken."""
    system = sound()
    network, exact, _ = half(system)
    with torch.no_grad():
        tail = network._model.spatial.tail
        tail.bias.fill_(bias)
        if value == "flat":  # the bicubic skip goes away as well
            network._model.spatial.forward = lambda given: torch.full((1, 3, 64, 80), 0.5).half()
    with torch.inference_mode():
        hr_frames, _ = network.extend(frames(1), None, even_times(2))
    assert exact.num_redone == 1
    assert torch.equal(hr_frames, system.upscale(frames(1).float()))


def test_bf16_and_alpha_and_doubt_too():
    """bf16 holds large numbers, but not the difference of two of them."""
    torch.manual_seed(0)
    f_s = build("spatial", "vdsr", {"num_channels": 2, "num_layers": 3, "has_bias": True}).eval()
    with torch.no_grad():
        for conv, bias in zip(f_s.convs, ((10020, 25050), (0, 0), (0,)), strict=True):
            conv.weight.zero_()
            conv.bias.copy_(torch.tensor(bias))
        f_s.convs[1].weight[0, 0, 1, 1] = f_s.convs[1].weight[1, 1, 1, 1] = 1
        f_s.convs[2].weight[0, :, 1, 1] = torch.tensor((2.5, -1))
    system = TwoStream(f_s, build("temporal", "blend"))
    network, exact, said = half(
        system, AlphaNetwork, torch.bfloat16, on_doubt=OnDoubt("blend", 1.0)
    )
    lr_frames = frames(2, torch.bfloat16, channels=4)
    with torch.inference_mode():
        hr_frames, ((middle, doubts),) = network.extend(lr_frames, None, even_times(2))
        expected = system.upscale(lr_frames[:, :3].float())
    torch.testing.assert_close(hr_frames[:, :3], expected)
    assert middle.shape == (1, 4, 64, 80)
    assert doubts[0].mean_levels < 1
    assert exact.num_redone == 3
    assert said[0].startswith("bf16")


def test_weights_that_give_no_numbers_in_fp32_are_an_error():
    system = sound()
    with torch.no_grad():
        system.spatial.tail.bias[0] = float("nan")
    with torch.inference_mode():
        with pytest.raises(WeightsError, match="NaN or infinity, in fp32 too"):
            Network(system, "t2s", False, None).extend(frames(1).float(), None, even_times(2))
        network, _, _ = half(system)
        with pytest.raises(WeightsError, match="weights are damaged, or hostile"):
            network.extend(frames(1), None, even_times(2))
