"""A run of `stsr upscale`, or many, for people: lines by their level, how far it is, and a summary."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

from rich.console import Console

from stsr_cli.console.meter import Bar, Gauges, Lines, Meter, Stand, Unseen
from stsr_cli.console.pace import Pace, clock
from stsr_cli.console.tables import print_table
from stsr_cli.options import TellOptions
from stsr_cli.text import plural

if TYPE_CHECKING:
    from fractions import Fraction
    from pathlib import Path

    from stsr_cli.batch.plan import Item
    from stsr_cli.batch.run import BatchReport, FileResult
    from stsr_cli.options import UpscaleOptions
    from stsr_cli.upscale import RunStart, UpscaleReport
    from stsr_cli.video.tracks.plan import Track

STATES: Final = ("done", "skipped", "failed", "interrupted", "not tried")


class People:
    """What people are told of a run or a batch; a context manager."""

    def __init__(self, options: TellOptions, gauges: Gauges) -> None:
        self.gauges = gauges
        self.console = Console(stderr=True, highlight=False)
        self._level = getattr(logging, options.log_level.upper())
        self.meter: Meter = Unseen()
        if options.progress == "plain":
            self.meter = Lines(self.console)
        elif options.progress == "auto" and self._has_bar:
            self.meter = Bar(self.console)
        self._current: PeopleFile | None = None
        self._said: set[str] = set()

    @property
    def _has_bar(self) -> bool:
        return self.console.is_terminal and not self.console.is_dumb_terminal

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.meter.stop()

    def say(self, text: str, level: int = logging.INFO) -> None:
        """Print a line, if its level is asked for."""
        if level >= self._level:
            self.console.print(text, markup=False, soft_wrap=True)

    def say_once(self, text: str) -> None:
        """Print a line that holds for every file of a batch, with the first."""
        if text not in self._said:
            self._said.add(text)
            self.say(text)

    def log(self, level: int, name: str, message: str) -> None:
        """Print what the library logs."""
        self.say(f"{logging.getLevelName(level).lower()}: {name}: {message}", level)

    def file(self, options: "UpscaleOptions") -> "PeopleFile":
        """A single run is begun."""
        self._current = PeopleFile(self, options)
        return self._current

    def finish(self, report: "UpscaleReport") -> None:
        """The single run is done."""
        assert self._current is not None
        self._current.summarise(report)

    def on_probe(self, num_done: int, num_all: int) -> None:
        """How many files of a batch were looked at."""
        self.meter.show(Stand("files looked at", num_done, num_all))
        if num_done == num_all:
            self.meter.stop()

    def on_note(self, note: str) -> None:
        """Say what is worth to know of the whole batch."""
        self.say(f"note: {note}")

    def on_file(self, item: "Item", num_files: int) -> "PeopleFile":
        """A file of a batch is begun."""
        assert item.options is not None
        self.say(
            f"[{item.index}/{num_files}] {_shown(item.source)} -> {_shown(item.options.target)}"
        )
        self._current = PeopleFile(self, item.options, _shown(item.source))
        return self._current

    def on_result(self, result: "FileResult") -> None:
        """Say what became of a file of a batch; what fails is said as soon as it does."""
        self.meter.stop()
        if result.report is not None and self._current is not None:
            self._current.summarise(result.report)
        elif result.state in ("failed", "interrupted"):
            self.say(f"{result.state}: {_shown(result.source)}: {result.reason}", logging.ERROR)

    def summarise(self, report: "BatchReport") -> None:
        """Say what became of every file, and how many there are of each kind."""
        if self._level > logging.INFO:
            return
        rows = [
            [str(result.index), _shown(result.source), result.state, _outcome(result)]
            for result in report.results
        ]
        print_table("", ["", "file", "state", ""], rows, "")
        counts = [(report.count(state), state) for state in STATES]
        said = ", ".join(f"{count} {state}" for count, state in counts if count)
        num_files = len(report.results)
        self.say(f"{plural(num_files, 'file')}: {said}")


class PeopleFile:
    """Listens to the run of one file; see `upscale.Listener`."""

    def __init__(self, people: People, options: "UpscaleOptions", label: str = "") -> None:
        """`label` is put before what concerns the file; "": there is but one."""
        self._people, self._options, self._label = people, options, label
        self._warned: set[str] = set()
        self._num_frames: int | None = None
        self._pace = Pace()

    def on_plan(
        self, tracks: "Sequence[Track]", warnings: Sequence[str], notes: Sequence[str]
    ) -> None:
        """Say what the output cannot hold as it is, a line each."""
        for note in notes:
            self._people.say(note)
        for track in tracks:
            if track.action == "drop":
                self._warn(f"{track.name}: {track.fate}")
            elif track.action == "convert":
                self._people.say(f"{track.name}: {track.fate}")
            else:
                self._people.say(f"debug: {track.name}: {track.fate}", logging.DEBUG)
        for warning in warnings:
            self._warn(warning)

    def on_note(self, note: str) -> None:
        """Say what became different on the way."""
        self._people.say(f"note: {note}")

    def _warn(self, warning: str) -> None:
        self._warned.add(warning)
        of = f"{self._label}: " if self._label else ""
        self._people.say(f"warning: {of}{warning}", logging.WARNING)

    def on_pair(self, num_done: int, num_total: int) -> None:
        """Show how far the choice of the stream is."""
        what = "places, choosing the stream"
        self._people.meter.show(Stand(what, num_done, num_total, label=self._label))

    def on_start(self, start: "RunStart") -> None:
        """Say what becomes of what, and by which weights."""
        options, model, source = self._options, self._options.model, start.source
        if start.choice is not None:
            self._people.say(str(start.choice))
            model = replace(model, stream=start.choice.stream)
        rate = f" at {float(source.frame_rate):.3f} fps" if source.frame_rate else ""
        in_time = f"to {_rate(options.fps)}" if options.fps else f"x{options.time_scale}"
        in_space = f"x{options.scale} in space"
        if options.size is not None:
            by = f"x{options.scale} and Lanczos" if options.scale > 1 else "Lanczos"
            in_space = f"to {start.size[0]}x{start.size[1]} by {by}"
        weights = f", weights {', '.join(map(_shown, start.weights))}," if start.weights else ""
        self._people.say(
            f"{_shown(options.source.name)}: {source.width}x{source.height}{rate}, {in_space} and "
            f"{in_time} in time with {model.title}{weights} on {start.device}"
        )
        self._num_frames = self._people.gauges.num_frames(source)
        self._show(0)

    def on_resume(self, num_frames: int, num_segments: int) -> None:
        """Say that not all is left to do; what is done is no part of the speed."""
        self._people.say(
            f"an earlier run has done {plural(num_frames, 'frame')} in {plural(num_segments, 'segment')}; "
            "going on from there"
        )
        self._pace = Pace(num_frames)
        self._show(num_frames)

    def on_segment(self, index: int, num_frames: int, num_bytes: int, worker: str) -> None:
        """Nothing but when debugging: the bar says how far it is."""
        self._people.say(
            f"debug: segment {index}: {plural(num_frames, 'frame')}, {num_bytes} bytes, by {worker}",
            logging.DEBUG,
        )

    def on_frame(self, num_done: int) -> None:
        """Show how far it is."""
        self._pace.add(num_done)
        self._show(num_done)

    def _show(self, num_done: int) -> None:
        if self._num_frames is not None and num_done > self._num_frames:
            self._num_frames = None  # the header was wrong
        speed, left = self._pace.frames_per_second, self._pace.seconds_left(self._num_frames)
        self._people.meter.show(
            Stand("frames", num_done, self._num_frames, speed, left, self._label)
        )

    def summarise(self, report: "UpscaleReport") -> None:
        """Say what came out and where the time went."""
        self._people.meter.stop()
        say, options = self._people.say, self._options
        for note in report.notes:
            say(note)
        if report.num_cuts:
            instead = "the frame before is held" if options.cut == "hold" else "a fade"
            say(f"{plural(report.num_cuts, 'cut')}, {instead} instead of new frames")
        if options.dedup:
            num_in = plural(report.frames_in, "source frame")
            say(f"{report.num_repeats} of {num_in} repeat the one before, replaced by new ones")
        dropped = [track.name for track in report.tracks if track.action == "drop"]
        if dropped:
            say(f"lost: {', '.join(dropped)}")
        for warning in report.warnings:
            if warning not in self._warned:
                self._warn(warning)
        if report.mean_disagreement is not None:
            replaced = f"{report.num_replaced} of {plural(report.num_new, 'new frame')} replaced"
            say(
                f"the streams differ by {report.mean_disagreement:.2f} levels of 255 on average"
                f"{f'; {replaced}' if options.on_doubt else ''}"
            )
        if str(report.target) == "-":
            say("frames and packets were counted; a pipe cannot be read back")
        say(
            f"{_shown(report.target)}: {plural(report.frames_out, 'frame')} of {report.width}x{report.height} in "
            f"{report.seconds:.1f} s, {report.frames_per_second:.1f} frames/s; time spent waiting for decode "
            f"{report.decode_share:.0%}, network {report.network_share:.0%}, encode {report.encode_share:.0%}"
        )
        for terms in report.terms:
            self._people.say_once(terms)
        peak = self._people.gauges.peak_bytes()
        say(f"debug: {peak / 1e6:.0f} MB of memory at most", logging.DEBUG)
        for name, path in report.weights:
            say(f"debug: weights {name}: {_shown(path)}", logging.DEBUG)
        for check in report.checks:
            say(f"debug: verified {check.what}: {check.actual}", logging.DEBUG)


def _shown(path: "Path | str") -> str:
    """A path on one line: escaped when it holds line breaks or bytes without text."""
    return str(path) if str(path).isprintable() else repr(str(path))


def _outcome(result: "FileResult") -> str:
    report = result.report
    if report is None:
        return result.reason
    made = f"{plural(report.frames_out, 'frame')} of {report.width}x{report.height}"
    damaged = "; its source is damaged" if report.damage else ""
    return f"{_shown(report.target)}: {made} in {clock(result.seconds)}{damaged}"


def _rate(fps: "Fraction") -> str:
    return f"{float(fps):.5g} fps"
