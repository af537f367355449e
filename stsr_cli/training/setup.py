"""What a run starts with: the network, its stage and the optimizer that the options ask for; what becomes weights."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from stsr_cli.cdca import CDCA
from stsr_cli.checkpoint import Weights, load_weights, read_header
from stsr_cli.device import resolve_device, resolve_dtype
from stsr_cli.errors import InputError, StsrError, UsageError, WeightsError
from stsr_cli.extras import install_command
from stsr_cli.hub import Origin, resolve_weights
from stsr_cli.losses import Objective
from stsr_cli.modules import SpatialModule, TemporalModule
from stsr_cli.options import Config, ModelOptions, Recipe, TrainOptions
from stsr_cli.pairs import OnRead, load_pair
from stsr_cli.registry import Kind, build, name_of
from stsr_cli.streams import TwoStream
from stsr_cli.training.cdca import CDCAStage, CoupledAutoEncoders
from stsr_cli.training.joint import JointStage
from stsr_cli.training.pretrain import SpatialStage, TemporalStage
from stsr_cli.training.status import TrainStatus

if TYPE_CHECKING:
    from accelerate import Accelerator

System = TwoStream | CoupledAutoEncoders
Module = SpatialModule | TemporalModule
Stage = SpatialStage | TemporalStage | JointStage | CDCAStage

# Fields of the recipe that may change when a run goes on.
_FREE = {"patience", "steps"}
_MIXED_PRECISION = {torch.float32: "no", torch.float16: "fp16", torch.bfloat16: "bf16"}


def check_options(options: TrainOptions) -> None:
    """Refuse what needs no data to be refused.

    Raises:
        UsageError: the folder exists, no end, nothing to learn from, or parts that exclude each other.
        InputError: footage that does not exist.
    """
    recipe = options.recipe
    if not (options.resume or options.overwrite) and options.out.exists():
        raise UsageError(
            f"{options.out} exists; go on with --resume, start over with -y, or choose another --out"
        )
    if not recipe.steps and options.minutes is None:
        raise UsageError("a training run needs an end: give --steps or --minutes")
    if not (options.labeled or options.clips):
        raise UsageError(
            "without labeled footage there is nothing to reconstruct, and L_C alone is smallest for two streams that "
            "both give a constant; give --labeled, or adapt published weights with `stsr finetune CLIP...`"
        )
    if (options.unlabeled or options.clips) and options.stage == "joint" and recipe.batch_size < 2:
        raise UsageError(
            f"--batch-size {recipe.batch_size} holds no labeled and unlabeled sample; give 2 or more"
        )
    for path in (*options.labeled, *options.unlabeled, *options.clips, *options.held_out):
        if not path.exists():
            raise InputError(f"no such file or folder: {path}; check the name")


def build_system(options: TrainOptions, on_read: OnRead = lambda name, path: None) -> System:
    """Build both modules, or CDCA, fresh or from `options.init`; of several files that hold one, the last wins.

    A module of another size than the options' configuration is grown to it. `on_read` is told the name and the file of
    each weights file that is read.

    Raises:
        UsageError: an unknown module, or an argument it does not know.
        WeightsError: a file to start from is missing, damaged, or of other modules.
    """
    if options.pretrained:
        return load_pair(
            ModelOptions(options.spatial, options.temporal, options.init, offline=options.offline),
            on_read=on_read,
        )
    files = []
    for name in options.init:
        path = resolve_weights(name, options.offline)
        on_read(name, path)
        files.append(load_weights(path))
    if options.stage == "cdca":
        found = [weights.cdca for weights in files if weights.cdca is not None]
        _check_used(options, bool(found))
        return CoupledAutoEncoders(found[-1] if found else _new_cdca(options))
    spatials = [weights.spatial for weights in files if _is(weights.spatial, options.spatial)]
    temporals = [weights.temporal for weights in files if _is(weights.temporal, options.temporal)]
    _check_used(options, bool(spatials or temporals))
    spatial = _start("spatial", options.spatial, options.spatial_config, spatials)
    temporal = _start("temporal", options.temporal, options.temporal_config, temporals)
    assert isinstance(spatial, SpatialModule)
    assert isinstance(temporal, TemporalModule)
    return TwoStream(spatial, temporal)


def _is(module: Module | None, name: str) -> bool:
    return module is not None and name_of(module) == name


def _start(kind: Kind, name: str, config: Config, trained: Sequence[Any]) -> Module:
    """The last trained module as it is, or grown to `config` where that asks for another size; or a new one."""
    if trained and not config:
        return trained[-1]
    module: Module = build(kind, name, config)
    if not trained:
        return module
    smaller: Any = trained[-1]
    if smaller.config == module.config:
        return smaller
    module.take_over(smaller)
    return module


def names_in(weights: tuple[str, ...], offline: bool) -> dict[str, str]:
    """Names of the modules that weights hold, by kind; of several files, the last one's.

    Raises:
        WeightsError: a file is missing or damaged.
    """
    headers = [read_header(resolve_weights(name, offline)) for name in weights]
    return {
        kind: str(header[kind]["name"])
        for header in headers
        for kind in ("spatial", "temporal")
        if kind in header
    }


def _check_used(options: TrainOptions, is_used: bool) -> None:
    if options.init and not is_used:
        wanted = "cdca" if options.stage == "cdca" else f"{options.spatial} or {options.temporal}"
        raise WeightsError(
            f"weights {', '.join(options.init)} do not hold {wanted}; choose other weights, or --spatial and "
            "--temporal to match"
        )


def _new_cdca(options: TrainOptions) -> CDCA:
    config: Mapping[str, Any] = options.cdca_config
    try:
        return CDCA(**config)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"CDCA cannot be built from {dict(config)}: {reason}") from error


def build_stage(options: TrainOptions, on_read: OnRead = lambda name, path: None) -> Stage:
    """The network inside what its stage minimises; `on_read` as for `build_system`.

    Raises:
        UsageError, WeightsError: see `build_system`; also a stage without a parameter to train.
    """
    recipe, system = options.recipe, build_system(options, on_read)
    objective = Objective(
        recipe.consistency_weight,
        recipe.given_weight,
        recipe.temporal_weight,
        recipe.penalty,
        recipe.reduction,
    )
    if isinstance(system, CoupledAutoEncoders):
        return CDCAStage(system, objective)
    stages: dict[str, type[SpatialStage | TemporalStage | JointStage]] = {
        "spatial": SpatialStage,
        "temporal": TemporalStage,
        "joint": JointStage,
    }
    stage = stages[options.stage](system, objective)
    if not any(parameter.requires_grad for parameter in stage.parameters()):
        raise UsageError(
            f"nothing to train: {options.stage} stage of {options.spatial} + {options.temporal}"
        )
    return stage


def weights_of(
    system: System, options: TrainOptions, status: TrainStatus, start: Sequence[Origin] = ()
) -> Weights:
    """What of the network a run writes down: what it trained and what is needed to upscale; how it got there.

    `start`: the weights that it began from, whose terms go on to hold.
    """
    training = {
        "stage": options.stage,
        "step": status.step,
        "minutes": round(status.elapsed_minutes, 1),
        "seed": options.seed,
        **vars(options.recipe),
        "psnr": dict(status.psnr),
        "baseline": dict(status.baseline),
        "start": [asdict(one) for one in start],
    }
    if isinstance(system, CoupledAutoEncoders):
        return Weights(cdca=system.cdca, training=training)
    spatial = system.spatial if options.stage != "temporal" else None
    temporal = system.temporal if options.stage != "spatial" else None
    return Weights(spatial, temporal, training=training)


def identity_of(system: System, options: TrainOptions, num_processes: int) -> dict[str, Any]:
    """What must be the same for a run to be resumed: how long it lasts and where its data lies may change."""
    identity: dict[str, Any] = {"stage": options.stage, "seed": options.seed}
    identity |= {name: value for name, value in vars(options.recipe).items() if name not in _FREE}
    if isinstance(system, CoupledAutoEncoders):
        identity["cdca"] = system.cdca.config
    else:
        identity["spatial"] = [options.spatial, system.spatial.config]
        identity["temporal"] = [options.temporal, system.temporal.config]
    return identity | {"num_processes": num_processes}


def make_optimizer(recipe: Recipe, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """SGD with momentum, the paper's, or AdamW."""
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
        )
    return torch.optim.AdamW(
        parameters,
        recipe.learning_rate,
        betas=(recipe.momentum, 0.99),
        weight_decay=recipe.weight_decay,
    )


