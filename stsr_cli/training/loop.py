"""The training run: batches in, weights out, resumable at any checkpoint, on one process or many.

`Trainer` refuses everything that can be refused on construction, and writes nothing before `run`. Devices, mixed
precision, accumulation and data parallel are accelerate's.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from stsr_cli.checkpoint import save_weights
from stsr_cli.errors import InterruptedRun, StsrError, UsageError
from stsr_cli.hub import Origin, origins
from stsr_cli.options import TrainOptions
from stsr_cli.pairs import to_device
from stsr_cli.training.batches import Share, make_batches
from stsr_cli.training.card import run_card
from stsr_cli.training.cdca import MAPPING_UNTIL, CoupledAutoEncoders
from stsr_cli.training.checkpoints import Checkpoint, discard, load_checkpoint, save_checkpoint
from stsr_cli.training.config import as_toml, as_values
from stsr_cli.training.footage import TrainingData, load_training_data
from stsr_cli.training.guard import Guard
from stsr_cli.training.run_folder import RunFolder
from stsr_cli.training.sampling import Batch, batches
from stsr_cli.training.setup import (
    System,
    build_stage,
    check_options,
    identity_of,
    learning_rate,
    make_accelerator,
    make_optimizer,
    weights_of,
)
from stsr_cli.training.status import StepStatus, TrainStatus
from stsr_cli.training.stopping import StopSignals
from stsr_cli.training.validation import Validation


def _ignore(*_: object) -> None:
    pass


class Trainer:
    """One run of one stage.

    Args:
        options: what to do.
        data: footage, or None to read what `options` names.
        on_source: told how many sources are read, of how many.
        on_note: told, in one line, what went wrong without ending the run.
    """

    def __init__(
        self,
        options: TrainOptions,
        data: TrainingData | None = None,
        on_source: Callable[[int, int], None] = lambda done, total: None,
        on_note: Callable[[str], None] = lambda line: None,
    ) -> None:
        check_options(options)
        self.options, self.recipe = options, options.recipe
        self.folder = RunFolder(options.out)
        if options.threads:
            torch.set_num_threads(options.threads)
        self.accelerator = make_accelerator(options)
        self.device, self.is_main = self.accelerator.device, self.accelerator.is_main_process
        self.on_note = on_note if self.is_main else _ignore  # one process speaks for all
        on_source = on_source if self.is_main else _ignore
        torch.manual_seed(options.seed)
        read: dict[str, Path] = {}
        stage = build_stage(options, read.__setitem__)
        self.system: System = stage.system
        self.start = tuple(dict.fromkeys(one for item in read.items() for one in origins(*item)))
        # what was published for the modules is named, too; what the options name wins over it
        published = tuple(name for name in read if name not in options.init)
        self.options = options = replace(options, init=(*published, *options.init))
        if data is None:
            with self.accelerator.main_process_first():  # which decodes for all
                data = load_training_data(options, self.system.scale, on_source, on_note)
        self.data = data
        share = Share(
            self.accelerator.process_index, self.accelerator.num_processes, self.recipe.accumulate
        )
        self.make_batch = make_batches(options, data, self.system.scale, share)
        stage = to_device(stage, self.device, torch.float32)
        self.ema = AveragedModel(
            self.system,
            multi_avg_fn=get_ema_multi_avg_fn(self.recipe.ema_decay),
            use_buffers=True,
        ).eval()
        self.parameters = [p for p in stage.parameters() if p.requires_grad]
        self.stage, self.optimizer = self.accelerator.prepare(
            stage, make_optimizer(self.recipe, self.parameters)
        )
        self.validation = Validation(data.held_out, options.stage, self.system.scale, self.device)
        if options.clips and not self.validation.samples:
            raise UsageError(
                "the clips leave no moving triplet to hold out, and without one no gain can be seen; give a longer clip"
            )
        self.guard = Guard({"model": self.system, "ema": self.ema, "optimizer": self.optimizer})
        self.step, self.elapsed_seconds, self.num_stale = 0, 0.0, 0
        self.best, self.has_weights, self.failure = -math.inf, False, ""
        if options.resume:
            self._load_state()

    def run(
        self,
        on_status: Callable[[TrainStatus], None] = lambda status: None,
        on_step: Callable[[StepStatus], None] = lambda status: None,
    ) -> TrainStatus:
        """Train to the end, validating and saving on the way.

        Raises:
            InterruptedRun: Ctrl-C or SIGTERM; the state was saved and the run can be resumed.
            StsrError: training diverged, nothing could be saved, or clips to adapt to gained nothing.
        """
        options, folder = self.options, self.folder
        if self.is_main:
            folder.create(as_toml(options))
            if not options.resume:
                discard(folder.checkpoints_path)
            folder.start(self.step, self.on_note)
        self.stage.train()
        try:
            with StopSignals() as stop:
                status = self._run(stop, on_status, on_step)
        finally:
            folder.close()
        if self.failure:
            raise StsrError(f"the best weights are not saved: {self.failure}; then --resume")
        if self.is_main and not self.has_weights:
            raise StsrError(
                f"nothing was saved: no validation was better on the held-out part than the start "
                f"({self.best / max(len(status.psnr), 1):.2f} dB in the mean); the weights stay as they were"
            )
        return status

    def _run(
        self,
        stop: StopSignals,
        on_status: Callable[[TrainStatus], None],
        on_step: Callable[[StepStatus], None],
    ) -> TrainStatus:
        options, num_workers = self.options, self.options.workers
        if not self.is_main:
            on_status, on_step = _ignore, _ignore
        if num_workers is None:
            num_workers = 0 if self.device.type == "cpu" else 4
        source = batches(self.make_batch, self.step * self.recipe.accumulate, num_workers)
        total: Counter[str] = Counter()
        if self.step == 0 and (options.init or options.clips):
            on_status(self._validate(total))
        validated = saved = self.mark = time.monotonic()
        validated_step, status = self.step, None
        while not self._is_done():
            step_status = self._train_step(source)
            on_step(step_status)
            if self.is_main:
                self.folder.log_step(step_status)
            if step_status.losses:
                total.update({**step_status.losses, "steps": 1})
            is_due = self.mark - validated >= options.validate_minutes * 60
            if options.validate_steps:
                is_due = self.step - validated_step >= options.validate_steps
            is_saving = self.mark - saved >= options.save_minutes * 60
            num_stops, num_due, num_saving = self._sum(
                [stop.is_set, is_due and self.is_main, is_saving and self.is_main]
            )
            if num_stops:
                self._save_state()
                raise InterruptedRun(
                    f"stopped at step {self.step}; the same command with --resume goes on"
                )
            if num_due and not self._is_done():
                status = self._validate(total)
                on_status(status)
                total.clear()
                validated, validated_step = time.monotonic(), self.step
            if num_saving:
                self._try_to_save_state()
                saved = time.monotonic()
            self.mark = time.monotonic() if num_due or num_saving else self.mark
        if status is None or status.step != self.step:
            status = self._validate(total)
            on_status(status)
        self._save_state()
        if any(self._sum([stop.is_set])):  # during the last validation; another stage may follow
            raise InterruptedRun(f"stopped at step {self.step}, the last; --resume goes on")
        return status

    def time_steps(self, num_steps: int) -> list[float]:
        """Seconds of each of a few steps, which change the weights and save nothing."""
        self.stage.train()
        source = batches(self.make_batch, 0, 0)
        seconds = []
        self.mark = time.monotonic()
        for _ in range(num_steps):
            begin = time.monotonic()
            self._train_step(source)
            seconds.append(time.monotonic() - begin)
        return seconds

    def _is_done(self) -> bool:
        patience = self.recipe.patience
        return self._progress() >= 1 or (patience > 0 and self.num_stale >= patience)

    def _progress(self) -> float:
        shares = []
        if self.recipe.steps:
            shares.append(self.step / self.recipe.steps)
        if self.options.minutes is not None:
            shares.append(self.elapsed_seconds / 60 / self.options.minutes)
        return min(max(shares), 1.0)

    def _sum(self, values: Sequence[float]) -> list[float]:
        """Sum numbers over all processes, which so take the same decisions."""
        if self.accelerator.num_processes == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float32, device=self.device)
        return cast(list[float], self.accelerator.reduce(tensor, "sum").tolist())

    def _train_step(self, source: Iterator[Batch]) -> StepStatus:
        accelerator, recipe, progress = self.accelerator, self.recipe, self._progress()
        rate = self.guard.rate * learning_rate(recipe, self.step, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        total: Counter[str] = Counter()
        for _ in range(recipe.accumulate):
            batch = next(source).to(self.device)
            with accelerator.accumulate(self.stage):
                losses = self.stage(batch, progress)
                accelerator.backward(losses["loss"])
                total.update({name: float(loss.detach()) for name, loss in losses.items()})
        norm = float(accelerator.clip_grad_norm_(self.parameters, recipe.clip_norm or math.inf))
        now = time.monotonic()
        *sums, seconds = self._sum([*total.values(), (now - self.mark) * self.is_main])
        self.mark = now
        self.elapsed_seconds += seconds
        num_parts = recipe.accumulate * accelerator.num_processes
        means = {name: value / num_parts for name, value in zip(total, sums, strict=True)}
        self.step += 1
        # With half precision the scaler passes over a step whose gradient is too large for it, which is no fault.
        is_good = math.isfinite(means["loss"]) and (
            math.isfinite(norm) or accelerator.scaler is not None
        )
        if is_good:
            self.optimizer.step()
            if isinstance(self.system, CoupledAutoEncoders) and progress < MAPPING_UNTIL:
                self.ema.n_averaged.zero_()  # begins with the last stage: those before are not like it
            self.ema.update_parameters(self.system)
            self.guard.after_good_step(self.step)
        else:
            if accelerator.scaler is not None:  # the step it prepared is not taken
                accelerator.scaler.update()
            self.on_note(self.guard.go_back(self.step, f"loss {means['loss']}, gradient {norm}"))
            means = {}
        self.optimizer.zero_grad(set_to_none=True)
        return StepStatus(self.step, self._progress(), self.elapsed_seconds / 60, means, rate, norm)

    def _validate(self, total: Counter[str]) -> TrainStatus:
        """Measure the averaged weights and save them if they are the best; log it all. On every process at once."""
        system, num_steps = cast(System, self.ema.module), total.pop("steps", 0)
        psnr = self.validation.measure(system) if self.is_main else {}
        (score,) = self._sum([sum(psnr.values())])
        is_adapting = bool(self.options.clips)
        is_best = score > self.best if is_adapting else score >= self.best
        is_saved = is_best and not (is_adapting and self.step == 0)  # the start is there already
        status = TrainStatus(
            step=self.step,
            elapsed_minutes=self.elapsed_seconds / 60,
            progress=self._progress(),
            losses={name: value / num_steps for name, value in total.items()},
            psnr=psnr,
            baseline=self.validation.baseline,
            is_best=is_saved,
        )
        self.num_stale = 0 if is_best else self.num_stale + 1
        if is_saved and not self._save_weights(status):
            is_best, status = False, replace(status, is_best=False)
        if is_best:
            self.best = score
        if self.is_main:
            self.folder.log_validation(status, self.validation.pictures(system))
        return status

    def _save_weights(self, status: TrainStatus) -> bool:
        """Write the averaged weights; say on every process whether that worked."""
        self.failure = self._write_weights(status) if self.is_main else ""
        is_saved = not any(self._sum([bool(self.failure)]))
        self.has_weights |= is_saved
        return is_saved

    def _write_weights(self, status: TrainStatus) -> str:
        weights = weights_of(cast(System, self.ema.module), self.options, status, self.start)
        try:
            save_weights(self.folder.weights_path, weights)
            self.folder.write_card(run_card(as_values(self.options), weights, status))
        except StsrError as error:
            self.on_note(f"step {self.step}: {error}")
            return str(error)
        return ""

    def _identity(self) -> dict[str, Any]:
        return identity_of(self.system, self.options, self.accelerator.num_processes)

    def _try_to_save_state(self) -> None:
        try:
            self._save_state()
        except StsrError as error:
            self.on_note(f"{error}; trying again in {self.options.save_minutes:g} min")

    def _save_state(self) -> None:
        try:
            if self.is_main:
                self._write_state()
        finally:
            self.accelerator.wait_for_everyone()

    def _write_state(self) -> None:
        scaler = self.accelerator.scaler
        state = {
            "elapsed_seconds": self.elapsed_seconds,
            "best": self.best,
            "has_weights": self.has_weights,
            "num_stale": self.num_stale,
            "rate": self.guard.rate,
            "num_returns": self.guard.num_returns,
            "start": [asdict(one) for one in self.start],
            "optimizer": self.optimizer.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else {},
            "random": torch.get_rng_state(),
        }
        model, ema = self.system.state_dict(), self.ema.state_dict()
        checkpoint = Checkpoint(self.step, self._identity(), model, ema, state)
        save_checkpoint(self.folder.checkpoints_path, checkpoint)

    def _load_state(self) -> None:
        checkpoint = load_checkpoint(self.folder.checkpoints_path, self._identity(), self.device)
        state = checkpoint.state
        self.system.load_state_dict(checkpoint.model)
        self.ema.load_state_dict(checkpoint.ema)
        self.optimizer.load_state_dict(state["optimizer"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["random"].cpu())
        self.step, self.best = checkpoint.step, state["best"]
        if "start" in state:  # not in older checkpoints
            self.start = tuple(Origin(**one) for one in state["start"])
        self.has_weights, self.num_stale = state["has_weights"], state["num_stale"]
        self.elapsed_seconds = state["elapsed_seconds"]
        self.guard.rate, self.guard.num_returns = state["rate"], state["num_returns"]
        self.guard.keep(self.step)
