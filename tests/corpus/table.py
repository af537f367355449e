"""The corpus as a table: `python -m tests.corpus.table` runs every row and writes docs/results/corpus.md.

What it says of a row is the row's own text and that of its checks; the last column is what came of running it.
"""

import datetime
import os
import shlex
import sys
import tempfile
import time
from pathlib import Path

from . import readers
from .case import Row, run_row
from .public import clip_folder
from .rows import GROUPS, ROWS

TARGET = Path(__file__).resolve().parents[2] / "docs" / "results" / "corpus.md"
HEAD = ("input", "command", "what happens", "checked", "by", "result")


def cells(row: Row) -> list[str]:
    """What the table says of a row, but for its result."""
    options = [*row.options]
    if row.command == "upscale":
        options += ["--scale", str(row.scale)] if row.scale != 1 else []
        options += ["--time-scale", str(row.time_scale)] if row.time_scale != 2 else []
    target = "- > " + row.output if row.is_piped else row.output
    command = " ".join([*(shlex.quote(option) for option in options), "→", target])
    whats = list(dict.fromkeys(check.what for check in row.checks))
    readers_of = [name for check in row.checks for name in check.by.split(", ")]
    texts = [row.trait, f"`{command}`", row.happens, "; ".join(whats)]
    texts += [", ".join(dict.fromkeys(readers_of))]
    return [text.replace("|", r"\|").replace("\n", "\\n") for text in texts]


def result_of(row: Row) -> str:
    """Run a row in a folder of its own and say what came of it."""
    if row.public is not None and clip_folder() is None:
        return "not run: no clip"
    with tempfile.TemporaryDirectory() as folder:
        try:
            case = run_row(row, Path(folder))
            for check in row.checks:
                check.run(case)
        except readers.Missing as error:
            return f"not checked: {error}"
        except Exception as error:  # whatever it is, it belongs in the table
            return f"FAILS: {str(error).splitlines()[0][:200] if str(error) else repr(error)}"
    return "ok"


def write_table(target: Path = TARGET) -> int:
    """Run all rows, write the table, and return how many are not ok."""
    begin, results = time.monotonic(), {}
    for number, row in enumerate(ROWS, 1):
        results[row.name] = result_of(row)
        print(f"{number}/{len(ROWS)} {row.name}: {results[row.name]}", file=sys.stderr)
    num_bad = sum(result != "ok" for result in results.values())
    versions = filter(None, map(readers.version, ("ffprobe", "ffmpeg", "mediainfo", "mkvmerge")))
    minutes = (time.monotonic() - begin) / 60
    lines = [
        "# What becomes of every kind of input",
        "",
        f"{len(ROWS)} rows, {len(ROWS) - num_bad} of them ok, on {datetime.date.today()} in {minutes:.1f} minutes with "
        f"{os.environ.get('OMP_NUM_THREADS', 'all')} thread(s); {', '.join(versions)}. Written by "
        "`python -m tests.corpus.table`, which builds every clip (tests/corpus/clips_*.py, with PyAV), runs the real "
        "`stsr upscale` on it and lets programs that know nothing of stsr read the output; `pytest tests/corpus` runs "
        "the same rows. Unless the command says otherwise it is `--spatial bicubic --temporal blend --scale 1 "
        "--time-scale 2 --crf 0`: given frames must come out as they went in, and twice as many of them.",
    ]
    for group, rows in GROUPS.items():
        lines += ["", f"## {group}", "", f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
        for row in rows:
            lines.append(f"| {' | '.join([*cells(row), results[row.name]])} |")
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return num_bad


if __name__ == "__main__":
    sys.exit(min(1, write_table()))
