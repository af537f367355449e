"""What the tests of the Hub share: a Hub on this machine, and a quick way to run `stsr` against it. Also training's."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from stsr_cli.checkpoint import Weights, save_weights
from stsr_cli.cli import main
from stsr_cli.registry import build

from .hub_server import Hub
from .training import FAST, PAIR, moving_texture, write_clip


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


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders hr/ (D_L: three clips of 160x128) and lr/ (D_U: one of 64x48), and a shared cache."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "hr").mkdir()
    (folder / "lr").mkdir()
    for seed in range(3):
        write_clip(folder / "hr" / f"clip{seed}.mp4", moving_texture(seed, 24, 160, 128))
    write_clip(folder / "lr" / "footage.mp4", moving_texture(3, 12, 64, 48))
    return folder


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
def train(call: Call, data: Path) -> Call:
    """Run `stsr train --stage STAGE` on the clips, into out/ unless told otherwise."""

    def run(stage: str, *arguments: str | Path | float, code: int = 0, out: str = "out") -> Result:
        sources = ["--labeled", data / "hr", "--cache", data / "cache", "--out", out]
        return call("train", "--stage", stage, *sources, *FAST, *arguments, code=code)

    return run


@pytest.fixture
def refused(call: Call, data: Path, tmp_path: Path) -> Callable[..., str]:
    """Run what must be refused; check the code, one line, and that nothing is new; return the line."""

    def run(command: str, code: int, words: list[str], *arguments: str | Path | float) -> str:
        before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
        options = ["--out", "out", "--cache", data / "cache", *FAST, *arguments]
        result = call(command, *options, code=code)
        said = (" note: ", "on the held-out split")  # before it was refused
        lines = [
            line for line in result.stderr.splitlines() if not any(word in line for word in said)
        ]
        assert result.stdout == ""
        assert len(lines) == 1 and lines[0].startswith("stsr: "), result.stderr
        for word in words:
            assert word in lines[-1], result.stderr
        assert before == {
            path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")
        }
        return lines[-1]

    return run


@pytest.fixture
def finished_run(train: Call, data: Path, tmp_path: Path) -> None:
    """What a run of the spatial stage over three steps left in out/; trained once."""
    kept = data / "finished"
    if not kept.is_dir():
        train("spatial", *PAIR, "--steps", "3")
        shutil.copytree(tmp_path / "out", kept)
    shutil.copytree(kept, tmp_path / "out", dirs_exist_ok=True)
