"""What torch.save pickles, read as data: nothing that a pickle names is imported, and nothing it asks for is called.

A pickle is a program for a small stack machine that may call any function of any module. `pickle` and `torch.load`
run it; this file interprets it. `pickletools` splits it into instructions, a global stays a name, and calling one
makes an `Object` that only remembers the name; the few names that describe tensors and dictionaries are understood
here. A pickle that names anything outside a short list is refused all the same, since it is no weights file.

`torch.load(weights_only=True)` refuses whole modules and dates, and with a restricted unpickler in its place it still
unpacks tar files, loads TorchScript and looks into the classes of old modules (PyTorch 2.13).

Source: CPython Lib/pickletools.py (the instructions); torch/_utils.py (what tensors are written as).
"""

import pickletools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch

from stsr_cli.errors import WeightsError

MAX_STEPS = (
    1_000_000  # instructions; a thousand tensors and their optimiser's state take some 100 000
)

DTYPES = {
    "BFloat16Storage": torch.bfloat16,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "ShortStorage": torch.int16,
    "UntypedStorage": torch.uint8,
}
_KNOWN_PREFIXES = ("torch.nn.", "torch.optim.")
_KNOWN = {
    *(f"{module}.{name}" for name in DTYPES for module in ("torch", "torch.cuda", "torch.storage")),
    *(f"{module}.{name[:-7]}Tensor" for name in DTYPES for module in ("torch", "torch.cuda")),
    *map(str, DTYPES.values()),
    *"torch.Size torch.device torch.Tensor torch._tensor.Tensor torch.autograd.variable.Variable".split(),
    *"torch._utils._rebuild_tensor torch._utils._rebuild_tensor_v2".split(),
    *"torch._utils._rebuild_parameter torch._utils._rebuild_parameter_with_state".split(),
    *"torch._tensor._rebuild_from_type_v2 collections.OrderedDict collections.defaultdict".split(),
    *"collections.Counter argparse.Namespace _codecs.encode".split(),
    *"numpy.dtype numpy.core.multiarray.scalar numpy._core.multiarray.scalar".split(),
    *"datetime.date datetime.datetime datetime.time datetime.timedelta datetime.timezone".split(),
    *"builtins.set builtins.dict builtins.list builtins.object builtins.complex".split(),
}
_LITERALS = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE "
    "SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8".split()
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


@dataclass(frozen=True)
class Global:
    """The name of a class or function, 'torch.nn.modules.conv.Conv2d': never the thing itself."""

    name: str


@dataclass(eq=False)
class Object:
    """What calling the global `name` would have made; `state` is what would have become its attributes."""

    name: str
    state: Any = None


