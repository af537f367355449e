"""Inputs that once failed, each run as a user would, with what they expect beside what happens.

    python -m tests.benchmarks.cases FOLDER [--only NAME] [--out docs/results/cases.md]

FOLDER holds the clips (made by script: PyAV, FFmpeg, Pillow) that the table names. What happens is judged by FFmpeg's
own reader (ffprobe) and by PyAV, not by stsr.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

STSR = Path(sys.executable).with_name("stsr")
QUICK = ("--spatial", "bicubic", "--temporal", "blend", "--offline", "-y")


@dataclass(frozen=True)
class Run:
    """A finished command: exit code, and what it said on stderr and stdout."""

    code: int
    said: str

    @property
    def line(self) -> str:
        """The lines that matter to somebody who asks what became of a file."""
        lines = [line for line in self.said.splitlines() if "frames/s" not in line]
        return " / ".join(lines[-3:])


def stsr(*arguments: object, cwd: Path | None = None) -> Run:
    """Run the installed command."""
    done = subprocess.run(
        [STSR, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, check=False
    )
    return Run(done.returncode, done.stderr + done.stdout)


def upscale(source: Path, target: Path, *more: object) -> Run:
    """`stsr upscale` with the zero-weight pair."""
    return stsr("upscale", source, target, *QUICK, *more)


def ffprobe(path: Path, *more: str) -> Any:
    """What ffprobe says, as JSON."""
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_streams", "-show_format", *more]
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def streams(path: Path, kind: str) -> list[Any]:
    """The streams of one type."""
    return [one for one in ffprobe(path)["streams"] if one.get("codec_type") == kind]


def expect(*conditions: tuple[bool, str]) -> str:
    """Raise AssertionError with the first text whose condition is false."""
    for is_so, what in conditions:
        assert is_so, what
    return ""


def video_pts(path: Path) -> list[Fraction]:
    """When each picture is shown, in seconds, sorted."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        return sorted(
            packet.pts * packet.time_base for packet in container.demux(video) if packet.size
        )


