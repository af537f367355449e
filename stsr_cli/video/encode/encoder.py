"""Which pixel format, tags and options the output's encoder gets, settled before anything is opened."""

from dataclasses import dataclass, replace
from fractions import Fraction

import av
from av.codec.context import ThreadType
from av.container import OutputContainer
from av.video.format import VideoFormat
from av.video.stream import VideoStream

from stsr_cli.errors import DeviceError, UsageError
from stsr_cli.options import EncodeOptions
from stsr_cli.video.colour.alpha import stream_tags
from stsr_cli.video.colour.chroma import tag_options
from stsr_cli.video.colour.hdr import appended
from stsr_cli.video.colour.keeping import settle_colour, settle_tags
from stsr_cli.video.colour.meaning import ColourTags, is_grey, is_rgb
from stsr_cli.video.colour.pixel_format import auto_pix_fmt, checked_pix_fmt
from stsr_cli.video.encode.codecs import encoder_of, find_encoder, held_by
from stsr_cli.video.encode.encoder_options import settle_options
from stsr_cli.video.encode.geometry import (
    Size,
    check_limits,
    keeps_pixel_shape,
    settle_geometry,
    squared,
)
from stsr_cli.video.encode.orientation import keeps_display_matrix, swaps_axes, upright_source
from stsr_cli.video.encode.restraint import restrained
from stsr_cli.video.hardware import PLANAR
from stsr_cli.video.messages import messages_captured
from stsr_cli.video.probe import SourceInfo, reason, shown
from stsr_cli.video.side_data.immersive import FLAT, Immersive, settle_immersive
from stsr_cli.video.side_data.support import CAPTIONS, lost_beside
from stsr_cli.video.target import MOV_FAMILY, PICTURES_ALONE

_COMPLAINTS = ("Error parsing option", "Unknown option", "Invalid value")


