"""What Windows says of memory: the counterpart of Linux's /proc, by the structures of its documentation."""

import ctypes
import sys
from ctypes import c_size_t, c_uint32, c_uint64, c_void_p


class MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX."""

    _fields_ = (
        ("length", c_uint32),
        ("load", c_uint32),
        ("total_physical", c_uint64),
        ("available_physical", c_uint64),
        ("total_commit", c_uint64),
        ("available_commit", c_uint64),
        ("total_virtual", c_uint64),
        ("available_virtual", c_uint64),
        ("available_extended", c_uint64),
    )


class ProcessMemory(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS."""

    _fields_ = (
        ("length", c_uint32),
        ("num_faults", c_uint32),
        ("peak_working_set", c_size_t),
        ("working_set", c_size_t),
        ("quotas", c_size_t * 4),
        ("commit", c_size_t),
        ("peak_commit", c_size_t),
    )


if sys.platform == "win32":

    def free_bytes() -> int:
        """Memory that can be had without swapping, and within what the system grants.

        Raises:
            OSError: Windows does not say it.
        """
        status = MemoryStatus(length=ctypes.sizeof(MemoryStatus))
        kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
        if not kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
            raise ctypes.WinError(ctypes.get_last_error())
        return min(int(status.available_physical), int(status.available_commit))

    def peak_bytes() -> int:
        """The most that this process has had in memory so far.

        Raises:
            OSError: Windows does not say it.
        """
        memory = ProcessMemory(length=ctypes.sizeof(ProcessMemory))
        kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel32.GetCurrentProcess.restype = c_void_p
        kernel32.K32GetProcessMemoryInfo.argtypes = (c_void_p, c_void_p, c_uint32)
        process, size = kernel32.GetCurrentProcess(), ctypes.sizeof(memory)
        if not kernel32.K32GetProcessMemoryInfo(process, ctypes.byref(memory), size):
            raise ctypes.WinError(ctypes.get_last_error())
        return int(memory.peak_working_set)
