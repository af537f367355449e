"""Checks of what lies beside pictures, by FFmpeg's own reader: captions, two eyes, all around, telemetry."""

import re
from fractions import Fraction
from typing import Any

from . import readers
from .case import Case, check
from .track_checks import _ms

_CAPTIONS = "ATSC A53 Part 4 Closed Captions"


def _sides(path: Any) -> list[tuple[Fraction, set[str]]]:
    """Time of each frame and the kinds of side data that it has, from the first frame on."""
    stream = readers.video_stream(path)
    base = readers.time_base(stream)
    frames = [f for f in readers.ffprobe(path)["frames"] if f.get("media_type") == "video"]
    found = [
        (f["pts"] * base, {side["side_data_type"] for side in f.get("side_data_list", [])})
        for f in frames
    ]
    return [(time - found[0][0], kinds) for time, kinds in found]


@check("{kind} beside the given frames, and no others", "ffprobe")
def beside_given_frames(case: Case, kind: str = _CAPTIONS) -> None:
    tick = readers.time_base(readers.video_stream(case.output))
    before = [time for time, kinds in _sides(case.source) if kind in kinds]
    after = [time for time, kinds in _sides(case.output) if kind in kinds]
    assert before, "the source has none"
    assert len(before) == len(after)
    for want, have in zip(before, after, strict=True):
        assert abs(want - have) <= max(tick, Fraction(1, 1000)), f"{float(have)}, not {float(want)}"


@check("captions read {lines} (ms, text)", "ffmpeg")
def captions_read(case: Case, lines: list[tuple[int, int, str]]) -> None:
    graph = f"movie={case.output}[out+subcc]"
    found = readers.run(
        "ffmpeg",
        "-nostdin",
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        graph,
        "-map",
        "s",
        "-f",
        "srt",
        "-",
    ).decode()
    entries = re.findall(r"(\S+) --> (\S+)\n(.*?)\n(?:\n|$)", found.replace("\r", ""), re.DOTALL)
    texts = [
        (_ms(start), _ms(end), re.sub(r"<[^>]*>|\{[^}]*\}", "", words).strip())
        for start, end, words in entries
    ]
    assert len(texts) == len(lines), texts
    for have, want in zip(texts, lines, strict=True):
        assert have[2] == want[2] and abs(have[0] - want[0]) <= 2 and abs(have[1] - want[1]) <= 2, (
            texts
        )


@check("the stream says {wanted}", "ffprobe")
def stream_says(case: Case, wanted: dict[str, str]) -> None:
    said: dict[str, Any] = {}
    for side in readers.video_stream(case.output).get("side_data_list", []):
        said |= {key: str(value) for key, value in side.items()}
    assert {key: said.get(key) for key in wanted} == wanted, said


@check("frames say {kind}", "ffprobe")
def frames_say(case: Case, kind: str) -> None:
    assert kind in _sides(case.output)[0][1]


@check("data is {tag}, with the same packets", "ffprobe, ffmpeg -f streamhash")
def data_is(case: Case, tag: str) -> None:
    both = []
    for path in (case.source, case.output):
        streams = [s for s in readers.ffprobe(path)["streams"] if s["codec_type"] == "data"]
        assert [stream["codec_tag_string"] for stream in streams] == [tag], streams
        both.append(readers.stream_hashes(path, "d"))
    assert both[0] and both[0] == both[1]
