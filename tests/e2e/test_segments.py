"""A run in segments makes what one go makes, whoever makes them, however often it is interrupted."""

import hashlib
import json
import math
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from stsr_cli.options import EncodeOptions, ModelOptions, SourceOptions, UpscaleOptions
from stsr_cli.upscale import upscale
from stsr_cli.upscale.pump import Waits
from stsr_cli.upscale.segment_task import here, make_segments
from stsr_cli.video.probe import estimate_num_frames
from tests.conftest import textured_frame

MODEL = ModelOptions(spatial="bicubic", temporal="blend")
LOSSLESS = EncodeOptions(codec="libx264", options=(("qp", "0"), ("preset", "ultrafast")))
PLAIN = ("--spatial", "bicubic", "--temporal", "blend")
FFV1 = ("--codec", "ffv1")


def content(path):
    """All that matters of a file: packets of all streams with their times, and a hash of each decoded picture."""
    with av.open(str(path)) as container:
        packets = [
            (
                packet.stream.index,
                packet.pts,
                packet.dts,
                packet.duration,
                None if packet.stream.type == "video" else hashlib.md5(bytes(packet)).hexdigest(),
            )
            for packet in container.demux()
            if packet.size
        ]
    with av.open(str(path)) as container:
        pictures = [
            (frame.pts, hashlib.md5(frame.to_ndarray().tobytes()).hexdigest())
            for frame in container.decode(video=0)
        ]
    return packets, pictures


def scattered(tasks, on_segment, on_frame, listener, job, loaded):
    """A runner that makes the last segment first, each from a look at the source of its own."""
    for task in tasks:
        ticks = estimate_num_frames(job.source) / job.source.frame_rate / job.source.time_base
        number = math.ceil(ticks / task.grid.step)
        for index in reversed(range(task.first, task.last or number)):
            last = None if task.last is None and index == number - 1 else index + 1
            make_segments(replace(task, first=index, last=last), on_segment, on_frame)
    return Waits()


def shots(num_frames, *cuts):
    """A moving texture that changes at cuts."""
    frames, shot = [], 0
    for index in range(num_frames):
        shot += index in cuts
        picture = textured_frame(index, 64, 48)
        frames.append(255 - picture if shot % 2 else picture)
    return frames


