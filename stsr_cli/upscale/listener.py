"""What a run tells while it goes on. Nothing travels back but an exception, which ends the run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from stsr_cli.self_score import Choice
from stsr_cli.video.probe import SourceInfo
from stsr_cli.video.tracks.plan import Track


@dataclass(frozen=True)
class RunStart:
    """A run whose first frame is about to be read.

    Attributes:
        source: what is read.
        device: where it runs.
        choice: how the stream was chosen; None: by the options.
        size: of the output as it is stored, (width, height) in pixels.
        weights: names of the weights that were read.
    """

    source: SourceInfo
    device: str
    choice: Choice | None
    size: tuple[int, int]
    weights: tuple[str, ...]


class Listener(Protocol):
    """Told of a run as it goes on, from the thread that runs it; `on_note` and `on_segment` from any."""

    def on_plan(
        self, tracks: Sequence[Track], warnings: Sequence[str], notes: Sequence[str]
    ) -> None:
        """What becomes of each other track, what else is lost or changed, what is worth to know: before any network."""
        return

    def on_pair(self, num_done: int, num_total: int) -> None:
        """How many places of the video were looked at to choose the stream, of how many."""
        return

    def on_start(self, start: RunStart) -> None:
        """What is about to be read, and where it runs; no frame yet."""
        return

    def on_frame(self, num_done: int) -> None:
        """How many source frames are done."""
        return

    def on_resume(self, num_frames: int, num_segments: int) -> None:
        """How many source frames, in how many segments, an earlier run has done; `on_frame` counts them, too."""
        return

    def on_segment(self, index: int, num_frames: int, num_bytes: int, worker: str) -> None:
        """A segment is finished: its index, source frames in it, the size of its file, who made it."""
        return

    def on_note(self, note: str) -> None:
        """What became different on the way without ending the run, a sentence; once each."""
        return


class Silent(Listener):
    """Listens to nothing."""