@dataclass(frozen=True)
class Storage:
    """Elements `first` and on of the record `key`."""

    key: str
    dtype: torch.dtype
    num_elements: int
    first: int = 0


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies in its storage, counted in elements: what the pickle says, unchecked."""

    storage: Any
    offset: Any
    size: Any
    stride: Any


def unpickle(
    file: BinaryIO, more_known: Collection[str] = (), storages: dict[str, Storage] | None = None
) -> Any:
    """Interpret the pickle at the file's position.

    Args:
        file: stands right behind the pickle afterwards.
        more_known: dotted names that the pickle may use besides those of PyTorch and plain data.
        storages: filled with the storages that the pickle names.

    Returns:
        Plain values, lists and dictionaries (of any kind), and the inert things above. Sets are lists.

    Raises:
        WeightsError: it names something else, or is far too long.
        Exception: of any other kind, when it is damaged.
    """
    stack: list[Any] = []
    outer: list[list[Any]] = []
    memo: dict[int, Any] = {}
    storages = {} if storages is None else storages
    num_steps = 0
    argument: Any

    def pop_to_mark() -> list[Any]:
        nonlocal stack
        items, stack = stack, outer.pop()
        return items

    for opcode, argument, _ in pickletools.genops(file):
        num_steps += 1
        if num_steps > MAX_STEPS:
            raise WeightsError(
                f"its pickle takes more than {MAX_STEPS} steps, so it is no weights file"
            )
        match opcode.name:
            case name if name in _LITERALS or name in _CONSTANTS:
                stack.append(_CONSTANTS.get(name, argument))
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "MARK":
                outer.append(stack)
                stack = []
            case "TUPLE1" | "TUPLE2" | "TUPLE3" as name:
                count = int(name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "TUPLE" | "LIST" as name:
                items = pop_to_mark()
                stack.append(tuple(items) if name == "TUPLE" else items)
            case "DICT":
                items = pop_to_mark()
                stack.append(_pairs(items))
            case "EMPTY_LIST" | "EMPTY_SET":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "APPEND" | "APPENDS" | "ADDITEMS" as name:
                items = [stack.pop()] if name == "APPEND" else pop_to_mark()
                if isinstance(stack[-1], list):
                    stack[-1].extend(items)
            case "SETITEM" | "SETITEMS" as name:
                items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else pop_to_mark()
                if isinstance(stack[-1], dict):
                    stack[-1].update(_pairs(items))
            case "GLOBAL":
                stack.append(_global(argument.split(" "), more_known))
            case "STACK_GLOBAL":
                stack.append(_global([stack.pop(-2), stack.pop()], more_known))
            case "REDUCE" | "NEWOBJ" | "NEWOBJ_EX" as name:
                if name == "NEWOBJ_EX":
                    stack.pop()  # keyword arguments
                arguments = stack.pop()
                num_steps += sum(len(a) if isinstance(a, list) else 1 for a in arguments)
                stack.append(_call(stack.pop(), arguments))
            case "BUILD":
                state = stack.pop()
                if isinstance(stack[-1], Object):
                    stack[-1].state = state
            case "BINPERSID":
                stack.append(_outside(stack.pop(), storages))
            case "STOP":
                return stack.pop()
            case "PROTO" | "FRAME":
                pass
            case name:
                raise WeightsError(f"its pickle has {name}, an instruction torch.save never writes")
    raise EOFError("no STOP")


def _pairs(items: Sequence[Any]) -> dict[Any, Any]:
    """Return {item0: item1, ...}. Keys of other than plain types, which may take forever to hash, become objects."""
    plain = (str, int, float, bytes, type(None))
    keys = (key if isinstance(key, plain) else Object("key") for key in items[::2])
    return dict(zip(keys, items[1::2], strict=True))


def _global(words: Sequence[str], more_known: Collection[str]) -> Global:
    module, attribute = words
    name = (
        f"{'builtins' if module == '__builtin__' else module}.{attribute}"  # as Python 2 calls it
    )
    is_known = name in _KNOWN or name in more_known or name.startswith(_KNOWN_PREFIXES)
    if not is_known or not attribute.isidentifier():
        raise WeightsError(
            f"it asks for {name[:100]!r}, and stsr runs no code of a file; if you trust its maker, save "
            "model.state_dict() alone in the program it is from"
        )
    return Global(name)


def _call(called: Any, arguments: Any) -> Any:
    """Stand in for `called(*arguments)`."""
    if not isinstance(called, Global) or not isinstance(arguments, tuple):
        raise TypeError("a call of something that is no function")
    match called.name, arguments:
        case (
            "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2",
            (storage, offset, size, stride, *more),
        ):
            if any(more[2:]):
                raise WeightsError("it holds a conjugate or negative view; save a copy instead")
            return StoredTensor(storage, offset, size, stride)
        case "torch._tensor._rebuild_from_type_v2", (Global() as rebuild, _, inner, *_):
            return Object(called.name) if rebuild == called else _call(rebuild, inner)
        case (
            "torch.nn.parameter.Parameter"
            | "torch.autograd.variable.Variable"
            | "torch._utils._rebuild_parameter"
            | "torch._utils._rebuild_parameter_with_state",
            (data, *_),
        ):
            return data
        case "torch.Size" | "builtins.set", (items,):
            return items
        case "collections.OrderedDict", ([*pairs],):  # as Python 2 writes it
            return _pairs([item for key, value in pairs for item in (key, value)])
        case "collections.OrderedDict" | "collections.defaultdict", _:
            return {}
    return Object(called.name)


def _outside(identity: Any, storages: dict[str, Storage]) -> Any:
    """Resolve what torch.save keeps outside the pickle: storages and, long ago, the source code of modules."""
    match identity[:6]:
        case "module", Global() as of_class, *_:
            return of_class
        case "storage", Global(name), str() | int() as key, _, int() as num_elements, *view:
            dtype = DTYPES[name.rpartition(".")[2]]
            storage = storages.setdefault(str(key), Storage(str(key), dtype, num_elements))
            if any(view):
                _, first, count = view[0]
                return Storage(storage.key, dtype, count, first)
            return Storage(storage.key, dtype, num_elements)
    raise TypeError("an unknown persistent id")
