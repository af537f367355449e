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
        options: module names, and weights or None for the published ones; the device is the caller's business.
        scale: spatial factor; None is f_S's own.
        time_scale: temporal factor.

    Raises:
        UsageError: an unknown module name, or a factor the module cannot reach.
        WeightsError: no weights for a module, weights of another module, or a damaged file.
    """
    # Both modules mostly lie in one file: check, read and build what is in it once.
    read = cache(lambda source: load_weights(resolve_weights(source, options.offline)))
    spatial = _fill("spatial", options.spatial, options, read)
    temporal = _fill("temporal", options.temporal, options, read)
    assert isinstance(spatial, SpatialModule)
    assert isinstance(temporal, TemporalModule)
    return TwoStream(spatial, temporal, scale, time_scale).eval()


def _fill(kind: Kind, name: str, options: ModelOptions, read: Callable[[str], Weights]) -> Module:
    """The module `name`, with the chosen weights, or published ones, or none where it has no parameters."""
    module: Module = build(kind, name)
    if not any(True for _ in module.parameters()):
        return module
    source = options.weights or _published(kind, name, options)
    if source is None:
        raise WeightsError(
            f"stsr has published no weights for the {kind} module {name!r} yet; give --weights: convert a checkpoint "
            f"(stsr weights convert CHECKPOINT --arch {name} -o {name}.safetensors) or train some "
            f"(stsr train --stage {kind} --{kind} {name} ...)"
        )
    found: Module | None = getattr(read(source), kind)
    if found is None or type(found) is not type(module):
        holds = "no" if found is None else f"{type(found).__name__}, not {name},"
        raise WeightsError(
            f"weights {source!r} hold {holds} {kind} weights; choose other weights or another --{kind}"
        )
    return found


def _published(kind: Kind, name: str, options: ModelOptions) -> str | None:
    """The published weights that hold the module; those of the very pair come first, then those that ship."""
    entries = manifest()
    pair = (options.spatial, options.temporal)
    holding = [weights for weights, entry in entries.items() if entry.get(kind) == name]
    holding.sort(
        key=lambda weights: (
            (entries[weights].get("spatial"), entries[weights].get("temporal")) != pair,
            "repo" in entries[weights],
        )
    )
    return holding[0] if holding else None


def to_device(model: TwoStream, device: torch.device, dtype: torch.dtype) -> TwoStream:
    """Move a network to where and how it runs; convolutions are faster with channels last in memory."""
    return model.to(device=device, dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
