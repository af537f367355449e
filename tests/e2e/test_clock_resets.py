"""Recordings whose clock starts anew on the way, is wrong once, or wraps: what is shown and heard when."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

from stsr_cli.options import SourceOptions, UpscaleOptions
from stsr_cli.upscale.job import pauses_to_fill, settle
from stsr_cli.video.describe import ends_early
from stsr_cli.video.probe import estimate_num_frames, probe
from stsr_cli.video.reader import read_frames
from stsr_cli.video.timing.clock_resets import joined_packets
from stsr_cli.video.timing.excerpt import excerpt
from stsr_cli.video.timing.retime import ConstantTimes
from stsr_cli.video.timing.timeline import PtsRepair, Slot

FAST = ["--scale", "1", "--spatial", "bicubic", "--temporal", "blend", "--preset", "ultrafast"]
FRAME, WRAP = Fraction(1, 25), Fraction(2**33, 90_000)
DELAY = Fraction(7, 5)  # that FFmpeg's muxer adds, about


def write_part(path, start, num_frames=25, num_sounds=41, samples=1152, num_reordered=2):
    """Frames of 1/25 s, and sounds of 1152 samples at 48 kHz, both from a time in seconds on."""
    with av.open(str(path), "w", options={"output_ts_offset": f"{float(start)}"}) as container:
        options = {"preset": "ultrafast", "bf": f"{num_reordered}"}
        video = container.add_stream("libx264", rate=25, options=options)
        video.width, video.height, video.pix_fmt, video.gop_size = 32, 32, "yuv420p", 10
        sound = container.add_stream("mp2", rate=48000) if num_sounds else None
        packets = []
        for index in range(num_frames):
            picture = np.full((32, 32, 3), 9 * index % 200, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture)
            frame.pts, frame.time_base = index, FRAME
            packets += video.encode(frame)
        packets += video.encode(None)
        for index in range(num_sounds):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, samples), np.int16), layout="mono")
            silence.sample_rate, silence.pts = 48000, index * samples
            packets += sound.encode(silence)
        packets += sound.encode(None) if sound else []
        for packet in sorted(packets, key=lambda one: one.dts * one.time_base):
            container.mux(packet)
    return path.read_bytes()


def times_of(path, kind):
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.get({kind: 0})[0])
        return sorted(p.pts * p.time_base for p in packets if p.size)


def joined(tmp_path, *parts):
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(write_part(tmp_path / "part.ts", *part) for part in parts))
    return path


PARTS = {
    "back by minutes": [(1000, 50, 83), (50, 25, 41)],
    "on by hours": [(50,), (30_000,)],
    "far on and back": [(60_000,), (20,), (60_000,)],
    "short sound": [(0, 50, 41)] * 3,
    "long sound": [(0, 25, 83)] * 2,
    "short parts": [(0, 12, 20)] * 4,
    "no sound": [(0, 25, 0)] * 3,
    "sound from the second on": [(100, 25, 0), (0, 25, 41)],
}


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_parts_follow_one_another(tmp_path, parts):
    path = joined(tmp_path, *parts)
    source = excerpt(probe(path), SourceOptions())
    assert estimate_num_frames(source) == sum(
        (*part, 25)[1] if len(part) > 1 else 25 for part in parts
    )
    repair = PtsRepair()
    at = [frame.pts * frame.time_base for frame in read_frames(source, repair)]
    assert len(at) == estimate_num_frames(source)
    assert repair.num_repaired == 0
    joins = [index for index, (one, other) in enumerate(pairwise(at)) if other - one != FRAME]
    assert len(joins) <= len(parts) - 1
    assert all(at[index + 1] - at[index] > FRAME for index in joins)
    ends, place = [], 0
    with av.open(str(path)) as container:
        resets, sounds = probe(path).resets, []
        for packet in joined_packets(container, resets):
            if packet.size and packet.stream.type == "audio":
                sounds.append(packet.pts * packet.time_base - source.shift * source.time_base)
    assert all(other > one for one, other in pairwise(sounds))
    tick = Fraction(1, 90_000)
    for _, num_frames, num_sounds in (part if len(part) > 1 else (0, 25, 41) for part in parts):
        own, sounds = sounds[:num_sounds], sounds[num_sounds:]
        start = at[place]
        assert all(start >= end - tick for end in ends)
        if own:
            assert abs(own[0] - start) <= Fraction(1, 10)
            ends.append(own[-1] + Fraction(1152, 48000))
            assert all(
                abs(one + Fraction(1152, 48000) - other) <= tick for one, other in pairwise(own)
            )
        place += num_frames
        ends.append(at[place - 1] + FRAME)


@pytest.mark.parametrize("target", ["out.mp4", "out.mkv", "out.ts", "out.flv"])
def test_an_output_has_no_hole(call, tmp_path, target):
    path = joined(tmp_path, (1000, 25, 41), (50, 25, 41))
    result = call("upscale", path, target, *FAST, "--time-scale", "1", "--strict")
    assert "the source's clock starts anew 1 time:" in result.stderr
    assert "repaired" not in result.stderr
    for kind, number in (("video", 50), ("audio", 82)):
        at = times_of(tmp_path / target, kind)
        assert len(at) == number or target == "out.flv"  # which gets AAC
        assert max(other - one for one, other in pairwise(at)) < Fraction(1, 10)


@pytest.mark.parametrize("starts", [(0, 600), (0, 5000, 30), (900, 0, 900)])
def test_a_part_of_which_sound_is_given_out_before_pictures(tmp_path, starts):
    path = joined(tmp_path, *((start, 25, 41, 1152, 0) for start in starts))
    resets = probe(path).resets
    assert len(resets.times) == len(starts) - 1
    first = min(resets.starts.values())
    assert all(end - first - len(starts) < Fraction(1, 5) for end in resets.ends.values())
    times = {"audio": [], "video": []}
    with av.open(str(path)) as container:
        for packet in joined_packets(container, resets):
            if packet.size:
                times[packet.stream.type].append(packet.dts * packet.time_base)
    for at in times.values():
        assert all(0 < other - one < Fraction(1, 5) for one, other in pairwise(at))


def test_a_clock_that_wraps_goes_on(tmp_path):
    path = tmp_path / "wrap.ts"
    write_part(path, WRAP - DELAY - Fraction(1, 2), 50, 83)
    source = excerpt(probe(path), SourceOptions())
    assert not source.resets.times
    at = [frame.pts * frame.time_base for frame in read_frames(source)]
    assert [one - at[0] for one in at] == [index * FRAME for index in range(50)]


def test_a_pipe_and_an_excerpt_know_the_parts(call, tmp_path):
    path = joined(tmp_path, (1000, 50, 83), (50, 50, 83))
    source = excerpt(probe(path), SourceOptions(start=Fraction(5, 2), end=Fraction(7, 2)))
    frames = list(read_frames(source))
    assert [frame.pts * frame.time_base for frame in frames] == [i * FRAME for i in range(25)]
    second = excerpt(probe(path), SourceOptions(start=Fraction(3, 2)))
    assert 60 < len(list(read_frames(second))) < 64


def test_a_single_wrong_time_is_no_new_part(tmp_path):
    data = bytearray(write_part(tmp_path / "part.ts", 100))
    starts = [at for at in range(len(data) - 20) if data[at : at + 4] == b"\0\0\1\xe0"]
    at = starts[10]
    for place in [at + 9] + [at + 14] * (data[at + 7] >> 6 == 3):
        data[place + 1 : place + 3] = bytes(
            [0x70, data[place + 2]]
        )  # of pts and dts, the high bits
    path = tmp_path / "wrong.ts"
    path.write_bytes(data)
    source = excerpt(probe(path), SourceOptions())
    assert not source.resets.times
    times = [frame.pts * frame.time_base for frame in read_frames(source)]
    assert len(times) == 25
    assert abs(times[-1] - times[0] - 24 * FRAME) <= FRAME
    assert sum(other - one == FRAME for one, other in pairwise(times)) >= 20


def test_a_constant_rate_says_what_a_long_pause_costs(call, make_clip, tmp_path):
    hour = 3600 * 25
    clip = make_clip("in.mkv", frame_pts=[0, 1, 2, hour], num_frames=4, options={"bf": "0"})
    options = UpscaleOptions(source=clip, target=tmp_path / "out.mkv", vfr="cfr", time_scale=1)
    (note,) = pauses_to_fill(settle(options))
    assert "89,997 frames" in note
    assert "3600 s" in note
    assert pauses_to_fill(settle(replace(options, vfr="keep"))) == ()
    slots = ConstantTimes(Fraction(25), FRAME, FRAME)
    shown = [slots.push(0, (Slot(0, 2**40),)), slots.push(1, (Slot(2**40, 1),)), slots.flush()]
    assert sum(len(ticks) for made in shown for _, ticks in made) == 2**40 + 1


def with_late_video(path, start, length=100, sub_end=None):
    """A second of pictures from `start` ms on; sound for `length` packets of 24 ms; a subtitle with an end in ms."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        sound = container.add_stream("mp2", rate=48000)
        packets = []
        for index in range(25):
            frame = av.VideoFrame(32, 32, "yuv420p")
            frame.pts, frame.time_base = index + start // 40, FRAME
            packets += video.encode(frame)
        packets += video.encode(None)
        for index in range(length):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), layout="mono")
            silence.sample_rate, silence.pts = 48000, index * 1152
            packets += sound.encode(silence)
        packets += sound.encode(None)
        packets.sort(key=lambda one: one.dts * one.time_base)
        packets[-1].duration = sub_end or packets[-1].duration
        for packet in packets:
            container.mux(packet)


