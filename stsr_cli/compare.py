"""Videos of equal size and length beside each other: one video of them, and a page that says where they differ.

Frames are paired by their index, a few of each video held at a time. A first pass writes the video and measures every
frame; a second takes the page's pictures, of the worst frames and of some in between.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from stsr_cli.errors import InputError, UsageError
from stsr_cli.metrics import psnr_rgb
from stsr_cli.options import CompareOptions, TrackOptions
from stsr_cli.pipeline import Prefetch
from stsr_cli.report.comparison import Comparison, choose_frames, comparison_page, read_disagreement
from stsr_cli.report.montage import Montage, Pixels
from stsr_cli.report.page import Image, write_page
from stsr_cli.video.colour.keeping import canvas
from stsr_cli.video.encode.orientation import upright, upright_source
from stsr_cli.video.probe import SourceInfo, estimate_num_frames, probe, shown
from stsr_cli.video.reader import Frame, read_frames
from stsr_cli.video.target import check_target, held
from stsr_cli.video.timing.timeline import last_duration
from stsr_cli.video.writer import open_writer

_QUEUE_DEPTH = 2  # frames of each video decoded ahead
_RATE_TOLERANCE = Fraction(1, 2000)  # containers round; 24 and 24000/1001 are 1/1001 apart

OnFrame = Callable[[int, int], None]


@dataclass(frozen=True)
class CompareReport:
    """What a run did.

    Attributes:
        num_frames: of each video.
        width, height: of the video written, in pixels; 0 without one.
        num_pictures: frames of which the page has pictures.
        page_bytes: size of the page; 0 without one.
    """

    num_frames: int
    width: int = 0
    height: int = 0
    num_pictures: int = 0
    page_bytes: int = 0


@dataclass(frozen=True)
class _Video:
    """An input: its label, the file, and the file as it is shown."""

    name: str
    source: SourceInfo
    upright: SourceInfo


class _Moment(NamedTuple):
    """The frames of one index: (H, W, 3) RGB, upright, of the first one's type; when and how long it is shown."""

    pixels: list[Pixels]
    pts: int
    duration: int


def compare(
    options: CompareOptions, on_frame: OnFrame = lambda num_done, num_all: None
) -> CompareReport:
    """Write the video and the page that `options` ask for.

    Args:
        options: the run.
        on_frame: told how many frames are done, and of how many by the first video's header.

    Raises:
        InputError: an input is missing, damaged, or no video; the CSV is none.
        UsageError: the videos differ in size, frame rate or number of frames; an output cannot be written.
        StsrError: writing failed. No unfinished file is left.
    """
    videos = _open(options)
    disagreement = read_disagreement(options.disagreement) if options.disagreement else {}
    num_all = (estimate_num_frames(videos[0].source) or 0) * (2 if options.page else 1)
    compared = slice(len(options.sources))
    times: list[float] = []
    psnrs: list[list[float]] = []
    with _writing(options, videos[compared]) as write, closing(_moments(videos)) as moments:
        for index, moment in enumerate(moments):
            write(moment._replace(pixels=moment.pixels[compared]))
            times.append(float(moment.pts * videos[0].source.time_base))
            if options.page:
                psnrs.append(_psnrs(moment.pixels, options.truth is not None))
            on_frame(index + 1, num_all)
        _check_disagreement(disagreement, options, len(times))
    report = CompareReport(len(times))
    if options.target:
        height, width = _montage(options, videos[compared]).size(*_size(videos[0]))
        report = replace(report, width=width, height=height)
    if options.page:
        chosen = choose_frames([min(values) for values in psnrs], options.num_frames)
        pictures = _pictures(videos, chosen, lambda num: on_frame(len(times) + num, num_all))
        comparison = Comparison(
            [video.name for video in videos],
            [video.upright for video in videos],
            options.truth is not None,
            times,
            psnrs,
            disagreement,
        )
        page_bytes = write_page(options.page, comparison_page(comparison, pictures))
        report = replace(report, num_pictures=len(pictures), page_bytes=page_bytes)
    return report


def _open(options: CompareOptions) -> list[_Video]:
    """Look at everything that can be wrong before the first frame is decoded."""
    if not options.target and not options.page:
        raise UsageError("nothing to write; name a video (-o OUT.mp4), a page (--html PAGE.html)")
    if options.target and options.page and options.target.absolute() == options.page.absolute():
        raise UsageError(f"{shown(options.page)} cannot be both the video and the page")
    paths = [*options.sources, *([options.truth] if options.truth else [])]
    sources = [probe(path) for path in paths]
    videos = [
        _Video(name, source, upright_source(source))
        for name, source in zip(_names(options), sources, strict=True)
    ]
    _check_alike(videos)
    for target in filter(None, (options.target, options.page)):
        for path in paths:
            check_target(target, path, overwrite=options.overwrite)
    return videos


def _names(options: CompareOptions) -> list[str]:
    """A label a video, no two alike, the truth's last."""
    paths = [path.absolute() for path in options.sources]
    names = list(options.labels) or [path.stem for path in paths]
    if len(names) != len(paths):
        raise UsageError(
            f"{len(names)} labels for {len(paths)} videos; give --label once a video, or not at all"
        )
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated and options.labels:
        raise UsageError(f"two videos have the label {repeated[0]!r}; give each its own")
    if repeated:  # files of one name, from different folders as a rule
        names = [f"{path.parent.name}/{path.stem}" for path in paths]
        if len(set(names)) < len(names):
            names = [f"{index}: {name}" for index, name in enumerate(names, 1)]
    if options.truth:
        names.append("truth" if "truth" not in names else f"truth: {options.truth.name}")
    return names


