"""Whole files through reader, timeline and writer, with pixel repetition in the networks' place."""

import hashlib
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stsr_cli.errors import StsrError, UsageError
from stsr_cli.options import EncodeOptions
from stsr_cli.video.check.picture import PictureTraits
from stsr_cli.video.check.verify import Expected, ExpectedTrack, verify
from stsr_cli.video.probe import probe
from stsr_cli.video.reader import read_frames
from stsr_cli.video.timing.timeline import last_duration, slots
from stsr_cli.video.writer import VideoWriter, open_writer

NTSC_FILM = Fraction(24000, 1001)
FAST = EncodeOptions(preset="veryfast")


def repeat(path, target, *, scale=1, time_scale=2, encode=FAST, overwrite=False):
    """Enlarge by repeating pixels and frames: everything of a run except the networks."""
    source = probe(path)
    with open_writer(
        target, source, encode, scale=scale, time_scale=time_scale, overwrite=overwrite
    ) as writer:
        previous, interval = None, None
        for frame in read_frames(source):
            if previous is not None:
                interval = frame.pts - previous.pts
                write_interval(writer, previous, frame.pts, scale, time_scale)
            previous = frame
        held = last_duration(previous.duration, interval, source.frame_rate, source.time_base)
        write_interval(writer, previous, previous.pts + held, scale, time_scale)
        return writer.close()


def write_interval(writer, frame, end_pts, scale, time_scale):
    pixels = frame.pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    for slot in slots(frame.pts, end_pts, time_scale):
        writer.write(pixels, slot.pts, slot.duration)


def seconds_of(path):
    return [frame.pts * frame.time_base for frame in read_frames(path)]


def duration_of(path):
    source = probe(path)
    return source.duration * source.time_base


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def packets_of(path, kind):
    with av.open(str(path)) as container:
        return [
            (bytes(p), p.pts * p.time_base, p.dts * p.time_base, p.duration * p.time_base)
            for p in container.demux(container.streams.get({kind: 0})[0])
            if p.size
        ]


