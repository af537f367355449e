"""Rows about HDR, transparency, and where chroma samples lie."""

from . import clips_colour as clips
from .case import Row
from .checks import frames, refused, says, stream_is, tagged
from .clips_colour import transparent
from .hdr_checks import darkens, described_hdr, light_levels, no_light_levels
from .pictures import alpha_kept, colours, kept

FFV1 = ("--codec", "ffv1")
X265 = ("--codec", "libx265")
VPX = ("-c:v", "libvpx-vp9")
PQ = {"matrix": "bt2020nc", "primaries": "bt2020", "transfer": "smpte2084", "range": "tv"}
HLG = {"matrix": "bt2020nc", "primaries": "bt2020", "transfer": "arib-std-b67"}
SDR = {"matrix": "bt709", "primaries": "bt709", "transfer": "bt709"}
SAME = colours("2020 limited", "2020 limited", 0.6)
PLACES = ["left", "center", "topleft", "top", "bottomleft", "bottom"]


def _hlg(folder):
    return clips.hdr(folder, "arib-std-b67")


HDR = [
    Row(
        "hdr-pq-x265",
        "PQ with mastering display and light levels, HEVC",
        clips.hdr,
        "10 bits, tags and metadata are kept",
        (
            frames(),
            stream_is("pix_fmt", "yuv420p10le"),
            tagged(PQ),
            light_levels(),
            described_hdr(),
            SAME,
            says("trained on SDR"),
        ),
        X265,
    ),
    Row(
        "hdr-pq-x264",
        "the same into H.264, the default",
        clips.hdr,
        "10 bits, tags and metadata are kept",
        (frames(), tagged(PQ), described_hdr(), SAME),
        output="out.mp4",
    ),
    Row(
        "hdr-pq-av1",
        "the same into AV1",
        clips.hdr,
        "10 bits, tags and metadata are kept",
        (frames(), tagged(PQ), light_levels()),
        ("--codec", "libsvtav1", "--crf", "5", "--preset", "12"),
        "out.mp4",
    ),
    Row(
        "hdr-pq-ffv1",
        "the same into FFV1",
        clips.hdr,
        "tags are kept, metadata said to be lost",
        (frames(), tagged(PQ), SAME, says("mastering display")),
        FFV1,
    ),
    Row(
        "hdr-pq-strict",
        "the same with --strict",
        clips.hdr,
        "refused",
        (refused(2, ["mastering display"]),),
        (*FFV1, "--strict"),
        code=2,
    ),
    Row(
        "hdr-hlg",
        "HLG in 10 bits",
        _hlg,
        "kept",
        (frames(), tagged(HLG), SAME, stream_is("pix_fmt", "yuv420p10le")),
        X265,
    ),
    Row(
        "hdr-8-bit",
        "PQ, --pix-fmt yuv420p",
        clips.hdr,
        "refused: 8 bits are too few",
        (refused(2, ["HDR (PQ)", "--hdr tonemap"]),),
        ("--pix-fmt", "yuv420p"),
        code=2,
    ),
    Row(
        "hdr-tonemap",
        "PQ, --hdr tonemap",
        clips.hdr,
        "BT.709 SDR without HDR metadata",
        (frames(), tagged(SDR), no_light_levels(), darkens()),
        ("--hdr", "tonemap"),
    ),
]
ALPHA = [
    Row(
        "alpha-ffv1",
        "RGB with alpha, FFV1",
        transparent("ffv1", "bgra", "in.mkv"),
        "alpha is kept, exactly",
        (frames(), stream_is("pix_fmt", "bgra"), alpha_kept(0)),
        FFV1,
    ),
    Row(
        "alpha-yuva",
        "4:2:0 with alpha, FFV1",
        transparent("ffv1", "yuva420p", "in.mkv"),
        "alpha is kept, exactly",
        (frames(), stream_is("pix_fmt", "yuva420p"), alpha_kept(0)),
        FFV1,
    ),
    Row(
        "alpha-vp9",
        "WebM with alpha",
        transparent("libvpx-vp9", "yuva420p", "in.webm", crf="4", b="0"),
        "alpha is kept",
        (frames(), alpha_kept(6, VPX)),
        output="out.webm",
    ),
    Row(
        "alpha-prores",
        "ProRes 4444 with alpha",
        transparent("prores_ks", "yuva444p10le", "in.mov"),
        "alpha is kept",
        (frames(), alpha_kept(1)),
        ("--codec", "prores_ks"),
        "out.mov",
    ),
    Row(
        "alpha-qtrle",
        "QuickTime animation with alpha",
        transparent("qtrle", "argb", "in.mov"),
        "alpha is kept, exactly",
        (frames(), alpha_kept(0)),
        ("--codec", "qtrle"),
        "out.mov",
    ),
    Row(
        "alpha-png",
        "PNG in QuickTime with alpha",
        transparent("png", "rgba", "in.mov"),
        "alpha is kept, exactly",
        (frames(), alpha_kept(0)),
        ("--codec", "png"),
        "out.mov",
    ),
    Row(
        "alpha-lost",
        "alpha into H.264",
        transparent("ffv1", "bgra", "in.mkv"),
        "said to be lost",
        (frames(), says(["transparency is lost"])),
        output="out.mp4",
    ),
    Row(
        "alpha-strict",
        "alpha into H.264, --strict",
        transparent("ffv1", "bgra", "in.mkv"),
        "refused",
        (refused(2, ["transparency is lost"]),),
        ("--strict",),
        "out.mp4",
        2,
    ),
]
CHROMA = [
    Row(
        f"chroma-{place}",
        f"chroma samples lie {place}",
        clips.chroma_location(number),
        "no colour moves, the tag is kept",
        (frames(), tagged({"location": place, "matrix": "bt709"}), kept("yuv420p", 1, 2)),
    )
    for number, place in enumerate(PLACES)
]
ROWS = HDR + ALPHA + CHROMA
