"""A picture as the bytes of an image file: lossless WebP, or JPEG without subsampled colours where size matters."""

from fractions import Fraction

from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from stsr_cli.video.colour.convert import Pixels
from stsr_cli.video.colour.meaning import MATRIX_BT601, RANGE_FULL

JPEG_QUANTISER = 2  # of mjpeg, 1 being the finest: 44 dB of an upscaled frame, a fifth of its size as lossless WebP


def webp(pixels: Pixels) -> bytes:
    """Encode (H, W, 3) uint8 RGB without loss; about 0.8 bytes a pixel of an upscaled frame."""
    return _encode(VideoFrame.from_ndarray(pixels, format="rgb24"), "libwebp", "bgra")


def jpeg(pixels: Pixels) -> bytes:
    """Encode (H, W, 3) uint8 RGB as JPEG, 4:4:4; about 0.15 bytes a pixel and 44 dB of an upscaled frame.

    Lossy WebP would be smaller and always halves the resolution of colours, which are compared here, too.
    """
    return _encode(VideoFrame.from_ndarray(pixels, format="rgb24"), "mjpeg", "yuvj444p")


def _encode(frame: VideoFrame, codec: str, pix_fmt: str) -> bytes:
    context = CodecContext.create(codec, "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = frame.width, frame.height, pix_fmt
    context.time_base = Fraction(1)
    if codec == "libwebp":
        context.options = {"lossless": "1"}
        frame = frame.reformat(format=pix_fmt)
    else:
        context.qmin = context.qmax = JPEG_QUANTISER
        # what JPEG's standard says of every file without a profile
        frame = frame.reformat(
            format=pix_fmt, dst_colorspace=MATRIX_BT601, dst_color_range=RANGE_FULL
        )
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])
