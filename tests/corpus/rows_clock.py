"""Rows about the clock: where it starts, that an end which is not a cut is not taken for one, and odd chapters."""

from dataclasses import replace
from fractions import Fraction as F

from .case import Row
from .checks import (
    begins_at,
    constant,
    exact_sync,
    frame_count,
    frames,
    lasts,
    says,
    starts_at,
    sync,
    times,
)
from .clips_timing import B_FRAMES, PLAIN, Build, clip
from .track_checks import heard_at, menu, mkv_chapters, same_chapters, same_sound, subs_in_time
from .writing import Sound, Subs, Video

HOURS_26 = F(26 * 3600)
WRAP = F(2**33, 90000)  # when the clock of MPEG begins anew
CODED = Video(options=B_FRAMES)
MPEG2 = Video(codec="mpeg2video", options={"bf": "0"})
LATE = (frames(), times(), same_sound())
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof+delay_moov"}
CHAPTERS = [("Öffnung", F(10), F(81, 8)), ("two", F(81, 8), F(41, 4))]

# late, overlapped, beside nothing, together with another, behind the last picture
ODD_CHAPTERS = [
    ("first", F(84, 1000), F(1, 5)),
    ("inside", F(1, 10), F(15, 100)),
    ("twin", F(1, 10), F(16, 100)),
    ("after a gap", F(1, 5), F(21, 100)),
    ("later", F(2), F(3)),
]


def _late(name: str, video: Video, sound: Sound, shift: F, **options: str) -> Build:
    return clip(name, video, sound, shift=shift, options=options)


