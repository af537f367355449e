"""Where tensors live, how precise they are and what they take: `--device` and `--precision` in torch's terms."""

import gc
import platform
import sys
from contextlib import suppress
from pathlib import Path

import torch

from stsr_cli import windows
from stsr_cli.errors import DeviceError
from stsr_cli.options import Precision

_NO_MEMORY = (
    "can't allocate memory",  # torch on a CPU
    "not enough memory",  # the same on Windows
    "bad_alloc",
    "out of memory",  # CUDA, MPS
    "ALLOC_FAILED",  # cuDNN, cuBLAS
    "could not create a memory",  # oneDNN
)
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
    if sys.platform == "linux":
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # VmHWM starts again
            return _status_bytes("VmRSS")
    return peak_memory(device)


def peak_memory(device: torch.device) -> int:
    """Peak in bytes since `start_memory`: of the tensors on a CUDA device, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "linux":
        return _status_bytes("VmHWM")
    if sys.platform == "win32":
        return windows.peak_bytes()
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _status_bytes(field: str) -> int:
    return _field_bytes(Path("/proc/self/status"), field)


def _field_bytes(path: Path, field: str) -> int:
    """A line `field: number kB` of one of Linux's files."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{path} has no {field}")


def free_memory(device: torch.device) -> int | None:
    """Bytes that tensors on a device can still take; None where nothing says it.

    On a CPU what the machine can give away, what the process's control group leaves of that, and its own limits.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    if sys.platform == "win32":
        return windows.free_bytes()
    import os
    import resource

    found = [*_group_bytes()]
    try:
        found.append(_field_bytes(Path("/proc/meminfo"), "MemAvailable"))
    except OSError:  # macOS says what there is, not what is free
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and sys.platform == "linux":
        found.append(limit - _status_bytes("VmSize"))
    return max(min(found), 0)


def _group_bytes(root: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """What is left to the process's control group, and to each one above it that has a limit, in bytes."""
    found = []
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    for line in lines:
        _, kinds, path = line.split(":", 2)
        version1 = "memory" in kinds.split(",")
        if kinds and not version1:
            continue
        names = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            if version1
            else ("memory.max", "memory.current", "inactive_file")
        )
        top = root / "memory" if version1 else root
        folder = top / path.lstrip("/")
        # In a container the path may be the host's, and its own group lies at the top.
        for place in {top, folder, *folder.parents}:
            if place == top or top in place.parents:
                found += _left(place, *names)
    return found


def _left(folder: Path, limit: str, usage: str, cached: str) -> list[int]:
    """What a control group's limit leaves, cached files not counted, if it has one."""
    try:
        most = int((folder / limit).read_text())
        used = int((folder / usage).read_text())
        lines = (folder / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):  # no such group, or "max"
        return []
    files = [int(line.split()[1]) for line in lines if line.startswith(f"{cached} ")]
    return [most - used + sum(files)]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was not enough memory, on any device; each says so in words of its own."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _NO_MEMORY)


def release_memory(device: torch.device) -> None:
    """Give back what a computation that failed has left."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def machine_name(device: torch.device) -> str:
    """What a reader should know this machine by: its GPU, or its processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    lines: list[str] = []
    if sys.platform == "linux":
        with suppress(OSError):
            lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
