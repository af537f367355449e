"""--device and --precision in torch's terms, and nothing silently replaced."""

from pathlib import Path

import pytest
import torch

from stsr_cli.device import (
    _group_bytes,
    free_memory,
    is_out_of_memory,
    resolve_device,
    resolve_dtype,
)
from stsr_cli.errors import DeviceError

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture
def machine(monkeypatch):
    """Pretend to be on a machine with so many CUDA devices of that capability, and perhaps MPS."""

    def pretend(num_cuda=0, capability=(8, 0), has_mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: num_cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: num_cuda)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: has_mps)

    return pretend


@pytest.mark.parametrize(
    ("num_cuda", "has_mps", "expected"),
    [(0, False, "cpu"), (0, True, "mps"), (2, False, "cuda"), (1, True, "cuda")],
)
def test_auto_takes_the_fastest_that_is_there(machine, num_cuda, has_mps, expected):
    machine(num_cuda, has_mps=has_mps)
    assert resolve_device("auto").type == expected


def test_named_devices(machine):
    machine(num_cuda=2, has_mps=True)
    assert resolve_device("cpu") == CPU
    assert resolve_device("cuda").type == "cuda"
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    assert resolve_device("mps").type == "mps"


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_a_missing_gpu_is_an_error_and_not_the_cpu(machine, name):
    machine()
    with pytest.raises(DeviceError, match=name):
        resolve_device(name)


def test_a_gpu_beyond_the_last(machine):
    machine(num_cuda=2)
    with pytest.raises(DeviceError, match="cuda:2"):
        resolve_device("cuda:2")


@pytest.mark.parametrize("name", ["", "gpu", "CPU", "cuda:x", "cuda:-1", "meta", "xla", "cpu;rm"])
def test_no_such_device(name):
    with pytest.raises(DeviceError) as caught:
        resolve_device(name)
    assert "\n" not in str(caught.value)
    assert repr(name) in str(caught.value)


def test_auto_precision(machine):
    machine(num_cuda=1, capability=(7, 5))
    assert resolve_dtype("auto", CPU) == torch.float32
    assert resolve_dtype("auto", torch.device("mps")) == torch.float32
    assert resolve_dtype("auto", CUDA) == torch.float16
    machine(num_cuda=1, capability=(6, 1))
    assert resolve_dtype("auto", CUDA) == torch.float32


def test_named_precision():
    assert resolve_dtype("fp32", CPU) == torch.float32
    assert resolve_dtype("bf16", CPU) == torch.bfloat16
    assert resolve_dtype("fp16", CUDA) == torch.float16
    with pytest.raises(DeviceError, match="fp16"):
        resolve_dtype("fp16", CPU)


def test_free_memory_is_what_the_machine_says():
    free = free_memory(CPU)
    assert free is None or 2**20 < free < 2**50


def test_a_control_group_leaves_less(tmp_path, monkeypatch):
    """Its own limit and those above; cached files of its own can go, so that they do not count."""
    read = Path.read_text

    def of_group(path, *arguments, **options):
        if str(path) == "/proc/self/cgroup":
            return "0::/outer/inner\n"
        return read(path, *arguments, **options)

    for name, limit, used, files in (("outer", 5000, 1000, 300), ("outer/inner", "max", 700, 0)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text(f"{used}\n")
        (folder / "memory.stat").write_text(f"anon 5\ninactive_file {files}\n")
    monkeypatch.setattr(Path, "read_text", of_group)
    assert _group_bytes(tmp_path) == [4300]
    (tmp_path / "outer/inner/memory.max").write_text("900\n")
    assert sorted(_group_bytes(tmp_path)) == [200, 4300]


def test_memory_that_is_not_there_is_told_from_other_errors():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 3 GB)"))
    assert is_out_of_memory(MemoryError())
    with pytest.raises(RuntimeError) as caught:
        torch.rand(2, 3) @ torch.rand(2, 3)
    assert not is_out_of_memory(caught.value)
    assert not is_out_of_memory(ValueError("out of memory"))
