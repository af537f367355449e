"""`make test-min` installs the lowest version of everything that is asked for, and no bound is missing."""

import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_every_package_has_a_lowest_version() -> None:
    ran = subprocess.run(
        [sys.executable, TESTS / "lower_bounds.py"], capture_output=True, text=True, check=True
    )
    lines = ran.stdout.splitlines()
    assert all(re.fullmatch(r"[a-z0-9-]+==\d+(\.\d+)*", line) for line in lines)
    known = (TESTS.parent / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in known if "==" in line)
    for name, low in (line.split("==") for line in lines):
        if name in pinned:  # what the suite runs with is allowed
            assert numbers(pinned[name]) >= numbers(low), name
    assert {"torch", "av", "click"} <= {line.split("==")[0] for line in lines}


def numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]
