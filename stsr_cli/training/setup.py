"""What a run starts with: the network and the optimizer that its options ask for; what of it becomes weights."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from stsr_cli.cdca import CDCA
from stsr_cli.checkpoint import Weights, load_weights
from stsr_cli.errors import UsageError
from stsr_cli.hub import resolve_weights
from stsr_cli.modules import SpatialModule, TemporalModule
from stsr_cli.options import TrainOptions
from stsr_cli.registry import Kind, build, name_of
from stsr_cli.streams import TwoStream
from stsr_cli.training.cdca import CoupledAutoEncoders

Model = TwoStream | CoupledAutoEncoders


def build_model(options: TrainOptions) -> Model:
    """Build both modules, or CDCA, fresh or from `options.init`; of several files that hold one, the last wins.

    Raises:
        UsageError: an unknown module, or an argument it does not know.
        WeightsError: a file to start from is missing or damaged.
    """
    modules: dict[Kind, SpatialModule | TemporalModule] = {}
    files = [load_weights(resolve_weights(name, options.offline)) for name in options.init]
    if options.stage == "cdca":
        found = [weights.cdca for weights in files if weights.cdca is not None]
        return CoupledAutoEncoders(found[-1] if found else _new_cdca(options))
    for weights in files:
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


def _new_cdca(options: TrainOptions) -> CDCA:
    config: Mapping[str, Any] = options.cdca_config
    try:
        return CDCA(**config)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"CDCA cannot be built from {dict(config)}: {reason}") from error


def trained_part(model: Model, options: TrainOptions) -> nn.Module:
    """What the stage trains."""
    if isinstance(model, CoupledAutoEncoders) or options.stage == "joint":
        return model
    return model.spatial if options.stage == "spatial" else model.temporal


def weights_of(model: Model, options: TrainOptions, training: Mapping[str, Any]) -> Weights:
    """What of the network a run writes down: what it trained and what is needed to upscale."""
    if isinstance(model, CoupledAutoEncoders):
        return Weights(cdca=model.cdca, training=training)
    spatial = model.spatial if options.stage != "temporal" else None
    temporal = model.temporal if options.stage != "spatial" else None
    return Weights(spatial, temporal, training=training)


def description_of(model: Model, options: TrainOptions) -> dict[str, Any]:
    """Names and configurations of the networks, which must be the same for a run to be resumed."""
    if isinstance(model, CoupledAutoEncoders):
        return {"cdca": model.cdca.config}
    return {
        "spatial": [options.spatial, model.spatial.config],
        "temporal": [options.temporal, model.temporal.config],
    }


def make_optimizer(options: TrainOptions, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """SGD with momentum 0.9, the paper's, or AdamW."""
    if options.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, options.learning_rate, momentum=0.9, weight_decay=options.weight_decay
        )
    return torch.optim.AdamW(
        parameters, options.learning_rate, betas=(0.9, 0.99), weight_decay=options.weight_decay
    )
