"""stsr on Windows, as far as that can be simulated: see windows/simulated_windows.py for what that covers.

`make test-windows` runs more: the unit tests and the end-to-end tests in such a Python.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import pytest

from .conftest import write_clip
from .windows.simulated_windows import environment

TESTS = Path(__file__).parent
FAST = ("--spatial", "bicubic", "--temporal", "blend", "--offline")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="simulates Windows on Linux")


@dataclass(frozen=True)
class Ran:
    """A finished `stsr`, its output as bytes of cp1252."""

    code: int
    stdout: bytes
    stderr: bytes


def surroundings() -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XDG_"))
    }
    return {**kept, **environment(), "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="module")
def server() -> Iterator["subprocess.Popen[str]"]:
    """See e2e/command_server.py; it and what it starts are on Windows."""
    process = subprocess.Popen(
        [sys.executable, str(TESTS / "e2e" / "command_server.py")],
        env=surroundings(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def stsr(server: "subprocess.Popen[str]", tmp_path: Path) -> Callable[..., Ran]:
    """Run `stsr` in tmp_path."""

    def run(*arguments: str | Path, code: int = 0) -> Ran:
        said = [tmp_path.with_name(f"{tmp_path.name}-{name}") for name in ("stdout", "stderr")]
        request = {
            "arguments": [*map(str, arguments)],
            "env": {**surroundings(), "HOME": str(tmp_path.with_name("home"))},
            "cwd": str(tmp_path),
            "stdout": str(said[0]),
            "stderr": str(said[1]),
            "weights_folder": None,
        }
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        ran = Ran(int(server.stdout.readline()), *(path.read_bytes() for path in said))
        assert ran.code == code, ran.stderr.decode("cp1252")
        return ran

    return run


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "in.mp4"
    write_clip(path, num_frames=6, width=48, height=32, has_sound=True)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def num_frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.parametrize("segments", [(), ("--segment", "0.08")], ids=["one-go", "segments"])
def test_upscale_writes_replaces_and_leaves_nothing(stsr, clip, tmp_path, segments) -> None:
    for again in ((), ("-y", "--no-resume")):
        stsr("upscale", "in.mp4", "out.mp4", *FAST, *segments, *again)
        assert names(tmp_path) == ["in.mp4", "out.mp4"]
        assert num_frames(tmp_path / "out.mp4") == 12
    refused = stsr("upscale", "in.mp4", "out.mp4", *FAST, code=2)
    assert b"exists" in refused.stderr


def test_a_killed_run_goes_on(stsr, clip, tmp_path) -> None:
    write_clip(clip, num_frames=60, width=48, height=32)
    command = ["upscale", "in.mp4", "out.mp4", *FAST, "--segment", "0.2"]
    journal = tmp_path / "out.mp4.stsr" / "journal.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "stsr_cli", *command],
        cwd=tmp_path,
        env=surroundings(),
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    while process.poll() is None and not (
        journal.exists() and len(journal.read_bytes().splitlines()) > 2
    ):
        pass
    process.kill()
    process.stderr.close()
    process.wait()
    num_kept = len(journal.read_bytes().splitlines()) - 1
    assert num_kept >= 2
    stsr(*command, "--report", "report.json")
    assert names(tmp_path) == ["in.mp4", "out.mp4", "report.json"]
    assert num_frames(tmp_path / "out.mp4") == 120


def test_another_run_of_the_same_segments_is_refused(stsr, clip, tmp_path) -> None:
    (tmp_path / "out.mp4.stsr").mkdir()
    program = (
        "import sys; from pathlib import Path; from stsr_cli.files import FileLock; "
        "held = FileLock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "out.mp4.stsr" / ".lock")],
        cwd=TESTS.parent,
        env=surroundings(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == b"held"
        refused = stsr("upscale", "in.mp4", "out.mp4", *FAST, "--segment", "0.08", code=2)
        holder.communicate()
    assert b"another stsr" in refused.stderr
    stsr("upscale", "in.mp4", "out.mp4", *FAST, "--segment", "0.08")
    assert names(tmp_path) == ["in.mp4", "out.mp4"]


def test_a_result_whose_name_is_open_elsewhere_is_kept(stsr, clip, tmp_path) -> None:
    (tmp_path / "out.mp4").write_bytes(b"before")
    player = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; f = open('out.mp4', 'rb'); print(flush=True); sys.stdin.read()",
        ],
        cwd=tmp_path,
        env=surroundings(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with player:
        assert player.stdout is not None
        player.stdout.readline()
        failed = stsr("upscale", "in.mp4", "out.mp4", *FAST, "-y", code=1)
        player.communicate()
    assert b"out (2).mp4" in failed.stderr
    assert names(tmp_path) == ["in.mp4", "out (2).mp4", "out.mp4", "out.mp4.stsr"]
    assert num_frames(tmp_path / "out (2).mp4") == 12


@pytest.mark.parametrize("target", ["nul.mp4", "a:b.mp4", "what?.mkv", "com1/", "x ./"])
def test_a_name_that_windows_does_not_keep_is_refused_beforehand(
    stsr, clip, tmp_path, target
) -> None:
    refused = stsr("upscale", "in.mp4", target, *FAST, code=2)
    assert b"Windows" in refused.stderr
    assert names(tmp_path) == ["in.mp4"]


def test_a_batch_is_made_once(stsr, clip, tmp_path) -> None:
    write_clip(tmp_path / "\N{GREEK SMALL LETTER ALPHA}.mp4", num_frames=3, width=48, height=32)
    for expected in (b"2 made", b"skipped"):
        ran = stsr("upscale", ".", "out/", *FAST)
        assert b"\\u03b1.mp4" in ran.stderr or expected == b"skipped"
    assert {*names(tmp_path / "out")} == {
        ".stsr-batch.jsonl",
        "in.mp4",
        "\N{GREEK SMALL LETTER ALPHA}.mp4",
    }
    failed = stsr("upscale", "in.mp4", "--output-pattern", "{stem}:{w}.mp4", *FAST, code=2)
    assert b"Windows" in failed.stderr


def test_images_come_and_go(stsr, clip, tmp_path) -> None:
    stsr("upscale", "in.mp4", "frames/", *FAST)
    assert len(names(tmp_path / "frames")) == 12
    stsr("upscale", "frames", "back.mkv", *FAST, "--scale", "1", "--time-scale", "1")
    assert num_frames(tmp_path / "back.mkv") == 12


def test_reports_pages_and_comparisons(stsr, clip, tmp_path) -> None:
    stsr(
        *("upscale", "in.mp4", "out.mkv", *FAST, "--start", "0.04"),
        *("--report", "run.json", "--disagreement", "doubt.csv"),
    )
    json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    stsr("compare", "out.mkv", "out.mkv", "-o", "both.mkv", "--html", "both.html")
    probed = stsr("probe", "in.mp4", "out2.mp4", "--json")
    assert json.loads(probed.stdout)
    stsr("upscale", "in.mp4", "look.mp4", *FAST, "--preview", "0.1")
    assert not [name for name in names(tmp_path) if name.startswith(".")]


def test_weights_are_listed_found_and_verified(stsr) -> None:
    assert b"span+rife" in stsr("weights", "list", "--json").stdout
    assert stsr("weights", "path", "espcn+dvf").stdout.rstrip().endswith(b".safetensors")
    stsr("weights", "verify", "espcn+dvf")


def test_training_goes_on(tmp_path) -> None:
    (tmp_path / "hr").mkdir()
    for seed in range(2):
        write_clip(tmp_path / "hr" / f"{seed}.mp4", num_frames=12, width=160, height=128)
    command = [
        sys.executable,
        "-m",
        "stsr_cli",
        "train",
        "--stage",
        "spatial",
        "--spatial",
        "espcn",
    ]
    command += ["--labeled", "hr", "--cache", "cache", "--out", "run", "--temporal", "dvf"]
    command += ["--batch-size", "1", "--crop", "16"]
    for steps in (("--steps", "2"), ("--steps", "4", "--resume")):
        ran = subprocess.run(
            [*command, *steps], cwd=tmp_path, env=surroundings(), capture_output=True, check=False
        )
        assert ran.returncode == 0, ran.stderr.decode("cp1252")
        assert len(names(tmp_path / "run" / "checkpoints")) == 1
    assert names(tmp_path / "run" / "checkpoints") == ["step-00000004"]
    lines = (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[-1])["step"] == 4
