"""From names to networks: which weights fill f_S and f_T, or CDCA, and the system they make, ready to run."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from stsr_cli.cdca import CDCA
from stsr_cli.checkpoint import Weights, load_weights
from stsr_cli.errors import WeightsError
from stsr_cli.hub import manifest, resolve_weights
from stsr_cli.modules import SpatialModule, TemporalModule, shapes_only
from stsr_cli.options import ModelOptions
from stsr_cli.registry import Kind, build
from stsr_cli.streams import TwoStream

Module = SpatialModule | TemporalModule
System = TwoStream | CDCA
Network = TypeVar("Network", bound=nn.Module)


OnRead = Callable[[str, Path], None]


def load_system(
    options: ModelOptions,
    scale: int | None = None,
    time_scale: int = 2,
    on_read: OnRead = lambda name, path: None,
) -> System:
    """Build the system that `options` asks for, as `load_pair` does; both kinds are called in the same way."""
    if options.system == "cdca":
        return _load_cdca(options, scale, time_scale, on_read)
    return load_pair(options, scale, time_scale, on_read)


def load_pair(
    options: ModelOptions,
    scale: int | None = None,
    time_scale: int = 2,
    on_read: OnRead = lambda name, path: None,
) -> TwoStream:
    """Build the two-stream network that `options` asks for, in eval mode, float32, on the CPU.

    Args:
        options: module names, and weights; the device is the caller's business.
        scale: spatial factor; None is f_S's own.
        time_scale: temporal factor.
        on_read: told the name and the file of each weights file that is read.

    Raises:
        UsageError: an unknown module name, or a factor the module cannot reach.
        WeightsError: no weights for a module, weights of other modules, or a damaged file.
    """
    read = _reader(options, on_read)
    spatial = _fill("spatial", options.spatial, options, read)
    temporal = _fill("temporal", options.temporal, options, read)
    assert isinstance(spatial, SpatialModule)
    assert isinstance(temporal, TemporalModule)
    used = {type(spatial), type(temporal)}
    chosen = [read(source) for source in options.weights]
    if chosen and not any({type(one.spatial), type(one.temporal)} & used for one in chosen):
        raise WeightsError(
            f"weights {_listed(options.weights)} hold neither {options.spatial} nor {options.temporal}; "
            "choose other weights, or modules they hold"
        )
    return TwoStream(spatial, temporal, scale, time_scale).eval()


def _load_cdca(options: ModelOptions, scale: int | None, time_scale: int, on_read: OnRead) -> CDCA:
    """CDCA from the last of the chosen weights that hold it, or from the published ones."""
    read = _reader(options, on_read)
    for source in reversed(options.weights or ("cdca",)):
        cdca = read(source).cdca
        if cdca is not None:
            cdca.set_factors(scale, time_scale)
            return cdca
    raise WeightsError(
        f"weights {_listed(options.weights)} hold no cdca weights; choose other weights, or --system streams"
    )


def _reader(options: ModelOptions, on_read: OnRead) -> Callable[[str], Weights]:
    """Both modules mostly lie in one file: check, read and build what is in it once."""

    @cache
    def read(source: str) -> Weights:
        path = resolve_weights(source, options.offline)
        on_read(source, path)
        return load_weights(path)

    return read


def _listed(sources: tuple[str, ...]) -> str:
    return ", ".join(repr(source) for source in sources)


def _fill(kind: Kind, name: str, options: ModelOptions, read: Callable[[str], Weights]) -> Module:
    """The module `name`: from the last of the chosen weights that hold it, or published; or without any parameters."""
    with shapes_only():  # its type and whether it has parameters; these are not worth initialising
        module: Module = build(kind, name)
    if not any(True for _ in module.parameters()):
        return build(kind, name)
    others = []
    for source in reversed(options.weights):
        found: Module | None = getattr(read(source), kind)
        if type(found) is type(module):
            return found
        if found is not None:
            others.append(type(found).__name__)
    if others:
        raise WeightsError(
            f"weights {_listed(options.weights)} hold {', '.join(others)}, not {name}, as {kind} weights; "
            f"choose other weights or another --{kind}"
        )
    published: Module = getattr(read(_published(kind, name, options)), kind)
    return published


def _published(kind: Kind, name: str, options: ModelOptions) -> str:
    """The published weights that hold the module; those of the very pair come first, then those that ship.

    Weights of modules trained apart are for the paper's baseline B, and never a choice for anything else; weights whose
    "choice" is "by name" are a larger variant, for who asks for it.
    """
    is_baseline = options.system == "baseline"
    holding = {
        weights: entry
        for weights, entry in manifest().items()
        if entry.get(kind) == name
        and (entry.get("training") == "separate") == is_baseline
        and entry.get("choice") != "by name"
    }
    if not holding:
        apart = ", trained apart," if is_baseline else ""
        raise WeightsError(
            f"stsr has published no weights for the {kind} module {name!r}{apart} yet; give --weights: convert a "
            f"checkpoint (stsr weights convert CHECKPOINT --arch {name} -o {name}.safetensors) or train some "
            f"(stsr train --stage {kind} --{kind} {name} ...)"
        )
    pair = (options.spatial, options.temporal)

    def rank(weights: str) -> tuple[bool, bool]:
        entry = holding[weights]
        return (entry.get("spatial"), entry.get("temporal")) != pair, "repo" in entry

    return min(holding, key=rank)


def to_device(model: Network, device: torch.device, dtype: torch.dtype) -> Network:
    """Move a network to where and how it runs; convolutions are faster with channels last in memory."""
    return model.to(device=device, dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