def write_timed(path, pts, durations, time_base, *, audio_start=None, sar=None, matrix=None):
    """A clip with a pts and a duration of its own for every frame, and perhaps a late sine tone."""
    with av.open(str(path), "w", container_options={"movie_timescale": "90000"}) as container:
        video = container.add_stream("libx264", rate=25, options={"preset": "veryfast"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.time_base = time_base
        if sar:
            video.codec_context.sample_aspect_ratio = sar
        if matrix:
            video.set_display_matrix(matrix)
        sound = container.add_stream("aac", rate=44100) if audio_start is not None else None
        container.metadata["title"] = "日本"
        container.start_encoding()
        x = np.arange(64)[None, :, None] * np.ones((48, 1, 3), int)
        packets = []
        for index, at in enumerate(pts):
            rgb = ((x * 3 + index * 5) % 256).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = at, time_base
            packets += video.encode(frame)
        packets += video.encode(None)
        shown_for = dict(zip(pts, durations, strict=True))
        for packet in packets:
            packet.duration = shown_for[packet.pts]
        if sound is not None:
            tone = 0.2 * np.sin(np.arange(30000) / 10)
            samples = av.AudioFrame.from_ndarray(tone.astype(np.float32)[None], "fltp", "mono")
            samples.sample_rate, samples.time_base = 44100, Fraction(1, 44100)
            samples.pts = int(audio_start * 44100)
            packets += [*sound.encode(samples), *sound.encode(None)]
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            container.mux(packet)


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("frame_rate", [NTSC_FILM, Fraction(25)])
def test_twice_the_frames_at_exact_times_and_the_same_length(
    make_clip, tmp_path, ending, frame_rate
):
    path = make_clip(
        frame_rate=frame_rate, num_frames=11, has_sound=True, options={"bf": "2", "b-adapt": "0"}
    )
    target = tmp_path / f"out.{ending}"
    report = repeat(path, target, encode=EncodeOptions(preset="medium"))
    assert report.frames == 22
    seconds = seconds_of(target)
    if ending == "mkv":
        start = seconds[0]  # Matroska has no times before 0: AAC's priming shifts the whole file
        expected = [index / (2 * frame_rate) + start for index in range(22)]
        assert max(abs(a - b) for a, b in zip(seconds, expected, strict=True)) <= Fraction(1, 1000)
    else:
        assert seconds == [index / (2 * frame_rate) for index in range(22)]
        assert duration_of(target) == duration_of(path) == report.duration
        assert probe(target).frame_rate == 2 * frame_rate


@pytest.mark.parametrize("ending", ["mp4", "mov", "m4v"])
@pytest.mark.parametrize("seed", range(6))
def test_a_variable_frame_rate_keeps_times_offset_and_length(tmp_path, ending, seed):
    random = np.random.default_rng(seed)
    durations = random.choice([1000, 1500, 2002, 700], size=int(random.integers(1, 12))).tolist()
    start = 500 * (seed % 3)
    pts = [start + sum(durations[:index]) for index in range(len(durations))]
    path, target = tmp_path / "in.mp4", tmp_path / f"out.{ending}"
    write_timed(path, pts, durations, Fraction(1, 30000))
    report = repeat(path, target)
    seconds, last = seconds_of(path), list(read_frames(path))[-1]
    end = seconds[-1] + (last.duration or durations[-1]) * last.time_base
    expected = []
    for at, following in zip(seconds, [*seconds[1:], end], strict=True):
        expected += [at, (at + following) / 2]
    assert seconds_of(target) == expected
    assert report.duration == end - seconds[0] == duration_of(target)


def test_offsets_of_picture_and_sound_metadata_and_pixel_shape_are_kept(tmp_path):
    path, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    rotated = [0, -65536, 0, 65536, 0, 0, 0, 64 << 16, 1 << 30]
    pts = [3000 + 600 * index for index in range(12)]
    write_timed(
        path,
        pts,
        [600] * 12,
        Fraction(1, 15000),
        audio_start=0.4,
        sar=Fraction(4, 3),
        matrix=rotated,
    )
    report = repeat(path, target, scale=2)
    before, after = probe(path), probe(target)
    assert after.start_pts * after.time_base == before.start_pts * before.time_base > 0
    assert packets_of(target, "audio") == packets_of(path, "audio")
    assert report.packets_copied == len(packets_of(path, "audio"))
    assert (after.width, after.height) == (128, 96)
    assert after.sample_aspect_ratio == before.sample_aspect_ratio == Fraction(4, 3)
    assert after.rotation == before.rotation == 90
    assert after.display_matrix[7] == 2 * before.display_matrix[7]
    with av.open(str(target)) as container:
        assert container.metadata["title"] == "日本"


@pytest.mark.parametrize("ending", ["mkv", "mov"])
def test_sound_is_copied_bit_for_bit_into_other_containers(make_clip, tmp_path, ending):
    path, target = make_clip(has_sound=True), tmp_path / f"out.{ending}"
    repeat(path, target)
    before, after = packets_of(path, "audio"), packets_of(target, "audio")
    assert [packet[0] for packet in after] == [packet[0] for packet in before]
    shift = seconds_of(target)[0] - seconds_of(path)[0]
    drift = [a[1] - shift - b[1] for a, b in zip(after, before, strict=True)]
    assert max(map(abs, drift)) <= (Fraction(1, 1000) if ending == "mkv" else 0)


@pytest.mark.parametrize("matrix", [5, 1])
@pytest.mark.parametrize("colour_range", [1, 2])
@pytest.mark.parametrize(
    "encode",
    [EncodeOptions("ffv1", pix_fmt="yuv444p"), EncodeOptions("libx264", 0, "ultrafast", "yuv444p")],
    ids=["ffv1", "x264-qp0"],
)
def test_an_identity_run_keeps_rgb_within_one_level(
    make_clip, tmp_path, matrix, colour_range, encode
):
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    ramp = np.broadcast_to(np.linspace(0, 255, 128).round()[None, :, None], (96, 128, 3))
    path = make_clip(
        "in.mkv",
        frames=[noise, ramp.astype(np.uint8)],
        codec="ffv1",
        pix_fmt="yuv444p",
        colorspace=matrix,
        color_range=colour_range,
    )
    target = tmp_path / "out.mkv"
    repeat(path, target, time_scale=1, encode=encode)
    pairs = zip(read_frames(path), read_frames(target), strict=True)
    assert max(np.abs(a.pixels.astype(int) - b.pixels).max() for a, b in pairs) <= 1
    assert probe(target).colour == probe(path).colour


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "kept"),
    [("ffv1", "gbrp", "bgr0"), ("libx264rgb", "rgb24", "gbrp")],
)
def test_rgb_stays_exactly_rgb(make_clip, tmp_path, codec, pix_fmt, kept):
    path = make_clip("in.mkv", codec="ffv1", pix_fmt="bgr0", num_frames=2)
    target = tmp_path / "out.mkv"
    explicit = pix_fmt if codec == "libx264rgb" else "auto"
    repeat(path, target, time_scale=1, encode=EncodeOptions(codec, 0, "ultrafast", explicit))
    pairs = zip(read_frames(path), read_frames(target), strict=True)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in pairs)
    assert probe(target).pix_fmt == kept


