"""Every encoder for real: written through stsr, read back by FFmpeg's libraries and, where it is here, by ffprobe."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from stsr_cli.errors import DeviceError, UsageError
from stsr_cli.options import EncodeOptions, TrackOptions
from stsr_cli.video.probe import probe
from stsr_cli.video.reader import read_frames
from stsr_cli.video.writer import VideoWriter, open_writer

TASKS = Path("/proc/self/task")
QUICK = {"libvpx-vp9": "8", "libsvtav1": "13", "libx264": "ultrafast", "libx265": "ultrafast"}


def write(source, target, encode, num_frames=3):
    """Repeat a clip's frames into a file; returns what the writer was opened with."""
    with open_writer(target, probe(source), encode, scale=1, time_scale=1, overwrite=False) as out:
        for frame in read_frames(source):
            out.write(frame.pixels, frame.pts, frame.duration or 1)
    return out.plan


def seen_by_ffprobe(path):
    if shutil.which("ffprobe") is None:
        pytest.skip("needs ffprobe, an independent reader")
    command = ["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v:0"]
    command += ["-show_streams", "-of", "json", str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    return json.loads(ran.stdout)["streams"][0]


@pytest.mark.parametrize(
    ("codec", "name", "coding", "tag", "profile", "pix_fmt"),
    [
        ("auto", "out.mp4", "h264", "avc1", "High", "yuv420p"),
        ("auto", "out.mkv", "h264", None, "High", "yuv420p"),
        ("auto", "out.webm", "vp9", None, "Profile 0", "yuv420p"),
        ("libx265", "out.mp4", "hevc", "hvc1", "Main", "yuv420p"),
        ("libx265", "out.mov", "hevc", "hvc1", "Main", "yuv420p"),
        ("hevc", "out.mkv", "hevc", None, "Main", "yuv420p"),
        ("libsvtav1", "out.mp4", "av1", "av01", "Main", "yuv420p"),
        ("libsvtav1", "out.webm", "av1", None, "Main", "yuv420p"),
        ("libvpx-vp9", "out.mp4", "vp9", "vp09", "Profile 0", "yuv420p"),
        ("prores_ks", "out.mov", "prores", "apch", "HQ", "yuv422p10le"),
        ("ffv1", "out.mkv", "ffv1", None, None, "yuv420p"),
        ("libx264rgb", "out.mkv", "h264", None, "High 4:4:4 Predictive", "gbrp"),
    ],
)
def test_an_encoder_writes_what_other_readers_see(
    make_clip, tmp_path, codec, name, coding, tag, profile, pix_fmt
):
    clip = make_clip(width=96, height=64, num_frames=3)
    plan = write(clip, tmp_path / name, EncodeOptions(codec))
    assert len(list(read_frames(tmp_path / name))) == 3
    stream = seen_by_ffprobe(tmp_path / name)
    assert (stream["codec_name"], stream["pix_fmt"]) == (coding, pix_fmt)
    assert (stream["width"], stream["height"], stream["nb_read_frames"]) == (96, 64, "3")
    assert plan.pix_fmt == (pix_fmt if codec != "libx264rgb" else "rgb24")
    if profile:
        assert stream["profile"] == profile
    if tag:
        assert stream["codec_tag_string"] == tag


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "libvpx-vp9"])
def test_encoders_write_nothing_on_the_terminal(make_clip, tmp_path, capfd, codec):
    write(make_clip(), tmp_path / "out.mkv", EncodeOptions(codec, preset=QUICK[codec]))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("codec", ["libx265", "libsvtav1", "ffv1"])
def test_ten_bits_stay_ten_bits(make_clip, tmp_path, codec):
    clip = make_clip(
        width=96, height=64, num_frames=2, pix_fmt="yuv420p10le", codec="ffv1", name="in.mkv"
    )
    write(clip, tmp_path / "out.mkv", EncodeOptions(codec))
    assert probe(tmp_path / "out.mkv").bit_depth == 10


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9", "libsvtav1", "ffv1"])
def test_crf_0_is_lossless(make_clip, tmp_path, codec):
    clip = make_clip("in.mkv", width=96, height=64, num_frames=3, codec="ffv1")
    write(
        clip,
        tmp_path / "out.mkv",
        EncodeOptions(codec, 0, "10" if codec == "libsvtav1" else QUICK.get(codec)),
    )
    with av.open(str(clip)) as before, av.open(str(tmp_path / "out.mkv")) as after:
        for a, b in zip(before.decode(video=0), after.decode(video=0), strict=True):
            # what RGB between them costs is at most a level
            difference = a.to_ndarray().astype(int) - b.to_ndarray()
            assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9", "libsvtav1"])
