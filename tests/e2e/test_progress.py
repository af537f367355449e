"""What a run tells: events that fit docs/progress.md, lines for logs, a bar on a terminal, and how much of the rest."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, write_clip

PLAIN = ["--spatial", "bicubic", "--temporal", "blend"]
TYPES = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "list": list,
    "null": type(None),
}


def documented():
    """Event -> field -> the types it may have, as docs/progress.md says."""
    text = (REPOSITORY / "docs" / "progress.md").read_text(encoding="utf-8")
    common, *sections = re.split(r"^### `(\w+)`$", text.split("## Events")[1], flags=re.MULTILINE)

    def fields(part):
        rows = re.findall(r"^\| `(\w+)` \| ([\w ]+) \|", part, flags=re.MULTILINE)
        return {name: tuple(TYPES[kind] for kind in kinds.split(" or ")) for name, kinds in rows}

    names, parts = sections[::2], sections[1::2]
    return {name: fields(common) | fields(part) for name, part in zip(names, parts, strict=True)}


SCHEMA = documented()


def checked(stderr):
    """The events of a run: every line fits the schema, and the last one is the summary."""
    events = [json.loads(line) for line in stderr.splitlines()]
    for event in events:
        fields = SCHEMA[event["event"]]
        assert event.keys() == fields.keys(), event
        for name, kinds in fields.items():
            flat = tuple(
                k for kind in kinds for k in (kind if isinstance(kind, tuple) else (kind,))
            )
            assert isinstance(event[name], flat), (name, event)
            assert not isinstance(event[name], bool)
    assert {event["v"] for event in events} == {1}
    assert [event["event"] for event in events].index("summary") == len(events) - 1
    return events


def names(events):
    return [event["event"] for event in events]


@pytest.fixture
def told(call):
    """Run `stsr upscale ... --progress jsonl` and check what it tells."""

    def run(*arguments, code=0):
        result = call("upscale", *arguments, *PLAIN, "--progress", "jsonl", code=code)
        events = checked(result.stderr)
        assert events[-1]["exit_code"] == code
        return events

    return run


@pytest.fixture
def clip(make_clip):
    return make_clip("in.mp4", num_frames=60, has_sound=True)


def test_every_event_of_real_runs_is_as_documented(told, clip, make_clip, tmp_path):
    run = told("in.mp4", "out.mp4", "--segment", "1", "--keep-work")
    assert names(run)[:3] == ["file", "plan", "start"]
    assert names(run)[-2:] == ["done", "summary"]
    frames = [event for event in run if event["event"] == "frame"]
    assert frames[-1]["num_done"] == frames[-1]["num_frames"] == 60
    assert [one["num_done"] for one in frames] == sorted(one["num_done"] for one in frames)
    segments = [event for event in run if event["event"] == "segment"]
    assert sum(one["num_frames"] for one in segments) == 60
    assert run[-2]["frames_out"] == 120
    seen = set(names(run))

    (tmp_path / "out.mp4").unlink()
    run = told("in.mp4", "out.mp4", "--segment", "1")
    resumed = next(event for event in run if event["event"] == "resume")
    assert (resumed["num_done"], resumed["num_segments"]) == (60, len(segments))
    seen |= set(names(run))

    run = told("in.mp4", "out.mp4", code=2)
    assert names(run) == ["file", "failed", "summary"]
    assert "exists" in run[1]["reason"]
    seen |= set(names(run))

    make_clip("short.mp4", num_frames=6, has_sound=True)
    run = told(
        "short.mp4", "out.webm", "--stream", "auto", "--log-level", "debug", "--size", "90x50"
    )
    assert {"pair", "log", "note"} <= set(names(run))
    seen |= set(names(run))

    (tmp_path / "broken.mp4").write_bytes(b"x" * 99)
    run = told("short.mp4", "broken.mp4", "gone.mp4", "many/", code=1)
    assert [one["state"] for one in run[-1]["files"]] == ["done", "failed", "failed"]
    assert [one["file"] for one in run if one["event"] == "failed"] == [2, 3]
    run = told("short.mp4", "broken.mp4", "many/", "--skip-existing", code=1)
    assert names(run) == ["skipped", "failed", "summary"]
    seen |= set(names(run))

    run = told("short.mp4", "in.mp4", "many/", "--crf", "30", code=2)
    assert names(run) == ["failed", "summary"]
    assert run[0]["file"] is None

    write_clip(tmp_path / "deep.mov", num_frames=3, codec="prores_ks", pix_fmt="yuv422p10le")
    run = told("deep.mov", "images/%d.jpg", "--time-scale", "1")
    assert "10 bits" in next(one for one in run if one["event"] == "warning")["message"]
    seen |= set(names(run))
    assert seen == set(SCHEMA), "each event was seen at least once"


def test_the_level_holds_for_events_too(told, clip):
    run = told("in.mp4", "a.mp4", "--size", "90x50", "--log-level", "warning")
    assert "note" not in names(run)


def test_standard_output_is_the_video_alone(run_stsr, clip, tmp_path):
    command = [str(Path(sys.executable).with_name("stsr")), "upscale", "in.mp4", "-", *PLAIN]
    ran = subprocess.run(
        [*command, "--progress", "jsonl"], cwd=tmp_path, capture_output=True, check=True
    )
    checked(ran.stderr.decode())
    (tmp_path / "piped.nut").write_bytes(ran.stdout)
    again = run_stsr("probe", "piped.nut", cwd=tmp_path)
    assert "256x192" in again.stderr


def test_lines_for_a_log(call, clip):
    said = call("upscale", "in.mp4", "out.mp4", *PLAIN, "--progress", "plain").stderr
    assert "  0%, 0 of 60 frames\n" in said
    assert re.search(r"^100%, 60 of 60 frames", said, flags=re.MULTILINE)
    assert "\x1b" not in said
    only_lines = call(
        *("upscale", "in.mp4", "b.mp4", *PLAIN, "--progress", "plain", "--log-level", "error")
    ).stderr
    assert all(" of 60 frames" in line for line in only_lines.splitlines())


@pytest.mark.parametrize(
    ("level", "parts", "absent"),
    [
        ("error", [], ["warning:", "out.mkv"]),
        ("warning", ["warning: "], ["frames/s", "note"]),
        ("info", ["warning: ", "frames/s"], ["libx264"]),
        ("debug", ["warning: ", "frames/s", "libav.libx264", "debug: verified"], []),
    ],
)
def test_levels(call, tmp_path, level, parts, absent):
    write_clip(tmp_path / "in.mov", num_frames=3, codec="prores_ks", pix_fmt="yuv422p10le")
    said = call("upscale", "in.mov", "out.mkv", *PLAIN, "--log-level", level).stderr
    said += call("upscale", "in.mov", "out%d.jpg", *PLAIN, "--log-level", level).stderr
    assert all(part in said for part in parts), said
    assert not any(part in said for part in absent), said


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "libvpx-vp9"])
def test_encoders_are_silent(run_stsr, clip, tmp_path, codec):
    result = run_stsr(
        *("upscale", "in.mp4", "out.mkv", *PLAIN, "--codec", codec, "--end", "0.2", "-q"),
        cwd=tmp_path,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def on_a_terminal(*arguments, cwd):
    """What a command writes to a terminal of 100 columns, without colours, and its exit code."""
    ours, theirs = pytest.importorskip("pty").openpty()  # not on Windows
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    command = [str(Path(sys.executable).with_name("stsr")), *arguments]
    with subprocess.Popen(
        command, cwd=cwd, stdout=theirs, stderr=theirs, stdin=theirs, env=environment
    ) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other side is closed
                break
            written += part
    os.close(ours)
    return re.sub(r"\x1b\[[\d;]*m", "", written.decode()), process.returncode


def test_a_bar_on_a_terminal_that_leaves_no_trace(clip, make_clip, tmp_path):
    make_clip("b.mp4", num_frames=80)
    command = ["upscale", "in.mp4", "b.mp4", "out/", *PLAIN]
    written, code = on_a_terminal(*command, cwd=tmp_path)
    assert code == 0
    assert re.search(r"\d+/80 frames of b\.mp4", written)
    assert re.search(r"left (\d+:\d\d|--:--)", written)
    cleared = written.rindex("\x1b[2K")
    assert "━" not in written[cleared:].split("\n")[0]
    assert "2 files: 2 done" in written[cleared:]
    written, code = on_a_terminal(*command, "-y", "--no-resume", "--progress", "none", cwd=tmp_path)
    assert (code, "80 frames" in written, "\x1b[2K" in written) == (0, False, False)
