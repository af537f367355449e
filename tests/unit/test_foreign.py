"""Foreign checkpoints: tensors come out of every container there is, and nothing a file says is ever run."""

import copy
import datetime
import pickle
import random
import struct
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from stsr_cli.errors import WeightsError
from stsr_cli.foreign import read_tensors

DATA = Path(__file__).parents[1] / "data"
FORMATS = {"zip": True, "legacy": False}
VDSR = [("vdsr", "Net"), ("vdsr", "Conv_ReLU_Block")]


@pytest.fixture(params=FORMATS)
def save(request, tmp_path):
    """torch.save to a file, in each of its two formats; returns the path."""

    def write(content, **options):
        path = tmp_path / f"{request.param}.pth"
        is_zip = FORMATS[request.param]
        torch.save(content, path, _use_new_zipfile_serialization=is_zip, **options)
        return path

    return write


def small(start=0.0):
    return OrderedDict(
        {
            "conv.weight": torch.arange(24.0).reshape(2, 3, 2, 2) + start,
            "conv.bias": torch.tensor([0.5, -2.0]) + start,
            "bn.num_batches_tracked": torch.tensor(7),
        }
    )


def assert_same(found, expected):
    assert list(found) == list(expected)
    for key, tensor in expected.items():
        assert type(found[key]) is torch.Tensor
        assert found[key].dtype == tensor.dtype
        assert not found[key].requires_grad
        assert torch.equal(found[key], tensor.detach()), key


def refuse(path, words, **options):
    """Assert that reading fails in one line that holds these words."""
    with pytest.raises(WeightsError, match=words) as caught:
        read_tensors(path, **options)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 700


# What can be read


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_plain_state_dict(save, protocol):
    assert_same(read_tensors(save(small(), pickle_protocol=protocol)), small())
    assert_same(read_tensors(save(dict(small()), pickle_protocol=protocol)), small())


def test_every_dtype_layout_and_shape(save):
    base = torch.arange(40.0).reshape(5, 8)
    tensors = {
        str(dtype): torch.tensor([0, 1, 1, 0]).to(dtype)
        for dtype in (
            *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool),
            *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
        )
    }
    tensors |= {"transposed": base.T, "slice": base[1:4, 2::3], "scalar": torch.tensor(3.5)}
    tensors |= {"empty": torch.empty(0, 3), "parameter": nn.Parameter(base + 1), "base": base}
    assert_same(read_tensors(save(tensors)), tensors)


def test_tied_tensors_stay_tied(save):
    weight = torch.arange(6.0)
    found = read_tensors(save({"a": weight, "b": weight.view(2, 3)}))
    assert found["a"].data_ptr() == found["b"].data_ptr()


@pytest.mark.parametrize(
    "name", ["state_dict", "ema_state_dict", "params", "params_ema", "model_state_dict", "model"]
)
def test_containers(save, name):
    container = {"epoch": 3, "arch": {"depth": [1, 2]}, name: small(), "best_psnr": 31.5}
    assert_same(read_tensors(save(container)), small())


def test_the_moving_average_comes_first(save):
    container = {"state_dict": small(), "ema_state_dict": small(1.0)}
    assert_same(read_tensors(save(container)), small(1.0))


def test_prefix_of_data_parallel(save):
    prefixed = OrderedDict((f"module.{key}", tensor) for key, tensor in small().items())
    assert_same(read_tensors(save(prefixed)), small())
    assert_same(read_tensors(save({"state_dict": prefixed})), small())
    mixed = prefixed | {"other": torch.ones(1)}
    assert_same(read_tensors(save(mixed)), mixed)


def test_averaged_model(save):
    model = nn.Conv2d(1, 2, 3)
    average = torch.optim.swa_utils.AveragedModel(model)
    assert_same(read_tensors(save({"ema_state_dict": average.state_dict()})), model.state_dict())


def test_training_state_beside_the_weights(save):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    moments = {0: {"step": torch.tensor(2.0), "exp_avg": torch.ones(2, 1, 3, 3)}}
    optimizer = {"state": moments, "param_groups": [{"betas": (0.9, 0.999), "params": [0, 1]}]}
    scores = {"psnr": torch.tensor(30.0).numpy()[()], "best": {"tags": {"a", "b"}, "c": 1j}}
    container = {"state_dict": model.state_dict(), "optimizer": optimizer, **scores}
    container |= {"date": datetime.date(2018, 1, 1), "shape": torch.Size([1]), "d": torch.float16}
    assert_same(read_tensors(save(container)), model.state_dict())


