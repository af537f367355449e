"""Transparency: which sources have it, how it is decoded, which encoders and containers keep it.

Alpha is taken as straight, as PNG, ProRes, FFV1 and VP9 mean it, and is never multiplied into the colours.
"""

from collections.abc import Iterator

import numpy as np
from av.codec.context import CodecContext
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stsr_cli.video.colour.levels import plane
from stsr_cli.video.colour.meaning import has_alpha

# FFmpeg's own decoders of these drop alpha, which lies beside each packet; the libraries' do not.
_DECODERS_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_VPX = frozenset({"libvpx", "libvpx-vp9"})
_HIDDEN = frozenset({"libx265"})  # takes yuva420p, and few decoders read the alpha back
_MATROSKA = frozenset({"matroska", "webm"})
_MAYBE_OPAQUE = frozenset(
    {"gif", "png", "apng", "webp"}
)  # decoded to formats with alpha whether it is used or not


def decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Every frame of a stream from where the container stands, with its alpha, the decoder drained.

    Raises:
        av.FFmpegError, OSError, ValueError: as PyAV's own decoding does.
    """
    decoder = decoder_with_alpha(stream)
    if decoder is None:
        yield from container.decode(stream)
        return
    for packet in container.demux(stream):
        yield from decoder.decode(packet)


def decoder_with_alpha(stream: VideoStream) -> VideoCodecContext | None:
    """A decoder that gives the alpha of a stream where PyAV's own choice would not; None elsewhere."""
    name = _DECODERS_WITH_ALPHA.get(stream.codec_context.name)
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    if name is None or tags.get("alpha_mode") != "1":
        return None
    decoder = CodecContext.create(name, "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.extradata = stream.codec_context.extradata
    return decoder


def carries_alpha(frame: VideoFrame, stream: VideoStream) -> bool:
    """Whether a stream has alpha to keep, by its first frame.

    That of a palette, a GIF, a PNG or a WebP counts if this frame is not opaque.
    """
    if not has_alpha(frame.format):
        return False
    if not (frame.format.has_palette or stream.codec_context.name in _MAYBE_OPAQUE):
        return True
    rgba = frame.reformat(format="rgba")
    return bool(np.any(plane(rgba, 0, 4)[..., 3] != 255))


def can_hold_alpha(codec: str, format_name: str) -> bool:
    """Whether a codec that takes a format with alpha keeps it in a container.

    VP8 and VP9 do in Matroska and WebM alone.
    """
    return codec not in _HIDDEN and (codec not in _VPX or format_name in _MATROSKA)


def is_usual_alpha(codec: str, pix_fmt: str) -> bool:
    """Whether decoders can be expected to know a format with alpha; of VP8 and VP9 that is 4:2:0 alone."""
    return codec not in _VPX or pix_fmt == "yuva420p"


def stream_tags(codec: str, format_name: str) -> dict[str, str]:
    """Tags of a stream that is written with alpha, without which it is not read."""
    is_told = codec in _VPX and format_name in _MATROSKA
    return {"alpha_mode": "1"} if is_told else {}


def encoder_options(codec: str) -> dict[str, str]:
    """Options without which an encoder refuses alpha."""
    return {"auto-alt-ref": "0"} if codec == "libvpx" else {}
