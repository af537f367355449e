"""The corpus as a table: `python -m tests.corpus.table` writes docs/results/corpus.md; `--run` runs all rows, too.

What the table says of a row is the row's own text and that of its checks. A test sees to it that the table is of these
rows; the tests of the rows, that it is true.
"""

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
HEAD = ("input", "command", "what happens", "checked", "by")


def cells(row: Row) -> list[str]:
    """What the table says of a row."""
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


def table() -> str:
    """The whole of docs/results/corpus.md."""
    lines = [
        "# What becomes of every kind of input",
        "",
        f"{len(ROWS)} rows. Each is a test: `pytest tests/corpus` builds the clip (tests/corpus/clips_*.py, PyAV), "
        "runs the real `stsr upscale` on it and lets programs that know nothing of stsr read the output. Unless the "
        "command says otherwise it is `--spatial bicubic --temporal blend --scale 1 --time-scale 2 --crf 0`: given "
        "frames must come out as they went in, and twice as many of them. Written by `python -m tests.corpus.table` "
        "from the rows.",
    ]
    for group, rows in GROUPS.items():
        lines += ["", f"## {group}", "", f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
        lines += [f"| {' | '.join(cells(row))} |" for row in rows]
    return "\n".join(lines) + "\n"


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
        except Exception as error:  # whatever it is, the other rows are run all the same
            return f"FAILS: {str(error).splitlines()[0][:200] if str(error) else repr(error)}"
    return "ok"


def run_all() -> int:
    """Run all rows, say what came of each, and return how many are not ok."""
    begin = time.monotonic()
    results = []
    for number, row in enumerate(ROWS, 1):
        results.append(result_of(row))
        print(f"{number}/{len(ROWS)} {row.name}: {results[-1]}", flush=True)
    names = ("ffprobe", "ffmpeg", "mediainfo", "mkvmerge")
    versions = ", ".join(filter(None, map(readers.version, names)))
    num_ok, minutes = results.count("ok"), (time.monotonic() - begin) / 60
    print(f"{num_ok} of {len(ROWS)} ok in {minutes:.1f} minutes; {versions}")
    return len(ROWS) - num_ok


if __name__ == "__main__":
    TARGET.write_text(table(), encoding="utf-8")
    sys.exit(min(1, run_all()) if sys.argv[1:] == ["--run"] else 0)
