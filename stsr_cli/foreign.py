"""Other people's PyTorch checkpoints as plain tensors: it knows containers, not networks. No code in a file ever runs.

`torch.save` writes a pickle, which `unpickle` reads as data, and the raw bytes of each storage: since PyTorch 1.6 as
records of an uncompressed zip archive, before that one behind the other. A storage is read when a tensor needs it,
so that an optimiser's state costs nothing, and a tensor is made only where it lies inside its storage.

Source: torch/serialization.py (`_load` and `_legacy_load`, the two formats).
"""

import functools
import io
import math
import struct
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stsr_cli.checkpoint import read_safetensors
from stsr_cli.errors import WeightsError
from stsr_cli.unpickle import MAX_STEPS, Object, Storage, StoredTensor, unpickle

_STATE_DICTS = ("ema_state_dict", "params_ema", "state_dict", "params", "model_state_dict", "model")
_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_MAX_KEY_LENGTH = 1_000

ReadRecord = Callable[[str], bytearray]


def read_tensors(
    path: Path,
    *,
    parts: Sequence[str] = (),
    module_globals: Collection[tuple[str, str]] = (),
) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint of `torch.save` (either format) or a .safetensors file.

    Read are a state dict, one inside a container (under the first of `_STATE_DICTS` that is there: the
    moving average comes first, as it is what a network is evaluated with), and a whole pickled module. A
    `module.` before every key, which DataParallel leaves, is taken off.

    Args:
        path: the file.
        parts: names of several state dicts in one container, ("state_dictFC", "state_dictAT"); keys come out as
            'state_dictFC.<key>'. Without it the container has one.
        module_globals: (module, class) pairs that a whole pickled module may name besides torch.nn's,
            ("vdsr", "Net").

    Returns:
        Finite CPU tensors without gradient, in the file's order; tensors that share memory in the file still do.

    Raises:
        WeightsError: the file is missing, damaged, no checkpoint, needs code, or holds anything but finite tensors.
    """
    known = {".".join(pair) for pair in module_globals}
    try:
        if not path.is_file():
            raise WeightsError("it is no file" if path.exists() else "there is no such file")
        tensors = _read(path, parts, known)
        if not tensors:
            raise WeightsError("it holds no tensors")
        if sum(tensor.nbytes for tensor in tensors.values()) > 100 * path.stat().st_size:
            raise WeightsError("its tensors claim a hundred times what the file holds")
        for key, tensor in tensors.items():
            if not bool(torch.isfinite(tensor).all()):
                raise WeightsError(f"{key!r} holds NaN or infinity")
    except WeightsError as error:
        raise WeightsError(f"cannot read weights {path}: {error}") from error
    except OSError as error:
        raise WeightsError(f"cannot read weights {path}: {error.strerror or error}") from error
    except Exception as error:  # whatever a senseless pickle or zip can cause
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise WeightsError(
            f"cannot read weights {path}: it is cut short or damaged ({reason}); fetch it again"
        ) from error
    return tensors


def _read(path: Path, parts: Sequence[str], known: Collection[str]) -> dict[str, Tensor]:
    with path.open("rb") as file:
        head = file.peek(512)[:512]
        if head[4:9] == b"\0\0\0\0{":  # the length of a JSON header, and its brace
            return _strip(read_safetensors(path))
        root, read_record = _open(file, head, known)
        found = _select(root, parts)
        return {key: _build(key, tensor, read_record) for key, tensor in found.items()}


def _open(file: io.BufferedReader, head: bytes, known: Collection[str]) -> tuple[Any, ReadRecord]:
    """Return a checkpoint's unpickled root and what reads the bytes of its storages."""
    if head.startswith(b"PK\x03\x04"):
        return _open_zip(file, known)
    if head.startswith(b"\x80"):
        return _open_legacy(file, known)
    if not head:
        raise WeightsError("it is empty")
    if head.startswith(b"version https://git-lfs"):
        raise WeightsError("it is a Git LFS pointer, not the file itself; run git lfs pull")
    if head.lstrip()[:5].lower() in {b"<!doc", b"<html"}:
        raise WeightsError("it is a web page; download the file itself")
    raise WeightsError(f"it is no PyTorch checkpoint or .safetensors file (begins {head[:8]!r})")


def _open_zip(file: io.BufferedReader, known: Collection[str]) -> tuple[Any, ReadRecord]:
    archive = zipfile.ZipFile(file)
    records = {info.filename.partition("/")[2]: info for info in archive.infolist()}
    if "constants.pkl" in records:
        raise WeightsError("it is a TorchScript program; save its state_dict() instead")
    if "data.pkl" not in records:
        raise WeightsError("it is a zip archive, but not one of torch.save (it has no data.pkl)")
    if any(info.compress_type != zipfile.ZIP_STORED for info in records.values()):
        raise WeightsError("it is compressed, which torch.save never does; fetch the original")
    if sum(info.file_size for info in records.values()) > file.seek(0, io.SEEK_END):
        raise WeightsError("its records are larger than the file; fetch it again")
    if "byteorder" in records and archive.read(records["byteorder"]) != b"little":
        raise WeightsError("it is from a big-endian machine; save it on another one")

    @functools.cache
    def read_record(key: str) -> bytearray:
        return bytearray(archive.read(records[f"data/{key}"]))

    return unpickle(io.BytesIO(archive.read(records["data.pkl"])), known), read_record


