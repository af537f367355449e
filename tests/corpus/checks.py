"""Checks of time, geometry and messages; each is made by calling its function without the case: `size(96, 64)`."""

import hashlib
import json
from fractions import Fraction
from itertools import pairwise
from typing import Any

from . import readers
from .case import Case, check


@check("{factor} times as many frames", "ffprobe")
def frames(case: Case, factor: int = 2) -> None:
    source = len(readers.frame_times(case.source))
    output = len(readers.packet_times(case.output))
    decoded = len(readers.frame_times(case.output))
    assert source > 0
    assert output == decoded == factor * source, f"{source} in, {output} out, {decoded} decoded"


@check("{number} frames", "ffprobe")
def frame_count(case: Case, number: int) -> None:
    assert len(readers.packet_times(case.output)) == number
    assert len(readers.frame_times(case.output)) == number


@check("every pts is the source's or the midpoint between two, to the tick", "ffprobe")
def times(case: Case, index: int | None = None) -> None:
    source = readers.frame_times(case.source, index)
    assert None not in source, "the source has frames without a time: use repaired()"
    _compare_times(case, [time for time in source if time is not None])


@check("frames are shown at {ticks} ticks of 1/{per_second} s and halfway between", "ffprobe")
def repaired(case: Case, ticks: list[int], per_second: int) -> None:
    _compare_times(case, [Fraction(tick, per_second) for tick in ticks])


def _compare_times(case: Case, source: list[Fraction]) -> None:
    scale = case.row.time_scale
    expected = []
    for before, after in pairwise(source):
        assert after > before, "the source's times do not increase: use repaired()"
        expected += [before + (after - before) * step / scale for step in range(scale)]
    found = readers.packet_times(case.output)
    tick = readers.time_base(readers.video_stream(case.output))
    expected = [time - source[0] for time in expected]
    shifted = [time - found[0] for time in found]
    assert len(found) == scale * len(source), f"{len(found)} frames of {scale * len(source)}"
    for number, (have, want) in enumerate(zip(shifted, expected, strict=False)):
        is_held = want % tick == 0 and expected[0] % tick == 0
        assert abs(have - want) <= (0 if is_held else tick), f"frame {number}: {have} s, not {want}"
    steps = [after - before for before, after in pairwise(found)]
    assert all(step > 0 for step in steps), f"times do not increase: {found}"


@check("every frame lasts {numerator}/{denominator} s", "ffprobe")
def constant(case: Case, numerator: int, denominator: int) -> None:
    found = readers.packet_times(case.output)
    tick = readers.time_base(readers.video_stream(case.output))
    step = Fraction(numerator, denominator)
    for number, time in enumerate(found):
        assert abs(time - found[0] - number * step) <= (0 if step % tick == 0 else tick), number


@check("no two frames have the same time", "ffprobe")
def distinct(case: Case) -> None:
    found = readers.packet_times(case.output)
    assert len(set(found)) == len(found), found


@check("all frames last equally long", "ffprobe")
def steady(case: Case) -> None:
    found = readers.packet_times(case.output)
    steps = {after - before for before, after in pairwise(found)}
    assert len(steps) == 1, steps


@check("all frames last equally long, at {number} joins up to 50 ms longer", "ffprobe")
def steady_parts(case: Case, number: int) -> None:
    found = readers.packet_times(case.output)
    steps = [after - before for before, after in pairwise(found)]
    longer = [step for step in steps if step != min(steps)]
    assert len(longer) <= 2 * number, steps  # one in-between
    assert all(step <= min(steps) + Fraction(1, 20) for step in longer), steps


@check("a keyframe every {number} frames", "ffprobe")
def keyframes(case: Case, number: int) -> None:
    packets = sorted(readers.ffprobe(case.output)["packets"], key=lambda packet: packet["pts"])
    found = [index for index, packet in enumerate(packets) if "K" in packet["flags"]]
    assert found == [*range(0, len(packets), number)], found


@check("what was there is left alone", "its bytes")
def untouched(case: Case) -> None:
    assert case.output.read_bytes() == b"mine"


@check("the first frame is shown at {seconds} s", "ffprobe")
def starts_at(case: Case, seconds: float | Fraction) -> None:
    found = readers.packet_times(case.output)[0]
    assert abs(found - Fraction(seconds)) <= Fraction(1, 1000), found


@check("the first track starts at {seconds} s", "ffprobe")
def begins_at(case: Case, seconds: float, tolerance: float = 0.001) -> None:
    found = readers.ffprobe(case.output)
    bases = {s["index"]: readers.time_base(s) for s in found["streams"]}
    packets = [p for p in found["packets"] if "D" not in p["flags"]]
    late = float(min(p["pts"] * bases[p["stream_index"]] for p in packets)) - seconds
    # Of Matroska and WebM the priming of a sound, which is not heard, has times before 0.
    priming = 0.022 if case.output.suffix in (".mkv", ".webm") else 0
    assert -priming <= late <= tolerance, late


@check("each sound starts as long after the video as before", "ffprobe")
def sync(case: Case) -> None:
    before, after = _offsets(case.source), _offsets(case.output)
    assert before, "the source has no sound"
    assert len(before) == len(after)
    for want, have in zip(before, after, strict=True):
        assert abs(have - want) <= Fraction(2, 1000), f"{float(have)} s after the video, not {want}"