@pytest.mark.parametrize(
    ("pix_fmt", "codec", "auto"),
    [
        ("yuv420p", "libx264", "yuv420p"),
        ("yuv422p", "libx264", "yuv422p"),
        ("yuv444p", "libx264", "yuv444p"),
        ("yuvj420p", "libx264", "yuvj420p"),
        ("yuv420p10le", "libx264", "yuv420p10le"),
        ("yuv422p10le", "ffv1", "yuv422p10le"),
        ("yuv444p", "mpeg4", "yuv420p"),
        ("bgr0", "libx264", "yuv444p"),
        ("gbrp10le", "ffv1", "gbrp10le"),
        ("gray", "libx264", "yuvj420p"),  # as FFmpeg decodes monochrome H.264
        ("gray", "mpeg4", "yuv420p"),
        ("gray10le", "ffv1", "gray10le"),
    ],
)
def test_auto_takes_the_sources_format_or_the_nearest(make_clip, tmp_path, pix_fmt, codec, auto):
    is_h264 = pix_fmt.startswith("yuv")
    path = make_clip(
        "in.mkv",
        num_frames=1,
        codec="libx264" if is_h264 else "ffv1",
        pix_fmt=pix_fmt,
        color_range=2 if pix_fmt.startswith("yuvj") else None,
    )
    target = tmp_path / "out.mkv"
    repeat(path, target, encode=EncodeOptions(codec, preset="ultrafast"))
    assert probe(target).pix_fmt == auto


def test_tags_are_copied_and_an_unspecified_matrix_is_tagged_only_across_sd_to_hd(
    make_clip, tmp_path
):
    tagged = make_clip("a.mp4", color_primaries=9, color_trc=16, colorspace=9, color_range=1)
    repeat(tagged, tmp_path / "a2.mp4", scale=2)
    assert probe(tmp_path / "a2.mp4").colour == probe(tagged).colour
    untagged = make_clip("b.mp4", num_frames=1, height=146)
    repeat(untagged, tmp_path / "b2.mp4", scale=2)
    repeat(untagged, tmp_path / "b4.mp4", scale=4)
    assert probe(tmp_path / "b2.mp4").colour.matrix == 2
    assert probe(tmp_path / "b4.mp4").colour.effective_matrix == 6


def test_a_lossless_crf_is_lossless_at_10_bits(make_clip, tmp_path):
    path = make_clip(pix_fmt="yuv444p10le", num_frames=3, colorspace=1)
    repeat(
        path, tmp_path / "out.mkv", time_scale=1, encode=EncodeOptions(crf=0, preset="ultrafast")
    )
    pairs = zip(read_frames(path), read_frames(tmp_path / "out.mkv"), strict=True)
    assert max(np.abs(a.pixels.astype(int) - b.pixels).max() for a, b in pairs) <= 64


@pytest.mark.parametrize(
    "name", ["日本 ö 'x'.mkv", "a\nb.mp4", "-y.mkv", "http:x.mkv", "é" * 125 + ".mkv"]
)
def test_any_file_name_is_a_file_name(make_clip, tmp_path, monkeypatch, name):
    path = make_clip(num_frames=2)
    monkeypatch.chdir(tmp_path)
    repeat(path, name)
    assert names_in(tmp_path) == sorted([path.name, name])


