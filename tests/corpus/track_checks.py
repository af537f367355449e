"""Checks of everything beside the video: sound, subtitles, chapters, attachments, tags, flags."""

import hashlib
import re
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

from . import readers
from .case import Case, check
from .writing import FONT, png

_STALE = {"encoder", "duration", "handler_name", "vendor_id", "major_brand", "minor_version"}
_STALE |= {"compatible_brands", "creation_time"}


def _streams(path: Path, kind: str) -> list[dict[str, Any]]:
    return [s for s in readers.ffprobe(path)["streams"] if s["codec_type"] == kind]


@check("sound: the same packets, by SHA-256", "ffmpeg -f streamhash")
def same_sound(case: Case) -> None:
    before = readers.stream_hashes(case.source, "a")
    assert before, "the source has no sound"
    assert readers.stream_hashes(case.output, "a") == before


@check("sound {index}: the same samples", "ffmpeg")
def same_samples(case: Case, index: int) -> None:
    both = []
    for path in (case.source, case.output):
        command = ["-nostdin", "-v", "error", "-i", f"file:{path}", "-map", f"0:a:{index}"]
        both.append(readers.run("ffmpeg", *command, "-f", "s16le", "-"))
    assert both[0] and both[0] == both[1]


@check("subtitles: the same packets at the same times", "ffprobe, ffmpeg -f streamhash")
def same_subs(case: Case) -> None:
    before = readers.stream_hashes(case.source, "s")
    assert before, "the source has no subtitles"
    assert readers.stream_hashes(case.output, "s") == before
    for one, other in zip(
        _streams(case.source, "subtitle"), _streams(case.output, "subtitle"), strict=True
    ):
        shown = [_shown(path, s) for path, s in ((case.source, one), (case.output, other))]
        assert shown[0] == shown[1]


def _shown(path: Path, stream: dict[str, Any]) -> list[tuple[int, int]]:
    packets = readers.ffprobe(path)["packets"]
    base = readers.time_base(stream)
    own = [p for p in packets if p["stream_index"] == stream["index"] and int(p["size"]) > 2]
    return [(round(p["pts"] * base * 1000), round(p["duration"] * base * 1000)) for p in own]


@check("{kind} in {codecs}", "ffprobe")
def codecs(case: Case, kind: str, codecs: list[str]) -> None:
    found = [stream["codec_name"] for stream in _streams(case.output, kind)]
    assert found == codecs, found


@check("no {kinds}", "ffprobe")
def without(case: Case, kinds: list[str]) -> None:
    found = readers.ffprobe(case.output)
    left = [s["codec_type"] for s in found["streams"] if s["codec_type"] in kinds]
    left += ["chapters"] if "chapters" in kinds and found["chapters"] else []
    covers = [s for s in found["streams"] if s["disposition"].get("attached_pic")]
    left += ["cover"] if "cover" in kinds and covers else []
    assert not left, left


@check("subtitles read {lines} (ms after the video, until, text)", "ffmpeg -f srt")
def text(case: Case, lines: list[tuple[int, int, str]], index: int = 0) -> None:
    head = ["-nostdin", "-v", "error", "-copyts", "-i", f"file:{case.output}"]
    found = readers.run("ffmpeg", *head, "-map", f"0:s:{index}", "-f", "srt", "-").decode()
    found = found.replace("\r", "")
    entries = re.findall(r"(\S+) --> (\S+)\n(.*?)\n(?:\n|$)", found, re.DOTALL)
    start = round(readers.packet_times(case.output)[0] * 1000)
    plain = [
        (_ms(a) - start, _ms(b) - start, re.sub(r"<[^>]*>|\{[^}]*\}", "", t).strip())
        for a, b, t in entries
    ]
    assert plain == [tuple(line) for line in lines], plain


def _ms(clock: str) -> int:
    hours, minutes, rest = clock.split(":")
    seconds, thousandths = rest.split(",")
    return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(thousandths)


