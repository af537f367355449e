"""Published checkpoints, in the containers their authors use, become weights that give the references' outputs."""

import datetime
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stsr_cli.checkpoint import load_weights
from stsr_cli.convert import ARCHITECTURES, convert_checkpoint, module_from
from stsr_cli.errors import UsageError, WeightsError
from stsr_cli.files import sha256


def converted(checkpoint: Any, arch: str, folder: Path) -> Any:
    """Save an object as a checkpoint, convert the file, and load what came out."""
    source, out = folder / "published.pth", folder / "converted.safetensors"
    torch.save(checkpoint, source)
    conversion = convert_checkpoint(source, arch, out)
    weights = load_weights(out)
    module = weights.spatial or weights.temporal
    assert module is not None
    assert weights.training["converted"] == {
        "file": "published.pth",
        "sha256": sha256(source),
        "reference": ARCHITECTURES[arch].reference,
    }
    assert conversion.num_parameters == sum(p.numel() for p in module.parameters())
    assert not module.training
    return module


@torch.inference_mode()
def test_vdsr(golden, tmp_path) -> None:
    reference = golden("VDSR")
    module = converted({"epoch": 50, "model": reference.state_dict()}, "vdsr", tmp_path)
    reference.check("y", module.refine(reference.input("x")))


@torch.inference_mode()
def test_espcn_of_lornatang(golden, tmp_path) -> None:
    reference = golden("ESPCN")
    checkpoint = {
        "epoch": 3000,
        "best_psnr": 30.1,
        "state_dict": reference.state_dict(),
        "optimizer": {"state": {}, "param_groups": [{"lr": 1e-2}]},
    }
    module = converted(checkpoint, "espcn", tmp_path)
    assert module.config == {"scale": 4, "num_channels": 64, "output": "linear"}
    reference.check("linear", module.upsample_luma(reference.input("x")))


@torch.inference_mode()
def test_espcn_of_leftthomas_ends_in_a_sigmoid(golden, tmp_path) -> None:
    reference = golden("ESPCN")
    rename = ARCHITECTURES["espcn"].rename
    state_dict = OrderedDict((rename(key), value) for key, value in reference.state_dict().items())
    assert set(state_dict) == {f"conv{i}.{part}" for i in (1, 2, 3) for part in ("weight", "bias")}
    module = converted(state_dict, "espcn", tmp_path)
    found = module.upsample_luma(reference.input("x"))
    reference.check("linear", torch.logit(found.double()))


@torch.inference_mode()
@pytest.mark.parametrize("name", ["DBPN_S", "DBPN_T7", "DDBPN_T10"])
def test_dbpn_saved_from_data_parallel(golden, tmp_path, name) -> None:
    reference = golden(name)
    state_dict = {f"module.{key}": value for key, value in reference.state_dict().items()}
    module = converted(state_dict, "dbpn", tmp_path)
    arch = reference.meta["arch"]
    assert module.config == {
        "scale": arch["scale_factor"],
        "num_stages": arch["num_stages"],
        "num_features": arch["feat"],
        "num_channels": arch["base_filter"],
    }
    reference.check("y", module(reference.input("x")))


