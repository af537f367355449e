"""Decoded frames of a local file, or of a sequence of them, as RGB arrays with exact timestamps, lazily."""

import itertools
import math
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame

from stsr_cli.errors import InputError
from stsr_cli.video.colour.convert import Pixels, ToRgb
from stsr_cli.video.colour.levels import to_depth
from stsr_cli.video.colour.tonemap import ToneMapper
from stsr_cli.video.damage import REFUSALS, is_time
from stsr_cli.video.hardware import accelerator, on_host
from stsr_cli.video.images.image_reader import decode_images
from stsr_cli.video.messages import let_thread
from stsr_cli.video.opening import address
from stsr_cli.video.probe import (
    SourceInfo,
    find_video,
    first_frame,
    open_input,
    open_source,
    probe,
    shown,
)
from stsr_cli.video.salvage import Salvage, decoder_of, salvaged
from stsr_cli.video.side_data.decoded import messages_of
from stsr_cli.video.side_data.queue import SideDataQueue
from stsr_cli.video.size_changes import Fitter, advice
from stsr_cli.video.timing.clock_resets import joined_packets
from stsr_cli.video.timing.deinterlace import FrameFlags, deinterlace
from stsr_cli.video.timing.timeline import PtsRepair

_NUM_EARLY = 500  # packets
_MOST_BYTES = 1 << 30
_SEEK_SECONDS = (0, 2, 10, 60)


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded frame.

    Attributes:
        pixels: (H, W, 3) RGB, or (H, W, 4) with alpha, straight, where that was asked for; full range; uint8, or
            uint16 with white at 65535 for sources of more than 8 bits.
        pts: when it is shown, in ticks of `time_base`; strictly increasing within a file.
        duration: for how long, in ticks, or None when the file does not tell.
        time_base: seconds per tick.
        fitted_from: width and height as decoded, where that was another size than the first frame's.
    """

    pixels: Pixels
    pts: int
    duration: int | None
    time_base: Fraction
    fitted_from: tuple[int, int] | None = None


def read_frames(
    source: str | os.PathLike[str] | SourceInfo,
    repair: PtsRepair | None = None,
    start_pts: int | None = None,
    flags: FrameFlags | None = None,
    *,
    with_alpha: bool = False,
    side_data: SideDataQueue | None = None,
) -> Generator[Frame]:
    """Decode every frame of a video or still image, one at a time, in presentation order.

    What is damaged beyond decoding is replaced by the frame before, as often as `source.options` allow.

    The file is open from the first frame until the iterator ends, fails or is closed. Memory does
    not grow with the length of the video.

    Args:
        source: a local file, or what `probe` said about it.
        repair: pass one to learn afterwards how many timestamps had to be repaired.
        start_pts: begin with the frame shown at or after this, in ticks; it is reached from the
            keyframe before it, so what lies further back costs nothing.
        flags: likewise of interlaced and of damaged frames.
        with_alpha: give alpha as a fourth channel; opaque where there is none.
        side_data: gets what lies beside each decoded frame, in the clock of the frames that are given.

    Raises:
        InputError: the file cannot be read, is damaged more than allowed, or changes its frame size on the way, unless
            `source.options` have that fitted.
    """
    if not isinstance(source, SourceInfo):
        source = probe(Path(source))
    repair, flags = repair or PtsRepair(source.start_pts + source.shift), flags or FrameFlags()
    to_rgb = _converter(source, with_alpha=with_alpha)
    if source.begin_pts is not None:
        start_pts = source.begin_pts if start_pts is None else max(start_pts, source.begin_pts)
    first_pts, time_base = None, source.time_base
    if start_pts is not None:
        first_pts = start_pts + source.shift
    if source.deinterlace == "fields":  # the file counts in ticks of twice the length
        first_pts, time_base = first_pts and first_pts // 2, 2 * time_base
    fitter = Fitter(source)
    decoded = _decode(source, first_pts, time_base, flags, fitter)
    timed = _timed(decoded, repair)
    if side_data is not None:
        start = source.shift * source.time_base
        timed = _collected(timed, side_data, time_base, start)
    made: set[int] = set()
    frames = deinterlace(timed, source.deinterlace, time_base, made)
    crop = source.cropping
    width, height = source.width + crop.left + crop.right, source.height + crop.top + crop.bottom
    rows, columns = slice(crop.top, height - crop.bottom), slice(crop.left, width - crop.right)
    for index, frame in enumerate(frames):
        assert frame.pts is not None
        pts, is_made = frame.pts - source.shift, frame.pts in made
        made.discard(frame.pts)
        if source.end_pts is not None and pts >= source.end_pts:
            return
        if start_pts is not None and pts < start_pts:
            continue
        flags.count(frame, is_made)
        size = (frame.width, frame.height)
        if size == (width, height):
            pixels: Any = np.ascontiguousarray(to_rgb(frame)[rows, columns])
            yield Frame(pixels, pts, frame.duration or None, source.time_base)
        elif source.options.on_size_change == "fit":
            fitted = fitter.fit(to_rgb(frame))
            yield Frame(fitted, pts, frame.duration or None, source.time_base, size)
        else:
            raise InputError(
                f"{shown(source.path)} changes its size from {width}x{height} to {frame.width}x{frame.height} at frame "
                f"{index}; {advice(source)}"
            )


def _converter(source: SourceInfo, *, with_alpha: bool) -> Callable[[VideoFrame], Pixels]:
    """From decoded frames to those that `read_frames` gives."""
    mapping, depth = source.tone_mapping, source.bit_depth
    if mapping is None:
        return ToRgb(source.colour, with_alpha=with_alpha, depth=depth)
    to_rgb, tone_map = ToRgb(mapping.tags, with_alpha=with_alpha), ToneMapper(mapping)
    return lambda frame: to_depth(tone_map(to_rgb(frame)), depth)


def read_image(path: Path) -> Pixels:
    """Decode a still image, or the first frame of a video; half the work of `read_frames`, the same pixels.

    Returns:
        (H, W, 3) RGB as in `Frame.pixels`.

    Raises:
        InputError: the file cannot be read or is damaged.
    """
    with open_input(path) as container:
        video = find_video(container, path)
        frame, colour = first_frame(container.decode(video), video, path)
        return ToRgb(colour)(frame)


def _collected(
    frames: Iterator[VideoFrame], side_data: SideDataQueue, time_base: Fraction, start: Fraction
) -> Iterator[VideoFrame]:
    """The same frames; what lies beside each is put aside, once where a frame is shown again for a damaged one."""
    before: VideoFrame | None = None
    for frame in frames:
        if frame is not before and frame.pts is not None:
            side_data.put(frame.pts * time_base - start, messages_of(frame))
        before = frame
        yield frame


def _timed(frames: Iterator[VideoFrame], repair: PtsRepair) -> Iterator[VideoFrame]:
    """Frames with a pts each, later than the one before."""
    for frame in frames:
        frame.pts = repair(frame.pts, frame.duration or None)
        yield frame


def _decode(
    source: SourceInfo,
    first_pts: int | None,
    time_base: Fraction,
    flags: FrameFlags,
    fitter: Fitter,
) -> Iterator[VideoFrame]:
    """Every frame of the stream from some keyframe on, at or before `first_pts`.

    A demuxer may seek to where the frame asked for cannot be decoded any more; then it is asked for an earlier one.
    """
    if source.images:
        yield from decode_images(source, max(first_pts or 0, 0), flags)
        return
    if source.pipe is not None:
        yield from source.pipe.frames(flags)
        return
    can_seek = source.resets is None or source.resets.can_seek
    for margin in _SEEK_SECONDS if first_pts is not None and can_seek else ():
        assert first_pts is not None
        seek_pts = first_pts - round(margin / time_base)
        frames = _decode_from(source, seek_pts, first_pts, time_base, flags, fitter)
        first = None
        with suppress(InputError):  # what cannot be decoded from there on can be from further back
            first = next(frames, None)
        if first is not None and first.pts is not None and first.pts <= first_pts:
            yield first
            yield from frames
            return
        frames.close()
    yield from _decode_from(source, None, first_pts, time_base, flags, fitter)


def _decode_from(
    source: SourceInfo,
    seek_pts: int | None,
    first_pts: int | None,
    time_base: Fraction,
    flags: FrameFlags,
    fitter: Fitter,
) -> Generator[VideoFrame]:
    """Every frame of the stream after a seek, the decoder drained; those before `first_pts` only lead there."""
    with open_input(source.path, accelerator(source), source.options) as container:
        stream = find_video(container, source.path, source.stream_index)
        let_thread(stream.codec_context)
        if seek_pts is not None:
            with suppress(av.FFmpegError, OSError):  # without an index, decode from the beginning
                container.seek(seek_pts, stream=stream)
        salvage = Salvage(
            decoder_of(stream),
            shown(source.path),
            source.options.max_bad_frames,
            time_base,
            dts_delay=source.dts_delay,
            first_pts=first_pts,
            counted=flags,
            can_go_back=True,
            resets=source.resets,
        )
        for frame in salvaged(container, stream, salvage, source.resets):
            fitter.learn(frame, stream)
            yield on_host(frame, source)
    if salvage.is_short:
        frames, first = _decode_end(source, salvage), None
        with suppress(InputError):
            first = next(frames, None)
        yield from salvage.hold_rest() if first is None else itertools.chain([first], frames)


def _decode_end(source: SourceInfo, salvage: Salvage) -> Iterator[VideoFrame]:
    """The frames behind those that came out, without threads."""
    end_pts = salvage.end_pts
    with open_input(source.path, options=source.options) as container:
        stream = find_video(container, source.path, source.stream_index)
        stream.codec_context.thread_count = 1
        if end_pts is not None and (source.resets is None or source.resets.can_seek):
            with suppress(av.FFmpegError, OSError):
                container.seek(end_pts, stream=stream)
        again = salvage.again(decoder_of(stream))
        for frame in salvaged(container, stream, again, source.resets):
            if end_pts is None or (frame.pts is not None and frame.pts > end_pts):
                yield on_host(frame, source)


def find_pauses(source: SourceInfo, least: Fraction) -> list[tuple[Fraction, Fraction]]:
    """Where the picture stands still for as long as `least` seconds by the packets of a file, without decoding.

    What is read once or from elsewhere is not looked at, nor what lies behind the first gibibyte of a file.

    Returns:
        Time from the first picture on, and length, of each, in seconds.
    """
    if source.pipe is not None or source.images or address(source.path, source.options) is not None:
        return []
    times: list[int] = []
    num_bytes = 0
    with suppress(InputError, *REFUSALS), open_source(source) as container:
        video = find_video(container, source.path, source.stream_index)
        ticks = (video.time_base or source.time_base) / source.time_base
        for packet in joined_packets(container, source.resets, video):
            num_bytes += packet.size
            time = packet.pts if packet.pts is not None else packet.dts
            if packet.size and is_time(time, video.time_base or source.time_base):
                times.append(math.floor(time * ticks) - source.shift)
            if num_bytes > _MOST_BYTES:
                break
    end = math.inf if source.end_pts is None else source.end_pts
    times = sorted(time for time in times if source.start_pts <= time < end)
    return [
        ((one - times[0]) * source.time_base, (other - one) * source.time_base)
        for one, other in pairwise(times)
        if (other - one) * source.time_base >= least
    ]


def early_times(source: SourceInfo) -> list[int]:
    """The pts of the first frames of a file in ticks of its clock, ascending, without decoding; none of a pipe."""
    if source.pipe is not None or source.images or source.dts_delay is not None:
        return []
    with open_source(source) as container:
        video = container.streams[source.stream_index]
        packets = itertools.islice(joined_packets(container, source.resets, video), _NUM_EARLY)
        return sorted({packet.pts for packet in packets if packet.size and packet.pts is not None})
