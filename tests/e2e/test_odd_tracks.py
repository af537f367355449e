"""Tracks that are rare, empty, damaged, or oddly named: nothing of them is lost silently, and nothing fails on them."""

import json
import shutil
import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest
from av.subtitles.subtitle import SubtitleSet

FAST = ["--scale", "1", "--spatial", "bicubic", "--temporal", "blend", "--preset", "ultrafast"]
MILLISECOND = Fraction(1, 1000)
WEBM = ["--codec", "libvpx-vp9", "--crf", "50"]


def write(path, *, add=lambda out: [], tags=None, video_tags=None, video="mpeg4"):
    """Six frames; `add` adds tracks before the header and returns their packets."""
    with av.open(str(path), "w") as out:
        out.metadata.update(tags or {})
        stream = out.add_stream(video, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.metadata.update(video_tags or {})
        packets = add(out)
        out.start_encoding()
        for index in range(6):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 * index, np.uint8), "rgb24")
            out.mux(stream.encode(frame.reformat(format="yuv420p")))
        out.mux(stream.encode(None))
        for packet in packets() if callable(packets) else packets:
            out.mux(packet)
    return path


def sound(out, *, codec="aac", rate=48000, seconds=0.2, layout="stereo", bit_rate=None, fmt="s16"):
    """A track of noise, as a function that makes its packets."""
    stream = out.add_stream(codec, rate=rate)
    stream.layout = layout
    if bit_rate:
        stream.bit_rate = bit_rate
    if codec in ("flac", "pcm_s24le"):
        stream.format = "s32" if fmt == "s32" else "s16"

    def packets():
        number = av.AudioLayout(layout).nb_channels
        limits = np.iinfo(np.int32 if fmt == "s32" else np.int16)
        shape = (1, int(rate * seconds) * number)
        noise = np.random.default_rng(0).integers(limits.min // 2, limits.max // 2, shape)
        noise = noise.astype(limits.dtype) & ~np.array(0xFF if fmt == "s32" else 0, limits.dtype)
        frame = av.AudioFrame.from_ndarray(noise, fmt, layout)
        frame.sample_rate, frame.pts = rate, 0
        return [*stream.encode(frame), *stream.encode(None)]

    return packets


def samples_of(path):
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    arrays = [
        f.to_ndarray() if f.format.is_planar else f.to_ndarray().reshape(-1, 2).T for f in frames
    ]
    return arrays[0].dtype, np.concatenate(arrays, axis=1).tolist()


def data_of(path):
    """(type, codec, payload) of each stream but the first."""
    with av.open(str(path)) as container:
        payloads = {stream.index: b"" for stream in container.streams}
        for packet in container.demux([s for s in container.streams if s.type != "attachment"]):
            payloads[packet.stream_index] += bytes(packet) if packet.size else b""
        return [
            (s.type, s.codec_context.name if s.codec_context else s.name, payloads[s.index])
            for s in container.streams
        ][1:]


def data_track(codec, tick=MILLISECOND):
    def add(out):
        stream = out.add_data_stream(codec)
        stream.time_base = tick
        packets = []
        for index in range(5):
            packet = av.Packet(f"DEVC {index:04d} ".encode() * 3)
            packet.stream, packet.time_base = stream, tick
            packet.pts = packet.dts = round(Fraction(index, 25) / tick)
            packet.duration = round(Fraction(1, 25) / tick)
            packets.append(packet)
        return packets

    return add


def test_a_camera_s_data_is_copied_or_said_to_be_lost(call, tmp_path):
    write(tmp_path / "in.mp4", add=data_track("bin_data"))
    ((_, name, data),) = data_of(tmp_path / "in.mp4")
    for ending in ("mp4", "mov"):
        said = call("upscale", "in.mp4", f"out.{ending}", *FAST, "-q").stderr
        assert said == ""
        assert data_of(tmp_path / f"out.{ending}") == [("data", name, data)]
    said = call("upscale", "in.mp4", "out.mkv", *FAST).stderr
    assert "warning: data 1 (bin_data" in said and "matroska cannot hold it" in said
    call("upscale", "in.mp4", "out.mkv", *FAST, "-y", "--strict", code=2)


def test_timed_metadata_of_a_transport_stream_is_copied(call, tmp_path):
    write(tmp_path / "in.ts", add=data_track("klv", Fraction(1, 90000)), video="mpeg2video")
    expected = data_of(tmp_path / "in.ts")
    assert [track[:2] for track in expected] == [("data", "klv")]
    call("upscale", "in.ts", "out.ts", *FAST, "-q")
    assert data_of(tmp_path / "out.ts") == expected
    said = call("upscale", "in.ts", "out.mp4", *FAST).stderr
    assert "warning: data 1 (klv" in said and "mp4 cannot hold it" in said


def second_video(out):
    stream = out.add_stream("libx264", rate=Fraction(30000, 1001), options={"bf": "2"})
    stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
    stream.metadata["title"] = "Rückkamera"

    def packets():
        frames = [np.full((32, 32, 3), 30 * index, np.uint8) for index in range(7)]
        encoded = []
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p")
            encoded += stream.encode(frame)
        return encoded + stream.encode(None)

    return packets


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov"])
def test_a_second_video_is_copied_beside_the_upscaled_one(call, tmp_path, ending):
    write(tmp_path / "in.mp4", add=second_video)
    said = call("upscale", "in.mp4", f"out.{ending}", *FAST, "--map", "0", "-q").stderr
    assert said == ""
    assert data_of(tmp_path / "in.mp4") == data_of(tmp_path / f"out.{ending}")
    with av.open(str(tmp_path / "in.mp4")) as old, av.open(str(tmp_path / f"out.{ending}")) as new:
        before = [p.pts * p.time_base for p in old.demux(video=1) if p.size]
        after = [p.pts * p.time_base for p in new.demux(video=1) if p.size]
    shift = after[0] - before[0]
    assert all(abs(a - b - shift) <= MILLISECOND for a, b in zip(after, before, strict=True))
    call("upscale", "in.mp4", f"other.{ending}", *FAST, "--map", "1", "-q")
    with av.open(str(tmp_path / f"other.{ending}")) as container:
        assert [(v.width, v.height) for v in container.streams.video] == [(32, 32), (64, 48)]
        assert container.streams.video[1].codec_context.name == "mpeg4"


def test_a_second_video_that_webm_cannot_hold_is_said_to_be_lost(call, tmp_path):
    write(tmp_path / "in.mkv", add=second_video)
    said = call("upscale", "in.mkv", "out.webm", *FAST[:-2], *WEBM, "--map", "0").stderr
    assert "warning: video 1 (h264" in said and "webm cannot hold it as it is" in said


def empty_tracks(out):
    """Sound, subtitles without a line, and sound again: only the last has packets."""
    silent = out.add_stream("aac", rate=48000)
    silent.layout = "stereo"
    silent.metadata["language"] = "eng"
    for codec in ("srt", "ass"):
        subtitle = out.add_stream(codec)
        header = b"[Script Info]\nScriptType: v4.00+\n[V4+ Styles]\n[Events]\n"
        subtitle.codec_context.subtitle_header = header
        subtitle.codec_context.time_base = subtitle.time_base = MILLISECOND
    return sound(out)


@pytest.mark.parametrize("ending", ["mkv", "mp4", "webm", "mov"])
def test_tracks_without_packets_do_not_fail(call, tmp_path, ending):
    write(tmp_path / "in.mkv", add=empty_tracks)
    options = [*FAST[:-2], *(WEBM if ending == "webm" else [])]
    said = call("upscale", "in.mkv", f"out.{ending}", *options).stderr
    found = [track for track in data_of(tmp_path / f"out.{ending}") if track[2].strip(b"\0")]
    assert [track[0] for track in found] == ["audio"]
    num_left_out = said.count(f"is empty, and {ending} keeps no empty track")
    assert num_left_out == (1 if ending in ("mp4", "mov") else 0)


ODD_TAGS = {
    "title": "Zeile 1\nZeile 2 = zwei; # drei \\ vier",
    "artist": "\u202eumgekehrt \U0001f3ac",
    "comment": "x" * 70000,
    "weird=key": "a=b",
    "bell": "a\x07b",
}


@pytest.mark.parametrize("ending", ["mkv", "mp4", "mov", "webm"])
def test_odd_tags_arrive_or_are_said_to_be_lost(call, tmp_path, ending):
    write(tmp_path / "in.mkv", tags=ODD_TAGS, video_tags={"title": "Ünï = \n日本", "Regie": "x"})
    options = [*FAST[:-2], *(WEBM if ending == "webm" else [])]
    said = call("upscale", "in.mkv", f"out.{ending}", *options).stderr
    with av.open(str(tmp_path / f"out.{ending}")) as container:
        found = {key.lower(): value for key, value in container.metadata.items()}
        own = {key.lower(): value for key, value in container.streams[0].metadata.items()}
    for key, value in ODD_TAGS.items():
        is_said = f"tag ({key}): dropped" in said or f"tag ({key.upper()}): dropped" in said
        assert found.get(key) == value or is_said, key
    assert "title" in found and "artist" in found
    assert own.get("regie") == "x" or "tag 0 (REGIE): dropped" in said
    assert "tag 0 (title)" not in said


@pytest.mark.parametrize(
    ("codec", "fmt", "ending", "target"),
    [
        ("flac", "s16", "mov", "alac"),
        ("flac", "s32", "mov", "alac"),
        ("pcm_s24le", "s32", "m4v", "alac"),
    ],
)
def test_sound_without_loss_stays_so(call, tmp_path, codec, fmt, ending, target):
    write(tmp_path / "in.mkv", add=lambda out: sound(out, codec=codec, fmt=fmt))
    said = call("upscale", "in.mkv", f"out.{ending}", *FAST).stderr
    assert f"converted to {target}, without loss" in said
    assert data_of(tmp_path / f"out.{ending}")[0][1] == target
    assert samples_of(tmp_path / "in.mkv") == samples_of(tmp_path / f"out.{ending}")


@pytest.mark.parametrize(
    ("codec", "bit_rate", "kbits"),
    [("mp2", 64000, 96), ("mp2", 160000, 160), ("ac3", 640000, 256), ("pcm_s16le", None, 192)],
)
def test_converted_sound_keeps_the_source_s_bit_rate(call, tmp_path, codec, bit_rate, kbits):
    write(tmp_path / "in.mkv", add=lambda out: sound(out, codec=codec, bit_rate=bit_rate))
    said = call("upscale", "in.mkv", "out.webm", *FAST[:-2], *WEBM).stderr
    assert f"converted to libopus, {kbits} kbit/s" in said


def test_damaged_sound_that_is_converted_leaves_a_gap_and_is_said(call, tmp_path):
    path = write(tmp_path / "whole.mkv", add=lambda out: sound(out, codec="flac", seconds=1))
    with av.open(str(path)) as old, av.open(str(tmp_path / "in.mkv"), "w") as new:
        streams = [new.add_stream_from_template(stream) for stream in old.streams]
        for number, packet in enumerate(old.demux()):
            data = bytes(packet)
            if packet.stream_index == 1 and number in (8, 9) and data:
                other = av.Packet(b"\xff" * len(data))
                other.pts, other.dts = packet.pts, packet.dts
                other.duration, other.time_base = packet.duration, packet.time_base
                packet = other
                packet.stream = streams[1]
            elif data:
                packet.stream = streams[packet.stream_index]
            if data:
                new.mux(packet)
    said = call("upscale", "in.mkv", "out.mp4", *FAST, "-q").stderr
    assert said == ""  # copied as it is
    said = call("upscale", "in.mkv", "out.mov", *FAST, "-q", code=3).stderr
    assert "could not be decoded and left a gap" in said
    length = len(samples_of(tmp_path / "out.mov")[1][0]) / 48000
    assert 0.7 < length <= 1.1


@pytest.mark.parametrize("ending", ["mkv", "webm", "mp4"])
def test_chapters_stay_where_their_pictures_are(call, tmp_path, ending):
    write(tmp_path / "plain.mp4", add=sound)
    with av.open(str(tmp_path / "plain.mp4")) as old, av.open(str(tmp_path / "in.mp4"), "w") as new:
        streams = [new.add_stream_from_template(stream) for stream in old.streams]
        times = [(0, 80), (80, 240)]
        new.set_chapters(
            [
                {
                    "id": i,
                    "start": a,
                    "end": b,
                    "time_base": MILLISECOND,
                    "metadata": {"title": "x"},
                }
                for i, (a, b) in enumerate(times)
            ]
        )
        for packet in old.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                new.mux(packet)
    options = [*FAST[:-2], *(WEBM if ending == "webm" else []), "-q"]
    call("upscale", "in.mp4", f"out.{ending}", *options)
    with av.open(str(tmp_path / f"out.{ending}")) as container:
        first = next(container.decode(video=0)).pts * container.streams.video[0].time_base
        starts = [c["start"] * c["time_base"] - first for c in container.chapters()]
    assert starts == [0, Fraction(80, 1000)]


def test_styles_that_are_lost_are_said_to_be(call, tmp_path):
    def add(out):
        stream = out.add_stream("ass")
        header = b"[Script Info]\nScriptType: v4.00+\n[V4+ Styles]\n[Events]\n"
        stream.codec_context.subtitle_header = header
        stream.codec_context.time_base = stream.time_base = MILLISECOND

        def packets():
            text = SubtitleSet.create(rb"0,0,Default,,0,0,0,,{\pos(1,2)}Sign", 0, 100)
            packet = stream.codec_context.encode_subtitle(text)
            packet.pts = packet.dts = 40
            packet.duration, packet.time_base, packet.stream = 100, MILLISECOND, stream
            return [packet]

        return packets

    write(tmp_path / "in.mkv", add=add)
    said = call("upscale", "in.mkv", "out.mp4", *FAST).stderr
    assert "converted to mov_text, without its styles and positions" in said


def test_eight_languages_keep_their_order(call, tmp_path):
    languages = ["eng", "deu", "fra", "jpn", "zho", "ara", "rus", "por"]

    def add(out):
        makers = [sound(out, seconds=0.1) for _ in languages]
        for stream, language in zip(out.streams.audio, languages, strict=True):
            stream.metadata["language"] = language
        return lambda: [packet for maker in makers for packet in maker()]

    write(tmp_path / "in.mkv", add=add)
    call("upscale", "in.mkv", "out.mp4", *FAST, "-q")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert [s.metadata["language"] for s in container.streams.audio] == languages


def test_an_attachment_of_an_unknown_kind_is_kept(call, tmp_path):
    def add(out):
        out.add_attachment("notes é.xyz", "application/x-unheard-of", b"\x00\xff" * 300)
        out.add_attachment("plain.txt", "text/plain", b"hello")
        return []

    write(tmp_path / "in.mkv", add=add)
    said = call("upscale", "in.mkv", "out.mkv", *FAST, "-q").stderr
    assert said == ""
    with av.open(str(tmp_path / "out.mkv")) as container:
        found = {s.name: (s.mimetype, s.data) for s in container.streams.attachments}
    assert found["notes é.xyz"] == ("application/x-unheard-of", b"\x00\xff" * 300)
    assert found["plain.txt"] == ("text/plain", b"hello")


def test_an_independent_reader_sees_flags_and_titles(call, tmp_path):
    if shutil.which("mkvmerge") is None:
        pytest.skip("mkvmerge is not installed")

    def add(out):
        maker = sound(out)
        stream = out.streams.audio[0]
        stream.metadata.update({"title": "Kömmentar", "language": "deu"})
        stream.disposition = 8 | 128  # comment, hearing_impaired
        return maker

    write(tmp_path / "in.mkv", add=add)
    call("upscale", "in.mkv", "out.mkv", *FAST, "-q")
    command = ["mkvmerge", "-J", str(tmp_path / "out.mkv")]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    properties = found["tracks"][1]["properties"]
    assert properties["flag_commentary"] and properties["flag_hearing_impaired"]
    assert not properties["default_track"]
    assert (properties["track_name"], properties["language"]) == ("Kömmentar", "ger")


def test_bitmap_subtitles_keep_the_size_they_were_made_for(call, tmp_path):
    """A player scales them from it to the picture, so they lie right on one four times as large."""

    def add(out):
        stream = out.add_stream("dvdsub")
        packet = av.Packet(bytes.fromhex("0008000400000000"))
        packet.stream, packet.time_base = stream, MILLISECOND
        packet.pts, packet.dts, packet.duration = 40, 40, 100
        return [packet]

    write(tmp_path / "in.mkv", add=add)
    call("upscale", "in.mkv", "out.mkv", *FAST, "-q", "--scale", "4")
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.streams[1].codec_context.name == "dvdsub"
        header = container.streams[1].codec_context.extradata
    assert header.startswith(b"size: 64x48\npalette: ")
    said = call("upscale", "in.mkv", "out.webm", *FAST[:-2], *WEBM, "-q").stderr
    assert "webm cannot hold pictures as subtitles, and a .mkv can" in said
