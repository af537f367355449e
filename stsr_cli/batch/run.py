"""A batch, file by file: nothing of one file's run reaches the next, and what becomes of each is known at the end."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from stsr_cli.batch.journal import Journal
from stsr_cli.batch.plan import Item
from stsr_cli.errors import FINISHED_DAMAGED, InterruptedRun, StsrError
from stsr_cli.options import UpscaleOptions
from stsr_cli.upscale import Listener, UpscaleReport, upscale
from stsr_cli.video.probe import shown

State = Literal["done", "skipped", "failed", "interrupted", "not tried"]
Make = Callable[[UpscaleOptions, Listener], UpscaleReport]

_HALTED = "another file failed, and --halt-on-error was given"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileResult:
    """What became of one file.

    Attributes:
        index: from 1.
        source: the file.
        target: its output, whether it is there or not; None: it was never named, since the source cannot be read.
        state: done: by this run; skipped: it was there; the others say it.
        reason: why it is not done, a sentence; "" if it is.
        exit_code: of the error, where it failed; FINISHED_DAMAGED: done, but for what of the source cannot be read.
        seconds: spent on it.
        report: of a file that is done.
    """

    index: int
    source: Path
    target: Path | None
    state: State
    reason: str = ""
    exit_code: int = 0
    seconds: float = 0.0
    report: UpscaleReport | None = None


@dataclass(frozen=True)
class BatchReport:
    """What became of a batch: a result a file, in order."""

    results: tuple[FileResult, ...]

    def count(self, state: State) -> int:
        """How many files are in a state."""
        return sum(result.state == state for result in self.results)

    @property
    def exit_code(self) -> int:
        """130: interrupted; the errors' own where all files failed alike, 1 where some failed.

        Where none did, FINISHED_DAMAGED if a source was damaged, else 0: every file is there.
        """
        if self.count("interrupted"):
            return InterruptedRun.exit_code
        codes = {result.exit_code for result in self.results if result.state == "failed"}
        if not codes:
            return max((result.exit_code for result in self.results), default=0)
        is_all = self.count("failed") == len(self.results)
        return codes.pop() if is_all and len(codes) == 1 else 1


class BatchListener(Protocol):
    """Told of a batch as it goes on."""

    def on_file(self, item: Item, num_files: int) -> Listener:
        """A file is begun; what is returned is told of its run."""

    def on_result(self, result: FileResult) -> None:
        """What became of a file; in order, each once."""


def run_batch(
    items: Sequence[Item],
    listener: BatchListener,
    make: Make = upscale,
    *,
    halt_on_error: bool = False,
) -> BatchReport:
    """Upscale the files of a plan one after the other.

    Never raises for a file: an error is that file's, an interruption ends the batch; both are in the report.

    Args:
        items: by `plan_batch`.
        listener: told how it goes on.
        halt_on_error: try no file after the first that fails; none at all, if one failed as it was planned.
        make: makes one file.
    """
    results: list[FileResult] = []
    why_halted = ""
    if halt_on_error and any(item.state == "failed" for item in items):
        why_halted = _HALTED
    for item in items:
        if item.state == "ready" and why_halted:
            result = _result(item, "not tried", why_halted)
        elif item.state == "ready":
            result = _make(item, listener.on_file(item, len(items)), make)
        else:
            result = _result(item, item.state, item.reason, item.exit_code)
        results.append(result)
        listener.on_result(result)
        if result.state == "interrupted":
            why_halted = "the batch was interrupted"
        elif halt_on_error and result.state == "failed":
            why_halted = _HALTED
    return BatchReport(tuple(results))


def _make(item: Item, listener: Listener, make: Make) -> FileResult:
    """One file, and the journal's lines about it."""
    assert item.options is not None
    target, begin = item.options.target, time.monotonic()
    try:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StsrError(
                f"cannot make the folder {shown(target.parent)}: {error.strerror}; choose another place"
            ) from error
        journal = Journal(target.parent)
        journal.begin(item.options)
        report = make(item.options, listener)
        journal.finish(item.options)
    except (KeyboardInterrupt, InterruptedRun) as error:
        return _result(item, "interrupted", str(error) or "interrupted", InterruptedRun.exit_code)
    except StsrError as error:
        seconds = time.monotonic() - begin
        return _result(item, "failed", str(error), error.exit_code, seconds)
    except Exception as error:
        # a bug, which must not cost the files after it; its traceback is told, too
        _log.exception("%s: a bug of stsr, please report it", shown(item.source))
        return _result(item, "failed", f"{type(error).__name__}: {error}", 1)
    seconds = time.monotonic() - begin
    code = FINISHED_DAMAGED if report.damage else 0
    return FileResult(item.index, item.source, target, "done", "", code, seconds, report)


def _result(
    item: Item, state: State, reason: str, exit_code: int = 0, seconds: float = 0.0
) -> FileResult:
    target = item.options.target if item.options else None
    return FileResult(item.index, item.source, target, state, reason, exit_code, seconds)
