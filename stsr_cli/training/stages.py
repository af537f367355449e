"""The paper's order of training: f_S and f_T alone, then both streams together (Sec. 3.5)."""

from collections.abc import Callable
from dataclasses import replace

from stsr_cli.options import Config, Recipe, Stage, TrainOptions
from stsr_cli.registry import Kind, build
from stsr_cli.training.checkpoints import newest
from stsr_cli.training.run_folder import RunFolder


def in_order(
    options: TrainOptions, recipe_of: Callable[[Stage], Recipe], is_dry: bool = False
) -> list[TrainOptions]:
    """One run for each stage in OUT/spatial, OUT/temporal and OUT/joint, the last from the weights of the others.

    A module without parameters has no stage of its own. When the whole is resumed, a stage that has a checkpoint is
    resumed and one that has none begins. A dry run leaves no weights, so that its joint stage starts from
    `options.init` alone.
    """
    runs = []
    sources = list(options.init)
    kinds: tuple[tuple[Kind, str, Config], ...] = (
        ("spatial", options.spatial, options.spatial_config),
        ("temporal", options.temporal, options.temporal_config),
    )
    for stage, name, config in kinds:
        if any(True for _ in build(stage, name, config).parameters()):
            runs.append(_of_stage(options, stage, recipe_of(stage)))
            if not is_dry:
                sources.append(str(RunFolder(runs[-1].out).weights_path))
    joint = _of_stage(options, "joint", recipe_of("joint"))
    runs.append(replace(joint, init=tuple(sources), unlabeled=options.unlabeled))
    if options.resume and not any(run.resume for run in runs):
        runs[0] = replace(runs[0], resume=True)  # which says that there is nothing to resume
    return runs


def _of_stage(options: TrainOptions, stage: Stage, recipe: Recipe) -> TrainOptions:
    out = options.out / stage
    resume = options.resume and newest(RunFolder(out).checkpoints_path) is not None
    return replace(
        options,
        out=out,
        stage=stage,
        recipe=recipe,
        resume=resume,
        overwrite=options.overwrite or options.resume,
        unlabeled=(),
    )