def test_a_larger_crf_makes_a_smaller_file(make_clip, tmp_path, codec):
    clip = make_clip(width=160, height=96, num_frames=6, options={"crf": "1"})
    for crf in (10, 45):
        write(clip, tmp_path / f"{crf}.mkv", EncodeOptions(codec, crf, QUICK[codec]))
    sizes = [(tmp_path / f"{crf}.mkv").stat().st_size for crf in (10, 45)]
    assert sizes[1] < 0.7 * sizes[0]


def test_an_option_of_the_encoder_reaches_it(make_clip, tmp_path):
    clip = make_clip(width=96, height=64, num_frames=6)
    options = (("g", "2"), ("bf", "0"), ("x264-params", "scenecut=0:annexb=0"))
    plan = write(clip, tmp_path / "out.mkv", EncodeOptions(options=options))
    assert plan.options["crf"] == "18"
    with av.open(str(tmp_path / "out.mkv")) as container:
        keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    assert keys == [True, False] * 3


@pytest.mark.parametrize(
    ("codec", "options", "expected"),
    [
        ("libx264", {"crf": "30.5"}, {"crf": "30.5", "preset": "medium"}),
        ("libx264", {"b": "1M"}, {"b": "1M", "preset": "medium"}),
        ("libx264", {"preset": "slow"}, {"crf": "18", "preset": "slow"}),
        ("libvpx-vp9", {"b": "2M"}, {"b": "2M", "row-mt": "1", "cpu-used": "2"}),
        ("libx265", {"x265-params": "aq-mode=3"}, {"x265-params": "log-level=error:aq-mode=3"}),
    ],
)
def test_what_is_given_wins_over_crf_and_preset(make_clip, tmp_path, codec, options, expected):
    encode = EncodeOptions(codec, options=tuple(options.items()))
    plan = write(make_clip(num_frames=1), tmp_path / "out.mkv", encode)
    assert plan.options.items() >= expected.items()
    assert "crf" not in plan.options or "b" not in options


def test_a_bit_rate_is_kept_to(make_clip, tmp_path):
    clip = make_clip(width=320, height=192, num_frames=25, options={"crf": "1"})
    for rate in ("100k", "800k"):
        options = (("b", rate), ("maxrate", rate), ("bufsize", rate))
        write(clip, tmp_path / f"{rate}.mkv", EncodeOptions(options=options))
    small, large = ((tmp_path / f"{rate}.mkv").stat().st_size for rate in ("100k", "800k"))
    assert small < 0.4 * large


def test_the_list_of_options_names_them_with_their_values(call, make_clip, tmp_path):
    make_clip("in.mp4", num_frames=1)
    ran = call("upscale", "in.mp4", "out.webm", "-e", "list")
    assert ran.stdout.startswith("options of libvpx-vp9\n")
    assert "  row-mt " in ran.stdout and "cyclic" in ran.stdout and "  time_base" not in ran.stdout
    assert not (tmp_path / "out.webm").exists()


def test_crf_and_preset_without_effect_are_said(make_clip, tmp_path):
    clip = make_clip(num_frames=1)
    plan = write(clip, tmp_path / "a.mkv", EncodeOptions("ffv1", 20, "slow"))
    assert plan.notes == (
        "ffv1 has no crf: --crf 20 changes nothing",
        "ffv1 has no preset: --preset slow changes nothing",
    )
    plan = write(clip, tmp_path / "b.mkv", EncodeOptions(crf=20, options=(("b", "1M"),)))
    assert plan.notes == ("--crf 20 gives way to -e b",)


