"""Where one segment of a video ends and the next begins.

Nominal boundaries lie on a grid of equal lengths from the first frame on. A segment begins with the first frame at or
after its nominal boundary, or with the first one behind a cut that lies less than a quarter of a segment before it.
Both depend on nothing but the frames around that place: whoever begins to read anywhere finds the same boundaries.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

_NEAR = Fraction(1, 4)  # of a segment, in which a cut is near
_WARM_FRAMES = 48  # that cut detection, repeats and deinterlacing have forgotten all before
_WHOLE = 1 << 62  # ticks, more than any video has
_WARM_SECONDS = Fraction(2)  # likewise, where the frame rate is not known


@dataclass(frozen=True)
class Grid:
    """Nominal boundaries of segments, in ticks of the source.

    Attributes:
        start: pts of the video's first frame.
        step: length of a segment.
        near: how far before a boundary a cut takes its place.
        warm: how far before a segment reading has to begin, so that its first frame is known for what it is.
    """

    start: int
    step: int
    near: int
    warm: int

    @classmethod
    def of(
        cls, seconds: Fraction, start: int, time_base: Fraction, frame_rate: Fraction | None
    ) -> "Grid":
        """Segments of `seconds` each, of a video that begins at `start`."""
        step = max(1, round(seconds / time_base))
        warm = _WARM_FRAMES / frame_rate if frame_rate else _WARM_SECONDS
        return cls(start, step, math.floor(step * _NEAR), math.ceil(warm / time_base))

    @classmethod
    def whole(cls, start: int) -> "Grid":
        """One segment that is all of a video."""
        return cls(start, _WHOLE, 0, 0)

    @property
    def is_whole(self) -> bool:
        """Whether there is one segment, whatever the video's length."""
        return self.step == _WHOLE

    def index(self, pts: int, *, is_after_cut: bool) -> int:
        """In which segment a frame lies, if none before it lies in a later one."""
        index = max(0, (pts - self.start) // self.step)
        boundary = self.start + (index + 1) * self.step
        return index + 1 if is_after_cut and boundary - pts <= self.near else index

    def reading_start(self, index: int) -> int:
        """From which pts on frames must be read to find where a segment begins, and what its first frame is."""
        return self.start + index * self.step - self.near - self.warm
