"""Rows about fields, cuts and repeats."""

from . import clips_geometry as clips
from .case import Row
from .checks import (
    constant,
    frame_count,
    frames,
    probed,
    says,
    sync,
    times,
)
from .clips_geometry import shaped
from .pictures import all_differ, blended, kept, shows_source, uncombed

INTERLACED = [
    Row(
        "fields-tff",
        "interlaced, top field first",
        clips.interlaced("tff"),
        "detected and deinterlaced; times and sound are kept",
        (frames(), times(), sync(), uncombed(0.5), says("interlaced")),
    ),
    Row(
        "fields-bff",
        "interlaced, bottom field first",
        clips.interlaced("bff"),
        "detected and deinterlaced",
        (frames(), times(), uncombed(0.5), says("interlaced")),
    ),
    Row(
        "fields-off",
        "interlaced, --deinterlace off",
        clips.interlaced("tff"),
        "its lines stay, and a warning says so",
        (frames(), times(), kept("yuv420p")),
        ("--deinterlace", "off"),
    ),
    Row(
        "fields-both",
        "interlaced, --deinterlace fields",
        clips.interlaced("tff"),
        "each field becomes a frame: 50 of 25",
        (frame_count(12), constant(1, 50), sync(), uncombed(0.6)),
        ("--deinterlace", "fields"),
        time_scale=1,
    ),
    Row(
        "fields-bwdif",
        "not flagged as interlaced, --deinterlace bwdif",
        shaped(96, 64, codec="libx264"),
        "deinterlaced all the same",
        (frames(), times()),
        ("--deinterlace", "bwdif"),
    ),
]

CUTS = [
    Row(
        "cut",
        "a hard cut",
        clips.cut,
        "found; the last frame of the shot is held instead of a morph",
        (frames(), times(), says("1 cut"), blended(held=(11,))),
    ),
    Row(
        "cut-blend",
        "a hard cut, --cut blend",
        clips.cut,
        "a fade stands there",
        (frames(), times(), blended()),
        ("--cut", "blend"),
    ),
    Row(
        "cut-off",
        "a hard cut, --cut off",
        clips.cut,
        "left to the networks",
        (frames(), times(), blended()),
        ("--cut", "off"),
    ),
    Row(
        "cut-x4",
        "a hard cut, --time-scale 4",
        clips.cut,
        "held for all three new frames",
        (frames(4), times(), says("1 cut")),
        time_scale=4,
    ),
    Row("cut-fade", "a fade over 16 frames", clips.fade, "no cut", (frames(), times(), blended())),
    Row("cut-flash", "a white flash", clips.flash, "no cut", (frames(), times(), blended())),
    Row(
        "cut-probe",
        "stsr probe --scenes",
        clips.cut,
        "the cut's frame and time, as JSON",
        (
            probed(
                {
                    "scenes.num_frames": 12,
                    "scenes.cuts.0.frame_index": 6,
                    "scenes.cuts.0.seconds": 0.24,
                }
            ),
        ),
        ("--scenes", "--json"),
        command="probe",
    ),
    Row(
        "probe-fade",
        "stsr probe --scenes of a fade and",
        clips.fade,
        "no cut is listed",
        (probed({"scenes.num_frames": 24, "scenes.cuts": []}),),
        ("--scenes", "--json"),
        command="probe",
    ),
    Row(
        "twos",
        "animation on twos",
        clips.held(2),
        "left as it is without --dedup",
        (frames(), times(), shows_source()),
    ),
    Row(
        "twos-dedup",
        "animation on twos, --dedup",
        clips.held(2),
        "each repeat is replaced by a new frame, no time moves",
        (frames(), times(), all_differ(17), says("4 of 10 source frames repeat")),
        ("--dedup",),
    ),
    Row(
        "threes-dedup",
        "animation on threes, --dedup",
        clips.held(3),
        "each repeat is replaced by a new frame",
        (frames(), times(), all_differ(25)),
        ("--dedup",),
    ),
    Row(
        "still-dedup",
        "the same picture throughout, --dedup",
        clips.still,
        "nothing is invented",
        (frames(), times(), kept("yuv420p")),
        ("--dedup",),
    ),
    Row(
        "still",
        "the same picture throughout",
        clips.still,
        "new frames are the same picture",
        (frames(), times(), kept("yuv420p"), blended(1)),
    ),
]