def sound(path: Path) -> Any:
    """(channels, samples) of the first audio track as float."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="fltp")
        parts = [
            part.to_ndarray()
            for frame in container.decode(audio=0)
            for part in resampler.resample(frame)
        ]
    return np.concatenate(parts, axis=1)


def keeps_sound(source: Path, *targets: str) -> Callable[[Path], str]:
    """The track is there, as long as before, and the samples are equal if its codec is lossless."""

    def check(folder: Path) -> str:
        said = []
        for name in targets:
            target = folder / name
            run = upscale(source, target)
            assert run.code == 0, f"{name}: exit code {run.code}: {run.line}"
            before, after = sound(source), sound(target)
            (track,) = streams(target, "audio")
            codec = track["codec_name"]
            rate = int(track["sample_rate"])
            is_long = abs(before.shape[1] - after.shape[1]) / rate < 0.1
            assert is_long, f"{name}: {after.shape[1]} samples instead of {before.shape[1]}"
            if codec.startswith("pcm") or codec in ("flac", "alac"):
                assert np.array_equal(before, after[:, : before.shape[1]]), f"{name}: other samples"
                codec += ", samples equal"
            said.append(f"{name}: {codec}")
        return "; ".join(said)

    return check


def close_times(folder: Path, clips: Path) -> str:
    said = []
    for name in ("out.mkv", "out.webm"):
        run = upscale(clips / "close1ms.mkv", folder / name)
        times = video_pts(folder / name) if run.code == 0 else []
        expect(
            (run.code == 0, f"{name}: exit code {run.code}: {run.line}"),
            (len(set(times)) == len(times), f"{name}: two frames at one time"),
        )
        said.append(f"{name}: {len(times)} frames")
    fast = folder / "fast.mkv"
    with av.open(str(fast), "w") as output:
        video = output.add_stream("libx264", rate=240)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for index in range(12):
            picture = np.full((48, 64, 3), 20 * index, np.uint8)
            output.mux(video.encode(av.VideoFrame.from_ndarray(picture)))
        output.mux(video.encode())
    run = upscale(fast, folder / "fast8.mkv", "--time-scale", 8)
    times = video_pts(folder / "fast8.mkv") if run.code == 0 else []
    expect(
        (run.code == 0, f"240 fps x 8: exit code {run.code}: {run.line}"),
        (len(set(times)) == len(times), "240 fps x 8: two frames at one time"),
    )
    notes = [line for line in run.said.splitlines() if "warning" in line or "note" in line]
    said.append(f"240 fps x 8: {len(times)} frames; {' '.join(notes)}")
    return "; ".join(said)


def flv(folder: Path, clips: Path) -> str:
    run = upscale(clips / "h264.flv", folder / "out.flv")
    expect((run.code == 0, f"exit code {run.code}: {run.line}"))
    name = next(path.name for path in folder.iterdir() if path.suffix in (".flv", ".mkv"))
    num_frames, num_before = len(video_pts(folder / name)), len(video_pts(clips / "h264.flv"))
    expect((num_frames == 2 * num_before, f"{num_frames} frames from {num_before}"))
    return f"{name}, {num_frames} frames"


def segments_are_kept(folder: Path, clips: Path) -> str:
    """A finished run's segments serve another container and other tracks."""
    long = folder / "long.mkv"
    with av.open(str(clips / "pcm_stereo.mkv")) as source, av.open(str(long), "w") as output:
        video = output.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = output.add_stream("pcm_s16le", rate=48000, layout="stereo")
        for index in range(100):
            picture = np.full((48, 64, 3), 2 * index, np.uint8)
            output.mux(video.encode(av.VideoFrame.from_ndarray(picture)))
        output.mux(video.encode())
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 48000), np.int16), "s16", "stereo")
        frame.sample_rate = 48000
        output.mux(audio.encode(frame))
        output.mux(audio.encode())
        assert source
    first = upscale(long, folder / "out.mkv", "--segment", 1, "--keep-work")
    expect((first.code == 0, f"exit code {first.code}: {first.line}"))
    said = []
    for name, more in (("out.mkv", ["--no-audio"]), ("out.mp4", [])):
        report = folder / "run.json"
        run = upscale(long, folder / name, "--segment", 1, "--keep-work", "--report", report, *more)
        expect((run.code == 0, f"{name} {more}: exit code {run.code}: {run.line}"))
        counts = json.loads(report.read_text())["counts"]
        is_kept = counts["frames_resumed"] == counts["frames_out"] or counts["frames_resumed"] >= 99
        expect(
            (is_kept, f"{name} {more}: {counts['frames_resumed']} frames were there: {run.line}")
        )
        said.append(f"{name} {' '.join(more)}: {counts['frames_resumed']} frames were there")
    return "; ".join(said)


def same_answer(folder: Path, clips: Path) -> str:
    answers = set()
    for _ in range(50):
        run = upscale(clips / "vorbis_to_ts.mkv", folder / "out.ts")
        answers.add((run.code, re.sub(r"[\d.]+ (s|frames/s)|\d+%", "", run.said)))
    expect((len(answers) == 1, f"{len(answers)} answers of 50: {answers}"))
    code, said = answers.pop()
    return f"50 of 50 the same: exit code {code}, {said.splitlines()[0]}"


def captions(folder: Path, clips: Path) -> str:
    source, said = clips / "cc608.ts", []
    for name in ("out.mp4", "out.ts", "out.mkv"):
        run = upscale(source, folder / name)
        expect((run.code == 0, f"{name}: exit code {run.code}: {run.line}"))
        frames = ffprobe(folder / name, "-show_frames", "-select_streams", "v")["frames"]
        count = sum(
            "A53" in str(data.get("side_data_type")) or "Closed" in str(data.get("side_data_type"))
            for frame in frames
            for data in frame.get("side_data_list", ())
        )
        is_told = "caption" in run.said.lower()
        expect((count > 0 or is_told, f"{name}: gone and nothing said"))
        said.append(f"{name}: {count} of {len(frames)} frames carry captions")
    return "; ".join(said)


