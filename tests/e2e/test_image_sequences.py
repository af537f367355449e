"""Image sequences as INPUT and OUTPUT: order, depth, holes, times; what is there before is left alone."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.codec.context import CodecContext

from stsr_cli.errors import InputError, StsrError, UsageError
from stsr_cli.options import EncodeOptions, SourceOptions, TrackOptions
from stsr_cli.video.encode.geometry import keeps_pixel_shape
from stsr_cli.video.encode.orientation import keeps_display_matrix
from stsr_cli.video.images import sequence_writer
from stsr_cli.video.images.sequence import parse_pattern
from stsr_cli.video.probe import probe
from stsr_cli.video.reader import read_frames
from stsr_cli.video.timing.timeline import slots
from stsr_cli.video.writer import open_writer

ENCODE, TRACKS = EncodeOptions(), TrackOptions()
FAST = ("--spatial", "bicubic", "--temporal", "blend")


def picture(index, *, deep=False, width=48, height=32):
    """(H, W, 3) noise of its own for every index."""
    random = np.random.default_rng(index)
    peak, kind = (65535, np.uint16) if deep else (255, np.uint8)
    return random.integers(0, peak, (height, width, 3), endpoint=True, dtype=kind)


def write_image(path, pixels, codec, pix_fmt):
    context = CodecContext.create(codec, "w")
    context.height, context.width = pixels.shape[:2]
    context.pix_fmt, context.time_base = pix_fmt, Fraction(1, 25)
    context.options = {"lossless": "1"} if codec == "libwebp" else {}
    given = {2: "gray", 3: "rgb24"}[pixels.ndim] if pixels.dtype == np.uint8 else "rgb48le"
    frame = av.VideoFrame.from_ndarray(pixels, given).reformat(format=pix_fmt)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(bytes(p) for p in [*context.encode(frame), *context.encode(None)]))
    return path


def copy(path, target, *, encode=ENCODE, tracks=TRACKS, **wishes):
    """Everything of a run except the networks; returns the report and the writer."""
    source = probe(path)
    frames = list(read_frames(source))
    ends = [*(frame.pts for frame in frames[1:]), frames[-1].pts + (frames[-1].duration or 1)]
    options = {"scale": 1, "time_scale": 1, "overwrite": False, **wishes}
    with open_writer(target, source, encode, tracks=tracks, **options) as writer:
        for frame, end in zip(frames, ends, strict=True):
            for slot in slots(frame.pts, end, options["time_scale"]):
                writer.write(frame.pixels, slot.pts, slot.duration)
        return writer.close(), writer


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("%06d.png", ("", ".png", 6)),
        ("a%%b%d.tif", ("a%b", ".tif", 1)),
        ("%%06d.png", None),
        ("%d_%d.png", None),
        ("100%.png", None),
        ("%6d.png", None),
    ],
)
def test_a_pattern_has_one_number(name, found):
    pattern = parse_pattern(name)
    parts = pattern and (pattern.before, pattern.after, pattern.num_digits)
    assert parts == found


@pytest.mark.parametrize(
    ("suffix", "codec", "pix_fmt", "deep"),
    [
        (".png", "png", "rgb24", False),
        (".png", "png", "rgb48be", True),
        (".tif", "tiff", "rgb24", False),
        (".tiff", "tiff", "rgb48le", True),
        (".webp", "libwebp", "bgra", False),
        (".bmp", "bmp", "bgr24", False),
    ],
)
def test_a_folder_of_images_is_read_in_natural_order(tmp_path, suffix, codec, pix_fmt, deep):
    folder = tmp_path / "frames"
    for index in range(1, 12):
        write_image(folder / f"shot_{index}{suffix}", picture(index, deep=deep), codec, pix_fmt)
    (folder / "notes.txt").touch()
    (folder / f".hidden{suffix}").touch()
    for path in (folder, folder / f"shot_%d{suffix}"):
        source = probe(path, SourceOptions(rate=Fraction(24000, 1001)))
        frames = list(read_frames(source))
        assert (source.frame_rate, source.duration) == (Fraction(24000, 1001), 11)
        assert [f.pts * f.time_base for f in frames] == [
            i * Fraction(1001, 24000) for i in range(11)
        ]
        for index, frame in enumerate(frames, 1):
            assert np.array_equal(frame.pixels, picture(index, deep=deep))
            assert frame.pixels.dtype == (np.uint16 if deep else np.uint8)
    assert [f.pts for f in read_frames(source, start_pts=9)] == [9, 10]


def test_images_in_another_format_become_like_the_others(tmp_path):
    grey = picture(1)[..., 0].copy()
    write_image(tmp_path / "1.png", grey, "png", "gray")  # as black frames are often stored
    write_image(tmp_path / "2.png", picture(2, deep=True), "png", "rgb48be")
    write_image(tmp_path / "3.png", picture(3), "png", "rgb24")
    source = probe(tmp_path)
    first, second, third = (frame.pixels for frame in read_frames(source))
    assert source.pix_fmt == "rgb48be"
    assert np.array_equal(first, np.repeat(grey[..., None], 3, 2).astype(np.uint16) * 257)
    assert np.array_equal(second, picture(2, deep=True))
    assert np.array_equal(third, picture(3).astype(np.uint16) * 257)


def test_what_no_sequence_can_be_is_said(tmp_path):
    for index in (1, 2, 3, 5):
        write_image(tmp_path / f"{index:03d}.png", picture(index), "png", "rgb24")
    with pytest.raises(InputError, match=r"004\.png is missing between 001\.png and 005\.png"):
        probe(tmp_path / "%03d.png")
    with pytest.raises(InputError, match=r"no images .*%04d\.png, such as 0001\.png"):
        probe(tmp_path / "%04d.png")
    with pytest.raises(InputError, match="no images"):
        probe(tmp_path / "missing" / "%04d.png")
    write_image(tmp_path / "004.png", picture(4, width=50), "png", "rgb24")
    with pytest.raises(InputError, match=r"004\.png is 50x32 and .*001\.png is 48x32"):
        list(read_frames(tmp_path / "%03d.png"))
    (tmp_path / "004.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"004\.png"):
        list(read_frames(tmp_path))
    (tmp_path / "005.jpg").touch()
    with pytest.raises(InputError, match=r"several kinds \(.jpg .png\)"):
        probe(tmp_path)
    with pytest.raises(UsageError, match="--rate is for image sequences"):
        probe(tmp_path / "001.png", SourceOptions(rate=Fraction(25)))


@pytest.mark.parametrize(
    ("name", "deep", "pix_fmt", "found"),
    [
        ("%06d.png", False, "auto", "rgb24"),
        ("%06d.png", True, "auto", "rgb48be"),
        ("%06d.png", True, "rgb24", "rgb24"),
        ("%06d.png", False, "rgb48", "rgb48be"),
        ("%d.tif", False, "auto", "rgb24"),
        ("%d.tiff", True, "auto", "rgb48le"),
        ("a%%%03d.webp", False, "auto", "argb"),
        ("%03d.bmp", False, "auto", "bgr24"),
    ],
)
def test_frames_become_images_without_loss(tmp_path, name, deep, pix_fmt, found):
    source = tmp_path / "in"
    for index in range(3):
        codec = ("tiff", "rgb48le") if deep else ("png", "rgb24")
        write_image(source / f"{index}.{codec[0]}", picture(index, deep=deep), *codec)
    target = tmp_path / "out" / name
    report, writer = copy(source, target, encode=EncodeOptions(pix_fmt=pix_fmt))
    assert (report.frames, report.duration, writer.warnings) == (3, Fraction(3, 24), ())
    pattern = parse_pattern(name)
    assert names_in(target.parent) == [pattern.name(number) for number in (1, 2, 3)]
    written = probe(target)
    assert written.pix_fmt == found
    for index, frame in enumerate(read_frames(written)):
        given = picture(index, deep=deep)
        if written.bit_depth == 8:
            given = given if not deep else np.round(given / 257)
        elif not deep:
            given = given.astype(np.uint16) * 257
        assert np.abs(frame.pixels.astype(int) - given).max() <= (1 if pix_fmt == "rgb24" else 0)


def test_jpeg_images_are_bt601_whatever_the_source_is(tmp_path, make_clip):
    flat = [np.full((32, 48, 3), (200, 60, 30), np.uint8)] * 2
    clip = make_clip("in.mkv", frames=flat, colorspace=1, options={"crf": "0"}, pix_fmt="yuv444p")
    copy(clip, tmp_path / "out" / "%d.jpg")
    for frame in read_frames(tmp_path / "out"):
        assert np.abs(frame.pixels.astype(int) - flat[0]).max() <= 3


def test_what_a_deep_source_loses_in_jpeg_is_said(tmp_path, make_clip):
    clip = make_clip("in.mkv", pix_fmt="yuv420p10le", num_frames=2)
    _, writer = copy(clip, tmp_path / "out" / "%d.jpg")
    assert ".jpg keeps 8 of the 10 bits" in writer.warnings[0]
    with pytest.raises(UsageError, match=r"keeps 8 of the 10 bits.*--strict"):
        copy(clip, tmp_path / "strict" / "%d.jpg", tracks=TrackOptions(strict=True))
    with pytest.raises(UsageError, match="8 bits and not rgb48"):
        copy(clip, tmp_path / "out2" / "%d.jpg", encode=EncodeOptions(pix_fmt="rgb48"))
    assert names_in(tmp_path) == ["in.mkv", "out"]


def test_uneven_times_are_written_beside_the_images(tmp_path, make_clip):
    clip = make_clip("in.mkv", num_frames=4, frame_pts=[0, 1, 3, 7])
    target = tmp_path / "out" / "%06d.png"
    _, writer = copy(clip, target, time_scale=2)
    lines = (tmp_path / "out" / "timestamps.txt").read_text().splitlines()
    assert lines[0] == "# timestamp format v2"
    assert [float(line) for line in lines[1:]] == [0, 20, 40, 80, 120, 200, 280, 300]
    assert "unevenly long" in writer.warnings[-1]
    even = make_clip("even.mkv", frame_rate=Fraction(24000, 1001), num_frames=30)
    _, writer = copy(even, tmp_path / "even" / "%06d.png", time_scale=2)
    assert not (tmp_path / "even" / "timestamps.txt").exists()
    assert writer.warnings == ()


def test_tracks_are_lost_with_a_word_or_refused(tmp_path, make_clip):
    clip = make_clip("in.mp4", has_sound=True)
    _, writer = copy(clip, tmp_path / "out" / "%06d.png")
    assert [(t.kind, t.action) for t in writer.tracks] == [("audio", "drop")]
    with pytest.raises(UsageError, match="cannot hold audio 1"):
        copy(clip, tmp_path / "out2" / "%06d.png", tracks=TrackOptions(strict=True))
    assert not (tmp_path / "out2").exists()
    _, writer = copy(clip, tmp_path / "out3" / "%d.png", tracks=TrackOptions(False, strict=True))
    assert [track.action for track in writer.tracks] == ["skip"]


def test_a_turned_video_gives_upright_images(tmp_path):
    path = tmp_path / "turned.mp4"
    shown = picture(0, width=32, height=48)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264rgb", rate=25, options={"qp": "0"})
        video.width, video.height, video.pix_fmt = 48, 32, "rgb24"
        video.set_display_rotation(90)
        stored = np.ascontiguousarray(np.rot90(shown, -1))
        container.mux(video.encode(av.VideoFrame.from_ndarray(stored, "rgb24")))
        container.mux(video.encode(None))
    copy(path, tmp_path / "out" / "%d.png")
    written = probe(tmp_path / "out")
    assert (written.width, written.height) == (32, 48)
    assert np.array_equal(next(read_frames(written)).pixels, shown)


def test_an_older_set_is_replaced_as_a_whole_and_only_if_allowed(tmp_path, make_clip):
    out = tmp_path / "out"
    copy(make_clip("long.mkv", num_frames=5), out / "%02d.png")
    (out / "note.txt").write_text("mine")
    (out / "17.png").write_text("mine, too")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    short = make_clip("short.mkv", num_frames=2)
    with pytest.raises(UsageError, match=r"01\.png exists"):
        copy(short, out / "%02d.png")
    with pytest.raises(UsageError, match="is a folder; name a file"):
        copy(short, out)
    with pytest.raises(UsageError, match="is the input itself"):
        copy(out / "%02d.png" if not (out / "17.png").unlink() else out, out / "%02d.png")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        name: data for name, data in before.items() if name != "17.png"
    }
    (out / "17.png").write_text("mine, too")
    copy(short, out / "%02d.png", overwrite=True)
    assert names_in(out) == ["01.png", "02.png", "17.png", "note.txt"]


def test_nothing_is_left_of_a_run_that_fails(tmp_path, make_clip, monkeypatch):
    clip = make_clip("in.mkv", num_frames=3)
    (tmp_path / "empty").mkdir()
    for folder in ("new", "empty"):
        target = tmp_path / folder / "%d.png"
        source = probe(clip)
        options = {"scale": 1, "time_scale": 1, "overwrite": False}
        with (
            pytest.raises(ZeroDivisionError),
            open_writer(target, source, EncodeOptions(), **options) as writer,
        ):
            writer.write(picture(0, width=source.width, height=source.height), 0, 1)
            raise ZeroDivisionError
    assert not (tmp_path / "new").exists()
    assert names_in(tmp_path / "empty") == []
    sums = iter(range(9))
    monkeypatch.setattr(sequence_writer, "_checksum", lambda frame: next(sums))
    with pytest.raises(StsrError, match="other pixels than were written"):
        copy(clip, tmp_path / "new" / "%d.png")
    assert not (tmp_path / "new").exists()


def test_upscale_takes_and_makes_images(tmp_path, call, make_clip):
    for index in range(1, 5):
        write_image(tmp_path / "in" / f"{index:04d}.png", picture(index), "png", "rgb24")
    first = call("upscale", "in/%04d.png", "out/", *FAST, "--rate", "30")
    assert names_in(tmp_path / "out") == [f"{number:06d}.png" for number in range(1, 9)]
    assert "at 30.000 fps" in first.stderr
    call("upscale", "out", "out.mkv", *FAST, "--scale", "1")
    assert probe(tmp_path / "out.mkv").frame_rate == 48
    clip = make_clip("clip.mp4", has_sound=True)
    plan = call("probe", clip, "images/")
    assert "dropped because images have no room" in plan.stderr
    assert not Path("images").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("clip.mp4", "out/", "--codec", "libx264"), "--codec cannot be used for images"),
        (("clip.mp4", "out.mkv", "--rate", "25"), "--rate is for image sequences"),
        (("clip.mp4", "out.mkv", "--rate", "0"), "'0' is no frame rate"),
        (("clip.mp4", "out.png"), "write many: out_%06d.png"),
        (("clip.mp4", "a/b/c/"), "the folder of a/b/c/%06d.png cannot be made"),
    ],
)
def test_what_makes_no_sense_with_images_is_refused(tmp_path, call, make_clip, arguments, words):
    make_clip("clip.mp4")
    result = call("upscale", *arguments, *FAST, code=2)
    assert words in " ".join(result.stderr.split())
    assert names_in(tmp_path) == ["clip.mp4"]


def test_what_a_format_holds_is_tried_in_memory_alone(tmp_path, monkeypatch):
    """The muxer of images opens files by name, even if it is given memory to write to."""
    images = [write_image(tmp_path / f"in/{i}.png", picture(i), "png", "rgb24") for i in (1, 2)]
    monkeypatch.chdir(tmp_path)
    keeps_display_matrix.cache_clear()
    keeps_pixel_shape.cache_clear()
    copy(images[0].parent, tmp_path / "out/%d.png")
    assert names_in(tmp_path) == ["in", "out"]
