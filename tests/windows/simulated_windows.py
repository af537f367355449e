"""Windows, as far as it can be simulated on Linux: what stsr would run into there, it runs into here.

For the code of stsr (a loader gives its files builtins of their own, whose `import` is another):
- `sys.platform` is "win32", `os.name` "nt", `os.linesep` CR LF, `os.devnull` "nul"
- no `resource`, `fcntl`, `termios`, `pwd`, `grp`; `msvcrt` with locks; `ctypes.WinDLL("kernel32")` says what memory
  there is and checks the sizes of the structures that it is given
- `os` without fork, geteuid, getuid, umask's like, killpg, mkfifo, sysconf, sched_*, statvfs, O_DIRECTORY, O_NOFOLLOW
- `signal` has SIGINT, SIGTERM, SIGBREAK and C's four alone, takes handlers for no others, and has no masks
- nothing in /proc, /sys or /dev
For the whole process, libraries included:
- `os.fsync` of a descriptor that may not write: EBADF; `os.open` and `open` of a folder: PermissionError
- removing, renaming or replacing a file that any simulated process has open or mapped (FFmpeg's, torch's and
  safetensors' files count), or a folder with such a file in it: PermissionError
- `os.rename` onto a file or a folder: FileExistsError
- text without `encoding` is cp1252 and its lines end in CR LF, on the standard streams, too
- `os.kill` ends the process at once, whatever the signal, as TerminateProcess does; so does `Process.terminate`
- processes start by spawn; symbolic links need a privilege that is not there
- no file is made whose name has one of `<>:"|?*`, ends in a dot or a space, or is a device's

Not simulated: paths with drive letters and backslashes (`pathlib` is chosen when Python starts; what is computed with
them is tested by text alone), names that ignore case, FFmpeg's own file access but for what it has open, other
programs, the console and its windows, `click` and `rich` on a console of Windows, the builds of torch and PyAV there.
"""

import builtins
import ctypes
import errno
import importlib.abc
import importlib.machinery
import io
import multiprocessing
import multiprocessing.connection
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from types import ModuleType

PACKAGE = "stsr_cli"
MARK = b"SIMULATE_WINDOWS=1"
ENCODING = "cp1252"
MISSING = frozenset("resource fcntl termios tty pty pwd grp syslog posix".split())
NOT_IN_OS = frozenset(
    "fork forkpty geteuid getuid getegid getgid getgroups setsid setpgid getpgid killpg mkfifo mknod sysconf nice "
    "sched_getaffinity sched_setaffinity sched_getscheduler sched_setscheduler sched_param getloadavg statvfs fstatvfs "
    "chown fchown lchown fchmod sync fdatasync posix_fadvise posix_fallocate sendfile O_DIRECTORY O_NOFOLLOW "
    "O_CLOEXEC O_NONBLOCK O_SYNC WNOHANG uname getpriority setpriority pread pwrite pipe2 memfd_create".split()
)
SIGNALS = frozenset("SIGABRT SIGFPE SIGILL SIGINT SIGSEGV SIGTERM SIGBREAK".split())
NOT_IN_SIGNAL = frozenset(
    "pthread_sigmask pthread_kill sigwait sigpending alarm setitimer getitimer pause siginterrupt SIG_BLOCK "
    "SIG_UNBLOCK SIG_SETMASK".split()
)
NO_NAME = re.compile(
    r'[<>:"|?*\x00-\x1f]|[. ]$|^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[1-9¹²³])(\.|$)',
    re.IGNORECASE,
)

_real = {
    (module, name): getattr(module, name)
    for module, names in {
        os: "open fsync unlink remove rename replace kill symlink mkdir",
        io: "open",
    }.items()
    for name in names.split()
}


class _Replaced(ModuleType):
    """A module as stsr sees it: without some of its names, and with others."""

    def __init__(self, module: ModuleType, hidden: frozenset[str], **instead: object) -> None:
        super().__init__(module.__name__)
        self.__dict__.update(_module=module, _hidden=hidden, **instead)

    def __getattr__(self, name: str) -> object:
        if name in self.__dict__["_hidden"]:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} on Windows")
        return getattr(self.__dict__["_module"], name)

    def __dir__(self) -> list[str]:
        return sorted({*dir(self._module), *self.__dict__} - self._hidden)


def _fail(number: int, *names: object) -> OSError:
    text = [os.fsdecode(name) if isinstance(name, bytes | os.PathLike) else name for name in names]
    return OSError(number, os.strerror(number), *text[:1], *([None, text[1]] if text[1:] else []))


# ---- files


def _processes() -> list[str]:
    """This process and those of the simulation beside it, as folders of /proc."""
    found = ["/proc/self"]
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                with _real[io, "open"](f"/proc/{name}/environ", "rb") as file:
                    if MARK in file.read():
                        found.append(f"/proc/{name}")
            except OSError:
                continue
    return found