@dataclass(frozen=True)
class EncoderPlan:
    """Everything an encoder is opened with.

    Attributes:
        codec: name of the encoder.
        pix_fmt: name of the pixel format that frames are made in.
        width: of the output, in pixels, as it is stored.
        height: likewise.
        tags: colour tags of the output, and what to convert with.
        options: of the encoder; nothing that it does not know.
        coded_pix_fmt: name of the pixel format that the encoder takes: `pix_fmt`, or the same laid out in another way.
        sample_aspect_ratio: width / height of one pixel, or None where it is left untold.
        display_matrix: as in `SourceInfo`, or None.
        turn: display matrix that frames are turned by before they are encoded, since the container cannot say it, or
            None. Width, height and sample aspect ratio are those after it.
        has_alpha: whether frames are written with the source's alpha.
        immersive: what is said of stereo and spherical pictures.
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
    coded_pix_fmt: str
    sample_aspect_ratio: Fraction | None
    display_matrix: tuple[int, ...] | None
    turn: tuple[int, ...] | None = None
    has_alpha: bool = False
    is_grey: bool = False
    immersive: Immersive = FLAT
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def frame_size(self) -> tuple[int, int]:
        """(height, width) of the frames to be written, before they are turned."""
        is_swapped = self.turn is not None and swaps_axes(self.turn)
        return (self.width, self.height) if is_swapped else (self.height, self.width)


def plan_encoder(
    source: SourceInfo,
    encode: EncodeOptions,
    *,
    scale: int,
    format_name: str,
    size: Size | None = None,
) -> EncoderPlan:
    """Settle how `source`, enlarged by `scale`, is encoded into a container of a format.

    Args:
        source: what is upscaled.
        encode: what was asked for.
        scale: of the networks.
        format_name: FFmpeg's name of the muxer.
        size: of the output as shown, or None: what the networks make.

    Raises:
        UsageError: unknown codec, option, preset or pixel format, a value off its scale, a size that the encoder cannot
            take, or a combination that cannot be.
    """
    codec = find_encoder(encode.codec, format_name)
    options, notes = settle_options(codec, encode)
    turn = None
    if source.display_matrix and not keeps_display_matrix(format_name):
        turn, source = source.display_matrix, upright_source(source)
        notes.append(f"{format_name} cannot say how to turn the picture: its pixels are turned")
    mute = f"{codec.name} in {format_name} cannot say that pixels are not square"
    if size is None and not _is_kept(source.sample_aspect_ratio, codec.name, format_name):
        size = squared(source, scale)
        notes.append(f"{mute}: they are made square")
    coded = [pixel_format.name for pixel_format in codec.video_formats or ()]
    supported = [*coded, *(PLANAR[name] for name in coded if name in PLANAR)]
    # A size that is asked for is rounded to what the pixel format needs; another one the format must follow.
    width, height = (8, 8) if size else (source.width * scale, source.height * scale)
    if encode.pix_fmt == "auto":
        is_odd = bool(width % 2 or height % 2)
        pix_fmt = auto_pix_fmt(
            source, codec.name, supported, is_odd=is_odd, format_name=format_name
        )
    else:
        pix_fmt = checked_pix_fmt(encode.pix_fmt, codec.name, supported, width, height)
    layout = VideoFormat(pix_fmt, 8, 8)
    multiple_of = (1, 1)
    if not is_rgb(layout):
        multiple_of = (8 // layout.chroma_width(8), 8 // layout.chroma_height(8))
    geometry = settle_geometry(source, scale, size, multiple_of, pix_fmt)
    width, height = geometry.width, geometry.height
    check_limits(codec.name, width, height)
    warnings = []
    if not _is_kept(geometry.sample_aspect_ratio, codec.name, format_name):
        geometry = replace(geometry, sample_aspect_ratio=None)
        warnings.append(f"{mute}, so the picture changes its shape; --height makes them square")
    packed = (name for name in coded if PLANAR.get(name) == pix_fmt)
    tags = settle_tags(source, codec.name, pix_fmt, height)
    kept = settle_colour(source, codec.name, pix_fmt, format_name)
    options = appended(options | tag_options(tags.chroma_location), kept.options)
    immersive, not_immersive = settle_immersive(source.immersive, is_turned=turn is not None)
    beside = source.beside
    if format_name not in PICTURES_ALONE:  # the tracks can hold the text of captions
        beside -= {CAPTIONS}
    lost = [f"{what} cannot be kept with {codec.name}" for what in lost_beside(beside, codec.name)]
    return EncoderPlan(
        codec=codec.name,
        pix_fmt=pix_fmt,
        coded_pix_fmt=pix_fmt if pix_fmt in coded or not coded else next(packed),
        width=width,
        height=height,
        sample_aspect_ratio=geometry.sample_aspect_ratio,
        display_matrix=geometry.display_matrix,
        tags=tags,
        options=options,
        turn=turn,
        has_alpha=kept.has_alpha,
        is_grey=is_grey(VideoFormat(source.pix_fmt, 8, 8)),
        immersive=immersive.scaled(width / source.width),
        notes=(*notes, *geometry.notes, *kept.notes),
        warnings=(*warnings, *kept.warnings, *not_immersive, *lost),
    )


def _is_kept(shape: Fraction | None, codec: str, format_name: str) -> bool:
    return shape in (None, 1) or keeps_pixel_shape(codec, format_name)


def add_video(
    output: OutputContainer, source: SourceInfo, plan: EncoderPlan, time_scale: int
) -> VideoStream:
    """Add the video stream to an output whose header is not written yet.

    Time base and frame rate are the source's, adapted to the factor; the rest is the plan's.

    Raises:
        UsageError: the container cannot hold the codec, or its clock the times.
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
        name = output.format.name
        raise UsageError(
            f"{name} cannot hold {plan.codec} video; write a .mkv, or use --codec {' or '.join(held_by(name))}"
        ) from None
    except OverflowError:  # of FFmpeg's 31 bits
        raise UsageError(
            f"the clock of {shown(source.path)} has {source.time_base.denominator} ticks a second, too many to divide "
            f"by {time_scale}; give the output a rate of its own with --fps"
        ) from None
    assert isinstance(video, VideoStream)
    context = video.codec_context
    context.pix_fmt = plan.coded_pix_fmt
    context.thread_type = ThreadType.AUTO
    if context.codec.canonical_name == "hevc" and output.format.name in MOV_FAMILY:
        context.codec_tag = "hvc1"  # Apple's players take no hev1
    context.colorspace, context.color_range = plan.tags.matrix, plan.tags.range
    context.color_primaries, context.color_trc = plan.tags.primaries, plan.tags.transfer
    if plan.has_alpha:
        video.metadata.update(stream_tags(plan.codec, output.format.name))
    if plan.sample_aspect_ratio:
        context.sample_aspect_ratio = plan.sample_aspect_ratio
    if plan.display_matrix:
        video.set_display_matrix(plan.display_matrix)
    return video


def open_encoder(video: VideoStream, plan: EncoderPlan) -> None:
    """Open the encoder, so that what cannot work fails now, with the reason that it gives itself.

    Raises:
        DeviceError: the device that it runs on is not there, or refuses.
        UsageError: it takes no such size, pixel format or options.
    """
    failure: Exception | None = None
    try:
        with restrained(), messages_captured(av.logging.WARNING) as logged:
            video.codec_context.open(strict=False)
    except (av.FFmpegError, ValueError) as error:
        failure = error
    lines = [text.strip() for _, _, text in logged if text.strip()]
    complaints = [line for line in lines if line.startswith(_COMPLAINTS)]
    if failure is None and not complaints:
        return
    why = complaints[0] if complaints else lines[-1] if lines else reason(failure or Exception())
    needs = encoder_of(plan.codec).needs
    if needs and not complaints:
        raise DeviceError(
            f"{plan.codec} needs {needs} with its driver, and cannot be opened here ({why}); use --codec "
            f"{_software(video)}"
        ) from failure
    said = ", ".join(f"{key}={value}" for key, value in plan.options.items())
    raise UsageError(
        f"{plan.codec} refuses {plan.width}x{plan.height} in {plan.coded_pix_fmt}"
        f"{f' with {said}' if said else ''} ({why}); try other options, another codec, pixel format or size"
    ) from failure


def _software(video: VideoStream) -> str:
    """The encoder on the CPU for the same coding."""
    coding = video.codec_context.codec.canonical_name
    known = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1", "vp9": "libvpx-vp9"}
    return known.get(coding, "libx264")
