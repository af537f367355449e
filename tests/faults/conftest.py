"""How the tests of faults run the command."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import call  # noqa: F401  # a fixture


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