def _open_files() -> set[str]:
    """Paths of all that is open or mapped in a process of the simulation."""
    found: set[str] = set()
    for process in _processes():
        try:
            for descriptor in os.listdir(f"{process}/fd"):
                try:
                    found.add(os.readlink(f"{process}/fd/{descriptor}"))
                except OSError:
                    continue
            with _real[io, "open"](f"{process}/maps", "rb") as file:
                found.update(
                    os.fsdecode(line.split(None, 5)[5].rstrip()) for line in file if b"/" in line
                )
        except (OSError, IndexError):
            continue
    return found


def _refuse_open(path: object, *others: object) -> None:
    """Raise PermissionError if a file, or one in the folder, is open."""
    real = os.path.realpath(os.fspath(path))
    real = os.fsdecode(real)
    taken = [name for name in _open_files() if name == real or name.startswith(f"{real}/")]
    if taken:
        error = _fail(errno.EACCES, path, *others)
        error.add_note(f"open: {', '.join(sorted(taken))}")
        raise error


def _refuse_name(path: object) -> None:
    """Raise OSError if Windows takes the name for something else, or as another one."""
    if isinstance(path, int):
        return
    if NO_NAME.search(os.path.basename(os.fsdecode(os.fspath(path)))):
        raise _fail(errno.EINVAL, path)


def _is_asked_by_stsr() -> bool:
    frame = sys._getframe(2)
    while frame and frame.f_globals.get("__name__") in ("pathlib", "shutil", __name__):
        frame = frame.f_back
    return bool(frame) and str(frame.f_globals.get("__name__")).split(".")[0] == PACKAGE


def _refuse_posix(path: object) -> None:
    is_there = not isinstance(path, int) and os.fsdecode(os.fspath(path)).startswith(
        ("/proc/", "/sys/", "/dev/")
    )
    if is_there and _is_asked_by_stsr():
        raise _fail(errno.ENOENT, path)


def _open(
    file,
    mode="r",
    buffering=-1,
    encoding=None,
    errors=None,
    newline=None,
    closefd=True,
    opener=None,
):
    _refuse_posix(file)
    is_written = bool(set("wax") & set(mode))
    if is_written:
        _refuse_name(file)
    if (
        not isinstance(file, int) and not opener and os.path.isdir(file)
    ):  # tempfile opens one by its opener
        raise _fail(errno.EACCES, file)
    if "b" not in mode:
        encoding = ENCODING if encoding in (None, "locale") else encoding
        newline = "\r\n" if newline is None and is_written else newline
    return _real[io, "open"](file, mode, buffering, encoding, errors, newline, closefd, opener)


def _os_open(path, flags, mode=0o777, *, dir_fd=None):
    _refuse_posix(path)
    if flags & os.O_CREAT:
        _refuse_name(path)
    if dir_fd is None and os.path.isdir(path) and flags & os.O_TMPFILE != os.O_TMPFILE:
        raise _fail(errno.EACCES, path)
    return _real[os, "open"](path, flags, mode, dir_fd=dir_fd)


def _fsync(descriptor):
    import fcntl

    number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
    if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise _fail(errno.EBADF)
    _real[os, "fsync"](number)


def _unlink(path, *, dir_fd=None):
    if dir_fd is None and os.path.isdir(path) and not os.path.islink(path):
        raise _fail(errno.EACCES, path)
    if dir_fd is None and os.path.lexists(path):
        _refuse_open(path)
    _real[os, "unlink"](path, dir_fd=dir_fd)


def _rename(source, target, *, src_dir_fd=None, dst_dir_fd=None):
    _refuse_name(target)
    if os.path.lexists(target) and not os.path.samefile(source, target):
        raise _fail(errno.EEXIST, source, target)
    _refuse_open(source, target)
    _real[os, "rename"](source, target)


def _replace(source, target, *, src_dir_fd=None, dst_dir_fd=None):
    _refuse_name(target)
    _refuse_open(source, target)
    if os.path.isdir(target):
        raise _fail(errno.EACCES, source, target)
    if os.path.lexists(target):
        _refuse_open(target)
    _real[os, "replace"](source, target)


def _mkdir(path, mode=0o777, *, dir_fd=None):
    _refuse_name(path)
    _real[os, "mkdir"](path, mode, dir_fd=dir_fd)


def _symlink(source, target, target_is_directory=False, *, dir_fd=None):
    raise _fail(errno.EINVAL, source, target)  # WinError 1314


def _kill(pid, number):
    if number and pid == os.getpid():
        os._exit(number)
    _real[os, "kill"](pid, signal.SIGKILL if number else 0)


# ---- modules of Windows


