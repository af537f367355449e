"""README tells the truth: its help blocks are the real help, its files and commands exist.

`python tests/test_docs.py` writes the help blocks anew (`make docs`).
"""

import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from stsr_cli.cli import main

REPOSITORY = Path(__file__).resolve().parents[1]
README = REPOSITORY / "README.md"
BLOCK = re.compile(
    r"(<!-- help: (?P<command>[a-z ]+) -->\n```text\n)(?P<help>.*?)(```\n)", re.DOTALL
)


def real_help(command: str) -> str:
    words = command.split()[1:]
    result = CliRunner().invoke(main, [*words, "--help"], prog_name="stsr", terminal_width=100)
    assert result.exit_code == 0, result.output
    return result.output


def rewritten(text: str) -> str:
    return BLOCK.sub(lambda m: m[1] + real_help(m["command"]) + m[4], text)


def test_every_command_has_its_real_help_in_the_readme() -> None:
    text = README.read_text(encoding="utf-8")
    documented = {match["command"] for match in BLOCK.finditer(text)}
    commands = set(main.list_commands(None))
    assert documented == {f"stsr {command}" for command in commands}
    assert rewritten(text) == text, "the help changed: run `make docs`"


def test_every_local_link_of_the_readme_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+?)\)", README.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert local
    missing = [link for link in local if not (REPOSITORY / link).exists()]
    assert not missing


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_documents_name_no_path_outside_the_project(name: str) -> None:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    assert not re.findall(r"(?<![\w.])/(?:home|root|tmp|work|usr|opt)/\S*", text)


if __name__ == "__main__":
    README.write_text(rewritten(README.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write("README.md: help blocks written\n")
