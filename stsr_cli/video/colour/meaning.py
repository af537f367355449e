"""What the numbers of a stream mean: matrix, range, primaries, transfer, read, guessed and passed on.

Matrices, ranges, primaries and transfers are integers of FFmpeg's AVCOL_* enums (ITU-T H.273).
"""

from dataclasses import dataclass, replace

from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from stsr_cli.errors import InputError
from stsr_cli.video.colour.chroma import UNSPECIFIED, output_location, read_chroma_location

MATRIX_RGB, MATRIX_BT709, MATRIX_UNSPECIFIED, MATRIX_BT601 = 0, 1, 2, 6
RANGE_LIMITED, RANGE_FULL = 1, 2
PRIMARIES_BT709, PRIMARIES_BT2020 = 1, 9
TRANSFER_BT709, TRANSFER_LINEAR, TRANSFER_SRGB, TRANSFER_PQ, TRANSFER_HLG = 1, 8, 13, 16, 18
SD_MAX_HEIGHT = 576
_GREY_IS_LIMITED = (
    "libx26",
    "h264",
    "hevc",
)  # untagged, by H.264 and HEVC; FFmpeg takes it for full range
# No place in their bitstreams says full range, and their players take all for limited.
_ALWAYS_LIMITED = frozenset(
    (
        "prores",
        "prores_ks",
        "prores_aw",
        "dnxhd",
        "cfhd",
        "v210",
        "mpeg1video",
        "mpeg2video",
        "mpeg4",
    )
)
CONVERTIBLE_MATRICES = frozenset({1, 4, 5, 6, 7, 9, 10})


@dataclass(frozen=True)
class ColourTags:
    """How the numbers of a stream become colours.

    Attributes:
        matrix: AVCOL_SPC_* as tagged, 2 when unspecified.
        range: AVCOL_RANGE_* as tagged: 0 unspecified, 1 limited, 2 full.
        primaries: AVCOL_PRI_* as tagged, 2 when unspecified.
        transfer: AVCOL_TRC_* as tagged, 2 when unspecified.
        effective_matrix: AVCOL_SPC_* used to convert; None for RGB formats, which have none.
        effective_range: AVCOL_RANGE_* used to convert, 1 or 2.
        chroma_location: where chroma samples lie, as tagged, by FFmpeg's name: "left", "center", "topleft" ...;
            "unspecified" counts as left.
    """

    matrix: int
    range: int
    primaries: int
    transfer: int
    effective_matrix: int | None
    effective_range: int
    chroma_location: str = UNSPECIFIED


def is_rgb(pixel_format: VideoFormat) -> bool:
    """Whether a pixel format stores RGB (or a palette of RGB) and so has no matrix."""
    return pixel_format.is_rgb or pixel_format.has_palette


def is_grey(pixel_format: VideoFormat) -> bool:
    """Whether a pixel format stores luma alone, or luma and alpha."""
    return not is_rgb(pixel_format) and len(pixel_format.components) < 3


def is_float(pixel_format: VideoFormat) -> bool:
    """Whether a pixel format stores floating-point numbers, of 16 or 32 bits."""
    return "f16" in pixel_format.name or "f32" in pixel_format.name


def has_alpha(pixel_format: VideoFormat) -> bool:
    """Whether a pixel format stores alpha, a palette's included."""
    return pixel_format.has_palette or any(c.is_alpha for c in pixel_format.components)


def is_hdr(tags: ColourTags) -> bool:
    """Whether the transfer is one of BT.2100's: PQ (SMPTE ST 2084) or HLG."""
    return tags.transfer in (TRANSFER_PQ, TRANSFER_HLG)


def bit_depth(pixel_format: VideoFormat) -> int:
    """Bits of the deepest component, e.g. 8 or 10; 16 of what has more, floating-point numbers included."""
    return min(max((component.bits for component in pixel_format.components), default=8), 16)


def richness(pixel_format: VideoFormat) -> tuple[bool, int, int]:
    """How much a format can hold, for comparisons: colours, depth, components."""
    return not is_grey(pixel_format), bit_depth(pixel_format), len(pixel_format.components)