def _open_legacy(file: io.BufferedReader, known: Collection[str]) -> tuple[Any, ReadRecord]:
    """Five pickles (magic number, version, machine, root, storage keys), then each storage: a count, the elements."""
    if unpickle(file, known) != _MAGIC_NUMBER:
        raise WeightsError("it is a pickle, but not one of torch.save")
    _version, _machine = unpickle(file, known), unpickle(file, known)
    storages: dict[str, Storage] = {}
    root = unpickle(file, known, storages)
    keys = unpickle(file, known)
    position, end = file.tell(), file.seek(0, io.SEEK_END)
    places = {}
    for key in map(str, keys):
        file.seek(position)
        (num_elements,) = struct.unpack("<q", file.read(8))
        num_bytes = num_elements * storages[key].dtype.itemsize
        places[key] = (position + 8, num_bytes)
        position += 8 + num_bytes
        if num_bytes < 0 or position > end:
            raise WeightsError("it is cut short; fetch it again")

    @functools.cache
    def read_record(key: str) -> bytearray:
        start, num_bytes = places[key]
        file.seek(start)
        return bytearray(file.read(num_bytes))

    return root, read_record


def _select(root: Any, parts: Sequence[str]) -> dict[str, StoredTensor]:
    """Find the state dicts in an unpickled root."""
    if not parts:
        if isinstance(root, dict):
            named = (root[name] for name in _STATE_DICTS if name in root)
            root = next((value for value in named if isinstance(value, dict | Object)), root)
        return _strip(_tensors_of(root))
    found = {}
    for part in parts:
        if not isinstance(root, dict) or part not in root:
            raise WeightsError(f"it has no {part!r}{_names_in(root)}")
        inner = _strip(_tensors_of(root[part]))
        found.update({f"{part}.{key}": tensor for key, tensor in inner.items()})
    return found


def _strip(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Take off the `module.` of DataParallel and of AveragedModel, which counts its averages beside it."""
    prefix, kept = "module.", [key for key in tensors if key != "n_averaged"]
    if not all(key.startswith(prefix) for key in kept):
        return dict(tensors)
    return {key.removeprefix(prefix): tensors[key] for key in kept}


def _names_in(value: Any) -> str:
    names = [key[:40] for key in value if isinstance(key, str)] if isinstance(value, dict) else []
    return f"; it holds {', '.join(map(repr, names[:10]))}" if names else ""


def _tensors_of(value: Any) -> dict[str, StoredTensor]:
    """Return the tensors of a state dict or, as its state_dict() would name them, of a pickled module."""
    if isinstance(value, Object):
        value = _parameters_of(value)
    if not isinstance(value, dict):
        kind = "tensor" if isinstance(value, StoredTensor) else type(value).__name__
        raise WeightsError(f"it holds a {kind} where a state dict was expected")
    found = {}
    for key, item in value.items():
        tensor = _as_tensor(item)
        if tensor is None or not isinstance(key, str) or len(key) > _MAX_KEY_LENGTH:
            what = f"{key[:80]!r}" if isinstance(key, str) else "a key that is no name"
            raise WeightsError(f"it holds {what} where a tensor was expected{_names_in(value)}")
        found[key] = tensor
    return found


def _as_tensor(value: Any) -> StoredTensor | None:
    """Undo how PyTorch 0.1 to 0.3 wrote tensors and parameters: an empty object, then its state."""
    if isinstance(value, Object) and isinstance(value.state, tuple):
        if value.name.endswith((".Parameter", ".Variable")) and value.state:
            value = value.state[0]
        elif value.name.endswith("Tensor") and len(value.state) == 4:
            value = StoredTensor(*value.state)
    return value if isinstance(value, StoredTensor) else None


def _parameters_of(module: Object) -> dict[str, Any]:
    found: dict[str, Any] = {}
    pending, num_steps = [("", module)], 0
    while pending:
        prefix, module = pending.pop()
        state = module.state if isinstance(module.state, dict) else {}
        tables = [state.get(name, {}) for name in ("_parameters", "_buffers", "_modules")]
        transient = state.get("_non_persistent_buffers_set", [])
        num_steps += 1 + (1 + len(transient)) * sum(map(len, tables))
        if num_steps > MAX_STEPS or len(prefix) > _MAX_KEY_LENGTH:
            raise WeightsError("its modules are nested without end")
        for table in tables[:2]:
            for name, value in table.items():
                if value is not None and name not in transient:
                    found[prefix + name] = value
        children = [(f"{prefix}{name}.", child) for name, child in tables[2].items()]
        pending += [pair for pair in reversed(children) if isinstance(pair[1], Object)]
    return found


def _build(key: str, tensor: StoredTensor, read_record: ReadRecord) -> Tensor:
    """Make a tensor on the bytes of its storage, after checking that it lies within them."""
    storage, offset, size, stride = tensor.storage, tensor.offset, tensor.size, tensor.stride
    if not isinstance(storage, Storage) or len(size) != len(stride) or len(size) > 64:
        raise WeightsError(f"{key!r} is a damaged tensor")
    num_elements = math.prod(size)
    last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    if min(offset, storage.first, *size, *stride) < 0 or (
        num_elements > 0 and max(last, num_elements - 1) >= storage.num_elements
    ):
        raise WeightsError(f"{key!r} is larger than its storage")
    if num_elements == 0:
        return torch.empty(tuple(size), dtype=storage.dtype)
    content, start = read_record(storage.key), storage.first * storage.dtype.itemsize
    # raises where the record is shorter than the pickle says
    elements = torch.frombuffer(
        content, dtype=storage.dtype, count=storage.num_elements, offset=start
    )
    return elements.as_strided(tuple(size), tuple(stride), offset)
