"""The frames of an image sequence, each from a file of its own. All images get one format."""

from collections.abc import Iterator
from pathlib import Path

from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from stsr_cli.errors import InputError
from stsr_cli.text import plural
from stsr_cli.video.colour.alpha import decoded
from stsr_cli.video.colour.meaning import bit_depth, is_grey
from stsr_cli.video.damage import Counted
from stsr_cli.video.probe import SourceInfo, find_video, first_frame, open_input, shown


def decode_images(source: SourceInfo, start: int, counted: Counted) -> Iterator[VideoFrame]:
    """Decode the images from number `start` on, counted from 0; the pts of each is its number.

    In the place of one that cannot be read the image before is shown again, as often as `source.options` allow; those
    before the first that can be are left out. `counted` says how many there were.

    Programs that write sequences choose a format image by image: a dark one becomes grey, one of few colours a
    palette. They are converted one by one, to the depth of the richest that `probe` has seen.

    Raises:
        InputError: more images than allowed cannot be read, or one has another size than the first, or holds more than
            its format can.
    """
    frame: VideoFrame | None = None
    num_bad, limit = 0, source.options.max_bad_frames
    for index, path in enumerate(source.images[start:], start):
        try:
            found = _decode(path, source)
        except InputError as error:
            num_bad += 1
            if num_bad > limit:
                more = (
                    f" ({plural(num_bad, 'damaged image')}; see --max-bad-frames)" if limit else ""
                )
                raise InputError(f"{error}{more}") from error
            if frame is None:
                counted.num_skipped += 1
                continue
            counted.num_held += 1
            frame.pts = index
            yield frame
            continue
        frame = found
        counted.num_corrupt += frame.is_corrupt
        is_other = (frame.width, frame.height) != (source.width, source.height)
        if is_other and source.options.on_size_change == "stop":
            raise InputError(
                f"{shown(path)} is {frame.width}x{frame.height} and {shown(source.images[0])} is "
                f"{source.width}x{source.height}; --on-size-change fit scales all images into the first one's size"
            )
        if frame.format.name != source.pix_fmt:
            _check_alike(frame, source, path)
        frame.pts, frame.time_base, frame.duration = index, source.time_base, 1
        yield frame


def _decode(path: Path, source: SourceInfo) -> VideoFrame:
    with open_input(path, options=source.options) as container:
        video = find_video(container, path)
        return first_frame(decoded(container, video), video, path)[0]


def _check_alike(frame: VideoFrame, source: SourceInfo, path: Path) -> None:
    """Refuse an image that holds more than the format of the sequence; what holds less is converted as it is read."""
    is_deeper = bit_depth(frame.format) > max(8, source.bit_depth)
    is_more = is_grey(VideoFormat(source.pix_fmt, 8, 8)) and not is_grey(frame.format)
    if is_deeper or is_more:
        raise InputError(
            f"{shown(path)} is {frame.format.name} and other images of the sequence are {source.pix_fmt}; "
            "convert them to one format"
        )
