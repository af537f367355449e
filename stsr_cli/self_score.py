"""Which stream does better on a video, by the paper's protocol on the video itself, whose originals nobody has.

Its own frames stand for the originals: frames i and i + 2, degraded and rounded to 8 bits, are given, frame i + 1 is
the truth (Lin et al., Sec. 4). That measures the streams at a fraction of the size, where motion is that much smaller.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch

from stsr_cli.data import Pixels, degrade, find_triplets
from stsr_cli.data.frames import crop_to_multiple, decode
from stsr_cli.metrics import psnr_rgb
from stsr_cli.ops import to_pixels, to_tensor
from stsr_cli.streams import Stream, TwoStream
from stsr_cli.video.probe import SourceInfo, estimate_num_frames

_NUM_PAIRS = 12
_MAX_WINDOW = 12  # frames that are looked at for one pair
_REPEATED = 0.4  # mean absolute difference in levels below which a frame repeats the one before
_MIN_SIDE = 8  # low-resolution pixels: of less, the modules would see little but padding
_MAX_SIDE = 640  # pixels of the video: its middle is measured, so that a large one takes no longer
_MAX_PSNR = 100.0  # of equal pictures, so that a mean stays a number
_MIN_GAIN = 0.005  # dB; what is less is shown as 0.00
_UNKNOWN_SECONDS = 10  # of a video that does not say how long it is


@dataclass(frozen=True)
class Choice:
    """The stream chosen for a video.

    Attributes:
        stream: t2s or s2t.
        num_pairs: pairs of frames measured; 0 where there was nothing to measure.
        psnr_rgb: mean over them in dB: t2s, s2t and mean (of both frames, before clamping); empty without pairs.
        error: standard error in dB of what one stream has more than the other; infinite for a single pair.
        scale: how much smaller than the video they were.
        usual: the stream that costs less, and is taken where the other is not clearly better.
        why: why nothing was measured; "" where something was.
    """

    stream: Stream
    num_pairs: int = 0
    psnr_rgb: dict[str, float] = field(default_factory=dict)
    error: float = math.inf
    scale: int = 1
    why: str = ""
    usual: Stream = "t2s"

    def __str__(self) -> str:
        if self.why:
            return f"stream auto: {self.stream}, unmeasured: {self.why}"
        where = (
            f"on {self.num_pairs} sampled pairs of the clip at 1/{self.scale} of its size; the mean of both would give "
            f"{self.psnr_rgb['mean'] - self.psnr_rgb[self.stream]:+.2f} dB"
        )
        usual, other = self.usual, _other(self.usual)
        gain = self.psnr_rgb[other] - self.psnr_rgb[usual]
        if self.stream == other:
            return f"stream auto: {other}, {gain:+.2f} dB over {usual} {where}"
        if gain < _MIN_GAIN:
            return f"stream auto: {usual}, {abs(gain):+.2f} dB over {other} {where}"
        chance = f"{gain:+.2f} dB of {other} may be chance (error {self.error:.2f} dB)"
        return f"stream auto: {usual}, since {chance} {where}"


def choose_stream(
    model: TwoStream,
    source: SourceInfo,
    device: torch.device,
    dtype: torch.dtype,
    on_pair: Callable[[int, int], None] = lambda num_done, num_total: None,
) -> Choice:
    """Measure both streams on pairs spread over a video and take the better one.

    The stream that costs more must be better by more than the standard error of that: t2s where f_T finds motion in
    small frames for both, else s2t. The latter was measured on 21 clips at two speeds with known originals: it is 0.04
    to 0.16 dB better than taking s2t whenever it is ahead, 0.18 to 0.24 dB better than always t2s, and 0.01 to 0.04 dB
    below the better stream of every clip.

    Args:
        model: its modules, on `device` in `dtype`; its factors are not used.
        source: the video. It is read around a dozen places, so that its length hardly matters.
        device: where the modules are.
        dtype: of their weights.
        on_pair: told how many places have been looked at, of how many.

    Raises:
        InputError: the video is damaged at one of these places.
    """
    scale = model.spatial.scale
    usual: Stream = "s2t" if model.temporal.finds_motion else "t2s"
    if min(source.width, source.height) < _MIN_SIDE * scale:
        size, least = f"{source.width}x{source.height}", _MIN_SIDE * scale
        return Choice(usual, why=f"the clip has {size} pixels, and {least}x{least} are the least")
    streams = TwoStream(model.spatial, model.temporal)
    scores: dict[str, list[float]] = {"t2s": [], "s2t": [], "mean": []}
    places = _places(source)
    for index, start_pts in enumerate(places):
        triplet = _find_triplet(source, start_pts, scale)
        if triplet is not None:
            for name, score in _measure(streams, *triplet, device, dtype).items():
                scores[name].append(score)
        on_pair(index + 1, len(places))
    if not scores["t2s"]:
        return Choice(usual, why="no three frames of the clip move evenly and without a cut")
    mean = {name: float(np.mean(values)) for name, values in scores.items()}
    other = _other(usual)
    gains = np.subtract(scores[other], scores[usual])
    num_pairs = len(gains)
    error = float(gains.std(ddof=1)) / math.sqrt(num_pairs) if num_pairs > 1 else math.inf
    stream = other if gains.mean() >= max(error, _MIN_GAIN) else usual
    return Choice(stream, num_pairs, mean, error, scale, usual=usual)


def _other(stream: Stream) -> Stream:
    return "t2s" if stream == "s2t" else "s2t"


def _places(source: SourceInfo) -> list[int]:
    """Where to look for pairs, in ticks: spread evenly, each in the middle of its part of the video."""
    if source.frame_rate is None:
        return [source.start_pts]
    num_frames = estimate_num_frames(source) or round(_UNKNOWN_SECONDS * source.frame_rate)
    interval = 1 / (source.frame_rate * source.time_base)
    num_starts = max(num_frames - 2, 1)
    num_places = min(_NUM_PAIRS, num_starts)
    firsts = [(2 * place + 1) * num_starts // (2 * num_places) for place in range(num_places)]
    return [source.start_pts + int(first * interval) for first in firsts]


def _find_triplet(
    source: SourceInfo, start_pts: int, scale: int
) -> tuple[Pixels, Pixels, Pixels] | None:
    """The first three frames from a place on that move evenly: (lr_frame0, target, lr_frame1), uint8, or None.

    Repeated frames are left out, so that animation on twos has triplets too. Three frames are held at a time.
    """
    recent: deque[tuple[Pixels, Pixels]] = deque(maxlen=3)
    frames: Iterator[Pixels] = decode(source, start_pts)
    for pixels in islice(frames, _MAX_WINDOW):
        hr_frame = crop_to_multiple(_middle(pixels), scale)
        lr_frame = degrade(hr_frame, scale)
        if recent:
            difference = np.abs(lr_frame.astype(np.int16) - recent[-1][1]).mean()
            if difference < _REPEATED:
                continue
        recent.append((hr_frame, lr_frame))
        if len(recent) == 3 and len(find_triplets(np.stack([small for _, small in recent]))):
            return recent[0][1], recent[1][0], recent[2][1]
    return None


def _middle(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    top, left = max(height - _MAX_SIDE, 0) // 2, max(width - _MAX_SIDE, 0) // 2
    return pixels[top : top + _MAX_SIDE, left : left + _MAX_SIDE]


@torch.inference_mode()
def _measure(
    model: TwoStream,
    lr_frame0: Pixels,
    target: Pixels,
    lr_frame1: Pixels,
    device: torch.device,
    dtype: torch.dtype,
) -> dict[str, float]:
    """RGB PSNR in dB by stream, and of the mean of the two."""
    lr_frames = to_tensor(np.stack((lr_frame0, lr_frame1)), device, dtype)
    _, ((t2s, s2t),) = model.extend_both(lr_frames)
    predictions = {"t2s": t2s, "s2t": s2t, "mean": (t2s + s2t) / 2}
    scores = {name: psnr_rgb(to_pixels(frame[0]), target) for name, frame in predictions.items()}
    return {name: min(score, _MAX_PSNR) for name, score in scores.items()}
