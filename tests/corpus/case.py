"""What a row of the corpus is, and how its command is run."""

import functools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FAST = ("--spatial", "bicubic", "--temporal", "blend")
LOSSLESS = ("--crf", "0")


@dataclass(frozen=True)
class Check:
    """One thing that is looked at after a run.

    Attributes:
        what: it is, in the words of the table.
        by: who looks, e.g. "ffprobe".
        run: looks, and raises AssertionError, or `readers.Missing`.
    """

    what: str
    by: str
    run: "Callable[[Case], None]"


@dataclass(frozen=True)
class Row:
    """One row: a clip, what `stsr upscale` is asked to do with it, and what must come of it.

    Attributes:
        name: of the row, and of its test.
        trait: of the input, for the table.
        build: writes the clip into a folder and returns it.
        happens: what comes of it, for the table.
        checks: that this is so.
        options: of the command, after those of `FAST`.
        output: name of the output; its ending chooses the container.
        code: exit code.
        time_scale: given to the command; 2 unless the row is about something else.
        scale: likewise; with 1 and bicubic, given frames must come out as they were.
        is_process: run the real command in a process of its own.
        command: "upscale", or another one with the same arguments.
        is_relative: give the names as they are, from within the folder, so that a dash leads them.
        is_piped: the clip goes into the command's standard input, and what comes out of it is the output.
        public: name of the clip in shared/data/clips that the row is about.
    """

    name: str
    trait: str
    build: Callable[[Path], Path | str]
    happens: str
    checks: tuple[Check, ...]
    options: tuple[str, ...] = ()
    output: str = "out.mkv"
    code: int = 0
    time_scale: int = 2
    scale: int = 1
    is_process: bool = False
    command: str = "upscale"
    is_relative: bool = False
    is_piped: bool = False
    public: str | None = None

    @property
    def takes_crf(self) -> bool:
        """Whether the output is a video that is encoded: images and pipes are lossless as they are."""
        is_images = "%" in self.output or self.output.endswith("/")
        return not self.is_piped and (not is_images or self.is_relative)


@dataclass(frozen=True)
class Case:
    """A row that was run: its files and what the command said."""

    row: Row
    source: Path
    output: Path
    code: int
    stdout: str
    stderr: str


def run_row(row: Row, folder: Path) -> Case:
    """Build the clip in `folder`, run the command on it, and check its exit code."""
    source = row.build(folder)
    output = folder / row.output
    factors = ("--scale", str(row.scale), "--time-scale", str(row.time_scale))
    lossless = LOSSLESS if row.takes_crf else ()
    fast = (*FAST, *factors, *lossless) if row.command == "upscale" else ()
    ending = "/" if row.output.endswith("/") else ""
    names = (source, f"{output}{ending}")
    if row.is_relative:
        names = (Path(source).relative_to(folder), row.output)
    arguments = (row.command, *fast, *row.options, "--", *map(str, names))
    if row.is_piped:
        code, stdout, stderr = _run_pipe(
            (row.command, *fast, *row.options, "-", "-"), source, output
        )
    else:
        run = _run_process if row.is_process else _run_here
        code, stdout, stderr = run(folder, arguments)
    said = f"{' '.join(arguments)!r} ended with {code}:\n{stdout}\n{stderr}"
    assert code == row.code, said
    assert "Traceback" not in stderr, said
    left = [path for path in folder.iterdir() if ".stsr-part" in path.name]
    assert not left, f"unfinished files are left behind: {left}"
    return Case(row, Path(source), output, code, stdout, stderr)


def _run_here(folder: Path, arguments: tuple[str, ...]) -> tuple[int, str, str]:
    import torch
    from click.testing import CliRunner

    from stsr_cli.cli import main

    before, handler = Path.cwd(), signal.getsignal(signal.SIGTERM)
    num_threads = torch.get_num_threads()
    os.chdir(folder)
    try:
        environment = {"NO_COLOR": "1", "COLUMNS": "200", "HF_HUB_OFFLINE": "1"}
        result = CliRunner().invoke(main, arguments, prog_name="stsr", env=environment)
    finally:
        os.chdir(before)
        torch.set_num_threads(num_threads)
        signal.signal(signal.SIGTERM, handler)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def _run_process(folder: Path, arguments: tuple[str, ...]) -> tuple[int, str, str]:
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(
        [sys.executable, "-m", "stsr_cli", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        stdin=subprocess.DEVNULL,
    )
    return ran.returncode, ran.stdout, ran.stderr


def _run_pipe(arguments: tuple[str, ...], source: Path | str, target: Path) -> tuple[int, str, str]:
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "HF_HUB_OFFLINE": "1"}
    with Path(source).open("rb") as stdin, target.open("wb") as stdout:
        ran = subprocess.run(
            [sys.executable, "-m", "stsr_cli", *arguments],
            env=environment,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=240,
        )
    return ran.returncode, "", ran.stderr


def check(what: str, by: str) -> "Callable[[Callable[..., None]], Callable[..., Check]]":
    """Make a function (case, ...) a maker of checks; `what` may name its arguments in braces."""

    def decorate(function: Callable[..., None]) -> Callable[..., Check]:
        @functools.wraps(function)
        def make(*values: object, **named: object) -> Check:
            names = function.__code__.co_varnames[1 : function.__code__.co_argcount]
            defaults = dict(
                zip(reversed(names), reversed(function.__defaults__ or ()), strict=False)
            )
            given = {**defaults, **dict(zip(names, values, strict=False)), **named}
            shown = {k: _shown(v) for k, v in given.items()}
            run = functools.partial(_call, function, given)
            return Check(what.format(**shown), by, run)

        return make

    return decorate


def _call(function: Callable[..., None], given: dict[str, object], case: Case) -> None:
    function(case, **given)


def _shown(value: object) -> str:
    if isinstance(value, (tuple, list)):
        return ", ".join(map(_shown, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    return str(value)
