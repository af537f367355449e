"""Rows about options, encoders and names."""

from pathlib import Path

from . import clips_timing, clips_tracks
from .case import Row
from .checks import (
    constant,
    exact_sync,
    frame_count,
    frames,
    keyframes,
    lasts,
    probed,
    refused,
    says,
    size,
    steady,
    stream_count,
    stream_is,
    sync,
    times,
    untouched,
)
from .clips_timing import PLAIN, Sound, Video, clip
from .pictures import kept
from .track_checks import heard_at, mkv_chapters, same_sound

UNEVEN = [0, 3000, 7000, 9000, 15000, 16000, 22000]
LONG = Video(25, options={"bf": "2", "g": "5"})
PIXELS_10 = Video(4, codec="ffv1", pix_fmt="yuv422p10le")


def _encoder(codec: str, output: str, name: str, *options: str, kept_levels: int | None = 1) -> Row:
    checks = (frames(), times(), stream_is("codec_name", name), size(96, 64))
    if kept_levels is not None:
        checks = (*checks, kept("yuv420p", kept_levels))
    arguments = ("--codec", codec, *options)
    label = f"encoder-{codec.removeprefix('lib')}-{output.rpartition('.')[2]}"
    return Row(
        label,
        f"--codec {codec} into {output}",
        clip("in.mkv", PLAIN, Sound()),
        "written and verified",
        checks,
        arguments,
        output,
    )


OPTIONS = [
    _encoder("libx264", "out.mp4", "h264"),
    _encoder("libx265", "out.mp4", "hevc", kept_levels=1),
    _encoder("libx265", "out.mkv", "hevc", kept_levels=1),
    _encoder("libsvtav1", "out.mp4", "av1", "--crf", "10", "--preset", "12", kept_levels=None),
    _encoder("libsvtav1", "out.mkv", "av1", "--crf", "10", "--preset", "12", kept_levels=None),
    _encoder("libvpx-vp9", "out.webm", "vp9", "--preset", "8"),
    _encoder("libvpx-vp9", "out.mp4", "vp9", "--preset", "8"),
    _encoder("ffv1", "out.mkv", "ffv1"),
    Row(
        "encoder-prores",
        "--codec prores_ks into QuickTime",
        clip("in.mkv", PIXELS_10),
        "10 bits in 4:2:2",
        (
            frames(),
            stream_is("codec_name", "prores"),
            stream_is("pix_fmt", "yuv422p10le"),
            kept("yuv422p10le", 16, 16),
        ),
        ("--codec", "prores_ks"),
        "out.mov",
    ),
    Row(
        "encoder-option",
        "-e tune=film -e x264-params=keyint=3",
        clip("in.mkv", PLAIN),
        "reaches the encoder",
        (frames(), keyframes(3)),
        ("-e", "tune=film", "-e", "x264-params=keyint=3:min-keyint=1:scenecut=0"),
    ),
    Row(
        "encoder-option-unknown",
        "-e tuen=film",
        clip("in.mkv", PLAIN),
        "refused, with what was meant",
        (refused(2, ["tuen", "tune"]),),
        ("-e", "tuen=film"),
        code=2,
    ),
    Row(
        "encoder-option-value",
        "-e bf=lots",
        clip("in.mkv", PLAIN),
        "refused",
        (refused(2, ["bf", "lots"]),),
        ("-e", "bf=lots"),
        code=2,
    ),
    Row(
        "encoder-unknown",
        "--codec h256",
        clip("in.mkv", PLAIN),
        "refused, with names that exist",
        (refused(2, ["h256", "libx265"]),),
        ("--codec", "h256"),
        code=2,
    ),
    Row(
        "encoder-no-device",
        "--codec h264_nvenc without such a device",
        clip("in.mkv", PLAIN),
        "refused before anything is computed",
        (refused(2, ["h264_nvenc"]),),
        ("--codec", "h264_nvenc"),
        code=2,
    ),
    Row(
        "encoder-container",
        "--codec ffv1 into WebM, which does not hold it",
        clip("in.mkv", PLAIN),
        "refused",
        (refused(2, ["webm cannot hold ffv1"]),),
        ("--codec", "ffv1"),
        "out.webm",
        2,
    ),
    Row(
        "cfr",
        "variable frame rate, --vfr cfr",
        clips_timing.ticks("in.mp4", 90000, UNEVEN),
        "the average rate, 31.8 fps, all through; sound where it was",
        (steady(), exact_sync(), same_sound()),
        ("--vfr", "cfr"),
        "out.mp4",
    ),
    Row(
        "fps-60",
        "25 fps, --fps 60",
        clip("in.mkv", Video(10, options={"bf": "0"}), Sound(seconds=0.4)),
        "60 fps for the same time",
        (frame_count(24), constant(1, 60), lasts(0.4), same_sound()),
        ("--fps", "60"),
        "out.mp4",
        time_scale=4,
    ),
    Row(
        "fps-24000-1001",
        "25 fps, --fps 24000/1001",
        clip("in.mkv", Video(10, options={"bf": "0"}), Sound(seconds=0.4)),
        "23.976 fps, exactly",
        (frame_count(10), constant(1001, 24000), same_sound()),
        ("--fps", "24000/1001"),
        "out.mp4",
    ),
    Row(
        "part",
        "--start 0.2 --end 0.6 of 1 s with B-frames",
        clip("in.mkv", LONG, Sound(seconds=1)),
        "ten frames and the sound of that time",
        (frame_count(20), constant(1, 50), lasts(0.4), heard_at(0.4)),
        ("--start", "0.2", "--end", "0.6"),
        "out.mp4",
    ),
    Row(
        "part-mp4",
        "--start 0.5 of MP4",
        clip("in.mp4", LONG, Sound(seconds=1)),
        "from the first frame after it on",
        (frame_count(24), constant(1, 50), heard_at(0.48)),
        ("--start", "0.5"),
        "out.mp4",
    ),
    Row(
        "part-chapters",
        "--start 0.12 of a file with chapters",
        clips_tracks.everything,
        "the second chapter is left, subtitles are cut",
        (frame_count(6), mkv_chapters(1)),
        ("--start", "0.12"),
    ),
    Row(
        "part-two-videos",
        "--start 0.12 of a file with two videos",
        clips_timing.two_videos,
        "the other video cannot be cut without encoding it, is left out, and it says so",
        (frame_count(10), says(["dropped", "would have to be encoded"]), stream_count(1)),
        ("--start", "0.12"),
    ),
    Row(
        "part-two-videos-probe",
        "stsr probe IN OUT of two videos",
        clips_timing.two_videos,
        "the other video is copied; trials of a part are not misled by it",
        (probed({"tracks.0.kind": "video", "tracks.0.action": "copy"}),),
        ("--json", "--spatial", "bicubic", "--temporal", "blend"),
        "out.mp4",
        command="probe",
    ),
    Row(
        "part-nothing",
        "--start beyond the end",
        clip("in.mkv", PLAIN),
        "refused",
        (refused(2, ["ends before"]),),
        ("--start", "9"),
        code=2,
    ),
    Row(
        "x1-x1",
        "--scale 1 --time-scale 1",
        clip("in.mkv", PLAIN, Sound()),
        "the same frames at the same times",
        (frames(1), times(), kept("yuv420p"), sync()),
        time_scale=1,
    ),
    Row(
        "x16",
        "--scale 16",
        clip("in.mkv", Video(2, width=24, height=16, codec="ffv1")),
        "twice 4x",
        (frames(), size(384, 256)),
        scale=16,
    ),
]

