"""Rows about `--report`: its numbers are those that other programs find."""

from . import clips_colour, clips_geometry, clips_timing, clips_tracks
from .case import Row
from .checks import frames, refused, reported, true_report
from .clips_timing import PLAIN, Sound, clip

REPORT = ("--report", "report.json")


def _row(
    name: str,
    trait: str,
    build: object,
    happens: str,
    wanted: dict[str, object],
    *options: str,
    output: str = "out.mkv",
) -> Row:
    return Row(
        f"report-{name}",
        trait,
        build,
        happens,
        (frames(), reported(wanted), true_report()),
        (*REPORT, *options),
        output,
    )


ROWS = [
    _row(
        "plain",
        "--report of a video with sound",
        clip("in.mp4", PLAIN, Sound()),
        "versions, hashes, counts and every check are in it",
        {
            "counts.frames_in": 6,
            "counts.frames_out": 12,
            "warnings": [],
            "tracks.0.action": "copy",
            "target.width": 96,
        },
        output="out.mp4",
    ),
    _row(
        "cut",
        "--report of a cut",
        clips_geometry.cut,
        "the cut is in it",
        {"counts.num_cuts": 1, "cuts.0.frame_index": 6},
    ),
    _row(
        "repairs",
        "--report of repaired times",
        clips_timing.raw_h264,
        "the repairs are in it",
        {"counts.frames_in": 6},
    ),
    _row(
        "lost",
        "--report of tracks that are lost",
        clips_tracks.pgs_subtitles,
        "the loss is in it",
        {"tracks.0.action": "drop", "tracks.0.codec": "pgssub"},
        output="out.mp4",
    ),
    _row(
        "encoder",
        "--report of an encoder and its options",
        clips_colour.coloured("ffv1", "yuv422p10le"),
        "they are in it",
        {"target.encoder.codec": "libx265", "target.encoder.pix_fmt": "yuv422p10le"},
        "--codec",
        "libx265",
    ),
    _row(
        "dedup",
        "--report of --dedup",
        clips_geometry.held(2),
        "the count is in it",
        {"counts.num_repeats": 4},
        "--dedup",
    ),
    Row(
        "report-taken",
        "--report under the name of the output",
        clip("in.mkv", PLAIN),
        "refused",
        (refused(2, ["--report", "another"]),),
        ("--report", "out.mkv"),
        code=2,
    ),
]