@pytest.mark.parametrize(
    ("name", "encode", "message"),
    [
        ("out", FAST, "no container is known"),
        ("out.xyz", FAST, "no container is known"),
        ("out.png", FAST, "would be a single image"),
        ("out.avi", FAST, "keeps no timestamps"),
        ("no/out.mp4", FAST, "the folder of .* does not exist"),
        ("folder", FAST, "is a folder"),
        ("exists.mp4", FAST, "exists; -y replaces it"),
        ("clip.mp4", FAST, "is the input itself"),
        ("out.mp4", EncodeOptions("nonsense"), "unknown codec 'nonsense'"),
        ("out.mp4", EncodeOptions("aac"), "aac encodes audio"),
        ("out.webm", EncodeOptions("libx264"), "webm cannot hold libx264"),
        ("out.webm", FAST, "unknown preset .veryfast.; libvpx-vp9 takes 0 to 8"),
        ("out.mp4", EncodeOptions(crf=52), "crf 52 is out of range; libx264 takes 0"),
        ("out.mp4", EncodeOptions(crf=-1), "crf -1 is out of range"),
        ("out.mp4", EncodeOptions(preset="quick"), "unknown preset 'quick'"),
        ("out.mp4", EncodeOptions(pix_fmt="purple"), "unknown pixel format 'purple'"),
        ("out.mp4", EncodeOptions(pix_fmt="rgb24"), "libx264 cannot be given rgb24"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_frame(
    make_clip, tmp_path, name, encode, message
):
    path = make_clip(num_frames=1)
    (tmp_path / "exists.mp4").write_bytes(b"precious")
    (tmp_path / "folder" / "with something in it").mkdir(parents=True)
    before = names_in(tmp_path)
    overwrite = name == "clip.mp4"
    with pytest.raises(UsageError, match=message) as caught:
        open_writer(
            tmp_path / name, probe(path), encode, scale=1, time_scale=2, overwrite=overwrite
        )
    assert "\n" not in str(caught.value)
    assert names_in(tmp_path) == before
    assert (tmp_path / "exists.mp4").read_bytes() == b"precious"


def test_sound_that_the_container_cannot_hold_is_converted(tmp_path):
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("flac", rate=44100)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 16384), np.int16), "s16", "stereo")
        samples.sample_rate, samples.pts = 44100, 0
        container.mux([*video.encode(av.VideoFrame(64, 48, "yuv420p")), *video.encode(None)])
        container.mux([*sound.encode(samples), *sound.encode(None)])
    assert repeat(path, tmp_path / "out.mov").packets_copied > 0
    assert packets_of(tmp_path / "out.mov", "audio")
    with av.open(str(tmp_path / "out.mov")) as container:
        assert container.streams.audio[0].codec_context.name == "alac"
    assert repeat(path, tmp_path / "out.mkv").packets_copied > 0
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.streams.audio[0].codec_context.name == "flac"


def test_an_odd_size_that_420_cannot_hold(make_clip, tmp_path):
    path = make_clip("in.mkv", codec="ffv1", width=63, num_frames=2)
    repeat(path, tmp_path / "out.mp4")
    assert probe(tmp_path / "out.mp4").pix_fmt == "yuv444p"
    with pytest.raises(UsageError, match="needs an even size"):
        repeat(path, tmp_path / "b.mp4", encode=EncodeOptions(pix_fmt="yuv420p"))


@pytest.mark.parametrize("stop", [0, 3])
def test_a_stopped_run_leaves_nothing_and_touches_nothing(make_clip, tmp_path, stop):
    path, target = make_clip(), tmp_path / "out.mp4"
    target.write_bytes(b"precious")
    writer = open_writer(target, probe(path), FAST, scale=1, time_scale=1, overwrite=True)
    with pytest.raises(KeyboardInterrupt), writer:
        for index in range(stop):
            writer.write(np.zeros((48, 64, 3), np.uint8), index, 1)
        raise KeyboardInterrupt
    assert target.read_bytes() == b"precious"
    assert names_in(tmp_path) == ["clip.mp4", "out.mp4"]


def test_nothing_has_the_final_name_before_close(make_clip, tmp_path):
    path = make_clip(num_frames=1)
    with open_writer(
        tmp_path / "out.mp4", probe(path), FAST, scale=1, time_scale=1, overwrite=False
    ) as writer:
        writer.write(np.zeros((48, 64, 3), np.uint8), 0, 512)
        assert names_in(tmp_path) == [".out.stsr-part.mp4", "clip.mp4"]
    assert names_in(tmp_path) == ["clip.mp4", "out.mp4"]


def test_an_output_without_a_frame_is_an_error(make_clip, tmp_path):
    path = make_clip(num_frames=1)
    writer = open_writer(
        tmp_path / "out.mp4", probe(path), FAST, scale=1, time_scale=1, overwrite=False
    )
    with pytest.raises(StsrError, match="no frame was written"), writer:
        pass
    assert names_in(tmp_path) == ["clip.mp4"]


