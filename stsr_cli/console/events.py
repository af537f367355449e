"""A run of `stsr upscale`, or many, for programs: a JSON object a line on stderr, see docs/progress.md."""

import contextlib
import json
import logging
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from stsr_cli.console.meter import Gauges
from stsr_cli.console.pace import Pace
from stsr_cli.errors import FINISHED_DAMAGED, InterruptedRun
from stsr_cli.options import TellOptions

if TYPE_CHECKING:
    from stsr_cli.batch.plan import Item
    from stsr_cli.batch.run import BatchReport, FileResult
    from stsr_cli.options import UpscaleOptions
    from stsr_cli.upscale import RunStart, UpscaleReport
    from stsr_cli.video.tracks.plan import Track

SCHEMA = 1
_FRAME_SECONDS = 0.5  # between two events of one kind that say how far something is


class Events:
    """What programs are told of a run or a batch; a context manager.

    Whatever is said is an event, errors too; nothing ends a run if nobody reads them.
    """

    def __init__(self, options: TellOptions, gauges: Gauges) -> None:
        self.gauges = gauges
        self.level = getattr(logging, options.log_level.upper())
        self._lock = threading.Lock()
        self._current: FileEvents | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def emit(self, event: str, **values: Any) -> None:
        """Write one event."""
        line = json.dumps({"v": SCHEMA, "event": event, "time": round(time.time(), 3), **values})
        with self._lock, contextlib.suppress(OSError, ValueError, AttributeError):  # None: closed
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    def log(self, level: int, name: str, message: str) -> None:
        """What the library logs."""
        self.emit("log", level=logging.getLevelName(level).lower(), logger=name, message=message)

    def file(self, options: "UpscaleOptions") -> "FileEvents":
        """A single run is begun."""
        self._current = FileEvents(self, options, 1, 1)
        return self._current

    def finish(self, report: "UpscaleReport") -> None:
        """The single run is done."""
        assert self._current is not None
        self._current.finish(report)
        code = FINISHED_DAMAGED if report.damage else 0
        self._summarise([self._current.entry("done", exit_code=code)], code)

    def fail(self, reason: str, exit_code: int) -> None:
        """The single run has failed, or nothing could be begun."""
        state = "interrupted" if exit_code == InterruptedRun.exit_code else "failed"
        if self._current is None:
            entry = _entry(None, None, None, state, reason, exit_code)
        else:
            entry = self._current.entry(state, reason, exit_code)
        self.emit("failed", **entry)
        self._summarise([] if self._current is None else [entry], exit_code)

    def on_probe(self, num_done: int, num_all: int) -> None:
        """Nothing: no file is begun yet."""

    def on_note(self, note: str) -> None:
        """What is worth to know of the whole batch."""
        if self.level <= logging.INFO:
            self.emit("note", file=None, message=note)

    def on_file(self, item: "Item", num_files: int) -> "FileEvents":
        """A file of a batch is begun."""
        assert item.options is not None
        self._current = FileEvents(self, item.options, item.index, num_files)
        return self._current

    def on_result(self, result: "FileResult") -> None:
        """What became of a file of a batch."""
        if result.report is not None and self._current is not None:
            self._current.finish(result.report)
        elif result.state == "skipped":
            self.emit("skipped", **_result(result))
        elif result.state != "not tried":
            self.emit("failed", **_result(result))

    def summarise(self, report: "BatchReport") -> None:
        """The batch is over."""
        self._summarise([_result(result) for result in report.results], report.exit_code)

    def _summarise(self, files: list[dict[str, Any]], exit_code: int) -> None:
        states = [file["state"] for file in files]
        self.emit(
            "summary",
            num_files=len(files),
            num_done=states.count("done"),
            num_skipped=states.count("skipped"),
            num_failed=states.count("failed"),
            num_interrupted=states.count("interrupted"),
            num_not_tried=states.count("not tried"),
            exit_code=exit_code,
            files=files,
        )