@check("chapters: the same titles, and as long after the first picture", "ffprobe")
def same_chapters(case: Case) -> None:
    both = []
    for path in (case.source, case.output):
        chapters = readers.ffprobe(path)["chapters"]
        first = float(min(readers.packet_times(path)))
        both.append(
            [(c.get("tags", {}).get("title"), float(c["start_time"]) - first) for c in chapters]
        )
    assert both[0], "the source has no chapters"
    assert [title for title, _ in both[0]] == [title for title, _ in both[1]], both[1]
    for (_, one), (_, other) in zip(*both, strict=True):
        assert abs(one - other) <= 0.0011


@check("the chapters end at {seconds} s", "ffprobe")
def chapter_ends(case: Case, seconds: list[float]) -> None:
    found = [float(c["end_time"]) for c in readers.ffprobe(case.output)["chapters"]]
    assert found == seconds


@check("second video: the same pictures", "ffmpeg")
def same_second_video(case: Case) -> None:
    both = []
    for path in (case.source, case.output):
        command = ["-nostdin", "-v", "error", "-i", f"file:{path}", "-map", "0:v:1"]
        both.append(readers.run("ffmpeg", *command, "-vsync", "0", "-f", "rawvideo", "-"))
    assert both[0] and both[0] == both[1]


@check("every list of chapters has them where ffprobe finds them", "MediaInfo")
def menu(case: Case) -> None:
    starts = {float(c["start_time"]) for c in readers.ffprobe(case.output)["chapters"]}
    menus = [t["extra"] for t in readers.mediainfo(case.output) if t["@type"] == "Menu"]
    assert menus
    for entries in menus:
        found = {key for key in entries if re.match(r"_\d\d_\d\d_\d\d_\d+$", key)}
        assert found == {f"_00_00_{time:06.3f}".replace(".", "_") for time in starts}, found


@check("{count} chapters", "mkvmerge -J")
def mkv_chapters(case: Case, count: int) -> None:
    found = readers.mkvmerge(case.output)["chapters"]
    assert [entry["num_entries"] for entry in found] == ([count] if count else [])


@check("languages {languages}, names {names}", "mkvmerge -J")
def mkv_tracks(case: Case, languages: list[str], names: list[str | None]) -> None:
    found = [track["properties"] for track in readers.mkvmerge(case.output)["tracks"]][1:]
    assert [track["language"] for track in found] == languages, found
    assert [track.get("track_name") for track in found] == names


@check("flags {flags}", "mkvmerge -J")
def mkv_flags(case: Case, flags: list[list[str]]) -> None:
    names = ("default", "forced", "original", "commentary", "hearing_impaired")
    found = []
    for track in readers.mkvmerge(case.output)["tracks"][1:]:
        own = track["properties"]
        found.append([n for n in names if own.get(f"{n}_track") or own.get(f"flag_{n}")])
    assert found == flags, found


@check("font and cover are the same bytes, found as attachments", "mkvmerge, mkvextract")
def mkv_attachments(case: Case) -> None:
    attachments = readers.mkvmerge(case.output)["attachments"]
    assert {a["file_name"]: a["content_type"] for a in attachments} == {
        "font.ttf": "font/ttf",
        "cover.png": "image/png",
    }
    wanted = {"font.ttf": FONT, "cover.png": png()}
    with tempfile.TemporaryDirectory() as folder:
        for attachment in attachments:
            file = Path(folder) / "attachment"
            readers.run("mkvextract", case.output, "attachments", f"{attachment['id']}:{file}")
            assert file.read_bytes() == wanted[attachment["file_name"]]


@check("the cover is the same bytes", "ffmpeg")
def same_cover(case: Case) -> None:
    covers = [s for s in _streams(case.output, "video") if s["disposition"]["attached_pic"]]
    assert len(covers) == 1, covers
    selector = str(covers[0]["index"])
    arguments = ["-nostdin", "-v", "error", "-i", f"file:{case.output}", "-map", f"0:{selector}"]
    data = readers.run("ffmpeg", *arguments, "-c", "copy", "-f", "image2pipe", "-")
    assert hashlib.sha256(data).digest() == hashlib.sha256(png()).digest()


