"""Every option of a run, as frozen dataclasses: a default is written here and nowhere else. Standard library only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Stream = Literal["t2s", "s2t"]
StreamChoice = Literal["t2s", "s2t", "both", "auto"]
System = Literal["streams", "baseline", "cdca"]
Precision = Literal["auto", "fp32", "fp16", "bf16"]

DEFAULT_SPATIAL = "span"
DEFAULT_TEMPORAL = "rife"


@dataclass(frozen=True)
class EncodeOptions:
    """How the output video is encoded.

    Attributes:
        codec: name of an encoder, e.g. libx264, ffv1.
        crf: constant rate factor of x264/x265, 0 (lossless) to 51; ignored by encoders without one.
        preset: speed preset of x264/x265; ignored by encoders without one.
        pix_fmt: pixel format of the output, or "auto": the source's family at a depth the encoder takes.
    """

    codec: str = "libx264"
    crf: int = 18
    preset: str = "medium"
    pix_fmt: str = "auto"


@dataclass(frozen=True)
class ModelOptions:
    """Which networks run, with which weights, and where.

    Attributes:
        spatial: name of f_S.
        temporal: name of f_T.
        weights: published names, paths of .safetensors files, or hf:OWNER/REPO[@REVISION]:FILE.safetensors; a later one
            that holds a module wins, and what none of them holds comes from what is published.
        system: "streams" (the paper's network), "baseline" (its B: f_S and f_T trained apart, run one after the other)
            or "cdca" (coupled auto-encoders, which have no modules and no streams).
        offline: fetch no weights, as HF_HUB_OFFLINE=1; what ships or is cached is used.
        stream: t2s (Eq. 4, first line) or s2t (second line); of `stsr upscale` also "both" (the mean of the two) or
            "auto" (the one that does better on pairs sampled from the source).
        device: "auto" (cuda, then mps, then cpu), or a torch device such as "cuda:1".
        precision: "auto" (fp16 on CUDA, else fp32), "fp32", "fp16" or "bf16".
    """

    spatial: str = DEFAULT_SPATIAL
    temporal: str = DEFAULT_TEMPORAL
    weights: tuple[str, ...] = ()
    system: System = "streams"
    offline: bool = False
    stream: StreamChoice = "t2s"
    device: str = "auto"
    precision: Precision = "auto"

    @property
    def name(self) -> str:
        """What runs, for tables and programs: `span+rife`, `span+rife-separate`, `cdca`."""
        if self.system == "cdca":
            return "cdca"
        return f"{self.spatial}+{self.temporal}{'-separate' if self.system == 'baseline' else ''}"

    @property
    def title(self) -> str:
        """What runs, for a reader."""
        if self.system == "cdca":
            return "CDCA"
        apart = ", trained apart" if self.system == "baseline" else ""
        stream = "the mean of both streams" if self.stream == "both" else self.stream
        return f"{self.spatial} + {self.temporal} ({stream}{apart})"


DoubtAction = Literal["hold", "blend"]


@dataclass(frozen=True)
class OnDoubt:
    """What is shown instead of a new frame on which the two streams disagree too much.

    Attributes:
        action: "hold" shows the given frame before it again, "blend" fades from that to the one after it.
        threshold: mean absolute difference of the streams, in levels of 255, above which a frame is replaced. The
            default lies below that of every cut and above that of nearly all other footage that was measured
            (docs/results/disagreement.md).
    """

    action: DoubtAction
    threshold: float = 18.0


@dataclass(frozen=True)
class UpscaleOptions:
    """One `stsr upscale` run.

    Attributes:
        source: video file to read.
        target: video file to write.
        scale: spatial factor, a power of the module's (1, 4, 16); 1 leaves the size alone.
        time_scale: frame-rate factor, a power of two; 1 leaves the rate alone.
        batch_size: frame pairs per network call, or None: 1 on a CPU, 4 on a GPU.
        disagreement: files that say where the streams differ: tables (.csv) and heat-map videos. Both streams run.
        on_doubt: what replaces a new frame on which they differ too much, or None. Both streams run.
        overwrite: replace existing files, target or disagreement.
    """

    source: Path
    target: Path
    scale: int = 4
    time_scale: int = 2
    batch_size: int | None = None
    disagreement: tuple[Path, ...] = ()
    on_doubt: OnDoubt | None = None
    overwrite: bool = False
    model: ModelOptions = field(default_factory=ModelOptions)
    encode: EncodeOptions = field(default_factory=EncodeOptions)


Stage = Literal["spatial", "temporal", "joint", "cdca"]
Config = Mapping[str, int | float | bool | str | list[int]]


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


@dataclass(frozen=True)
class PushOptions:
    """One `stsr weights push` run.

    Attributes:
        weights: weights file; it keeps its name.
        repo: OWNER/REPO on the Hub; made if it does not exist.
        branch: where the commit goes, or None for the main branch; made if it does not exist.
        private: make a new repository a private one; refused where a public one exists.
        message: of the commit, or None.
        card: model card to upload, or None: the repository's own, or one that is written.
        licence: of the weights, or None: that of published weights, else unknown.
    """

    weights: Path
    repo: str
    branch: str | None = None
    private: bool = False
    message: str | None = None
    card: Path | None = None
    licence: str | None = None


CompareMode = Literal["side", "split", "difference", "flip"]


@dataclass(frozen=True)
class CompareOptions:
    """One `stsr compare` run: a video, a page, or both.

    Attributes:
        sources: two videos or more, of the same size, frame rate and number of frames.
        target: video to write, or None.
        mode: "side" by side; "split", a strip of the frame from each; "difference" to the first, amplified; "flip", one
            after the other.
        gain: what differences are multiplied by.
        flip_seconds: how long "flip" shows each.
        labels: one a source, or (): the names of the files.
        has_labels: write a bar with the labels above the picture.
        page: HTML page to write, or None.
        num_frames: frames whose pictures the page holds.
        truth: video of the same kind that the page measures all sources against, or None: the first source.
        disagreement: CSV with a frame's index and its mean absolute difference, for a chart of the page, or None.
        overwrite: replace existing outputs.
    """

    sources: tuple[Path, ...]
    target: Path | None = None
    mode: CompareMode = "side"
    gain: float = 4.0
    flip_seconds: float = 1.0
    labels: tuple[str, ...] = ()
    has_labels: bool = True
    page: Path | None = None
    num_frames: int = 8
    truth: Path | None = None
    disagreement: Path | None = None
    overwrite: bool = False
    encode: EncodeOptions = field(default_factory=EncodeOptions)


Protocol = Literal["paper", "stvsr"]


@dataclass(frozen=True)
class EvalOptions:
    """One `stsr eval` run, beside the model that `ModelOptions` describes.

    Attributes:
        systems: what to measure: "streams", "baseline" or "cdca" of the model; a pair F_S+F_T; the name, hf: name
            or path of weights; "ffmpeg". bicubic + blend is always measured first.
        externals: command lines, "[NAME=]CMD {in} {out}".
        external_timeout: seconds that a command line may take for a clip.
        streams: which streams of a pair are measured; "both" gives t2s, s2t and the mean of the two.
        protocol: "paper": interpolated frames alone, RGB first; "stvsr": given ones too, luma first; see `evaluation`.
        measures: names in `metrics.MEASURES`, or (): the protocol's.
        limit: triplets a data set, spread evenly over it, or None: all.
        threads: CPU threads, or None for torch's choice.
    """

    systems: tuple[str, ...] = ("streams",)
    externals: tuple[str, ...] = ()
    external_timeout: float = 1800.0
    streams: Literal["t2s", "s2t", "both"] = "both"
    protocol: Protocol = "paper"
    measures: tuple[str, ...] = ()
    limit: int | None = None
    threads: int | None = None