_NAMES = {
    "spaces": "a b  c.mkv",
    "quotes": 'it\'s "quoted".mkv',
    "newline": "two\nlines.mkv",
    "unicode": "日本 ö é.mkv",
    "dash": "-y.mkv",
    "percent": "100%d.mkv",
    "colon": "http:x.mkv",
    "brackets": "[x]{y}*.mkv",
    "dollar": "$HOME;ls.mkv",
}
NAMES = [
    Row(
        f"name-{label}",
        f"a name with {label}",
        clip(name, PLAIN, Sound()),
        "read and written under that name",
        (frames(), times(), sync()),
        output="out" + name if label != "dash" else "-n.mkv",
        is_relative=True,
        is_process=label in ("newline", "dash"),
    )
    for label, name in _NAMES.items()
]
NAMES += [
    Row(
        "exists",
        "OUTPUT exists",
        lambda folder: _with_target(folder),
        "refused, and left alone",
        (says(["exists"]), untouched()),
        code=2,
    ),
    Row(
        "itself",
        "OUTPUT is INPUT",
        clip("in.mkv", PLAIN),
        "refused, even with -y",
        (says(["is the input itself"]), frames(1)),
        ("-y",),
        "in.mkv",
        2,
    ),
    Row(
        "missing",
        "INPUT does not exist",
        lambda folder: folder / "none.mkv",
        "refused",
        (refused(4, ["no such file"]),),
        code=4,
    ),
    Row(
        "no-video",
        "INPUT is sound alone",
        clip("in.mka", Sound(), format="matroska"),
        "refused",
        (refused(4, ["no video"]),),
        code=4,
    ),
    Row(
        "no-media",
        "INPUT is text",
        lambda folder: _text(folder),
        "refused",
        (refused(4, ["is text and no video"]),),
        code=4,
    ),
]


def _with_target(folder: Path) -> Path:
    (folder / "out.mkv").write_bytes(b"mine")
    return clip("in.mkv", PLAIN)(folder)


def _text(folder: Path) -> Path:
    path = folder / "in.mkv"
    path.write_text("no video at all\n" * 50, encoding="utf-8")
    return path
