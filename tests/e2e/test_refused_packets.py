"""Packets of a track that a container does not store are a gap that is told, never the end of a run."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from stsr_cli.text import going_on
from stsr_cli.video.tracks.gate import Gate

FAST = ("--scale", 1, "--spatial", "bicubic", "--temporal", "blend", "-q")
X264, VP9 = ("--preset", "ultrafast"), ("--codec", "libvpx-vp9", "--crf", 50)
SIZE, SYNC = 188, 0x47
SECONDS = 2


def part(path, *, rate=48000, codec="aac", second=0):
    """Two seconds of a plain picture with noise and a tone of 1 kHz as MPEG-TS, from a time on."""
    with av.open(str(path), "w", options={"output_ts_offset": str(second)}) as out:
        video = out.add_stream("mpeg2video", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = out.add_stream(codec, rate=rate)
        sound.layout, sound.bit_rate = "mono", 96_000
        packets = []
        for index in range(25 * SECONDS):
            pixels = np.full((48, 64, 3), 4 * index, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p")
            packets += video.encode(frame)
        times = np.arange(rate * SECONDS) / rate
        noise = np.random.default_rng(0).normal(0, 0.02, times.size)
        wave = (0.5 * np.sin(2000 * np.pi * times) + noise).astype(np.float32)
        tone = av.AudioFrame.from_ndarray(wave[None], "fltp", "mono")
        tone.sample_rate, tone.pts, tone.time_base = rate, 0, Fraction(1, rate)
        packets += [*video.encode(None), *sound.encode(tone), *sound.encode(None)]
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            out.mux(packet)
    return path


def without_one(path, place):
    """Take a packet of MPEG-TS away that continues one of sound; `place`: how far behind, from 0 to 1."""
    data = path.read_bytes()
    packets = [data[at : at + SIZE] for at in range(0, len(data), SIZE)]
    assert all(packet[0] == SYNC for packet in packets)
    numbers = [int.from_bytes(packet[1:3], "big") for packet in packets]
    inside = [
        i for i, number in enumerate(numbers) if number & 0x1FFF == 0x101 and not number >> 14
    ]
    del packets[inside[int(place * len(inside))]]
    path.write_bytes(b"".join(packets))


def join(path, *parts):
    path.write_bytes(b"".join(one.read_bytes() for one in parts))


def num_packets(path):
    with av.open(str(path)) as container:
        return sum(1 for packet in container.demux(audio=0) if packet.size)


def samples(path):
    """Those of the first channel."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return np.concatenate(frames, axis=1)[0]


@pytest.mark.parametrize("ending", ["mp4", "mkv", "flv", "ts"])
def test_a_lost_packet_of_sound_is_a_gap(call, tmp_path, ending):
    without_one(part(tmp_path / "in.ts"), 0.5)
    said = call("upscale", "in.ts", f"out.{ending}", *FAST, code=3).stderr
    assert "audio 1 (aac): 1 packet could not be stored and left a gap" in said
    out = tmp_path / f"out.{ending}"
    assert num_packets(out) == num_packets(tmp_path / "in.ts") - 1
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 2 * 25 * SECONDS


@pytest.mark.parametrize("ending", ["mp4", "ts"])
def test_another_codec_in_a_part_behind_is_told(call, tmp_path, ending):
    first = part(tmp_path / "1.ts")
    join(tmp_path / "in.ts", first, part(tmp_path / "2.ts", codec="ac3", second=600))
    said = call("upscale", "in.ts", f"out.{ending}", *FAST, code=3).stderr
    assert "packets could not be stored and left a gap" in said
    assert num_packets(tmp_path / f"out.{ending}") == num_packets(first)


def test_another_rate_in_a_part_behind_is_told(call, tmp_path):
    second = part(tmp_path / "2.ts", rate=44100, second=600)
    join(tmp_path / "in.ts", part(tmp_path / "1.ts"), second)
    said = call("upscale", "in.ts", "out.mp4", *FAST, code=3).stderr
    assert f"{num_packets(second)} packets at another sampling rate" in said
    assert call("upscale", "in.ts", "out.ts", *FAST).stderr == ""


