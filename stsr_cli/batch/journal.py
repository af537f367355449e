"""What was made in a folder: `.stsr-batch.jsonl` in it, two lines for each output, appended and fsynced.

An output that exists is complete, since nothing else gets its name. The journal says which source and which options it
was made from, so that the same command again leaves it out, and another one does not take it for its own. The first
line is written before the output is begun: whatever a kill comes between, the file that is there then is known.
"""

import json
import os
from pathlib import Path
from typing import Any

from stsr_cli.errors import StsrError
from stsr_cli.files import parse_json
from stsr_cli.options import UpscaleOptions
from stsr_cli.upscale.identity import fingerprint, options_that_matter
from stsr_cli.video.probe import shown

NAME = ".stsr-batch.jsonl"


class Journal:
    """The journal of one folder, as it is now; a torn or foreign line counts as none."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._records: dict[str, dict[str, Any]] = {}
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError:
            lines = []
        for line in lines:
            try:
                record = parse_json(line)
                self._records[record["output"]] = record
            except (ValueError, TypeError, KeyError):
                continue

    def wrote(self, output: Path) -> bool:
        """Whether a file of the folder is an output of a batch, still as it was written."""
        record = self._records.get(output.name)
        if record is None:
            return False
        if record.get("bytes") is None:  # begun: what is there now was not there before
            return record.get("before") != _identity(output)
        return bool(record["bytes"] == output.stat().st_size)

    def objection(self, options: UpscaleOptions) -> str:
        """Why the target of a run, which exists, is not what this run would make; "": it is."""
        record = self._records.get(options.target.name)
        if record is None:
            return "it was not made by a batch"
        if not self.wrote(options.target):
            is_begun = record.get("bytes") is None
            return "it was there before" if is_begun else "it was changed since it was made"
        if record.get("source") != fingerprint(options.source):
            return "its source was another one"
        # an option that stsr did not have then was as it is by default
        before = _effective(UpscaleOptions(Path(), Path())) | record.get("options", {})
        now = _effective(options)
        changed = [name for name in now if before.get(name) != now[name]]
        return ", ".join(f"{name} was {before.get(name)} and is {now[name]}" for name in changed)

    def begin(self, options: UpscaleOptions) -> None:
        """Note that the target of a run is about to be made.

        Raises:
            StsrError: the disk is full, or the folder closed to this user.
        """
        self._append(
            {
                "output": options.target.name,
                "bytes": None,
                "before": _identity(options.target),
                "source": fingerprint(options.source),
                "options": _effective(options),
            }
        )

    def finish(self, options: UpscaleOptions) -> None:
        """Note that the target of a run that was begun is done.

        Raises:
            StsrError: the disk is full.
        """
        begun = self._records[options.target.name]
        self._append({**begun, "bytes": options.target.stat().st_size})

    def _append(self, record: dict[str, Any]) -> None:
        line = f"{json.dumps(record)}\n".encode()
        try:
            with self._path.open("ab") as file:
                if file.tell() and not self._ends_whole():
                    line = b"\n" + line
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StsrError(
                f"cannot write {shown(self._path)}: {error.strerror}; free some space or choose another place"
            ) from error
        self._records[record["output"]] = record

    def _ends_whole(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read() == b"\n"


def _identity(output: Path) -> list[int] | None:
    """What tells a file from one that takes its name; None: there is none."""
    if not output.exists():
        return None
    status = output.stat()
    return [status.st_ino, status.st_size, status.st_mtime_ns]


def _effective(options: UpscaleOptions) -> dict[str, Any]:
    """What decides what comes out, by name; a weights file with what is in it."""
    found = options_that_matter(options)
    found.pop("segment", None)
    found["stream"] = options.model.stream
    found["weights"] = [
        [weights, fingerprint(Path(weights)) if Path(weights).is_file() else None]
        for weights in options.model.weights
    ]
    return found
