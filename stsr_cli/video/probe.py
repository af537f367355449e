"""What a video file holds, as a frozen `SourceInfo`. Knows nothing of outputs."""

import math
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
from av.codec.context import Flags
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stsr_cli.errors import InputError, UsageError
from stsr_cli.options import DEFAULT_IMAGE_RATE, Deinterlace, SourceOptions
from stsr_cli.video.colour.alpha import carries_alpha
from stsr_cli.video.colour.hdr import HdrMetadata, read_hdr
from stsr_cli.video.colour.meaning import ColourTags, bit_depth, read_tags, richness
from stsr_cli.video.colour.tonemap import ToneMapping
from stsr_cli.video.cropping import NO_CROPPING, Cropping, container_cropping
from stsr_cli.video.damage import REFUSALS, is_time
from stsr_cli.video.images.sequence import find_images
from stsr_cli.video.opening import PIPE, WHOLE_SOURCE, address
from stsr_cli.video.opening import local_url as local_url
from stsr_cli.video.opening import open_input as open_input
from stsr_cli.video.opening import reason as reason
from stsr_cli.video.opening import shown as shown
from stsr_cli.video.oversize import check_log, check_size
from stsr_cli.video.pipes.pipe import InputPipe
from stsr_cli.video.salvage import Salvage, decoder_of, salvaged
from stsr_cli.video.side_data.decoded import display_matrix
from stsr_cli.video.side_data.immersive import FLAT, Immersive, read_immersive
from stsr_cli.video.side_data.support import found_beside, found_in_packets
from stsr_cli.video.timing.clock import dts_delay
from stsr_cli.video.timing.clock_resets import ClockResets, find_resets, has_resets

_STILL_CODECS = frozenset({"mjpeg", "webp"})
_COVER = Disposition.attached_pic
_INTERLACED = (2, 3, 4, 5)  # AV_FIELD_TT, BB, TB, BT
_NUM_SAMPLED_IMAGES = 5
_MOST_DIGITS = 12
_TICKS = 10  # of a clock in a frame, at least, that is finer than the rate
_ROUNDED = Fraction(1, 10)  # frames, of a length in milliseconds and of an average rate
_LENGTH = re.compile(r"(\d{1,6}):(\d{1,2}):(\d{1,2}(?:\.\d{1,9})?)$")


@dataclass(frozen=True)
class SourceInfo:
    """One video stream of one file, as its header and its first frame tell it.

    Attributes:
        path: the file.
        stream_index: index of the video stream in the file; FFmpeg's choice when there are several.
        width: in pixels, before the sample aspect ratio and the rotation apply.
        height: in pixels.
        time_base: seconds per tick of every pts and duration.
        frame_rate: average frames per second; None when the file does not tell. Never used for
            timestamps, except for the duration of a single frame that has none.
        is_interlaced: whether the header or the first frame says so.
        deinterlace: what is done about it while the frames are read.
        cropping: what is cut off each decoded frame, as the container asks.
        dts_delay: ticks from a frame's dts to its pts, for a file that has dts alone (AVI); else None.
        resets: where the file's clock starts anew, and the times that are read go on; None: the format allows none.
        file_start: when the earliest of its tracks begins, in seconds of the file's clock.
        shift: pts of the file at which the clock of `start_pts` and of every frame that is read is 0, in ticks.
        begin_pts: frames before it are not read, in ticks of that clock; None: all are.
        end_pts: frames at or after it are not read, likewise.
        nominal_rate: the lowest frame rate on whose grid all timestamps lie, by FFmpeg's estimate, or None.
        start_pts: pts of the first frame, in ticks.
        duration: of the stream, in ticks; None when the header does not tell.
        num_frames_from_header: for progress only: it may be wrong, and 0 is unknown.
        pix_fmt: FFmpeg's name of the pixel format.
        bit_depth: bits per component.
        colour: tags and what they mean.
        has_audio: whether the file has an audio stream.
        sample_aspect_ratio: width / height of one pixel; None when the file does not tell.
        rotation: degrees counter-clockwise that a player turns the picture by.
        display_matrix: the nine integers behind `rotation`, flips included, or None.
        hwaccel: kind of device that decodes it, as FFmpeg names it, or None: software.
        images: of an image sequence, its files in order; `path` is their folder or pattern then.
        pipe: what there is of a source that can be read only once; `path` is `-` then.
        has_alpha: whether there is alpha to keep, see `alpha.carries_alpha`.
        beside: what else lies beside its pictures, in words, as far as it was looked for.
        immersive: what is said of stereo and spherical pictures.
        hdr: what comes with its colours, if they are HDR.
        tone_mapping: how frames are mapped to SDR as they are read, or None; `colour` is what they are afterwards.
        options: how it is opened, and how much damage is borne.
    """

    path: Path
    stream_index: int
    width: int
    height: int
    time_base: Fraction
    frame_rate: Fraction | None
    start_pts: int
    duration: int | None
    num_frames_from_header: int
    pix_fmt: str
    bit_depth: int
    colour: ColourTags
    has_audio: bool
    sample_aspect_ratio: Fraction | None
    rotation: int
    display_matrix: tuple[int, ...] | None
    is_interlaced: bool = False
    deinterlace: Deinterlace = "auto"
    cropping: Cropping = NO_CROPPING
    dts_delay: int | None = None
    resets: ClockResets | None = field(default=None, compare=False)
    file_start: Fraction = Fraction(0)
    shift: int = 0
    begin_pts: int | None = None
    end_pts: int | None = None
    nominal_rate: Fraction | None = None
    hwaccel: str | None = None
    images: tuple[Path, ...] = ()
    pipe: InputPipe | None = field(default=None, repr=False, compare=False)
    has_alpha: bool = False
    hdr: HdrMetadata = field(default_factory=HdrMetadata)
    immersive: Immersive = FLAT
    beside: frozenset[str] = frozenset()
    tone_mapping: ToneMapping | None = None
    options: SourceOptions = WHOLE_SOURCE


