"""Where the two streams differ, the new frame is in doubt: how much, in a table, and where, in a heat-map video.

One order of f_S and f_T is as good as the other in general, so that a place where T->S and S->T show the same is
probably right, and one where they differ is not known (docs/results/disagreement.md: how well that predicts the error).

Levels are those of 8 bits, 0 to 255, whatever the depth of the video; both frames are clamped and not rounded.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from stsr_cli.errors import UsageError
from stsr_cli.files import place_of, write_atomically
from stsr_cli.options import EncodeOptions, TrackOptions, UpscaleOptions
from stsr_cli.video.colour.hdr import HdrMetadata
from stsr_cli.video.colour.meaning import MATRIX_BT709, RANGE_LIMITED, ColourTags
from stsr_cli.video.probe import SourceInfo, shown
from stsr_cli.video.target import check_target
from stsr_cli.video.timing.timeline import Slot
from stsr_cli.video.writer import open_writer
from stsr_cli.video.written import Writer

TABLE_SUFFIX = ".csv"
VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov")
FULL_HEAT = 32  # levels of difference that are drawn in the brightest colour, as are all above
_BLOCK = 16  # pixels
_PEAK = 255

_BT709 = ColourTags(MATRIX_BT709, RANGE_LIMITED, 1, 1, MATRIX_BT709, RANGE_LIMITED)
_ENCODE = EncodeOptions(preset="veryfast")
# Every sixteenth colour of matplotlib's inferno (van der Walt and Smith, CC0), from dark to light.
_INFERNO = (
    *("000004", "0b0724", "210c4a", "3d0965", "57106e", "71196e", "8a226a", "a32c61", "bc3754"),
    *("d04545", "e35933", "f1711f", "f98c0a", "fcaa0f", "f9c932", "f2e865", "fcffa4"),
)
_COLUMNS = "frame,seconds,mean_levels,worst_block_levels,psnr_db,replaced"


@dataclass(frozen=True)
class Doubt:
    """How far the two streams' versions of one new frame lie apart.

    Attributes:
        mean_levels: mean absolute difference over all pixels and channels.
        worst_block_levels: the largest such mean of a block of 16x16 pixels.
        psnr_db: of one against the other, in RGB; infinite where they are equal.
        levels: (H, W) mean absolute difference of the channels, for the map.
        is_replaced: the frame was not shown.
    """

    mean_levels: float
    worst_block_levels: float
    psnr_db: float
    levels: Tensor
    is_replaced: bool = False


def disagreement(t2s: Tensor, s2t: Tensor) -> list[Doubt]:
    """Compare two versions of new frames, (B, 3, H, W) in nominally [0, 1]; one `Doubt` for each of the B."""
    difference = (t2s.float().clamp(0, 1) - s2t.float().clamp(0, 1)).abs_().mul_(_PEAK)
    levels = difference.mean(dim=1)  # (B, H, W)
    blocks = block_means(levels)
    return [
        Doubt(mean, worst, _psnr(square), one)
        for mean, worst, square, one in zip(
            levels.mean(dim=(1, 2)).tolist(),
            blocks.amax(dim=(1, 2)).tolist(),
            difference.square_().mean(dim=(1, 2, 3)).tolist(),
            levels,
            strict=True,
        )
    ]


def block_means(levels: Tensor) -> Tensor:
    """(B, H, W) -> (B, ceil(H/16), ceil(W/16)): means of blocks; those at the right and bottom may be smaller."""
    return F.avg_pool2d(levels[:, None], _BLOCK, ceil_mode=True, count_include_pad=False)[:, 0]


def _psnr(mean_square: float) -> float:
    return 10 * math.log10(_PEAK**2 / mean_square) if mean_square else math.inf


def heat_map(levels: Tensor) -> NDArray[np.uint8]:
    """(H, W) levels -> (H, W, 3) uint8 RGB: black is no difference, pale yellow `FULL_HEAT` levels or more."""
    index = levels.mul(_PEAK / FULL_HEAT).round_().clamp_(0, _PEAK).byte()
    return _COLOURS[index.cpu().numpy()]


def _colour_table() -> NDArray[np.uint8]:
    """(256, 3): the colours between those of `_INFERNO`, at most 7 levels off the original's."""
    known = np.array([[*bytes.fromhex(colour)] for colour in _INFERNO])
    places = np.linspace(0, _PEAK, len(known)).round()
    channels = [np.interp(np.arange(_PEAK + 1), places, channel) for channel in known.T]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


