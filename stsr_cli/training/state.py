"""What a stopped run needs to go on, on disk; loaded as plain tensors and values, never as code."""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch

from stsr_cli.checkpoint import write_atomically
from stsr_cli.errors import UsageError, WeightsError


def save_state(path: Path, identity: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write a run's state atomically; a full disk keeps the previous one.

    Args:
        path: file to write.
        identity: the options that must be the same when the run goes on; plain values.
        state: tensors and plain values.
    """
    buffer = io.BytesIO()
    torch.save({"identity": dict(identity), "state": dict(state)}, buffer)
    write_atomically(path, buffer.getvalue())


def load_state(path: Path, identity: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Read what `save_state` wrote, onto `device`.

    Raises:
        UsageError: there is no such file, or it belongs to a run with other options.
        WeightsError: the file is damaged.
    """
    try:
        saved = torch.load(path, map_location=device, weights_only=True)
        known, state = saved["identity"], saved["state"]
    except FileNotFoundError as error:
        raise UsageError(
            f"nothing to resume: {path} does not exist; leave --resume out to start"
        ) from error
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"cannot resume from {path}: {reason}; leave --resume out to start over"
        ) from error
    for name, value in identity.items():
        if known.get(name) != value:
            raise UsageError(
                f"cannot resume: {name} was {known.get(name)!r} and is now {value!r}; use the same options, "
                "or leave --resume out to start over"
            )
    return cast(dict[str, Any], state)
