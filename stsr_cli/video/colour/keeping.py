"""Whether an encoder keeps what colours come with: alpha, the depth that HDR needs, its metadata."""

from dataclasses import dataclass, field, replace

from av.video.format import VideoFormat

from stsr_cli.errors import UsageError
from stsr_cli.video.colour.alpha import can_hold_alpha, encoder_options
from stsr_cli.video.colour.hdr import HdrMetadata, hdr_options
from stsr_cli.video.colour.meaning import (
    TRANSFER_LINEAR,
    TRANSFER_PQ,
    TRANSFER_SRGB,
    ColourTags,
    bit_depth,
    has_alpha,
    is_float,
    is_grey,
    is_hdr,
    output_tags,
)
from stsr_cli.video.colour.tonemap import sdr_tags, tone_mapping
from stsr_cli.video.probe import SourceInfo, shown

_LEAST_DEPTH = 10  # of PQ and HLG, by BT.2100


@dataclass(frozen=True)
class Kept:
    """What becomes of it.

    Attributes:
        has_alpha: whether frames are written with alpha.
        options: of the encoder, to be appended to its others.
        notes: what a user should know that loses nothing, a sentence each.
        warnings: what is lost, a sentence each.
    """

    has_alpha: bool = False
    options: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def canvas(source: SourceInfo, width: int, height: int) -> SourceInfo:
    """A source of that size in which any opaque picture can be drawn, in colours even if the source is grey."""
    pix_fmt = "yuv420p" if is_grey(VideoFormat(source.pix_fmt, 8, 8)) else source.pix_fmt
    return replace(source, width=width, height=height, pix_fmt=pix_fmt, has_alpha=False)


def tone_mapped(source: SourceInfo) -> SourceInfo:
    """The same source read as BT.709 SDR, if it is HDR."""
    mapping = tone_mapping(source.colour, source.hdr)
    if mapping is None:
        return source
    return replace(source, colour=sdr_tags(source.colour), hdr=HdrMetadata(), tone_mapping=mapping)


def settle_tags(source: SourceInfo, codec: str, pix_fmt: str, height: int) -> ColourTags:
    """`output_tags` for an output of that height; linear light that is not written as such has become sRGB's curve."""
    layout = VideoFormat(pix_fmt, 8, 8)
    tags = output_tags(source.colour, layout, height, codec)
    was_linear = is_float(VideoFormat(source.pix_fmt, 8, 8)) and tags.transfer == TRANSFER_LINEAR
    return replace(tags, transfer=TRANSFER_SRGB) if was_linear and not is_float(layout) else tags


def settle_colour(source: SourceInfo, codec: str, pix_fmt: str, format_name: str) -> Kept:
    """What an output keeps of a source's alpha and HDR.

    Args:
        source: what is upscaled.
        codec: name of the encoder.
        pix_fmt: of the output.
        format_name: FFmpeg's name of the muxer.

    Raises:
        UsageError: HDR would have to be written in 8 bits.
    """
    layout = VideoFormat(pix_fmt, 8, 8)
    notes, warnings = [], []
    keeps_alpha = source.has_alpha and has_alpha(layout) and can_hold_alpha(codec, format_name)
    if source.has_alpha and not keeps_alpha:
        place = "" if can_hold_alpha(codec, format_name) else f" in {format_name}"
        warnings.append(
            f"transparency is lost: {codec} with {pix_fmt}{place} has none; --codec ffv1 or libvpx-vp9 (.mkv), "
            "prores_ks (.mov) or png would keep it"
        )
    if is_float(VideoFormat(source.pix_fmt, 8, 8)):
        warnings.append(
            "floating-point values below 0 and above 1 are clipped, the others have 16 bits in the networks"
        )
    if source.tone_mapping:
        name, peak = _name(source.tone_mapping.tags), source.tone_mapping.peak
        notes.append(f"HDR ({name}, up to {peak:g} cd/m2) is mapped to BT.709 SDR")
    if is_hdr(source.colour):
        name = _name(source.colour)
        if bit_depth(layout) < _LEAST_DEPTH:
            raise UsageError(
                f"{shown(source.path)} is HDR ({name}) and {codec} with {pix_fmt} has 8 bits, where it needs 10; "
                "use --codec libx265, --pix-fmt yuv420p10le, or --hdr tonemap"
            )
        notes.append(
            f"HDR ({name}) is kept; the networks were trained on SDR (--hdr tonemap makes that of it first)"
        )
    options, lost = hdr_options(codec, source.hdr)
    if lost:
        warnings.append(f"{' and '.join(lost)} cannot be kept with {codec}")
    if keeps_alpha:
        options = options | encoder_options(codec)
    return Kept(keeps_alpha, options, tuple(notes), tuple(warnings))


def _name(tags: ColourTags) -> str:
    return "PQ" if tags.transfer == TRANSFER_PQ else "HLG"
