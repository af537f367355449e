"""Which pixel format the output gets: the one nearest to the source's, or the one asked for."""

from av.video.format import VideoFormat

from stsr_cli.errors import UsageError
from stsr_cli.video.colour import bit_depth, is_rgb
from stsr_cli.video.probe import SourceInfo


def auto_pix_fmt(source: SourceInfo, codec: str, supported: list[str], *, is_odd: bool) -> str:
    """The source's family at its depth, or the nearest that the encoder takes.

    Nearest means, in this order: 10 bits for other depths above 8; RGB as 4:4:4; full range stays by its tag (yuv420p
    instead of yuvj420p); 4:4:4 for a source whose subsampling there is no format for (4:1:0, 4:1:1); 4:2:0 for grey; 8
    bits when the encoder knows no more, and 10 bits, or RGB, when it knows nothing else. Sizes that 4:2:0 or 4:2:2
    cannot hold become 4:4:4.

    Raises:
        UsageError: the encoder takes none of these.
    """
    source_format = VideoFormat(source.pix_fmt, 8, 8)
    family = _family(source_format)
    depths = [] if source.bit_depth <= 8 else list(dict.fromkeys((source.bit_depth, 10, 12)))
    candidates = []
    if is_rgb(source_format):
        candidates += [f"gbrp{depth}le" for depth in (*depths, 16) if depths]
        candidates += ["gbrp", "rgb24", "bgr0", "bgr24", "rgb0"]
    for subsampling in ("444",) if is_odd else dict.fromkeys((family, "444", "420")):
        candidates += [f"yuv{subsampling}p{depth}le" for depth in depths]
        candidates += [f"yuv{subsampling}p", f"yuvj{subsampling}p"]
    # Encoders of deep colour alone (ProRes), and of RGB alone.
    chromas = ("444",) if is_odd or family == "444" else ("422", "444")
    candidates += [*(f"yuv{chroma}p10le" for chroma in chromas), "rgb24", "gbrp"]
    for candidate in candidates:
        if candidate in supported or not supported:
            return candidate
    odd = " of an odd size" if is_odd else ""
    raise UsageError(
        f"{codec} takes no pixel format for {source.pix_fmt}{odd}; choose --pix-fmt from {', '.join(supported)}, "
        "or libx264"
    )


def _family(pixel_format: VideoFormat) -> str:
    if is_rgb(pixel_format):
        return "444"
    if len(pixel_format.components) < 3:
        return "420"
    chroma = (pixel_format.chroma_width(8), pixel_format.chroma_height(8))
    return {(4, 4): "420", (4, 8): "422"}.get(chroma, "444")


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
    is_yuv = len(pixel_format.components) >= 3 and chroma in ((4, 4), (4, 8), (8, 8))
    if (
        (supported and name not in supported)
        or not (is_rgb(pixel_format) or is_yuv)
        or bit_depth(pixel_format) > 16
    ):
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
