"""The system as a run uses it: one of its streams, or their mean; compared and replaced if asked for.

And what goes wrong in it and can be mended: a batch that does not fit into memory, numbers that are no picture.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from stsr_cli.cdca import CDCA
from stsr_cli.device import is_out_of_memory, release_memory
from stsr_cli.disagreement import disagreement
from stsr_cli.errors import StsrError
from stsr_cli.options import OnDoubt, StreamChoice
from stsr_cli.pairs import System
from stsr_cli.streams import Stream, Times, TwoStream
from stsr_cli.text import plural
from stsr_cli.upscale.numbers import Exact, Made, Middles, merged, refuse_no_numbers, wrong_frames

_LEAST_STRIP = 2**14  # pixels that CDCA computes at once

Previous = tuple[Tensor, Tensor] | None


class Network:
    """The system, and what becomes of its streams: one of them, or their mean; compared and replaced if asked for.

    Attributes:
        time_scale: of the system.
        num_redone: frames that were made again in fp32.
    """

    def __init__(
        self,
        model: System,
        stream: StreamChoice,
        is_compared: bool,
        on_doubt: OnDoubt | None,
        exact: Exact | None = None,
        tell: Callable[[str], None] = lambda note: None,
    ) -> None:
        """Of a run.

        Args:
            model: the system, on its device.
            stream: whose frames are written.
            is_compared: whether both are run and compared.
            on_doubt: what becomes of new frames on which they differ too much.
            exact: the system in fp32, where `model` computes in half precision.
            tell: told what becomes different for want of memory.
        """
        self._model, self._stream, self._on_doubt = model, stream, on_doubt
        self._is_compared = is_compared or on_doubt is not None
        # At scale 1 there is nothing to do before or after f_T: both streams are one.
        self._is_both = self._is_compared or (stream == "both" and model.scale > 1)
        self._exact, self._tell = exact, tell
        self._most: int | None = None  # frames a call, after one did not fit
        self.time_scale = model.time_scale
        self.num_redone = 0

    def extend(self, lr_frames: Tensor, previous: Previous, times: Times) -> tuple[Tensor, Middles]:
        """`TwoStream.extend`; with each batch of new frames, what is known about each of them.

        Raises:
            StsrError: it does not fit into memory, not even one frame at a time in the smallest tiles.
            WeightsError: the weights give no numbers.
        """
        while True:
            try:
                return self._in_parts(lr_frames, previous, times)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._shrink(len(lr_frames))
            release_memory(
                lr_frames.device
            )  # not before what failed is forgotten, with all it held

    def _shrink(self, num_frames: int) -> None:
        """Take less at a time from now on."""
        most = min(self._most or num_frames, num_frames)
        if most > 1:
            self._most = most // 2
            said = f"{plural(self._most, 'frame')} at a time"
            return self._tell(f"out of memory; the run goes on with {said}")
        if isinstance(self._model, CDCA) and self._model.strip_pixels > _LEAST_STRIP:
            self._model.strip_pixels //= 2
            return None
        raise StsrError(
            "out of memory with one frame at a time, in the smallest tiles; use --stream t2s, a smaller --scale, "
            "--tile-overlap or network, --device cpu, or close other programs"
        )

    def _in_parts(
        self, lr_frames: Tensor, previous: Previous, times: Times
    ) -> tuple[Tensor, Middles]:
        """So many frames at a time as fit."""
        if self._most is None or len(lr_frames) <= self._most:
            return self._careful(lr_frames, previous, times)
        parts = []
        for part in lr_frames.split(self._most):
            parts.append(self._careful(part, previous, times))
            previous = part[-1:], parts[-1].hr_frames[-1:]
        with_new = [part.middles for part in parts if part.middles]
        middles: Middles = [
            (
                torch.cat([frames for frames, _ in one]),
                [doubt for _, known in one for doubt in known],
            )
            for one in zip(*with_new, strict=True)
        ]
        return torch.cat([part.hr_frames for part in parts]), middles

    def _careful(self, lr_frames: Tensor, previous: Previous, times: Times) -> Made:
        """Through the model, or in fp32 where its numbers are no picture."""
        if self._exact is None:
            made = self._through(self._model, lr_frames, previous, times)
            refuse_no_numbers(made)
            return made
        if not self._exact.is_always:
            made = self._through(self._model, lr_frames, _as(previous, lr_frames.dtype), times)
            wrong = wrong_frames(lr_frames, made)
            if not any(map(any, wrong)):
                return made
            self._count(sum(map(sum, wrong)), lr_frames.dtype)
        again = self._through(
            self._exact.system, lr_frames.float(), _as(previous, torch.float32), times
        )
        refuse_no_numbers(again)
        return again if self._exact.is_always else merged(made, again, wrong)

    def _count(self, number: int, dtype: torch.dtype) -> None:
        assert self._exact is not None
        self._exact.count(number, dtype)
        self.num_redone += number

    def _through(self, model: System, lr_frames: Tensor, previous: Previous, times: Times) -> Made:
        if not self._is_both or not isinstance(model, TwoStream):
            stream: Stream = "s2t" if self._stream == "s2t" else "t2s"
            hr_frames, middles = model.extend(lr_frames, stream, previous, times)
            return Made(hr_frames, [(middle, [None] * len(middle)) for middle in middles])
        hr_frames, both = model.extend_both(lr_frames, previous, times)
        given = [*(() if previous is None else previous[1]), *hr_frames]
        found: Middles = []
        for t, (t2s, s2t) in zip(times, both, strict=False):
            doubts = disagreement(t2s, s2t) if self._is_compared else []
            middle = {"t2s": t2s, "s2t": s2t}.get(self._stream)
            middle = (t2s + s2t) / 2 if middle is None else middle
            for pair, doubt in enumerate(doubts):
                if self._on_doubt and doubt.mean_levels > self._on_doubt.threshold:
                    doubts[pair] = replace(doubt, is_replaced=True)
                    middle[pair] = _instead(self._on_doubt, given[pair], given[pair + 1], float(t))
            found.append((middle, doubts or [None] * len(middle)))
        return Made(hr_frames, found)


def _as(previous: Previous, dtype: torch.dtype) -> Previous:
    return None if previous is None else (previous[0].to(dtype), previous[1].to(dtype))


def _instead(on_doubt: OnDoubt, before: Tensor, after: Tensor, t: float) -> Tensor:
    """What stands for the new frame at t between two given ones."""
    return before if on_doubt.action == "hold" else torch.lerp(before, after, t)
