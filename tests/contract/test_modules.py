"""Every spatial and temporal module, and every pair of them, against the contract of `modules.py`.

Modules are as freshly initialised: what holds then holds for any weights, except where a test says otherwise.
"""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stsr_cli.checkpoint import Weights, load_weights, save_weights
from stsr_cli.losses import Objective
from stsr_cli.modules import SpatialModule, TemporalModule
from stsr_cli.ops import upsample
from stsr_cli.registry import Kind, available, build, load
from stsr_cli.streams import TwoStream

SPATIAL = available("spatial")
TEMPORAL = available("temporal")
ALL: list[tuple[Kind, str]] = [
    *(("spatial", name) for name in SPATIAL),
    *(("temporal", name) for name in TEMPORAL),
]
every_module = pytest.mark.parametrize(("kind", "name"), ALL, ids=lambda value: value)
every_temporal = pytest.mark.parametrize("name", TEMPORAL)


def make(kind: Kind, name: str) -> Any:
    torch.manual_seed(0)
    return build(kind, name).eval()


def size_for(module: Any) -> tuple[int, int]:
    """The smallest input that is not square, in pixels."""
    card = module.card
    least = -(-card.min_size // card.multiple_of) * card.multiple_of
    least = max(least, -(-16 // card.multiple_of) * card.multiple_of)
    return least, least + card.multiple_of


def inputs_for(module: Any, batch: int = 1) -> tuple[Tensor, ...]:
    num_frames = 1 if isinstance(module, SpatialModule) else 2
    return tuple(torch.rand(num_frames, batch, 3, *size_for(module)))


def perturb(module: nn.Module) -> None:
    """Move every tensor away from where it was initialised."""
    with torch.no_grad():
        for value in module.state_dict().values():
            if value.is_floating_point():
                value.add_(0.01 * torch.rand_like(value))
            else:
                value.add_(3)


@every_module
def test_class_keeps_the_contract(kind: Kind, name: str) -> None:
    module_class = load(kind, name)
    card = module_class.card
    assert issubclass(module_class, SpatialModule if kind == "spatial" else TemporalModule)
    assert module_class.__module__.split(".")[:3] == ["stsr_cli", kind, name]
    assert card.title and card.source and card.licence
    assert card.multiple_of >= 1
    assert card.min_size >= 1
    assert card.scales == (1,) if kind == "temporal" else min(card.scales) > 1


@every_module
def test_shape_and_values(kind: Kind, name: str) -> None:
    module = make(kind, name)
    inputs = inputs_for(module, batch=2)
    with torch.inference_mode():
        found = module(*inputs)
    height, width = size_for(module)
    scale = module.scale if kind == "spatial" else 1
    assert found.shape == (2, 3, scale * height, scale * width)
    assert found.dtype == torch.float32
    assert found.isfinite().all()


@every_module
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_dtype_is_that_of_the_input(kind: Kind, name: str, dtype: torch.dtype) -> None:
    module = make(kind, name)
    inputs = inputs_for(module)
    with torch.inference_mode():
        expected = module(*inputs)
        found = module.to(dtype)(*(frame.to(dtype) for frame in inputs))
    assert found.dtype == dtype
    if dtype == torch.float64:
        torch.testing.assert_close(found.float(), expected, atol=1e-3, rtol=1e-3)
    else:
        assert found.isfinite().all()


@every_module
def test_inputs_are_left_alone(kind: Kind, name: str) -> None:
    module = make(kind, name)
    inputs = inputs_for(module)
    copies = [frame.clone() for frame in inputs]
    with torch.inference_mode():
        module(*inputs)
    assert all(torch.equal(one, other) for one, other in zip(inputs, copies, strict=True))


@every_module
def test_samples_of_a_batch_do_not_meet(kind: Kind, name: str) -> None:
    module = make(kind, name)
    inputs = inputs_for(module, batch=3)
    with torch.inference_mode():
        together = module(*inputs)
        alone = torch.cat([module(*(frame[i : i + 1] for frame in inputs)) for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


@every_module
def test_gradient_reaches_every_parameter(kind: Kind, name: str) -> None:
    module = make(kind, name)
    found = module(*inputs_for(module, batch=2))
    if not list(module.parameters()):
        assert not found.requires_grad
        return
    (found * torch.rand_like(found)).sum().backward()
    dead = [key for key, p in module.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


@every_module
def test_gradient_reaches_the_frames(kind: Kind, name: str) -> None:
    module = make(kind, name)
    inputs = [frame.requires_grad_() for frame in inputs_for(module)]
    module(*inputs).sum().backward()
    assert all(frame.grad is not None and frame.grad.any() for frame in inputs)


@every_module
def test_config_rebuilds_the_module(kind: Kind, name: str) -> None:
    module = make(kind, name)
    again: Any = build(kind, name, module.config)
    assert again.config == module.config
    shapes = {key: value.shape for key, value in module.state_dict().items()}
    assert {key: value.shape for key, value in again.state_dict().items()} == shapes


@every_module
def test_weights_survive_a_file(kind: Kind, name: str, tmp_path: Path) -> None:
    module = make(kind, name)
    perturb(module)
    path = tmp_path / "weights.safetensors"
    save_weights(path, Weights(**{kind: module}, training={"steps": 3}))
    weights = load_weights(path)
    loaded: Any = getattr(weights, kind)
    assert weights.training == {"steps": 3}
    assert type(loaded) is type(module)
    assert not loaded.training
    for key, value in module.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
    inputs = inputs_for(module)
    with torch.inference_mode():
        assert torch.equal(loaded(*inputs), module(*inputs))


@pytest.mark.parametrize(
    ("name", "scale"),
    [(name, scale) for name in SPATIAL for scale in load("spatial", name).card.scales],
)
def test_every_scale_of_the_card_can_be_built(name: str, scale: int) -> None:
    module = build("spatial", name, {"scale": scale}).eval()
    assert module.scale == scale
    (frames,) = inputs_for(module)
    with torch.inference_mode():
        found = module(frames)
    assert found.shape[-2:] == tuple(scale * length for length in frames.shape[-2:])


@every_temporal
def test_between_equal_flat_frames_lies_the_same(name: str) -> None:
    module = make("temporal", name)
    frame = torch.tensor((0.2, 0.5, 0.8)).view(1, 3, 1, 1).repeat(1, 1, *size_for(module))
    with torch.inference_mode():
        found = module(frame, frame)
    torch.testing.assert_close(found, frame, atol=0.03, rtol=0)


@every_temporal
def test_between_equal_frames_lies_the_same(name: str) -> None:
    module = make("temporal", name)
    height, width = size_for(module)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    frame = (0.5 + 0.4 * torch.sin(x / 4) * torch.cos(y / 5)).expand(1, 3, -1, -1)
    with torch.inference_mode():
        found = module(frame, frame)
    torch.testing.assert_close(found, frame, atol=0.03, rtol=0)


@every_temporal
def test_what_is_supervised_ends_in_the_output(name: str) -> None:
    module = make("temporal", name)
    frames = inputs_for(module)
    with torch.inference_mode():
        outputs, found = module.training_outputs(*frames), module(*frames)
    assert torch.equal(outputs[-1], found)
    assert all(output.shape == found.shape and output.isfinite().all() for output in outputs)


@every_temporal
def test_time_matters_where_the_card_says_so(name: str) -> None:
    module = make("temporal", name)
    frames = inputs_for(module)
    with torch.inference_mode():
        early, middle = module(*frames, t=0.25), module(*frames, t=0.5)
    assert early.shape == middle.shape
    if module.card.any_t:
        assert not torch.equal(early, middle)


def sizes() -> list[tuple[int, int]]:
    return [(1, 1), (13, 5), (17, 33)]


@pytest.mark.parametrize("name", SPATIAL)
@pytest.mark.parametrize("size", sizes(), ids=str)
def test_f_s_takes_any_size_through_the_streams(name: str, size: tuple[int, int]) -> None:
    module = make("spatial", name)
    with torch.inference_mode():
        found = TwoStream(module, make("temporal", "blend")).upscale(torch.rand(1, 3, *size))
    assert found.shape == (1, 3, *(module.scale * length for length in size))
    assert found.isfinite().all()


@every_temporal
@pytest.mark.parametrize("size", sizes(), ids=str)
def test_f_t_takes_any_size_through_the_streams(name: str, size: tuple[int, int]) -> None:
    model = TwoStream(make("spatial", "bicubic"), make("temporal", name))
    with torch.inference_mode():
        found = model.interpolate(*torch.rand(2, 1, 3, *size))
    assert found.shape == (1, 3, *size)
    assert found.isfinite().all()


@every_temporal
def test_motion_that_is_found_and_shown_is_f_t(name: str) -> None:
    module = make("temporal", name)
    if not module.finds_motion:
        with pytest.raises(NotImplementedError):
            module.find_motion(*torch.rand(2, 1, 3, 64, 64))
        return
    frame0, frame1 = torch.rand(2, 2, 3, 64, 96)
    with torch.inference_mode():
        motion = module.find_motion(frame0, frame1)
        torch.testing.assert_close(
            module.render(frame0, frame1, motion), module(frame0, frame1), rtol=0, atol=1e-5
        )
        # four times the size: the same frame, enlarged, where the frames are
        larger = [upsample(frame, 4) for frame in (frame0, frame1)]
        enlarged = upsample(torch.cat((motion[:, :4] * 4, motion[:, 4:]), dim=1), 4)
        assert module.render(*larger, enlarged, 0.5, 4).shape == (2, 3, 256, 384)


@pytest.mark.parametrize(("spatial", "temporal"), list(product(SPATIAL, TEMPORAL)))
def test_both_streams_of_every_pair(spatial: str, temporal: str) -> None:
    model = TwoStream(make("spatial", spatial), make("temporal", temporal))
    frame0, frame1 = torch.rand(2, 1, 3, 9, 11)
    scale = model.scale
    t2s, s2t = model.t2s(frame0, frame1)[0], model(frame0, frame1, "s2t")[1]
    assert t2s.shape == s2t.shape == (1, 3, 9 * scale, 11 * scale)
    assert t2s.isfinite().all()
    assert s2t.isfinite().all()
    # L_C alone does not see what cancels between linear streams: a last bias in front of `blend`.
    objective, target = Objective(), torch.rand_like(t2s)
    loss = objective.reconstruction_loss(t2s, s2t, target, torch.tensor([True]))
    loss = loss + objective.consistency_loss(t2s, s2t)
    if list(model.parameters()):
        loss.backward()
        dead = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        assert dead == []


@pytest.mark.parametrize("name", TEMPORAL)
def test_weights_that_diverged_give_a_loss_or_gradient_that_shows_it(name):
    """Not an error, and not the end of the process: training goes back to its last good weights then."""
    module = build("temporal", name)
    parameters = list(module.parameters())
    if not parameters:
        return
    with torch.no_grad():
        for parameter in parameters:
            parameter.fill_(float("nan"))
    size = max(module.card.min_size, 64)
    outputs = module.training_outputs(torch.rand(1, 3, size, size), torch.rand(1, 3, size, size))
    loss = sum(output.mean() for output in outputs)
    loss.backward()
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    assert not (loss.isfinite() and all(gradient.isfinite().all() for gradient in gradients))
