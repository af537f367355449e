"""stdout and stderr that go away end no run; its exit code tells the result."""

import os
import subprocess
import sys
from pathlib import Path

import av
import pytest

from stsr_cli.cli.standard_streams import StandardStream

PLAIN = ("--spatial", "bicubic", "--temporal", "blend", "--offline", "-y")


@pytest.fixture
def start(tmp_path):
    """Run the command with streams of the caller's choice."""

    def run(*arguments, **streams):
        return subprocess.run(
            [sys.executable, "-m", "stsr_cli", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=False,
            **streams,
        ).returncode

    return run


def num_frames(path):
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.fixture
def broken_pipe():
    """A pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.parametrize("progress", ["plain", "jsonl"])
def test_a_run_goes_on_without_a_reader(progress, make_clip, start, tmp_path, broken_pipe):
    make_clip("in.mp4", num_frames=12)
    arguments = ("upscale", "in.mp4", "out.mp4", *PLAIN, "--progress", progress)
    assert start(*arguments, stdout=broken_pipe, stderr=broken_pipe) == 0
    assert num_frames(tmp_path / "out.mp4") == 24


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is full")
def test_a_full_disk_loses_messages_but_no_result(make_clip, start, tmp_path):
    make_clip("in.mp4", num_frames=12)
    with Path("/dev/full").open("wb") as full:
        assert start("upscale", "in.mp4", "out.mp4", *PLAIN, "--segment", 0.1, stderr=full) == 0
        assert num_frames(tmp_path / "out.mp4") == 24
        assert start("upscale", "in.mp4", "no/out.mp4", *PLAIN, stderr=full) == 2
        # the video itself, and what a program is to read, must not be lost without a word
        for arguments in (("upscale", "in.mp4", "-", *PLAIN), ("probe", "in.mp4", "--json")):
            assert start(*arguments, stdout=full, stderr=subprocess.DEVNULL) in (1, 2)


def test_what_does_not_wait_loses_one_text_alone():
    """A terminal that is set not to block refuses what it has no room for, and takes what comes later."""

    class Full:
        def __init__(self):
            self.texts, self.has_room = [], False

        def write(self, text):
            if not self.has_room:
                raise BlockingIOError(11, "no room")
            self.texts.append(text)

    file = Full()
    stream = StandardStream(file)
    stream.write("lost")
    file.has_room = True
    stream.write("kept")
    assert file.texts == ["kept"]
    assert stream.error is None
