"""Files that are damaged: what is lost costs a frame or a packet, keeps its time, and is said."""

import json

import numpy as np
import pytest

from stsr_cli.errors import InputError
from stsr_cli.options import SourceOptions
from stsr_cli.video.probe import probe
from stsr_cli.video.reader import read_frames
from stsr_cli.video.timing.deinterlace import FrameFlags

from .clips import DAMAGES, damage

FAST = ("--spatial", "bicubic", "--temporal", "blend", "--scale", "1", "--preset", "ultrafast")
DAMAGED, INPUT = 3, 4
LENGTH = 24
B_FRAMES = {"bf": "2", "g": "8"}


def read(path, **options):
    """Frames and what their damage cost."""
    flags = FrameFlags()
    frames = list(read_frames(probe(path, SourceOptions(**options)), flags=flags))
    return frames, flags


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("index", [3, 11, LENGTH - 2, LENGTH - 1])
@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("in.mkv", "libx264", B_FRAMES),
        ("in.mp4", "libx264", B_FRAMES),
        ("in.mkv", "libx265", {"x265-params": "log-level=none:keyint=8"}),
        ("in.avi", "mjpeg", {}),
    ],
)
def test_the_frame_before_is_shown_in_place_of_one_that_is_lost(
    make_clip, tmp_path, name, codec, options, kind, index
):
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    clip = make_clip(
        name, codec=codec, num_frames=LENGTH, pix_fmt=pix_fmt, options=options, height=64
    )
    whole, _ = read(clip)
    frames, flags = read(damage(clip, tmp_path / f"damaged{clip.suffix}", {index}, kind))
    assert [frame.pts for frame in frames] == [frame.pts for frame in whole]
    assert flags.num_held >= 1
    assert flags.num_skipped == 0
    repeats = [
        number
        for number in range(1, LENGTH)
        if np.array_equal(frames[number].pixels, frames[number - 1].pixels)
    ]
    assert len(repeats) == flags.num_held
    # H.265's later frames were predicted from the lost one; those of a whole group of 8 at most.
    assert flags.num_held <= (7 if codec == "libx265" else 1)


def test_what_is_lost_before_the_first_frame_is_left_out(make_clip, tmp_path):
    clip = make_clip("in.mkv", num_frames=LENGTH, options=B_FRAMES)
    frames, flags = read(damage(clip, tmp_path / "damaged.mkv", {0}))
    whole, _ = read(clip)
    assert [frame.pts for frame in frames] == [frame.pts for frame in whole][8:]
    assert (flags.num_skipped, flags.num_held) == (1, 0)


def test_damage_far_apart_is_all_counted(make_clip, tmp_path):
    clip = make_clip("in.avi", codec="mjpeg", pix_fmt="yuvj420p", num_frames=60)
    frames, flags = read(damage(clip, tmp_path / "damaged.avi", set(range(1, 60, 3))))
    assert (len(frames), flags.num_held) == (60, 20)


@pytest.mark.parametrize(("limit", "is_refused"), [(0, True), (19, True), (20, False)])
def test_more_damage_than_allowed_ends_the_run(make_clip, tmp_path, limit, is_refused):
    clip = make_clip("in.avi", codec="mjpeg", pix_fmt="yuvj420p", num_frames=60)
    damaged = damage(clip, tmp_path / "damaged.avi", set(range(1, 60, 3)))
    if not is_refused:
        assert len(read(damaged, max_bad_frames=limit)[0]) == 60
        return
    with pytest.raises(InputError, match=r"damaged\.avi .*damaged.* frame.*; repair or cut it"):
        read(damaged, max_bad_frames=limit)


def test_an_undamaged_reader_of_a_damaged_part_skips_what_lies_before_it(make_clip, tmp_path):
    clip = make_clip("in.mkv", num_frames=LENGTH, options=B_FRAMES)
    damaged = damage(clip, tmp_path / "damaged.mkv", {1, 2, 3})
    flags = FrameFlags()
    source = probe(damaged, SourceOptions())
    start = probe(clip).start_pts + 16 * 40
    frames = list(read_frames(source, start_pts=start, flags=flags))
    assert frames[0].pts == start
    assert (flags.num_held, flags.num_skipped, flags.num_corrupt) == (0, 0, 0)


@pytest.mark.parametrize("segment", ["0", "0.32"], ids=["one go", "segments"])
def test_the_command_says_so_and_ends_with_3(call, make_clip, tmp_path, segment):
    clip = make_clip("in.mkv", num_frames=LENGTH, has_sound=True, options=B_FRAMES)
    damaged = damage(clip, tmp_path / "damaged.mkv", {3, 13})
    options = ("--segment", segment, "--report", "run.json", "--crf", "0")
    said = call("upscale", damaged, "out.mkv", *FAST, *options, code=DAMAGED).stderr
    assert said.count("2 frames of the source") == 1
    assert len(read(tmp_path / "out.mkv")[0]) == 2 * LENGTH
    warnings = json.loads((tmp_path / "run.json").read_text())["warnings"]
    assert any("2 frames of the source" in warning for warning in warnings)
    refused = call("upscale", damaged, "no.mkv", *FAST, "--max-bad-frames", 1, code=INPUT).stderr
    assert "more than 1 damaged frame" in refused
    assert "--max-bad-frames" in refused
    assert not (tmp_path / "no.mkv").exists()


