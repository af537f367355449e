"""Which pixel format the output gets: the one nearest to the source's, or the one asked for."""

from av.video.format import VideoFormat

from stsr_cli.errors import UsageError
from stsr_cli.video.colour.alpha import can_hold_alpha, is_usual_alpha
from stsr_cli.video.colour.meaning import bit_depth, has_alpha, is_float, is_grey, is_hdr, is_rgb
from stsr_cli.video.probe import SourceInfo

_PACKED_RGBA = ("rgba", "bgra", "argb", "abgr")
_FLOAT_IS_EXPERIMENTAL = ("ffv1",)
_FLOATS = ("gbrpf32le", "gbrapf32le", "grayf32le")


def auto_pix_fmt(
    source: SourceInfo, codec: str, supported: list[str], *, is_odd: bool, format_name: str
) -> str:
    """The source's family at its depth, or the nearest that the encoder takes.

    Nearest means, in this order: with alpha, if the source has it; 10 bits, then 12, then 16 for other depths above 8;
    RGB as 4:4:4; full range stays by its tag (yuv420p instead of yuvj420p); 4:4:4 for a source whose subsampling there
    is no format for (4:1:0, 4:1:1); 4:2:0 for grey; 8 bits when the encoder knows no more, and 10 bits, or RGB, when it
    knows nothing else. PQ and HLG have 10 bits at least. Sizes that 4:2:0 or 4:2:2 cannot hold become 4:4:4.

    Raises:
        UsageError: the encoder takes none of these.
    """
    source_format = VideoFormat(source.pix_fmt, 8, 8)
    depths = [source.bit_depth] if source.bit_depth > 8 else []
    if depths or is_hdr(source.colour):
        depths = list(dict.fromkeys((*depths, 10, 12, 16)))
    families = _families(source_format, is_odd=is_odd)
    candidates = _candidates(source_format, codec, families, depths, "")
    if source.has_alpha and can_hold_alpha(codec, format_name):
        with_alpha = _candidates(source_format, codec, families, depths, "a")
        candidates = [name for name in with_alpha if is_usual_alpha(codec, name)] + candidates
    # Encoders of deep colour alone (ProRes), and of RGB alone.
    chromas = ("444",) if is_odd or families[0] == "444" else ("422", "444")
    candidates += [*(f"yuv{chroma}p10le" for chroma in chromas), "rgb24", "gbrp"]
    for candidate in candidates:
        if candidate in supported or not supported:
            return candidate
    if is_odd:
        raise UsageError(
            f"{codec} takes no odd sizes of {source.pix_fmt}; choose an even one with --size or --height, or libx264"
        )
    raise UsageError(
        f"{codec} takes no pixel format for {source.pix_fmt}; choose --pix-fmt from {', '.join(supported)}, or libx264"
    )


def _families(pixel_format: VideoFormat, *, is_odd: bool) -> list[str]:
    """Subsamplings of YUV, the nearest first."""
    chroma = (pixel_format.chroma_width(8), pixel_format.chroma_height(8))
    family = {(4, 4): "420", (4, 8): "422"}.get(chroma, "444")
    if is_grey(pixel_format):
        family = "420"
    return ["444"] if is_odd else list(dict.fromkeys((family, "444", "420")))


def _candidates(
    source: VideoFormat, codec: str, families: list[str], depths: list[int], alpha: str
) -> list[str]:
    """Formats with alpha ("a") or without (""), the nearest first."""
    found = []
    if is_float(source) and codec not in _FLOAT_IS_EXPERIMENTAL:
        found += [f"gbr{alpha}pf32le"] if is_rgb(source) else ["grayf32le"] * (not alpha)
    deep_rgb = [f"gbr{alpha}p{depth}le" for depth in depths]
    deep_rgb += [
        f"rgb{alpha}{order}" for order in (("64le", "64be") if alpha else ("48le", "48be"))
    ]
    eight_rgb = ["gbrap", *_PACKED_RGBA] if alpha else ["gbrp", "rgb24", "bgr0", "bgr24", "rgb0"]
    grey = "ya" if alpha else "gray"
    if is_grey(source):
        found += [f"{grey}{depth}{order}" for depth in depths for order in ("le", "be")]
        found += ["ya8" if alpha else "gray"]
    if is_rgb(source):
        found += [*(deep_rgb if depths else []), *eight_rgb]
    for family in families:
        found += [f"yuv{alpha}{family}p{depth}le" for depth in depths]
        found += [f"yuv{alpha}{family}p", *([] if alpha else [f"yuvj{family}p"])]
    if alpha and not is_rgb(source):  # better in RGB than lost
        found += [*(deep_rgb if depths else []), *eight_rgb]
    return found


def checked_pix_fmt(name: str, codec: str, supported: list[str], width: int, height: int) -> str:
    """The pixel format asked for, if `codec` takes it and frames of that size can have it.

    Raises:
        UsageError: it cannot be.
    """
    try:
        pixel_format = VideoFormat(name, 8, 8)
    except ValueError:
        raise UsageError(
            f"unknown pixel format {name!r}; {codec} takes {', '.join(supported)}"
        ) from None
    chroma = (pixel_format.chroma_width(8), pixel_format.chroma_height(8))
    if (supported and name not in supported) or not _is_written(pixel_format, chroma):
        raise UsageError(
            f"{codec} cannot be given {name} here; use auto, yuv420p, yuv444p, yuv420p10le ..."
        )
    if not is_rgb(pixel_format) and (
        (chroma[0] == 4 and width % 2) or (chroma[1] == 4 and height % 2)
    ):
        raise UsageError(
            f"{name} needs an even size and the output is {width}x{height}; use yuv444p"
        )
    return name


def _is_written(pixel_format: VideoFormat, chroma: tuple[int, int]) -> bool:
    """Whether `convert.FromRgb` makes frames of it."""
    if is_float(pixel_format):
        return pixel_format.name in _FLOATS
    if is_grey(pixel_format):
        return bit_depth(pixel_format) >= 8 and not pixel_format.is_bit_stream
    if is_rgb(pixel_format):
        is_rgba64 = has_alpha(pixel_format) and bit_depth(pixel_format) > 8
        return not is_rgba64 or pixel_format.name.startswith(("gbrap", "rgba64"))
    is_packed_alpha = has_alpha(pixel_format) and not pixel_format.is_planar
    return chroma in ((4, 4), (4, 8), (8, 8)) and not is_packed_alpha
