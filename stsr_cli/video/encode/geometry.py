"""How large the output is, and the shape of its pixels: what the networks make, or the size asked for.

A size that is asked for counts as shown: after the turn that the file leaves to its player.
"""

import functools
import io
from dataclasses import dataclass
from fractions import Fraction

import av
from av.video.stream import VideoStream

from stsr_cli.errors import UsageError
from stsr_cli.video.encode.codecs import encoder_of
from stsr_cli.video.encode.orientation import is_turned
from stsr_cli.video.encode.restraint import restrained
from stsr_cli.video.probe import SourceInfo
from stsr_cli.video.trial import blank_frame, opened_trial, trial_container

Size = tuple[int | None, int]  # as shown; a width of None follows from the picture's shape

_HIGHEST_RATIO = 4096  # of a pixel's sides, in lowest terms, that every encoder can say
_TRIAL_SIZE = (192, 128)  # pixels; hardware encoders take none much smaller
_FFMPEG_BYTES = 2**31 - 1


@dataclass(frozen=True)
class Geometry:
    """Of the output, as it is stored.

    Attributes:
        width, height: in pixels.
        sample_aspect_ratio: width / height of one pixel, or None: the source does not tell and it is 1.
        display_matrix: as in `SourceInfo`, its translation in the output's pixels.
        notes: what a user should know, a sentence each.
    """

    width: int
    height: int
    sample_aspect_ratio: Fraction | None
    display_matrix: tuple[int, ...] | None
    notes: tuple[str, ...] = ()


def settle_geometry(
    source: SourceInfo, scale: int, size: Size | None, multiple_of: tuple[int, int], pix_fmt: str
) -> Geometry:
    """The size and shape of the output.

    With a width and a height the picture keeps its shape on the screen, and the pixels become what that takes; they are
    square if the size has that very shape. With a height alone they are square.

    Args:
        source: what is upscaled.
        scale: of the networks.
        size: asked for, or None.
        multiple_of: what stored width and height must be multiples of.
        pix_fmt: the reason for that, for a note.
    """
    width, height = source.width * scale, source.height * scale
    if size is None:
        return Geometry(
            width, height, source.sample_aspect_ratio, _scaled_matrix(source, width, height)
        )
    shape = source.sample_aspect_ratio or Fraction(1)
    aspect = Fraction(source.width, source.height) * shape  # of the stored picture on the screen
    wanted: tuple[int | None, int | None] = size
    if is_turned(source):  # what is shown as height is stored as width
        wanted = (size[1], size[0])
    new_width, new_height = (
        None if side is None else _down(side, multiple)
        for side, multiple in zip(wanted, multiple_of, strict=True)
    )
    if new_width is None:
        assert new_height is not None
        new_width = _near(new_height * aspect, multiple_of[0])
    elif new_height is None:
        new_height = _near(new_width / aspect, multiple_of[1])
    rounding = max(Fraction(multiple_of[0]), multiple_of[1] * aspect)
    is_square = abs(new_width - new_height * aspect) < rounding
    exact = Fraction(1) if is_square else aspect * new_height / new_width
    ratio = None if is_square and source.sample_aspect_ratio is None else _sayable(exact)
    notes = []
    if any(
        side not in (None, new) for side, new in zip(wanted, (new_width, new_height), strict=True)
    ):
        notes.append(f"{pix_fmt} needs even sizes: the output is {new_width}x{new_height}")
    if not is_square:
        notes.append(
            f"pixels of {ratio} keep the shape of the picture at {new_width}x{new_height}; "
            "--height makes them square"
        )
    if scale == 1:
        notes.append("the size changes by Lanczos alone at --scale 1")
    elif new_width > width or new_height > height:
        notes.append(f"from the networks' {width}x{height} on, the picture is enlarged by Lanczos")
    matrix = _scaled_matrix(source, new_width, new_height)
    return Geometry(new_width, new_height, ratio, matrix, tuple(notes))


def squared(source: SourceInfo, scale: int) -> Size:
    """The size as shown, in square pixels, of what the networks make; the longer side of a pixel gets more of them."""
    shape = source.sample_aspect_ratio or Fraction(1)
    width = round(source.width * scale * max(shape, Fraction(1)))
    height = round(source.height * scale / min(shape, Fraction(1)))
    return (height, width) if is_turned(source) else (width, height)


@functools.cache
def keeps_pixel_shape(codec: str, format_name: str) -> bool:
    """Whether pixels that are not square come back from a container of a format: it is tried, in memory.

    Some codings say it themselves; of the others PyAV 18 tells it to the muxers of MP4 and QuickTime alone.
    """
    data, shape = io.BytesIO(), Fraction(4, 3)
    try:
        with restrained(), trial_container(data, format_name) as output:
            video = output.add_stream(codec, rate=25)
            assert isinstance(video, VideoStream)
            formats = video.codec_context.codec.video_formats
            video.width, video.height = _TRIAL_SIZE
            video.pix_fmt = formats[0].name if formats else "yuv420p"
            video.codec_context.sample_aspect_ratio = shape
            frame = blank_frame(*_TRIAL_SIZE, video.pix_fmt)
            output.mux([*video.encode(frame), *video.encode(None)])
        with opened_trial(data, format_name) as back:
            next(back.decode(video=0))
            return back.streams.video[0].sample_aspect_ratio == shape
    except (av.FFmpegError, OSError, ValueError, StopIteration):
        return False


def check_limits(codec: str, width: int, height: int) -> None:
    """Refuse a size that the encoder cannot take.

    Raises:
        UsageError: it is too large.
    """
    most_wide, most_high = encoder_of(codec).largest
    advice = "choose a smaller --scale, or --size or --height, or another --codec such as ffv1"
    if width > most_wide or height > most_high:
        raise UsageError(
            f"{codec} takes {most_wide}x{most_high} pixels at most and the output is {width}x{height}; {advice}"
        )
    if 8 * (width + 128) * (height + 128) >= _FFMPEG_BYTES:  # av_image_check_size2
        raise UsageError(
            f"FFmpeg holds no picture of {width}x{height} pixels (268 million at most); "
            "choose a smaller --scale, or --size or --height"
        )


def _down(side: int, multiple_of: int) -> int:
    return max(side // multiple_of, 1) * multiple_of


def _near(side: Fraction, multiple_of: int) -> int:
    return max(round(side / multiple_of), 1) * multiple_of


def _sayable(ratio: Fraction) -> Fraction:
    """The nearest ratio whose terms are small enough for every encoder."""
    if ratio > 1:
        return 1 / _sayable(1 / ratio)
    return max(ratio, Fraction(1, _HIGHEST_RATIO)).limit_denominator(_HIGHEST_RATIO)


def _scaled_matrix(source: SourceInfo, width: int, height: int) -> tuple[int, ...] | None:
    """The translation of a display matrix is in pixels of the picture as shown."""
    if source.display_matrix is None:
        return None
    factors = [Fraction(width, source.width), Fraction(height, source.height)]
    if is_turned(source):
        factors.reverse()
    matrix = list(source.display_matrix)
    matrix[6], matrix[7] = (round(matrix[6 + axis] * factors[axis]) for axis in (0, 1))
    return tuple(matrix)
