"""The independent readers: Debian's ffprobe and ffmpeg, MediaInfo and MKVToolNix. stsr's own code is not used here.

Each function raises `Missing` where its program is not installed; a check that needs it is skipped then, by name.
"""

import functools
import json
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

PROGRAMS = {"ffprobe": "ffmpeg", "ffmpeg": "ffmpeg", "mediainfo": "mediainfo"}
PROGRAMS |= {"mkvmerge": "mkvtoolnix", "mkvextract": "mkvtoolnix"}


class Missing(Exception):
    """A program that a check needs is not installed."""


def run(program: str, *arguments: str | Path, allowed: tuple[int, ...] = (0,)) -> bytes:
    """What a program writes to its standard output.

    Raises:
        Missing: it is not installed.
        AssertionError: it fails.
    """
    if shutil.which(program) is None:
        raise Missing(f"{program} is not installed (Debian: apt-get install {PROGRAMS[program]})")
    ran = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, check=False, timeout=120
    )
    assert ran.returncode in allowed, f"{program}: {ran.stderr.decode(errors='replace')[-800:]}"
    return ran.stdout


def version(program: str) -> str | None:
    """The version of a program on one line, or None: it is not installed."""
    if shutil.which(program) is None:
        return None
    option = "-version" if program.startswith("ff") else "--version"
    ran = subprocess.run([program, option], capture_output=True, text=True, check=False)
    lines = [line for line in ran.stdout.splitlines() if any(c.isdigit() for c in line)]
    words = [word for word in lines[0].split() if word.lstrip("vn")[:1].isdigit()]
    return f"{program} {words[0].lstrip('v')}"


@functools.lru_cache(maxsize=256)
def ffprobe(path: Path) -> dict[str, Any]:
    """Format, streams, chapters, packets and frames of a file; "packets" and "frames" are lists in file order."""
    wanted = ["-show_format", "-show_streams", "-show_chapters", "-show_packets", "-show_frames"]
    found = json.loads(run("ffprobe", "-v", "error", *wanted, "-of", "json", f"file:{path}"))
    both = found.pop("packets_and_frames", [])
    found.setdefault("packets", [item for item in both if item["type"] == "packet"])
    found.setdefault("frames", [item for item in both if item["type"] != "packet"])
    return found


@functools.lru_cache(maxsize=64)
def mediainfo(path: Path) -> list[dict[str, Any]]:
    """MediaInfo's tracks; the first is the file."""
    return json.loads(run("mediainfo", "--Output=JSON", path))["media"]["track"]


@functools.lru_cache(maxsize=64)
def mkvmerge(path: Path) -> dict[str, Any]:
    """`mkvmerge -J`: tracks, attachments, chapters, tags as MKVToolNix finds them."""
    return json.loads(run("mkvmerge", "-J", path, allowed=(0, 1)))


def video_stream(path: Path, index: int | None = None) -> dict[str, Any]:
    """ffprobe's video stream of that index, or the first that is no cover art."""
    streams = ffprobe(path)["streams"]
    if index is not None:
        return streams[index]
    return next(
        s
        for s in streams
        if s["codec_type"] == "video" and not s["disposition"].get("attached_pic")
    )


def time_base(stream: dict[str, Any]) -> Fraction:
    """Seconds per tick of one of ffprobe's streams."""
    return Fraction(stream["time_base"])


def frame_times(path: Path, index: int | None = None) -> list[Fraction | None]:
    """Seconds at which each decoded frame of the video is shown, in the decoder's order; None: it has no time."""
    stream = video_stream(path, index)
    frames = [f for f in ffprobe(path)["frames"] if f.get("stream_index") == stream["index"]]
    base = time_base(stream)
    return [f["pts"] * base if "pts" in f else None for f in frames]


def packet_times(path: Path, index: int | None = None) -> list[Fraction]:
    """Seconds at which each packet of the video is shown, in order of time; those that an edit list hides left out."""
    stream = video_stream(path, index)
    own = [p for p in ffprobe(path)["packets"] if p["stream_index"] == stream["index"]]
    packets = [packet for packet in own if "D" not in packet["flags"]]
    return sorted(p["pts"] * time_base(stream) for p in packets if "pts" in p)


def stream_hashes(path: Path, kind: str) -> list[str]:
    """SHA-256 of the payload of each stream of a kind (a, s, d), as FFmpeg copies it; AAC without ADTS headers."""
    names = {"a": "audio", "s": "subtitle", "d": "data"}
    streams = [s for s in ffprobe(path)["streams"] if s["codec_type"] == names[kind]]
    command = ["-v", "error", "-i", f"file:{path}", "-map", f"0:{kind}", "-c", "copy"]
    for number, stream in enumerate(streams):
        if stream.get("codec_name") == "aac":
            command += [f"-bsf:{kind}:{number}", "aac_adtstoasc"]
    text = run("ffmpeg", "-nostdin", *command, "-f", "streamhash", "-hash", "sha256", "-").decode()
    return [line.rpartition("=")[2] for line in text.splitlines()]


@functools.lru_cache(maxsize=64)
def raw_frames(path: Path, pix_fmt: str, selector: str = "v:0", *options: str) -> bytes:
    """Every frame, decoded by FFmpeg's command line to `pix_fmt`, not turned, none added or left out."""
    # unaligned: else FFmpeg leaves columns uncut whose cutting would cost it the alignment of lines
    head = ["-nostdin", "-v", "error", "-noautorotate", "-flags", "unaligned", *options]
    head += ["-i", f"file:{path}"]
    tail = ["-map", f"0:{selector}", "-fps_mode", "passthrough", "-f", "rawvideo"]
    return run("ffmpeg", *head, *tail, "-pix_fmt", pix_fmt, "-")
