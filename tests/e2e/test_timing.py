"""When things are shown and heard: cut out of a file, at another rate, on damaged clocks."""

from fractions import Fraction

import av
import numpy as np
import pytest

from stsr_cli.video.check.readback import payload
from stsr_cli.video.reader import read_frames

FAST = ["--scale", "1", "--spatial", "bicubic", "--temporal", "blend", "--preset", "ultrafast"]
FILM = Fraction(24000, 1001)


def times_of(path, index=0):
    """Times and packets of a stream, in order of presentation."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(container.streams[index]) if packet.size]
        return sorted((p.pts * p.time_base, payload(p, p.stream)) for p in packets)


def seconds_of(path):
    return [seconds for seconds, _ in times_of(path)]


def brightness(path):
    return [frame.pixels.mean() for frame in read_frames(path)]


def ramp(num_frames):
    """Frames of one brightness each, all different."""
    return [np.full((48, 64, 3), 20 + 4 * index, np.uint8) for index in range(num_frames)]


def in_mkv(clip, path, *, chapters=()):
    """Remux a clip, with chapters (ms)."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as out:
        streams = {s.index: out.add_stream_from_template(s) for s in source.streams}
        out.set_chapters(
            [
                {"id": n, "start": a, "end": b, "time_base": Fraction(1, 1000), "metadata": {}}
                for n, (a, b) in enumerate(chapters, 1)
            ]
        )
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                out.mux(packet)
    return path


@pytest.mark.parametrize(
    ("value", "rate", "num_frames"),
    [
        ("60", Fraction(60), 24),
        ("59.94", Fraction(60000, 1001), 24),
        ("10", Fraction(10), 4),
        ("24000/1001", FILM, 10),
    ],
)
def test_fps_is_exact(call, make_clip, tmp_path, value, rate, num_frames):
    clip = make_clip(frame_rate=Fraction(25), num_frames=10, has_sound=True)
    call("upscale", clip, "out.mp4", *FAST, "--fps", value)
    assert seconds_of(tmp_path / "out.mp4") == [index / rate for index in range(num_frames)]
    with av.open(str(tmp_path / "out.mp4")) as container:
        video = container.streams.video[0]
        assert video.average_rate == rate
        assert video.duration * video.time_base == num_frames / rate
    assert times_of(tmp_path / "out.mp4", 1) == times_of(clip, 1)


def test_fps_shows_what_the_networks_made(call, make_clip, tmp_path):
    clip = make_clip(frame_rate=Fraction(10), frames=ramp(8))
    result = call("upscale", clip, "out.mkv", *FAST, "--fps", "20", "--codec", "ffv1")
    assert "0 frames shown again" not in result.stderr  # nothing to tell
    shown = brightness(tmp_path / "out.mkv")
    assert np.allclose(np.diff(shown[:-1]), 2, atol=1.1)


def test_a_variable_rate_becomes_constant(call, make_clip, tmp_path):
    pts = [0, 1, 2, 3, 4, 5, 12, 13, 14, 15]
    clip = make_clip("in.mkv", frame_rate=Fraction(25), frame_pts=pts, frames=ramp(10))
    run = ["--time-scale", "1", "--codec", "ffv1"]
    result = call("upscale", clip, "out.mkv", *FAST, *run, "--vfr", "cfr", "--fps", "25")
    assert "6 frames shown again, 0 left out" in result.stderr
    expected = [0, 1, 2, 3, 4, 5, 5, 5, 5, 5, 5, 5, 6, 7, 8, 9]
    shown, given = brightness(tmp_path / "out.mkv"), brightness(clip)
    assert np.abs(np.subtract(shown, [given[index] for index in expected])).max() < 1
    assert seconds_of(tmp_path / "out.mkv") == [Fraction(index, 25) for index in range(16)]
    call("upscale", clip, "kept.mkv", *FAST, *run)
    assert seconds_of(tmp_path / "kept.mkv") == [Fraction(at, 25) for at in pts]


def test_a_late_video_stays_late_at_another_rate(call, make_clip, tmp_path):
    clip = make_clip(frame_rate=Fraction(25), num_frames=10, frame_pts=range(7, 17), has_sound=True)
    call("upscale", clip, "out.mp4", *FAST, "--fps", "59.94")
    seconds = seconds_of(tmp_path / "out.mp4")
    assert seconds == [Fraction(7, 25) + index * Fraction(1001, 60000) for index in range(24)]


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("target", ["out.mp4", "out.mkv"])
def test_an_excerpt_has_its_frames_and_its_sound(call, make_clip, tmp_path, ending, target):
    options = {"bf": "2", "g": "12", "b-adapt": "0"}
    clip = make_clip(
        f"in.{ending}", frame_rate=FILM, num_frames=60, has_sound=True, options=options
    )
    given, first = times_of(clip), times_of(clip)[0][0]
    call("upscale", clip, target, *FAST, "--start", "1", "--end", "1.7", "--time-scale", "1")
    inside = [at for at, _ in given if Fraction(1) <= at - first < Fraction(17, 10)]
    video, sound = times_of(tmp_path / target), times_of(tmp_path / target, 1)
    assert len(video) == len(inside) == 17
    pairs = zip(read_frames(tmp_path / target), list(read_frames(clip))[24:41], strict=True)
    assert max(np.abs(a.pixels.astype(int) - b.pixels).mean() for a, b in pairs) < 4
    tick = Fraction(1, 1000)
    for (at, _), was in zip(video, inside, strict=True):
        assert abs(at - video[0][0] - (was - inside[0])) <= tick
    kept = [
        (at - inside[0], data)
        for at, data in times_of(clip, 1)
        if data in dict.fromkeys(d for _, d in sound)
    ]
    assert [data for _, data in sound] == [data for _, data in kept]
    for (at, _), (was, _) in zip(sound, kept, strict=True):
        assert abs(at - video[0][0] - was) <= 2 * tick
    assert -Fraction(1, 40) < kept[0][0] <= 0 and kept[-1][0] < Fraction(7, 10)


