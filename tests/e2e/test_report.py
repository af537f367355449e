"""`--report`: the manifest of a run, compared field by field with the files and with FFmpeg's own reader."""

import hashlib
import json
import platform
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from stsr_cli import __version__
from stsr_cli.video.writer import VideoWriter

FAST = ["--spatial", "bicubic", "--temporal", "blend"]


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def clip(make_clip):
    """Six frames at 23.976 fps, with a cut before the fourth, and sound."""
    noise = np.random.default_rng(1).integers(0, 256, (2, 64, 110, 3), dtype=np.uint8)
    shots = [noise[0, :, index : index + 96] // 4 for index in range(3)]
    shots += [noise[1, :, index : index + 96] // 4 + 180 for index in range(3)]
    return make_clip("in.mp4", frames=shots, frame_rate=Fraction(24000, 1001), has_sound=True)


def ffprobe(path):
    if shutil.which("ffprobe") is None:
        pytest.skip("ffprobe is not installed")
    wanted = ["-count_packets", "-show_streams", "-show_format", "-show_packets"]
    command = ["ffprobe", "-v", "error", "-of", "json", *wanted, str(path)]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def test_a_report_says_what_is_in_the_files(call, clip, tmp_path):
    target = tmp_path / "out.mkv"
    call("upscale", "in.mp4", "out.mkv", *FAST, "--report", "run.json", "--scene-threshold", "9")
    report = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert report["schema"] == 1
    assert report["software"]["stsr"] == __version__
    assert report["software"]["torch"] == torch.__version__
    assert report["software"]["numpy"] == np.__version__
    assert report["software"]["av"] == av.__version__
    assert report["software"]["python"] == platform.python_version()
    assert report["software"]["ffmpeg"]["libavcodec"].count(".") == 2
    assert report["options"]["scene_threshold"] == 9
    assert report["options"]["model"]["spatial"] == "bicubic"
    for name, path in (("source", clip), ("target", target)):
        assert report[name]["path"] == str(path)
        assert report[name]["bytes"] == path.stat().st_size
        assert report[name]["sha256"] == sha256(path)
    assert report["source"]["video"]["frame_rate"] == "24000/1001"
    assert report["network"]["name"] == "bicubic+blend"
    assert report["network"]["weights"] == []
    (sound,) = report["tracks"]
    assert (sound["kind"], sound["codec"], sound["action"]) == ("audio", "aac", "copy")
    (cut,) = report["cuts"]
    assert cut == {"frame_index": 3, "seconds": pytest.approx(3 * 1001 / 24000)}
    counts = report["counts"]
    assert (counts["frames_in"], counts["frames_out"]) == (6, 12)
    assert (counts["num_new"], counts["num_cuts"], counts["repaired_timestamps"]) == (5, 1, 0)
    assert report["warnings"] == []
    shares = [report["time"][f"{part}_share"] for part in ("decode", "network", "encode")]
    assert sum(shares) == pytest.approx(1)

    found = ffprobe(target)
    video, audio = found["streams"]
    assert report["target"]["frames"] == int(video["nb_read_packets"]) == 12
    assert report["target"]["width"] == video["width"] == 384
    assert report["target"]["height"] == video["height"] == 256
    assert report["target"]["encoder"]["pix_fmt"] == video["pix_fmt"]
    checks = {check["what"]: check for check in report["verification"]}
    assert checks["video: frames"]["actual"] == int(video["nb_read_packets"])
    times = [packet["pts"] for packet in found["packets"] if packet["codec_type"] == "video"]
    assert checks["video: distinct times of frames"]["actual"] == len(set(times))
    ends = checks["video: ticks of the first and the last decoded picture"]["actual"]
    assert ends == [min(times), max(times)]
    assert checks["video: size of the last picture"]["actual"] == [384, 256]
    assert checks["video: pix fmt"]["actual"] == video["pix_fmt"]
    (name,) = [what for what in checks if what.endswith("SHA-256 of its packets")]
    with av.open(str(target)) as container:
        data = b"".join(bytes(packet) for packet in container.demux(audio=0))
    assert checks[name]["actual"] == hashlib.sha256(data).hexdigest()
    (name,) = [what for what in checks if what.endswith("packets at their time")]
    assert checks[name]["actual"] == int(audio["nb_read_packets"])


def test_a_report_has_the_weights_and_what_is_lost(call, make_clip, tmp_path):
    make_clip("in.mkv", num_frames=2, width=32, height=32, has_sound=True)
    call("upscale", "in.mkv", "out.webm", "--report", "run.json", "--codec", "libvpx-vp9")
    report = json.loads((tmp_path / "run.json").read_text())
    assert report["network"]["weights"], "the default modules have weights"
    for weights in report["network"]["weights"]:
        assert sha256(Path(weights["file"])) == weights["sha256"]
    (sound,) = report["tracks"]
    assert (sound["action"], sound["target"], sound["reason"]) == (
        "convert",
        "libopus",
        "192 kbit/s",
    )


@pytest.mark.parametrize(
    ("report", "words"),
    [
        ("exists.json", "exists.json exists"),
        ("out.mkv", "another file of the run"),
        ("in.mp4", "another file of the run"),
        ("no/run.json", "folder of no/run.json does not exist"),
        (".", "is a folder"),
    ],
)
def test_a_report_that_cannot_be_is_refused_first(call, make_clip, tmp_path, report, words):
    make_clip("in.mp4", num_frames=1)
    (tmp_path / "exists.json").write_text("precious")
    broken = ["--weights", "no-such-file.safetensors"]  # which would fail later
    said = call("upscale", "in.mp4", "out.mkv", "--report", report, *broken, code=2).stderr
    assert words in said and len(said.splitlines()) == 1
    assert (tmp_path / "exists.json").read_text() == "precious"
    assert not (tmp_path / "out.mkv").exists()


def test_a_failed_run_leaves_no_report(call, make_clip, tmp_path, monkeypatch):
    make_clip("in.mkv", num_frames=3)
    original, calls = VideoWriter._mux, []

    def lossy(self, packet):
        calls.append(packet)
        if len(calls) != 3:
            original(self, packet)

    monkeypatch.setattr(VideoWriter, "_mux", lossy)
    said = call("upscale", "in.mkv", "out.mkv", *FAST, "--report", "run.json", code=1).stderr
    assert "frames: 5 instead of 6" in said
    assert {path.name for path in tmp_path.iterdir()} == {
        "in.mkv",
        "out.mkv.stsr",
        "out.unverified.mkv",
    }