def test_a_track_that_outlasts_a_late_video_is_no_damage(tmp_path):
    path = tmp_path / "late.mkv"
    with_late_video(path, 5000, length=400)
    source = probe(path)
    (*_, last) = read_frames(source)
    assert ends_early(source, last.pts + (last.duration or 0)) == []
    assert estimate_num_frames(source) == 25
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    assert ends_early(probe(cut), last.pts)


def test_another_tracks_length_is_not_the_videos(tmp_path):
    path = tmp_path / "long.mkv"
    with_late_video(path, 0, length=50, sub_end=2**32 - 1)  # as a subtitle whose end nobody knows
    with av.open(str(path)) as container:
        assert container.duration > 2**31 * 1000 // 48
    assert estimate_num_frames(probe(path)) == 25


@pytest.mark.parametrize("name", ["in.mp4", "in.mkv", "in.ts"])
@pytest.mark.parametrize(
    ("start", "end"), [(None, "0.28"), (None, "0.3"), ("0.2", "0.5"), ("0.1", "9")]
)
def test_the_total_of_an_excerpt_is_not_passed(make_clip, name, start, end):
    clip = make_clip(name, num_frames=25, options={"bf": "0"})
    options = SourceOptions(start=None if start is None else Fraction(start), end=Fraction(end))
    source = excerpt(probe(clip), options)
    num_frames = len(list(read_frames(source)))
    assert num_frames <= estimate_num_frames(source) <= num_frames + 1


