"""Frames that are no pictures: half precision has overflowed, or lost what was in them. They are made again in fp32."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from stsr_cli.disagreement import Doubt
from stsr_cli.errors import WeightsError
from stsr_cli.pairs import System

_LOWEST, _HIGHEST = -1.0, 2.0  # networks overshoot [0, 1] at edges, by a fraction of that
_SEEN_RANGE = 8 / 255  # of an input that is no plain colour
_FLAT_RANGE = 1 / 255  # of an output that is one
_MOST_REDONE = 3  # frames, after which the rest of the run is computed in fp32
_PRECISIONS = {torch.float16: "fp16", torch.bfloat16: "bf16"}

Middles = list[tuple[Tensor, Sequence[Doubt | None]]]


class Made(NamedTuple):
    """What a network made of a batch: given frames, and for each time the new ones with what is known of each."""

    hr_frames: Tensor
    middles: Middles


class Exact:
    """The networks of a run in fp32, for what they get wrong in half precision.

    Attributes:
        num_redone: frames that were made again.
        is_always: whether all frames are made in fp32 from now on.
    """

    def __init__(self, make: Callable[[], System], tell: Callable[[str], None]) -> None:
        """Of a run.

        Args:
            make: makes the networks; called when they are needed first.
            tell: told once if they are, and once if they are from then on.
        """
        self.num_redone = 0
        self.is_always = False
        self._make, self._tell = make, tell
        self._system: System | None = None

    @property
    def system(self) -> System:
        """The networks."""
        if self._system is None:
            self._system = self._make()
        return self._system

    def count(self, number: int, dtype: torch.dtype) -> None:
        """Take note of so many frames that were made again."""
        name = _PRECISIONS[dtype]
        if not self.num_redone:
            self._tell(f"{name} gave a frame that is no picture; it is made again in fp32")
        self.num_redone += number
        if self.num_redone > _MOST_REDONE and not self.is_always:
            self.is_always = True
            self._tell(
                f"{name} gave more than {_MOST_REDONE} frames that are no pictures; the run goes on in fp32, which "
                "takes longer and more memory"
            )


def wrong_frames(lr_frames: Tensor, made: Made) -> list[list[bool]]:
    """Of the given frames, and of the new ones for each time: which are no pictures; the device is waited for once.

    Args:
        lr_frames: (N, 3, H, W), the given frames, before f_S.
        made: of them and the one before them.
    """
    groups = [lr_frames, made.hr_frames, *(middle for middle, _ in made.middles)]
    low, high = torch.cat([_extremes(group) for group in groups], dim=1).float().cpu()
    is_wrong = ~((low >= _LOWEST) & (high <= _HIGHEST))  # of NaN, too
    span = high - low
    given, *made_spans = span.split([len(group) for group in groups])
    _, *flags = is_wrong.split([len(group) for group in groups])
    is_seen = [given > _SEEN_RANGE, *[(given > _SEEN_RANGE).all()] * len(made.middles)]
    wrong = [
        (flag | (seen & (one < _FLAT_RANGE))).tolist()
        for flag, seen, one in zip(flags, is_seen, made_spans, strict=True)
    ]
    for flag, (_, doubts) in zip(wrong[1:], made.middles, strict=True):
        for index, doubt in enumerate(doubts):
            flag[index] |= doubt is not None and math.isnan(doubt.mean_levels)
    return wrong


def merged(made: Made, again: Made, wrong: Sequence[Sequence[bool]]) -> Made:
    """Frames of `again` where those of `made` are wrong, in fp32."""

    def merge(frames: Tensor, better: Tensor, flags: Sequence[bool]) -> Tensor:
        chosen = torch.tensor(flags, device=frames.device)[:, None, None, None]
        return torch.where(chosen, better, frames.float())

    first, *others = wrong
    middles: Middles = []
    for (frames, doubts), (better, known), flags in zip(
        made.middles, again.middles, others, strict=True
    ):
        chosen = [new if flag else old for old, new, flag in zip(doubts, known, flags, strict=True)]
        middles.append((merge(frames, better, flags), chosen))
    return Made(merge(made.hr_frames, again.hr_frames, first), middles)


def refuse_no_numbers(made: Made) -> None:
    """Raise WeightsError if a frame in fp32 holds NaN or infinity: a frame held in its place would hide that."""
    groups = [made.hr_frames, *(middle for middle, _ in made.middles)]
    if not torch.cat([_extremes(group) for group in groups], dim=1).isfinite().all():
        raise WeightsError(
            "the networks make frames of NaN or infinity, in fp32 too: the weights are damaged, or hostile; "
            "choose others (stsr weights list), or fetch them anew (stsr weights verify)"
        )


def _extremes(frames: Tensor) -> Tensor:
    """(N, C, H, W) -> (2, N): the lowest and the highest value of each; NaN where there is one."""
    dims = (1, 2, 3)
    return torch.stack((frames.amin(dims), frames.amax(dims))).float()
