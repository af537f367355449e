"""What the tests of the Hub share: a Hub on this machine, and a quick way to run `stsr` against it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from stsr_cli.checkpoint import Weights, save_weights
from stsr_cli.registry import build

from .hub_server import Hub


@pytest.fixture
def hub() -> Iterator[Hub]:
    """An empty Hub."""
    server = Hub()
    yield server
    server.close()


@pytest.fixture
def weights_file(tmp_path: Path) -> Path:
    """Weights of a small ESPCN."""
    torch.manual_seed(1)
    path = tmp_path / "made" / "espcn.safetensors"
    path.parent.mkdir()
    save_weights(path, Weights(spatial=build("spatial", "espcn", {"num_channels": 8})))
    return path


@dataclass(frozen=True)
class Ran:
    """A finished `stsr`."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def command_server() -> Iterator["subprocess.Popen[str]"]:
    """See command_server.py."""
    script = Path(__file__).with_name("command_server.py")
    process = subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # threads of a fork would wait for each other
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        yield process
        process.stdin.close()


HubStsr = Callable[..., Ran]


@pytest.fixture
def hub_environment(hub: Hub, tmp_path: Path) -> dict[str, str]:
    """Variables that send the Hub's client to `hub`, with a cache of its own."""
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "0",
        "no_proxy": "127.0.0.1",
    }


@pytest.fixture
def hub_stsr(
    command_server: "subprocess.Popen[str]", hub_environment: dict[str, str], tmp_path: Path
) -> HubStsr:
    """Run `stsr` in tmp_path against `hub`; `env` adds variables, `weights_folder` replaces the embedded weights."""

    def run(
        *arguments: str | Path,
        env: Mapping[str, str] | None = None,
        weights_folder: Path | None = None,
    ) -> Ran:
        kept = {key: os.environ[key] for key in ("PATH", "PYTHONPATH") if key in os.environ}
        fixed = {"HOME": str(tmp_path / "home"), "NO_COLOR": "1", "COLUMNS": "100"}
        out, err = tmp_path / "stdout", tmp_path / "stderr"
        request = {
            "arguments": [str(argument) for argument in arguments],
            "env": {**kept, **fixed, **hub_environment, **(env or {})},
            "cwd": str(tmp_path),
            "stdout": str(out),
            "stderr": str(err),
            "weights_folder": None if weights_folder is None else str(weights_folder),
        }
        assert command_server.stdin is not None
        assert command_server.stdout is not None
        command_server.stdin.write(json.dumps(request) + "\n")
        command_server.stdin.flush()
        code = int(command_server.stdout.readline())
        return Ran(code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))

    return run


@pytest.fixture
def hub_fails(hub_stsr: HubStsr) -> Callable[..., str]:
    """Run `stsr`, check the code and that exactly one line was said; return the line."""

    def run(code: int, *arguments: str | Path, **options: object) -> str:
        ran = hub_stsr(*arguments, **options)
        assert ran.returncode == code, ran.stderr
        assert ran.stdout == ""
        assert len(ran.stderr.splitlines()) == 1, ran.stderr
        assert ran.stderr.startswith("stsr: ")
        return ran.stderr

    return run
