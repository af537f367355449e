"""Two sets of constants: an experiment that two CPU cores can do, and the paper's own."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from stsr_cli import presets
from stsr_cli.options import Config, Recipe, Stage
from stsr_cli.reproduce.plan import Cell

ScaleName = Literal["small", "paper"]


@dataclass(frozen=True)
class Scale:
    """Everything about the experiments but what they vary.

    Attributes:
        name: on the command line.
        spatial, temporal: names of f_S and f_T.
        spatial_config, temporal_config, cdca_config: their arguments.
        recipes: how each stage is trained; in the joint stage lambda and the batch size are a cell's.
        batch_sizes: of the joint stage without and with unlabeled samples.
        lr_size: height and width in low-resolution pixels of the crop that makes a sample; None: the whole frame.
        num_tests: triplets that are measured on, drawn once and the same for every cell.
        pool: size of the training set of Fig. 4 and 5, labeled and unlabeled.
        percentages: how much of it is labeled in Fig. 5.
        more_percentages: the same that Fig. 4 has on top.
        few: labeled samples of Fig. 6 and 8.
        unlabeled: numbers of unlabeled samples in Fig. 6.
        sensitivity_pool: size of the training set of Fig. 8.
        weights: the lambdas of Fig. 8.
        weight: lambda of all other figures.
        differences: how all of this differs from the paper.
    """

    name: ScaleName
    spatial: str
    temporal: str
    recipes: Mapping[Stage, Recipe]
    batch_sizes: tuple[int, int]
    lr_size: tuple[int, int] | None
    num_tests: int
    pool: int
    percentages: tuple[float, ...]
    more_percentages: tuple[float, ...]
    few: int
    unlabeled: tuple[int, ...]
    sensitivity_pool: int
    weights: tuple[float, ...]
    weight: float
    differences: tuple[str, ...]
    spatial_config: Config = field(default_factory=dict)
    temporal_config: Config = field(default_factory=dict)
    cdca_config: Config = field(default_factory=dict)

    def recipe(self, cell: Cell) -> Recipe:
        """How a cell is trained."""
        assert cell.kind != "baseline"
        recipe = self.recipes[cell.kind]
        if cell.kind != "joint":
            return recipe
        batch_size = self.batch_sizes[cell.num_unlabeled > 0]
        return replace(recipe, batch_size=batch_size, consistency_weight=cell.consistency_weight)

    def num_labeled(self, percentage: float) -> int:
        """How many samples of the pool are labeled."""
        return max(round(self.pool * percentage / 100), 1)


def _small() -> Scale:
    crop = 32
    common = {"crop": crop, "ema_decay": 0.0, "stills_share": 0.0, "batch_size": 8}
    squared = {**common, "penalty": "squared", "reduction": "mean", "warmup_steps": 20}
    recipe = presets.recipe
    return Scale(
        name="small",
        spatial="span",
        spatial_config={"num_channels": 24, "num_blocks": 2},
        temporal="rife",
        temporal_config={
            "scales": [2, 1],
            "num_channels": [64, 32],
            "num_convs": 2,
            "num_refine_channels": 12,
        },
        cdca_config={"num_channels": 16, "num_features": 12},
        recipes={
            "spatial": recipe(
                "modern", "spatial", {**squared, "steps": 1000, "learning_rate": 2e-3}
            ),
            # Of what is asked for, f_T takes 4/3 at low and twice that at high resolution: 32 and 64 pixels.
            "temporal": recipe(
                "modern",
                "temporal",
                {**common, "crop": crop * 3 // 4, "steps": 2500, "learning_rate": 2e-3},
            ),
            "joint": recipe(
                "modern",
                "joint",
                {**squared, "steps": 400, "learning_rate": 1e-3, "given_weight": 0.0},
            ),
            "cdca": recipe("modern", "cdca", {**squared, "steps": 2000, "learning_rate": 1e-3}),
        },
        batch_sizes=(2, 4),
        lr_size=(crop, crop),
        num_tests=96,
        pool=512,
        percentages=(6.25, 25, 100),
        more_percentages=(1.5625,),
        few=8,
        unlabeled=(0, 32, 128, 504),
        sensitivity_pool=512,
        weights=(0, 0.5, 1, 2, 4, 8, 16, 64),
        weight=1,
        differences=(
            "Networks that two CPU cores can train: SPAN with 24 channels and 2 blocks as f_S, RIFE with 2 scales of "
            "64 and 32 channels as f_T. The paper: VDSR and DVF.",
            "A sample is a triplet of 128x128 pixels (32x32 at low resolution) cut from ordinary videos; the paper's "
            "are 256x448 pixels of Vimeo-90K.",
            "A training set of 512 samples instead of 2,048 or 51,313, and 8 labeled samples where the paper has 32: "
            "this f_S does not overfit 32 samples in the time there is.",
            "AdamW with a cosine, 1,000 + 2,500 steps apart and 400 together. The paper: SGD with momentum, batches of "
            "2, at 1e-3; it does not say for how long.",
            "A lambda of 1 outside of Fig. 8, the best of five for the first seed there; the paper does not state "
            "its own.",
            "Measured on 96 triplets of 128x128 pixels from clips that are never trained on.",
        ),
    )


def _paper() -> Scale:
    recipe = presets.recipe
    return Scale(
        name="paper",
        spatial="vdsr",
        temporal="dvf",
        # The extent of a whole frame, so that flow learnt on crops means the same on frames.
        temporal_config={"flow_extent": 256},
        recipes={
            "spatial": recipe("paper", "spatial"),
            "temporal": recipe("paper", "temporal"),
            "joint": recipe("paper", "joint"),
            "cdca": recipe("paper", "cdca"),
        },
        batch_sizes=(2, 2),
        lr_size=None,
        num_tests=512,
        pool=2048,
        percentages=(10, 20, 30, 40, 50, 60, 70, 80, 90, 100),
        more_percentages=(0.1, 1),
        few=32,
        unlabeled=(0, 2**6, 2**8, 2**10, 2**12),
        sensitivity_pool=512,
        weights=(0, 0.5, 1, 2, 4, 8, 10, 12, 16),
        weight=1,
        differences=(
            "Crops of 256x256 pixels from the samples of 256x448, flipped and transposed; the paper does not say that "
            "it augments.",
            "100,000 steps a stage, which the paper does not state; a lambda of 1 outside of Fig. 8, likewise; "
            "gradients clipped to a norm of 1, without which the summed loss diverges.",
            "Fig. 4 on a pool of 2,048 samples, as Fig. 5; the paper's is the whole training set.",
            "Measured on 512 triplets of the test footage.",
        ),
    )


SCALES = {"small": _small, "paper": _paper}