FULL_DISK = """
import resource, sys
import numpy as np
from stsr_cli.errors import StsrError
from stsr_cli.options import EncodeOptions
from stsr_cli.video.probe import probe
from stsr_cli.video.writer import open_writer
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    with open_writer(sys.argv[2], probe(sys.argv[1]), EncodeOptions(sys.argv[3], 0, "ultrafast"),
                     scale=4, time_scale=1, overwrite=False) as writer:
        random = np.random.default_rng(0)
        for index in range(20):
            writer.write(random.integers(0, 256, (192, 256, 3), dtype=np.uint8), index, 1)
except StsrError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(("ending", "codec"), [("mkv", "ffv1"), ("mov", "libx264")])
def test_a_full_disk_is_one_clear_line(make_clip, tmp_path, ending, codec):
    path, target = make_clip(num_frames=1), tmp_path / f"out.{ending}"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), str(target), codec],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        f"StsrError cannot write {target}: File too large; free some space"
    )
    assert done.stdout.count("\n") == 1
    assert names_in(tmp_path) == ["clip.mp4"]


def test_lost_packets_do_not_verify(make_clip, tmp_path, monkeypatch):
    original = VideoWriter._mux
    calls = []

    def lossy(self, packet):
        calls.append(packet)
        if len(calls) != 3:
            original(self, packet)

    monkeypatch.setattr(VideoWriter, "_mux", lossy)
    path, target = make_clip(num_frames=6), tmp_path / "out.mkv"
    with pytest.raises(StsrError, match=r"does not verify: .* frames: 11 instead of 12"):
        repeat(path, target)
    assert names_in(tmp_path) == ["clip.mp4", "out.unverified.mkv"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, None),
        ({"pts": range(9)}, "frames: 8 instead of 9"),
        ({"pts": [0, 1, 2, 3, 4, 5, 7, 8]}, "at the time they were written at: 6 instead of 8"),
        (
            {"tracks": {1: ExpectedTrack("sound", 9, "abc")}},
            "sound: SHA-256 .*15 packets instead of 9",
        ),
        ({"late": 1}, "at their time: 0 instead of 15 .one is 0.0400.. s off"),
        ({"attached": ["0"]}, r"attachments: \[\] instead of \['0'\]"),
        ({"chapters": [{"start": 0}]}, "chapters: 0 instead of 1"),
        ({"file_tags": {"title": "Lost"}}, "tag 'title': None instead of Lost"),
        ({"tags": {"language": "deu"}}, "video: tag 'language': und instead of deu"),
        ({"flags": 64}, "video: flags: 0 instead of 64"),
        ({"duration": Fraction(1)}, "duration in seconds: 0.32 instead of 1.0"),
        ({"size": (128, 96)}, r"size of the first picture: \[64, 48\] instead of \[128, 96\]"),
        ({"picture": PictureTraits("yuv420p", 1, 0, 2, 2)}, "video: matrix: 2 instead of 1"),
    ],
)
def test_verify_compares_counts_and_times(make_clip, changes, message):
    path = make_clip(has_sound=True)
    sound = packets_of(path, "audio")
    late = changes.get("late", 0)
    digest = hashlib.sha256(b"".join(packet[0] for packet in sound)).hexdigest()
    true = {
        "pts": range(8),
        "time_base": Fraction(1, 25),
        "duration": Fraction(8, 25),
        "size": (64, 48),
        "picture": PictureTraits("yuv420p", 2, 0, 2, 2),
        "tracks": {
            1: ExpectedTrack(
                *("sound", len(sound), digest),
                pts=[int(packet[1] * 44100) + late * 1764 for packet in sound],
                time_base=Fraction(1, 44100),
                tags={"language": "und"},
            )
        },
    }
    if message is None:
        verify(path, Expected(**true), "out")
        return
    with pytest.raises(StsrError, match=f"written file does not verify: out: .*{message}"):
        verify(
            path,
            Expected(**{**true, **{key: value for key, value in changes.items() if key != "late"}}),
            "out",
        )


def test_a_file_cut_short_does_not_verify(make_clip):
    path = make_clip()
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(StsrError, match="does not verify"):
        verify(path, Expected(range(8), Fraction(1, 25)), "out")


def test_memory_does_not_grow_with_length(make_clip, tmp_path):
    code = (
        "import resource, sys\n"
        "sys.path.insert(0, sys.argv[3])\n"
        "from stsr_cli.options import EncodeOptions\n"
        "from stsr_cli.video.probe import probe\n"
        "from stsr_cli.video.reader import read_frames\n"
        "from stsr_cli.video.writer import open_writer\n"
        "source = probe(sys.argv[1])\n"
        "with open_writer(sys.argv[2], source, EncodeOptions('mpeg4'), scale=1, time_scale=1,\n"
        "                 overwrite=False) as writer:\n"
        "    for index, frame in enumerate(read_frames(source)):\n"
        "        writer.write(frame.pixels, frame.pts, 512)\n"
        "        if index == 40:\n"
        "            early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - early)\n"
    )
    path = make_clip(
        width=320,
        height=240,
        num_frames=240,
        codec="mpeg4",
        has_sound=True,
        frame_rate=Fraction(25),
    )
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            str(path),
            str(tmp_path / "o.mp4"),
            str(Path(__file__).parents[2]),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    # 200 more frames are 46 MB as RGB and 23 MB as YUV.
    assert int(done.stdout) < 8_000
