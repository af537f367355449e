"""`stsr upscale` over many files: what goes where, what is refused, what the next run does."""

import json
import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from stsr_cli.video.probe import probe
from tests.conftest import textured_frame, write_clip

PLAIN = ["--spatial", "bicubic", "--temporal", "blend"]


@pytest.fixture
def clips(tmp_path):
    """Five files in clips/, one of them broken, and one deeper down."""
    folder = tmp_path / "clips"
    (folder / "deep").mkdir(parents=True)
    write_clip(folder / "a.mp4", has_sound=True)
    write_clip(folder / "b 2.mkv", num_frames=6, frame_rate=Fraction(30000, 1001))
    write_clip(folder / "c.avi", codec="mpeg4", num_frames=6)
    (folder / "d.mp4").write_bytes(b"no video" * 100)
    write_clip(folder / "deep" / "e.mov", num_frames=6)
    (folder / "notes.txt").write_text("no video", encoding="utf-8")
    return folder


@pytest.fixture
def upscaled(call):
    """Run `stsr upscale` with networks that cost nothing."""

    def run(*arguments, code=0):
        return call("upscale", *arguments, *PLAIN, code=code)

    return run


def files(folder):
    """Names of what is below a folder, hidden files left out."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path.name[0] != "."
    )


def table(stderr):
    """File -> state, of the summary."""
    rows = [line.split("   ") for line in stderr.splitlines() if line.startswith("  ")]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    return {row[1]: row[2] for row in cells if row and row[0].isdecimal()}


def test_a_folder_with_a_broken_file_and_the_same_command_again(upscaled, clips, tmp_path):
    first = upscaled("clips/", "out/", "-r", code=1)
    assert files(tmp_path / "out") == ["a.mp4", "b 2.mkv", "c.mkv", "deep/e.mov"]
    assert "failed: clips/d.mp4: clips/d.mp4 is text and no video" in first.stderr
    assert table(first.stderr) == {
        **dict.fromkeys(["clips/a.mp4", "clips/b 2.mkv", "clips/c.avi"], "done"),
        "clips/d.mp4": "failed",
        "clips/deep/e.mov": "done",
    }
    assert "5 files: 4 done, 1 failed" in first.stderr
    made = probe(tmp_path / "out" / "b 2.mkv")
    assert (made.width, made.height, round(made.frame_rate)) == (256, 192, 60)
    times = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in files(tmp_path / "out")}

    write_clip(clips / "d.mp4")
    write_clip(clips / "new.mp4")
    again = upscaled("clips/", "out/", "-r")
    assert "6 files: 2 done, 4 skipped" in again.stderr
    assert all((tmp_path / "out" / name).stat().st_mtime_ns == at for name, at in times.items())


def test_a_folder_of_videos_alone_needs_no_option(upscaled, clips, tmp_path):
    upscaled("clips", "out/", code=1)
    assert files(tmp_path / "out") == ["a.mp4", "b 2.mkv", "c.mkv"]


def test_names_by_a_pattern(upscaled, clips, tmp_path):
    named = ["clips/a.mp4", "clips/b 2.mkv", "clips/c.avi"]
    pattern = "{index}_{stem}_{w}x{h}_{fps}fps{ext}"
    upscaled(*named, "out/", "--output-pattern", pattern, "--height", "100")
    assert files(tmp_path / "out") == [
        *("1_a_134x100_50fps.mp4", "2_b 2_134x100_59.94fps.mkv", "3_c_134x100_50fps.mkv")
    ]
    assert probe(tmp_path / "out" / "1_a_134x100_50fps.mp4").width == 134


def test_outputs_beside_their_inputs_are_no_inputs(upscaled, clips):
    pattern = ["--output-pattern", "{stem}_{scale}x{ext}"]
    before = files(clips)
    for _ in range(2):
        upscaled("-r", "clips", *pattern, code=1)
    new = ["a_4x.mp4", "b 2_4x.mkv", "c_4x.mkv", "deep/e_4x.mov"]
    assert files(clips) == sorted([*before, *new])


def test_nothing_of_one_file_reaches_the_next(upscaled, clips, tmp_path):
    """A silent file before one with sound, frame rates and sizes that differ, --fps in which time scales differ."""
    write_clip(clips / "wide.mp4", width=96, height=32, frame_rate=Fraction(50), has_sound=True)
    named = ["clips/b 2.mkv", "clips/wide.mp4", "clips/a.mp4"]
    report = upscaled(*named, "out/", "--fps", "50")
    made = {path.name: probe(path) for path in (tmp_path / "out").glob("*.m*")}
    assert {name: one.has_audio for name, one in made.items()} == {
        **{"a.mp4": True, "b 2.mkv": False, "wide.mp4": True}
    }
    assert (made["wide.mp4"].width, made["a.mp4"].width) == (384, 256)
    assert {one.frame_rate for one in made.values()} == {50}
    assert "3 files: 3 done" in report.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["clips/a.mp4", "other/a.mp4", "out/"], ["clips/a.mp4", "other/a.mp4", "out/a.mp4", "{"]),
        (["clips/a.mp4", "clips/b 2.mkv", "clips/"], ["is an input", "--output-pattern"]),
        (["clips/a.mp4", "clips/b 2.mkv", "o.mp4"], ["'o.mp4'", "name a folder behind the inputs"]),
        (["clips/a.mp4", "clips/b 2.mkv", "notes/"], ["notes", "cannot be one"]),
        (["-r", "clips", "out/", "--output-pattern", "{nme}"], ["{nme}", "{name}"]),
        (["-r", "clips", "out/", "--report", "r.json"], ["--report", "several files"]),
        (["-r", "clips", "out/", "--preview", "2"], ["--preview", "several files"]),
        (["clips/a.mp4", "-", "out/"], ["use it alone"]),
        (["clips/a.mp4", "out.mp4", "--halt-on-error"], ["--halt-on-error"]),
        (["-r", "clips"], ["OUTPUT"]),
        (["-r", "clips", "out/", "-q", "--progress", "plain"], ["--progress", "--quiet"]),
    ],
)
def test_what_is_refused_before_anything_runs(upscaled, clips, tmp_path, arguments, words):
    (tmp_path / "other").mkdir()
    write_clip(tmp_path / "other" / "a.mp4", num_frames=2)
    (tmp_path / "notes").write_text("a file", encoding="utf-8")
    before = files(tmp_path)
    said = upscaled(*arguments, code=2).stderr
    assert all(word in said for word in words), said
    assert files(tmp_path) == before


def test_outputs_that_exist(upscaled, clips, tmp_path):
    named = ["clips/a.mp4", "clips/b 2.mkv"]
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.mp4").write_text("a film of mine", encoding="utf-8")
    said = upscaled(*named, "out/", code=2).stderr
    assert "out/a.mp4 (it was not made by a batch)" in said
    assert files(out) == ["a.mp4"]
    said = upscaled(*named, "out", "--skip-existing").stderr
    assert "2 files: 1 done, 1 skipped" in said
    assert (out / "a.mp4").read_text(encoding="utf-8") == "a film of mine"
    said = upscaled(*named, "out", "-y").stderr
    assert "2 files: 1 done, 1 skipped" in said, "what this command made is not made anew"
    assert probe(out / "a.mp4").width == 256
    said = upscaled(*named, "out", "--crf", "30", code=2).stderr
    assert "crf was None and is 30" in said
    said = upscaled(*named, "out", "--no-resume", code=2).stderr
    assert "made by this command" in said
    assert "2 files: 2 done" in upscaled(*named, "out", "--no-resume", "-y").stderr


def test_halt_on_error(upscaled, clips, tmp_path):
    said = upscaled("clips", "out/", "--halt-on-error", code=1).stderr
    assert "4 files: 1 failed, 3 not tried" in said
    assert not (tmp_path / "out").exists()


def test_what_fails_alike_has_its_code_and_what_all_need_is_looked_at_once(
    upscaled, clips, tmp_path
):
    upscaled("gone.mp4", "clips/d.mp4", "out/", code=4)
    upscaled("clips/a.mp4", "clips/c.avi", "out/", "--codec", "nonsense", code=2)
    said = upscaled("-r", "clips", "out/", "--weights", "nonsense", code=5).stderr
    assert len(said.splitlines()) == 1, said
    said = upscaled("-r", "clips", "out/", "--device", "cuda:99", code=6).stderr
    assert len(said.splitlines()) == 1, said
    assert not (tmp_path / "out").exists()


def test_a_damaged_source_among_others(upscaled, tmp_path):
    """Its frames are held, which is said in the table, in the events and by the exit code."""
    for name in ("a.mkv", "b.mkv"):
        write_clip(tmp_path / name, num_frames=60, options={"g": "10"})
    content = bytearray((tmp_path / "b.mkv").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    (tmp_path / "b.mkv").write_bytes(content)
    said = upscaled("a.mkv", "b.mkv", "out/", code=3).stderr
    assert table(said) == {"a.mkv": "done", "b.mkv": "done"}
    assert "its source is damaged" in said
    events = upscaled("a.mkv", "b.mkv", "more/", "--progress", "jsonl", code=3).stderr
    *_, summary = map(json.loads, events.splitlines())
    assert [one["exit_code"] for one in summary["files"]] == [0, 3]


def test_quiet_says_what_failed_and_nothing_else(upscaled, clips):
    said = upscaled("clips", "out/", "-q", code=1).stderr
    assert [line[:21] for line in said.splitlines()] == ["failed: clips/d.mp4: "]


def test_names_of_all_kinds(upscaled, tmp_path):
    (tmp_path / "in").mkdir()
    odd = ["new\nline.mp4", "日本 ö 'x'.mp4", "{w}.mp4", "100%d.mp4", "[bold]x.mp4", "-y.mp4"]
    odd.append(os.fsdecode(b"bad\xff.mp4"))
    for name in odd:
        write_clip(tmp_path / "in" / "clip.mp4", num_frames=2)
        (tmp_path / "in" / "clip.mp4").rename(tmp_path / "in" / name)
    said = upscaled("in/", "out/").stderr
    assert files(tmp_path / "out") == sorted(odd)
    assert "[bold]x.mp4" in said
    assert "'in/new\\nline.mp4' -> 'out/new\\nline.mp4'" in said
    assert "7 files: 7 skipped" in upscaled("in/", "out/").stderr


def test_old_forms_are_what_they_were(upscaled, clips, tmp_path):
    """One input is one output: a video, images into an empty folder or one that is named with a slash."""
    upscaled("clips/a.mp4", "a.mkv")
    (tmp_path / "frames").mkdir()
    upscaled("clips/a.mp4", "frames", "--time-scale", "1")
    upscaled("clips/a.mp4", "more/", "--time-scale", "1")
    upscaled("frames/%06d.png", "b.mkv", "--scale", "1")
    upscaled("frames", "c.mkv", "--scale", "1")
    assert len(files(tmp_path / "frames")) == len(files(tmp_path / "more")) == 8
    assert [probe(tmp_path / name).width for name in ("a.mkv", "b.mkv", "c.mkv")] == [256] * 3


def test_interrupted_in_the_middle_of_a_file(tmp_path, upscaled):
    """Ctrl-C in the second of three files: the first is kept, the second goes on by segments, the third is made."""
    (tmp_path / "clips").mkdir()
    for name, num_frames in (("a.mp4", 5), ("b.mp4", 300), ("c.mp4", 5)):
        write_clip(tmp_path / "clips" / name, num_frames=num_frames)
    command = [str(Path(sys.executable).with_name("stsr")), "upscale", "clips", "out/", *PLAIN]
    command += ["--segment", "2", "--progress", "jsonl"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        events, is_asked = [], False
        for line in process.stderr:
            events.append(json.loads(line))
            is_second = sum(event["event"] == "start" for event in events) == 2
            if is_second and not is_asked and events[-1]["event"] == "segment":
                process.send_signal(signal.SIGINT)
                is_asked = True  # a second Ctrl-C ends a run as it stands
    assert process.returncode == 130
    assert [file["state"] for file in events[-1]["files"]] == ["done", "interrupted", "not tried"]
    assert events[-1]["exit_code"] == 130
    assert files(tmp_path / "out")[0] == "a.mp4"
    assert not (tmp_path / "out" / "b.mp4").exists()

    again = upscaled("clips", "out/", "--segment", "2")
    assert "3 files: 2 done, 1 skipped" in again.stderr
    assert "an earlier run has done" in again.stderr
    assert files(tmp_path / "out") == ["a.mp4", "b.mp4", "c.mp4"]
    assert probe(tmp_path / "out" / "b.mp4").num_frames_from_header == 600


def test_a_folder_of_videos_with_a_poster_is_a_folder_of_videos(upscaled, tmp_path):
    (tmp_path / "film").mkdir()
    write_clip(tmp_path / "film" / "a.mp4")
    Image.fromarray(textured_frame(0, 32, 48)).save(tmp_path / "film" / "folder.jpg")
    (tmp_path / "film" / "a.srt").write_text("1\n", encoding="utf-8")
    result = upscaled("film", "out/")
    assert "folder.jpg beside the videos: images are left out" in result.stderr
    assert files(tmp_path / "out") == ["a.mp4"]
    error = upscaled("film", "out.mp4", code=2).stderr
    assert "a folder of videos needs a folder as output" in error


def test_frames_with_a_video_beside_them_are_what_output_says(upscaled, tmp_path):
    (tmp_path / "frames").mkdir()
    write_clip(tmp_path / "frames" / "preview.mp4")
    for index in range(4):
        image = Image.fromarray(textured_frame(index, 64, 48))
        image.save(tmp_path / "frames" / f"{index:04d}.png")
    error = upscaled("frames", "out/", code=2).stderr
    assert "holds 1 video (preview.mp4) and 4 numbered images (0000.png)" in error
    upscaled("frames", "out.mkv", "--scale", "1")
    assert probe(tmp_path / "out.mkv").width == 64
