"""Runs `stsr` in a forked child that has everything imported, so that a crash, a hang or a memory bomb is its own.

A run takes as long as its work, not the seconds of importing torch, and it is the real command: arguments in, exit
code, standard output and error, and files out.
"""

import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

resource = pytest.importorskip("resource")  # not on Windows, which has no fork either

LIMIT_SECONDS = 90.0  # of wall time, on a machine that may be busy
MOST_CPU_SECONDS = 20.0  # that a run of a small clip may take
MOST_BYTES = 3 << 29  # of memory that a run of a small clip may take, the interpreter included
_MOST_ADDRESSES = 16 << 30
_ERROR_CODES = {1, 2, 4, 5, 6}


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes:
        code: exit code; minus the signal that ended it; None: it was ended by the watchdog.
        stdout, stderr: what it said.
        cpu_seconds: of processor time.
        peak_bytes: most resident memory.
        left: files that it left behind beside the one it was to write.
        has_output: whether that one is there.
    """

    code: int | None
    stdout: str
    stderr: str
    cpu_seconds: float
    peak_bytes: int
    left: tuple[str, ...] = ()
    has_output: bool = False
    faults: tuple[str, ...] = field(default=())


def import_all() -> None:
    """Import what a run needs, and start no thread."""
    import torch

    import stsr_cli.cli.probe
    import stsr_cli.cli.upscale
    import stsr_cli.console
    import stsr_cli.spatial.bicubic
    import stsr_cli.temporal.blend
    import stsr_cli.upscale
    import stsr_cli.upscale.estimate
    import stsr_cli.upscale.preview
    import stsr_cli.video.describe
    import stsr_cli.video.timing.scenes  # noqa: F401

    torch.set_num_threads(1)


def run(
    folder: Path,
    arguments: Sequence[str],
    *,
    output: str | None = None,
    stdin: Path | None = None,
    limit_seconds: float = LIMIT_SECONDS,
) -> Outcome:
    """Run `stsr` in `folder` and look at what it did.

    Args:
        folder: working folder; files in it beside `output` must be the same afterwards.
        arguments: of the command.
        output: name of what it writes, if it is to write anything.
        stdin: what it reads from the standard input.
        limit_seconds: after which it is killed, and that is a fault.
    """
    before = _listing(folder)
    logs = folder.with_name(f"{folder.name}.log")
    logs.mkdir(exist_ok=True)
    begin = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _child(folder, arguments, stdin, logs)
    code, usage = _wait(pid, begin + limit_seconds)
    seconds, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
    stdout, stderr = ((logs / name).read_text(errors="replace") for name in ("out", "err"))
    shutil.rmtree(logs)
    after = _listing(folder)
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    # Finished segments stay on purpose after an error, and that is said.
    kept = f"{output}.stsr" if output and f"are done and kept in {output}.stsr" in stderr else None
    left = tuple(name for name in changed if name != output and Path(name).parts[0] != kept)
    outcome = Outcome(code, stdout, stderr, seconds, peak, left, output in after)
    return Outcome(**{**vars(outcome), "faults": tuple(faults_of(outcome, output))})


def _child(folder: Path, arguments: Sequence[str], stdin: Path | None, logs: Path) -> None:
    code = 70
    try:
        for number, name in ((1, "out"), (2, "err")):
            descriptor = os.open(logs / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(descriptor, number)
        os.dup2(os.open(stdin or os.devnull, os.O_RDONLY), 0)
        os.chdir(folder)
        os.environ.update(NO_COLOR="1", COLUMNS="200", HF_HUB_OFFLINE="1")
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_ADDRESSES, _MOST_ADDRESSES))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        from stsr_cli.cli import main

        try:
            main(list(arguments), prog_name="stsr")
            code = 0
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else 1
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _wait(pid: int, deadline: float) -> tuple[int | None, Any]:
    """Exit code of a child and what it took; it is killed at the deadline."""
    pause = 0.002
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), usage
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            _, _, usage = os.wait4(pid, 0)
            return None, usage
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def _listing(folder: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in folder.rglob("*"):
        stat = path.lstat()
        found[str(path.relative_to(folder))] = (
            stat.st_size,
            stat.st_mtime_ns if path.is_file() else 0,
        )
    return found


def faults_of(outcome: Outcome, output: str | None) -> list[str]:
    """What must not happen to any input.

    A complaint of PyAV's about its own log, which is rare and costs nothing but the line, is not counted.
    """
    faults = []
    lines = outcome.stderr.splitlines()
    if outcome.code is None:
        faults.append("hang")
    elif outcome.code < 0:
        faults.append(f"killed by {signal.Signals(-outcome.code).name}")
    if "Traceback" in outcome.stderr and "av.logging: exception while" not in outcome.stderr:
        faults.append(f"traceback: {lines[-1] if lines else ''}")
    if outcome.cpu_seconds > MOST_CPU_SECONDS:
        faults.append(f"{outcome.cpu_seconds:.0f} s of processor time")
    if outcome.peak_bytes > MOST_BYTES:
        faults.append(f"{outcome.peak_bytes >> 20} MiB of memory")
    if outcome.left:
        faults.append(f"left behind or changed: {', '.join(outcome.left)}")
    if outcome.code in (0, 3):
        if output and not outcome.has_output:
            faults.append("no output")
    elif outcome.code in _ERROR_CODES:
        errors = [line for line in lines if line.startswith("stsr: ")]
        if len(errors) != 1:
            faults.append(f"{len(errors)} lines of error")
        if outcome.has_output:
            faults.append("an output in spite of an error")
    elif outcome.code is not None and outcome.code >= 0:
        faults.append(f"exit code {outcome.code}")
    strange = [line for line in lines if re.match(r"\[\w+(,\w+)* @ 0x", line)]
    if strange:
        faults.append(f"FFmpeg speaks: {strange[0]}")
    return faults