@torch.inference_mode()
def test_dvf_reads_blue_first(golden, tmp_path) -> None:
    reference = golden("DVF")
    state_dict = {
        key: value
        for key, value in reference.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    checkpoint = {"epoch": 400, "arch": {"syn_type": "inter"}, "state_dict": state_dict}
    module = converted(checkpoint, "dvf", tmp_path)
    blue_first = reference.input("frame0"), reference.input("frame1")
    found = module(*(frame.flip(1) for frame in blue_first))
    reference.check("frame", found.flip(1) * 2 - 1)


@torch.inference_mode()
def test_superslomo_warps_as_it_was_trained(golden, tmp_path) -> None:
    reference = golden("SuperSloMo")
    parts: dict[str, dict[str, Tensor]] = {"state_dictFC": {}, "state_dictAT": {}}
    for key, value in reference.state_dict().items():
        part, _, name = key.partition(".")
        parts[part][name] = value
    checkpoint = {
        "Detail": "End to end Super SloMo.",
        "epoch": 199,
        "timestamp": datetime.datetime(2019, 1, 6, 12, 30, 1, 5),
        "learningRate": [1e-6],
        "loss": [[0.1], [0.2]],
        **parts,
    }
    module = converted(checkpoint, "superslomo", tmp_path)
    found = module(reference.input("frame0"), reference.input("frame1"), 0.25)
    reference.check("legacy_ac1.t0.25.frame", found)


@torch.inference_mode()
def test_dain_with_what_it_never_uses(golden, tmp_path) -> None:
    reference = golden("DAIN")
    module = converted(OrderedDict(reference.state_dict()), "dain", tmp_path)
    found = module(reference.input("frame0"), reference.input("frame1"))
    reference.check("rectified", found)


def small_espcn() -> dict[str, Tensor]:
    shapes = {"feature_maps.0": (8, 1, 5, 5), "feature_maps.2": (4, 8, 3, 3)}
    shapes["sub_pixel.0"] = (16, 4, 3, 3)
    tensors = {f"{name}.weight": torch.rand(shape) for name, shape in shapes.items()}
    return tensors | {f"{name}.bias": torch.rand(shape[0]) for name, shape in shapes.items()}


def refusal(checkpoint: Any, arch: str, folder: Path, kind: type[Exception] = WeightsError) -> str:
    """Convert what cannot be; nothing may be written, and the message is one line."""
    source, out = folder / "published.pth", folder / "converted.safetensors"
    torch.save(checkpoint, source)
    with pytest.raises(kind) as caught:
        convert_checkpoint(source, arch, out)
    assert sorted(path.name for path in folder.iterdir()) == ["published.pth"]
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("arch", sorted(set(ARCHITECTURES) - {"espcn"}))
def test_a_checkpoint_of_another_network(arch, tmp_path) -> None:
    message = refusal(small_espcn(), arch, tmp_path)
    assert str(tmp_path / "published.pth") in message


def test_a_tensor_too_few_and_one_too_many(tmp_path) -> None:
    tensors = small_espcn()
    del tensors["feature_maps.2.bias"]
    assert "lacks conv2.bias" in refusal(tensors, "espcn", tmp_path)
    tensors = small_espcn() | {"tail.weight": torch.rand(3)}
    assert "tail.weight" in refusal(tensors, "espcn", tmp_path)


def test_a_tensor_of_another_shape(tmp_path) -> None:
    tensors = small_espcn() | {"feature_maps.2.weight": torch.rand(4, 8, 5, 5)}
    assert "[4, 8, 5, 5], not [4, 8, 3, 3]" in refusal(tensors, "espcn", tmp_path)
    tensors = small_espcn() | {"sub_pixel.0.weight": torch.rand(())}
    refusal(tensors, "espcn", tmp_path)


def test_not_a_number(tmp_path) -> None:
    tensors = small_espcn()
    tensors["sub_pixel.0.bias"][3] = torch.nan
    assert "sub_pixel.0.bias" in refusal(tensors, "espcn", tmp_path)


def test_an_unknown_architecture(tmp_path) -> None:
    message = refusal(small_espcn(), "escpn", tmp_path, UsageError)
    assert "did you mean 'espcn'" in message


def test_an_output_that_exists_is_kept_unless_it_may_go(tmp_path) -> None:
    source, out = tmp_path / "published.pth", tmp_path / "out.safetensors"
    torch.save(small_espcn(), source)
    out.write_bytes(b"precious")
    with pytest.raises(UsageError, match="exists"):
        convert_checkpoint(source, "espcn", out)
    assert out.read_bytes() == b"precious"
    convert_checkpoint(source, "espcn", out, overwrite=True)
    assert load_weights(out).spatial is not None


def test_an_output_of_another_kind(tmp_path) -> None:
    source = tmp_path / "published.pth"
    torch.save(small_espcn(), source)
    with pytest.raises(UsageError, match=r"\.safetensors"):
        convert_checkpoint(source, "espcn", tmp_path / "out.pth")


def test_half_precision_becomes_single(tmp_path) -> None:
    tensors = {key: value.half() for key, value in small_espcn().items()}
    module = converted(tensors, "espcn", tmp_path)
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}


KEY_LISTS = {
    "VDSR_twtygqyy": "vdsr",
    "ESPCN": "espcn",
    "DBPNS": "dbpn",
    "DBPN_S": "dbpn",
    "DBPN_T7": "dbpn",
    "DDBPN_T10": "dbpn",
    "DVF": "dvf",
    "DAIN": "dain",
}


@pytest.mark.parametrize("prefix", KEY_LISTS)
def test_every_published_key_list_fits_a_module(shared_dir: Path, prefix: str) -> None:
    paths = sorted((shared_dir / "golden" / "keys").glob(f"{prefix}*.txt"))
    assert paths
    for path in paths:
        lines = [line.split() for line in path.read_text().splitlines() if line[:1] != "#"]
        tensors = {
            key: torch.zeros([] if shape == "scalar" else [int(n) for n in shape.split("x")])
            for key, shape, *_ in lines
        }
        module = module_from(KEY_LISTS[prefix], tensors)
        if scale := path.stem.rpartition("_x")[2]:
            expected = {"scale": int(scale)} if scale.isdecimal() and prefix != "VDSR" else {}
            assert expected.items() <= module.config.items()