def drawings(num_frames):
    """Animation on twos."""
    return [textured_frame(4 * (index // 2), 64, 48) for index in range(num_frames)]


def uneven(num_frames):
    """Times of a variable frame rate, in units of 1/100 s."""
    steps = random.Random(1)
    pts = [0]
    for _ in range(num_frames - 1):
        pts.append(pts[-1] + steps.choice([2, 3, 4, 9]))
    return pts


GOP = {"g": "12", "bf": "3", "crf": "20"}
OPEN_GOP = {"x264-params": "keyint=12:min-keyint=12:open-gop=1:bframes=3:scenecut=0"}
NO_KEYFRAMES = {"x264-params": "intra-refresh=1:keyint=24:bframes=0"}
CASES = {
    "closed GOPs": ("in.mp4", {"num_frames": 150, "options": GOP, "has_sound": True}, {}),
    "open GOPs": ("in.mkv", {"num_frames": 150, "options": OPEN_GOP}, {}),
    "open GOPs in TS": ("in.ts", {"num_frames": 150, "options": OPEN_GOP}, {}),
    "no keyframe but the first": ("in.mp4", {"num_frames": 150, "options": NO_KEYFRAMES}, {}),
    "HEVC": (
        "in.mp4",
        {
            "num_frames": 100,
            "codec": "libx265",
            "options": {"x265-params": "log-level=0:keyint=20"},
        },
        {},
    ),
    "MPEG-2": ("in.mpg", {"num_frames": 100, "codec": "mpeg2video", "options": {"bf": "2"}}, {}),
    "a variable rate": (
        "in.mkv",
        {
            "num_frames": 120,
            "frame_pts": uneven(120),
            "frame_rate": Fraction(100),
            "options": GOP,
        },
        {},
    ),
    "a variable rate to a constant one": (
        "in.mp4",
        {
            "num_frames": 120,
            "frame_pts": uneven(120),
            "frame_rate": Fraction(100),
            "options": GOP,
        },
        {"fps": Fraction(30000, 1001)},
    ),
    "cuts near the edges": (
        "in.mp4",
        {"frames": shots(150, 23, 47, 60, 70, 99, 120), "options": GOP},
        {},
    ),
    "cuts that fade": (
        "in.mp4",
        {"frames": shots(150, 23, 47, 60, 70, 99, 120), "options": GOP},
        {"cut": "blend", "fps": Fraction(60)},
    ),
    "animation on twos": ("in.mp4", {"frames": drawings(150), "options": GOP}, {"dedup": True}),
    "interlaced": (
        "in.mp4",
        {"num_frames": 100, "options": {**GOP, "flags": "+ilme+ildct", "x264-params": "tff=1"}},
        {},
    ),
    "both fields": (
        "in.mp4",
        {"num_frames": 100, "options": GOP},
        {"read": SourceOptions(deinterlace="fields")},
    ),
    "a part of it": (
        "in.mp4",
        {"num_frames": 150, "options": GOP, "has_sound": True},
        {"read": SourceOptions(start=Fraction(3, 2), end=Fraction(5))},
    ),
    "space only": ("in.mp4", {"num_frames": 100, "options": GOP}, {"time_scale": 1}),
    "S->T, 10 bit": (
        "in.mkv",
        {"num_frames": 80, "pix_fmt": "yuv420p10le", "options": GOP},
        {"model": replace(MODEL, stream="s2t"), "time_scale": 4},
    ),
}


IN_A_ROW = (
    "closed GOPs",
    "a variable rate to a constant one",
    "cuts that fade",
    "animation on twos",
)


@pytest.mark.parametrize(
    ("case", "runner"),
    [
        *(pytest.param(case, here, id=f"{case}, in a row") for case in IN_A_ROW),
        *(pytest.param(case, scattered, id=f"{case}, scattered") for case in CASES),
    ],
)
def test_segments_make_what_one_go_makes(case, runner, make_clip, tmp_path):
    name, clip, wishes = CASES[case]
    source = make_clip(name, **clip)
    suffix = ".mp4" if name == "in.ts" else source.suffix.replace(".mpg", ".mkv")
    options = UpscaleOptions(source, tmp_path / f"one{suffix}", model=MODEL, encode=LOSSLESS)
    options = replace(options, segment=Fraction(0), scale=1, **wishes)
    one = upscale(options)
    target = tmp_path / f"many{suffix}"
    options = replace(options, segment=Fraction(1), target=target, keep_work=True)
    many = upscale(options, runner=runner)
    assert content(target) == content(one.target)
    lines = (tmp_path / f"{target.name}.stsr" / "journal.jsonl").read_text().splitlines()
    assert len(lines) > 3, "there was more than one segment"
    same = ("frames_in", "frames_out", "num_cuts", "num_repeats", "num_repeated", "num_dropped")
    same += ("cuts", "tracks", "num_new", "num_deinterlaced", "repaired_timestamps", "warnings")
    assert [getattr(many, key) for key in same] == [getattr(one, key) for key in same]


@pytest.mark.parametrize(
    ("codec", "name", "options"),
    [
        ("libx264", "out.ts", ()),
        ("libx264", "out.mkv", (("bf", "0"),)),
        ("libx265", "out.mp4", (("x265-params", "log-level=none"), ("preset", "ultrafast"))),
        ("libsvtav1", "out.webm", (("preset", "12"),)),
        ("libvpx-vp9", "out.webm", (("deadline", "realtime"), ("cpu-used", "8"))),
        ("prores_ks", "out.mov", ()),
        ("ffv1", "out.mkv", ()),
        ("mpeg4", "out.mkv", ()),
    ],
)
def test_every_codec_is_joined(codec, name, options, make_clip, tmp_path):
    """By lossy encoders each segment is encoded on its own: frames and times are those of one go, to their error."""
    source = make_clip("in.mp4", num_frames=60, has_sound=True)
    target = tmp_path / name
    run = UpscaleOptions(
        source, target, model=MODEL, encode=EncodeOptions(codec, options=options), scale=1
    )
    report = upscale(replace(run, segment=Fraction(1, 2)))
    assert report.frames_out == 120
    with av.open(str(target)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert np.diff(times) == pytest.approx(0.02, abs=0.0011)
    with av.open(str(source)) as container:
        given = [
            frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)
        ]
    with av.open(str(target)) as container:
        made = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for index, picture in enumerate(made[::2]):
        errors = [np.mean((picture - other) ** 2) for other in given]
        assert np.argmin(errors) == index


@pytest.mark.parametrize("seconds", [1, 0])
def test_a_short_video_is_one_segment(seconds, make_clip, tmp_path, call):
    make_clip("in.mp4", num_frames=30)
    call("upscale", "in.mp4", "out.mp4", *PLAIN, "--segment", seconds, "--keep-work")
    assert [path.name for path in tmp_path.glob("*/*.nut")] == ["000000.nut"]
    call("upscale", "in.mp4", "out.mp4", *PLAIN, "--segment", seconds, "-y")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_working_files_go_or_stay(make_clip, tmp_path, call):
    make_clip("in.mp4", num_frames=60)
    call("upscale", "in.mp4", "out.mkv", *PLAIN, *FFV1, "--segment", 0.5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mkv"]
    call("upscale", "in.mp4", "two.mkv", *PLAIN, *FFV1, "--segment", 0.5, "--keep-work")
    names = sorted(path.name for path in (tmp_path / "two.mkv.stsr").iterdir())
    assert names == [".lock", *(f"{index:06d}.nut" for index in range(5)), "journal.jsonl"]
    with av.open(str(tmp_path / "two.mkv.stsr" / "000001.nut")) as segment:
        assert sum(1 for _ in segment.decode(video=0)) == 24


def start(tmp_path, *arguments):
    """Start the command in a process group of its own, on one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "NO_COLOR": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "stsr_cli", *map(str, arguments)],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def segments_done(tmp_path):
    """How many lines the journal has for segments."""
    journal = tmp_path / "out.mkv.stsr" / "journal.jsonl"
    return max(journal.read_bytes().count(b"\n") - 1, 0) if journal.exists() else 0


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.002)


LONG = ("in.mp4", "out.mkv", *PLAIN, *FFV1, "--segment", 1)


@pytest.fixture
def long_clip(make_clip):
    """Ten seconds, of which the network takes one and a half."""
    return make_clip("in.mp4", num_frames=250, options=GOP, has_sound=True, width=128, height=96)


def whole(call, tmp_path):
    """What an uninterrupted run makes."""
    call("upscale", "in.mp4", "whole.mkv", *LONG[2:])
    found = content(tmp_path / "whole.mkv")
    (tmp_path / "whole.mkv").unlink()
    return found


@pytest.mark.posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_a_run_that_is_stopped_goes_on(name, long_clip, tmp_path, call):
    number, expected = signal.Signals[name], whole(call, tmp_path)
    with start(tmp_path, "upscale", *LONG) as process:
        wait_for(lambda: segments_done(tmp_path) >= 3)
        process.send_signal(number)
        error = process.communicate(timeout=60)[1]
    done = segments_done(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    if name == "SIGKILL":
        assert process.returncode == -number
    else:
        assert process.returncode == 130
        (line,) = [line for line in error.splitlines() if line.startswith("stsr: interrupted")]
        assert f"in {done} segments are done and kept in out.mkv.stsr" in line
        again = shlex.split(line.rpartition("to go on: ")[2])
        assert again == ["stsr", "upscale", *map(str, LONG)]
        assert names == {"in.mp4", "out.mkv.stsr"}, "nothing unfinished is left"
        partial = [path for path in (tmp_path / "out.mkv.stsr").glob(".*") if path.name != ".lock"]
        assert not partial
    before = {
        path.name: path.stat().st_mtime_ns for path in (tmp_path / "out.mkv.stsr").glob("0*.nut")
    }
    assert len(before) == done
    result = call("upscale", *LONG, "--keep-work")
    assert f"in {done} segments; going on from there" in result.stderr
    assert content(tmp_path / "out.mkv") == expected
    after = {
        path.name: path.stat().st_mtime_ns for path in (tmp_path / "out.mkv.stsr").glob("0*.nut")
    }
    assert before.items() <= after.items(), "what was done is not done again"


def test_what_changed_is_refused_and_said(long_clip, make_clip, tmp_path, call):
    with start(tmp_path, "upscale", *LONG) as process:
        wait_for(lambda: segments_done(tmp_path) >= 2)
        process.kill()
    done = segments_done(tmp_path)
    for options, words in [
        (("-e", "context=1"), "encoder context was None and is 1"),
        (("--codec", "libx264"), "encoder codec was ffv1 and is libx264"),
        (("--temporal", "rife"), "options temporal was blend and is rife"),
        (("--scale", 1), "options scale was 4 and is 1"),
        (("--segment", 2), "options segment was 1 and is 2"),
        (("--cut", "off"), "options cut was hold and is off"),
        (("--stream", "t2s"), "options stream was s2t and is t2s"),
    ]:
        result = call("upscale", *LONG, *options, code=2)
        assert words in result.stderr
        assert "--no-resume" in result.stderr
    clip = long_clip.read_bytes()
    long_clip.write_bytes(clip[:-100] + bytes(100))
    result = call("upscale", *LONG, code=2)
    assert "source samples was" in result.stderr
    long_clip.write_bytes(clip)
    os.utime(long_clip, (0, 0))
    assert segments_done(tmp_path) == done
    # where and how fast it runs makes no other run
    call(
        "upscale", *LONG, "--batch-size", 2, "--device", "cpu", "--report", "r.json", "--keep-work"
    )
    counts = json.loads((tmp_path / "r.json").read_text())["counts"]
    assert counts["frames_out"] == 500
    assert 0 < counts["frames_resumed"] < 500
    (tmp_path / "out.mkv").unlink()
    result = call("upscale", *LONG, "-e", "context=1", "--no-resume", code=0)
    assert "going on" not in result.stderr


def test_two_runs_of_one_output_do_not_meet(long_clip, tmp_path, call):
    with start(tmp_path, "upscale", *LONG) as process:
        wait_for(lambda: segments_done(tmp_path) >= 1)
        result = call("upscale", *LONG, code=2)
        assert "another stsr is writing out.mkv" in result.stderr
        result = call("upscale", *LONG, "--segment", 0, code=2)
        assert "another stsr is writing out.mkv" in result.stderr
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 130


def test_a_damaged_segment_is_made_again(long_clip, tmp_path, call):
    expected = whole(call, tmp_path)
    call("upscale", *LONG, "--keep-work")
    (tmp_path / "out.mkv").unlink()
    segment = tmp_path / "out.mkv.stsr" / "000003.nut"
    damaged = bytearray(segment.read_bytes())
    damaged[len(damaged) // 2] ^= 255
    segment.write_bytes(damaged)
    call("upscale", *LONG)
    assert content(tmp_path / "out.mkv") == expected


def test_a_segment_that_was_read_wrongly_is_found_by_its_neighbours(
    make_clip, tmp_path, monkeypatch
):
    """A demuxer that seeks to the wrong place gives other frames; they are noticed and read from the beginning."""
    from stsr_cli.upscale import passage

    source = make_clip("in.mp4", num_frames=100, options=GOP)
    options = UpscaleOptions(source, tmp_path / "one.mkv", model=MODEL, encode=LOSSLESS, scale=1)
    upscale(replace(options, segment=Fraction(0)))
    really = passage.read_frames

    def late(source, repair, start_pts, **wishes):
        frames = really(source, repair, start_pts, **wishes)
        if start_pts is not None:
            for _ in range(35):
                next(frames)
        return frames

    monkeypatch.setattr(passage, "read_frames", late)
    target = tmp_path / "many.mkv"
    upscale(replace(options, target=target, segment=Fraction(1)), runner=scattered)
    assert content(target) == content(tmp_path / "one.mkv")


class Disk:
    """What of a folder would be there after a power cut: names as of the last sync of the folder, content of each file.

    It watches `os.fsync`; what was never synced is not there, or is but zeros, or a part of what was written.
    """

    def __init__(self, folder, monkeypatch):
        self.folder, self.synced, self.names = folder, {}, {}
        really = os.fsync

        def fsync(descriptor):
            really(descriptor)
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            if path.is_dir():
                self.names[path] = {one.name: one.stat().st_ino for one in path.iterdir()}
            else:
                self.synced[path.stat().st_ino] = path.read_bytes()

        monkeypatch.setattr(os, "fsync", fsync)

    def after_power_cut(self, rest):
        """Write what is left of the folder into it."""
        unsynced = {
            path.stat().st_ino: path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file()
        }
        names = dict(self.names)
        for path in [one for one in self.folder.iterdir() if one.name != "in.mp4"]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for folder, entries in sorted(names.items()):
            if folder != self.folder and folder.name not in names.get(folder.parent, {}):
                continue  # the folder itself was not on the disk
            folder.mkdir(exist_ok=True)
            for name, inode in entries.items():
                path = folder / name
                if path in names or name == "in.mp4":
                    continue
                known = self.synced.get(inode)
                if known is None:
                    written = unsynced.get(inode, b"")
                    known = random.Random(inode).choice(
                        [b"", bytes(len(written)), written[: len(written) // 2]]
                    )
                elif rest and name == "journal.jsonl":  # appended to after its last sync
                    known += unsynced.get(inode, b"")[len(known) :][: len(rest)]
                path.write_bytes(known)


class PowerCut(BaseException):
    """The end of all."""


@pytest.mark.parametrize("seed", range(6))
def test_a_power_cut_costs_what_is_not_on_the_disk(seed, make_clip, tmp_path, monkeypatch):
    """At a random moment all writes that were not synced are dropped; the next run makes the same output."""
    source = make_clip("in.mp4", num_frames=150, options=GOP, has_sound=True)
    options = UpscaleOptions(source, tmp_path / "out.mkv", model=MODEL, encode=LOSSLESS, scale=1)
    options = replace(options, segment=Fraction(1))
    upscale(options)
    expected = content(options.target)
    options.target.unlink()
    with monkeypatch.context() as patched:
        disk = Disk(tmp_path, patched)
        left = random.Random(seed).randrange(3, 45)
        for name in ("replace", "unlink", "open"):
            really = getattr(Path, name)

            def counted(self, *values, really=really, **named):
                nonlocal left
                left -= 1
                if left == 0:
                    raise PowerCut
                return really(self, *values, **named)

            patched.setattr(Path, name, counted)
        try:
            upscale(options)
        except PowerCut:
            left = -1
    if left < 0:
        disk.after_power_cut(b"x" * 7)
    if not options.target.exists():
        upscale(options)
    assert content(options.target) == expected


def test_boundaries_are_where_segments_meet(make_clip, tmp_path):
    """Cuts shortly before the grid's times take their place."""
    source = make_clip("in.mp4", frames=shots(150, 23, 47, 60, 70, 99, 120), options=GOP)
    options = UpscaleOptions(source, tmp_path / "out.mkv", model=MODEL, encode=LOSSLESS, scale=1)
    upscale(replace(options, segment=Fraction(1), keep_work=True))
    _, *lines = (tmp_path / "out.mkv.stsr" / "journal.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    tick = Fraction(1, 25)
    with av.open(str(source)) as container:
        time_base = container.streams.video[0].time_base
    firsts = [record["first_pts"] * time_base / tick for record in records]
    assert firsts == [0, 23, 47, 70, 99, 120]
    for before, after in pairwise(records):
        assert before["end_pts"] == after["first_pts"]