def spherical(folder: Path, clips: Path) -> str:
    said = []
    for name in ("out.mp4", "out.mkv"):
        run = upscale(clips / "vr180.mp4", folder / name)
        strict = upscale(clips / "vr180.mp4", folder / f"strict-{name}", "--strict")
        kinds = [
            data.get("side_data_type")
            for stream in ffprobe(folder / name)["streams"]
            for data in stream.get("side_data_list", ())
        ]
        is_kept = {"Stereo 3D", "Spherical Mapping"} <= {*kinds}
        is_told = re.search("stereo|spherical|3D", run.said) is not None
        expect(
            (run.code == 0, f"{name}: exit code {run.code}: {run.line}"),
            (is_kept or is_told, f"{name}: gone ({kinds}) and nothing said"),
            (is_kept or strict.code != 0, f"{name}: --strict accepts the loss"),
        )
        said.append(f"{name}: {'kept' if is_kept else f'told: {run.line}'}")
    return "; ".join(said)


def telemetry(folder: Path, clips: Path) -> str:
    run = upscale(clips / "dji.mp4", folder / "out.mov")
    expect((run.code == 0, f"exit code {run.code}: {run.line}"))
    tags = [one.get("codec_tag_string") for one in streams(folder / "out.mov", "data")]
    is_told = "djmd" in run.said or "data" in run.said
    before = [one.get("codec_tag_string") for one in streams(clips / "dji.mp4", "data")]
    expect((tags == before or (not tags and is_told), f"tags {tags}: {run.line}"))
    return f"kept as {', '.join(map(str, tags))}" if tags else f"told: {run.line}"


def starts(path: Path) -> list[Fraction]:
    """When the first packet of each track is shown, in seconds."""
    with av.open(str(path)) as container:
        first: dict[int, Fraction] = {}
        for packet in container.demux():
            if packet.pts is not None and packet.size:
                time = packet.pts * packet.time_base
                first[packet.stream_index] = min(time, first.get(packet.stream_index, time))
    return [first[index] for index in sorted(first)]


def late_clock(folder: Path, clips: Path) -> str:
    source = clips / "late26h.ts"
    before, said = starts(source), []
    for name in ("out.mp4", "out.mkv"):
        run = upscale(source, folder / name)
        expect((run.code == 0, f"{name}: exit code {run.code}: {run.line}"))
        after, found = starts(folder / name), ffprobe(folder / name)["format"]
        offsets = [[one - start[0] for one in start] for start in (before, after)]
        pairs = list(zip(*offsets, strict=False))
        expect(
            (abs(float(found["start_time"])) < 0.1, f"{name} starts at {found['start_time']}"),
            (float(found["duration"]) < 60, f"{name} is {found['duration']} s long"),
            (
                all(abs(a - b) <= Fraction(1, 900) for a, b in pairs),
                f"{name}: other offsets: {[(float(a), float(b)) for a, b in pairs]}",
            ),
        )
        said.append(
            f"{name}: starts at {float(found['start_time']):g} s, lasts {found['duration']} s"
        )
    return "; ".join(said)


def no_false_alarm(folder: Path, clips: Path) -> str:
    run = upscale(clips / "dashcat.mp4", folder / "out.mp4")
    expect(
        (run.code == 0, f"exit code {run.code}: {run.line}"), ("cut off" not in run.said, run.line)
    )
    return "exit code 0"


def chapters(folder: Path, clips: Path) -> str:
    def of(path: Path) -> list[tuple[float, str]]:
        found = ffprobe(path, "-show_chapters")["chapters"]
        return [(float(one["start_time"]), one.get("tags", {}).get("title", "")) for one in found]

    run = upscale(clips / "chap_late.mkv", folder / "out.mp4")
    expect((run.code == 0, f"exit code {run.code}: {run.line}"))
    before, after = of(clips / "chap_late.mkv"), of(folder / "out.mp4")
    expect((before == after, f"{after} instead of {before}: {run.line}"))
    return f"{len(after)} chapters: {after}"


