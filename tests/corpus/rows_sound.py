"""Rows about sound: each codec from and into each container."""

from . import clips_tracks as clips
from .case import Row
from .checks import exact_sync, frames, says, sync, times
from .track_checks import codecs, described_sound, heard, same_sound

RIGHT = (frames(), times())

# codec of the sound, container of the source, of the output, wanted codec there (None: copied)
VP9 = ("--codec", "libvpx-vp9", "--crf", "40")
_SOUNDS = [
    ("aac", "mkv", "mp4", None),
    ("libopus", "mkv", "mp4", None),
    ("flac", "mkv", "mp4", None),
    ("ac3", "mkv", "mov", None),
    ("libmp3lame", "mkv", "mp4", None),
    ("pcm_s16le", "mov", "mkv", None),
    ("pcm_s24le", "mkv", "mov", None),
    ("alac", "mov", "mkv", None),
    ("eac3", "mkv", "mkv", None),
    ("aac", "ts", "mp4", None),
    ("mp2", "ts", "mkv", None),
    ("aac", "mp4", "ts", None),
    ("libopus", "ts", "ts", None),
    ("pcm_bluray", "m2ts", "m2ts", None),
    ("pcm_bluray", "m2ts", "mts", None),
    ("flac", "mkv", "m2ts", "pcm_bluray"),
    ("libopus", "mkv", "m2ts", "ac3"),
    ("libopus", "webm", "webm", None),
    ("vorbis", "mkv", "webm", None),
    ("aac", "mkv", "webm", "opus"),
    ("pcm_s16le", "mkv", "webm", "opus"),
]


def _sound_row(codec: str, source: str, output: str, wanted: str | None) -> Row:
    name = codec.removeprefix("lib").removesuffix("lame")
    is_picky = codec in ("vorbis", "pcm_bluray")
    wishes = {"layout": "stereo", "options": {"strict": "-2"}} if is_picky else {}
    build = clips.with_sound(f"in.{source}", codec, **wishes)
    if wanted is None:
        checks = (*RIGHT, same_sound(), exact_sync() if output in ("mp4", "mov") else sync())
        happens = "copied packet for packet"
    else:
        checks = (
            *RIGHT,
            codecs("audio", [wanted]),
            heard(0.24),
            says(f"converted to {'libopus' if wanted == 'opus' else wanted}"),
        )
        happens = f"converted to {wanted}, and said so"
    options = VP9 if output == "webm" else ()
    return Row(
        f"sound-{name}-{source}-{output}",
        f"{name} sound, {source} to {output}",
        build,
        happens,
        checks,
        options,
        f"out.{output}",
    )


ROWS = [
    *(_sound_row(*row) for row in _SOUNDS),
    Row(
        "sound-pcm_s24le-mkv-mp4",
        "24-bit PCM, Matroska to MP4",
        clips.with_sound("in.mkv", "pcm_s24le"),
        "copied, as ISO 23003-5 has it",
        (*RIGHT, described_sound({"Format": "ipcm", "SamplingRate": "48000"})),
        output="out.mp4",
    ),
]
