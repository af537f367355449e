"""Training: how a network is optimised, one stage of a run, the paper's ablations."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stsr_cli.options.upscale import DEFAULT_SPATIAL, DEFAULT_TEMPORAL, Precision

Stage = Literal["spatial", "temporal", "joint", "cdca"]
Config = Mapping[str, int | float | bool | str | list[int] | list[float]]


@dataclass(frozen=True)
class Recipe:
    """How a network is optimised. Without defaults: the presets, TOML files in `presets/`, hold them.

    Attributes:
        steps: optimizer steps to reach; 0: only the time ends a run.
        optimizer: "adamw" or "sgd".
        schedule: "constant", or "cosine": down to zero over the run.
        learning_rate: step size; of a cosine, the largest.
        warmup_steps: the first steps, over which the step size grows from nothing.
        momentum: of sgd; the first beta of adamw.
        weight_decay: of the optimizer.
        batch_size: samples a step and process; in the joint stage with unlabeled footage, half of them labeled.
        accumulate: micro-batches of that size before an optimizer step.
        crop: side of a low-resolution crop in pixels; high-resolution crops are `scale` times as large.
        consistency_weight: lambda (Eq. 5); its worth depends on penalty and reduction.
        given_weight: weight of f_S's loss on the two given frames; 0 in the paper.
        temporal_weight: weight of f_T's loss on low-resolution frames, labeled or not; 0 in the paper.
        penalty, reduction: see `losses.Objective`.
        clip_norm: gradients are scaled down to this global norm; 0 leaves them alone.
        ema_decay: of the averaged weights that are validated and saved; 0 turns averaging off.
        stills_share: share of f_S's samples taken from images that belong to no clip, where there are any.
        max_stride: frames between those of a triplet, 1 to this, a stride of k 1/k as often as 1: faster motion.
        made_share: share of labeled triplets that are scenes made of layers of pictures, which move fast and exactly.
        patience: validations without an improvement before a run ends early; 0: never.
    """

    steps: int
    optimizer: Literal["adamw", "sgd"]
    schedule: Literal["constant", "cosine"]
    learning_rate: float
    warmup_steps: int
    momentum: float
    weight_decay: float
    batch_size: int
    accumulate: int
    crop: int
    consistency_weight: float
    given_weight: float
    temporal_weight: float
    penalty: Literal["squared", "charbonnier"]
    reduction: Literal["sum", "mean"]
    clip_norm: float
    ema_decay: float
    stills_share: float
    max_stride: int
    made_share: float
    patience: int


@dataclass(frozen=True)
class TrainOptions:
    """One stage of `stsr train`, or `stsr finetune`.

    Attributes:
        out: the run's folder, such as runs/NAME; the best weights become OUT/weights.safetensors.
        stage: f_S alone, f_T alone, both streams with L_R + lambda L_C, or CDCA.
        recipe: how it is optimised.
        labeled: D_L: high-resolution footage; see `data` for what a path may be.
        unlabeled: D_U, the same; low-resolution footage used as it is, in the joint stage only.
        clips: footage without an original to adapt to (`stsr finetune CLIP`): used as it is in L_C and, degraded
            once more, in L_R; its last part is held out, and weights that do worse there are never saved.
        held_out: high-resolution footage to choose the best weights by, never trained on; (): a part of `labeled`.
        spatial, temporal: module names.
        spatial_config, temporal_config, cdca_config: keyword arguments that differ from the networks' defaults.
        init: weights to start from, names or paths; later ones win.
        pretrained: what `init` does not hold comes from published weights instead of being initialised.
        offline: as in `ModelOptions`, for `init`.
        resume: go on from the last checkpoint in OUT.
        overwrite: start over although OUT exists.
        minutes: training time to reach, resumed runs included, or None.
        seed: of initialisation and sampling.
        validate_minutes: time between validations.
        validate_steps: the same in steps, instead.
        save_minutes: time between checkpoints.
        device: as in `ModelOptions`.
        precision: of the forward pass: "auto" (fp16 on CUDA, else fp32), "fp32", "fp16" or "bf16".
        threads: CPU threads, or None for torch's choice.
        workers: processes that prepare batches, or None: 0 on a CPU, 4 on a GPU.
        cache: folder of decoded frames, or None for the user's cache folder.
        cache_gib: bound of that folder in GiB; of a video that is too long, parts spread over it are used.
    """

    out: Path
    stage: Stage
    recipe: Recipe
    labeled: tuple[Path, ...] = ()
    unlabeled: tuple[Path, ...] = ()
    clips: tuple[Path, ...] = ()
    held_out: tuple[Path, ...] = ()
    spatial: str = DEFAULT_SPATIAL
    temporal: str = DEFAULT_TEMPORAL
    spatial_config: Config = field(default_factory=dict)
    temporal_config: Config = field(default_factory=dict)
    cdca_config: Config = field(default_factory=dict)
    init: tuple[str, ...] = ()
    pretrained: bool = False
    offline: bool = False
    resume: bool = False
    overwrite: bool = False
    minutes: float | None = None
    seed: int = 0
    validate_minutes: float = 5.0
    validate_steps: int | None = None
    save_minutes: float = 5.0
    device: str = "auto"
    precision: Precision = "auto"
    threads: int | None = None
    workers: int | None = None
    cache: Path | None = None
    cache_gib: float = 16.0


@dataclass(frozen=True)
class ReproduceOptions:
    """One `stsr reproduce` run.

    Attributes:
        figures: names of the paper's figures and tables.
        scale: "small" (two CPU cores) or "paper"; see `reproduce.scales`.
        labeled: footage that samples are drawn from, labeled and unlabeled ones alike.
        test: footage to measure on, or (): clips held out of `labeled`.
        out: folder of the results; OUT/cells keeps every finished part, so that the same command goes on.
        seeds: training sets, initialisations and orders of batches to repeat every cell with.
        jobs: processes, or None: as many as cores, but one on a GPU.
        device: as in `ModelOptions`.
        cache: folder of decoded frames, or None for the user's cache folder.
        cache_gib: bound of that folder in GiB.
    """

    figures: tuple[str, ...]
    scale: Literal["small", "paper"] = "small"
    labeled: tuple[Path, ...] = ()
    test: tuple[Path, ...] = ()
    out: Path = Path("reproduce")
    seeds: int = 3
    jobs: int | None = None
    device: str = "auto"
    cache: Path | None = None
    cache_gib: float = 16.0
