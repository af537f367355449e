"""What a batch will do, settled before the first network runs: which file becomes what, and which are done.

What concerns one file alone (it cannot be read, its encoder cannot take its size) makes that file fail and no other;
what concerns the batch (two files of one name, outputs that exist, no such device) is refused.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

from stsr_cli.batch.inputs import Input, find_inputs
from stsr_cli.batch.journal import Journal
from stsr_cli.batch.naming import (
    DEFAULT_PATTERN,
    check_pattern,
    extension,
    output_name,
    rate_text,
)
from stsr_cli.device import resolve_device, resolve_dtype
from stsr_cli.errors import StsrError, UsageError
from stsr_cli.files import check_name, place_of
from stsr_cli.options import BatchOptions, UpscaleOptions
from stsr_cli.pairs import load_system
from stsr_cli.upscale.job import network_scale, settle
from stsr_cli.video.encode.encoder import EncoderPlan, plan_encoder
from stsr_cli.video.encode.orientation import swaps_axes
from stsr_cli.video.pipes.pipe import PIPE
from stsr_cli.video.probe import SourceInfo, shown
from stsr_cli.video.rehearsal import PlannedOutput, rehearse
from stsr_cli.video.target import new_container
from stsr_cli.video.timing.retime import output_rate

OnProbe = Callable[[int, int], None]
_SHOWN_CONFLICTS = 3


@dataclass(frozen=True)
class Item:
    """One file of a batch.

    Attributes:
        index: from 1, of all files of the batch.
        source: the file.
        options: its run; None: it cannot be made.
        state: ready, or what became of it already.
        reason: why it is not ready, a sentence; "" if it is.
        exit_code: of the error, where it failed.
    """

    index: int
    source: Path
    options: UpscaleOptions | None
    state: Literal["ready", "skipped", "failed"] = "ready"
    reason: str = ""
    exit_code: int = 0


def plan_batch(
    options: BatchOptions, on_probe: OnProbe = lambda num_done, num_all: None
) -> tuple[Item, ...]:
    """Find the files, read their headers, name their outputs, see which are done.

    Args:
        options: the batch.
        on_probe: told how many files were looked at, of how many.

    Raises:
        UsageError: a pattern that cannot be, two files that become one, an output that is an input, an output that
            exists and is none of this command's.
        InputError: a folder without videos.
        DeviceError, WeightsError: as of `upscale`, since all files would fail.
    """
    run, pattern = options.run, options.pattern or DEFAULT_PATTERN
    check_pattern(pattern)
    if options.folder is not None:
        _check_folder(options.folder)
    inputs = find_inputs(options.inputs, options.folder, recursive=options.recursive)
    resolve_dtype(run.model.precision, resolve_device(run.model.device))
    load_system(run.model, network_scale(run), run.time_scale)
    items = []
    for index, found in enumerate(inputs, 1):
        try:
            settled = _settle(run, found, pattern, options.folder, index)
            items.append(Item(index, found.path, settled))
        except StsrError as error:
            items.append(Item(index, found.path, None, "failed", str(error), error.exit_code))
        on_probe(index, len(inputs))
    kept = _without_outputs(items, {found.path for found in inputs if found.is_found})
    _refuse_conflicts(kept)
    return tuple(_done(kept, run.overwrite, options.skip_existing))


def _check_folder(folder: Path) -> None:
    """Refuse a folder of outputs that cannot be made or written in."""
    above = folder.absolute()
    while not above.exists() and above.parent != above:
        above = above.parent
    if folder == PIPE or not above.is_dir():
        raise UsageError(
            f"the output of several files is a folder and {shown(folder)} cannot be one; choose another name"
        )
    if not os.access(above, os.W_OK | os.X_OK):
        raise UsageError(f"no permission to write in {shown(above)}; choose another folder")


def _settle(
    run: UpscaleOptions, found: Input, pattern: str, folder: Path | None, index: int
) -> UpscaleOptions:
    """The run of one file: what can be wrong with it and shows without a network is raised here."""
    job = settle(replace(run, source=found.path))
    run, source = job.options, job.source
    if source.images:
        raise UsageError(
            f"{shown(found.path)} is an image sequence, which is no part of several inputs; upscale it alone"
        )
    values: dict[str, str | int] = {
        "stem": found.path.stem,
        "name": found.path.name,
        "ext": extension(found.path),
        "fps": rate_text(_rate(source, run)),
        "scale": run.scale,
        "time_scale": run.time_scale,
        "index": index,
        "parent": str(found.path.absolute().parent),
        "w": 0,
        "h": 0,
    }
    base = found.path.parent if folder is None else folder / found.folder
    draft = base / output_name(pattern, values)
    check_name(draft)
    with new_container(draft, draft) as container:  # its name is all that is looked at
        format_name = container.format.name
    plan = plan_encoder(source, run.encode, scale=run.scale, format_name=format_name, size=run.size)
    if run.tracks.strict:
        suffix = draft.suffix.lower()
        rehearse(PlannedOutput(job.timed, plan, format_name, job.ticks, suffix), run.tracks)
    values["w"], values["h"] = _shown_size(plan)
    return replace(run, target=base / output_name(pattern, values))


def _rate(source: SourceInfo, run: UpscaleOptions) -> Fraction | None:
    constant = output_rate(source, run)
    if constant is not None or source.frame_rate is None:
        return constant
    return source.frame_rate * run.time_scale


def _shown_size(plan: EncoderPlan) -> tuple[int, int]:
    """Width and height on the screen, in square pixels."""
    width = round(plan.width * (plan.sample_aspect_ratio or 1))
    is_turned = plan.display_matrix is not None and swaps_axes(plan.display_matrix)
    return (plan.height, width) if is_turned else (width, plan.height)


def _without_outputs(items: Sequence[Item], found: set[Path]) -> list[Item]:
    """Leave out files that were found in a folder where they lie as outputs of others."""
    kept: list[Item] = []
    targets = {_place(item.options.target): item for item in items if item.options}
    dropped: set[int] = set()
    for item in items:
        maker = targets.get(place_of(item.source))
        if item.source in found and maker and maker is not item and maker.index not in dropped:
            dropped.add(item.index)
        else:
            kept.append(item)
    return [replace(item, index=index) for index, item in enumerate(kept, 1)]


def _refuse_conflicts(items: Sequence[Item]) -> None:
    """Refuse two files that become one, and a file that would become another input."""
    sources = {place_of(item.source): item for item in items}
    makers: dict[str, Item] = {}
    for item in items:
        if item.options is None:
            continue
        place, name = _place(item.options.target), shown(item.options.target)
        if place in makers:
            raise UsageError(
                f"{shown(makers[place].source)} and {shown(item.source)} would both become {name}; "
                "tell them apart by --output-pattern, such as {index}_{stem}{ext}"
            )
        makers[place] = item
        if place in sources:
            raise UsageError(
                f"the output {name} of {shown(item.source)} is an input; name another folder, or "
                "--output-pattern, such as {stem}_{scale}x{ext}"
            )


def _done(items: Sequence[Item], overwrite: bool, skip_existing: bool) -> list[Item]:
    """The items, those that are done marked; refuses outputs that this command would not make as they are."""
    journals: dict[Path, Journal] = {}
    found, refused = [], []
    for item in items:
        run = item.options
        if run is None or not run.target.exists():
            found.append(item)
            continue
        folder = run.target.parent
        why = journals.setdefault(folder, Journal(folder)).objection(run)
        if run.target.is_dir():
            refused.append(f"{shown(run.target)} (a folder)")
        elif not why and run.resume:
            item = replace(item, state="skipped", reason="done before, by this command")
        elif skip_existing:
            item = replace(item, state="skipped", reason="its output exists")
        elif not overwrite:
            refused.append(f"{shown(run.target)} ({why or 'made by this command'})")
        found.append(item)
    if refused:
        more = len(refused) - _SHOWN_CONFLICTS
        listed = "; ".join(refused[:_SHOWN_CONFLICTS]) + (f"; and {more} more" if more > 0 else "")
        raise UsageError(
            f"these outputs exist: {listed}; -y replaces them, --skip-existing leaves them as they are"
        )
    return found


def _place(target: Path) -> str:
    """Where a target lies, whatever its folder is called; its own name may be a link, which it replaces."""
    return place_of(target, follow=False)
