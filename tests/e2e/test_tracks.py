"""Everything of a source beside its video: what arrives in each container, and what is said of the rest."""

import hashlib
import json
import shutil
import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest
from av.subtitles.subtitle import SubtitleSet

FAST = ["--scale", "1", "--spatial", "bicubic", "--temporal", "blend"]
CODEC = {"webm": ["--codec", "libvpx-vp9", "--crf", "40"]}
HEADER = (
    b"[Script Info]\nScriptType: v4.00+\nPlayResX: 96\nPlayResY: 64\n\n[V4+ Styles]\n"
    b"Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, "
    b"Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, "
    b"MarginR, MarginV, Encoding\n"
    b"Style: Default,Arial,16,&H00FFFFFF,&H000000FF,&H00000000,&H00000000,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1\n\n"
    b"[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
)
FONT = bytes(range(256)) * 5
MILLISECOND = Fraction(1, 1000)
CHAPTERS = [(Fraction(0), "Eins ä"), (Fraction(2, 5), "第二")]
LINES = [("Über, 日本", 100, 300), ("two", 500, 200)]  # text, start and length in ms


def tone(rate, seconds, layout, start):
    """A sine in every channel, as one frame."""
    num_channels = av.AudioLayout(layout).nb_channels
    wave = 0.2 * np.sin(np.arange(int(rate * seconds)) / 10)
    samples = (wave[None] * np.ones((num_channels, 1)) * 30000).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(samples.T.reshape(1, -1).copy(), "s16", layout)
    frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), round(start * rate)
    return frame


def png():
    """A small picture, as the bytes of a PNG."""
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 8, 8, "rgb24"
    encoder.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(np.full((8, 8, 3), 77, np.uint8), "rgb24")
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


@pytest.fixture
def source(tmp_path):
    """in.mkv: a video of 1 s, sound in English and (late) in German, SRT and ASS, chapters, a font, a cover, tags."""
    path = tmp_path / "in.mkv"
    write_source(path, [(*line, "srt") for line in LINES] + [(r"{\pos(1,2)}Sign", 200, 300, "ass")])
    return path


