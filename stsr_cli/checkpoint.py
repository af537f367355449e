"""Weights on disk: safetensors with the configuration of their modules inside, so that the two cannot disagree.

A file holds f_S, f_T or both, or CDCA: tensors are named `spatial.*`, `temporal.*`, `cdca.*`, and the header's metadata
holds, under `stsr-1` as JSON, what each is and how it was trained: `{"spatial": {"name", "config"}, "temporal": {...},
"cdca": {...}, "training": {..., "start": [{"name", "licence"}]}}`, where "start" is what the training began from. It is
one key, since safetensors writes several in random order and the same weights should have the same sha256. Nothing in a
file is ever executed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from stsr_cli import registry
from stsr_cli.cdca import CDCA
from stsr_cli.errors import WeightsError
from stsr_cli.files import parse_json, write_atomically
from stsr_cli.modules import SpatialModule, TemporalModule, shapes_only

Part = Literal["spatial", "temporal", "cdca"]

_FORMAT = "stsr-1"
_HALVES = (torch.float16, torch.bfloat16)  # a file may be stored so; networks are float32
_MOST = 4096  # of anything in a configuration: channels, blocks; a larger network than that is no network
_MOST_SHOWN = 300  # characters of a message that a file has a part in
PARTS: tuple[Part, ...] = ("spatial", "temporal", "cdca")


@dataclass(frozen=True)
class Weights:
    """What a weights file holds.

    Attributes:
        spatial: f_S in eval mode on the CPU, or None.
        temporal: f_T, likewise.
        cdca: the network of CDCA, likewise.
        training: how it was trained: plain JSON, for people.
    """

    spatial: SpatialModule | None = None
    temporal: TemporalModule | None = None
    cdca: CDCA | None = None
    training: Mapping[str, Any] = field(default_factory=dict)


def save_weights(path: Path, weights: Weights) -> None:
    """Write `weights` to `path` atomically (see `write_atomically` for what is raised)."""
    tensors: dict[str, Tensor] = {}
    header: dict[str, Any] = {"training": dict(weights.training)}
    for part in PARTS:
        module: SpatialModule | TemporalModule | CDCA | None = getattr(weights, part)
        if module is not None:
            header[part] = {"name": registry.name_of(module), "config": module.config}
            for tensor_name, tensor in module.state_dict().items():
                tensors[f"{part}.{tensor_name}"] = tensor
    write_tensors(path, tensors, {_FORMAT: json.dumps(header, sort_keys=True)})


def read_header(path: Path) -> dict[str, Any]:
    """Return the configuration inside a weights file without reading its tensors.

    Raises:
        WeightsError: the file is missing, damaged, or not one of stsr's.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise WeightsError(
            f"cannot read weights {path}: the file is damaged, cut short or no .safetensors file; fetch it again"
        ) from error
    except OSError as error:
        raise WeightsError(f"cannot read weights {path}: {error}") from error
    if _FORMAT not in metadata:
        raise WeightsError(f"{path} holds no stsr weights (its header has no {_FORMAT!r})")
    try:
        header = parse_json(metadata[_FORMAT])
    except ValueError:
        header = None
    if not isinstance(header, dict) or not isinstance(header.get("training", {}), dict):
        raise WeightsError(f"{path}: damaged configuration in the header; fetch the file again")
    return header


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of any .safetensors file, stsr's or not.

    Raises:
        OSError, SafetensorError: the file is missing or damaged.
    """
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read what `write_tensors` wrote.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    try:
        return read_safetensors(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"cannot read {path.name}: {error}") from error


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors of any device, and the header's metadata, atomically (see `write_atomically`)."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(plain, metadata))


def load_weights(path: Path) -> Weights:
    """Build the networks a weights file describes and fill them.

    Raises:
        WeightsError: see `read_header`; also a module this version does not have, tensors that do not fit it, or NaN.
    """
    header = read_header(path)
    tensors = {
        name: tensor.float() if tensor.dtype in _HALVES else tensor
        for name, tensor in read_safetensors(path).items()
    }
    for name, tensor in tensors.items():
        if not (tensor.float() if tensor.is_floating_point() else tensor).isfinite().all():
            raise WeightsError(
                f"{path}: {shortened(name)} holds values that are not finite (NaN or inf); choose other weights"
            )
    built: dict[str, Any] = {}
    for part in PARTS:
        if part in header:
            its_tensors = {
                name.removeprefix(f"{part}."): tensor
                for name, tensor in tensors.items()
                if name.startswith(f"{part}.")
            }
            built[part] = _build(path, part, header[part], its_tensors)
    return Weights(**built, training=header.get("training", {}))


def _build(
    path: Path, part: Part, description: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> SpatialModule | TemporalModule | CDCA:
    """The network that an untrusted header describes; it takes no memory before its tensors are known to fit."""
    try:
        with shapes_only():
            name, config = str(description["name"]), dict(description["config"])
            _check_plain(config)
            module = CDCA(**config) if part == "cdca" else registry.build(part, name, config)
        module.load_state_dict(tensors, assign=True)
    except Exception as error:  # whatever a senseless configuration can cause
        reason = shortened((str(error).splitlines() or [type(error).__name__])[0])
        raise WeightsError(f"{path}: {part} weights do not fit this version: {reason}") from error
    return module.eval()


def _check_plain(value: Any) -> None:
    """Refuse a configuration that it would take minutes or gigabytes to find senseless.

    Raises:
        ValueError: a number, a text or a list in it is larger than in any network.
    """
    match value:
        case dict():
            _check_plain([*value, *value.values()])
        case list():
            if len(value) > _MOST:
                raise ValueError(f"a list of {len(value)} in the configuration, {_MOST} at most")
            for item in value:
                _check_plain(item)
        case str():
            if len(value) > _MOST:
                raise ValueError(f"a text of {len(value)} characters in the configuration")
        case int() | float():
            if not abs(value) <= _MOST:
                raise ValueError(f"{float(value):.4g} in the configuration, {_MOST} at most")


def shortened(text: str) -> str:
    """What a file says, fit for a one-line message."""
    text = text if text.isprintable() else repr(text)[1:-1]
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
