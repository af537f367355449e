"""Files whose times are missing, wrong or start anew: what is shown when, and what is said of it."""

from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

from stsr_cli.video.probe import probe
from stsr_cli.video.reader import read_frames
from stsr_cli.video.timing.timeline import PtsRepair

FAST = ["--scale", "1", "--spatial", "bicubic", "--temporal", "blend", "--preset", "ultrafast"]
WITH_B_FRAMES = {"bf": "2", "g": "12"}


def times_of(path, kind):
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.get({kind: 0})[0])
        return sorted(p.pts * p.time_base for p in packets if p.size)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_avi_with_b_frames_is_shown_frame_by_frame(make_clip, codec):
    clip = make_clip("in.avi", codec=codec, num_frames=15, options=WITH_B_FRAMES)
    repair = PtsRepair()
    frames = list(read_frames(clip, repair))
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(n, 25) for n in range(15)]
    assert repair.num_repaired == 0
    in_mp4 = read_frames(make_clip("in.mp4", codec=codec, num_frames=15, options=WITH_B_FRAMES))
    differences = [
        np.abs(one.pixels.astype(int) - other.pixels).mean()
        for one, other in zip(frames, in_mp4, strict=True)
    ]
    assert max(differences) < 2


def test_an_excerpt_of_avi_begins_with_the_frame_asked_for(call, make_clip, tmp_path):
    clip = make_clip("in.avi", num_frames=40, options=WITH_B_FRAMES)
    run = ["--codec", "ffv1", "--time-scale", "1", "--start", "1.2"]
    call("upscale", clip, "out.mkv", *FAST, *run)
    given, made = (list(read_frames(path)) for path in (clip, tmp_path / "out.mkv"))
    assert len(made) == 10
    for one, other in zip(given[30:], made, strict=True):
        assert np.abs(one.pixels.astype(int) - other.pixels).max() <= 2


@pytest.mark.parametrize("ending", ["ts", "mpg"])
@pytest.mark.parametrize("target", ["out.mp4", "out.mkv"])
def test_files_that_were_joined_go_on_in_sync(call, make_clip, tmp_path, ending, target):
    codec = {"codec": "libx264"} if ending == "ts" else {"codec": "mpeg2video"}
    part = make_clip(
        f"part.{ending}", num_frames=50, has_sound=ending == "ts", options=WITH_B_FRAMES, **codec
    )
    joined = tmp_path / f"joined.{ending}"
    joined.write_bytes(2 * part.read_bytes())
    result = call("upscale", joined, target, *FAST, "--time-scale", "1")
    assert "the source's clock starts anew 1 time:" in result.stderr
    assert "repaired" not in result.stderr
    video = times_of(tmp_path / target, "video")
    assert len(video) == 100
    steps = [after - before for before, after in pairwise(video)]
    longest = steps.pop(49)  # the sound, which begins earlier and ends later, lies between
    assert Fraction(39, 1000) <= longest <= Fraction(41, 1000) + 2 * Fraction(1024, 44100)
    assert all(abs(step - Fraction(1, 25)) <= Fraction(1, 1000) for step in steps)
    if ending == "ts":
        sound = times_of(tmp_path / target, "audio")
        half = len(sound) // 2
        assert len(sound) == 2 * half
        tick = Fraction(1, 1000)
        assert abs((sound[half + 5] - video[50]) - (sound[5] - video[0])) <= 2 * tick


def test_a_transport_stream_cut_in_a_group_keeps_its_times(call, make_clip, tmp_path):
    clip = make_clip("in.ts", num_frames=60, has_sound=True, options=WITH_B_FRAMES)
    data = clip.read_bytes()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    cut = tmp_path / "cut.ts"
    cut.write_bytes(b"".join(packets[:3] + packets[len(packets) // 3 :]))
    call("upscale", cut, "out.mp4", *FAST, "--time-scale", "1")
    given, made = times_of(clip, "video"), times_of(tmp_path / "out.mp4", "video")
    assert 20 < len(made) < 45
    moved = given[-len(made)] - made[0]
    assert [at + moved for at in made] == given[-len(made) :]
    whole = set(times_of(clip, "audio"))
    tick = Fraction(1, 44100)
    assert all(
        min(abs(at + moved - other) for other in whole) <= tick
        for at in times_of(tmp_path / "out.mp4", "audio")
    )


def test_a_damaged_packet_leaves_every_other_frame_in_its_place(make_clip, tmp_path):
    clip = make_clip("in.ts", num_frames=60, codec="mpeg2video", options={"g": "6"})
    data = bytearray(clip.read_bytes())
    rng = np.random.default_rng(0)
    middle = len(data) // 188 // 2 * 188
    for packet in range(middle, middle + 3 * 188, 188):
        data[packet + 40 : packet + 150] = rng.bytes(110)
    damaged = tmp_path / "damaged.ts"
    damaged.write_bytes(data)
    whole = {frame.pts: frame.pixels for frame in read_frames(clip)}
    repair = PtsRepair(probe(damaged).start_pts)
    found = {frame.pts: frame.pixels for frame in read_frames(damaged, repair)}
    same = [pts for pts in found if pts in whole and np.array_equal(found[pts], whole[pts])]
    assert len(same) >= 40


def test_raw_video_without_times_is_counted(call, make_clip, tmp_path):
    clip = make_clip("in.mp4", num_frames=6, options={"bf": "0"})
    raw = tmp_path / "in.h264"
    with av.open(str(clip)) as source, av.open(str(raw), "w", format="h264") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    result = call("upscale", raw, "out.mkv", *FAST)
    assert "6 source frames had no timestamp: repaired" in result.stderr