def super_slomo():
    return {
        "Detail": "End to end Super SloMo.",
        "timestamp": datetime.datetime(2018, 9, 1, 12, 30),
        "loss": [0.5, 0.25],
        "state_dictFC": small(),
        "state_dictAT": small(1.0),
    }


def test_several_parts(save):
    parts = ("state_dictFC", "state_dictAT")
    expected = {
        f"{part}.{key}": tensor
        for part, tensors in zip(parts, (small(), small(1.0)), strict=True)
        for key, tensor in tensors.items()
    }
    assert_same(read_tensors(save(super_slomo()), parts=parts), expected)


def test_a_missing_part_is_named(save):
    path = save(super_slomo())
    refuse(path, "it has no 'state_dictX'; it holds .*'state_dictFC'", parts=["state_dictX"])
    refuse(path, "'Detail' where a tensor was expected; it holds .*'state_dictFC'")
    refuse(save(small()), "a tensor where a state dict was expected", parts=["conv.weight"])
    refuse(save([small()]), "it has no 'a'", parts=["a"])


def test_safetensors(tmp_path):
    path = tmp_path / "model.pth"  # the content counts, not the name
    save_file(dict(small()), path)
    found = read_tensors(path)
    assert_same(dict(sorted(found.items())), dict(sorted(small().items())))
    path.write_bytes(path.read_bytes()[:-1])
    refuse(path, "cut short or damaged")


# Whole modules, whose classes this process cannot import

WHOLE_MODULES = """
import sys, torch
from torch import nn
import vdsr
torch.manual_seed(0)
net = vdsr.Net()
torch.save(net.state_dict(), "state.pth")
for name, is_zip in (("zip", True), ("legacy", False)):
    options = {"_use_new_zipfile_serialization": is_zip}
    torch.save({"epoch": 50, "model": net}, f"{name}.pth", **options)
    torch.save(net, f"{name}_bare.pth", **options)
    torch.save(nn.DataParallel(net), f"{name}_parallel.pth", pickle_protocol=4, **options)
"""
VDSR_MODULE = """
import torch
from torch import nn
class Conv_ReLU_Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, bias=False)
        self.register_parameter("nothing", None)
        self.relu = nn.ReLU(inplace=True)
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.residual_layer = nn.Sequential(*(Conv_ReLU_Block() for _ in range(3)))
        self.input = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.register_buffer("scratch", torch.ones(2), persistent=False)
        self.mean = nn.Buffer(torch.arange(3.0))
        self.act = nn.functional.relu
    def __setstate__(self, state):
        raise SystemExit("code of the file ran")
"""


@pytest.fixture(scope="module")
def whole_modules(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    (folder / "vdsr.py").write_text(VDSR_MODULE)
    subprocess.run([sys.executable, "-c", WHOLE_MODULES], check=True, cwd=folder)
    return folder


@pytest.mark.parametrize("kind", ["", "_bare", "_parallel"])
@pytest.mark.parametrize("name", FORMATS)
def test_whole_module(whole_modules, name, kind):
    found = read_tensors(whole_modules / f"{name}{kind}.pth", module_globals=VDSR)
    assert_same(found, torch.load(whole_modules / "state.pth"))
    assert "vdsr" not in sys.modules


@pytest.mark.parametrize("name", FORMATS)
def test_whole_module_of_unknown_class(whole_modules, name):
    refuse(whole_modules / f"{name}.pth", "asks for 'vdsr.Net'.*state_dict")
    refuse(whole_modules / f"{name}.pth", "asks for 'vdsr.Conv_ReLU_Block'", module_globals=VDSR[:1])  # fmt: skip
    refuse(whole_modules / f"{name}.pth", "asks for 'vdsr.Net'", module_globals=[("other", "Net")])


# Pickles written by hand: what PyTorch 0.1 to 0.3 wrote under Python 2, and what nobody should


def text(string):
    return b"U" + bytes([len(string)]) + string.encode()


def name(dotted):
    module, _, attribute = dotted.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def mapping(**items):
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def ordered(**items):
    pairs = b"".join(b"](" + text(key) + value + b"e" for key, value in items.items())
    return name("collections.OrderedDict") + b"](" + pairs + b"e\x85R"


def integer(value):
    return b"\x8a\x0a" + value.to_bytes(10, "little", signed=True)


def place(storage=None, offset=0, size=(2, 2), stride=(2, 1), num_elements=4, view=b"N"):
    storage = storage or (
        *(b"(", text("storage"), name("torch.FloatStorage"), text("9"), text("cuda:0")),
        *(integer(num_elements), view, b"tQ"),
    )
    shape = [b"(" + b"".join(map(integer, numbers)) + b"t" for numbers in (size, stride)]
    return b"(" + b"".join(storage) + integer(offset) + b"".join(shape) + b"t"


def tensor(**options):
    return name("torch._utils._rebuild_tensor") + place(**options) + b"R"


def instance(dotted, state, source=""):
    module = text("module") + name(dotted) + text("net.py") + text(source)
    return b"(" + module + b"tQ)\x81" + state + b"b"


def write_legacy(path, root, values=(1.0, -2.0, 3.0, 4.0), keys=("9",)):
    head = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {})]
    content = struct.pack(f"<q{len(values)}f", len(values), *values)
    path.write_bytes(b"".join([*head, b"\x80\x02", root, b".", pickle.dumps(keys, 2), content]))
    return path


