"""What was computed stays usable when the end fails, and two runs do not write one output."""

import contextlib
import json
import re
import shlex
import shutil
from fractions import Fraction

import av
import numpy as np
import pytest

from stsr_cli.errors import InterruptedRun, StsrError, UsageError
from stsr_cli.options import ModelOptions, UpscaleOptions
from stsr_cli.segments.journal import find_work_folder
from stsr_cli.upscale import Silent, upscale
from stsr_cli.video import writer
from stsr_cli.video.segment import SegmentWriter
from stsr_cli.video.target import held
from stsr_cli.video.tracks.copier import TrackCopier

PLAIN = ("--spatial", "bicubic", "--temporal", "blend", "--scale", 1)
IN_SEGMENTS = (*PLAIN, "--segment", 0.25)
GOP = {"g": "12", "bf": "3"}


@pytest.fixture
def clip(make_clip):
    """A second with sound."""
    return make_clip("in.mp4", num_frames=25, options=GOP, has_sound=True)


@pytest.fixture
def muxer_fails_with_sound(monkeypatch):
    """The MP4 muxer refuses the end of a file with sound, as it did with PCM that has no channel layout."""
    really = TrackCopier.copy_until

    def copy_until(self, output, until):
        if until is None and output.format.name == "mp4" and output.streams.audio:
            raise av.ArgumentError(22, "Invalid argument")
        really(self, output, until)

    monkeypatch.setattr(TrackCopier, "copy_until", copy_until)


def commands(stderr):
    """The commands that a message names, without `stsr`."""
    said = stderr.rpartition("; to join them: ")[2]
    return [shlex.split(command)[1:] for command in said.strip().split("; or: ")]


def streams(path):
    with av.open(str(path)) as container:
        frames = sum(1 for _ in container.decode(video=0))
        return frames, [stream.type for stream in container.streams]


@pytest.mark.parametrize("way", [0, 1])
def test_what_cannot_be_joined_is_joined_otherwise(
    way, clip, muxer_fails_with_sound, call, tmp_path
):
    error = call("upscale", "in.mp4", "out.mp4", *IN_SEGMENTS, code=1).stderr
    assert "25 frames in 4 segments are done and kept in out.mp4.stsr" in error
    assert not (tmp_path / "out.mp4").exists()
    both = commands(error)
    assert [both[0][2], both[1][1], both[1][3]] == ["out.mkv", "--no-audio", "out.mp4"]
    result = call(*both[way], "--report", "run.json")
    assert json.loads((tmp_path / "run.json").read_text())["counts"]["frames_resumed"] == 50
    assert "going on from there" in result.stderr
    expected = (50, ["video", "audio"]) if way == 0 else (50, ["video"])
    assert streams(tmp_path / ("out.mkv" if way == 0 else "out.mp4")) == expected
    assert not (tmp_path / "out.mp4.stsr").exists()


def test_a_codec_that_the_other_container_would_not_take_is_named(
    clip, monkeypatch, call, tmp_path
):
    """`auto` is VP9 in WebM and H.264 in Matroska: segments of VP9 go into Matroska with --codec alone."""

    def fail(self, output, until):
        if until is None and output.format.name == "webm":
            raise av.ArgumentError(22, "Invalid argument")
        really(self, output, until)

    really = TrackCopier.copy_until
    monkeypatch.setattr(TrackCopier, "copy_until", fail)
    fast = ("-e", "deadline=realtime", "-e", "cpu-used=8")
    error = call("upscale", "in.mp4", "out.webm", *IN_SEGMENTS, *fast, code=1).stderr
    first = commands(error)[0]
    assert first[1:5] == ["--codec", "libvpx-vp9", "in.mp4", "out.mkv"]
    assert "going on from there" in call(*first).stderr


def test_tracks_and_metadata_are_no_part_of_what_segments_are(clip, call):
    call("upscale", "in.mp4", "out.mp4", *IN_SEGMENTS, "--keep-work")
    for target, *options in [
        ("out.mp4", "--no-audio", "--no-chapters", "--codec", "libx264", "--crf", 18),
        ("out.mov", "--strict"),
        ("out.ts",),  # whose packets have the parameter sets that the others have in the header
    ]:
        result = call("upscale", "in.mp4", target, *IN_SEGMENTS, *options, "-y", "--keep-work")
        assert "done 25 frames in 4 segments; going on from there" in result.stderr
    with av.open("out.ts") as container:
        assert sum(1 for _ in container.decode(video=0)) == 50
    changed = ("upscale", "in.mp4", "out.mp4", *IN_SEGMENTS, "-y", "--crf", 20)
    assert "encoder crf was 18 and is 20" in call(*changed, code=2).stderr


def test_an_output_of_another_name_says_where_there_are_segments(clip, call, tmp_path):
    call("upscale", "in.mp4", "out.mp4", *IN_SEGMENTS, "--keep-work")
    result = call("upscale", "in.mp4", "film.mkv", *IN_SEGMENTS)
    assert "the folder out.mp4.stsr (" in result.stderr
    assert "has segments of these pictures; a run to out.mkv uses and removes it" in result.stderr
    assert (tmp_path / "out.mp4.stsr").is_dir()


