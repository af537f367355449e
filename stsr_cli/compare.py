"""Videos of one length beside each other: one video of them, and a page that says where they differ.

Smaller ones are scaled by Lanczos and slower ones repeat their frames, so that a source stands beside its result.
Frames are paired by their index, a few of each video held at a time. A first pass writes the video and measures every
frame; a second takes the page's pictures, of the worst frames and of some in between.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from stsr_cli.errors import InputError, UsageError
from stsr_cli.metrics import psnr_rgb
from stsr_cli.ops import lanczos, quantise, to_tensor
from stsr_cli.options import CompareOptions, TrackOptions
from stsr_cli.pipeline import Prefetch
from stsr_cli.report.comparison import Comparison, choose_frames, comparison_page, read_disagreement
from stsr_cli.report.montage import Montage, Pixels
from stsr_cli.report.page import Image, write_page
from stsr_cli.text import plural
from stsr_cli.video.colour.keeping import canvas
from stsr_cli.video.encode.orientation import upright, upright_source
from stsr_cli.video.probe import SourceInfo, estimate_num_frames, probe, shown
from stsr_cli.video.reader import Frame, read_frames
from stsr_cli.video.target import check_target, held
from stsr_cli.video.timing.timeline import last_duration, slots
from stsr_cli.video.writer import open_writer

_QUEUE_DEPTH = 2  # frames of each video decoded ahead
_SHAPE_TOLERANCE = Fraction(1, 100)  # beside the rounding to a pixel or two
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
        notes: which videos were scaled or repeat their frames, a sentence each.
    """

    num_frames: int
    width: int = 0
    height: int = 0
    num_pictures: int = 0
    page_bytes: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Video:
    """An input: its label, the file, and the file as it is shown; in which size, and how often each frame."""

    name: str
    source: SourceInfo
    upright: SourceInfo
    size: tuple[int, int] = (0, 0)
    repeats: int = 1

    @property
    def change(self) -> str:
        """What is done to its frames, for a label; empty: nothing."""
        height, width = self.size
        scaled = f"Lanczos to {width}x{height}" if self.size != _size(self) else ""
        repeated = f"each frame {self.repeats} times" if self.repeats > 1 else ""
        return ", ".join(filter(None, (scaled, repeated)))