def _check_alike(videos: Sequence[_Video]) -> None:
    """Refuse videos whose headers say that their frames do not belong together."""
    first = videos[0]
    for other in videos[1:]:
        paths = shown(first.source.path), shown(other.source.path)
        if _size(first) != _size(other):
            sizes = [f"{width}x{height}" for height, width in (_size(first), _size(other))]
            raise UsageError(
                f"{paths[0]} is {sizes[0]} and {paths[1]} is {sizes[1]}; only videos of one size can be compared: "
                "upscale or resize one of them first"
            )
        rates = first.source.frame_rate, other.source.frame_rate
        if rates[0] and rates[1] and abs(rates[0] / rates[1] - 1) > _RATE_TOLERANCE:
            raise UsageError(
                f"{paths[0]} has {float(rates[0]):.5g} frames per second and {paths[1]} {float(rates[1]):.5g}; only "
                "videos of one frame rate can be compared: convert one of them first"
            )


def _size(video: _Video) -> tuple[int, int]:
    return video.upright.height, video.upright.width


def _check_disagreement(found: dict[int, float], options: CompareOptions, num_frames: int) -> None:
    if options.disagreement and (not found or max(found) >= num_frames):
        last = f"goes up to frame {max(found)}" if found else "has no line"
        raise InputError(
            f"{shown(options.disagreement)} {last} and the videos have {num_frames} frames; "
            "name the file that was written with one of them"
        )


def _montage(options: CompareOptions, videos: Sequence[_Video]) -> Montage:
    names = [video.name for video in videos]
    return Montage(options.mode, names, options.gain, options.has_labels)


@contextmanager
def _writing(
    options: CompareOptions, videos: Sequence[_Video]
) -> Iterator[Callable[[_Moment], None]]:
    """What to do with every moment, in order: write it to the target, or nothing where there is none."""
    if options.target is None:
        yield lambda moment: None
        return
    first, montage = videos[0].upright, _montage(options, videos)
    height, width = montage.size(first.height, first.width)
    turn_ticks = Fraction(str(options.flip_seconds)) / first.time_base

    def write(moment: _Moment) -> None:
        turn = (moment.pts - first.start_pts) // turn_ticks
        writer.write(montage.draw(moment.pixels, turn), moment.pts, moment.duration)

    with (
        held(options.target),
        open_writer(
            options.target,
            canvas(first, width, height),
            options.encode,
            scale=1,
            time_scale=1,
            overwrite=options.overwrite,
            tracks=TrackOptions(subs=False, attachments=False),
        ) as writer,
    ):
        yield write


def _moments(videos: Sequence[_Video]) -> Generator[_Moment]:
    """Every moment in order, timed as the first video is."""
    before: list[Frame] | None = None
    interval: int | None = None
    for frames in _paired(videos):
        if before is not None:
            interval = frames[0].pts - before[0].pts
            yield _moment(videos, before, interval)
        before = frames
    if before is not None:
        first = videos[0].source
        duration = last_duration(before[0].duration, interval, first.frame_rate, first.time_base)
        yield _moment(videos, before, duration)


def _paired(videos: Sequence[_Video]) -> Iterator[list[Frame]]:
    """Frames of the same index.

    Raises:
        UsageError: one video ends before the others.
    """
    with ExitStack() as stack:
        streams = [
            stack.enter_context(Prefetch(read_frames(video.source), _QUEUE_DEPTH))
            for video in videos
        ]
        for index, row in enumerate(zip_longest(*streams)):
            frames = [frame for frame in row if frame is not None]
            if len(frames) < len(row):
                paths = {frame is None: v.source.path for v, frame in zip(videos, row, strict=True)}
                raise UsageError(
                    f"{shown(paths[True])} ends after {index} frames and {shown(paths[False])} goes on; only videos "
                    "of one length can be compared: cut the longer one first"
                )
            yield frames


def _moment(videos: Sequence[_Video], frames: Sequence[Frame], duration: int) -> _Moment:
    is_deep = frames[0].pixels.dtype == np.uint16
    pixels = [
        (_to_uint16 if is_deep else _to_uint8)(upright(frame.pixels, video.source.display_matrix))
        for video, frame in zip(videos, frames, strict=True)
    ]
    return _Moment(pixels, frames[0].pts, duration)


def _to_uint16(pixels: Pixels) -> Pixels:
    return pixels if pixels.dtype == np.uint16 else pixels.astype(np.uint16) * np.uint16(257)


def _to_uint8(pixels: Pixels) -> Image:
    if pixels.dtype == np.uint16:
        return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return pixels.astype(np.uint8, copy=False)


def _psnrs(pixels: Sequence[Pixels], has_truth: bool) -> list[float]:
    """Of all but the reference: the last, or without a truth the first."""
    images = [_to_uint8(one) for one in pixels]
    reference = images.pop(-1 if has_truth else 0)
    return [psnr_rgb(image, reference) for image in images]


def _pictures(
    videos: Sequence[_Video], chosen: Sequence[int], on_frame: Callable[[int], None]
) -> dict[int, dict[str, Image]]:
    """Of each chosen frame, its pictures by label."""
    names = [video.name for video in videos]
    found = {}
    with closing(_moments(videos)) as moments:
        for index, moment in enumerate(moments):
            if index in chosen:
                found[index] = dict(zip(names, map(_to_uint8, moment.pixels), strict=True))
            on_frame(index + 1)
            if index == max(chosen):
                break
    return found
