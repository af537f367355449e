"""Rows about what lies beside the video."""

from . import clips_tracks as clips
from .case import Row
from .checks import exact_sync, frames, refused, says, sync, times
from .clips_tracks import ASS, SRT, Subs
from .track_checks import (
    codecs,
    described_sound,
    general,
    heard,
    languages,
    mkv_attachments,
    mkv_chapters,
    mkv_flags,
    mkv_tracks,
    same_chapters,
    same_cover,
    same_sound,
    same_subs,
    same_tags,
    subs_in_time,
    text,
    timecode_is,
    without,
)

VP9 = ("--codec", "libvpx-vp9", "--crf", "40")
RIGHT = (frames(), times())
LINES = [(40, 120, "Über, 日本"), (160, 220, "two")]
SIGNS = [(20, 120, "Sign italic"), (140, 220, "line\ntwo")]

# codec of the sound, container of the source, of the output, wanted codec there (None: copied), seconds
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
    ("libopus", "webm", "webm", None),
    ("vorbis", "mkv", "webm", None),
    ("aac", "mkv", "webm", "opus"),
    ("pcm_s16le", "mkv", "webm", "opus"),
]


def _sound_row(codec: str, source: str, output: str, wanted: str | None) -> Row:
    name = codec.removeprefix("lib").removesuffix("lame")
    wishes = {"layout": "stereo", "options": {"strict": "-2"}} if codec == "vorbis" else {}
    build = clips.with_sound(f"in.{source}", codec, **wishes)
    if wanted is None:
        checks = (*RIGHT, same_sound(), exact_sync() if output in ("mp4", "mov") else sync())
        happens = "copied packet for packet"
    else:
        checks = (*RIGHT, codecs("audio", [wanted]), heard(0.24), says(f"converted to {wanted if wanted == 'aac' else 'libopus'}"))
        happens = f"converted to {wanted}, and said so"
    options = VP9 if output == "webm" else ()
    return Row(f"sound-{name}-{source}-{output}", f"{name} sound, {source} to {output}", build, happens, checks,
               options, f"out.{output}")


