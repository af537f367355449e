"""What a training run leaves for people: `runs/NAME/` with its options, log, curves, sample pictures, card and events.

Nothing in here ends a run that has begun: what cannot be written (a full disk, a missing package) becomes a note.
"""

import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stsr_cli.errors import StsrError, UsageError
from stsr_cli.extras import install_command
from stsr_cli.files import parse_json, write_atomically
from stsr_cli.report.curves import draw_curves
from stsr_cli.report.pictures import contact_sheet, picture_strip
from stsr_cli.training.status import Picture, StepStatus, TrainStatus

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_NUM_SAMPLES = 20  # contact sheets that are kept beside the first
_NUM_IMAGES = (
    20  # of a picture in a run's events, which are never thinned out: one for every part of the run
)
_SAMPLE = re.compile(r"step-(\d{8,})\.png")


def _ignore(note: str) -> None:
    pass


class RunFolder:
    """The folder of one run. Order of use: `create`, `start`, then `log_*` and `write_card`, `close`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._on_note: Callable[[str], None] = _ignore
        self._told: set[str] = set()
        self._events: SummaryWriter | None = None
        self._thread_hook: Callable[[threading.ExceptHookArgs], Any] | None = None
        self._lines: list[dict[str, Any]] = []
        self._is_log_torn = False
        self._last_part: int | None = None

    @property
    def weights_path(self) -> Path:
        """Where the best weights so far belong."""
        return self.path / "weights.safetensors"

    @property
    def checkpoints_path(self) -> Path:
        """The folder that what is needed to resume belongs in."""
        return self.path / "checkpoints"

    @property
    def _log_path(self) -> Path:
        return self.path / "log.jsonl"

    @property
    def _curves_path(self) -> Path:
        return self.path / "curves.png"

    def create(self, config: str) -> None:
        """Make the folder, unless it exists, and write `config.toml` into it.

        Raises:
            UsageError: a file is in its place, or it cannot be made.
            StsrError: it cannot be written into.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise UsageError(
                f"a run needs a folder, and {error.filename} is a file; choose another name"
            ) from error
        except OSError as error:
            raise UsageError(
                f"cannot create the folder {self.path}: {error.strerror}; choose another place"
            ) from error
        write_atomically(self.path / "config.toml", config.encode())

    def start(self, step: int, on_note: Callable[[str], None] = _ignore) -> None:
        """Begin at 0, without what an earlier run left here, or go on from `step`, without what it logged later.

        Args:
            step: optimizer steps that are behind the run.
            on_note: told in one line what could not be written, once for each kind of file.
        """
        self._on_note = on_note
        with self._noting("log.jsonl", "the log of the steps before is left as it is"):
            lines = self._read_log() if step else []
            self._lines = [line for line in lines if line["step"] <= step]
            self._write_log()
        with self._noting("files of an earlier run", "they stay"):
            self._discard_after(step)
        with self._noting("tensorboard", "this run writes no events"):
            from torch.utils.tensorboard import SummaryWriter

            # Events of later steps, of a run that was killed after its last checkpoint, are hidden.
            self._events = SummaryWriter(
                str(self.path / "tensorboard"), purge_step=step + 1 if step else None
            )
            self._thread_hook, threading.excepthook = threading.excepthook, self._on_thread_error

    def log_step(self, status: StepStatus) -> None:
        """Add a step's losses, learning rate and gradient norm to the events."""
        self._add_scalars("train", status.step, status.losses)
        rest = {"learning_rate": status.learning_rate, "gradient_norm": status.gradient_norm}
        self._add_scalars("train", status.step, rest)

    def log_validation(self, status: TrainStatus, pictures: Sequence[Picture]) -> None:
        """Add a validation to the log, the events and the curves; its pictures to the events and the samples."""
        with self._noting("log.jsonl", "its lines are kept for the next validation"):
            self._log(status)
        gains = {name: value - status.baseline[name] for name, value in status.psnr.items()}
        self._add_scalars("psnr", status.step, status.psnr)
        self._add_scalars("gain", status.step, gains)
        with self._noting("sample pictures", "pictures and curves are left out"):
            self._write_samples(status, pictures)
        with self._noting("curves.png", "pictures and curves are left out"):
            write_atomically(self._curves_path, draw_curves(self._lines))
        with self._noting_events():
            if self._events is not None:
                self._events.flush()

    def write_card(self, text: str) -> None:
        """Write the model card (see `write_atomically` for what is raised)."""
        write_atomically(self.path / "README.md", text.encode())

    def close(self) -> None:
        """Finish the events; a folder that was never started, or is closed, has none."""
        events, self._events = self._events, None
        if self._thread_hook is not None:
            threading.excepthook, self._thread_hook = self._thread_hook, None
        with self._noting_events():
            if events is not None:
                events.close()

    def _on_thread_error(self, error: threading.ExceptHookArgs) -> None:
        """Keep quiet about the writer of events, whose failure its next call brings to light; pass on the rest."""
        is_writer = type(error.thread).__module__.startswith("tensorboard")
        if not (is_writer and isinstance(error.exc_value, OSError)) and self._thread_hook:
            self._thread_hook(error)

    @contextmanager
    def _noting(self, what: str, consequence: str) -> Iterator[None]:
        """Make a failure to write `what` a note, unless the last attempt failed too."""
        try:
            yield
        except ImportError as error:
            package = str(error.name).split(".")[0]
            self._note_once(
                package, f"{error}; {consequence} ({install_command('train')} brings {package})"
            )
        except (OSError, StsrError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            self._note_once(what, f"{what}: {reason}; {consequence}")
        else:
            self._told.discard(what)

    def _note_once(self, key: str, note: str) -> None:
        if key not in self._told:
            self._told.add(key)
            self._on_note(note)

    @contextmanager
    def _noting_events(self) -> Iterator[None]:
        """The same for events, which a writer that has failed once no longer takes."""
        try:
            yield
        except OSError as error:
            self._events = None
            self._on_note(f"tensorboard: {error.strerror or error}; no more events of this run")

    def _add_scalars(self, group: str, step: int, values: Mapping[str, float]) -> None:
        with self._noting_events():
            for name, value in values.items():
                if self._events is not None:
                    self._events.add_scalar(f"{group}/{name}", value, step)

    def _add_image(self, tag: str, step: int, image: NDArray[np.uint8]) -> None:
        with self._noting_events():
            if self._events is not None:
                self._events.add_image(tag, image, step, dataformats="HWC")

    def _read_log(self) -> list[dict[str, Any]]:
        """The lines of the log but those that a crash has torn."""
        if not self._log_path.exists():
            return []
        lines = []
        for text in self._log_path.read_bytes().splitlines():
            try:
                line = parse_json(text)
            except ValueError:
                continue
            if isinstance(line, dict) and isinstance(line.get("step"), int):
                lines.append(line)
        return lines

    def _write_log(self) -> None:
        text = "".join(json.dumps(line) + "\n" for line in self._lines)
        if self._lines or self._log_path.exists():
            write_atomically(self._log_path, text.encode())
        self._is_log_torn = False

    def _log(self, status: TrainStatus) -> None:
        """Append a line; instead of those of the same or a later step, should there be any."""
        line = {
            name: dict(value) if isinstance(value, Mapping) else value
            for name, value in vars(status).items()
        }
        kept = [line for line in self._lines if line["step"] < status.step]
        is_appended = len(kept) == len(self._lines) and not self._is_log_torn
        self._lines = [*kept, line]
        if not is_appended:
            self._write_log()
            return
        self._is_log_torn = True
        with self._log_path.open("ab") as file:
            file.write((json.dumps(line) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())
        self._is_log_torn = False

    def _samples(self) -> dict[int, Path]:
        """The contact sheets by step, in order."""
        matches = [
            (_SAMPLE.fullmatch(path.name), path) for path in (self.path / "samples").glob("*")
        ]
        return dict(sorted((int(match[1]), path) for match, path in matches if match))

    def _discard_after(self, step: int) -> None:
        paths = [path for number, path in self._samples().items() if number > step or step == 0]
        if step == 0:
            paths += [*(self.path / "tensorboard").glob("events.out.tfevents.*"), self._curves_path]
        for path in paths:
            path.unlink(missing_ok=True)

    def _write_samples(self, status: TrainStatus, pictures: Sequence[Picture]) -> None:
        if not pictures:
            return
        part = int(status.progress * _NUM_IMAGES)
        if part != self._last_part:
            self._last_part = part
            for picture in pictures:
                self._add_image(f"samples/{picture.name}", status.step, picture_strip(picture))
        folder = self.path / "samples"
        folder.mkdir(exist_ok=True)
        write_atomically(folder / f"step-{status.step:08d}.png", contact_sheet(pictures))
        for path in list(self._samples().values())[1:-_NUM_SAMPLES]:
            path.unlink()
