"""From names to networks: which weights fill f_S and f_T, and the two-stream network they make, ready to run."""

from collections.abc import Callable
from functools import cache

import torch

from stsr_cli.checkpoint import Weights, load_weights
from stsr_cli.errors import WeightsError
from stsr_cli.hub import manifest, resolve_weights
from stsr_cli.modules import SpatialModule, TemporalModule
from stsr_cli.options import ModelOptions
from stsr_cli.registry import Kind, build
from stsr_cli.streams import TwoStream

Module = SpatialModule | TemporalModule


def load_pair(options: ModelOptions, scale: int | None = None, time_scale: int = 2) -> TwoStream:
    """Build the two-stream network that `options` asks for, in eval mode, float32, on the CPU.

    Args:
        options: module names, and weights or None for the embedded ones; the device is the caller's business.
        scale: spatial factor; None is f_S's own.
        time_scale: temporal factor.

    Raises:
        UsageError: an unknown module name, or a factor the module cannot reach.
        WeightsError: no weights for a module, weights of another module, or a damaged file.
    """
    # Both modules mostly lie in one file: check, read and build what is in it once.
    read = cache(lambda source: load_weights(resolve_weights(source)))
    spatial = _fill("spatial", options.spatial, options, read)
    temporal = _fill("temporal", options.temporal, options, read)
    assert isinstance(spatial, SpatialModule)
    assert isinstance(temporal, TemporalModule)
    return TwoStream(spatial, temporal, scale, time_scale).eval()


def _fill(kind: Kind, name: str, options: ModelOptions, read: Callable[[str], Weights]) -> Module:
    """The module `name`, with the chosen weights, or embedded ones, or none where it has no parameters."""
    module: Module = build(kind, name)
    if not any(True for _ in module.parameters()):
        return module
    source = options.weights or _embedded(kind, name, options)
    if source is None:
        raise WeightsError(
            f"there are no embedded weights for the {kind} module {name!r}; give some with --weights"
        )
    found: Module | None = getattr(read(source), kind)
    if found is None or type(found) is not type(module):
        holds = "no" if found is None else f"{type(found).__name__}, not {name},"
        raise WeightsError(
            f"weights {source!r} hold {holds} {kind} weights; choose other weights or another --{kind}"
        )
    return found


def _embedded(kind: Kind, name: str, options: ModelOptions) -> str | None:
    """The embedded weights that hold the module; those of the very pair that was asked for come first."""
    holding = [weights for weights, entry in manifest().items() if entry.get(kind) == name]
    pair = (options.spatial, options.temporal)
    holding.sort(
        key=lambda weights: (
            (manifest()[weights].get("spatial"), manifest()[weights].get("temporal")) != pair
        )
    )
    return holding[0] if holding else None


def to_device(model: TwoStream, device: torch.device, dtype: torch.dtype) -> TwoStream:
    """Move a network to where and how it runs; convolutions are faster with channels last in memory."""
    return model.to(device=device, dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