def write_source(path, lines, layouts=("mono", "stereo"), languages=("eng", "deu"), tags=(), gap=0):
    """A Matroska file with lines (text, start, length, codec); sound in AAC and FLAC."""
    with av.open(str(path), "w") as container:
        container.metadata.update({"title": "Tïtle 日本", "artist": "Someone", **dict(tags)})
        video = container.add_stream("libx264", rate=10, options={"preset": "veryfast"})
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        sounds = []
        for codec, language, layout in zip(("aac", "flac"), languages, layouts, strict=True):
            sound = container.add_stream(codec, rate=44100)
            sound.layout = layout
            sound.metadata["language"] = language
            sounds.append(sound)
        sounds[1].metadata["title"] = "Kömmentar"
        sounds[0].disposition, sounds[1].disposition = 1, 8  # default, comment
        subtitles = {}
        for codec in dict.fromkeys(line[3] for line in lines):
            subtitles[codec] = container.add_stream(codec)
            subtitles[codec].codec_context.subtitle_header = HEADER
            subtitles[codec].codec_context.time_base = MILLISECOND
            subtitles[codec].metadata["language"] = "fra"
        if "srt" in subtitles:
            subtitles["srt"].disposition = 64  # forced
        container.add_attachment("font.ttf", "font/ttf", FONT)
        container.add_attachment("cover.png", "image/png", png())
        container.set_chapters(
            [
                {
                    "id": number,
                    "start": int(start / MILLISECOND),
                    "end": int((start + Fraction(2, 5)) / MILLISECOND),
                    "time_base": MILLISECOND,
                    "metadata": {"title": title},
                }
                for number, (start, title) in enumerate(CHAPTERS, 1)
            ]
        )
        container.start_encoding()
        packets = []
        for index in range(10):
            pixels = np.full((64, 96, 3), index * 20, np.uint8)
            packets += video.encode(
                av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p")
            )
        packets += video.encode(None)
        for sound, start, layout in zip(sounds, (0, 0.2), layouts, strict=True):
            sounding = [*sound.encode(tone(44100, 0.8, layout, start)), *sound.encode(None)]
            for packet in sounding[len(sounding) // 2 :]:
                packet.pts, packet.dts = packet.pts + gap, packet.dts + gap
            packets += sounding
        for number, (text, start, length, codec) in enumerate(lines):
            ass = f"{number},0,Default,,0,0,0,,{text}".encode()
            stream = subtitles[codec]
            packet = stream.codec_context.encode_subtitle(SubtitleSet.create(ass, 0, length))
            packet.pts = packet.dts = start
            packet.duration, packet.time_base, packet.stream = length, MILLISECOND, stream
            packets.append(packet)
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            container.mux(packet)


def read(path):
    """The tracks of a file, [type, codec, language, SHA-256 of the payload, start after the video's], and its lines."""
    with av.open(str(path)) as container:
        demuxed = [s for s in container.streams if s.type != "attachment" and s.codec_context]
        packets = [p for p in container.demux(demuxed) if p.size and bytes(p) != b"\0\0"]
        origin = min(p.pts * p.time_base for p in packets if p.stream.index == 0)
        tracks, lines = [], {}
        for stream in container.streams:
            own = [p for p in packets if p.stream.index == stream.index]
            data = b"".join(bytes(p) for p in own) if own else getattr(stream, "data", b"")
            start = own[0].pts * own[0].time_base - origin if stream.type == "audio" else None
            codec = stream.codec_context.name if stream.codec_context else None
            language = stream.metadata.get("language")
            if stream.type != "data":  # how MP4 stores chapters
                digest = hashlib.sha256(data).hexdigest()
                tracks.append((stream.type, codec, language, digest, start))
            if stream.type == "subtitle":
                lines[stream.index] = [
                    (
                        round((p.pts * p.time_base - origin) * 1000),
                        round(p.duration * p.time_base * 1000),
                        bytes(p),
                    )
                    for p in own
                ]
        chapters = [
            (c["start"] * c["time_base"], c["metadata"]["title"]) for c in container.chapters()
        ]
        tags = {key.lower(): value for key, value in container.metadata.items()}
        return tracks, lines, chapters, tags


def sound_starts(path):
    """When each track's first sample is heard, in seconds after the first picture; encoders' delays are cut off."""
    starts = []
    for index in range(3):
        with av.open(str(path)) as container:  # anew: a seek would let the delay be heard
            frames = container.decode(container.streams[index])
            # MP4 cannot cut the delay off a track that starts late: it is silence before the sound
            frame = next(f for f in frames if index == 0 or np.abs(f.to_ndarray()).max() > 0.02)
            starts.append(frame.pts * frame.time_base)
    return [start - starts[0] for start in starts[1:]]


KEPT = {
    "mkv": ["aac", "flac", "srt", "ssa", None, "png"],
    "mp4": ["aac", "flac", "mov_text", "mov_text", "png"],
    "mov": ["aac", "alac", "mov_text", "mov_text"],
    "webm": ["opus", "opus", "webvtt", "webvtt"],
}


@pytest.mark.parametrize("ending", ["mkv", "mp4", "mov", "webm"])
def test_every_track_arrives_or_is_said_to_be_lost(call, source, tmp_path, ending):
    target = tmp_path / f"out.{ending}"
    said = call("upscale", source, target, *FAST, *CODEC.get(ending, [])).stderr
    before, given, _, _ = read(source)
    after, lines, chapters, tags = read(target)
    assert [track[1] for track in after[1:]] == KEPT[ending]
    german = "ger" if ending == "mov" else "deu"
    assert [track[2] for track in after[1:5]] == ["eng", german, "fra", "fra"]
    copied = 0
    for old, new in zip(before[1:], after[1:], strict=False):
        if old[1] == new[1]:
            assert new[3] == old[3]
            copied += 1
    assert copied == {"mkv": 6, "mp4": 2, "mov": 1, "webm": 0}[ending]
    if ending in ("mkv", "mp4"):
        assert before[-1][3] == after[-1][3]
    for old, new in zip(before[1:3], after[1:3], strict=True):
        if old[1] == new[1]:
            assert abs(new[4] - old[4]) <= 2 * MILLISECOND
    heard = zip(sound_starts(source), sound_starts(target), strict=True)
    assert all(abs(old - new) <= 2 * MILLISECOND for old, new in heard)
    times = [[(start, length) for start, length, _ in cues] for cues in lines.values()]
    shift = given[3][0][0] - 100  # of the file's times by AAC's delay
    assert times == [[(100 + shift, 300), (500 + shift, 200)], [(200 + shift, 300)]]
    assert all(LINES[0][0].encode() in cues[0][2] for cues in list(lines.values())[:1])
    assert chapters == CHAPTERS
    assert (tags["title"], tags["artist"]) == ("Tïtle 日本", "Someone")
    warned = [line for line in said.splitlines() if line.startswith("warning: ")]
    lost = {
        "mkv": [],
        "mp4": ["font.ttf"],
        "mov": ["font.ttf", "cover.png", "flag comment", "flag forced"],
        "webm": ["font.ttf", "cover.png", "flag comment"],
    }[ending]
    assert len(warned) == len(lost)
    assert all(name in line for name, line in zip(lost, warned, strict=True))
    assert ("lost: " in said) == bool(lost)


@pytest.mark.parametrize("ending", ["mkv", "mp4"])
def test_an_independent_reader_sees_the_same(run_stsr, source, tmp_path, ending):
    if shutil.which("ffprobe") is None:
        pytest.skip("ffprobe is not installed")
    target = tmp_path / f"out.{ending}"
    done = run_stsr("upscale", source, target, *FAST)
    assert done.returncode == 0, done.stderr
    command = [
        "ffprobe",
        "-v",
        "error",
        "-of",
        "json",
        "-show_streams",
        "-show_chapters",
        str(target),
    ]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    streams = [s for s in found["streams"] if s["codec_type"] != "data"]
    text = ["subrip", "ass"] if ending == "mkv" else ["mov_text"] * 2
    assert [s["codec_name"] for s in streams[:5]] == ["h264", "aac", "flac", *text]
    assert [s["disposition"]["default"] for s in streams[1:3]] == [1, 0]
    assert [s["disposition"]["comment"] for s in streams[1:3]] == [0, 1]
    assert streams[3]["disposition"]["forced"] == 1
    assert streams[-1]["disposition"]["attached_pic"] == 1
    if ending == "mkv":  # older readers know no titles of MP4's tracks
        assert streams[2]["tags"]["title"] == "Kömmentar"
    starts = [(Fraction(c["start_time"]), c["tags"]["title"]) for c in found["chapters"]]
    assert starts == CHAPTERS


def test_strict_stops_before_a_network_is_loaded(call, source, tmp_path):
    result = call(
        *("upscale", source, "out.mp4", *FAST, "--strict", "--weights", "no-such-file.safetensors"),
        code=2,
    )
    assert "mp4 cannot hold attachment" in result.stderr and "font.ttf" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]
    call("upscale", source, "out.mp4", *FAST, "--strict", "--no-attachments")