def _msvcrt() -> ModuleType:
    import fcntl
    import time

    module = ModuleType("msvcrt")
    module.LK_UNLCK, module.LK_LOCK, module.LK_NBLCK, module.LK_RLCK, module.LK_NBRLCK = range(5)

    def locking(descriptor: int, mode: int, num_bytes: int) -> None:
        """A lock of the process's open file, as Windows has it: not even the process itself gets it twice."""
        if mode == module.LK_UNLCK:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            return
        for attempt in range(10 if mode in (module.LK_LOCK, module.LK_RLCK) else 1):
            time.sleep(1 if attempt else 0)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                continue
        raise _fail(errno.EDEADLK if mode in (module.LK_LOCK, module.LK_RLCK) else errno.EACCES)

    module.locking = locking
    return module


class _Kernel32:
    """What stsr calls of kernel32.dll."""

    def __init__(self, name: str, use_last_error: bool = False) -> None:
        assert name == "kernel32"
        self.GetCurrentProcess = _Function(lambda: -1)
        self.GlobalMemoryStatusEx = _Function(self._status)
        self.K32GetProcessMemoryInfo = _Function(self._memory)

    def _status(self, reference) -> int:
        status = reference._obj
        if ctypes.sizeof(status) != 64 or status.length != 64:
            return 0
        with _real[io, "open"]("/proc/meminfo", encoding="ascii") as file:
            free = next(
                int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable")
            )
        _write(status, 8, [2 * free, free, 3 * free, 2 * free], ctypes.c_uint64)
        return 1

    def _memory(self, process, reference, size: int) -> int:
        memory = reference._obj
        if (
            process not in (-1, 2**64 - 1)
            or size != 72
            or ctypes.sizeof(memory) != 72
            or memory.length != 72
        ):
            return 0
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        _write(memory, 8, [peak, peak // 2], ctypes.c_size_t)
        return 1


class _Function:
    """A function of a library: it has `restype` and `argtypes` to be set."""

    def __init__(self, call) -> None:
        self._call = call

    def __call__(self, *arguments):
        return self._call(*arguments)


def _write(structure, offset: int, values: list[int], kind) -> None:
    """Write numbers where Windows has them, whatever the structure calls them."""
    (kind * len(values)).from_address(ctypes.addressof(structure) + offset)[:] = values


def _set_handler(number: int, handler):
    if number not in {int(getattr(signal, name, 21)) for name in SIGNALS}:
        raise ValueError("signal number out of range")
    return signal.signal(number, handler)


def _modules() -> dict[str, ModuleType]:
    hidden = {name for name in dir(signal) if re.fullmatch("SIG[A-Z0-9]+", name)} - SIGNALS
    return {
        "sys": _Replaced(
            sys,
            frozenset({"abiflags"}),
            platform="win32",
            getwindowsversion=lambda: (10, 0, 22631, 2, ""),
        ),
        "os": _Replaced(os, NOT_IN_OS, name="nt", linesep="\r\n", devnull="nul"),
        "signal": _Replaced(
            signal,
            frozenset({*hidden, *NOT_IN_SIGNAL}),
            SIGBREAK=21,
            CTRL_C_EVENT=0,
            signal=_set_handler,
        ),
        "msvcrt": _msvcrt(),
        "ctypes": _Replaced(
            ctypes,
            frozenset(),
            WinDLL=_Kernel32,
            get_last_error=lambda: 87,
            WinError=lambda code: OSError(errno.EINVAL, f"[WinError {code}]"),
        ),
    }


# ---- stsr's own view


class _Loader(importlib.machinery.SourceFileLoader):
    """Runs a file of stsr with builtins whose `import` is the one of Windows."""

    builtins: dict[str, object]

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = self.builtins
        code = self.get_code(module.__name__)
        assert code is not None
        exec(code, module.__dict__)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] != PACKAGE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def install() -> None:
    """Make this process one of Windows. Called once, before stsr is imported."""
    assert PACKAGE not in sys.modules
    modules = _modules()

    def import_as_there(name, globals=None, locals=None, fromlist=(), level=0):
        if not level and name.split(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        instead = None if level else modules.get(name if fromlist else name.split(".")[0])
        return instead or builtins.__import__(name, globals, locals, fromlist, level)

    _Loader.builtins = {**vars(builtins), "__import__": import_as_there, "open": _open}
    sys.meta_path.insert(0, _Finder())
    builtins.open = io.open = _open
    for name, function in {
        "open": _os_open,
        "fsync": _fsync,
        "unlink": _unlink,
        "remove": _unlink,
        "rename": _rename,
        "replace": _replace,
        "mkdir": _mkdir,
        "symlink": _symlink,
        "kill": _kill,
    }.items():
        setattr(os, name, function)
    shutil._use_fd_functions = False  # which Windows has not
    multiprocessing.set_start_method("spawn", force=True)
    multiprocessing.connection.PipeConnection = multiprocessing.connection.Connection
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding=ENCODING, newline="\r\n")
    sys.stdin.reconfigure(encoding=ENCODING)


def environment() -> dict[str, str]:
    """The variables that make a Python, and those that it starts, one of Windows."""
    return {"SIMULATE_WINDOWS": "1", "PYTHONPATH": str(Path(__file__).parent)}