def guess_matrix(height: int) -> int:
    """The AVCOL_SPC_* that players assume for an untagged stream of `height` pixels."""
    return MATRIX_BT601 if height <= SD_MAX_HEIGHT else MATRIX_BT709


def read_tags(frame: VideoFrame, *, is_still: bool = False) -> ColourTags:
    """Read the tags of a decoded frame and settle what to convert with.

    Args:
        frame: the first decoded frame; some streams carry tags on frames alone.
        is_still: the frame is a JPEG or WebP picture, which is BT.601 by its standard.

    Raises:
        InputError: the tagged matrix is one that cannot be converted (YCgCo, ICtCp, ...).
    """
    matrix, tagged_range = int(frame.colorspace), int(frame.color_range)
    effective_matrix: int | None = matrix
    effective_range = RANGE_FULL if tagged_range == RANGE_FULL else RANGE_LIMITED
    if is_rgb(frame.format):
        effective_matrix, effective_range = None, RANGE_FULL
    elif is_grey(frame.format):  # untagged grey is full range to FFmpeg and what is built on it
        effective_matrix = matrix if matrix in CONVERTIBLE_MATRICES else guess_matrix(frame.height)
        effective_range = RANGE_LIMITED if tagged_range == RANGE_LIMITED else RANGE_FULL
    elif matrix in (MATRIX_RGB, MATRIX_UNSPECIFIED):
        effective_matrix = MATRIX_BT601 if is_still else guess_matrix(frame.height)
    elif matrix not in CONVERTIBLE_MATRICES:
        raise InputError(
            f"the video uses colour matrix {matrix} of ITU-T H.273, which stsr cannot convert; "
            "re-encode it to BT.709 first"
        )
    if frame.format.name.startswith("yuvj"):
        effective_range = RANGE_FULL
    return ColourTags(
        matrix=matrix,
        range=tagged_range,
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
        effective_matrix=effective_matrix,
        effective_range=effective_range,
        chroma_location=read_chroma_location(frame),
    )


def output_tags(
    source: ColourTags, pixel_format: VideoFormat, height: int, codec: str = ""
) -> ColourTags:
    """The tags of the output: the source's, changed only where they would be untrue.

    Unspecified stays unspecified. Three exceptions: an upscale that crosses from SD to HD tags the
    matrix it used, since players would now guess another; YUV made from RGB is tagged with the
    matrix and range it was made with; RGB made from YUV is tagged as RGB. Chroma lies where it lay, and
    full range stays, if the codec can say so.

    Args:
        source: tags of the source.
        pixel_format: of the output.
        height: of the output, in pixels.
        codec: name of the encoder.
    """
    location = output_location(codec, pixel_format, source.chroma_location)
    source = replace(source, chroma_location=location)
    if is_rgb(pixel_format):
        return replace(
            source,
            matrix=MATRIX_RGB,
            range=RANGE_FULL,
            effective_matrix=None,
            effective_range=RANGE_FULL,
        )
    if source.effective_matrix is None:
        matrix = guess_matrix(height)
        tags = replace(
            source,
            matrix=matrix,
            effective_matrix=matrix,
            range=RANGE_LIMITED,
            effective_range=RANGE_LIMITED,
        )
    elif source.matrix == MATRIX_RGB or (
        source.matrix == MATRIX_UNSPECIFIED and guess_matrix(height) != source.effective_matrix
    ):
        tags = replace(source, matrix=source.effective_matrix)
    else:
        tags = source
    if codec in _ALWAYS_LIMITED:
        is_full = tags.effective_range == RANGE_FULL
        limited = replace(tags, range=RANGE_LIMITED, effective_range=RANGE_LIMITED)
        return limited if is_full else tags
    if is_grey(pixel_format) and not tags.range and not codec.startswith(_GREY_IS_LIMITED):
        return tags
    if pixel_format.name.startswith("yuvj") or tags.effective_range == RANGE_FULL:
        tags = replace(tags, range=RANGE_FULL, effective_range=RANGE_FULL)
    return tags