EXPECTED = torch.tensor([[1.0, -2.0], [3.0, 4.0]])
OLD_PARAMETERS = {
    "0.3": name("torch.nn.parameter.Parameter") + tensor() + b"\x85R\x88\x89" + ordered() + b"\x87b",
    "0.1": name("torch.nn.parameter.Parameter") + b")\x81(" + tensor() + b"NN\x88\x89tb",
    "tensor": name("torch.FloatTensor") + b")\x81" + place() + b"b",
    "cuda": name("torch.cuda.FloatTensor") + b")\x81" + place() + b"b",
    "size": name("torch._utils._rebuild_tensor") + place() + b"R",
    "view": tensor(num_elements=4, view=text("8") + integer(0) + integer(4) + b"\x87"),
}  # fmt: skip


@pytest.mark.parametrize("way", OLD_PARAMETERS)
def test_whole_module_of_ancient_pytorch(tmp_path, way):
    backend = name("torch.nn.backends.thnn._get_thnn_function_backend") + b")R"
    state = {"_backend": backend, "_buffers": ordered(), "_modules": ordered()}
    inner = mapping(_parameters=ordered(weight=OLD_PARAMETERS[way], bias=b"N"), **state)
    conv = instance("torch.nn.modules.conv.Conv2d", inner, source="class Conv2d: ...")
    net = instance("vdsr.Net", mapping(**state | {"_modules": ordered(conv=conv)}), source="x")
    path = write_legacy(tmp_path / "old.pth", mapping(epoch=b"K\x32", model=net))
    assert_same(read_tensors(path, module_globals=VDSR), {"conv.weight": EXPECTED})


@pytest.mark.parametrize(
    "options",
    [
        {"offset": 1},
        {"offset": -1},
        {"size": (2, 3)},
        {"size": (5,), "stride": (1,)},
        {"size": (-2, -2)},
        {"stride": (-2, 1)},
        {"stride": (2, 2)},
        {"size": (10**9, 10**9), "stride": (0, 0)},
        {"size": (2**70, 2), "stride": (2, 1)},
        {"size": (4,)},
        {"size": (1,) * 100, "stride": (1,) * 100},
        {"num_elements": 8, "size": (8,), "stride": (1,)},
        {"num_elements": 2**62},
        {"num_elements": -4},
        {"view": text("8") + integer(2) + integer(4) + b"\x87"},
        {"view": text("8") + integer(-2) + integer(4) + b"\x87"},
        {"storage": (b"K\x01",)},
        {"storage": (name("torch.FloatStorage"), b")R")},
        {"size": (0, 2**65)},
    ],
)
def test_tensors_outside_their_storage(tmp_path, options):
    path = write_legacy(tmp_path / "bad.pth", mapping(weight=tensor(**options)))
    refuse(path, "weight|damaged")


