"""What a message advises to install can be installed, whether stsr is a checkout or comes from an index."""

import shlex
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from pathlib import Path

import pytest

from stsr_cli import extras
from stsr_cli.extras import install_command

PROJECT = tomllib.loads(
    Path(__file__).parents[2].joinpath("pyproject.toml").read_text(encoding="utf-8")
)["project"]


def names(requirements: list[str]) -> set[str]:
    return {one.partition("[")[0].partition(">")[0].partition("<")[0] for one in requirements}


@pytest.mark.parametrize("extra", ["train", "webp", "eval", "ray"])
def test_the_command_names_what_the_project_asks_for(extra: str) -> None:
    _, dash_m, pip, install, *packages = shlex.split(install_command(extra))
    assert (dash_m, pip, install) == ("-m", "pip", "install")
    assert names(packages) == names(PROJECT["optional-dependencies"][extra])


def test_pip_takes_the_command() -> None:
    if find_spec("pip") is None:
        pytest.skip("needs pip in this environment; there is none")
    # all of it is here, so that nothing is fetched
    command = [*shlex.split(install_command("train")), "--dry-run", "--no-index"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "Would install" not in ran.stdout


def test_where_stsr_is_not_installed_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "requires", missing)
    assert shlex.split(install_command("train"))[-1] == "stsr-cli[train]"
