"""Rows about colour and depth."""

from . import clips_colour as clips
from .case import Row
from .checks import described, frames, tagged
from .clips_colour import coloured
from .pictures import colours, depth_of, drawn, kept

FFV1 = ("--codec", "ffv1")
X265 = ("--codec", "libx265")
UNTAGGED = {"matrix": None, "range": None, "primaries": None, "transfer": None}
M601, M709, M2020 = {"matrix": 5}, {"matrix": 1}, {"matrix": 9}


def _format(
    codec: str,
    pix_fmt: str,
    out: str,
    options: tuple[str, ...] = (),
    meaning: str = "601 limited",
    out_meaning: str | None = None,
    name: str = "in.mkv",
) -> Row:
    """A pixel format without tags; `out` is the format that comes of it."""
    levels = 2.0 if depth_of(out) == 8 else 0.5 if depth_of(out) == 10 else 0.13
    becomes = "keeps its format" if out == pix_fmt else f"becomes {out}"
    same = (kept(out),) if out == pix_fmt and "444" in pix_fmt else ()
    from .checks import stream_is

    checks = (
        frames(),
        stream_is("pix_fmt", out),
        colours(meaning, out_meaning or meaning, levels),
        *same,
    )
    label = f"{pix_fmt}-{options[1].removeprefix('lib')}" if options else pix_fmt
    return Row(
        f"format-{label}",
        f"{pix_fmt} in {codec}",
        coloured(codec, pix_fmt, name),
        becomes,
        checks,
        options,
    )


def _tags(
    name: str,
    trait: str,
    happens: str,
    meaning: str,
    wanted: dict[str, str | None],
    out: str | None = None,
    scale: int = 1,
    height: int = 64,
    pix_fmt: str = "yuv420p",
    **tags: object,
) -> Row:
    build = coloured("libx264", pix_fmt, height=height, num_frames=3, **tags)
    checks = (
        frames(),
        tagged(wanted),
        colours(meaning, out or meaning, 2.0 if pix_fmt.endswith("p") else 0.5),
    )
    return Row(name, trait, build, happens, checks, scale=scale)