ROWS = [
    *(_sound_row(*row) for row in _SOUNDS),
    Row("sound-pcm_s24le-mkv-mp4", "24-bit PCM, Matroska to MP4", clips.with_sound("in.mkv", "pcm_s24le"),
        "copied, as ISO 23003-5 has it", (*RIGHT, described_sound({"Format": "ipcm", "SamplingRate": "48000"})),
        output="out.mp4"),
    Row("all-mkv", "two languages, ASS, SRT, font, cover, chapters, tags: Matroska to Matroska", clips.everything,
        "all of it is copied", (*RIGHT, sync(), same_sound(), same_subs(), same_chapters(), same_tags(), mkv_chapters(2),
         mkv_tracks(["eng", "ger", "und", "fre"], [None, "Kömmentar", None, "Français"]), mkv_attachments(),
         mkv_flags([["default"], ["commentary"], [], ["forced"]]))),
    Row("all-mp4", "the same into MP4", clips.everything,
        "sound is copied, text becomes mov_text, the font is dropped and said so, the rest is kept",
        (*RIGHT, sync(), same_sound(), codecs("subtitle", ["mov_text", "mov_text"]), text(LINES, 1), text(SIGNS, 0), same_chapters(),
         same_cover(), languages("audio", ["eng", "ger"]), says(["font.ttf", "dropped", "mov_text"]), general({"Title": "Tïtle 日本"})),
        output="out.mp4"),
    Row("all-mov", "the same into QuickTime", clips.everything, "as MP4, FLAC converted to AAC, the cover dropped, and said so",
        (*RIGHT, codecs("audio", ["aac", "aac"]), codecs("subtitle", ["mov_text", "mov_text"]), text(LINES, 1), same_chapters(),
         says(["cover", "dropped"])), output="out.mov"),
    Row("all-webm", "the same into WebM", clips.everything, "sound becomes Opus, text WebVTT; chapters are kept",
        (*RIGHT, codecs("audio", ["opus", "opus"]), codecs("subtitle", ["webvtt", "webvtt"]), text(LINES, 1), same_chapters(),
         says(["libopus", "webvtt", "dropped"])), VP9, "out.webm"),
    Row("all-strict", "the same into MP4, --strict", clips.everything, "refused before anything is computed",
        (refused(2, ["font.ttf", "mp4"]),), ("--strict",), "out.mp4", 2),
    Row("all-strict-mkv", "the same into Matroska, --strict", clips.everything, "nothing is dropped, so nothing is refused",
        (*RIGHT, same_sound(), same_subs(), mkv_attachments()), ("--strict",)),
    Row("no-audio", "--no-audio", clips.everything, "no sound, the rest stays",
        (*RIGHT, without(["audio"]), same_subs(), mkv_chapters(2)), ("--no-audio",)),
    Row("no-subs", "--no-subs", clips.everything, "no subtitles, the rest stays",
        (*RIGHT, without(["subtitle"]), same_sound(), mkv_attachments()), ("--no-subs",)),
    Row("no-chapters", "--no-chapters", clips.everything, "no chapters, the rest stays",
        (*RIGHT, without(["chapters"]), same_sound(), mkv_chapters(0)), ("--no-chapters",)),
    Row("no-attachments", "--no-attachments", clips.everything, "no font, no cover, the rest stays",
        (*RIGHT, without(["attachment", "cover"]), same_sound(), same_subs()), ("--no-attachments",)),
    Row("mp4-mp4", "two languages, timed text, cover, chapters, tags: MP4 to MP4", clips.everything_mp4,
        "all of it is copied", (*RIGHT, exact_sync(), same_sound(), codecs("subtitle", ["mov_text"]), text(LINES), same_chapters(),
         same_cover(), same_tags(), languages("audio", ["eng", "deu"])), output="out.mp4"),
    Row("mp4-mkv", "the same into Matroska", clips.everything_mp4, "text becomes SRT, the rest is copied",
        (*RIGHT, sync(), same_sound(), codecs("subtitle", ["subrip"]), text(LINES), same_chapters(), mkv_chapters(2),
         same_tags())),
    Row("mp4-webm", "the same into WebM", clips.everything_mp4, "sound becomes Opus, text WebVTT",
        (*RIGHT, codecs("audio", ["opus", "opus"]), codecs("subtitle", ["webvtt"]), text(LINES)), VP9, "out.webm"),
    Row("srt-mp4", "SRT into MP4", clips.with_subs("in.mkv", SRT), "becomes mov_text at the same times",
        (*RIGHT, codecs("subtitle", ["mov_text"]), text(LINES), subs_in_time()), output="out.mp4"),
    Row("ass-mkv", "ASS with positions, Matroska", clips.with_subs("in.mkv", ASS), "copied, styles and all",
        (*RIGHT, same_subs(), codecs("subtitle", ["ass"]))),
    Row("webvtt-mkv", "WebVTT from WebM into Matroska", clips.with_subs("in.mkv", Subs("webvtt")), "copied",
        (*RIGHT, same_subs(), codecs("subtitle", ["webvtt"]))),
    Row("subs-overlap", "two lines at once into MP4, which shows one text at a time",
        clips.with_subs("in.mkv", Subs("srt", [("one", 20, 120), ("two", 80, 120)])),
        "both are shown under each other while both last",
        (*RIGHT, text([(20, 80, "one"), (80, 140, "one\ntwo"), (140, 200, "two")])), output="out.mp4"),
    Row("dvbsub-mkv", "subtitles that are pictures (DVB)", clips.dvb_subtitles, "copied",
        (*RIGHT, same_subs(), codecs("subtitle", ["dvb_subtitle"]), languages("subtitle", ["spa"]))),
    Row("pgs-mkv", "subtitles that are pictures (Blu-ray)", clips.pgs_subtitles, "copied",
        (*RIGHT, same_subs(), codecs("subtitle", ["hdmv_pgs_subtitle"]), mkv_tracks(["spa"], [None]))),
    Row("pgs-mp4", "the same into MP4", clips.pgs_subtitles, "dropped, and said so",
        (*RIGHT, without(["subtitle"]), says(["pgssub", "dropped", "cannot hold pictures as subtitles"])), output="out.mp4"),
    Row("pgs-strict", "the same with --strict", clips.pgs_subtitles, "refused",
        (refused(2, ["mp4 cannot hold subtitle 1 (pgssub, spa)"]),), ("--strict",), "out.mp4", 2),
    Row("timecode-mov", "a timecode track, QuickTime", clips.timecode, "a timecode track with the same start",
        (*RIGHT, same_sound(), timecode_is("01:02:03:04")), output="out.mov"),
    Row("timecode-mkv", "the same into Matroska", clips.timecode, "it becomes a tag",
        (*RIGHT, same_sound(), timecode_is("01:02:03:04"))),
    Row("tags-mkv", "tags of their own, on file and track", clips.many_tags, "all are kept",
        (*RIGHT, same_tags(), mkv_tracks(["jpn"], ["Sound 音"]))),
    Row("tags-mp4", "the same into MP4", clips.many_tags, "what MP4 has no key for is said to be lost",
        (*RIGHT, says("CUSTOM_KEY"), general({"Title": "Tïtle 日本"}), languages("audio", ["jpn"])), output="out.mp4"),
    Row("flags", "default, forced, commentary, hearing impaired", clips.dispositions, "all are kept",
        (*RIGHT, mkv_flags([[], ["default"], ["commentary"], ["forced"], ["hearing_impaired"]]))),
]