class _Moment(NamedTuple):
    """The frames of one index: (H, W, 3) RGB, upright, of one size and of the first one's type.

    `pts`, `duration`: when and how long it is shown, in ticks of the first video divided by its `repeats`.
    """

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
        UsageError: the videos differ in shape or length, or the frame rate of one is no multiple of another's; an
            output cannot be written.
        StsrError: writing failed. No unfinished file is left.
    """
    videos = _open(options)
    disagreement = read_disagreement(options.disagreement) if options.disagreement else {}
    num_all = (estimate_num_frames(videos[0].source) or 0) * videos[0].repeats
    num_all *= 2 if options.page else 1
    compared = slice(len(options.sources))
    times: list[float] = []
    psnrs: list[list[float]] = []
    with _writing(options, videos[compared]) as write, closing(_moments(videos)) as moments:
        for index, moment in enumerate(moments):
            write(moment._replace(pixels=moment.pixels[compared]))
            times.append(float(moment.pts * videos[0].source.time_base / videos[0].repeats))
            if options.page:
                psnrs.append(_psnrs(moment.pixels, options.truth is not None))
            on_frame(index + 1, num_all)
        _check_disagreement(disagreement, options, len(times))
    notes = tuple(f"{shown(one.source.path)}: {one.change}" for one in videos if one.change)
    report = CompareReport(len(times), notes=notes)
    if options.target:
        height, width = _montage(options, videos[compared]).size(*videos[0].size)
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
        raise UsageError("nothing to write; name a video (-o OUT.mp4) or a page (--html PAGE.html)")
    if options.target and options.page and options.target.absolute() == options.page.absolute():
        raise UsageError(f"{shown(options.page)} cannot be both the video and the page")
    paths = [*options.sources, *([options.truth] if options.truth else [])]
    sources = [probe(path) for path in paths]
    videos = [
        _Video(name, source, upright_source(source))
        for name, source in zip(_names(options), sources, strict=True)
    ]
    videos = _alike(videos, options)
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
            f"{plural(len(names), 'label')} for {plural(len(paths), 'video')}; "
            "give --label once a video, or not at all"
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


def _alike(videos: Sequence[_Video], options: CompareOptions) -> list[_Video]:
    """The videos with the largest one's size and the fastest one's rate; labels that are file names say what changes.

    Raises:
        UsageError: their headers say that their frames do not belong together.
    """
    largest = _largest(videos)
    rates = [one.source.frame_rate for one in videos]
    fastest = max(videos, key=lambda one: one.source.frame_rate or 0)
    alike = []
    for video, rate in zip(videos, rates, strict=True):
        paths = shown(video.source.path), shown(largest.source.path)
        if not _has_shape_of(video, largest):
            sizes = [f"{width}x{height}" for height, width in (_size(video), _size(largest))]
            raise UsageError(
                f"{paths[0]} is {sizes[0]} and {paths[1]} is {sizes[1]}; only videos of one shape can be compared: "
                "crop or resize one of them first"
            )
        most = fastest.source.frame_rate
        ratio = most / rate if rate and most else Fraction(1)
        repeats = max(round(ratio), 1)
        if abs(ratio / repeats - 1) > _RATE_TOLERANCE:
            assert rate is not None
            assert most is not None
            raise UsageError(
                f"{shown(fastest.source.path)} has {float(most):.5g} frames per second and "
                f"{paths[0]} {float(rate):.5g}, of which that is no multiple; give one of them the other's rate first: "
                f"stsr upscale INPUT OUTPUT --scale 1 --fps {float(rate):.5g}"
            )
        alike.append(replace(video, size=_size(largest), repeats=repeats))
    if options.truth and alike[-1].change:
        raise UsageError(
            f"{shown(options.truth)} is smaller or slower than what is measured against it; name the original"
        )
    if options.labels:
        return alike
    return [
        replace(one, name=f"{one.name} ({one.change})" if one.change else one.name) for one in alike
    ]


def _largest(videos: Sequence[_Video]) -> _Video:
    return max(videos, key=lambda one: one.upright.width * one.upright.height)


def _has_shape_of(video: _Video, other: _Video) -> bool:
    """Whether two videos have one shape on the screen, but for what rounding to whole pixels does to it."""
    if _size(video) == _size(other):
        return True
    shapes = [
        Fraction(one.upright.width, one.upright.height) * (one.upright.sample_aspect_ratio or 1)
        for one in (video, other)
    ]
    rounding = Fraction(2, min(_size(video)))
    return abs(shapes[0] / shapes[1] - 1) <= max(_SHAPE_TOLERANCE, rounding)


def _size(video: _Video) -> tuple[int, int]:
    return video.upright.height, video.upright.width


def _check_disagreement(found: dict[int, float], options: CompareOptions, num_frames: int) -> None:
    if options.disagreement and (not found or max(found) >= num_frames):
        last = f"goes up to frame {max(found)}" if found else "has no line"
        raise InputError(
            f"{shown(options.disagreement)} {last} and the videos have {plural(num_frames, 'frame')}; "
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
    first, montage, repeats = videos[0].upright, _montage(options, videos), videos[0].repeats
    height, width = montage.size(*videos[0].size)
    turn_ticks = Fraction(str(options.flip_seconds)) / first.time_base * repeats
    largest = _largest(videos).upright
    first = replace(first, sample_aspect_ratio=largest.sample_aspect_ratio)

    def write(moment: _Moment) -> None:
        turn = (moment.pts - first.start_pts * repeats) // turn_ticks
        writer.write(montage.draw(moment.pixels, turn), moment.pts, moment.duration)

    with (
        held(options.target),
        open_writer(
            options.target,
            canvas(first, width, height),
            options.encode,
            scale=1,
            time_scale=repeats,
            overwrite=options.overwrite,
            tracks=TrackOptions(subs=False, attachments=False),
        ) as writer,
    ):
        yield write


def _moments(videos: Sequence[_Video]) -> Generator[_Moment]:
    """Every moment in order, timed as the first video is: one that repeats its frames divides their time evenly."""
    rows: list[list[Frame]] = []  # in which the first video shows one frame
    interval: int | None = None
    for index, frames in enumerate(_paired(videos)):
        if rows and index % videos[0].repeats == 0:
            interval = frames[0].pts - rows[0][0].pts
            yield from _timed(videos, rows, interval)
            rows = []
        rows.append(frames)
    if rows:
        first, last = videos[0].source, rows[0][0]
        duration = last_duration(last.duration, interval, first.frame_rate, first.time_base)
        yield from _timed(videos, rows, duration)


def _timed(
    videos: Sequence[_Video], rows: Sequence[list[Frame]], duration: int
) -> Iterator[_Moment]:
    times = slots(rows[0][0].pts, rows[0][0].pts + duration, videos[0].repeats)
    for frames, slot in zip(rows, times, strict=False):
        to_depth = _to_uint16 if frames[0].pixels.dtype == np.uint16 else _to_uint8
        yield _Moment([to_depth(frame.pixels) for frame in frames], slot.pts, slot.duration)


def _paired(videos: Sequence[_Video]) -> Iterator[list[Frame]]:
    """Frames of the same index, upright and of one size.

    Raises:
        UsageError: one video ends before the others.
    """
    with ExitStack() as stack:
        streams = [
            stack.enter_context(Prefetch(_frames_of(video), _QUEUE_DEPTH)) for video in videos
        ]
        for index, row in enumerate(zip_longest(*streams)):
            frames = [frame for frame in row if frame is not None]
            if len(frames) < len(row):
                ends = {frame is None: v for v, frame in zip(videos, row, strict=True)}
                num_frames = index // ends[True].repeats
                raise UsageError(
                    f"{shown(ends[True].source.path)} ends after {plural(num_frames, 'frame')} and "
                    f"{shown(ends[False].source.path)} goes on; only videos of one length can be compared: "
                    "cut the longer one first"
                )
            yield frames


def _frames_of(video: _Video) -> Iterator[Frame]:
    """Frames of a video as they are compared."""
    for frame in read_frames(video.source):
        pixels: Any = upright(frame.pixels, video.source.display_matrix)
        if pixels.shape[:2] != video.size:
            peak = 255 if pixels.dtype == np.uint8 else 65535
            scaled = quantise(lanczos(to_tensor(np.ascontiguousarray(pixels)), video.size), peak)
            pixels = scaled.movedim(0, -1).numpy().astype(pixels.dtype)
        for _ in range(video.repeats):
            yield replace(frame, pixels=pixels)


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