def test_what_is_not_wanted_is_left_out(call, source, tmp_path):
    unwanted = ["--no-audio", "--no-subs", "--no-chapters", "--no-attachments"]
    said = call("upscale", source, "out.mkv", *FAST, *unwanted).stderr
    tracks, _, chapters, _ = read(tmp_path / "out.mkv")
    assert [track[0] for track in tracks] == ["video"]
    assert chapters == []
    assert "warning" not in said and "lost" not in said


def test_lines_shown_together_keep_their_times_in_mp4(call, tmp_path):
    lines = [("A", 100, 300), ("B", 100, 200), ("C", 200, 400), ("D", 700, 100)]
    write_source(tmp_path / "in.mkv", [(*line, "srt") for line in lines])
    call("upscale", "in.mkv", "out.mp4", *FAST, "--no-audio")
    (cues,) = read(tmp_path / "out.mp4")[1].values()
    shift = cues[0][0] - 100
    assert [(start - shift, length, data[2:].decode()) for start, length, data in cues] == [
        (100, 100, "A\nB"),
        (200, 100, "A\nB\nC"),
        (300, 100, "A\nC"),
        (400, 200, "C"),
        (700, 100, "D"),
    ]


def test_surround_sound_becomes_opus(call, tmp_path):
    write_source(tmp_path / "in.mkv", [], layouts=("mono", "5.1(side)"))
    call("upscale", "in.mkv", "out.webm", *FAST, *CODEC["webm"])
    with av.open(str(tmp_path / "out.webm")) as container:
        assert [stream.layout.nb_channels for stream in container.streams.audio] == [1, 6]


def test_a_gap_in_converted_sound_stays_a_gap(call, tmp_path):
    write_source(tmp_path / "in.mkv", [], gap=22050)
    call("upscale", "in.mkv", "out.webm", *FAST, *CODEC["webm"])

    def last_heard(path):
        with av.open(str(path)) as container:
            origin = next(container.decode(video=0)).pts * MILLISECOND
        with av.open(str(path)) as container:
            loud = [f for f in container.decode(audio=1) if np.abs(f.to_ndarray()).max() > 0.02]
        return (
            loud[-1].pts * loud[-1].time_base + Fraction(loud[-1].samples, loud[-1].rate) - origin
        )

    assert (
        abs(last_heard(tmp_path / "in.mkv") - last_heard(tmp_path / "out.webm")) < 25 * MILLISECOND
    )


def test_a_tag_and_a_language_without_a_place_are_said_to_be_lost(call, tmp_path):
    tags = {"MY_TAG": "x", "comment": "kept"}
    write_source(tmp_path / "in.mkv", [], languages=("eng", "en-US"), tags=tags)
    said = call("upscale", "in.mkv", "out.mp4", *FAST, "--no-attachments").stderr
    assert "tag (MY_TAG)" not in said  # stored by its name
    assert "tag 2 (language en-US): dropped because mp4 has no code for it" in said
    tracks, _, _, found = read(tmp_path / "out.mp4")
    assert found["comment"] == "kept"
    assert [track[2] for track in tracks[1:]] == ["eng", "und"]


def test_probe_says_beforehand_what_happens(call, source, tmp_path):
    result = call("probe", source, "out.webm", "--json")
    found = json.loads(result.stdout)
    assert (found["video"]["width"], found["video"]["height"]) == (96, 64)
    assert [(t["kind"], t["action"], t["target"]) for t in found["tracks"]] == [
        ("audio", "convert", "libopus"),
        ("audio", "convert", "libopus"),
        ("subtitle", "convert", "webvtt"),
        ("subtitle", "convert", "webvtt"),
        ("attachment", "drop", None),
        ("cover", "drop", None),
        ("chapters", "copy", None),
        ("tag", "drop", None),
    ]
    table = call("probe", source, "out.mov").stderr
    assert "converted to mov_text" in table and "dropped because mov cannot hold it" in table
    alone = call("probe", source)
    assert "Kömmentar" in alone.stderr and "dropped" not in alone.stderr
    call("probe", source, "out.mp4", "--strict", code=2)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]