def test_segments_of_a_damaged_file_are_what_one_go_makes(call, make_clip, tmp_path):
    clip = make_clip("in.mkv", num_frames=48, options=B_FRAMES)
    damaged = damage(clip, tmp_path / "damaged.mkv", {5, 20, 21, 40, 47})
    for name, segment in (("whole.mkv", 0), ("parts.mkv", 0.4)):
        options = ("--segment", segment, "--codec", "ffv1")
        plain = [option for option in FAST if option not in ("--preset", "ultrafast")]
        call("upscale", damaged, name, *plain, *options, code=DAMAGED)
    whole, parts = (read(tmp_path / name)[0] for name in ("whole.mkv", "parts.mkv"))
    assert [frame.pts for frame in whole] == [frame.pts for frame in parts]
    assert len(whole) == 96
    for one, other in zip(whole, parts, strict=True):
        assert np.array_equal(one.pixels, other.pixels)


@pytest.mark.parametrize("position", [0, 4, 9])
def test_a_damaged_image_of_a_sequence_is_a_lost_frame(call, make_clip, tmp_path, position):
    clip = make_clip("in.mkv", num_frames=10)
    call("upscale", clip, "frames/", *FAST[:6], "--time-scale", 1)
    images = sorted((tmp_path / "frames").glob("*.png"))
    content = images[position].read_bytes()
    images[position].write_bytes(content[:20] + bytes(len(content) - 20))
    said = call("upscale", "frames", "out.mkv", *FAST, code=DAMAGED).stderr
    assert "1 frame" in said
    num_frames = len(read(tmp_path / "out.mkv")[0])
    assert num_frames == 2 * (9 if position == 0 else 10)
    refused = call("upscale", "frames", "no.mkv", *FAST, "--max-bad-frames", 0, code=INPUT).stderr
    assert images[position].name in refused


def test_a_missing_number_of_a_sequence_is_an_error(call, make_clip, tmp_path):
    clip = make_clip("in.mkv", num_frames=5)
    call("upscale", clip, "frames/", *FAST[:6], "--time-scale", 1)
    images = sorted((tmp_path / "frames").glob("*.png"))
    images[2].unlink()
    said = call("upscale", "frames/%06d.png", "out.mkv", *FAST, code=INPUT).stderr
    assert f"{images[2].name} is missing" in said


def test_a_file_cut_off_is_upscaled_as_far_as_it_goes(call, make_clip, tmp_path):
    clip = make_clip("in.mkv", num_frames=LENGTH, options=B_FRAMES)
    (tmp_path / "cut.mkv").write_bytes(clip.read_bytes()[: clip.stat().st_size * 2 // 3])
    said = call("upscale", "cut.mkv", "out.mkv", *FAST, code=DAMAGED).stderr
    assert "it may be cut off" in said
    assert 0 < len(read(tmp_path / "out.mkv")[0]) < 2 * LENGTH


def test_a_damaged_pipe_goes_on(call_pipe, make_clip, tmp_path):
    clip = make_clip("in.mkv", num_frames=LENGTH, options=B_FRAMES)
    damaged = damage(clip, tmp_path / "damaged.mkv", {3, 13})
    result = call_pipe(damaged, "upscale", "-", "out.mkv", *FAST)
    assert result.returncode == DAMAGED, result.stderr
    assert len(read(tmp_path / "out.mkv")[0]) == 2 * LENGTH


def test_a_stream_that_changes_its_size_is_refused(call, make_clip, tmp_path):
    parts = [
        make_clip(f"{width}.ts", width=width, num_frames=6, options={"g": "6"})
        for width in (64, 96)
    ]
    (tmp_path / "in.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    said = call("upscale", "in.ts", "out.mkv", *FAST, code=INPUT).stderr
    assert "changes its size: 64x48, then 96x48 from 0.24 s" in said


def test_a_stream_that_changes_its_pixel_format_is_one_format(call, make_clip, tmp_path):
    parts = [
        make_clip(f"{pix_fmt}.ts", pix_fmt=pix_fmt, num_frames=6, options={"g": "6"})
        for pix_fmt in ("yuv420p", "yuv444p")
    ]
    (tmp_path / "in.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    call("upscale", "in.ts", "out.mkv", *FAST)
    assert len(read(tmp_path / "out.mkv")[0]) == 24


def without_beginnings(clip, target, numbers):
    """A transport stream without the packets that begin some of its pictures."""
    data, kept, number = clip.read_bytes(), [], -1
    for at in range(0, len(data), 188):
        packet = data[at : at + 188]
        head = int.from_bytes(packet[1:3], "big")
        number += head == 0x4100
        if head != 0x4100 or number not in numbers:
            kept.append(packet)
    target.write_bytes(b"".join(kept))
    return target


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
@pytest.mark.parametrize("numbers", [{9}, {4, 9, 10, 17}])
def test_pictures_of_which_a_broadcast_lost_the_beginning_are_told(
    make_clip, tmp_path, codec, numbers
):
    options = {"g": "100"} if codec == "mpeg2video" else {"x264-params": "keyint=100:scenecut=0"}
    clip = make_clip("in.ts", codec=codec, num_frames=LENGTH, height=64, options=options)
    frames, flags = read(without_beginnings(clip, tmp_path / "damaged.ts", numbers))
    assert flags.num_missing == len(numbers)
    assert flags.num_missing + len(frames) == LENGTH
    assert any(f"{len(numbers)} frame" in sentence for sentence in flags.damage)
    assert read(clip)[1].num_missing == 0


def test_a_gap_between_joined_recordings_is_no_damage(make_clip, tmp_path):
    clip = make_clip("in.ts", num_frames=12, has_sound=True)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(clip.read_bytes() * 3)
    frames, flags = read(joined)
    assert (len(frames), flags.num_missing, flags.damage) == (36, 0, ())
