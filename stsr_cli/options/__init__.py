"""Every option of a run, as frozen dataclasses: a default is written here and nowhere else. Standard library only."""

from stsr_cli.options.results import CompareMode, CompareOptions, EvalOptions, Protocol, PushOptions
from stsr_cli.options.training import Config, Recipe, ReproduceOptions, Stage, TrainOptions
from stsr_cli.options.upscale import (
    DEFAULT_SPATIAL,
    DEFAULT_TEMPORAL,
    CutAction,
    DoubtAction,
    EncodeOptions,
    ModelOptions,
    OnDoubt,
    Precision,
    SourceOptions,
    Stream,
    StreamChoice,
    System,
    TrackOptions,
    UpscaleOptions,
    VariableRate,
)

__all__ = [
    "DEFAULT_SPATIAL",
    "DEFAULT_TEMPORAL",
    "CompareMode",
    "CompareOptions",
    "Config",
    "CutAction",
    "DoubtAction",
    "EncodeOptions",
    "EvalOptions",
    "ModelOptions",
    "OnDoubt",
    "Precision",
    "Protocol",
    "PushOptions",
    "Recipe",
    "ReproduceOptions",
    "SourceOptions",
    "Stage",
    "Stream",
    "StreamChoice",
    "System",
    "TrackOptions",
    "TrainOptions",
    "UpscaleOptions",
    "VariableRate",
]
