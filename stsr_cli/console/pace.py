"""How fast a run goes now, and what is left at that speed. Knows no screen."""

import time
from collections import deque

_WINDOW_SECONDS = 30.0
_MIN_SAMPLES = 6  # kept however old they are, for networks that take minutes a frame
_SAMPLE_SECONDS = 0.25


class Pace:
    """Source frames a second over the last half minute; what an earlier run did does not count.

    The first frames wait for threads to start and for the first network call; they stop counting as soon as others are
    done.
    """

    def __init__(self, num_done: int = 0) -> None:
        """Begin now, with `num_done` frames that were there before."""
        self._samples = deque([(time.monotonic(), num_done)])
        self._num_done, self._is_warm = num_done, False

    def add(self, num_done: int) -> None:
        """So many frames are done now."""
        now = time.monotonic()
        self._num_done = num_done
        if now < self._samples[-1][0] + _SAMPLE_SECONDS:
            return
        self._samples.append((now, num_done))
        if len(self._samples) > 2 and not self._is_warm:
            self._samples.popleft()
            self._is_warm = True
        while len(self._samples) > _MIN_SAMPLES and self._samples[1][0] < now - _WINDOW_SECONDS:
            self._samples.popleft()

    @property
    def frames_per_second(self) -> float | None:
        """Of the source, lately; None: too few are done to say."""
        (begin, before), (end, after) = self._samples[0], self._samples[-1]
        return (after - before) / (end - begin) if end > begin and after > before else None

    def seconds_left(self, num_frames: int | None) -> float | None:
        """What the rest of `num_frames` takes at that speed; None: one of the two is not known."""
        speed = self.frames_per_second
        if speed is None or not num_frames:
            return None
        return max(num_frames - self._num_done, 0) / speed


def clock(seconds: float | None) -> str:
    """7:05, 1:02:03, or --:-- for None."""
    if seconds is None:
        return "--:--"
    hours, rest = divmod(round(seconds), 3600)
    minutes = f"{rest // 60:02d}" if hours else str(rest // 60)
    return f"{f'{hours}:' if hours else ''}{minutes}:{rest % 60:02d}"