def learning_rate(recipe: Recipe, step: int, progress: float) -> float:
    """The step size of step `step`, with `progress` in [0, 1] of the run done."""
    rate = recipe.learning_rate * min((step + 1) / max(recipe.warmup_steps, 1), 1)
    if recipe.schedule == "cosine":
        rate *= 0.5 * (1 + math.cos(math.pi * progress))
    return rate


def make_accelerator(options: TrainOptions) -> "Accelerator":
    """Devices, mixed precision, accumulation and data parallel, as `accelerate launch` or `torchrun` set them up.

    Raises:
        StsrError: accelerate is not installed.
        DeviceError: no such device, or a precision it does not have.
    """
    try:
        from accelerate import Accelerator, DistributedDataParallelKwargs
        from accelerate.state import AcceleratorState
    except ImportError as error:
        raise StsrError(
            f"training needs more packages ({error}): {install_command('train')}"
        ) from error
    device = resolve_device(options.device)
    dtype = resolve_dtype(options.precision, device)
    if "WORLD_SIZE" not in os.environ:  # else every process has a device of its own
        AcceleratorState._reset_state(reset_partial_state=True)  # of a run before, in this process
        os.environ["ACCELERATE_TORCH_DEVICE"] = str(device)
    return Accelerator(
        cpu=device.type == "cpu",
        mixed_precision=_MIXED_PRECISION[dtype],
        gradient_accumulation_steps=options.recipe.accumulate,
        kwargs_handlers=[
            DistributedDataParallelKwargs(find_unused_parameters=options.stage == "cdca")
        ],
    )
