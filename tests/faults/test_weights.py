"""Weights from a stranger: one line of WeightsError, nothing executed, no gigabytes, no minutes."""

import json
import os
import random
import struct
import time
from pathlib import Path

import pytest
import torch

from stsr_cli.checkpoint import Weights, load_weights, save_weights
from stsr_cli.errors import WeightsError
from stsr_cli.foreign import read_tensors
from stsr_cli.registry import build

from .mutate import MUTATIONS

WEIGHTS = 5
CONFIG = json.dumps({"spatial": {"name": "espcn", "config": {"num_channels": 4}}})
ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def safetensors(header, body=b"", length=None):
    """A file with that header; `length`: what it says the header's length is."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def with_config(config, part="spatial", name="espcn"):
    description = {part: {"name": name, "config": config}}
    return safetensors({"__metadata__": {"stsr-1": json.dumps(description)}})


def with_tensor(body=bytes(4), **changes):
    return safetensors({"spatial.a": ONE | changes, "__metadata__": {"stsr-1": CONFIG}}, body)


FILES = {
    "header of 2**63 bytes": safetensors({}, length=2**63),
    "header of 2**64 - 1 bytes": safetensors({}, length=2**64 - 1),
    "header of 90 MB in a small file": safetensors({}, length=90_000_000),
    "header that is too short": safetensors({"a": ONE}, bytes(4), length=20),
    "shape of 2**80": with_tensor(shape=[2**40, 2**40]),
    "shape of 2**40": with_tensor(shape=[2**40], data_offsets=[0, 2**42]),
    "negative shape": with_tensor(shape=[-1]),
    "negative offset": with_tensor(data_offsets=[-4, 0]),
    "offsets in the wrong order": with_tensor(data_offsets=[4, 0]),
    "offset behind the end": with_tensor(data_offsets=[0, 400], shape=[100]),
    "unknown type": with_tensor(dtype="F99"),
    "a type of another network": with_tensor(dtype="F8_E4M3", shape=[4]),
    "overlapping tensors": safetensors(
        {"a": ONE, "b": ONE, "__metadata__": {"stsr-1": CONFIG}}, bytes(4)
    ),
    "two tensors of one name": safetensors(
        b'{"a":%b,"a":%b}' % (2 * (json.dumps(ONE).encode(),)), bytes(4)
    ),
    "a header that is no object": safetensors(b"[" * 10_000),
    "metadata that is no text": safetensors({"__metadata__": {"stsr-1": 5}}),
    "a configuration 100 000 deep": safetensors({"__metadata__": {"stsr-1": "[" * 100_000}}),
    "a number of 100 000 digits": safetensors(
        {"__metadata__": {"stsr-1": '{"spatial":%s}' % ("9" * 100_000)}}
    ),
    "a configuration that is NaN": safetensors({"__metadata__": {"stsr-1": '{"spatial":NaN}'}}),
    "training that is no object": safetensors({"__metadata__": {"stsr-1": '{"training":5}'}}),
    "a name with control characters": safetensors(
        {"a\n\x1b[2J": ONE, "__metadata__": {"stsr-1": CONFIG}}, struct.pack("<f", float("nan"))
    ),
    "a name of a megabyte": safetensors(
        {"a" * 10**6: ONE, "__metadata__": {"stsr-1": CONFIG}}, struct.pack("<f", float("nan"))
    ),
    "scale 10**9": with_config({"scale": 10**9}),
    "scale 10**400": with_config({"scale": 10**400}),
    "scale 1e308": with_config({"scale": 1e308}),
    "scale NaN": with_config({"scale": float("nan")}),
    "channels 10**9": with_config({"num_channels": 10**9}),
    "channels -1": with_config({"num_channels": -1}),
    "a text of a megabyte": with_config({"output": "x" * 10**6}),
    "10**6 blocks": with_config({"num_blocks": 10**6}, name="span"),
    "10**6 convolutions": with_config({"num_convs": 10**6}, "temporal", "rife"),
    "10**5 scales": with_config({"scales": [1] * 10**5}, "temporal", "rife"),
    "a module that is a path": with_config({}, name="../../ops"),
    "a module that is a built-in": with_config({}, name="__init__"),
}


@pytest.fixture
def cheap():
    """Fail if a test takes seconds of processor time, or much memory."""
    resource = pytest.importorskip("resource")  # not on Windows
    begin, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.process_time() - begin < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("what", FILES)
def test_a_hostile_file_is_one_line(tmp_path, what):
    path = tmp_path / "a.safetensors"
    path.write_bytes(FILES[what])
    with pytest.raises(WeightsError, match=r"a\.safetensors") as caught:
        load_weights(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("what", ["10**6 blocks", "a configuration 100 000 deep", "shape of 2**80"])
def test_the_command_ends_with_5(call, make_clip, tmp_path, what):
    make_clip("in.mp4")
    (tmp_path / "a.safetensors").write_bytes(FILES[what])
    options = ("--spatial", "espcn", "--temporal", "blend", "--weights", "a.safetensors")
    said = call("upscale", "in.mp4", "out.mp4", *options, code=WEIGHTS).stderr
    assert said.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "in.mp4"]


class Bomb:
    """Makes a file when it is unpickled the usual way."""

    def __reduce__(self):
        return (os.mkdir, ("exploded",))


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.safetensors", "a.ckpt"])
def test_a_pickle_with_code_is_not_run(call, make_clip, tmp_path, name):
    make_clip("in.mp4")
    torch.save({"state_dict": {"conv1.weight": torch.zeros(2), "x": Bomb()}}, tmp_path / name)
    options = ("--spatial", "espcn", "--temporal", "blend", "--weights", f"./{name}")
    call("upscale", "in.mp4", "out.mp4", *options, code=WEIGHTS)
    call("weights", "convert", name, "--arch", "espcn", "-o", "b.safetensors", code=WEIGHTS)
    assert not (tmp_path / "exploded").exists()
    assert not (tmp_path / "b.safetensors").exists()


@pytest.mark.parametrize("what", ["folder", "empty", "link in a circle", "a hole of a terabyte"])
def test_what_is_no_file_of_weights(call, make_clip, tmp_path, what):
    make_clip("in.mp4")
    path = tmp_path / "a.safetensors"
    if what == "folder":
        path.mkdir()
    elif what == "link in a circle":
        path.symlink_to(path.name)
    else:
        path.write_bytes(b"")
        os.truncate(path, 2**40 if "terabyte" in what else 0)
    options = ("--spatial", "espcn", "--temporal", "blend", "--weights", "./a.safetensors")
    said = call("upscale", "in.mp4", "out.mp4", *options, code=WEIGHTS).stderr
    assert said.count("\n") == 1


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small file of weights, and the same network as a pickle."""
    folder = tmp_path_factory.mktemp("weights")
    module = build("spatial", "espcn", {"num_channels": 4})
    save_weights(folder / "a.safetensors", Weights(spatial=module))
    torch.save(module.state_dict(), folder / "a.pth")
    torch.save(module.state_dict(), folder / "old.pth", _use_new_zipfile_serialization=False)
    return folder


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("name", ["a.safetensors", "a.pth", "old.pth"])
def test_mutated_weights_load_or_are_refused(whole, tmp_path, name):
    """200 mutations each; of safetensors nearly all within the header."""
    content = (whole / name).read_bytes()
    header = struct.unpack("<Q", content[:8])[0] + 8 if name == "a.safetensors" else len(content)
    num_refused = 0
    for number in range(200):
        rng = random.Random(number)
        mutate = MUTATIONS[rng.choice([*MUTATIONS])]
        path = Path(tmp_path / name)
        path.write_bytes(mutate(content[:header], rng) + content[header:])
        try:
            load_weights(path) if name == "a.safetensors" else read_tensors(path)
        except WeightsError as error:
            num_refused += 1
            assert "\n" not in str(error)
    assert num_refused > 50
