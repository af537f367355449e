"""The two streams of the paper: T->S, f_S(f_T(.)), and S->T, f_T(f_S(.), f_S(.)), built from one f_S and one f_T.

Lin, Hsiu, Kuo, Lin: Spatiotemporal Super-Resolution with Cross-Task Consistency, Sec. 3.1-3.2.

| here | in the paper |
|---|---|
| `lr_frame0`, `lr_frame1` | I_{t-1}^L, I_{t+1}^L: two neighbouring frames, a frame interval apart |
| `upscale` | f_S with padding, applied k times for s^k (Eq. 2) |
| `interpolate` | f_T with padding (Eq. 3), applied k times for 2^k in `between` |
| `t2s`, `s2t` | F_T->S, F_S->T (Eq. 4) |

Both streams follow one motion, which f_T finds between the low-resolution frames, where it can tell motion apart from
the frames that show it (`TemporalModule.finds_motion`); else it looks at the frames of each stream. What stands still
before a moving picture, as a caption does, is not f_T's, but laid over the new frames from the given ones (`overlays`).

Padding to what a module needs happens here and nowhere else; nothing is clamped, so gradients live.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stsr_cli.errors import UsageError
from stsr_cli.modules import SpatialModule, TemporalModule
from stsr_cli.ops import pad_to_multiple
from stsr_cli.overlays import find_overlay, lay_over, take_off, take_off_larger

Stream = Literal["t2s", "s2t"]
Times = Sequence[Fraction]


class TwoStream(nn.Module):
    """Both streams over one pair of modules; all copies of a module in Fig. 2 are one object: weights are shared.

    Args:
        spatial: f_S, any module of the contract.
        temporal: f_T, any module of the contract.
        scale: spatial factor to reach, a power of `spatial.scale`; 1 leaves the size alone.
        time_scale: temporal factor to reach, a power of two; 1 leaves the frame rate alone.

    Raises:
        UsageError: a factor that repeating the module cannot reach.
    """

    def __init__(
        self,
        spatial: SpatialModule,
        temporal: TemporalModule,
        scale: int | None = None,
        time_scale: int = 2,
    ) -> None:
        super().__init__()
        self.spatial = spatial
        self.temporal = temporal
        self.scale = spatial.scale if scale is None else scale
        self.time_scale = time_scale
        self.spatial_passes = _passes(self.scale, spatial.scale, "scale")
        _passes(time_scale, 2, "time scale")

    def upscale(self, lr_frames: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 3, scale*H, scale*W): f_S applied k times raises the resolution by s^k (Eq. 2)."""
        card = self.spatial.card
        frames = lr_frames
        for _ in range(self.spatial_passes):
            height, width = frames.shape[-2:]
            padded = pad_to_multiple(frames, card.multiple_of, card.min_size)
            frames = self.spatial(padded)
            frames = frames[..., : height * self.spatial.scale, : width * self.spatial.scale]
        return frames

    def find_motion(self, frame0: Tensor, frame1: Tensor, t: float = 0.5) -> Tensor:
        """Two (B, 3, H, W) frames -> where the frame at t between them comes from, (B, C, H, W)."""
        height, width = frame0.shape[-2:]
        padded0, padded1 = self._padded(frame0, frame1)
        return self.temporal.find_motion(padded0, padded1, t)[..., :height, :width]

    def interpolate(
        self, frame0: Tensor, frame1: Tensor, t: float = 0.5, motion: Tensor | None = None
    ) -> Tensor:
        """Two (B, 3, H, W) frames of any resolution -> the (B, 3, H, W) frame at t between them (Eq. 3).

        Args:
            frame0: (B, 3, H, W).
            frame1: likewise.
            t: in (0, 1).
            motion: of `find_motion`, between these frames or smaller ones; None: f_T finds its own.
        """
        height, width = frame0.shape[-2:]
        if motion is None:
            padded0, padded1 = self._padded(frame0, frame1)
            return self.temporal(padded0, padded1, t)[..., :height, :width]
        ratio = height // motion.shape[-2]
        padded0, padded1, motion = self._padded(frame0, frame1, _enlarged(motion, ratio))
        return self.temporal.render(padded0, padded1, motion, t, ratio)[..., :height, :width]

    def _padded(self, *images: Tensor) -> list[Tensor]:
        card = self.temporal.card
        return [pad_to_multiple(image, card.multiple_of, card.min_size) for image in images]

    def between(
        self, frame0: Tensor, frame1: Tensor, *, times: Times | None = None
    ) -> list[Tensor]:
        """The frames between two (B, 3, H, W), at `times`; None: at the time_scale - 1 evenly spaced ones."""
        interval = Interval(self, frame0, frame1)
        return [interval.lr_frame(t) for t in self._times(times)]

    def t2s(
        self, lr_frame0: Tensor, lr_frame1: Tensor, *, times: Times | None = None
    ) -> list[Tensor]:
        """F_T->S: interpolate, then upscale (Eq. 4, first line); the new HR frames at `times`, as of `between`."""
        interval = Interval(self, lr_frame0, lr_frame1)
        return [interval.t2s(t) for t in self._times(times)]

    def s2t(
        self,
        lr_frame0: Tensor,
        lr_frame1: Tensor,
        hr_frame0: Tensor,
        hr_frame1: Tensor,
        *,
        times: Times | None = None,
    ) -> list[Tensor]:
        """F_S->T of two frames and what f_S has made of them (Eq. 4, second line); times as of `between`."""
        interval = Interval(self, lr_frame0, lr_frame1, hr_frame0, hr_frame1)
        return [interval.s2t(t) for t in self._times(times)]

    def _times(self, times: Times | None) -> Times:
        return even_times(self.time_scale) if times is None else times

    def extend(
        self,
        lr_frames: Tensor,
        stream: Stream,
        previous: tuple[Tensor, Tensor] | None = None,
        times: Times | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Go on along a video: Eq. 1 for each pair of neighbours at once, f_S of every frame computed once.

        Args:
            lr_frames: (N, 3, H, W) frames in order, [0, 1].
            stream: which order of f_S and f_T makes the new frames.
            previous: the frame before them as (1, 3, H, W) and its f_S, or None at the start of a video.
            times: where between the frames of each pair the new ones are, as of `between`.

        Returns:
            f_S of the frames, (N, 3, sH, sW), and for each time a batch (P, 3, sH, sW) of new frames, where P is the
            number of pairs: N, or N - 1 without `previous`.
        """
        hr_frames, new_frames = self._extend(lr_frames, (stream,), previous, times)
        return hr_frames, [frames for (frames,) in new_frames]

    def extend_both(
        self,
        lr_frames: Tensor,
        previous: tuple[Tensor, Tensor] | None = None,
        times: Times | None = None,
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """`extend` through both streams: for each time a pair of batches, by T->S and S->T; f_S once a frame."""
        hr_frames, new_frames = self._extend(lr_frames, ("t2s", "s2t"), previous, times)
        return hr_frames, [(t2s, s2t) for t2s, s2t in new_frames]

    def _extend(
        self,
        lr_frames: Tensor,
        streams: Sequence[Stream],
        previous: tuple[Tensor, Tensor] | None,
        times: Times | None,
    ) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
        """`extend` through each of `streams`, where nothing moves at no cost.

        A frame that equals the one before is not computed again, and the frames between the two are its f_S.
        """
        times = self._times(times)
        is_new = _differ_from_before(lr_frames, previous and previous[0])
        if is_new.all():
            return self._extend_moving(lr_frames, streams, previous, times)
        hr_known = previous and previous[1]
        new_frames: list[tuple[Tensor, ...]] = []
        if is_new.any():
            hr_new, new_frames = self._extend_moving(lr_frames[is_new], streams, previous, times)
            hr_known = _joined(hr_known, hr_new)
        assert hr_known is not None  # the first frame of a video is new
        hr_frames = hr_known[is_new.cumsum(0) - (0 if previous else 1)]
        still = _joined(previous and previous[1], hr_frames)[:-1]  # (P, 3, sH, sW)
        if not new_frames:
            return hr_frames, [(still,) * len(streams) for _ in times if len(still)]
        is_moving = is_new[-len(still) :]

        def spread(moving: Tensor) -> Tensor:
            frames = still.clone()
            frames[is_moving] = moving
            return frames

        return hr_frames, [tuple(map(spread, of_time)) for of_time in new_frames]

    def _extend_moving(
        self,
        lr_frames: Tensor,
        streams: Sequence[Stream],
        previous: tuple[Tensor, Tensor] | None,
        times: Times,
    ) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
        hr_frames = self.upscale(lr_frames)
        if previous is None and len(lr_frames) < 2:
            return hr_frames, []
        lr_all = _joined(previous and previous[0], lr_frames)
        interval = Interval(self, lr_all[:-1], lr_all[1:])
        if "s2t" in streams or interval.has_overlay:  # T->S does without, and without the memory
            hr_all = _joined(previous and previous[1], hr_frames)
            interval.take_upscaled(hr_all[:-1], hr_all[1:])
        return hr_frames, [tuple(interval.new(t, stream) for stream in streams) for t in times]

    def forward(
        self,
        lr_frame0: Tensor,
        lr_frame1: Tensor,
        stream: Stream = "t2s",
        hr_frame0: Tensor | None = None,
    ) -> Sequence[Tensor]:
        """Eq. 1: a pair of LR frames -> (I_{t-1}^H, I_t^H, I_{t+1}^H), through one stream.

        Args:
            lr_frame0: (B, 3, H, W), [0, 1].
            lr_frame1: (B, 3, H, W), [0, 1].
            stream: which order of f_S and f_T makes the new frames.
            hr_frame0: f_S(lr_frame0), where the pair before has computed it already.

        Returns:
            time_scale + 1 frames (B, 3, sH, sW): the two given ones upscaled, the new ones between them.
        """
        if hr_frame0 is None:
            hr_frame0 = self.upscale(lr_frame0)
        hr_frame1 = self.upscale(lr_frame1)
        interval = Interval(self, lr_frame0, lr_frame1, hr_frame0, hr_frame1)
        new_frames = [interval.new(t, stream) for t in even_times(self.time_scale)]
        return (hr_frame0, *new_frames, hr_frame1)


class Interval:
    """The frames between two given ones, through both streams (Eq. 4), each made once, when it is asked for.

    f_T halves the interval around each time until it is there (Eq. 3, below). It runs at t = 1/2 alone, which it was
    trained for; asked for another t at once it does worse (docs/results/dedup.md).
    """

    def __init__(
        self,
        model: TwoStream,
        lr_frame0: Tensor,
        lr_frame1: Tensor,
        hr_frame0: Tensor | None = None,
        hr_frame1: Tensor | None = None,
    ) -> None:
        """Between a pair, or the pairs of a batch.

        Args:
            model: both modules.
            lr_frame0: (B, 3, H, W), [0, 1].
            lr_frame1: likewise.
            hr_frame0: f_S(lr_frame0), which S->T needs.
            hr_frame1: f_S(lr_frame1), likewise.
        """
        self._model = model
        self._given = lr_frame0, lr_frame1
        self._overlay = find_overlay(lr_frame0, lr_frame1)
        if self._overlay is not None:
            lr_frame0, lr_frame1 = (
                take_off(frame, self._overlay) for frame in (lr_frame0, lr_frame1)
            )
        # without what hides the picture, as are all frames that f_T makes of them
        self._lr_frames = {Fraction(0): lr_frame0, Fraction(1): lr_frame1}
        self._hr_given: tuple[Tensor, Tensor] | None = None
        self._hr_frames: dict[Fraction, Tensor] = {}
        self._motions: dict[Fraction, Tensor] = {}
        if hr_frame0 is not None and hr_frame1 is not None:
            self.take_upscaled(hr_frame0, hr_frame1)

    @property
    def has_overlay(self) -> bool:
        """Whether something stands still before a picture that moves; T->S, too, then needs f_S of the given frames."""
        return self._overlay is not None

    def take_upscaled(self, hr_frame0: Tensor, hr_frame1: Tensor) -> None:
        """Take f_S of the given frames, where it is known already."""
        self._hr_given = hr_frame0, hr_frame1
        if self._overlay is not None:
            hr_frame0, hr_frame1 = (
                take_off_larger(hr_frame, self._lr_frames[Fraction(end)], self._overlay)
                for end, hr_frame in enumerate(self._hr_given)
            )
        self._hr_frames = {Fraction(0): hr_frame0, Fraction(1): hr_frame1}

    def new(self, t: Fraction, stream: Stream) -> Tensor:
        """The (B, 3, sH, sW) frames at t, a multiple of a power of 1/2 in (0, 1), through one stream."""
        return self.t2s(t) if stream == "t2s" else self.s2t(t)

    def t2s(self, t: Fraction) -> Tensor:
        """f_S(f_T(x0, x1))."""
        return self._with_overlay(self._model.upscale(self.lr_frame(t)), t)

    def s2t(self, t: Fraction) -> Tensor:
        """f_T(f_S(x0), f_S(x1))."""
        return self._with_overlay(self._at(t, self._hr_frames), t)

    def lr_frame(self, t: Fraction) -> Tensor:
        """f_T(x0, x1), (B, 3, H, W)."""
        new = self._at(t, self._lr_frames)
        return (
            new if self._overlay is None else lay_over(new, *self._given, self._overlay, float(t))
        )

    def _with_overlay(self, new: Tensor, t: Fraction) -> Tensor:
        """The new frame at high resolution, and the overlay of the given ones before it."""
        if self._overlay is None:
            return new
        if self._hr_given is None:
            self.take_upscaled(*map(self._model.upscale, self._given))
        assert self._hr_given is not None
        return lay_over(new, *self._hr_given, self._overlay, float(t))

    def _at(self, t: Fraction, frames: dict[Fraction, Tensor]) -> Tensor:
        if t not in frames:
            step = Fraction(1, t.denominator)
            frame0, frame1 = self._at(t - step, frames), self._at(t + step, frames)
            frames[t] = self._model.interpolate(frame0, frame1, motion=self._motion(t))
        return frames[t]

    def _motion(self, t: Fraction) -> Tensor | None:
        """Where the frames at t come from, found at low resolution for both streams."""
        if not self._model.temporal.finds_motion:
            return None
        if t not in self._motions:
            step = Fraction(1, t.denominator)
            frames = self._at(t - step, self._lr_frames), self._at(t + step, self._lr_frames)
            self._motions[t] = self._model.find_motion(*frames)
        return self._motions[t]


def even_times(time_scale: int) -> Times:
    """The time_scale - 1 times that divide an interval evenly."""
    return [Fraction(index, time_scale) for index in range(1, time_scale)]


def _joined(before: Tensor | None, frames: Tensor) -> Tensor:
    """The frame before, if there is one, and the frames."""
    return frames if before is None else torch.cat((before, frames))


def _differ_from_before(frames: Tensor, before: Tensor | None) -> Tensor:
    """(N,) booleans: whether each frame differs from the one before it; the first of a video does."""
    first = frames.new_ones(1, dtype=torch.bool) if before is None else _differ(before, frames[:1])
    return torch.cat((first, _differ(frames[:-1], frames[1:])))


def _differ(frames0: Tensor, frames1: Tensor) -> Tensor:
    return (frames0 != frames1).flatten(1).any(dim=1)


def _enlarged(motion: Tensor, ratio: int) -> Tensor:
    """(B, C, H, W) -> (B, C, ratio*H, ratio*W): motion between frames that are `ratio` times as large."""
    if ratio == 1:
        return motion
    larger = F.interpolate(motion, scale_factor=ratio, mode="bilinear", align_corners=False)
    return torch.cat((larger[:, :4] * ratio, larger[:, 4:]), dim=1)


def _passes(factor: int, base: int, what: str) -> int:
    """How often a module of factor `base` is applied to reach `factor`."""
    passes = round(math.log(factor, base)) if factor >= 1 else -1
    if passes < 0 or base**passes != factor:
        allowed = ", ".join(str(base**k) for k in range(4))
        raise UsageError(
            f"{what} {factor} cannot be reached by repeating a module of factor {base}; try {allowed}"
        )
    return passes
