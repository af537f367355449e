"""Rows about clips that other projects publish for their own tests."""

from .case import Row
from .checks import frame_count, frames, says, size, stream_is, sync, tagged, times
from .pictures import kept_in_median
from .public import public
from .track_checks import codecs, same_sound

START = ("--end", "0.4")


def _row(
    name: str,
    trait: str,
    happens: str,
    *checks: object,
    options: tuple[str, ...] = (),
    output: str = "out.mkv",
) -> Row:
    return Row(
        f"public-{name.partition('.')[0]}",
        f"{name}: {trait}",
        public(name),
        happens,
        checks,
        options,
        output,
        public=name,
    )


ROWS = [
    _row(
        "torchcodec_h265_video.mp4",
        "HEVC, 10 frames a second",
        "times and pixels are kept",
        frames(),
        times(),
        kept_in_median("yuv420p", 1),
        output="out.mp4",
    ),
    _row(
        "torchcodec_h264_10bits.mp4",
        "H.264 in 10 bits",
        "10 bits are kept",
        frames(),
        times(),
        kept_in_median("yuv420p10le", 2),
    ),
    _row(
        "torchcodec_h265_10bits.mp4",
        "HEVC in 10 bits",
        "10 bits are kept",
        frames(),
        times(),
        kept_in_median("yuv420p10le", 2),
    ),
    _row(
        "torchcodec_av1_video.mkv",
        "AV1",
        "times, tags and pixels are kept",
        frames(),
        times(),
        kept_in_median("yuv420p", 1),
        tagged({"matrix": "bt709", "range": "tv"}),
    ),
    _row(
        "torchcodec_bt709_full_range.mp4",
        "BT.709 in full range, 1280x720",
        "range and matrix are kept",
        frame_count(24),
        tagged({"matrix": "bt709", "range": "pc"}),
        options=START,
        output="out.mp4",
    ),
    _row(
        "torchcodec_nasa_13013.mp4",
        "two videos, two sounds, two subtitles",
        "one video is upscaled; of the other no part can be copied, and it says so",
        frame_count(24),
        says(["would have to be encoded"]),
        codecs("subtitle", ["mov_text", "mov_text"]),
        options=START,
        output="out.mp4",
    ),
    _row(
        "moviepy_video_with_failing_audio.mp4",
        "sound in MP3 that others fail on",
        "sound and picture keep their distance",
        frame_count(20),
        sync(),
        options=START,
        output="out.mp4",
    ),
    _row(
        "moviepy_fire2.mp4",
        "variable frame rate in 1/90000 s",
        "every time is kept, sound packet for packet",
        frames(),
        times(),
        sync(),
        same_sound(),
        options=("--preset", "ultrafast"),
        output="out.mp4",
    ),
    _row(
        "moviepy_no_duration.webm",
        "no duration in the header",
        "read to the end that was asked for",
        size(1280, 720),
        sync(),
        stream_is("codec_name", "h264"),
        options=START,
    ),
    _row(
        "moviepy_transparent.webm",
        "VP9 with alpha",
        "the picture is kept",
        frame_count(24),
        options=START,
    ),
]
