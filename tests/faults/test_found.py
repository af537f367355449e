"""Every kind of fault that fuzzing has found, by the file that showed it first."""

import json
import shutil
from pathlib import Path

import pytest

from . import table
from .fuzz import PLAIN
from .mutate import MUTATIONS
from .seeds import CLIPS, SEEDS

FOUND = Path(__file__).with_name("found")
# Name -> what was run, and the exit code that is right.
COMMANDS = {
    "no-codec.mp4": (("upscale", "INPUT", "out.mkv"), 4),
    "no-decoder.mp4": (("upscale", "INPUT", "out.mp4"), 4),
    "seek-refused.ivf": (("upscale", "--start", "0.1", "INPUT", "out.mkv"), 0),
    "odd-format.ivf": (("upscale", "--dedup", "INPUT", "out.mkv"), 0),
    "attachment-first.mkv": (("upscale", "--deinterlace", "bwdif", "-", "out.mkv"), 3),
    "one-frame-of-fields.mkv": (
        ("upscale", "--deinterlace", "fields", "INPUT", "out.mov"),
        0,
    ),
    "huge-times.ivf": (("upscale", "--start", "0.1", "INPUT", "out.mp4"), 2),
    "new-stream.flv": (("probe", "INPUT", "out.mkv"), 0),
    "drained-by-an-error.apng": (("upscale", "--fps", "30", "INPUT", "out.mkv"), 3),
    "sound-of-no-format.mkv": (("upscale", "INPUT", "out.mov"), 0),
    "hidden-packet.mp4": (
        ("upscale", "--codec", "libvpx", "--preset", "16", "INPUT", "out.webm"),
        2,
    ),
    "finest-clock.mp4": (("upscale", "--end", "0.3", "INPUT", "out.mov"), 2),
    "fine-clock.mkv": (("upscale", "INPUT", "out.mp4"), 0),
}


@pytest.mark.parametrize("name", [name for name in COMMANDS if "-" not in COMMANDS[name][0]])
def test_what_was_found_ends_as_it_should(name, call, tmp_path):
    shutil.copy(FOUND / name, tmp_path / name)
    (command, *words), code = COMMANDS[name]
    said = call(command, *PLAIN, *(name if word == "INPUT" else word for word in words), code=code)
    lines = [line for line in said.stderr.splitlines() if line.startswith("stsr: ")]
    assert len(lines) == (code not in (0, 3))
    is_written = command == "upscale" and not lines
    left = {path.name for path in tmp_path.iterdir()} - {name, f"{words[-1]}.stsr"}
    assert left == ({words[-1]} if is_written else set())


def test_the_end_of_a_pipe_with_other_tracks(call_pipe, tmp_path):
    (command, *words), code = COMMANDS["attachment-first.mkv"]
    result = call_pipe(FOUND / "attachment-first.mkv", command, *PLAIN, *words)
    assert result.returncode == code, result.stderr


def test_every_seed_is_there_and_small():
    assert {path.name for path in SEEDS.iterdir()} == set(CLIPS)
    folders = (SEEDS, FOUND)
    sizes = [path.stat().st_size for folder in folders for path in folder.iterdir()]
    assert sum(sizes) < 300 * 1024
    assert set(COMMANDS) == {path.name for path in FOUND.iterdir()}
    assert len(MUTATIONS) == 10


@pytest.mark.parametrize("name", sorted(CLIPS))
def test_every_seed_is_upscaled_as_it_is(name, call, tmp_path):
    shutil.copy(SEEDS / name, tmp_path / name)
    call("upscale", *PLAIN, name, "out.mkv")


def test_the_table_says_what_was_counted():
    results = json.loads((table.RESULTS / "faults.json").read_text(encoding="utf-8"))
    assert (table.RESULTS / "faults.md").read_text(encoding="utf-8") == table.text(results)
    assert not [key for key in results["fuzz"] if key.endswith("|fault")]
    assert {file for _, file, _ in results["found"]} - {"test_damage.py"} <= set(COMMANDS)
