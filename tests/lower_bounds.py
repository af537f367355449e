"""Print pip constraints that pin every package of pyproject.toml to the lowest version it allows (`make test-min`)."""

import re
import sys
import tomllib
from pathlib import Path

_LOWEST = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?>=([0-9.]+)")


def lower_bounds(pyproject: str) -> dict[str, str]:
    """The lowest version of each package that is asked for, extras included."""
    project = tomllib.loads(pyproject)["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    asked = [one for group in groups for one in group]
    matches = [_LOWEST.match(one) for one in asked if not one.startswith(f"{project['name']}[")]
    assert all(matches), f"a bound is missing: {asked}"
    return {match[1]: match[2] for match in matches if match}


if __name__ == "__main__":
    text = Path(__file__).parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8")
    sys.stdout.writelines(f"{name}=={low}\n" for name, low in sorted(lower_bounds(text).items()))