ROWS = [
    Row(
        "clock-26h-mp4",
        "MPEG-TS whose clock starts at 26 h, into MP4",
        _late("in.ts", CODED, Sound(), HOURS_26),
        "the first track starts at 0, without an edit of 26 h; sound and pictures keep their distance",
        (*LATE, exact_sync(), begins_at(0), lasts(0.261)),
        output="out.mp4",
    ),
    Row(
        "clock-26h-mkv",
        "the same into Matroska",
        _late("in.ts", CODED, Sound(), HOURS_26),
        "it starts at 0",
        (*LATE, sync(), begins_at(0)),
    ),
    Row(
        "clock-26h-keep",
        "the same, --keep-start",
        _late("in.ts", CODED, Sound(), HOURS_26),
        "it starts where it did, but for what MPEG-TS is muxed ahead",
        (*LATE, sync(), begins_at(26 * 3600, 2)),
        ("--keep-start",),
    ),
    Row(
        "clock-26h-part",
        "the same, --start 0.1",
        _late("in.ts", replace(PLAIN, num_frames=12), Sound(seconds=0.48), HOURS_26),
        "counted from where it starts, and starts at 0",
        (frame_count(20), starts_at(0), heard_at(0.4)),
        ("--start", "0.1"),
        "out.mp4",
    ),
    Row(
        "clock-26h-segments",
        "the same in segments of 0.2 s",
        _late(
            "in.ts",
            replace(PLAIN, num_frames=20, options={"bf": "0", "g": "5"}),
            Sound(seconds=0.8),
            HOURS_26,
        ),
        "as in one go",
        (*LATE, exact_sync(), begins_at(0)),
        ("--segment", "0.2"),
        "out.mp4",
    ),
    Row(
        "clock-26h-converted",
        "the same into WebM: the sound is converted",
        _late("in.ts", CODED, Sound("mp2"), HOURS_26),
        "it starts at 0, and the pictures as long after the sound as they did",
        (frames(), times(), starts_at(F(451, 45000)), begins_at(0)),
        output="out.webm",
    ),
    Row(
        "clock-sound-first",
        "MPEG-TS at 2 h whose sound starts 1.5 s before the pictures",
        clip(
            "in.ts",
            Video(time_base=F(1, 25), times=range(38, 44), options=B_FRAMES),
            Sound(seconds=1.7),
            shift=F(7200),
        ),
        "the sound starts at 0, the pictures where they did after it",
        (*LATE, exact_sync(), begins_at(0)),
        output="out.mp4",
    ),
    Row(
        "clock-before-wrap",
        "MPEG-TS that starts 3 s before its clock begins anew",
        _late("in.ts", CODED, Sound(), WRAP - 3),
        "FFmpeg counts up to 0; it starts at 0",
        (*LATE, exact_sync(), begins_at(0)),
        output="out.mp4",
    ),
    Row(
        "clock-across-wrap",
        "MPEG-TS whose clock begins anew in the middle",
        _late(
            "in.ts",
            Video(40, options=B_FRAMES | {"g": "5"}),
            Sound(seconds=1.6),
            WRAP - F(9, 4),
        ),
        "time goes on, and starts at 0",
        (*LATE, exact_sync(), begins_at(0)),
        output="out.mp4",
    ),
    Row(
        "clock-program-stream",
        "MPEG-PS whose clock starts at 5000 s",
        _late("in.mpg", replace(MPEG2, num_frames=12), Sound("mp2", seconds=0.48), F(5000)),
        "it starts at 0",
        (frame_count(24), constant(1, 50), same_sound(), begins_at(0)),
        output="out.mp4",
    ),
    Row(
        "clock-flv",
        "FLV whose clock starts at 1 h, as streams do that are recorded later",
        _late("in.flv", CODED, Sound(rate=44100), F(3600)),
        "it starts at 0",
        (*LATE, sync(), begins_at(0)),
        output="out.mp4",
    ),
    Row(
        "clock-fragments",
        "fragmented MP4 that does not start at 0",
        _late("in.mp4", CODED, Sound(), F(10), **FRAGMENTS),
        "it starts at 0, and is not taken for cut off",
        (*LATE, exact_sync(), begins_at(0)),
        output="out.mp4",
    ),
    Row(
        "clock-segment-index",
        "fragmented MP4 with segment indexes, whose header states where it ends and no length",
        _late("in.mp4", CODED, Sound(), F(10), movflags="dash+frag_keyframe+delay_moov"),
        "it starts at 0, and is not taken for cut off",
        (*LATE, exact_sync(), begins_at(0)),
        output="out.mp4",
    ),
    Row(
        "clock-late-mkv",
        "Matroska in which all starts at 10 s, with subtitles and chapters",
        clip("in.mkv", CODED, Sound(), Subs(), chapters=CHAPTERS, shift=F(10)),
        "it starts at 0; subtitles and chapters lie where they did",
        (*LATE, sync(), begins_at(0), subs_in_time(), same_chapters()),
    ),
    Row(
        "clock-late-alone",
        "MP4 without sound whose edit list puts it at 10 s",
        clip("in.mp4", CODED, shift=F(10)),
        "it starts at 0",
        (frames(), times(), begins_at(0), lasts(0.24)),
        output="out.mp4",
    ),
    *(
        Row(
            f"chapters-odd-{ending}",
            "chapters that begin late, overlap, leave gaps, start together, lie behind the end",
            clip("in.nut", CODED, Sound(), chapters=ODD_CHAPTERS),
            "all are there, each where it starts" + (", the ends told" if told else ""),
            (frames(), same_chapters(), menu(), *told),
            () if told else ("--strict",),
            f"out.{ending}",
        )
        for ending, told in (
            ("mp4", [says("chapters (ends of 2): dropped because a chapter of mp4")]),
            ("mov", [says("chapters (ends of 2): dropped because a chapter of mov")]),
            ("mkv", []),
        )
    ),
    Row(
        "chapters-too-early",
        "Matroska in which all starts at 10 s, and the first of two chapters ends before",
        clip("in.mkv", CODED, Sound(), chapters=[("empty", F(0), F(10)), *CHAPTERS], shift=F(10)),
        "the others keep their places, and it is told",
        (frames(), says("chapters (1): dropped because all the pictures"), mkv_chapters(2)),
    ),
]