_COLOURS = _colour_table()


def check_disagreement(options: UpscaleOptions) -> None:
    """Refuse what cannot be compared or written, before anything is computed.

    Raises:
        UsageError: a factor at which no frame is made twice, an unknown ending, or a file that cannot be written.
    """
    if not options.disagreement and options.on_doubt is None:
        return
    name = "--disagreement" if options.disagreement else "--on-doubt"
    if options.model.system == "cdca":
        raise UsageError(
            f"{name} compares the two streams, and CDCA has none; choose --system streams"
        )
    if options.time_scale == 1:
        raise UsageError(
            f"{name} needs new frames, and --time-scale 1 makes none; choose --time-scale 2, or leave it out"
        )
    if options.scale == 1:
        raise UsageError(
            f"{name} compares the two streams, which are the same at --scale 1; choose --scale 4, or leave it out"
        )
    taken = {place_of(options.source): "the input", place_of(options.target): "the output"}
    for path in options.disagreement:
        if path.suffix.lower() not in (TABLE_SUFFIX, *VIDEO_SUFFIXES):
            endings = ", ".join(VIDEO_SUFFIXES)
            raise UsageError(
                f"--disagreement {shown(path)} is neither a table nor a video; end the name in "
                f"{TABLE_SUFFIX}, or in {endings}"
            )
        if place_of(path) in taken:
            what = taken[place_of(path)]
            raise UsageError(f"--disagreement {shown(path)} is {what}; choose another name")
        taken[place_of(path)] = "named twice"
        check_target(path, options.source, overwrite=options.overwrite)


class DisagreementFiles:
    """The tables and heat maps of a run, as a context manager: an exception leaves none of them behind.

    Attributes:
        num_replaced: frames that were not shown.
        num_doubts: frames that were compared.
        sum_levels: the sum of their mean disagreement.
    """

    def __init__(self, options: UpscaleOptions, source: SourceInfo) -> None:
        """Write the headers of the heat maps.

        Raises:
            UsageError: one cannot be written.
        """
        self._time_base: Fraction = source.time_base / options.time_scale
        self._tables: list[Path] = []
        self._videos: list[Writer] = []
        self._rows: list[str] = [_COLUMNS]
        # A heat map is 8-bit and no HDR, whatever the source is.
        plain = replace(
            source,
            pix_fmt="yuv420p",
            bit_depth=8,
            colour=_BT709,
            has_alpha=False,
            hdr=HdrMetadata(),
        )
        self._size = (source.height * options.scale, source.width * options.scale)
        self._num_frames = self.num_doubts = self.num_replaced = 0
        self.sum_levels = 0.0
        try:
            for path in options.disagreement:
                if path.suffix.lower() == TABLE_SUFFIX:
                    self._tables.append(path)
                    continue
                writer = open_writer(
                    path,
                    plain,
                    _ENCODE,
                    scale=options.scale,
                    time_scale=options.time_scale,
                    overwrite=options.overwrite,
                    tracks=TrackOptions(audio=source.pipe is None, subs=False, attachments=False),
                )
                self._videos.append(writer)
        except BaseException:
            self._abort()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._abort()

    def write(self, doubt: Doubt | None, slots: Sequence[Slot]) -> None:
        """Note one frame of the output, shown in each of `slots`; a given one is None: no row, and dark in the map.

        Raises:
            StsrError: the disk is full.
        """
        if doubt is not None:
            (slot,) = slots
            self.num_doubts += 1
            self.sum_levels += doubt.mean_levels
            self.num_replaced += doubt.is_replaced
            seconds = float(slot.pts * self._time_base)
            self._rows.append(
                f"{self._num_frames},{seconds:.6f},{doubt.mean_levels:.4f},{doubt.worst_block_levels:.4f},"
                f"{doubt.psnr_db:.3f},{int(doubt.is_replaced)}"
            )
        self._num_frames += len(slots)
        if self._videos:
            levels = torch.zeros(self._size) if doubt is None else doubt.levels
            pixels = heat_map(levels)
            for video in self._videos:
                for slot in slots:
                    video.write(pixels, slot.pts, slot.duration)

    def close(self) -> None:
        """Complete the files.

        Raises:
            StsrError: one cannot be written, or a video does not verify; it is not left behind then.
        """
        for table in self._tables:
            write_atomically(table, ("\n".join(self._rows) + "\n").encode())
        for video in self._videos:
            video.close()

    def _abort(self) -> None:
        for video in self._videos:
            video.abort()
