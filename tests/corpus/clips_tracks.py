"""Clips whose trait is what lies beside the video: sound, subtitles, chapters, attachments, tags."""

import struct
from collections.abc import Callable
from fractions import Fraction as F
from pathlib import Path
from typing import Any

import av

from .writing import File, Packets, Sound, Subs, Video, png, write

Build = Callable[[Path], Path]
PLAIN = Video(options={"bf": "0"})
VP9 = Video(codec="libvpx-vp9", options={"crf": "20", "b": "0", "deadline": "realtime"})
CHAPTERS = [("Eins ä", F(0), F(1, 10)), ("第二", F(1, 10), F(6, 25))]
TAGS = {"title": "Tïtle 日本", "artist": "Someone, “quoted”", "comment": "line one / line two"}
GERMAN = {"language": "ger", "title": "Kömmentar"}
ASS = Subs("ass", [(r"{\pos(10,20)}Sign {\i1}italic{\i0}", 20, 100), ("line\\Ntwo", 140, 80)])
SRT = Subs("srt", metadata={"language": "fre", "title": "Français"}, disposition=64)


def with_sound(name: str, codec: str, **wishes: Any) -> Build:
    """A video with one sound track."""
    video = VP9 if name.endswith(".webm") else PLAIN
    return lambda folder: write(folder / name, video, Sound(codec, **wishes))


def with_subs(name: str, *subs: Subs, **options: Any) -> Build:
    """A video with sound and subtitles of text."""
    return lambda folder: write(folder / name, PLAIN, Sound(), *subs, **options)


def everything(folder: Path) -> Path:
    """Matroska with two languages of sound, ASS and SRT, a font, a cover, chapters and tags."""
    english = Sound(metadata={"language": "eng"}, disposition=1)
    german = Sound("flac", layout="stereo", metadata=GERMAN, disposition=8)
    font, cover = File(), File("cover.png", "image/png", png())
    parts = (PLAIN, english, german, ASS, SRT, font, cover)
    return write(folder / "in.mkv", *parts, chapters=CHAPTERS, metadata=TAGS)


def everything_mp4(folder: Path) -> Path:
    """MP4 with two languages of sound, timed text, a cover, chapters and tags."""
    english = Sound(metadata={"language": "eng"})
    german = Sound("ac3", layout="stereo", metadata={"language": "deu"})
    text = Subs("mov_text", metadata={"language": "fra"})
    cover = File("cover.png", "image/png", png(), True)
    parts = (PLAIN, english, german, text, cover)
    return write(folder / "in.mp4", *parts, chapters=CHAPTERS, metadata=TAGS)


def timecode(code: str, rate: F) -> Build:
    """QuickTime with a timecode track."""
    video = Video(rate=rate, options={"bf": "0"}, metadata={"timecode": code})
    return lambda folder: write(folder / "in.mov", video, Sound("pcm_s16le"))


def own_tags(folder: Path) -> Path:
    """MP4 with tags that no list of keys has, which it keeps if asked to."""
    tags = {**TAGS, "com.example.camera": "Kamera ü", "rating": "5"}
    options = {"movflags": "use_metadata_tags"}
    return write(folder / "in.mp4", PLAIN, Sound(), metadata=tags, options=options)


def phone(folder: Path) -> Path:
    """QuickTime as phones write it, but for the spelling of its time of creation."""
    apple = {"make": "Apple", "model": "iPhone 14", "creationdate": "2023-05-06T09:08:09+0200"}
    apple["location.ISO6709"] = "+52.5000+013.4000+034.000/"
    tags = {f"com.apple.quicktime.{key}": value for key, value in apple.items()}
    tags |= {"creation_time": "2023-05-06T09:08:09+02:00", "title": "Gärten"}
    options = {"movflags": "use_metadata_tags"}
    return write(folder / "in.mov", PLAIN, Sound(), metadata=tags, options=options)


def many_tags(folder: Path) -> Path:
    """Matroska with tags of its own on the file and on tracks."""
    sound = Sound(metadata={"title": "Sound 音", "MIXER": "Someone", "language": "jpn"})
    tags = {**TAGS, "CUSTOM_KEY": "value ☃", "DATE_RELEASED": "2024-05-06"}
    return write(folder / "in.mkv", PLAIN, sound, metadata=tags)


def dispositions(folder: Path) -> Path:
    """Flags of tracks: the default, forced, a comment, for the hearing-impaired."""
    sounds = Sound(disposition=0), Sound(disposition=1 | 32), Sound(disposition=8)
    texts = Subs(disposition=64), Subs(disposition=128)
    return write(folder / "in.mkv", PLAIN, *sounds, *texts)


# A page without regions: page composition, then the end of the display set (ETSI EN 300 743).
_DVB_PAGE = bytes.fromhex("0f100001000205080f8000010000ff")
# The same in Blu-ray's format: presentation composition without objects, then the end.
_PGS_PAGE = bytes.fromhex("16000b006000401000018000000000") + bytes.fromhex("800000")


def dvb_subtitles(folder: Path) -> Path:
    """Subtitles that are pictures, as broadcasts have them."""
    return _with_pages(folder / "in.mkv", lambda out: out.add_stream("dvbsub"), _DVB_PAGE)


def pgs_subtitles(folder: Path) -> Path:
    """Subtitles that are pictures, as Blu-rays have them; FFmpeg has no encoder, so a .sup file lends the stream."""
    sup = folder / "lent.sup"
    head = b"PG" + struct.pack(">II", 9000, 9000)
    sup.write_bytes(head + _PGS_PAGE[:14] + head + _PGS_PAGE[-3:])
    with av.open(str(sup)) as lender:
        stream = lender.streams[0]
        path = _with_pages(
            folder / "in.mkv", lambda out: out.add_stream_from_template(stream), _PGS_PAGE
        )
    sup.unlink()
    return path


def _with_pages(path: Path, add: Callable[[Any], Any], page: bytes) -> Path:
    pages = [(page, 40, 60), (page, 140, 60)]
    return write(path, PLAIN, Packets(add, pages, metadata={"language": "spa"}))


def two_videos(name: str) -> Build:
    """A second video beside the one that is upscaled, coded out of order."""
    return lambda folder: write(folder / name, PLAIN, Video(width=64, height=48))


def with_chapters(chapters: list[tuple[str, F, F]]) -> Build:
    """Matroska with chapters: title, start, end in seconds."""
    return lambda folder: write(folder / "in.mkv", PLAIN, chapters=chapters)