def test_segments_of_an_older_version_are_refused_with_the_reason(clip, call, tmp_path):
    call("upscale", "in.mp4", "out.mp4", *IN_SEGMENTS, "--keep-work")
    journal = tmp_path / "out.mp4.stsr" / "journal.jsonl"
    header, *lines = journal.read_text().splitlines()
    older = json.dumps({**json.loads(header), "schema": 1})
    journal.write_text("\n".join([older, *lines, ""]))
    result = call("upscale", "in.mp4", "out.mp4", *IN_SEGMENTS, "-y", code=2)
    assert "segments of another version of stsr" in result.stderr
    call("upscale", "in.mp4", "out.mp4", *IN_SEGMENTS, "-y", "--no-resume")


def test_a_folder_in_use_or_damaged_is_no_other_outputs(tmp_path):
    header = {"options": {"scale": 4}}
    for name in ("out.mp4.stsr", "out.avi.stsr"):
        (tmp_path / name).mkdir()
    (tmp_path / "out.avi.stsr" / "journal.jsonl").write_bytes(b"\xff\n{}\n")
    assert find_work_folder(tmp_path / "out.mkv", None, header) == (tmp_path / "out.mkv.stsr", ())


@pytest.mark.parametrize("segment", [0, 0.25])
def test_what_does_not_verify_is_kept(segment, clip, monkeypatch, call, tmp_path):
    def verify(path, expected, name, *others):
        raise StsrError("written file does not verify: audio 1: packets at their time")

    monkeypatch.setattr(writer, "verify", verify)
    error = call("upscale", "in.mp4", "out.mp4", *PLAIN, "--segment", segment, code=1).stderr
    assert "what was written is kept as out.unverified.mp4" in error
    assert streams(tmp_path / "out.unverified.mp4") == (50, ["video", "audio"])
    assert not (tmp_path / "out.mp4").exists()


def test_in_one_go_the_pictures_are_kept(clip, muxer_fails_with_sound, call, tmp_path):
    error = call("upscale", "in.mp4", "out.mp4", *PLAIN, "--segment", 0, code=1).stderr
    assert "cannot write out.mp4: Invalid argument" in error
    assert "25 frames in 1 segment are done and kept in out.mp4.stsr" in error
    words = shlex.split(error.splitlines()[-1].split("; or: ")[-1])
    assert "--no-audio" in words
    again = call(*words[1:])
    assert "an earlier run has done 25 frames in 1 segment; going on from there" in again.stderr
    assert streams(tmp_path / "out.mp4")[0] == 50
    assert {path.name for path in tmp_path.iterdir()} == {"in.mp4", "out.mp4"}


def test_a_track_that_fails_in_the_middle_does_not_end_the_pictures(
    clip, monkeypatch, call, tmp_path
):
    really = TrackCopier.copy_until

    def copy_until(self, output, until):
        if until is not None and until > 0.5:
            raise av.ArgumentError(22, "Invalid argument")
        really(self, output, until)

    monkeypatch.setattr(TrackCopier, "copy_until", copy_until)
    table = ("--disagreement", "d.csv")  # which is made without segments
    error = call("upscale", "in.mp4", "out.mkv", *PLAIN[:4], *table, code=1).stderr
    assert "all pictures are kept as out.unverified.mkv" in error
    assert streams(tmp_path / "out.unverified.mkv") == (50, ["video", "audio"])


