"""Weights on disk: what goes in comes out, whole or not at all, and nothing in a file is ever executed."""

import hashlib
import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from stsr_cli.cdca import CDCA
from stsr_cli.checkpoint import Weights, load_weights, read_header, save_weights
from stsr_cli.errors import StsrError, WeightsError
from stsr_cli.files import sha256, write_atomically
from stsr_cli.registry import available, build

SMALL = {
    "espcn": {"scale": 2, "num_channels": 4},
    "dvf": {"num_channels": 2},
    "span": {"num_channels": 4, "num_blocks": 2},
    "rife": {"scales": [2, 1], "num_channels": [4, 8], "num_convs": 1, "num_refine_channels": 4},
}


def randomise(module):
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.1, 0.9)
    return module


@pytest.fixture
def espcn_file(tmp_path):
    path = tmp_path / "espcn.safetensors"
    save_weights(path, Weights(spatial=randomise(build("spatial", "espcn", SMALL["espcn"]))))
    return path


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in ("spatial", "temporal") for name in available(kind)],
)
def test_every_module_survives_a_file(tmp_path, kind, name):
    module = randomise(build(kind, name, SMALL.get(name, {})))
    path = tmp_path / "weights.safetensors"
    training = {"steps": 3, "psnr": {"t2s": 30.5}}
    save_weights(path, Weights(**{kind: module}, training=training))
    weights = load_weights(path)
    loaded = getattr(weights, kind)
    assert type(loaded) is type(module)
    assert loaded.config == module.config
    assert weights.training == training
    assert getattr(weights, "temporal" if kind == "spatial" else "spatial") is None
    assert not loaded.training, "weights come in eval mode"
    expected = module.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    for tensor_name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, expected[tensor_name]), tensor_name
        assert tensor.dtype == expected[tensor_name].dtype


def test_a_pair_survives_a_file_and_still_computes_the_same(tmp_path):
    spatial = randomise(build("spatial", "espcn", SMALL["espcn"])).eval()
    temporal = randomise(build("temporal", "dvf", SMALL["dvf"])).eval()
    save_weights(tmp_path / "pair.safetensors", Weights(spatial, temporal))
    loaded = load_weights(tmp_path / "pair.safetensors")
    frame0, frame1 = torch.rand(2, 1, 3, 16, 16)
    with torch.inference_mode():
        assert torch.equal(loaded.spatial(frame0), spatial(frame0))
        assert torch.equal(loaded.temporal(frame0, frame1), temporal(frame0, frame1))


def test_cdca_survives_a_file_and_still_computes_the_same(tmp_path):
    cdca = randomise(CDCA(scale=2, num_channels=5, num_features=3)).eval()
    save_weights(tmp_path / "cdca.safetensors", Weights(cdca=cdca, training={"minutes": 3}))
    loaded = load_weights(tmp_path / "cdca.safetensors")
    assert (loaded.spatial, loaded.temporal, loaded.training) == (None, None, {"minutes": 3})
    assert loaded.cdca.config == {"scale": 2, "num_channels": 5, "num_features": 3}
    lr_frames = torch.rand(2, 3, 6, 8)
    with torch.inference_mode():
        (actual,), (expected,) = (
            model.between(lr_frames[:1], lr_frames[1:]) for model in (loaded.cdca, cdca)
        )
    assert torch.equal(actual, expected)


@pytest.mark.parametrize(
    "config", [{"scale": 4, "depth": 2}, {"scale": "4"}, {"num_channels": 2}, {"num_features": -1}]
)
def test_a_cdca_that_cannot_be_built(tmp_path, config):
    path = tmp_path / "cdca.safetensors"
    save_weights(path, Weights(cdca=CDCA(num_channels=5, num_features=3)))
    header = read_header(path) | {"cdca": {"name": "cdca", "config": config}}
    save_file(load_file(path), path, {"stsr-1": json.dumps(header)})
    with pytest.raises(WeightsError, match=r"cdca\.safetensors: cdca weights do not fit") as caught:
        load_weights(path)
    assert "\n" not in str(caught.value)


def test_channels_last_modules_can_be_saved(tmp_path):
    module = randomise(build("spatial", "espcn", SMALL["espcn"]))
    save_weights(tmp_path / "a.safetensors", Weights(spatial=module))
    save_weights(
        tmp_path / "b.safetensors", Weights(spatial=module.to(memory_format=torch.channels_last))
    )
    assert sha256(tmp_path / "a.safetensors") == sha256(tmp_path / "b.safetensors")


