"""Rows about what lies beside the pictures of a video."""

from . import clips_side as clips
from .case import Row
from .checks import frames, refused, says, times
from .side_checks import beside_given_frames, captions_read, data_is, frames_say, stream_says
from .track_checks import codecs, same_subs, text, without

RIGHT = (frames(), times())
LINES = [(320, 1240, "HI"), (1240, 1600, "OK")]  # 8, 31 and 40 frames of 40 ms
TEXT = (*RIGHT, text(LINES))
EYES = {"type": "side by side"}
AROUND = {**EYES, "projection": "equirectangular", "yaw": "30"}

ROWS = [
    *(
        Row(
            f"captions-{ending}",
            f"CEA-608 captions inside H.264, into {ending}",
            clips.captions("in.mp4"),
            "given frames keep theirs, new frames have none",
            (*RIGHT, beside_given_frames(), captions_read(LINES)),
            ("--strict",),
            f"out.{ending}",
        )
        for ending in ("mp4", "mkv", "ts")
    ),
    Row(
        "captions-hevc",
        "the same into HEVC",
        clips.captions("in.mkv"),
        "given frames keep theirs",
        (*RIGHT, beside_given_frames(), captions_read(LINES)),
        ("--strict", "--codec", "libx265", "--preset", "ultrafast"),
        "out.mp4",
    ),
    Row(
        "captions-segments",
        "the same, made in segments",
        clips.captions("in.mp4"),
        "each segment keeps its own",
        (*RIGHT, beside_given_frames(), captions_read(LINES)),
        ("--segment", "0.5"),
        "out.mp4",
    ),
    Row(
        "captions-webm",
        "the same into WebM, whose video holds no captions",
        clips.captions("in.mp4"),
        "they become a track of text, and it is said",
        (*TEXT, codecs("subtitle", ["webvtt"]), says(["captions", "converted to webvtt"])),
        ("--codec", "libvpx-vp9", "--crf", "40", "--preset", "8"),
        "out.webm",
    ),
    Row(
        "captions-prores",
        "the same into ProRes",
        clips.captions("in.mp4"),
        "they become a track of text",
        (*TEXT, codecs("subtitle", ["mov_text"])),
        ("--strict", "--codec", "prores_ks"),
        "out.mov",
        time_scale=2,
    ),
    Row(
        "captions-images",
        "the same into images, --strict",
        clips.captions("in.mp4"),
        "refused before anything is computed",
        (refused(2, ["closed captions", "png"]),),
        ("--strict",),
        "%04d.png",
        2,
    ),
    *(
        Row(
            f"caption-track-{ending}",
            f"a closed-caption track of QuickTime, into {ending}",
            clips.caption_track,
            "it becomes a track of text",
            (*TEXT, codecs("subtitle", [codec])),
            ("--strict",),
            f"out.{ending}",
        )
        for ending, codec in (("mkv", "subrip"), ("mp4", "mov_text"))
    ),
    Row(
        "caption-track-mov",
        "the same into QuickTime",
        clips.caption_track,
        "it is copied",
        (*RIGHT, same_subs(), codecs("subtitle", ["eia_608"])),
        ("--strict",),
        "out.mov",
    ),
    Row(
        "messages",
        "unregistered SEI messages and an active format description",
        clips.messages,
        "they stay beside their frames",
        (
            *RIGHT,
            beside_given_frames("H.26[45] User Data Unregistered SEI message"),
            beside_given_frames("Active format description"),
        ),
        ("--strict",),
        "out.mp4",
    ),
    Row(
        "messages-lost",
        "the same into FFV1",
        clips.messages,
        "what it cannot hold is told",
        (*RIGHT, says(["active format description", "SEI messages", "ffv1"])),
        ("--codec", "ffv1"),
    ),
    *(
        Row(
            f"stereo-{ending}",
            f"both eyes side by side, into {ending}",
            clips.two_eyes,
            "the container says so",
            (*RIGHT, stream_says(EYES)),
            ("--strict",),
            f"out.{ending}",
        )
        for ending in ("mkv", "mp4", "mov")
    ),
    Row(
        "stereo-ts",
        "the same into MPEG-TS",
        clips.two_eyes,
        "the pictures say so",
        (*RIGHT, frames_say("Stereo 3D")),
        ("--strict",),
        "out.ts",
    ),
    *(
        Row(
            f"spherical-{ending}",
            f"all around, both eyes, turned, into {ending}",
            clips.all_around,
            "the container says so",
            (*RIGHT, stream_says(AROUND)),
            ("--strict", *codec),
            f"out.{ending}",
        )
        for ending, codec in (
            ("mp4", ()),
            ("mov", ("--codec", "prores_ks")),
            ("mkv", ("--codec", "ffv1")),
            ("webm", ("--codec", "libvpx-vp9", "--preset", "8")),
        )
    ),
    Row(
        "spherical-ts",
        "the same into MPEG-TS, --strict",
        clips.all_around,
        "refused: it cannot say so",
        (refused(2, ["spherical", "mpegts"]),),
        ("--strict",),
        "out.ts",
        2,
    ),
    Row(
        "timecode-in-pictures",
        "MPEG-2 that counts from 10:00:00:00",
        clips.broadcast_timecode,
        "the timecodes are told to be lost",
        (*RIGHT, says(["timecodes inside the pictures", "libx264"])),
    ),
    *(
        Row(
            f"telemetry-{ending}",
            f"a drone's telemetry, into {ending}",
            clips.telemetry,
            "it keeps its kind",
            (*RIGHT, data_is("djmd")),
            ("--strict",),
            f"out.{ending}",
        )
        for ending in ("mp4", "mov")
    ),
    Row(
        "telemetry-mkv",
        "the same into Matroska",
        clips.telemetry,
        "dropped with a word",
        (*RIGHT, without(["data"]), says(["djmd", "dropped"])),
    ),
]