LOOP = b"".join(
    [
        *(b"(", text("module"), name("torch.nn.Module"), text("f"), text(""), b"tQ)\x81q\x07"),
        mapping(_modules=mapping(me=b"h\x07"), _parameters=b"}", _buffers=b"}"),
        b"b",
    ]
)
DOUBLED = b")" + b"2\x86" * 100  # a tuple of 2**100 leaves
FROM_TYPE = "torch._tensor._rebuild_from_type_v2"
EXTREMES = {
    "memo index": mapping(weight=tensor() + b"r\xff\xff\xff\xff"),
    "module that holds itself": LOOP,
    "doubling key": b"}" + DOUBLED + b"K\x01s",
    "doubling set": mapping(weight=name("builtins.set") + b"(" + DOUBLED + b"lR"),
    "doubling value": mapping(weight=DOUBLED),
    "deep list": b"](" * 50_000 + b"e" * 50_000,
    "deep tuple": b")" + b"\x85" * 50_000,
    "bytearray": b"\x96" + struct.pack("<Q", 2**40),
    "bytes": b"\x8e" + struct.pack("<Q", 2**62),
    "long": b"\x8b" + struct.pack("<i", 2**31 - 1),
    "digits": b"I" + b"9" * 100_000 + b"\n",
    "no stack": b"s",
    "no mark": b"e",
    "odd items": b"}(K\x01u",
    "get of nothing": b"h\x05",
    "extension": b"\x82\x01",
    "persistent id": b"N" + b"Q",
    "other persistent id": b"(" + text("file") + text("/etc/passwd") + b"tQ",
    "call of a string": text("print") + b")R",
    "call without a tuple": name("torch.Size") + b"K\x01R",
    "global of numbers": b"K\x01K\x02\x93",
    "type of itself": name(FROM_TYPE) + b"(" + name(FROM_TYPE) + b"N)NtR",
}  # fmt: skip


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", EXTREMES)
def test_senseless_pickles_end_soon(tmp_path, kind):
    root = EXTREMES[kind]
    path = write_legacy(tmp_path / "bad.pth", root)
    if kind == "memo index":
        assert_same(read_tensors(path), {"weight": EXPECTED})
    else:
        refuse(path, "damaged|instruction|steps|without end|where a|asks for")


def test_endless_pickles(tmp_path, monkeypatch):
    monkeypatch.setattr("stsr_cli.unpickle.MAX_STEPS", 1000)
    refuse(write_legacy(tmp_path / "bad.pth", b"N" * 2000), "more than 1000 steps")
    pairs = b"](" + b"](K\x01K\x02e" * 100 + b"eq\x01"  # as dictionaries again and again
    again = name("collections.OrderedDict") + b"h\x01\x85R"
    refuse(write_legacy(tmp_path / "bad.pth", pairs + again * 9), "more than 1000 steps")