def probe(path: str | os.PathLike[str], options: SourceOptions = WHOLE_SOURCE) -> SourceInfo:
    """Read a file's header and its first video frame.

    Args:
        path: a video, or a still image; a folder of images or a pattern of their names (`find_images`); or `-`, the
            standard input.
        options: what of it is to be read.

    Raises:
        InputError: the file is missing, not readable, not a video, or no frame decodes; or images of a sequence are.
        UsageError: the file has no video stream of the index asked for, or times of its own and is to get a rate.
    """
    path = Path(path)
    images = () if path == PIPE else find_images(path, shown(path))
    if images:
        return _probe_images(path, images, options)
    if options.rate is not None:
        raise UsageError(
            f"--rate is for image sequences and {shown(path)} has times of its own; leave it out"
        )
    if path == PIPE:
        return _probe_pipe(options)
    try:
        return _probe_file(path, options)
    except InputError:
        if options.protocols or not path.is_file():
            raise
        check_log(path, options)
        raise


def _probe_file(path: Path, options: SourceOptions) -> SourceInfo:
    with open_input(path, options=options) as container:
        stream = find_video(container, path, options.video_index)
        limit, ticks = options.max_bad_frames, stream.time_base or Fraction(1)
        resets = _resets_of(container, path, options)
        salvage = Salvage(decoder_of(stream), shown(path), limit, ticks)
        frames = salvaged(container, stream, salvage, resets)
        frame, colour = first_frame(frames, stream, path)
        num_skipped = salvage.counted.num_skipped
        info = _info(container, stream, frame, colour, path, num_skipped)
        return _on_one_clock(replace(info, options=options, resets=resets))


def _resets_of(container: InputContainer, path: Path, options: SourceOptions) -> ClockResets | None:
    """Where the clock of a file starts anew; a local one is read to its end for that."""
    if not has_resets(container):
        return None
    if address(path, options) is not None:
        return ClockResets()
    state = path.stat()
    return _resets_of_file(path, options, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=8)
def _resets_of_file(
    path: Path, options: SourceOptions, num_bytes: int, changed: int
) -> ClockResets:
    with open_input(path, options=options) as container:
        return find_resets(container)


def _on_one_clock(source: SourceInfo) -> SourceInfo:
    """The source with the length and the beginning that it has when its parts follow one another."""
    resets, index = source.resets, source.stream_index
    if resets is None or not resets.times or index not in resets.ends:
        return source
    length = resets.ends[index] - source.start_pts * source.time_base
    return replace(
        source,
        duration=max(1, round(length / source.time_base)),
        num_frames_from_header=resets.num_packets[index],
        file_start=min(resets.starts.values()),
    )