def test_sound_that_is_converted_keeps_its_pitch_at_another_rate(call, tmp_path):
    second = part(tmp_path / "2.ts", rate=44100, second=600)
    join(tmp_path / "in.ts", part(tmp_path / "1.ts"), second)
    call("upscale", "in.ts", "out.webm", *FAST, *VP9)
    wave = samples(tmp_path / "out.webm")
    assert abs(len(wave) / 48000 - 2 * SECONDS) < 0.2
    for start in (0.5, 2.5):
        piece = wave[int(start * 48000) :][:48000]
        strength = np.abs(np.fft.rfft(piece))
        assert abs(int(strength.argmax()) - 1000) <= 1  # Hz


@pytest.mark.parametrize("ending", ["mp4", "mov"])
def test_alac_of_matroska_is_copied_whole(call, tmp_path, monkeypatch, ending):
    with av.open(str(tmp_path / "in.mkv"), "w") as out:
        video = out.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = out.add_stream("alac", rate=48000)
        sound.layout, sound.format = "mono", "s16p"
        noise = np.random.default_rng(0).integers(-9000, 9000, (1, 60_000)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(noise, "s16p", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
        for packet in [*sound.encode(frame), *sound.encode(None)]:
            out.mux(packet)
        for index in range(31):
            pixels = np.full((48, 64, 3), 8 * index, np.uint8)
            out.mux(video.encode(av.VideoFrame.from_ndarray(pixels).reformat(format="yuv420p")))
        out.mux(video.encode(None))
    call("upscale", "in.mkv", f"file.{ending}", *FAST)
    data = (tmp_path / "in.mkv").read_bytes()
    monkeypatch.setattr("os.read", _pipe(data))
    monkeypatch.setattr("os.isatty", lambda number: False)
    call("upscale", "-", f"pipe.{ending}", *FAST)
    before = samples(tmp_path / "in.mkv")
    for name in ("file", "pipe"):
        with av.open(str(tmp_path / f"{name}.{ending}")) as container:
            assert container.streams.audio[0].codec_context.name == "alac"
        assert np.array_equal(samples(tmp_path / f"{name}.{ending}"), before)


def test_a_refused_packet_leaves_a_gate_open_and_no_mark(tmp_path):
    part(tmp_path / "in.ts")
    with av.open(str(tmp_path / "in.ts")) as container:
        stream = container.streams.audio[0]
        gate = Gate("mp4", stream)
        taken = []
        for number, packet in enumerate(p for p in container.demux(stream) if p.size):
            if number == 5:
                broken = av.Packet(bytes(40))
                broken.stream, broken.time_base = stream, packet.time_base
                broken.pts = broken.dts = packet.pts - 1
                assert not gate.takes(broken)
            before = packet.pts, packet.dts, packet.duration, packet.time_base, bytes(packet)
            taken.append(gate.takes(packet))
            now = packet.pts, packet.dts, packet.duration, packet.time_base, bytes(packet)
            assert before == now and packet.stream is stream
        gate.close()
        gate.close()
    assert all(taken) and len(taken) > 50


def test_a_command_that_goes_on_does_not_start_anew():
    words = ["stsr", "upscale", "in.mp4", "--no-resume", "out.mp4"]
    assert going_on(words) == "stsr upscale in.mp4 out.mp4"


def _pipe(data):
    left = io.BytesIO(data)
    return lambda number, num_bytes: left.read(num_bytes)


@pytest.mark.parametrize(
    ("start", "is_taken"),
    [
        (b"\xfc", True),  # one frame of 20 ms
        (b"\xfd", True),  # two
        (b"\xff\x06", True),  # six
        (b"\xff\x07", False),  # 140 ms
        (b"\xff\x40", False),  # none
        (b"\xd3\x74", False),  # 52 of 10 ms, as damage left it
        (b"\x1b\x03", False),  # three of 60 ms
    ],
)
def test_opus_that_a_reader_would_drop_is_refused(tmp_path, start, is_taken):
    part(tmp_path / "in.ts", codec="libopus")
    with av.open(str(tmp_path / "in.ts")) as container:
        stream = container.streams.audio[0]
        first = next(container.demux(stream))
        gate = Gate("matroska", stream)
        packet = av.Packet(start + bytes(first)[2:])
        packet.stream, packet.time_base = stream, first.time_base
        packet.pts, packet.dts, packet.duration = first.pts, first.dts, first.duration
        assert gate.takes(packet) == is_taken
        gate.close()