def test_memory_is_that_of_the_weights(save):
    weights = {f"{index}": torch.rand(2**18) for index in range(8)}  # 8 MiB
    path = save({"state_dict": weights, "optimizer": copy.deepcopy(weights)})
    tracemalloc.start()
    found = read_tensors(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert_same(found, weights)
    assert peak < 1.5 * 2**23


# What must never run


class Call:
    """Pickles as a call of something."""

    def __init__(self, function, *arguments, state=None):
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.reduced


def make_hostile(marker):
    """Return payload pickles by name; running any of them makes the marker."""
    command = f"touch {marker}"
    code = f"open({str(marker)!r}, 'w').close()"
    calls = {
        "posix.system": [command],
        "os.system": [command],
        "builtins.eval": [code],
        "builtins.exec": [code],
        "__builtin__.eval": [code],
        "subprocess.getoutput": [command],
        "os.popen": [command],
        "runpy.run_path": [str(marker)],
        "torch.load": [str(marker)],
        "torch.jit.load": [str(marker)],
        "torch.hub.load": ["x", "y"],
        "torch.serialization.load": [str(marker)],
        "torch.utils.collect_env.run": [command],
        "torch.storage._load_from_bytes": [code],
        "torch._utils._rebuild_qtensor": [code],
        "torch._C._jit_import": [code],
        "numpy.load": [str(marker)],
        "webbrowser.open": ["x"],
        "os.OrderedDict": [],
        "evil.torch.nn.Conv2d": [],
        "evil.torch._utils._rebuild_tensor": [],
        "torchx.nn.Conv2d": [],
        "torch.nnx.Conv2d": [],
        "builtins.getattr": [code, "x"],
        "builtins.__import__": ["os"],
        "importlib.import_module": ["os"],
        "pickle.loads": [code],
        "functools.partial": [code],
        "operator.methodcaller": ["system", command],
    }
    return {
        dotted: name(dotted) + b"(" + b"".join(map(text, arguments)) + b"tR"
        for dotted, arguments in calls.items()
    }


HOSTILE = list(make_hostile("x"))


@pytest.fixture
def marker(tmp_path):
    """A short path that exists once a payload has run."""
    return tmp_path / "ran"


def loaded():
    """The modules that are imported, but for how zipfile decodes names."""
    return {module for module in sys.modules if not module.startswith("encodings.")}


def test_the_payloads_would_run(marker):
    for dotted in ("os.system", "builtins.exec"):
        pickle.loads(make_hostile(marker)[dotted] + b".")
        assert marker.exists()
        marker.unlink()


@pytest.mark.parametrize("dotted", HOSTILE)
def test_hostile_calls(tmp_path, marker, dotted):
    payload = make_hostile(marker)[dotted]
    module = "torch.nn.modules.conv.Conv2d"
    places = {
        "root": payload,
        "value": mapping(weight=tensor(), evil=payload),
        "list": mapping(weight=tensor(), evil=b"](" + payload + b"e"),
        "unused": mapping(state_dict=mapping(weight=tensor()), evil=payload),
        "state": instance(module, mapping(_parameters=b"}", __setstate__=payload)),
        "setstate": instance(module, mapping(__reduce__=name(dotted))),
        "hooks": name("torch._utils._rebuild_tensor_v2") + place()[:-1] + b"\x88" + payload + b"tR",
        "persistent": b"(" + text("storage") + payload + text("9") + text("cpu") + b"K\x04NtQ",
        "instance": b"(" + text("touch") + f"i{dotted.rpartition('.')[0]}\nsystem\n".encode(),
        "new": name(dotted) + b")\x81",
        "pickled class": name(dotted),
    }
    before = loaded()
    for root in places.values():
        path = write_legacy(tmp_path / "evil.pth", root)
        refuse(path, "asks for|has INST")
        with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
            archive.writestr("evil/data.pkl", b"\x80\x02" + root + b".")
            archive.writestr("evil/data/9", EXPECTED.numpy().tobytes())
        refuse(tmp_path / "evil.zip", "asks for|has INST")
    assert not marker.exists()
    assert loaded() == before


def test_hostile_objects_of_torch_save(save, marker):
    command = f"open({str(marker)!r}, 'w').close()"
    for evil in (
        Call(eval, command),
        Call(exec, command),
        Call(nn.Conv2d, 1, 1, 1, state=Call(exec, command)),
        Call(torch.storage._load_from_bytes, pickle.dumps(Call(exec, command))),
        Call(getattr, nn.Module, "register_buffer"),
        Call(subprocess.getoutput, f"touch {marker}"),
    ):
        for content in (evil, {"weight": torch.ones(1), "x": [evil]}, {"state_dict": small(), "x": evil}):  # fmt: skip
            refuse(save(content), "asks for")
    assert not marker.exists()


def test_allowed_names_are_neither_imported_nor_called(tmp_path, marker):
    """Everything below torch.nn may be named, even what is not there; a call of it makes an inert object."""
    evil = name("torch.nn.no_such_module.system") + text(f"touch {marker}") + b"\x85R"
    module = instance("torch.nn.Module", mapping(_parameters=mapping(w=tensor()), evil=evil))
    path = write_legacy(tmp_path / "odd.pth", mapping(model=module, other=evil))
    before = loaded()
    assert_same(read_tensors(path), {"w": EXPECTED})
    assert loaded() == before
    assert not marker.exists()
    for words in (("torch.nn", "modules.os.system"), ("torch.nn.modules.os", "system.x")):
        path = write_legacy(path, b"".join(map(text, words)) + b"\x93" + b")R")
        refuse(path, "asks for")


def test_state_never_reaches_a_real_object(tmp_path):
    """BUILD sets attributes; of what is on the stack only inert objects have any."""
    for target in ("collections.OrderedDict", "torch.nn.Module", "torch._utils._rebuild_tensor"):
        root = mapping(evil=name(target) + b"N" + mapping(stolen=b"K\x01") + b"\x86b")
        refuse(write_legacy(tmp_path / "evil.pth", root, keys=()), "'evil' where")
        assert not hasattr(OrderedDict, "stolen")
        assert not hasattr(nn.Module, "stolen")
        assert not hasattr(torch._utils._rebuild_tensor, "stolen")
    root = mapping(weight=tensor() + mapping(data=b"K\x01") + b"b")
    assert_same(read_tensors(write_legacy(tmp_path / "x.pth", root)), {"weight": EXPECTED})


# What is no checkpoint


def zipped(path, files, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for inner, content in files.items():
            archive.writestr(inner, content)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html>\n<html>", "is a web page"),
        (b"\n <HTML><body>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"),
        (b"weights, honestly", "no PyTorch checkpoint"),
        (b"\0" * 5000, "no PyTorch checkpoint"),
        (pickle.dumps({"a": 1}), "not one of torch.save"),
        (b"\x80", "damaged"),
        (b"PK\x03\x04", "damaged"),
    ],
)
def test_other_files(tmp_path, content, words):
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    refuse(path, words)


