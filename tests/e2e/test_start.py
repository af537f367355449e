"""The first seconds of a run: a terminal shows that something happens, and nothing is imported that is not needed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pty = pytest.importorskip("pty", reason="needs pseudo terminals, which Windows has not")

RUN = """
import sys
from stsr_cli.cli import main
try:
    main()
finally:
    heavy = {"torch._dynamo", "torch._inductor", "sympy", "huggingface_hub"} & sys.modules.keys()
    print(sorted(heavy), flush=True)
"""


def test_a_terminal_says_at_once_that_it_loads_and_no_compiler_is_loaded(
    tmp_path: Path, demo_clip: Path
) -> None:
    """The default pair, with its first word before torch is imported: it is the first thing on the terminal."""
    master, terminal = pty.openpty()
    arguments = ["upscale", str(demo_clip), "out.mp4", "--end", "0.1", "--precision", "fp32"]
    with subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm"},
    ) as run:
        os.close(terminal)
        first = os.read(master, 100)
        assert first.startswith(b"loading ...")
        said = first
        while True:
            try:
                said += os.read(master, 10_000)
            except OSError:  # the terminal's other end is closed
                break
        heavy, _ = run.communicate()
    os.close(master)
    assert run.returncode == 0, said.decode()
    assert heavy.decode().strip() == "[]"
    assert b"frames of 1024x576" in said