class FileEvents:
    """Listens to the run of one file; see `upscale.Listener`."""

    def __init__(
        self, events: Events, options: "UpscaleOptions", index: int, num_files: int
    ) -> None:
        self._events, self._options, self._index = events, options, index
        self._num_frames: int | None = None
        self._pace = Pace()
        self._due = 0.0
        self._warned: set[str] = set()
        self._emit(
            "file", num_files=num_files, source=str(options.source), target=str(options.target)
        )

    def _emit(self, event: str, **values: Any) -> None:
        self._events.emit(event, file=self._index, **values)

    def on_plan(
        self, tracks: "Sequence[Track]", warnings: Sequence[str], notes: Sequence[str]
    ) -> None:
        """See `Listener`."""
        told = [
            {
                "kind": track.kind,
                "index": track.index,
                "codec": track.codec,
                "action": track.action,
                "target": track.target,
                "reason": track.reason,
            }
            for track in tracks
        ]
        self._emit("plan", tracks=told)
        for note in notes:
            self.on_note(note)
        lost = [f"{track.name}: {track.fate}" for track in tracks if track.action == "drop"]
        for warning in (*lost, *warnings):
            self._warn(warning)

    def on_note(self, note: str) -> None:
        """See `Listener`."""
        if self._events.level <= logging.INFO:
            self._emit("note", message=note)

    def _warn(self, warning: str) -> None:
        self._warned.add(warning)
        if self._events.level <= logging.WARNING:
            self._emit("warning", message=warning)

    def on_pair(self, num_done: int, num_total: int) -> None:
        """See `Listener`."""
        if self._is_due(num_done == num_total):
            self._emit("pair", num_done=num_done, num_pairs=num_total)

    def on_start(self, start: "RunStart") -> None:
        """See `Listener`."""
        options, source = self._options, start.source
        self._num_frames = self._events.gauges.num_frames(source)
        self._emit(
            "start",
            width=source.width,
            height=source.height,
            frame_rate=str(source.frame_rate) if source.frame_rate else None,
            num_frames=self._num_frames,
            scale=options.scale,
            time_scale=options.time_scale,
            fps=str(options.fps) if options.fps else None,
            network=options.model.name,
            stream=start.choice.stream if start.choice else options.model.stream,
            device=start.device,
            out_width=start.size[0],
            out_height=start.size[1],
            weights=[*start.weights],
        )
        self._pace, self._due = Pace(), 0.0

    def on_resume(self, num_frames: int, num_segments: int) -> None:
        """See `Listener`."""
        self._pace = Pace(num_frames)
        self._emit("resume", num_done=num_frames, num_segments=num_segments)

    def on_segment(self, index: int, num_frames: int, num_bytes: int, worker: str) -> None:
        """See `Listener`."""
        self._emit(
            "segment", index=index, num_frames=num_frames, num_bytes=num_bytes, worker=worker
        )

    def on_frame(self, num_done: int) -> None:
        """See `Listener`."""
        self._pace.add(num_done)
        if not self._is_due(num_done == self._num_frames):
            return
        speed, left = self._pace.frames_per_second, self._pace.seconds_left(self._num_frames)
        self._emit(
            "frame",
            num_done=num_done,
            num_frames=self._num_frames,
            frames_per_second=None if speed is None else round(speed, 3),
            seconds_left=None if left is None else round(left, 1),
        )

    def _is_due(self, is_last: bool) -> bool:
        now = time.monotonic()
        if not is_last and now < self._due:
            return False
        self._due = now + _FRAME_SECONDS
        return True

    def finish(self, report: "UpscaleReport") -> None:
        """The file is done."""
        for note in (*report.notes, *report.terms):
            self.on_note(note)
        for warning in report.warnings:
            if warning not in self._warned:
                self._warn(warning)
        self._emit("done", **_done(report), peak_bytes=self._events.gauges.peak_bytes())

    def entry(self, state: str, reason: str = "", exit_code: int = 0) -> dict[str, Any]:
        """What the summary says of the file."""
        options = self._options
        return _entry(self._index, options.source, options.target, state, reason, exit_code)


def _entry(
    index: int | None,
    source: Path | None,
    target: Path | None,
    state: str,
    reason: str,
    exit_code: int,
) -> dict[str, Any]:
    return {
        "file": index,
        "source": None if source is None else str(source),
        "target": None if target is None else str(target),
        "state": state,
        "reason": reason,
        "exit_code": exit_code,
    }


def _result(result: "FileResult") -> dict[str, Any]:
    place = (result.index, result.source, result.target)
    return _entry(*place, result.state, result.reason, result.exit_code)


def _done(report: "UpscaleReport") -> dict[str, Any]:
    return {
        "target": str(report.target),
        "frames_in": report.frames_in,
        "frames_out": report.frames_out,
        "width": report.width,
        "height": report.height,
        "seconds": round(report.seconds, 3),
        "decode_share": round(report.decode_share, 4),
        "network_share": round(report.network_share, 4),
        "encode_share": round(report.encode_share, 4),
        "num_cuts": report.num_cuts,
        "num_warnings": len(report.warnings),
        "damage": list(report.damage),
    }