def test_other_kinds_of_file(tmp_path):
    refuse(tmp_path / "none.pth", "no such file")
    refuse(tmp_path, "no file")
    refuse(DATA / "demo.mp4", "no PyTorch checkpoint")
    with tarfile.open(tmp_path / "old.tar", "w") as archive:
        archive.add(DATA / "README.md", "pickle")
    refuse(tmp_path / "old.tar", "no PyTorch checkpoint")


def test_other_zip_archives(tmp_path):
    path = tmp_path / "model.pth"
    root = pickle.dumps({}, 2)
    zipped(path, {"word/document.xml": "<x/>"})
    refuse(path, "no data.pkl")
    zipped(path, {"m/data.pkl": root, "m/constants.pkl": root, "m/code/x.py": "import os"})
    refuse(path, "TorchScript")
    zipped(path, {"m/data.pkl": root}, zipfile.ZIP_DEFLATED)
    refuse(path, "compressed")
    zipped(path, {"m/data.pkl": root, "m/byteorder": "big"})
    refuse(path, "big-endian")
    zipped(path, {"m/data.pkl": b"\x80\x02" + mapping(weight=tensor()) + b"."})
    refuse(path, "data/9")
    zipped(path, {"m/data.pkl": b"\x80\x02" + mapping(weight=tensor()) + b".", "m/data/9": "short"})
    refuse(path, "damaged")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "no tensors"),
        ({"state_dict": {}}, "no tensors"),
        ([torch.ones(1)], "holds a list"),
        (torch.ones(1), "holds a tensor"),
        (None, "holds a NoneType"),
        ({"a": torch.ones(1), "b": 3}, "'b' where a tensor"),
        ({"a": {"b": torch.ones(1)}}, "'a' where a tensor"),
        ({3: torch.ones(1)}, "a key that is no name"),
        ({(1, 2): torch.ones(1)}, "a key that is no name"),
        ({"k" * 2000: torch.ones(1)}, "'kkk"),
        ({"a": torch.ones(1), "b": torch.tensor([0, float("nan")]), "c": torch.tensor(1e40)}, "'b'.*NaN"),
        ({"a": torch.tensor(float("-inf"), dtype=torch.float16)}, "'a' holds NaN or infinity"),
        ({"a": torch.ones(2).to_sparse()}, "_rebuild_sparse_tensor"),
        ({"a": torch.view_as_complex(torch.ones(2, 2)).conj()}, "ComplexFloatStorage|conjugate"),
        ({"a": Path("x")}, "asks for 'pathlib"),
    ],
)  # fmt: skip
def test_contents_that_are_no_weights(save, content, words):
    refuse(save(content), words)


# Damage


def damaged(path, content):
    """Read damaged content: tensors or WeightsError, and nothing else. Returns whether it was refused."""
    path.write_bytes(content)
    try:
        assert read_tensors(path, module_globals=VDSR)
    except WeightsError as error:
        assert "\n" not in str(error)
        return True
    return False


@pytest.mark.timeout(60)
def test_truncations(save, tmp_path):
    content = save(small()).read_bytes()
    lengths = {*range(0, len(content), 7), *range(100), *range(len(content) - 60, len(content))}
    assert all(damaged(tmp_path / "cut.pth", content[:length]) for length in sorted(lengths))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", FORMATS)
def test_flipped_bytes(whole_modules, tmp_path, name):
    state = tmp_path / "state.pth"
    torch.save(small(), state, _use_new_zipfile_serialization=FORMATS[name])
    chance = random.Random(0)
    num_refused = 0
    for path, count in ((state, 400), (whole_modules / f"{name}_bare.pth", 100)):
        content = path.read_bytes()
        for _ in range(count):
            changed = bytearray(content)
            for _ in range(chance.choice([1, 1, 2, 5])):
                changed[chance.randrange(len(changed))] = chance.randrange(256)
            num_refused += damaged(tmp_path / "flipped.pth", changed)
    assert 100 < num_refused < 500