@check("each sound starts as long after the video as before, to a tick of both clocks", "ffprobe")
def exact_sync(case: Case) -> None:
    ticks = [readers.time_base(s) for s in readers.ffprobe(case.output)["streams"][:2]]
    before, after = _offsets(case.source), _offsets(case.output)
    assert before
    for want, have in zip(before, after, strict=True):
        assert abs(have - want) <= max(ticks), f"{have} s after the video, not {want}"


def _offsets(path: Any) -> list[Fraction]:
    found = readers.ffprobe(path)
    video = readers.packet_times(path)[0]
    offsets = []
    for stream in found["streams"]:
        if stream["codec_type"] == "audio":
            own = [p for p in found["packets"] if p["stream_index"] == stream["index"]]
            offsets.append(min(p["pts"] for p in own) * readers.time_base(stream) - video)
    return offsets


@check("the video lasts {seconds} s", "MediaInfo")
def lasts(case: Case, seconds: float) -> None:
    video = next(t for t in readers.mediainfo(case.output) if t["@type"] == "Video")
    assert abs(float(video["Duration"]) - seconds) <= 0.002, video["Duration"]


@check("{videos} video(s)", "ffprobe")
def stream_count(case: Case, videos: int) -> None:
    kinds = [stream["codec_type"] for stream in readers.ffprobe(case.output)["streams"]]
    assert kinds.count("video") == videos, kinds


@check("{width}x{height}", "ffprobe, MediaInfo")
def size(case: Case, width: int, height: int) -> None:
    video = readers.video_stream(case.output)
    found = (video["width"], video["height"])
    assert found == (width, height), found
    track = next(t for t in readers.mediainfo(case.output) if t["@type"] in ("Video", "Image"))
    coded = (int(track["Width"]), int(track["Height"]))
    assert coded in ((width, height), (height, width)), coded  # some versions turn the picture


@check("sample aspect ratio {ratio}", "ffprobe")
def sample_aspect(case: Case, ratio: str) -> None:
    found = readers.video_stream(case.output).get("sample_aspect_ratio")
    assert found == ratio, found


@check("display matrix: {degrees} degrees", "ffprobe")
def rotation(case: Case, degrees: int) -> None:
    data = readers.video_stream(case.output).get("side_data_list", [])
    found = [item["rotation"] for item in data if "rotation" in item]
    assert [turn % 360 for turn in found] == [degrees % 360], found


@check("the display matrix is the source's", "ffprobe")
def same_matrix(case: Case) -> None:
    matrices = []
    for path in (case.source, case.output):
        data = readers.video_stream(path).get("side_data_list", [])
        matrices.append([item["displaymatrix"] for item in data if "displaymatrix" in item])
    assert matrices[0]
    # the third row is the translation, which is in pixels
    lines = [
        [line.split(":")[1].split()[:2] for line in m[0].strip().splitlines()][:2] for m in matrices
    ]
    assert lines[0] == lines[1]


@check("{key} is {value}", "ffprobe")
def stream_is(case: Case, key: str, value: object) -> None:
    found = readers.video_stream(case.output).get(key)
    assert found == value, f"{key} is {found}"


@check("{wanted}", "ffprobe")
def tagged(case: Case, wanted: dict[str, str | None]) -> None:
    video = readers.video_stream(case.output)
    names = {"matrix": "color_space", "range": "color_range", "primaries": "color_primaries"}
    names |= {"transfer": "color_transfer", "location": "chroma_location"}
    for name, value in wanted.items():
        found = video.get(names[name])
        assert found == value, f"{name} is {found}, not {value}"


@check("{wanted}", "MediaInfo")
def described(case: Case, wanted: dict[str, str]) -> None:
    video = next(t for t in readers.mediainfo(case.output) if t["@type"] == "Video")
    for key, value in wanted.items():
        assert video.get(key) == value, f"{key} is {video.get(key)}, not {value}"


@check("it says: {words}", "its messages")
def says(case: Case, words: list[str] | str) -> None:
    said = " ".join((case.stderr + case.stdout).split())
    for word in [words] if isinstance(words, str) else words:
        assert word in said, f"{word!r} is not in {said!r}"


@check("one line, exit code {code}: {words}; nothing is written", "its messages")
def refused(case: Case, code: int, words: list[str]) -> None:
    assert case.code == code
    lines = case.stderr.strip().splitlines()
    assert lines[-1].startswith("stsr: "), case.stderr
    for word in words:
        assert word in lines[-1], lines[-1]
    assert not case.output.exists()


@check("the report says {wanted}", "JSON")
def reported(case: Case, wanted: dict[str, object], name: str = "report.json") -> None:
    _compare(json.loads((case.output.parent / name).read_text(encoding="utf-8")), wanted)


@check("hashes, frames and packets in the report are those of the files", "sha256, ffprobe")
def true_report(case: Case) -> None:
    report = json.loads((case.output.parent / "report.json").read_text(encoding="utf-8"))
    for name, path in (("source", case.source), ("target", case.output)):
        assert report[name]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert report["target"]["frames"] == len(readers.packet_times(case.output))
    for entry in report["verification"]:
        assert entry["expected"] == entry["actual"], entry
    assert report["software"]["stsr"] and report["software"]["torch"] and report["options"]


@check("it prints {wanted}", "JSON")
def probed(case: Case, wanted: dict[str, object]) -> None:
    _compare(json.loads(case.stdout), wanted)


def _compare(report: Any, wanted: dict[str, object]) -> None:
    for path, value in wanted.items():
        found = report
        for key in path.split("."):
            found = found[int(key) if isinstance(found, list) else key]
        assert found == value, f"{path} is {found}"