def apple(folder: Path, clips: Path) -> str:
    def same(key: str, before: dict[str, str], after: dict[str, str]) -> bool:
        if key != "creation_time" or key not in after:
            return before[key] == after.get(key)
        return datetime.fromisoformat(before[key]) == datetime.fromisoformat(after[key])

    source, said = clips / "phone.mov", []
    before = ffprobe(source)["format"]["tags"]
    for name in ("out.mov", "out.mp4"):
        run = upscale(source, folder / name, "--strict")
        expect((run.code == 0, f"{name}: exit code {run.code}: {run.line}"))
        after = ffprobe(folder / name)["format"]["tags"]
        keys = [key for key in before if key.startswith("com.apple") or key == "creation_time"]
        lost = {key: (before[key], after.get(key)) for key in keys if not same(key, before, after)}
        expect((not lost, f"{name}: {lost}"), ("warning" not in run.said, run.line))
        said.append(f"{name}: {len(keys)} tags equal")
    return "; ".join(said)


def timecode(folder: Path, clips: Path) -> str:
    run = upscale(clips / "timecode25.mov", folder / "out.mov")
    expect((run.code == 0, f"exit code {run.code}: {run.line}"))
    tags = {
        one.get("tags", {}).get("timecode") for one in ffprobe(folder / "out.mov")["streams"]
    } - {None}
    expect((tags == {"10:11:12:40"}, f"{tags}"))
    return "10:11:12:40"


def caption_track(folder: Path, clips: Path) -> str:
    run = upscale(clips / "c608.mov", folder / "out.mkv")
    expect((run.code == 0, f"exit code {run.code}: {run.line}"))
    tracks = streams(folder / "out.mkv", "subtitle")
    lines = [line for line in run.said.splitlines() if "caption" in line or "subtitle" in line]
    expect((len(tracks) == 1 or len(lines) == 1, f"{len(tracks)} tracks; said {lines}"))
    return f"{len(tracks)} text track; {' '.join(lines)}"


def odd_layout(folder: Path, clips: Path) -> str:
    run = upscale(clips / "unsd_layout.mov", folder / "out.webm")
    expect((run.code in (0, 1, 2), f"exit code {run.code}: {run.line}"))
    if run.code == 0:
        (track,) = streams(folder / "out.webm", "audio")
        return f"converted: {track['codec_name']}, {track['channels']} channels"
    return run.line


def changing_size(folder: Path, clips: Path) -> str:
    source = clips / "webrtc_size_change.webm"
    stop, fit = (
        upscale(source, folder / f"{name}.webm", *more)
        for name, more in (("stop", ()), ("fit", ("--on-size-change", "fit")))
    )
    expect(
        (stop.code != 0 and "--on-size-change" in stop.said, f"stop: {stop.code} {stop.line}"),
        (fit.code == 0, f"fit: exit code {fit.code}: {fit.line}"),
    )
    (track,) = streams(folder / "fit.webm", "video")
    return f"{stop.line}; fit: {track['width']}x{track['height']}, {len(video_pts(folder / 'fit.webm'))} frames"


def mixed_folder(folder: Path, clips: Path) -> str:
    out = folder / "out"
    out.mkdir()
    run = upscale(clips / "mixed_folder", out)
    names = sorted(path.name for path in out.iterdir() if not path.name.startswith("."))
    expect(
        (run.code == 0, f"exit code {run.code}: {run.line}"),
        (any(name.endswith((".mp4", ".mkv")) for name in names), f"{names}: {run.line}"),
    )
    return f"{names}; {run.said.splitlines()[0]}"


def differences(path: Path, is_inside: Any = None) -> list[int]:
    """How far each new picture is from the one before it, at most, in levels."""
    with av.open(str(path)) as container:
        frames = [
            frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)
        ]
    return [
        int(np.abs(b - a)[is_inside if is_inside is not None else ...].max())
        for a, b in zip(frames[::2], frames[1::2], strict=False)
    ]


