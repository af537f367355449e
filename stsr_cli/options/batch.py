"""Many files in one run, and how much of a run is told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stsr_cli.options.upscale import UpscaleOptions

ProgressKind = Literal["auto", "plain", "jsonl", "none"]
LogLevel = Literal["error", "warning", "info", "debug"]


@dataclass(frozen=True)
class TellOptions:
    """What is told while a run goes on.

    Attributes:
        progress: a bar where stderr is a terminal (auto), a line every few seconds (plain), everything as JSON, an
            object a line (jsonl), or no progress (none).
        log_level: the least that is said: errors alone; warnings of what is lost, too; notes and summaries (info); what
            FFmpeg and its encoders say, times and memory (debug).
    """

    progress: ProgressKind = "auto"
    log_level: LogLevel = "info"


@dataclass(frozen=True)
class BatchOptions:
    """One `stsr upscale` run over many files.

    Attributes:
        inputs: videos, and folders of them.
        folder: where outputs go, the tree below a folder that is given mirrored in it; None: beside their inputs.
        pattern: name of an output, see `batch.naming`, or None: the input's own.
        recursive: look into folders of folders.
        halt_on_error: try no other file after the first that fails.
        skip_existing: leave out files whose output exists, whatever made it.
        run: what is done to each file; its source and target mean nothing.
    """

    inputs: tuple[Path, ...]
    folder: Path | None
    run: UpscaleOptions
    pattern: str | None = None
    recursive: bool = False
    halt_on_error: bool = False
    skip_existing: bool = False
