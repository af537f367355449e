"""Apple's GPUs: no network, and nothing that is done with frames there, asks for what torch 2.6 does not have on them.

The device "meta", whose tensors have no values, stands in for "mps". Operators are compared with those that have a
kernel there (tests/data/make_mps_operators.py); float64 is refused, also on its way to the device.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from stsr_cli import ops
from stsr_cli.losses import Objective
from stsr_cli.modules import shapes_only
from stsr_cli.registry import available, build
from stsr_cli.streams import TwoStream
from stsr_cli.training.joint import JointStage
from stsr_cli.training.sampling import Batch

DEVICE = torch.device("meta")
OPERATORS = set((Path(__file__).parents[1] / "data" / "mps_operators.txt").read_text().split())
_BORDER, _BICUBIC = 1, 2  # padding and interpolation as `grid_sampler_2d` numbers them
# Operators that are made of others inside of torch, by what they need on this device.
_VIEWS = (
    "alias detach detach_ expand permute select.int slice.Tensor split.Tensor split_with_sizes squeeze.dim t "
    "transpose.int unbind.int unsqueeze _unsafe_view as_strided lift_fresh"
)
_FILLED = "empty_like ones full full_like new_zeros ones_like scalar_tensor zeros zeros_like"
COMPOSED = {
    **{name: {"as_strided"} for name in _VIEWS.split()},
    **{name: {"empty.memory_format", "fill_.Scalar", "zero_"} for name in _FILLED.split()},
    "arange": {"arange.start_out"},
    "arange.start": {"arange.start_out"},
    "_to_copy": {"_copy_from", "empty_strided"},
    "copy_": {"_copy_from"},
    "clone": {"_copy_from", "empty_strided"},
    "convolution": {"_mps_convolution", "_mps_convolution_transpose"},
    "convolution_backward": {"mps_convolution_backward", "mps_convolution_transpose_backward"},
    "rsub.Scalar": {"sub.out"},
    "slice_backward": {"zero_", "_copy_from"},
    "select_backward": {"zero_", "_copy_from"},
    "sum": {"sum.IntList_out"},
    "stack": {"cat.out"},
}
_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
SPATIAL, TEMPORAL = available("spatial"), available("temporal")


class _LikeApple(TorchDispatchMode):
    """Collects what an Apple GPU could not do of all that is done on DEVICE while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: set[str] = set()
        self.num_operators = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), _COMPOSITE):
            with self:  # what it is made of passes here
                return func._op_dk(_COMPOSITE, *args, **kwargs)
        result = func(*args, **kwargs)
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)]
        if any(tensor.device == DEVICE for tensor in tensors):
            self.num_operators += 1
            self._look_at(func, args, tensors)
        return result

    def _look_at(self, func: Any, args: Any, tensors: list[Tensor]) -> None:
        name = str(func.name()).removeprefix("aten::")
        needed = COMPOSED.get(name, {name})
        if not needed <= OPERATORS and f"{name.split('.')[0]}.out" not in OPERATORS:
            self.faults.add(f"no kernel for {name}")
        if name == "grid_sampler_2d" and (args[2] == _BICUBIC or args[3] == _BORDER):
            self.faults.add("grid_sampler_2d with bicubic sampling or a border")
        # on the device itself, and from another one; a number of Python's is of none
        self.faults |= {
            f"{name} of {tensor.dtype}"
            for tensor in tensors
            if tensor.dtype in (torch.float64, torch.complex128)
            and (tensor.device == DEVICE or tensor.dim())
        }


@pytest.fixture(autouse=True)
def _without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "_DEVICES_WITHOUT", frozenset({"meta"}))


@contextmanager
def apple() -> Iterator[None]:
    """Fail at the end if something was done that an Apple GPU cannot do."""
    with _LikeApple() as watched:
        yield
    assert sorted(watched.faults) == []
    assert watched.num_operators


def on_device(kind: Any, name: str) -> Any:
    with shapes_only():
        return build(kind, name)


def frames(*shape: int) -> Tensor:
    return torch.empty(shape, device=DEVICE)


@pytest.mark.parametrize("name", SPATIAL)
def test_spatial_networks_run_and_train(name: str) -> None:
    module = on_device("spatial", name)
    with apple():
        with torch.inference_mode():
            module(frames(1, 3, 32, 48))
        made = module(frames(2, 3, 32, 32))
        if made.requires_grad:
            made.sum().backward()


@pytest.mark.parametrize("name", TEMPORAL)
def test_temporal_networks_run_and_train(name: str) -> None:
    module = on_device("temporal", name)
    size = (module.card.multiple_of * -(-64 // module.card.multiple_of),) * 2
    with apple():
        if name != "dain":  # which takes the same way, and seconds for it
            with torch.inference_mode():
                module(frames(1, 3, *size), frames(1, 3, *size), 0.5)
        made = module(frames(2, 3, *size), frames(2, 3, *size), 0.5)
        if made.requires_grad:
            made.sum().backward()


@pytest.mark.parametrize("stream", ["t2s", "s2t"])
def test_both_streams_run_on_any_size(stream: Any) -> None:
    system = TwoStream(on_device("spatial", "span"), on_device("temporal", "rife"))
    with apple(), torch.inference_mode():
        system(frames(1, 3, 35, 45), frames(1, 3, 35, 45), stream)


def test_the_objective_trains() -> None:
    system = TwoStream(on_device("spatial", "espcn"), on_device("temporal", "dvf"))
    step = JointStage(system, Objective(given_weight=0.5, temporal_weight=0.5))
    with apple():
        lr = tuple(frames(2, 3, 32, 32) for _ in range(3))
        hr = tuple(frames(2, 3, 128, 128) for _ in range(3))
        is_labeled = torch.ones(2, dtype=torch.bool, device=DEVICE)
        step(Batch(lr, hr, is_labeled), 0.5)["loss"].backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_frames_come_and_go(dtype: torch.dtype) -> None:
    for kind in (np.uint8, np.uint16):
        pixels = np.zeros((2, 33, 47, 3), kind)
        with apple(), torch.inference_mode():
            image = ops.to_tensor(pixels, DEVICE, dtype)
            ops.quantise(ops.lanczos(image, (50, 61)))
            ops.quantise(ops.imresize(image, (16, 24)), 65535)
            ops.quantise(ops.upsample(ops.pad_to_multiple(image, 8), 4))
            ops.ycbcr_to_rgb(ops.rgb_to_ycbcr(image))


@pytest.mark.parametrize("fault", ["kernel", "border", "float64", "arrival"])
def test_what_cannot_be_is_found(fault: str) -> None:
    image = frames(1, 3, 8, 8)
    grid = frames(1, 8, 8, 2)
    tried = {
        "kernel": lambda: image.cummax(0),
        "border": lambda: torch.nn.functional.grid_sample(
            image, grid, padding_mode="border", align_corners=True
        ),
        "float64": lambda: image.double(),
        "arrival": lambda: torch.zeros(3, dtype=torch.float64).to(DEVICE, torch.float32),
    }
    with _LikeApple() as watched:
        tried[fault]()
    assert len(watched.faults) >= 1