def test_chapters_are_cut_with_the_video(call, make_clip, tmp_path):
    clip = in_mkv(
        make_clip(num_frames=50),
        tmp_path / "in.mkv",
        chapters=[(0, 900), (900, 1300), (1300, 2000)],
    )
    call("upscale", clip, "out.mp4", *FAST, "--start", "1.0", "--end", "1.6")
    with av.open(str(tmp_path / "out.mp4")) as container:
        found = [
            (c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in container.chapters()
        ]
    assert found == [(0, Fraction(3, 10)), (Fraction(3, 10), Fraction(6, 10))]


@pytest.mark.parametrize("rate", [["--fps", "60"], ["--fps", "59.94"], ["--vfr", "cfr"]])
def test_a_part_at_a_constant_rate_has_its_sound(call, make_clip, tmp_path, rate):
    clip = make_clip("in.mp4", num_frames=50, has_sound=True)
    call("upscale", clip, "kept.mp4", *FAST, "--start", "0.5", "--end", "1.3")
    call("upscale", clip, "out.mp4", *FAST, "--start", "0.5", "--end", "1.3", *rate)
    assert times_of(tmp_path / "out.mp4", 1) == times_of(tmp_path / "kept.mp4", 1)
    assert seconds_of(tmp_path / "out.mp4")[0] == seconds_of(tmp_path / "kept.mp4")[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--start", "2", "--end", "2"], "does not come after --start"),
        (["--start", "1:00:00"], "ends before --start 3600 s"),
        (["--start", "soon"], "is no time"),
        (["--fps", "0"], "is no frame rate"),
        (["--fps", "50", "--vfr", "keep"], "--vfr cannot be used with --fps"),
    ],
)
def test_nonsense_is_refused(call, make_clip, arguments, words):
    result = call("upscale", make_clip(), "out.mp4", *FAST, *arguments, code=2)
    assert words in " ".join(result.stderr.split())


@pytest.mark.parametrize("given", ["in.mp4", "in.mkv"])
def test_chapters_of_matroska_move_with_sound_that_starts_before_0(
    call, make_clip, tmp_path, given
):
    """AAC begins 1024 samples before 0, which Matroska cannot say: it moves everything."""
    clip = make_clip("plain.mp4", num_frames=30, has_sound=True)
    chapters = [(0, 400), (400, 1200)]
    source = in_mkv(clip, tmp_path / given, chapters=chapters)
    late = 0 if given == "in.mp4" else seconds_of(source)[0]  # FFmpeg left the chapters behind
    call("upscale", source, "out.mkv", *FAST)
    with av.open(str(tmp_path / "out.mkv")) as container:
        found = [c["start"] * c["time_base"] for c in container.chapters()]
    first = seconds_of(tmp_path / "out.mkv")[0]
    assert first == Fraction(23, 1000)
    assert [start - first + late for start in found] == [0, Fraction(2, 5)]
    sound = times_of(tmp_path / "out.mkv", 1)
    assert abs(sound[0][0] - first + Fraction(1024, 44100)) <= Fraction(1, 1000)


def test_an_excerpt_into_matroska_moves_its_chapters_with_its_sound(call, make_clip, tmp_path):
    clip = make_clip("plain.mp4", num_frames=50, has_sound=True)
    source = in_mkv(clip, tmp_path / "in.mp4", chapters=[(0, 1200), (1200, 2000)])
    call("upscale", source, "out.mkv", *FAST, "--start", "1")
    with av.open(str(tmp_path / "out.mkv")) as container:
        found = [c["start"] * c["time_base"] for c in container.chapters()]
    first = seconds_of(tmp_path / "out.mkv")[0]
    assert first > 0
    assert [start - first for start in found] == [0, Fraction(1, 5)]


@pytest.mark.parametrize("target", ["out.mp4", "out.mkv"])
def test_what_an_edit_list_hides_is_not_heard(call, make_clip, tmp_path, target):
    """MP4 whose first second is cut off by its edit list, as `ffmpeg -ss 1 -c copy` leaves it."""
    whole = make_clip("whole.mp4", num_frames=50, has_sound=True, options={"g": "50"})
    clip = tmp_path / "in.mp4"
    with av.open(str(whole)) as source, av.open(str(clip), "w") as out:
        streams = {s.index: out.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.size:
                second = round(1 / packet.time_base)
                packet.pts, packet.dts = packet.pts - second, packet.dts - second
                packet.stream = streams[packet.stream_index]
                out.mux(packet)
    call("upscale", clip, target, *FAST, "--time-scale", "1")
    video, sound = seconds_of(tmp_path / target), times_of(tmp_path / target, 1)
    assert len(video) == len(list(read_frames(clip))) == 25
    given = {data: at for at, data in times_of(clip, 1)}
    late = [at - video[0] - given[data] for at, data in sound]
    tick = Fraction(1, 1000)
    assert max(map(abs, late)) <= (tick if target == "out.mkv" else 0)
    if target == "out.mkv":  # in MP4 the rest is there, and hidden again
        assert -2 * Fraction(1024, 44100) < sound[0][0] - video[0] <= 0
