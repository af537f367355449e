"""What a run learns from and what it is measured on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from stsr_cli.data import Clip, load_clips, split
from stsr_cli.options import TrainOptions


@dataclass(frozen=True)
class TrainingData:
    """Clips by what they are for.

    Attributes:
        training: D_L; a clip that is listed twice is drawn twice as often.
        held_out: what the run is validated on, never trained on.
        unlabeled: D_U.
    """

    training: Sequence[Clip]
    held_out: Sequence[Clip]
    unlabeled: Sequence[Clip] = field(default=())


def load_training_data(
    options: TrainOptions,
    scale: int,
    on_source: Callable[[int, int], None] = lambda done, total: None,
    on_note: Callable[[str], None] = lambda line: None,
) -> TrainingData:
    """Read the footage that `options` names, decoded once.

    Clips to adapt to are labeled and unlabeled at once: their frames, degraded, stand for low-resolution pairs, and
    count as much as all of `options.labeled`; as they are, they are D_U. The held-out part is theirs alone. A clip that
    is named as labeled and as held out, by whatever path, is held out.

    Raises:
        InputError: see `load_clips`.
    """

    def load(paths: Sequence[Path], is_labeled: bool) -> list[Clip]:
        return read(paths, is_labeled=is_labeled) if paths else []

    groups = (options.labeled, options.unlabeled, options.clips, options.clips, options.held_out)
    num_groups = sum(map(bool, groups))
    read = partial(
        load_clips,
        scale=scale,
        cache=options.cache,
        cache_gib=options.cache_gib,
        cache_share=1 / max(num_groups, 1),
        on_source=on_source,
        on_broken=on_note,
    )
    labeled, unlabeled = load(options.labeled, True), load(options.unlabeled, False)
    named = load(options.held_out, True)
    names = {clip.name for clip in named}

    def divide(clips: list[Clip]) -> tuple[list[Clip], list[Clip]]:
        return (
            ([clip for clip in clips if clip.name not in names], named) if named else split(clips)
        )

    if not options.clips:
        training, held_out = divide(labeled)
        return TrainingData(training, held_out, unlabeled)
    own, held_out = divide(load(options.clips, True))
    own_unlabeled, _ = divide(load(options.clips, False))
    return TrainingData(
        _as_often(own, labeled) + labeled,
        held_out,
        _as_often(own_unlabeled, unlabeled) + unlabeled,
    )


def _as_often(clips: list[Clip], others: list[Clip]) -> list[Clip]:
    """Repeat clips until they are drawn about as often as the others."""
    return clips * max(round(len(others) / max(len(clips), 1)), 1)
