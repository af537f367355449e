"""Where tensors live, how precise they are and what they take: `--device` and `--precision` in torch's terms."""

import platform
import sys
from pathlib import Path

import torch

from stsr_cli.errors import DeviceError
from stsr_cli.options import Precision

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def resolve_device(name: str) -> torch.device:
    """Return the device that `name` asks for; "auto" is cuda, then mps, then cpu.

    Raises:
        DeviceError: no such device here; a GPU that was asked for is never silently replaced by the CPU.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(
            f"unknown device {name!r}; allowed: auto, cpu, cuda, cuda:N, mps"
        ) from error
    if device.type == "cuda":
        is_there = torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
    else:
        is_there = device.type == "cpu" or (
            device.type == "mps" and torch.backends.mps.is_available()
        )
    if not is_there:
        raise DeviceError(f"device {name!r} is not available here; use --device auto or cpu")
    return device


def resolve_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the dtype the networks run in; "auto" is fp16 on a CUDA device with fast half precision, else fp32.

    Raises:
        DeviceError: fp16 on a CPU, where convolutions have no fast half-precision kernels.
    """
    if precision == "auto":
        is_fast = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)
        return torch.float16 if is_fast else torch.float32
    if precision == "fp16" and device.type == "cpu":
        raise DeviceError("--precision fp16 needs a GPU; on the CPU use fp32 or bf16")
    return _DTYPES[precision]


def start_memory(device: torch.device) -> int:
    """Begin to watch the peak; return what is in use in bytes."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return 0
    try:
        Path("/proc/self/clear_refs").write_text("5")  # Linux: VmHWM starts again
        return _status_bytes("VmRSS")
    except OSError:
        return peak_memory(device)


def peak_memory(device: torch.device) -> int:
    """Peak in bytes since `start_memory`: of the tensors on a CUDA device, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "linux":
        return _status_bytes("VmHWM")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _status_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


def machine_name(device: torch.device) -> str:
    """What a reader should know this machine by: its GPU, or its processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