def still(folder: Path, clips: Path) -> str:
    said = []
    for stream in ("t2s", "s2t"):
        target = folder / f"{stream}.mkv"
        run = stsr(
            *("upscale", clips / "static_text.mkv", target, "-y", "--codec", "ffv1"),
            *("--stream", stream),
        )
        expect((run.code == 0, run.line))
        worst = max(differences(target))
        expect((worst == 0, f"{stream}: {worst} levels off"))
        said.append(f"{stream}: {worst} levels off")
    return "; ".join(said)


def overlay(folder: Path, clips: Path) -> str:
    """Pixels that are equal in all given frames, away from those that are not."""
    source, said = clips / "static_subtitle_pan.mkv", []
    with av.open(str(source)) as container:
        given = np.stack([one.to_ndarray(format="rgb24") for one in container.decode(video=0)])
    is_still = (given == given[0]).all(axis=(0, 3))
    inner = is_still.copy()
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            inner &= np.roll(is_still, (down, right), (0, 1))
    inside = inner.repeat(4, 0).repeat(4, 1)
    worst = {}
    for stream in ("t2s", "s2t"):
        target = folder / f"{stream}.mkv"
        stsr(
            *("upscale", source, target, "-y", "--codec", "ffv1", "--cut", "off"),
            *("--stream", stream),
        )
        worst[stream] = max(differences(target, inside))
        said.append(f"{stream}: {worst[stream]} levels off")
    expect((max(worst.values()) <= 3, "; ".join(said)))
    return "; ".join(said)


def grain(folder: Path, clips: Path) -> str:
    target = folder / "out.mkv"
    stsr("upscale", clips / "noise.mkv", target, "-y", "--codec", "ffv1")
    with av.open(str(target)) as container:
        frames = [one.to_ndarray(format="rgb24").astype(float) for one in container.decode(video=0)]
    sigma = [[float(one.std(axis=(0, 1)).mean()) for one in frames[k::2]] for k in (0, 1)]
    given, new = (float(np.mean(one)) for one in sigma)
    said = f"sigma {given:.1f} in given, {new:.1f} in new frames"
    expect((given <= 10.5 and 0.9 <= new / given <= 1.1, said))
    return said


def edge(folder: Path, clips: Path) -> str:
    target = folder / "out.mkv"
    stsr("upscale", clips / "edge.mkv", target, "-y", "--codec", "ffv1")
    with av.open(str(target)) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    over = max(int(frame.max()) - 192, 64 - int(frame.min()))
    expect((over <= 15, f"{over} levels"))
    return f"{over} levels"


def streams_gone(folder: Path, clips: Path) -> str:
    said = []
    source = clips / "pcm_stereo.mkv"
    for name, redirect in (("2>/dev/full", "2>/dev/full"), ("| head -1", "2>&1 | head -1")):
        target = folder / f"{len(said)}.mkv"
        command = (
            f"'{STSR}' upscale '{source}' '{target}' {' '.join(QUICK)} --progress plain {redirect}"
        )
        subprocess.run(["bash", "-c", command], capture_output=True, check=False)
        expect((target.is_file(), f"{name}: no output"))
        said.append(f"{name}: complete")
    return "; ".join(said)


