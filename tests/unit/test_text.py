"""Numbers with what they count."""

import ast
import re
from pathlib import Path

import pytest

import stsr_cli
from stsr_cli.text import plural, size_text


@pytest.mark.parametrize(
    ("number", "what", "text"),
    [
        (0, "frame", "0 frames"),
        (1, "frame", "1 frame"),
        (2, "new frame", "2 new frames"),
        (1, "process", "1 process"),
        (3, "process", "3 processes"),
    ],
)
def test_one_is_no_plural(number: int, what: str, text: str) -> None:
    assert plural(number, what) == text


def test_sizes_are_short() -> None:
    sizes = (0, 1, 999_999, 3_400_000, 1_230_000_000)
    assert [*map(size_text, sizes)] == ["0 kB", "1 kB", "1000 kB", "3.4 MB", "1.2 GB"]


def test_no_message_counts_with_a_plural_of_its_own() -> None:
    """`{num_frames} frames` says "1 frames"; `plural` does not."""
    counted = re.compile(r"(num_\w+|len\(.*\)|count\(.*\))$")
    things = re.compile(
        r" (new |source )?(frames|segments|files|cuts|packets|images|labels|changes|videos)\b"
    )
    found = []
    for path in Path(stsr_cli.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.JoinedStr):
                continue
            for value, after in zip(node.values, node.values[1:], strict=False):
                if (
                    isinstance(value, ast.FormattedValue)
                    and isinstance(after, ast.Constant)
                    and counted.search(ast.unparse(value.value))
                    and things.match(str(after.value))
                ):
                    found.append(f"{path.name}:{node.lineno}: {ast.unparse(node)}")
    assert not found, "\n".join(found)