def _info(
    container: InputContainer,
    stream: VideoStream,
    frame: VideoFrame,
    colour: ColourTags,
    path: Path,
    num_skipped: int = 0,
) -> SourceInfo:
    time_base = stream.time_base or Fraction(1, 1000)
    # what FFmpeg calls the length of a track in Matroska is the file's, where the track begins late
    duration = None if "matroska" in container.format.name else stream.duration
    delay = dts_delay(container, stream, frame, num_skipped)
    crop = container_cropping(stream, frame.width, frame.height)
    start_pts = frame.pts if frame.pts is not None else (stream.start_time or 0)
    if delay is not None and frame.dts is not None:
        start_pts = frame.dts - delay
    start_pts = start_pts if is_time(start_pts, time_base) else 0
    return SourceInfo(
        path=path,
        stream_index=stream.index,
        width=frame.width - crop.left - crop.right,
        height=frame.height - crop.top - crop.bottom,
        time_base=time_base,
        frame_rate=frame_rate(stream),
        start_pts=start_pts,
        duration=duration if is_time(duration, time_base) and duration > 0 else None,
        num_frames_from_header=stream.frames or _num_frames_by_tags(container, stream, start_pts),
        pix_fmt=frame.format.name,
        bit_depth=bit_depth(frame.format),
        colour=colour,
        has_audio=bool(container.streams.audio),
        sample_aspect_ratio=stream.sample_aspect_ratio or None,
        rotation=frame.rotation,
        display_matrix=display_matrix(frame),
        is_interlaced=frame.interlaced_frame or stream.codec_context.field_order in _INTERLACED,
        cropping=crop,
        dts_delay=delay,
        file_start=_file_start(container, stream.index, start_pts * time_base),
        nominal_rate=stream.base_rate or None,
        has_alpha=carries_alpha(frame, stream),
        hdr=read_hdr(frame),
        immersive=read_immersive(frame),
        beside=found_beside(frame),
    )


def frame_rate(stream: VideoStream) -> Fraction | None:
    """Frames per second on average; by the usual interval where a demuxer gives the ticks of its clock instead (DV)."""
    average, usual = stream.average_rate, stream.guessed_rate
    if average and usual and stream.time_base == 1 / average and average > _TICKS * usual:
        return usual
    return average or usual or None


def _num_frames_by_tags(container: InputContainer, stream: VideoStream, start_pts: int) -> int:
    """How many frames a video has by the tags of Matroska's writers; 0: they do not tell.

    mkvmerge counts them and says how long they last, FFmpeg says where the last one ends.
    """
    tags = {key.upper().partition("-")[0]: text for key, text in stream.metadata.items()}
    if tags.get("NUMBER_OF_FRAMES", "").isdecimal():
        return int(tags["NUMBER_OF_FRAMES"][:_MOST_DIGITS])
    match, rate = _LENGTH.match(tags.get("DURATION", "")), stream.average_rate
    if match is None or not rate or "matroska" not in container.format.name:
        return 0
    length = 3600 * int(match[1]) + 60 * int(match[2]) + Fraction(match[3])
    if "_STATISTICS_WRITING_APP" not in tags:
        length -= start_pts * (stream.time_base or Fraction(1, 1000))
    return max(0, math.ceil(length * rate - _ROUNDED))


def _file_start(container: InputContainer, video_index: int, video_start: Fraction) -> Fraction:
    """When the earliest track begins to be seen or heard, in seconds; a timecode and cover art do neither."""
    starts = [video_start]
    for stream in container.streams:
        is_shown = stream.type in ("audio", "video", "subtitle", "data")
        if stream.index == video_index or not is_shown or stream.discard == Discard.all:
            continue
        if stream.disposition & _COVER or "timecode" in stream.metadata or not stream.time_base:
            continue
        if is_time(stream.start_time, stream.time_base):
            starts.append(stream.start_time * stream.time_base)
    return min(starts)


def _probe_pipe(options: SourceOptions) -> SourceInfo:
    """Read the header and the first frame of the standard input; what is read stays in its one demuxer."""
    if options.start is not None:
        raise UsageError(
            "--start cannot be used with -, which is read once; let the program before it begin there"
        )
    try:
        pipe = InputPipe(options)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(
            f"cannot read a video from {shown(PIPE)}: {reason(error)}; a pipe takes NUT, y4m, Matroska, "
            "MPEG-TS and the like, but no MP4"
        ) from error
    stream = find_video(pipe.container, PIPE, options.video_index)
    pipe.start(stream)
    frame, colour = first_frame(pipe.peek(), stream, PIPE)
    info = _info(pipe.container, stream, frame, colour, PIPE)
    return replace(info, pipe=pipe, options=options, resets=pipe.resets)


