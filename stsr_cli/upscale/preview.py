"""A preview: three excerpts of a video, upscaled, beside what bicubic and blend make of them, in one video.

Every excerpt is a run of its own, into a lossless file; the frames of both are put side by side, never resampled.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from stsr_cli.errors import UsageError
from stsr_cli.options import NO_TRACKS, EncodeOptions, ModelOptions, UpscaleOptions
from stsr_cli.pipeline import Prefetch
from stsr_cli.report.montage import Montage, Pixels
from stsr_cli.upscale.engine import upscale
from stsr_cli.video.colour.keeping import canvas
from stsr_cli.video.encode.orientation import upright, upright_source
from stsr_cli.video.pipes.pipe import PIPE
from stsr_cli.video.probe import SourceInfo, estimate_num_frames, probe
from stsr_cli.video.reader import read_frames
from stsr_cli.video.target import check_target, held, image_pattern
from stsr_cli.video.timing.excerpt import excerpt
from stsr_cli.video.timing.timeline import last_duration
from stsr_cli.video.writer import open_writer

_PLACES = (Fraction(1, 6), Fraction(1, 2), Fraction(5, 6))  # the middle of each excerpt
_LOSSLESS = EncodeOptions(codec="libx264", crf=0, preset="ultrafast")  # .mov has the exact clock
_QUEUE_DEPTH = 2

Part = tuple[Fraction, Fraction | None]


@dataclass(frozen=True)
class PreviewReport:
    """What was written.

    Attributes:
        target: the video, verified.
        parts: start and end of each excerpt, in seconds of the source; None: to its end.
        num_frames: in it.
        width, height: of it, in pixels.
        terms: of the weights, as of `UpscaleReport`.
    """

    target: Path
    parts: tuple[Part, ...]
    num_frames: int
    width: int
    height: int
    terms: tuple[str, ...] = ()


def preview(
    options: UpscaleOptions,
    seconds: Fraction,
    on_run: Callable[[int, int], None] = lambda num_done, num_all: None,
) -> PreviewReport:
    """Write three excerpts, or a short video whole: bicubic and blend on the left, the networks on the right.

    Args:
        options: the run that is previewed; its target gets the preview, without other tracks.
        seconds: length of an excerpt.
        on_run: told how many runs are done, of how many: two for each excerpt.

    Raises:
        StsrError: as `upscale`. No unfinished file is left.
    """
    if PIPE in (options.source, options.target) or image_pattern(options.target):
        raise UsageError(
            "--preview makes one video of three places of another; it needs files, and no - or images as OUTPUT"
        )
    source = excerpt(probe(options.source, options.read), options.read)
    check_target(options.target, options.source, overwrite=options.overwrite)
    parts = _parts(source, options, seconds)
    plain = replace(options.model, spatial="bicubic", temporal="blend", weights=(), stream="t2s")
    models = [replace(plain, system="streams"), options.model]
    # beside the target: there is room for a video, as a rule
    with tempfile.TemporaryDirectory(prefix=".stsr-", dir=options.target.parent) as folder:
        pairs: list[tuple[Path, ...]] = []
        for place, part in enumerate(parts):
            pair = []
            for side, model in enumerate(models):
                pair.append(Path(folder) / f"{place}-{side}.mov")
                report = upscale(_run(options, part, model, pair[-1]))
                models[side] = replace(model, stream=report.stream)
                on_run(2 * place + side + 1, 2 * len(parts))
            pairs.append(tuple(pair))
        return replace(_join(options, pairs, models, tuple(parts)), terms=report.terms)


def _parts(source: SourceInfo, options: UpscaleOptions, seconds: Fraction) -> list[Part]:
    """Where the excerpts are: the whole where three of them would be no less, or where its length is not known."""
    start, num_frames = options.read.start or Fraction(0), estimate_num_frames(source)
    whole = [(start, options.read.end)]
    if num_frames is None or source.frame_rate is None:
        return whole
    length = num_frames / source.frame_rate
    if length <= len(_PLACES) * seconds:
        return whole
    begins = [start + length * place - seconds / 2 for place in _PLACES]
    return [(begin, begin + seconds) for begin in begins]


def _run(options: UpscaleOptions, part: Part, model: ModelOptions, target: Path) -> UpscaleOptions:
    start, end = part
    return replace(
        options,
        target=target,
        read=replace(options.read, start=start or None, end=end, keep_start=False),
        model=model,
        encode=replace(_LOSSLESS, hdr=options.encode.hdr),
        tracks=NO_TRACKS,
        disagreement=(),
        segment=Fraction(0),
        on_doubt=None if model.spatial == "bicubic" else options.on_doubt,
    )


def _join(
    options: UpscaleOptions,
    pairs: list[tuple[Path, ...]],
    models: list[ModelOptions],
    parts: tuple[Part, ...],
) -> PreviewReport:
    """Put the frames of each pair of files side by side, one pair after the other."""
    montage = Montage("side", ["bicubic + blend", models[-1].title], 1, has_labels=True)
    info = probe(pairs[0][0])
    shown = upright_source(info)
    height, width = montage.size(shown.height, shown.width)
    first = replace(canvas(shown, width, height), start_pts=0, duration=None)
    with (
        held(options.target),
        open_writer(
            options.target,
            first,
            options.encode,
            scale=1,
            time_scale=1,
            overwrite=options.overwrite,
            tracks=NO_TRACKS,
        ) as writer,
    ):
        end = 0
        for pair in pairs:
            for pixels, duration in _moments(pair, info):
                writer.write(montage.draw(pixels), end, duration)
                end += duration
        written = writer.close()
    return PreviewReport(options.target, parts, written.frames, width, height)


def _moments(pair: tuple[Path, ...], info: SourceInfo) -> Iterator[tuple[list[Pixels], int]]:
    """The frames of both files, upright, and how long they are shown."""
    before: list[Pixels] = []
    frame = interval = None
    with (
        Prefetch(read_frames(pair[0]), _QUEUE_DEPTH) as left,
        Prefetch(read_frames(pair[1]), _QUEUE_DEPTH) as right,
    ):
        for frames in zip(left, right, strict=True):
            if frame is not None:
                interval = frames[0].pts - frame.pts
                yield before, interval
            frame, before = frames[0], [upright(one.pixels, info.display_matrix) for one in frames]
    assert frame is not None
    yield before, last_duration(frame.duration, interval, info.frame_rate, info.time_base)
