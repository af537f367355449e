"""Rows about inputs and outputs that are no video file."""

from fractions import Fraction as F

from .case import Row
from .checks import (
    constant,
    frame_count,
    frames,
    lasts,
    refused,
    repaired,
    says,
    size,
    stream_is,
    sync,
    times,
)
from .clips_colour import coloured
from .clips_images import animated, images
from .clips_timing import PLAIN, Sound, Video, clip
from .image_checks import image_bars, image_count
from .pictures import drawn, kept
from .track_checks import same_sound

RGB = "601 limited"
RAW = Video(codec="rawvideo")
RAW_VFR = Video(codec="rawvideo", time_base=F(1, 1000), times=[0, 33, 67, 100, 234, 267])
Y4M = Video(codec="wrapped_avframe")
LONG = Video(50, options={"g": "10"})
ROWS = [
    Row(
        "images-png",
        "a pattern of PNG images, 8 bits",
        images("%03d.png", "png", "rgb24"),
        "24 images a second, into a video",
        (frame_count(8), size(160, 64), drawn(RGB, 2.0), repaired([0, 1, 2, 3], 24)),
        output="out.mp4",
    ),
    Row(
        "images-rate",
        "the same with --rate 30000/1001",
        images("f%03d.png", "png", "rgb24"),
        "at that rate",
        (frame_count(8), repaired([0, 1001, 2002, 3003], 30000)),
        ("--rate", "30000/1001"),
        "out.mp4",
    ),
    Row(
        "images-folder",
        "a folder of PNG images",
        images("shots/a%d.png", "png", "rgb24", start=8, given="shots"),
        "in the order of their numbers, 10 after 9",
        (frame_count(8), drawn(RGB, 2.0)),
        output="out.mkv",
    ),
    Row(
        "images-png-16",
        "PNG images of 16 bits",
        images("%03d.png", "png", "rgb48be"),
        "10 bits in H.264",
        (frame_count(8), stream_is("pix_fmt", "yuv444p10le"), drawn(RGB, 0.5)),
    ),
    Row(
        "images-tiff-16",
        "TIFF images of 16 bits",
        images("%03d.tiff", "tiff", "rgb48le"),
        "10 bits in H.264",
        (frame_count(8), stream_is("pix_fmt", "yuv444p10le"), drawn(RGB, 0.5)),
    ),
    Row(
        "video-to-png",
        "a video into PNG images",
        coloured("libx264rgb", "bgr0"),
        "one image a frame, new ones between",
        (image_count("out", "png", 8), image_bars("out", "png", 0.01)),
        output="out/%06d.png",
    ),
    Row(
        "video-to-png-16",
        "10 bits into PNG images",
        coloured("ffv1", "gbrp10le"),
        "16 bits",
        (image_count("out", "png", 8), image_bars("out", "png", 0.25, "rgb48be")),
        output="out/%06d.png",
    ),
    Row(
        "video-to-tiff-16",
        "10 bits into TIFF images",
        coloured("ffv1", "gbrp10le"),
        "16 bits",
        (image_count("out", "tiff", 8), image_bars("out", "tiff", 0.25, "rgb48le")),
        output="out/%06d.tiff",
    ),
    Row(
        "images-to-images",
        "16-bit PNG images into a folder",
        images("in/%03d.png", "png", "rgb48be"),
        "16-bit images, exact",
        (image_count("out", "png", 8), image_bars("out", "png", 0.005, "rgb48be")),
        output="out/%03d.png",
    ),
    Row(
        "video-to-images-sound",
        "a video with sound into images",
        clip("in.mkv", PLAIN, Sound()),
        "the sound is said to be lost",
        (image_count("out", "png", 12), says(["audio", "dropped"])),
        output="out/%06d.png",
    ),
    Row(
        "video-to-images-strict",
        "the same with --strict",
        clip("in.mkv", PLAIN, Sound()),
        "refused",
        (refused(2, ["audio"]),),
        ("--strict",),
        "out/%06d.png",
        2,
    ),
    Row(
        "gif",
        "an animated GIF",
        animated("in.gif", "gif", "rgb8"),
        "10 fps become 20",
        (frames(), lasts(0.5), size(96, 64)),
        output="out.mp4",
    ),
    Row(
        "apng",
        "an animated PNG",
        animated("in.apng", "apng", "rgb24"),
        "10 fps become 20",
        (frames(), size(96, 64)),
        output="out.mp4",
    ),
    Row(
        "webp",
        "a WebP image",
        animated("in.webp", "libwebp", "bgra", 1),
        "two frames",
        (frame_count(2), size(96, 64)),
        output="out.mp4",
    ),
    Row(
        "y4m-file",
        "a y4m file",
        clip("in.y4m", Video(codec="wrapped_avframe"), format="yuv4mpegpipe"),
        "as any video",
        (frames(), size(96, 64)),
        output="out.mp4",
    ),
    Row(
        "pipe-nut",
        "NUT with sound through standard input",
        clip("in.nut", RAW, Sound("pcm_s16le")),
        "NUT on standard output: picture, sound and times",
        (
            frames(),
            times(),
            same_sound(),
            sync(),
            stream_is("codec_name", "rawvideo"),
            kept("yuv420p"),
        ),
        output="out.nut",
        is_piped=True,
    ),
    Row(
        "pipe-vfr",
        "NUT with a variable frame rate",
        clip("in.nut", RAW_VFR, Sound("pcm_s16le")),
        "every time is kept",
        (frames(), times(), sync()),
        output="out.nut",
        is_piped=True,
    ),
    Row(
        "pipe-y4m",
        "y4m through standard input, --format y4m",
        clip("in.y4m", Y4M, format="yuv4mpegpipe"),
        "y4m on standard output",
        (frames(), constant(1, 50), kept("yuv420p")),
        ("--format", "y4m"),
        "out.y4m",
        is_piped=True,
    ),
    Row(
        "pipe-mkv",
        "Matroska through standard input, --format matroska",
        clip("in.mkv", PLAIN, Sound()),
        "FFV1 and the same sound",
        (frames(), times(), same_sound(), stream_is("codec_name", "ffv1")),
        ("--format", "matroska"),
        "out.mkv",
        is_piped=True,
    ),
    Row(
        "preview",
        "2 s of video, --preview 0.2",
        clip("in.mp4", LONG, Sound(seconds=2)),
        "three excerpts beside bicubic and blend",
        (size(192, 88), lasts(0.6)),
        ("--preview", "0.2"),
        "out.mp4",
    ),
]