def two_runs(folder: Path, clips: Path) -> str:
    source, target = clips / "static_subtitle_pan.mkv", folder / "out.mkv"
    command = [STSR, "upscale", source, target, "-y", "--codec", "ffv1", "--segment", "0"]
    runs = [
        subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [run.communicate()[1].strip().splitlines()[-1] for run in runs]
    codes = sorted(run.returncode for run in runs)
    expect((codes[0] == 0 and codes[1] != 0, f"exit codes {codes}: {said}"))
    return next(line for line, run in zip(said, runs, strict=True) if run.returncode)


def subtitles(folder: Path, clips: Path) -> str:
    text = "".join(
        f"{index}\n00:{index // 60 // 100:02d}:{index // 100 % 60:02d},{index % 100 * 10:03d} --> "
        f"00:{index // 60 // 100:02d}:{index // 100 % 60:02d},{index % 100 * 10 + 5:03d}\nline {index}\n\n"
        for index in range(20_000)
    )
    (folder / "lines.srt").write_text(text)
    command = ["ffmpeg", "-v", "error", "-i", str(clips / "pcm_stereo.mkv"), "-i", "lines.srt"]
    subprocess.run(
        [*command, "-map", "0", "-map", "1", "-c", "copy", "-c:s", "ass", "in.mkv"],
        cwd=folder,
        check=True,
    )
    begin = time.perf_counter()
    run = upscale(folder / "in.mkv", folder / "out.mp4")
    seconds = time.perf_counter() - begin
    expect((run.code == 0, run.line))
    return f"{seconds:.1f} s (another issue: how cost grows)"


Check = Callable[[Path, Path], str]


def cases(clips: Path) -> dict[str, tuple[str, Check]]:
    """For each case what a user expects, and the check, given an empty folder and the clips."""

    def plain(check: Callable[[Path], str]) -> Check:
        return lambda folder, _: check(folder)

    return {
        "pcm_stereo.mkv": (
            "sound kept in .mp4, .mov",
            plain(keeps_sound(clips / "pcm_stereo.mkv", "out.mp4", "out.mov", "out.mkv")),
        ),
        "pcm_mono.mkv": (
            "sound kept in .mov, .mp4",
            plain(keeps_sound(clips / "pcm_mono.mkv", "out.mov", "out.mp4")),
        ),
        "close1ms.mkv": ("a clock that holds all times, told before", close_times),
        "h264.flv": (".flv written and verified, or .mkv", flv),
        "--segment 1": ("segments serve another container, other tracks", segments_are_kept),
        "vorbis_to_ts.mkv": ("the same answer 50 times", same_answer),
        "cc608.ts": ("captions carried, converted or told", captions),
        "vr180.mp4": ("stereo 3D and spherical carried or told", spherical),
        "dji.mp4": ("telemetry keeps its tag, or is told", telemetry),
        "late26h.ts": ("starts at 0, tracks keep their offsets", late_clock),
        "dashcat.mp4": ("no false alarm", no_false_alarm),
        "chap_late.mkv": ("all chapters", chapters),
        "phone.mov": ("Apple's keys and creation time kept", apple),
        "timecode25.mov": ("10:11:12:40 at 50 fps", timecode),
        "c608.mov": ("a text track, or one true reason", caption_track),
        "unsd_layout.mov": ("converted, or refused in one line", odd_layout),
        "webrtc_size_change.webm": ("seen before the run; one size by choice", changing_size),
        "mixed_folder": ("the video, and a word on the image", mixed_folder),
        "static_subtitle_pan.mkv": ("overlay at most 3 levels off (the picture)", overlay),
        "static_text.mkv": ("new frames equal the given ones", still),
        "noise.mkv": ("no more grain, alike in all frames (real footage)", grain),
        "edge.mkv": ("overshoot at most 15 levels (real footage)", edge),
        "2>/dev/full, | head -1": ("the run goes on", streams_gone),
        "two runs, one output": ("the second is refused", two_runs),
        "20,000 subtitle lines": ("not quadratic (fast)", subtitles),
    }


def main() -> None:
    """Run the cases and print, or write, the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--only", action="append")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = ["| case | a user expects | now | |", "|---|---|---|---|"]
    for name, (expected, check) in cases(options.clips.resolve()).items():
        if options.only and not any(part in name for part in options.only):
            continue
        folder = Path(tempfile.mkdtemp())
        try:
            said, verdict = check(folder, options.clips.resolve()), "yes"
        except Exception as error:  # the next case is of interest all the same
            said, verdict = f"{type(error).__name__}: {error}", "**no**"
        finally:
            shutil.rmtree(folder)
        said = said.replace(f"{folder}/", "").replace(f"{options.clips.resolve()}/", "")
        rows.append(f"| {name} | {expected} | {said.replace('|', '/')} | {verdict} |")
        print(rows[-1], flush=True)
    if options.out:
        options.out.write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
