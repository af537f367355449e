"""The system as a run uses it: one of its streams, or their mean; compared and replaced if asked for."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from stsr_cli.disagreement import Doubt, disagreement
from stsr_cli.options import OnDoubt, StreamChoice
from stsr_cli.pairs import System
from stsr_cli.streams import Stream, Times, TwoStream


class Network:
    """The system, and what becomes of its streams: one of them, or their mean; compared and replaced if asked for."""

    def __init__(
        self, model: System, stream: StreamChoice, is_compared: bool, on_doubt: OnDoubt | None
    ) -> None:
        self._model, self._stream, self._on_doubt = model, stream, on_doubt
        self._is_compared = is_compared or on_doubt is not None
        # At scale 1 there is nothing to do before or after f_T: both streams are one.
        self._is_both = self._is_compared or (stream == "both" and model.scale > 1)
        self.time_scale = model.time_scale

    def extend(
        self, lr_frames: Tensor, previous: tuple[Tensor, Tensor] | None, times: Times
    ) -> tuple[Tensor, list[tuple[Tensor, Sequence[Doubt | None]]]]:
        """`TwoStream.extend`; with each batch of new frames, what is known about each of them."""
        if not self._is_both or not isinstance(self._model, TwoStream):
            stream: Stream = "s2t" if self._stream == "s2t" else "t2s"
            hr_frames, middles = self._model.extend(lr_frames, stream, previous, times)
            return hr_frames, [(middle, [None] * len(middle)) for middle in middles]
        hr_frames, both = self._model.extend_both(lr_frames, previous, times)
        given = [*(() if previous is None else previous[1]), *hr_frames]
        found: list[tuple[Tensor, Sequence[Doubt | None]]] = []
        for t, (t2s, s2t) in zip(times, both, strict=False):
            doubts = disagreement(t2s, s2t) if self._is_compared else []
            middle = {"t2s": t2s, "s2t": s2t}.get(self._stream)
            middle = (t2s + s2t) / 2 if middle is None else middle
            for pair, doubt in enumerate(doubts):
                if self._on_doubt and doubt.mean_levels > self._on_doubt.threshold:
                    doubts[pair] = replace(doubt, is_replaced=True)
                    middle[pair] = _instead(self._on_doubt, given[pair], given[pair + 1], float(t))
            found.append((middle, doubts or [None] * len(middle)))
        return hr_frames, found


def _instead(on_doubt: OnDoubt, before: Tensor, after: Tensor, t: float) -> Tensor:
    """What stands for the new frame at t between two given ones."""
    return before if on_doubt.action == "hold" else torch.lerp(before, after, t)