@pytest.mark.parametrize(
    ("codec", "option", "message"),
    [
        ("libx264", ("tun", "film"), "libx264 has no option 'tun'; did you mean tune"),
        ("libx264", ("zzzz", "1"), "libx264 has no option 'zzzz'; -e list shows"),
        ("libx264", ("movflags", "faststart"), "libx264 has no option 'movflags'"),
        ("libx264", ("tune", "flim"), "libx264 takes film, animation"),
        ("libx264", ("rc-lookahead", "abc"), "libx264 refuses .*rc-lookahead=abc"),
        ("libx264", ("x264-params", "nonsense=1"), "Error parsing option 'nonsense = 1'"),
        ("libx265", ("x265-params", "nonsense=1"), "Unknown option: nonsense"),
        ("libsvtav1", ("svtav1-params", "nonsense=1"), "libsvtav1 refuses"),
        ("libvpx-vp9", ("lag-in-frames", "999"), "libvpx-vp9 refuses"),
        ("libx264", ("time_base", "1/25"), "the source's clock is kept"),
        ("libx264", ("video_size", "32x32"), "use --size"),
        ("libx264", ("pixel_format", "yuv444p"), "use --pix-fmt"),
        ("libx264", ("colorspace", "bt709"), "the source's colours are kept"),
        ("libx264", ("flags", "cgop"), r"write -e flags=\+cgop"),
        ("libx264", ("flags", "-global_header"), "follows from the output"),
    ],
)
def test_what_an_encoder_does_not_take_is_said_before_the_first_frame(
    make_clip, tmp_path, codec, option, message
):
    clip = make_clip(num_frames=1)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UsageError, match=message) as caught:
        write(clip, tmp_path / "out.mkv", EncodeOptions(codec, options=(option,)))
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("codec", "preset", "crf", "message"),
    [
        ("libsvtav1", "medium", None, "libsvtav1 takes 0 to 13"),
        ("libsvtav1", None, 64, "crf 64 is out of range; libsvtav1 takes 0"),
        ("libvpx-vp9", "9", None, "libvpx-vp9 takes 0 to 8"),
        ("libsvtav1", "11", 0, "libsvtav1 is lossless with 0 to 10"),
        ("libx265", "p4", None, "libx265 takes ultrafast, "),
        ("h264_nvenc", "medium", None, "h264_nvenc takes p1, p2"),
        ("h264_nvenc", None, 52, "h264_nvenc takes 1"),
    ],
)
def test_each_encoder_has_its_own_scales(make_clip, tmp_path, codec, preset, crf, message):
    with pytest.raises(UsageError, match=message):
        write(make_clip(num_frames=1), tmp_path / "out.mkv", EncodeOptions(codec, crf, preset))


@pytest.mark.parametrize(
    ("codec", "instead"),
    [("h264_nvenc", "libx264"), ("hevc_qsv", "libx265"), ("av1_amf", "libsvtav1")],
)
def test_a_hardware_encoder_without_its_hardware_names_another(make_clip, tmp_path, codec, instead):
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV was built without {codec}")
    clip = make_clip(width=320, height=192, num_frames=1)
    try:
        write(clip, tmp_path / "out.mkv", EncodeOptions(codec))
    except DeviceError as error:
        assert f"use --codec {instead}" in str(error)
        assert not (tmp_path / "out.mkv").exists()
    else:  # there is such a device here
        assert len(list(read_frames(tmp_path / "out.mkv"))) == 1


@pytest.mark.parametrize(("planar", "packed"), [("yuv420p", "nv12"), ("yuv420p10le", "p010le")])
def test_a_format_that_is_only_laid_out_anew_changes_no_number(make_clip, planar, packed):
    """What hardware encoders take is packed by FFmpeg from what stsr makes."""
    clip = make_clip("in.mkv", num_frames=1, codec="ffv1", pix_fmt=planar)
    with av.open(str(clip)) as container:
        frame = next(container.decode(video=0))
    back = frame.reformat(format=packed).reformat(format=planar)
    assert np.array_equal(back.to_ndarray(), frame.to_ndarray())


def test_an_encoder_that_takes_packed_frames_gets_them(make_clip, tmp_path):
    clip = make_clip("in.mkv", num_frames=3, codec="ffv1")
    plan = write(clip, tmp_path / "planar.mkv", EncodeOptions("libx264", 0))
    source, packed = probe(clip), dataclasses.replace(plan, coded_pix_fmt="nv12")
    with VideoWriter(tmp_path / "nv12.mkv", source, packed, TrackOptions(), time_scale=1) as out:
        for frame in read_frames(clip):
            out.write(frame.pixels, frame.pts, frame.duration or 1)
    pairs = zip(read_frames(tmp_path / "planar.mkv"), read_frames(out.target), strict=True)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in pairs)


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")
def test_no_encoder_makes_the_process_real_time(make_clip, tmp_path):
    """SVT-AV1 does, run by root: everything else on the machine stood still."""
    for task in TASKS.iterdir():  # a test before this one may have encoded a clip by itself
        os.sched_setscheduler(int(task.name), os.SCHED_OTHER, os.sched_param(0))
    source = probe(make_clip("in.mp4", width=64, height=64, num_frames=3))
    encode = EncodeOptions(codec="libsvtav1", preset="12")
    keywords = {"scale": 1, "time_scale": 1, "overwrite": False}
    with open_writer(tmp_path / "out.mkv", source, encode, **keywords) as writer:
        for frame in read_frames(source):
            writer.write(frame.pixels, frame.pts, frame.duration)
            policies = {os.sched_getscheduler(int(t.name)) for t in TASKS.iterdir()}
            assert policies == {os.SCHED_OTHER}
