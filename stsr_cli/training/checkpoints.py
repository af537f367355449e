"""What a stopped run needs to go on, on disk: a folder a checkpoint, of which the newest complete one counts.

`step-00000120/` holds model.safetensors and ema.safetensors (every tensor of the training network and of its average)
and state.pt (optimizer, random state, position; loaded as plain tensors and values, never as code). A folder appears
under its name when it is complete and on disk; the one before it goes after that.
"""

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stsr_cli.checkpoint import read_tensors, write_tensors
from stsr_cli.errors import StsrError, UsageError, WeightsError
from stsr_cli.files import remove_folder, replace, write_atomically

_PREFIX = "step-"
_PATTERN = _PREFIX + "[0-9]" * 8
_DAMAGES = (OSError, RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError)
_UNKNOWN_BEFORE = {"made_share": 0.0}  # what older checkpoints do not name
MODEL, EMA, STATE = "model.safetensors", "ema.safetensors", "state.pt"


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint in memory.

    Attributes:
        step: optimizer steps done.
        identity: the options that must be the same when the run goes on; plain values.
        model, ema: tensors by name.
        state: tensors and plain values.
    """

    step: int
    identity: Mapping[str, Any]
    model: Mapping[str, Tensor]
    ema: Mapping[str, Tensor]
    state: Mapping[str, Any]


def newest(folder: Path) -> Path | None:
    """The newest complete checkpoint in `folder`, or None."""
    return max(folder.glob(_PATTERN), default=None)


def discard(folder: Path) -> None:
    """Remove every checkpoint, as a run that starts over does."""
    remove_folder(folder)


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint and drop the one before; until the new one is complete, the old one stays.

    Raises:
        StsrError: the disk is full or the folder cannot be written; the message names the step that is kept.
    """
    target = folder / f"{_PREFIX}{checkpoint.step:08d}"
    part = folder / f".{target.name}.part"
    if target.is_dir():  # as at the end of a run that was resumed at its end
        return
    buffer = io.BytesIO()
    torch.save({"identity": dict(checkpoint.identity), "state": dict(checkpoint.state)}, buffer)
    try:
        remove_folder(part)
        part.mkdir(parents=True)
        write_tensors(part / MODEL, checkpoint.model)
        write_tensors(part / EMA, checkpoint.ema)
        write_atomically(part / STATE, buffer.getvalue())
        replace(part, target)
    except (OSError, StsrError) as error:
        remove_folder(part)
        kept = newest(folder)
        left = f"the checkpoint of step {_step_of(kept)} is kept" if kept else "none is there yet"
        raise StsrError(f"cannot save step {checkpoint.step}: {error}; {left}") from error
    # with what runs that were killed while they saved have left behind
    for other in (*folder.glob(_PATTERN), *folder.glob(f".{_PATTERN}.part")):
        if other != target:
            remove_folder(other)


def load_checkpoint(folder: Path, identity: Mapping[str, Any], device: torch.device) -> Checkpoint:
    """Read the newest checkpoint, its state onto `device`.

    Raises:
        UsageError: there is none, or it belongs to a run with other options.
        WeightsError: a file of it is damaged.
    """
    path = newest(folder)
    if path is None:
        raise UsageError(
            f"nothing to resume: no checkpoint in {folder}; start over with --overwrite"
        )
    try:
        saved = torch.load(path / STATE, map_location=device, weights_only=True)
        known, state = dict(saved["identity"]), dict(saved["state"])
        model, ema = read_tensors(path / MODEL), read_tensors(path / EMA)
    except (*_DAMAGES, WeightsError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"cannot resume from {path}: {reason}; start over with --overwrite"
        ) from error
    for name, value in identity.items():
        before = known.get(name, _UNKNOWN_BEFORE.get(name))
        if before != value:
            raise UsageError(
                f"cannot resume: {name} was {before!r} and is now {value!r}; use the same options, "
                "or start over with --overwrite"
            )
    return Checkpoint(_step_of(path), known, model, ema, state)


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix(_PREFIX))