BT709 = {"matrix": 1, "primaries": 1, "transfer": 1, "full": False}
ROWS = [
    _format("libx264", "yuv420p", "yuv420p"),
    _format("libx264", "yuv422p", "yuv422p"),
    _format("libx264", "yuv444p", "yuv444p"),
    _format("ffv1", "yuv411p", "yuv444p"),
    _format("ffv1", "yuv410p", "yuv444p"),
    _format("mjpeg", "yuvj420p", "yuvj420p", meaning="601 full", name="in.mov"),
    _format("libx264", "yuv420p10le", "yuv420p10le"),
    _format("libx264", "yuv422p10le", "yuv422p10le"),
    _format("libx264", "yuv444p10le", "yuv444p10le"),
    _format("libx265", "yuv420p12le", "yuv420p10le"),
    _format("libx265", "yuv420p12le", "yuv420p12le", X265),
    _format("libx265", "yuv422p12le", "yuv422p12le", X265),
    _format("libx265", "yuv444p12le", "yuv444p12le", X265),
    _format("ffv1", "gray", "yuvj420p", meaning="601 full"),
    _format("ffv1", "gray10le", "yuv420p10le", meaning="601 full"),
    _format("ffv1", "gray", "gray", FFV1, meaning="601 full"),
    _format("ffv1", "gray16le", "gray16le", FFV1, meaning="601 full"),
    _format("utvideo", "gbrp", "yuv444p", meaning="RGB", out_meaning="601 limited", name="in.nut"),
    _format("ffv1", "gbrp10le", "gbrp10le", FFV1, meaning="RGB"),
    _format("ffv1", "gbrp12le", "gbrp12le", FFV1, meaning="RGB"),
    _format("ffv1", "gbrp16le", "gbrp16le", FFV1, meaning="RGB"),
    _format("libx264rgb", "bgr0", "yuv444p", meaning="RGB", out_meaning="601 limited"),
    _format(
        "png", "rgb48be", "yuv444p10le", meaning="RGB", out_meaning="601 limited", name="in.mov"
    ),
    _format("qtrle", "rgb24", "bgr0", FFV1, meaning="RGB", name="in.mov"),
    _format("rawvideo", "nv12", "yuv420p", name="in.nut"),
    _format("v210", "yuv422p10le", "yuv422p10le", FFV1, name="in.mov"),
    _format("ffv1", "yuv420p16le", "yuv420p16le", FFV1),
    Row(
        "format-palette",
        "a palette of 256 colours, PNG in QuickTime",
        clips.palette,
        "becomes 4:4:4",
        (frames(), colours("RGB", "601 limited", 2.0)),
    ),
    _tags(
        "tags-601",
        "BT.601 limited, tagged",
        "tags and colours are kept",
        "601 limited",
        {"matrix": "bt470bg", "range": "tv"},
        matrix=5,
        full=False,
    ),
    _tags(
        "tags-601-ntsc",
        "SMPTE 170M, tagged",
        "tags and colours are kept",
        "601 limited",
        {"matrix": "smpte170m", "primaries": "smpte170m", "transfer": "smpte170m"},
        matrix=6,
        full=False,
        primaries=6,
        transfer=6,
    ),
    _tags(
        "tags-709",
        "BT.709 limited, tagged",
        "tags and colours are kept",
        "709 limited",
        {"matrix": "bt709", "range": "tv", "primaries": "bt709", "transfer": "bt709"},
        **BT709,
    ),
    _tags(
        "tags-709-full",
        "BT.709 full range",
        "tags, range and colours are kept",
        "709 full",
        {"matrix": "bt709", "range": "pc"},
        matrix=1,
        full=True,
    ),
    _tags(
        "tags-601-full",
        "BT.601 full range",
        "tags, range and colours are kept",
        "601 full",
        {"matrix": "bt470bg", "range": "pc"},
        matrix=5,
        full=True,
    ),
    _tags(
        "tags-709-full-10",
        "BT.709 full range in 10 bits",
        "tags, range and colours are kept",
        "709 full",
        {"matrix": "bt709", "range": "pc"},
        matrix=1,
        full=True,
        pix_fmt="yuv420p10le",
    ),
    _tags(
        "tags-2020",
        "BT.2020 in 10 bits",
        "tags and colours are kept",
        "2020 limited",
        {"matrix": "bt2020nc", "primaries": "bt2020", "transfer": "bt2020-10"},
        matrix=9,
        full=False,
        primaries=9,
        transfer=14,
        pix_fmt="yuv420p10le",
    ),
    _tags(
        "tags-none-sd",
        "no tags, SD that stays SD",
        "read as BT.601, still untagged",
        "601 limited",
        UNTAGGED,
        scale=4,
    ),
    _tags(
        "tags-none-hd",
        "no tags, HD",
        "read as BT.709, still untagged",
        "709 limited",
        UNTAGGED,
        height=592,
    ),
    _tags(
        "tags-none-crossing",
        "no tags, SD that becomes HD",
        "read as BT.601 and tagged so, since players would now guess BT.709",
        "601 limited",
        {"matrix": "smpte170m", "primaries": None, "transfer": None},
        scale=4,
        height=160,
    ),
    _tags(
        "tags-only-range",
        "full range is tagged, the matrix is not",
        "BT.601 in full range, tagged as it was",
        "601 full",
        {"matrix": None, "range": "pc"},
        full=True,
    ),
    Row(
        "tags-709-mp4",
        "BT.709 tags in MP4",
        coloured("libx264", "yuv420p", "in.mp4", num_frames=3, **BT709),
        "kept in the stream and in MP4's own box",
        (
            frames(),
            tagged({"matrix": "bt709", "primaries": "bt709", "transfer": "bt709"}),
            described(
                {
                    "matrix_coefficients": "BT.709",
                    "colour_range": "Limited",
                    "transfer_characteristics": "BT.709",
                }
            ),
        ),
        output="out.mp4",
    ),
    Row(
        "tags-709-webm",
        "BT.709 tags in WebM",
        coloured("libx264", "yuv420p", num_frames=3, **BT709),
        "kept",
        (
            frames(),
            tagged({"matrix": "bt709", "range": "tv"}),
            described({"matrix_coefficients": "BT.709", "Format": "VP9"}),
        ),
        ("--codec", "libvpx-vp9"),
        "out.webm",
    ),
    Row(
        "rgb-drawn",
        "RGB, drawn colours known",
        coloured("utvideo", "gbrp", "in.nut"),
        "come out of the output's own numbers as drawn",
        (frames(), drawn("601 limited", 2.0)),
    ),
]
