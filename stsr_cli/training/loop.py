"""The training run: batches in, weights out, resumable at any checkpoint.

OUT holds the best weights so far by the validation split (averaged ones, when averaging is on), OUT.state what is
needed to go on, OUT.log.jsonl a line for every validation.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from stsr_cli.checkpoint import save_weights
from stsr_cli.data import load_clips, split
from stsr_cli.device import resolve_device
from stsr_cli.errors import InterruptedRun, StsrError, UsageError
from stsr_cli.losses import Objective
from stsr_cli.options import TrainOptions
from stsr_cli.pairs import to_device
from stsr_cli.training.cdca import MAPPING_UNTIL, CoupledAutoEncoders, coupled_loss
from stsr_cli.training.joint import freeze_batch_norm, joint_loss
from stsr_cli.training.pretrain import spatial_loss, temporal_batch, temporal_loss
from stsr_cli.training.sampling import Sampler, concatenate
from stsr_cli.training.setup import (
    Model,
    build_model,
    description_of,
    make_optimizer,
    trained_part,
    weights_of,
)
from stsr_cli.training.state import load_state, save_state
from stsr_cli.training.stopping import StopSignals
from stsr_cli.training.validation import Validation

_BATCH_SIZES = {"spatial": 16, "temporal": 8, "joint": 4, "cdca": 8}
_WARMUP_STEPS = 100
# Options that make another run of a run; how long it lasts and where its data lies may change.
_IDENTITY = (
    "stage",
    "seed",
    "crop",
    "optimizer",
    "learning_rate",
    "weight_decay",
    "consistency_weight",
    "given_weight",
    "penalty",
    "reduction",
    "clip_norm",
    "ema_decay",
    "stills_share",
)


@dataclass(frozen=True)
class TrainStatus:
    """What a log line says.

    Attributes:
        step: optimizer steps so far.
        elapsed_minutes: training time so far, earlier runs included.
        progress: share of the run that is done, 0 to 1.
        loss: mean since the last status; None without a step.
        psnr: RGB PSNR in dB on the held-out split, by name.
        baseline: the same of bicubic and blend.
        is_best: these weights were saved.
    """

    step: int
    elapsed_minutes: float
    progress: float
    loss: float | None
    psnr: dict[str, float]
    baseline: dict[str, float]
    is_best: bool


class Trainer:
    """One run of one stage. `run` trains; everything that can be refused is refused on construction."""

    def __init__(
        self,
        options: TrainOptions,
        on_source: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.options = options
        if options.steps is None and options.minutes is None:
            raise UsageError("a training run needs an end: give --steps or --minutes")
        if options.out.suffix != ".safetensors":
            raise UsageError(f"--out {options.out} must be a file that ends in .safetensors")
        if not options.out.parent.is_dir():
            raise UsageError(f"the folder of --out {options.out} does not exist; create it first")
        if not (options.resume or options.overwrite):
            for path in (options.out, self.state_path):
                if path.exists():
                    raise UsageError(
                        f"{path} exists; go on with --resume, or start over with --overwrite"
                    )
        if options.threads:
            torch.set_num_threads(options.threads)
        self.device = resolve_device(options.device)
        torch.manual_seed(options.seed)
        self.model = to_device(build_model(options), self.device, torch.float32)
        self.batch_size = options.batch_size or _BATCH_SIZES[options.stage]
        self.objective = Objective(
            options.consistency_weight, options.given_weight, options.penalty, options.reduction
        )
        self._load_data(on_source)
        trained = trained_part(self.model, options)
        parameters = [parameter for parameter in trained.parameters() if parameter.requires_grad]
        if not parameters:
            raise UsageError(
                f"nothing to train: {options.stage} stage of {options.spatial} + {options.temporal}"
            )
        self.parameters = parameters
        self.optimizer = make_optimizer(options, parameters)
        average = get_ema_multi_avg_fn(options.ema_decay)
        self.ema = AveragedModel(self.model, multi_avg_fn=average, use_buffers=True)
        self.step, self.elapsed_seconds, self.best = 0, 0.0, -math.inf
        if options.resume:
            self._load_state()

    @property
    def state_path(self) -> Path:
        """Where the run's state lies."""
        return self.options.out.with_name(self.options.out.name + ".state")

    def _load_data(self, on_source: Callable[[int, int], None]) -> None:
        options, scale = self.options, self.model.scale
        load = partial(
            load_clips,
            scale=scale,
            cache=options.cache,
            cache_gib=options.cache_gib,
            on_source=on_source,
        )
        training, held_out = split(load(options.labeled, is_labeled=True))
        lr_crop = options.crop if options.stage != "temporal" else options.crop * 4 // 3
        self.sampler = Sampler(
            training,
            scale=scale,
            crop=lr_crop,
            seed=options.seed,
            stills_share=options.stills_share,
        )
        # High-resolution crops of f_T have twice the side of its low-resolution ones.
        self.hr_sampler = Sampler(
            training, scale=scale, crop=max(lr_crop * 2 // scale, 8), seed=options.seed
        )
        self.unlabeled = None
        if options.unlabeled:
            clips = load(options.unlabeled, is_labeled=False)
            self.unlabeled = Sampler(clips, scale=scale, crop=lr_crop, seed=options.seed + 1)
        if options.stage != "spatial":
            self.sampler.require_triplets()
        self.validation = Validation(held_out, options.stage, scale, self.device)

    def _loss(self) -> Tensor:
        options, step, size = self.options, self.step, self.batch_size
        if isinstance(self.model, CoupledAutoEncoders):
            batch = self.sampler.triplets(step, size).to(self.device)
            return coupled_loss(self.model, batch, self.objective, self._progress())
        if options.stage == "spatial":
            return spatial_loss(
                self.model, self.sampler.singles(step, size).to(self.device), self.objective
            )
        if options.stage == "temporal":
            frames = temporal_batch(self.sampler, self.hr_sampler, step, size)
            return temporal_loss(
                self.model, tuple(frame.to(self.device) for frame in frames), self.objective
            )
        if self.unlabeled is None:
            batch = self.sampler.triplets(step, size)
        else:  # half and half, as D_L and D_U meet in Eq. 8
            num_unlabeled = max(size // 2, 1)
            batch = concatenate(
                self.sampler.triplets(step, max(size - num_unlabeled, 1)),
                self.unlabeled.triplets(step, num_unlabeled),
            )
        return joint_loss(self.model, batch.to(self.device), self.objective)

    def _progress(self) -> float:
        shares = []
        if self.options.steps is not None:
            shares.append(self.step / self.options.steps)
        if self.options.minutes is not None:
            shares.append(self.elapsed_seconds / 60 / self.options.minutes)
        return min(max(shares), 1.0)

    def _train_step(self) -> float:
        options, progress = self.options, self._progress()
        if options.optimizer == "adamw":
            rate = (
                0.5 * (1 + math.cos(math.pi * progress)) * min((self.step + 1) / _WARMUP_STEPS, 1)
            )
            for group in self.optimizer.param_groups:
                group["lr"] = options.learning_rate * rate
        loss = self._loss()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, options.clip_norm)
        if not torch.isfinite(norm):
            raise StsrError(
                f"training diverged at step {self.step} (gradient {norm}); lower --learning-rate"
            )
        self.optimizer.step()
        if options.stage == "cdca" and progress < MAPPING_UNTIL:
            self.ema.n_averaged.zero_()  # the average begins with the last stage: those before are not like it
        self.ema.update_parameters(self.model)
        self.step += 1
        return float(loss.detach())

    def run(self, on_status: Callable[[TrainStatus], None] = lambda status: None) -> TrainStatus:
        """Train to the end, validating and saving on the way.

        Raises:
            InterruptedRun: Ctrl-C or SIGTERM; the state was saved and the run can be resumed.
            StsrError: training diverged, or a file could not be written.
        """
        options, stop = self.options, StopSignals()
        self.model.train()
        if options.stage == "joint":
            freeze_batch_norm(self.model)
        losses: list[float] = []
        validated = saved = mark = time.monotonic()
        with stop:
            while self._progress() < 1:
                losses.append(self._train_step())
                now = time.monotonic()
                self.elapsed_seconds += now - mark
                mark = now
                if stop.is_set:
                    self._save_state()
                    raise InterruptedRun(
                        f"stopped at step {self.step}; the same command with --resume goes on"
                    )
                if now - validated >= options.validate_minutes * 60 and self._progress() < 1:
                    on_status(self._validate(losses))
                    losses = []
                    validated = mark = time.monotonic()
                if now - saved >= options.save_minutes * 60:
                    self._save_state()
                    saved = mark = time.monotonic()
            status = self._validate(losses)
            on_status(status)
            self._save_state()
        return status

    def _averaged(self) -> Model:
        return cast(Model, self.ema.module) if self.options.ema_decay else self.model

    def _validate(self, losses: list[float]) -> TrainStatus:
        psnr = self.validation.measure(self._averaged())
        score = sum(psnr.values())
        is_best = score >= self.best
        status = TrainStatus(
            step=self.step,
            elapsed_minutes=self.elapsed_seconds / 60,
            progress=self._progress(),
            loss=sum(losses) / len(losses) if losses else None,
            psnr=psnr,
            baseline=self.validation.baseline,
            is_best=is_best,
        )
        if is_best:
            self.best = score
            self._save_weights(status)
        with self.options.out.with_name(self.options.out.name + ".log.jsonl").open("a") as log:
            log.write(json.dumps(vars(status)) + "\n")
        return status

    def _save_weights(self, status: TrainStatus) -> None:
        options = self.options
        training: dict[str, Any] = {
            "stage": options.stage,
            "step": status.step,
            "minutes": round(status.elapsed_minutes, 1),
            "seed": options.seed,
            "batch_size": self.batch_size,
            "crop": options.crop,
            "learning_rate": options.learning_rate,
            "psnr": status.psnr,
            "baseline": status.baseline,
        }
        save_weights(options.out, weights_of(self._averaged(), options, training))

    def _identity(self) -> dict[str, Any]:
        """What must be the same for a state to be resumed."""
        options = {name: getattr(self.options, name) for name in _IDENTITY}
        networks = description_of(self.model, self.options)
        return options | {"batch_size": self.batch_size} | networks

    def _save_state(self) -> None:
        state = {
            "step": self.step,
            "elapsed_seconds": self.elapsed_seconds,
            "best": self.best,
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        save_state(self.state_path, self._identity(), state)

    def _load_state(self) -> None:
        state = load_state(self.state_path, self._identity(), self.device)
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.best = state["step"], state["best"]
        self.elapsed_seconds = state["elapsed_seconds"]
