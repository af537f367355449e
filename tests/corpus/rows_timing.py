"""Rows about time."""

from fractions import Fraction as F

from . import clips_timing as clips
from .case import Row
from .checks import (
    exact_sync,
    frame_count,
    frames,
    lasts,
    refused,
    repaired,
    says,
    size,
    starts_at,
    sync,
    times,
)
from .clips_timing import PLAIN, Sound, Video, clip
from .pictures import blended, kept
from .track_checks import same_sound

KEPT = "time stamps, pixels and sound are kept"
SAME = (frames(), times(), same_sound(), kept("yuv420p"))
RATES = [("23.976", F(24000, 1001)), ("29.97", F(30000, 1001)), ("59.94", F(60000, 1001))]
RATES += [("25", F(25)), ("12.5", F(25, 2))]
UNEVEN = [0, 3000, 7000, 9000, 15000, 16000, 22000]

ROWS = [
    *(
        Row(f"rate-{name}", f"{name} fps with B-frames, MP4", clips.rate("in.mp4", fps),
            f"exactly {name} x 2 fps, sound where it was", (*SAME, exact_sync()), output="out.mp4")
        for name, fps in RATES
    ),
    Row("rate-23.976-mkv", "23.976 fps in Matroska, whose clock rounds to 1 ms",
        clips.rate("in.mkv", RATES[0][1]), "every rounded time is kept, midpoints between them", (*SAME, sync())),
    Row("clock-90000", "variable frame rate in 1/90000 s, B-frames, MP4", clips.ticks("in.mp4", 90000, UNEVEN),
        KEPT + " in ticks of 1/180000 s", (*SAME, exact_sync(), blended()), output="out.mp4"),
    Row("clock-600", "variable frame rate in 1/600 s, MOV", clips.ticks("in.mov", 600, [0, 20, 45, 60, 101, 120]),
        KEPT, (*SAME, exact_sync()), output="out.mov"),
    Row("clock-1000", "variable frame rate in 1/1000 s, Matroska", clips.ticks("in.mkv", 1000, [0, 33, 67, 100, 234, 267]),
        KEPT + " to 1 ms, Matroska's clock", (*SAME, sync())),
    Row("clock-1000-mp4", "odd milliseconds of Matroska into MP4", clips.ticks("in.mkv", 1000, [0, 33, 67, 100, 234, 267]),
        "midpoints at half milliseconds, exact", (*SAME, sync()), output="out.mp4"),
    Row("vfr-long-hold", "a still of 4 s between fast frames", clips.ticks("in.mp4", 1000, [0, 40, 80, 4080, 4120]),
        "the long interval is halved like every other", SAME, output="out.mp4"),
    Row("vfr-x4", "variable frame rate, --time-scale 4", clips.ticks("in.mp4", 90000, UNEVEN),
        "three new frames an interval, evenly spaced", (frames(4), times(), same_sound()), output="out.mp4", time_scale=4),
    Row("vfr-x1", "variable frame rate, --time-scale 1", clips.ticks("in.mp4", 90000, UNEVEN),
        "the same times", (frames(1), times(), same_sound(), kept("yuv420p")), output="out.mp4", time_scale=1),
    Row("start-late-video", "the video starts 0.5 s after the sound, Matroska", clips.late_video("in.mkv", F(1, 2)),
        "it still does", (*SAME, sync(), starts_at(0.5))),
    Row("start-late-video-mp4", "the video starts 0.3 s after the sound, MP4: an empty edit",
        clips.late_video("in.mp4", F(3, 10)), "it still does, with an empty edit", (*SAME, exact_sync()), output="out.mp4"),
    Row("start-late-video-tick", "the video starts 1001/24000 s after the sound, MP4", clips.late_in_ticks,
        "the offset is exact to a tick, not to a millisecond", (*SAME, exact_sync()), output="out.mp4"),
    Row("start-late-sound", "the sound starts 0.1 s after the video, MP4", clips.late_sound("in.mp4", F(1, 10)),
        "it still does", (*SAME, exact_sync()), output="out.mp4"),
    Row("start-late-sound-mkv", "the sound starts 0.1 s after the video, Matroska", clips.late_sound("in.mkv", F(1, 10)),
        "it still does", (*SAME, sync())),
    Row("start-negative", "everything starts at -80 ms, Matroska", clips.negative_start,
        "the distance between sound and video is kept", (frames(), times(), sync(), kept("yuv420p"))),
    Row("edit-list", "an edit list leaves out the first two frames", clips.cut_by_edit_list,
        "they stay left out", (*SAME, sync()), output="out.mp4"),
    Row("edit-list-broken", "MP4 whose edit lists cannot be read", clips.no_edit_list,
        "what a player makes of it is what is kept", (*SAME, sync()), output="out.mp4"),
    Row("pts-missing-h264", "raw H.264: not one time stamp", clips.raw_h264,
        "even intervals are made and counted", (frames(), says("repaired"), repaired([*range(6)], 25), kept("yuv420p")),
        output="out.mp4"),
    Row("pts-missing-avi", "AVI with B-frames: no pts", clips.avi,
        "even intervals are made", (frames(), same_sound(), repaired([*range(8)], 25), kept("yuv420p"))),
    Row("pts-duplicate", "two frames at the same time", clips.retimed("in.mkv", [0, 4, 4, 12, 16]),
        "the second moves by a tick, the rest stays, and it is counted", (frames(), says("repaired"),
         repaired([0, 40, 41, 120, 160], 1000)), output="out.mp4"),
    Row("pts-backward", "a frame before its predecessor", clips.retimed("in.mkv", [0, 4, 10, 8, 16, 20]),
        "it moves behind it, the rest stays, and it is counted", (frames(), says("repaired"),
         repaired([0, 40, 100, 101, 160, 200], 1000)), output="out.mp4"),
    Row("ts-wrap", "MPEG-TS whose 33-bit clock wraps round", clips.ts_wrap,
        "time goes on without a jump", (frames(), sync(), same_sound(), repaired([*range(10)], 25))),
    Row("gop-open", "H.264 with open groups of pictures", clips.open_gop, KEPT, (*SAME, sync())),
    Row("gop-leading-cut", "HEVC cut at an open group: leading frames cannot be decoded", clips.leading_frames_cut,
        "what decodes is kept, at its times", (frames(), times(), kept("yuv420p"))),
    Row("one-frame", "a single frame", clip("in.mp4", Video(1, options={"bf": "0"})),
        "it is shown twice, each half as long", (frame_count(2), repaired([0], 25), lasts(0.04)), output="out.mp4"),
    Row("two-frames", "two frames", clip("in.mp4", Video(2, options={"bf": "0"})),
        "four frames", (frame_count(4), times(), lasts(0.08), blended()), output="out.mp4"),
    Row("no-duration", "WebM of a live stream: no duration, no index", clips.no_duration,
        KEPT, (*SAME, sync())),
    Row("duration-rounded", "the header rounds the duration by half a tick, the last frame leaves the encoder early",
        clips.length_rounded, "no frame is lost, no time moves", (frames(), times(), exact_sync()), output="out.mp4"),
    Row("duration-wrong", "the header says 0.2 ms instead of 240", clips.broken_duration,
        "the header is not believed", (frames(), times(), lasts(0.24), kept("yuv420p")), output="out.mp4"),
    Row("sound-longer", "the sound goes on for 1 s after the video", clip("in.mp4", PLAIN, Sound(seconds=1.24)),
        "it is kept to its end", (*SAME, exact_sync(), lasts(0.24)), output="out.mp4"),
    Row("sound-shorter", "the sound ends before the video", clip("in.mp4", PLAIN, Sound(seconds=0.1)),
        "it still does", (*SAME, exact_sync(), lasts(0.24)), output="out.mp4"),
    Row("sound-none", "no sound at all", clip("in.mp4", PLAIN), KEPT,
        (frames(), times(), kept("yuv420p"), lasts(0.24)), output="out.mp4"),
    Row("picture-first", "the first stream is cover art", clips.picture_first,
        "the video is upscaled, the cover kept", (*SAME, size(96, 64), exact_sync()), output="out.mp4"),
    Row("videos-two-best", "two videos", clips.two_videos,
        "the larger one is upscaled, the other dropped and said so", (frames(), times(), size(96, 64), says("dropped"))),
    Row("videos-two-map", "two videos, --map 1", clips.two_videos, "the second is upscaled at its own 50 fps",
        (frame_count(12), times(1), size(64, 48), sync()), options=("--map", "1")),
    Row("videos-map-wrong", "--map of a stream that is no video", clips.two_videos, "refused",
        (refused(2, ["no video", "choose from: 0, 1"]),), options=("--map", "2"), code=2),
    Row("truncated-mp4", "MP4 that ends before its index", clips.truncated("in.mp4", 0.5), "refused",
        (refused(4, ["cannot read"]),), output="out.mp4", code=4),
]
