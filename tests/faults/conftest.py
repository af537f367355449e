"""How the tests of faults run the command."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from stsr_cli.cli import main

Call = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run a command of stsr in this process and in tmp_path; a bug's exception is raised."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path | float, code: int = 0) -> Result:
        num_threads, term = torch.get_num_threads(), signal.getsignal(signal.SIGTERM)
        try:
            result = CliRunner().invoke(main, [*map(str, arguments)], prog_name="stsr")
        finally:
            torch.set_num_threads(num_threads)
            signal.signal(signal.SIGTERM, term)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.stderr
        return result

    return run


@pytest.fixture
def call_pipe(tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run the command in a process of its own, with a file as its standard input."""

    def run(source: Path, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        with source.open("rb") as stdin:
            return subprocess.run(
                [sys.executable, "-m", "stsr_cli", *map(str, arguments)],
                cwd=tmp_path,
                env={**os.environ, "NO_COLOR": "1", "HF_HUB_OFFLINE": "1"},
                stdin=stdin,
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )

    return run
