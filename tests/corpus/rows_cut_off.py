"""Rows about files that are cut off."""

from . import clips_timing as clips
from .case import Row
from .checks import frames, refused, says, sync

ROWS = [
    Row(
        "truncated-mp4",
        "MP4 that ends before its index",
        clips.truncated("in.mp4", 0.5),
        "refused",
        (refused(4, ["is no video that can be read"]),),
        output="out.mp4",
        code=4,
    ),
    Row(
        "truncated-mkv",
        "Matroska that ends in the middle",
        clips.truncated("in.mkv", 0.6),
        "what is there is kept, and it says so",
        (frames(), sync(), says("it may be cut off")),
        code=3,
    ),
    Row(
        "truncated-index",
        "MP4 with its index in front that ends in the middle",
        clips.truncated("in.mp4", 0.6, movflags="faststart"),
        "what is there is kept, and it says so",
        (frames(), sync(), says("it may be cut off")),
        code=3,
        output="out.mp4",
    ),
    Row(
        "truncated-ts",
        "MPEG-TS that ends in the middle of a frame",
        clips.truncated("in.ts", 0.6),
        "what is there is kept, and the damaged frame is told of",
        (frames(), sync(), says("damaged")),
        code=3,
    ),
]
