"""What a run would read and what a step of it takes, found by reading the footage and making a few steps."""

from dataclasses import dataclass

from stsr_cli.device import peak_memory, start_memory
from stsr_cli.training.loop import Trainer

_NUM_STEPS = 3


@dataclass(frozen=True)
class DryRun:
    """What was found.

    Attributes:
        footage: what for -> clips, frames, moving triplets.
        num_parameters: that the stage trains.
        batch: its micro-batches in words.
        seconds: of a step, the fastest of three after one that warms up.
        peak_memory_bytes: of the process or, on CUDA, of its tensors.
        steps: of the whole run; 0 where its time is given.
    """

    footage: dict[str, tuple[int, int, int]]
    num_parameters: int
    batch: str
    seconds: float
    peak_memory_bytes: int
    steps: int


def dry_run(trainer: Trainer) -> DryRun:
    """Make a few steps of a run that is not to be saved. The trainer is of no use afterwards."""
    start_memory(trainer.device)
    seconds = trainer.time_steps(1 + _NUM_STEPS)[1:]
    recipe, scale, data = trainer.recipe, trainer.system.scale, trainer.data
    roles = {
        "D_L, training": data.training,
        "held out": data.held_out,
        "D_U": data.unlabeled,
    }
    return DryRun(
        footage={
            role: (
                len({id(clip) for clip in clips}),
                sum(len(clip.lr_frames) for clip in clips),
                sum(len(clip.starts) for clip in clips),
            )
            for role, clips in roles.items()
            if clips
        },
        num_parameters=sum(parameter.numel() for parameter in trainer.parameters),
        batch=f"{recipe.accumulate} x {recipe.batch_size} crops of {recipe.crop} -> {recipe.crop * scale} pixels",
        seconds=min(seconds),
        peak_memory_bytes=peak_memory(trainer.device),
        steps=recipe.steps,
    )