def test_the_header_alone_says_what_is_inside(espcn_file):
    header = read_header(espcn_file)
    config = {"scale": 2, "num_channels": 4, "output": "linear"}
    assert header["spatial"] == {"name": "espcn", "config": config}
    assert "temporal" not in header


def test_sha256_is_of_the_bytes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 100_000)
    assert sha256(path) == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_atomic_write_replaces_the_old_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "weights"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / "weights"
    write_atomically(path, b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[step], fail)
    with pytest.raises(StsrError, match="No space left on device") as caught:
        write_atomically(path, b"new")
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_write_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    path = tmp_path / "weights"
    write_atomically(path, b"old")

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_writing_into_a_missing_folder(tmp_path):
    with pytest.raises(StsrError, match="gone"):
        write_atomically(tmp_path / "gone" / "weights", b"new")


def test_missing_file(tmp_path):
    with pytest.raises(WeightsError, match=r"gone\.safetensors"):
        load_weights(tmp_path / "gone.safetensors")


@pytest.mark.parametrize("num_bytes", [0, 4, 8, 100, -1, -1000])
def test_a_cut_file(espcn_file, num_bytes):
    espcn_file.write_bytes(espcn_file.read_bytes()[:num_bytes])
    with pytest.raises(WeightsError, match=r"espcn\.safetensors") as caught:
        load_weights(espcn_file)
    assert "\n" not in str(caught.value)


class _Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("exploded"),))


def test_a_pickle_is_refused_and_not_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.safetensors"
    for content in (pickle.dumps(_Bomb()), None):
        if content is None:
            torch.save({"spatial": _Bomb()}, path)
        else:
            path.write_bytes(content)
        with pytest.raises(WeightsError):
            load_weights(path)
    assert not Path("exploded").exists()


def test_files_of_other_programs(tmp_path):
    path = tmp_path / "other.safetensors"
    for metadata in (None, {"format": "pt"}, {"stsr-2": "{}"}):
        save_file({"conv.weight": torch.zeros(2)}, path, metadata)
        with pytest.raises(WeightsError, match="no stsr weights"):
            read_header(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"text"', "3"])
def test_a_damaged_configuration(espcn_file, text):
    save_file(load_file(espcn_file), espcn_file, {"stsr-1": text})
    with pytest.raises(WeightsError, match=r"espcn\.safetensors"):
        load_weights(espcn_file)


def test_a_missing_configuration(espcn_file):
    save_file(load_file(espcn_file), espcn_file, {"format": "stsr-1"})
    with pytest.raises(WeightsError, match=r"espcn\.safetensors"):
        load_weights(espcn_file)


def rewrite(path, tensors=None, spatial=None):
    header = read_header(path)
    header["spatial"] = spatial or header["spatial"]
    metadata = {"stsr-1": json.dumps(header)}
    save_file(tensors or load_file(path), path, metadata)


@pytest.mark.parametrize(
    "spatial",
    [
        {"name": "unheard-of", "config": {}},
        {"name": "../ops", "config": {}},
        {"name": "espcn", "config": {"scale": 2, "num_channels": 4, "depth": 1}},
        {"name": "espcn", "config": {"scale": 2, "num_channels": 8}},
        {"name": "espcn", "config": {"scale": 2, "num_channels": "4"}},
        {"name": "espcn", "config": {"scale": 2, "num_channels": -4}},
        {"name": "espcn", "config": [2, 4]},
        {"name": "espcn"},
        {"config": {}},
        ["espcn"],
    ],
    ids=str,
)
def test_a_configuration_that_cannot_be_built(espcn_file, spatial):
    rewrite(espcn_file, spatial=spatial)
    with pytest.raises(WeightsError, match=r"espcn\.safetensors") as caught:
        load_weights(espcn_file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", ["missing", "surplus", "shape"])
def test_tensors_that_do_not_fit(espcn_file, change):
    tensors = load_file(espcn_file)
    if change == "missing":
        del tensors["spatial.conv1.bias"]
    if change == "surplus":
        tensors["spatial.conv9.bias"] = torch.zeros(1)
    if change == "shape":
        tensors["spatial.conv1.bias"] = torch.zeros(5)
    rewrite(espcn_file, tensors)
    with pytest.raises(WeightsError, match="do not fit") as caught:
        load_weights(espcn_file)
    assert "\n" not in str(caught.value)
