"""What a run starts with: the two-stream network and the optimizer that its options ask for."""

import torch
from torch import nn

from stsr_cli.checkpoint import load_weights
from stsr_cli.hub import resolve_weights
from stsr_cli.modules import SpatialModule, TemporalModule
from stsr_cli.options import TrainOptions
from stsr_cli.registry import Kind, build, name_of
from stsr_cli.streams import TwoStream


def build_model(options: TrainOptions) -> TwoStream:
    """Build both modules, fresh or from `options.init`; of several files that hold one, the last wins.

    Raises:
        UsageError: an unknown module, or an argument it does not know.
        WeightsError: a file to start from is missing or damaged.
    """
    modules: dict[Kind, SpatialModule | TemporalModule] = {}
    for name in options.init:
        weights = load_weights(resolve_weights(name, options.offline))
        if weights.spatial is not None and name_of(weights.spatial) == options.spatial:
            modules["spatial"] = weights.spatial
        if weights.temporal is not None and name_of(weights.temporal) == options.temporal:
            modules["temporal"] = weights.temporal
    spatial = modules.get("spatial") or build("spatial", options.spatial, options.spatial_config)
    temporal = modules.get("temporal") or build(
        "temporal", options.temporal, options.temporal_config
    )
    assert isinstance(spatial, SpatialModule)
    assert isinstance(temporal, TemporalModule)
    return TwoStream(spatial, temporal)


def make_optimizer(options: TrainOptions, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """SGD with momentum 0.9, the paper's, or AdamW."""
    if options.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, options.learning_rate, momentum=0.9, weight_decay=options.weight_decay
        )
    return torch.optim.AdamW(
        parameters, options.learning_rate, betas=(0.9, 0.99), weight_decay=options.weight_decay
    )