def _probe_images(path: Path, images: tuple[Path, ...], options: SourceOptions) -> SourceInfo:
    rate = options.rate or Fraction(DEFAULT_IMAGE_RATE)
    step = max(1, len(images) // _NUM_SAMPLED_IMAGES)
    sampled = _sampled(images[::step], replace(options, rate=None))
    return replace(
        max(sampled, key=lambda image: richness(VideoFormat(image.pix_fmt, 8, 8))),
        path=path,
        has_alpha=any(image.has_alpha for image in sampled),
        time_base=1 / rate,
        frame_rate=rate,
        file_start=Fraction(0),
        start_pts=0,
        duration=len(images),
        num_frames_from_header=len(images),
        images=images,
    )


def _sampled(images: tuple[Path, ...], options: SourceOptions) -> list[SourceInfo]:
    """What is in some images of a sequence; damaged ones are left out if damage is borne and one is whole."""
    sampled, refused = [], []
    for image in images:
        try:
            sampled.append(probe(image, options))
        except InputError as error:
            refused.append(error)
    if refused and not (sampled and options.max_bad_frames):
        raise refused[0]
    return sampled


def estimate_seconds(source: SourceInfo) -> Fraction | None:
    """How long it is by the header: its duration, or by frames and their rate; None when it tells neither."""
    if source.duration is not None:
        return source.duration * source.time_base
    num_frames = estimate_num_frames(source)
    return num_frames / source.frame_rate if num_frames and source.frame_rate else None


def estimate_num_frames(source: SourceInfo) -> int | None:
    """Number of frames by the header, or by duration and frame rate; None when the file tells neither. May be wrong."""
    if source.num_frames_from_header:
        return source.num_frames_from_header
    if source.frame_rate is None:
        return None
    if source.duration is not None:
        return math.ceil(source.duration * source.time_base * source.frame_rate - _ROUNDED)
    with open_source(source) as container:  # Matroska knows the whole file's duration alone
        if not container.duration or container.duration < 0:
            return None
        length = Fraction(container.duration, av.time_base)
        return math.ceil(length * source.frame_rate - _ROUNDED)


def looked_beside(source: SourceInfo) -> SourceInfo:
    """The source with what lies beside pictures further on in its file; a pipe and images are as they were."""
    if source.pipe is not None or source.images:
        return source
    with open_source(source) as container:
        video = find_video(container, source.path, source.stream_index)
        return replace(source, beside=source.beside | found_in_packets(container, video))


def open_source(source: SourceInfo) -> AbstractContextManager[InputContainer]:
    """Open a source once more: of an image sequence its first image; of a pipe, what is open stays so.

    Raises:
        InputError: it cannot be read.
    """
    if source.pipe is not None:
        return nullcontext(source.pipe.container)
    path = source.images[0] if source.images else source.path
    return open_input(path, options=source.options)


def find_video(container: InputContainer, path: Path, index: int | None = None) -> VideoStream:
    """The video stream to work on; cover art does not count.

    Args:
        container: the opened file.
        path: its name, for messages.
        index: of the stream to take, or None: FFmpeg's choice.

    Raises:
        InputError: there is none, or no decoder for it.
        UsageError: there is none of that index.
    """
    if index is not None:
        videos = [s for s in container.streams.video if not s.disposition & _COVER]
        for video in videos:
            if video.index == index:
                return _ready(video, container, path)
        indexes = ", ".join(str(video.index) for video in videos) or "there is none"
        raise UsageError(f"stream {index} of {shown(path)} is no video; choose from: {indexes}")
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.disposition & _COVER:
        kinds = ", ".join(sorted({other.type for other in container.streams})) or "nothing"
        raise InputError(
            f"no video in {shown(path)}, only {kinds}; name a file with a video stream"
        )
    return _ready(stream, container, path)


def _ready(stream: VideoStream, container: InputContainer, path: Path) -> VideoStream:
    """The stream, its decoder told how large a frame may be.

    And to cut off every column that is not shown, even where lines lose their alignment.
    """
    context, limit = stream.codec_context, container.options.get("max_pixels", "")
    if context is None:
        raise InputError(
            f"the video in {shown(path)} is of no known codec; check that the file is complete"
        )
    if limit:
        check_size(context.width, context.height, int(limit), path)
        context.options = {"max_pixels": limit}
    context.flags |= Flags.unaligned
    return stream


def first_frame(
    frames: Iterator[VideoFrame], stream: VideoStream, path: Path
) -> tuple[VideoFrame, ColourTags]:
    """The first of the frames of a stream, and what its colour tags mean.

    Raises:
        InputError: there is none, it does not decode, or its colours are of a kind that cannot be read.
    """
    try:
        frame = next(frames, None)
    except REFUSALS as error:
        raise InputError(
            f"cannot decode {shown(path)}: {reason(error)}; check that the file is complete"
        ) from error
    if frame is None:
        raise InputError(
            f"{shown(path)} has a video stream without a single frame; check that the file is complete"
        )
    try:
        return frame, read_tags(frame, is_still=stream.codec_context.name in _STILL_CODECS)
    except InputError as error:
        raise InputError(f"{shown(path)}: {error}") from None
