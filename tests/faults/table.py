"""The faults that were tried, as a table: `python -m tests.faults.table` writes docs/results/faults.md.

It is made of docs/results/faults.json: counts of fuzzing (`python -m tests.faults.fuzz --tally FILE`), and rows of what
was tried by other means.
"""

import collections
import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
CODES = {
    "0": "verified output",
    "3": "verified output, damage told (3)",
    "4": "INPUT refused (4)",
    "2": "request refused (2)",
    "1": "failed in one line (1)",
    "fault": "anything else",
}


def fuzz_table(tally: dict[str, int], place: int) -> list[str]:
    """Counts by the mutation (place 0), the kind of file (1) or the command (2)."""
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for key, number in tally.items():
        words = key.split("|")
        counts[words[place]][words[-1]] += number
    head = ("the mutation", "the file", "the command")[place]
    lines = [f"| {head} | times | {' | '.join(CODES.values())} |", "|---" * (len(CODES) + 2) + "|"]
    total: collections.Counter[str] = collections.Counter()
    for name, found in sorted(counts.items()):
        total.update(found)
        lines.append(_line(name, found))
    return [*lines, _line("all", total)]


def _line(name: str, found: "collections.Counter[str]") -> str:
    return f"| {name} | {found.total()} | {' | '.join(str(found[code]) for code in CODES)} |"


def text(results: dict[str, Any]) -> str:
    """The whole of docs/results/faults.md."""
    tally = results["fuzz"]
    lines = [
        *results["head"],
        "",
        "## What was tried",
        "",
        "| fault | times | outcome | by |",
        "|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(map(str, row))} |" for row in results["tried"]]
    lines += ["", "## Fuzzing", "", *results["fuzzing"], ""]
    for place in range(3):
        lines += [*fuzz_table(tally, place), ""]
    lines += [
        "## What fuzzing found",
        "",
        *results["found_head"],
        "",
        "| what | first file | now |",
        "|---|---|---|",
    ]
    lines += [f"| {' | '.join(row)} |" for row in results["found"]]
    lines += ["", "## Shown or held", "", *results["held_head"], ""]
    lines += [
        "| codec, damage | frames flagged | shown as decoded | the frame before |",
        "|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(map(str, row))} |" for row in results["held"]]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    results = json.loads((RESULTS / "faults.json").read_text(encoding="utf-8"))
    (RESULTS / "faults.md").write_text(text(results), encoding="utf-8")