def test_sound_in_another_codec_begins_with_the_excerpt(call, tmp_path):
    rate, path = 48000, tmp_path / "in.mkv"
    tone = np.where(np.arange(2 * rate) >= rate, 20_000 * np.sin(np.arange(2 * rate) / 10), 0)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt, video.gop_size = 32, 32, "yuv420p", 10
        sound = container.add_stream("ac3", rate=rate, layout="mono")
        for index in range(50):
            frame = av.VideoFrame(32, 32, "yuv420p")
            frame.pts, frame.time_base = index, FRAME
            container.mux(video.encode(frame))
            samples = tone[index * 1920 : (index + 1) * 1920].astype(np.float32)[None] / 32768
            heard = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            heard.sample_rate, heard.pts, heard.time_base = rate, index * 1920, Fraction(1, rate)
            container.mux(sound.encode(heard))
        container.mux([*video.encode(None), *sound.encode(None)])
    call("upscale", path, "out.3gp", *FAST, "--time-scale", "1", "--start", "0.52")
    packets = times_of(tmp_path / "out.3gp", "audio")
    assert Fraction(-1024, rate) <= packets[0] <= Fraction(-1023, rate)  # what the encoder needs
    steps = {other - one for one, other in pairwise(packets)}
    assert max(steps) <= Fraction(1025, rate)

    def onset(name):
        with av.open(str(name)) as container:
            picture = next(container.decode(video=0))
            start = picture.pts * picture.time_base
        with av.open(str(name)) as container:
            for frame in container.decode(audio=0):
                loud = np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.2)
                if len(loud):
                    return float(frame.pts * frame.time_base - start) + loud[0] / rate
        return None

    with av.open(str(tmp_path / "out.3gp")) as container:
        assert abs(next(container.decode(audio=0)).pts) <= 1
    assert abs(onset(path) - 0.52 - onset(tmp_path / "out.3gp")) < 0.002