@check("tags of the file: all are there", "ffprobe")
def same_tags(case: Case) -> None:
    both = []
    for path in (case.source, case.output):
        tags = readers.ffprobe(path)["format"].get("tags", {})
        both.append({k.lower(): v for k, v in tags.items() if k.lower() not in _STALE})
    assert both[0], "the source has no tags"
    assert {k: both[1].get(k) for k in both[0]} == both[0]


@check("created at {time}", "ffprobe")
def created(case: Case, time: str) -> None:
    assert readers.ffprobe(case.output)["format"]["tags"]["creation_time"] == time


@check("sound: {wanted}", "MediaInfo")
def described_sound(case: Case, wanted: dict[str, str]) -> None:
    found = next(t for t in readers.mediainfo(case.output) if t["@type"] == "Audio")
    for key, value in wanted.items():
        assert found.get(key) == value, f"{key} is {found.get(key)}"


@check("{wanted}", "MediaInfo")
def general(case: Case, wanted: dict[str, str]) -> None:
    found = readers.mediainfo(case.output)[0]
    for key, value in wanted.items():
        assert found.get(key) == value, f"{key} is {found.get(key)}"


@check("languages of {kind}: {languages}", "ffprobe")
def languages(case: Case, kind: str, languages: list[str]) -> None:
    found = [s.get("tags", {}).get("language") for s in _streams(case.output, kind)]
    assert found == languages, found


@check("sound of {seconds} s in {channels} channel(s), as loud as before", "ffmpeg + numpy")
def heard(case: Case, seconds: float, channels: int = 1) -> None:
    import numpy as np

    levels = []
    for path in (case.source, case.output):
        stream = _streams(path, "audio")[0]
        assert stream["channels"] == channels
        command = ["-nostdin", "-v", "error", "-i", f"file:{path}", "-map", "0:a:0"]
        data = readers.run("ffmpeg", *command, "-ar", "48000", "-f", "f32le", "-")
        samples = np.frombuffer(data, np.float32).reshape(-1, channels)
        assert abs(len(samples) / 48000 - seconds) <= 0.05, len(samples) / 48000
        levels.append(float(np.sqrt((samples[2000:-3000] ** 2).mean())))
    assert abs(levels[0] - levels[1]) <= 0.05 * levels[0], levels


@check("sound of {seconds} s", "ffmpeg + numpy")
def heard_at(case: Case, seconds: float) -> None:
    import numpy as np

    command = ["-nostdin", "-v", "error", "-i", f"file:{case.output}", "-map", "0:a:0"]
    data = readers.run("ffmpeg", *command, "-ac", "1", "-ar", "48000", "-f", "f32le", "-")
    found = len(np.frombuffer(data, np.float32)) / 48000
    assert abs(found - seconds) <= 0.05, found


@check("timecode {code}", "ffprobe, MediaInfo")
def timecode_is(case: Case, code: str) -> None:
    tags = [stream.get("tags", {}) for stream in readers.ffprobe(case.output)["streams"]]
    found = {v for each in tags for k, v in each.items() if k.lower() == "timecode"}
    assert found == {code}, found
    others = [t for t in readers.mediainfo(case.output) if "TimeCode_FirstFrame" in t]
    assert code in {t["TimeCode_FirstFrame"] for t in others}


@check("each subtitle is shown when it was, from the video's start", "ffprobe")
def subs_in_time(case: Case) -> None:
    both = []
    for path in (case.source, case.output):
        origin = readers.packet_times(path)[0]
        times = []
        for stream in _streams(path, "subtitle"):
            times += [Fraction(start, 1000) - origin for start, _ in _shown(path, stream)]
        both.append(times)
    assert both[0]
    for one, other in zip(*both, strict=True):
        assert abs(one - other) <= Fraction(2, 1000)