@pytest.fixture
def small_files():
    """No file of this process may have more than so many bytes, as on a disk that is full."""
    resource = pytest.importorskip("resource")  # not on Windows
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(num_bytes):
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, limits[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_a_full_disk_leaves_the_frames_that_were_made(name, clip, call, tmp_path, small_files):
    small_files(60_000)
    ffv1 = ("--codec", "ffv1")
    error = call("upscale", "in.mp4", name, *PLAIN, *ffv1, "--segment", 0, code=1).stderr
    small_files(-1)
    number = int(re.search(r"the first (\d+) frames made are kept as out.incomplete.nut", error)[1])
    decoded = []  # the last packet may be cut off
    with av.open("out.incomplete.nut") as kept, contextlib.suppress(av.InvalidDataError):
        decoded += (frame.to_ndarray(format="rgb24") for frame in kept.decode(video=0))
    assert 5 < len(decoded) == number < 50
    call("upscale", "in.mp4", name, *PLAIN, *ffv1)
    with av.open(name) as container:
        for frame, before in zip(container.decode(video=0), decoded, strict=False):
            assert np.array_equal(frame.to_ndarray(format="rgb24"), before)
    assert {path.name for path in tmp_path.iterdir()} == {"in.mp4", name, "out.incomplete.nut"}


def test_a_disk_that_is_full_at_the_end_costs_nothing(clip, call, tmp_path, small_files):
    """The segment is smaller than the output, which has the sound, too."""
    call("upscale", "in.mp4", "out.mkv", *PLAIN, "--keep-work")
    (segment,) = tmp_path.glob("out.mkv.stsr/*.nut")
    least, most = segment.stat().st_size, (tmp_path / "out.mkv").stat().st_size
    shutil.rmtree(tmp_path / "out.mkv.stsr")
    assert least < most
    small_files((least + most) // 2)
    error = call("upscale", "in.mp4", "out.mkv", *PLAIN, "-y", code=1).stderr
    small_files(-1)
    assert "25 frames in 1 segment are done and kept in out.mkv.stsr" in error
    assert "to join them: stsr upscale in.mp4 out.mkv" in error
    again = call("upscale", "in.mp4", "out.mkv", *PLAIN, "-y").stderr
    assert "going on from there" in again


def test_a_disk_that_is_full_in_the_middle_says_how_to_go_on(clip, call, tmp_path, small_files):
    command = ("upscale", "in.mp4", "out.mkv", *IN_SEGMENTS)
    really, sizes = SegmentWriter.close, []
    with pytest.MonkeyPatch.context() as patch:

        def close(self):
            really(self)
            sizes.append(self.path.stat().st_size)
            if len(sizes) == 2:
                small_files(1000)

        patch.setattr(SegmentWriter, "close", close)
        error = call(*command, code=1).stderr
    small_files(-1)
    assert "cannot write out.mkv.stsr/journal.jsonl: " in error
    assert "in 1 segment are done and kept in out.mkv.stsr" in error
    again = shlex.split(error.strip().rpartition("to go on: ")[2])
    assert again == ["stsr", *map(str, command)]
    assert "going on from there" in call(*command).stderr


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("in.mp4", "out/"), "images are written one after another"),
        (
            ("in.mp4", "out.mkv", "--disagreement", "d.csv"),
            "tables of --disagreement are written row after row",
        ),
    ],
)
def test_a_full_disk_says_that_the_next_run_begins_anew(words, why, clip, call, small_files):
    small_files(4000)
    error = call("upscale", *words, *PLAIN[:4], code=1).stderr
    small_files(-1)
    assert "free some space" in error
    assert f"the next run begins anew, for {why}" in error
    assert "to go on" not in error


@pytest.mark.parametrize("segment", [0, 0.25])
def test_a_folder_that_is_removed_is_said_to_be_gone(segment, clip, call, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    really = SegmentWriter.close

    def close(self):
        if self.path.name != "000000.nut" or not segment:
            shutil.rmtree(tmp_path / "out")
        really(self)

    monkeypatch.setattr(SegmentWriter, "close", close)
    error = call("upscale", "in.mp4", "out/out.mp4", *PLAIN, "--segment", segment, code=1).stderr
    assert "was its folder removed or renamed meanwhile?" in error
    assert "kept in" not in error
    assert ("gone with out/out.mp4.stsr: 1 finished segment" in error) == bool(segment)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize(
    ("segment", "stop_at"), [(0, 20), (Fraction(1, 4), 3), (Fraction(1, 4), 20)]
)
def test_an_interrupted_run_promises_what_is_true(segment, stop_at, clip, tmp_path):
    class Stop(Silent):
        def on_frame(self, num_done):
            if num_done == stop_at:
                raise KeyboardInterrupt

    model = ModelOptions(spatial="bicubic", temporal="blend")
    options = UpscaleOptions(clip, tmp_path / "out.mp4", model=model, scale=1, segment=segment)
    with pytest.raises(InterruptedRun) as stopped:
        upscale(options, Stop())
    is_kept = bool(segment) and stop_at == 20
    assert stopped.value.goes_on == (tmp_path / "out.mp4.stsr").exists() == is_kept
    assert ("nothing is kept" in str(stopped.value)) != is_kept


def test_what_is_left_of_another_run_is_told(clip, call, tmp_path):
    call("upscale", "in.mp4", "out.mp4", *PLAIN, "--keep-work")
    result = call("upscale", "in.mp4", "out.mp4", *PLAIN[:4], "-y", "--disagreement", "d.csv")
    assert "left by an earlier run to out.mp4, is not used by this one" in result.stderr
    assert (tmp_path / "out.mp4.stsr").is_dir()


@pytest.mark.parametrize("name", ["out.mp4", "%03d.png", "frames/%03d.png"])
def test_an_output_is_one_runs_at_a_time(name, clip, call, tmp_path):
    (tmp_path / "frames").mkdir()
    with held(tmp_path / name):
        error = call("upscale", "in.mp4", name, *PLAIN, code=2).stderr
        assert "another stsr is writing" in error
        assert len(error.splitlines()) == 1
        with pytest.raises(UsageError), held(tmp_path / name):
            pass
    call("upscale", "in.mp4", name, *PLAIN)
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_a_killed_run_leaves_hinders_none(clip, call, tmp_path):
    (tmp_path / ".out.mp4.stsr-lock").touch()
    (tmp_path / ".out.stsr-part.mp4").write_bytes(b"half")
    call("upscale", "in.mp4", "out.mp4", *PLAIN)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]
