"""Which pixel format, tags and options the output's encoder gets, settled before anything is opened."""

from dataclasses import dataclass
from fractions import Fraction

import av
from av.codec import Codec
from av.codec.context import ThreadType
from av.container import OutputContainer
from av.video.format import VideoFormat
from av.video.stream import VideoStream

from stsr_cli.errors import UsageError
from stsr_cli.options import EncodeOptions
from stsr_cli.video.alpha import stream_tags
from stsr_cli.video.chroma import tag_options
from stsr_cli.video.colour import ColourTags, is_grey, output_tags
from stsr_cli.video.hdr import appended
from stsr_cli.video.keeping import settle_colour
from stsr_cli.video.pixel_format import auto_pix_fmt, checked_pix_fmt
from stsr_cli.video.probe import SourceInfo

_PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
)
_X264 = ("libx264", "libx264rgb")
_WITH_PRESET = (*_X264, "libx265")
_HIGHEST_CRF = {
    "libx264": 51,
    "libx264rgb": 51,
    "libx265": 51,
    "libvpx": 63,
    "libvpx-vp9": 63,
    "libaom-av1": 63,
    "libsvtav1": 63,
}


@dataclass(frozen=True)
class EncoderPlan:
    """Everything an encoder is opened with.

    Attributes:
        codec: name of the encoder.
        pix_fmt: name of the pixel format.
        width: of the output, in pixels.
        height: of the output, in pixels.
        tags: colour tags of the output, and what to convert with.
        options: private options of the encoder; nothing that it does not know.
        has_alpha: whether frames are written with the source's alpha.
        is_grey: whether the source is grey, so that the output's chroma is neutral.
        notes: what a user should know that loses nothing, a sentence each.
        warnings: what of the source it cannot keep, a sentence each.
    """

    codec: str
    pix_fmt: str
    width: int
    height: int
    tags: ColourTags
    options: dict[str, str]
    has_alpha: bool = False
    is_grey: bool = False
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def plan_encoder(
    source: SourceInfo, encode: EncodeOptions, *, scale: int, format_name: str
) -> EncoderPlan:
    """Settle how `source`, enlarged by `scale`, is encoded into a container of a format.

    Raises:
        UsageError: unknown codec, preset or pixel format, crf out of range, or a combination that cannot be.
    """
    codec = _find_encoder(encode.codec)
    width, height = source.width * scale, source.height * scale
    supported = [pixel_format.name for pixel_format in codec.video_formats or ()]
    if encode.pix_fmt == "auto":
        is_odd = bool(width % 2 or height % 2)
        pix_fmt = auto_pix_fmt(
            source, codec.name, supported, is_odd=is_odd, format_name=format_name
        )
    else:
        pix_fmt = checked_pix_fmt(encode.pix_fmt, codec.name, supported, width, height)
    tags = output_tags(source.colour, VideoFormat(pix_fmt, width, height), height, codec.name)
    kept = settle_colour(source, codec.name, pix_fmt, format_name)
    options = _codec_options(codec.name, encode) | tag_options(tags.chroma_location)
    return EncoderPlan(
        codec=codec.name,
        pix_fmt=pix_fmt,
        width=width,
        height=height,
        tags=tags,
        options=appended(options, kept.options),
        has_alpha=kept.has_alpha,
        is_grey=is_grey(VideoFormat(source.pix_fmt, 8, 8)),
        notes=tuple(kept.notes),
        warnings=tuple(kept.warnings),
    )


def add_video(
    output: OutputContainer, source: SourceInfo, plan: EncoderPlan, scale: int, time_scale: int
) -> VideoStream:
    """Add the video stream to an output whose header is not written yet.

    Time base, frame rate, pixel shape and display matrix are the source's, adapted to both factors.

    Raises:
        UsageError: the container cannot hold the codec.
    """
    time_base = source.time_base / time_scale
    try:
        video = output.add_stream(
            plan.codec,
            rate=(source.frame_rate or Fraction(25)) * time_scale,
            options=plan.options,
            time_base=time_base,
            width=plan.width,
            height=plan.height,
        )
    except ValueError:
        raise UsageError(
            f"{output.format.name} cannot hold {plan.codec} video; write a .mkv, or choose another codec"
        ) from None
    assert isinstance(video, VideoStream)
    context = video.codec_context
    context.pix_fmt = plan.pix_fmt
    context.thread_type = ThreadType.AUTO
    context.colorspace, context.color_range = plan.tags.matrix, plan.tags.range
    context.color_primaries, context.color_trc = plan.tags.primaries, plan.tags.transfer
    if plan.has_alpha:
        video.metadata.update(stream_tags(plan.codec, output.format.name))
    if source.sample_aspect_ratio:
        context.sample_aspect_ratio = source.sample_aspect_ratio
    if source.display_matrix:
        matrix = list(source.display_matrix)
        matrix[6], matrix[7] = matrix[6] * scale, matrix[7] * scale  # the translation, in pixels
        video.set_display_matrix(matrix)
    return video


def _find_encoder(name: str) -> Codec:
    try:
        codec = Codec(name, "w")
    except (av.FFmpegError, ValueError):
        raise UsageError(
            f"unknown codec {name!r}; use libx264, libx265, ffv1 or another encoder"
        ) from None
    if codec.type != "video":
        raise UsageError(
            f"{name} encodes {codec.type}; choose a video codec such as libx264 or ffv1"
        )
    return codec


def _codec_options(codec: str, encode: EncodeOptions) -> dict[str, str]:
    """Options of the encoders that have a crf or a preset; none for the others."""
    options = {}
    if codec in _HIGHEST_CRF:
        highest = _HIGHEST_CRF[codec]
        if not 0 <= encode.crf <= highest:
            raise UsageError(
                f"crf {encode.crf} is out of range; {codec} takes 0 (best) to {highest}"
            )
        options["crf"] = str(encode.crf)
    if codec in _WITH_PRESET:
        if encode.preset not in _PRESETS:
            raise UsageError(
                f"unknown preset {encode.preset!r}; {codec} takes {', '.join(_PRESETS)}"
            )
        options["preset"] = encode.preset
    if codec in _X264 and encode.crf == 0:
        options["qp"] = options.pop("crf")  # crf 0 is lossless at 8 bits only, qp 0 at any depth
    if codec == "libx265":
        options["x265-params"] = "log-level=error" + (":lossless=1" if encode.crf == 0 else "")
    return options
