"""Each row of the corpus: a clip with a trait, the real command, and what independent readers find in its output."""

from pathlib import Path

import pytest

from .case import Row, run_row
from .public import clip_folder
from .readers import Missing
from .rows import ROWS
from .table import TARGET, table


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row(row: Row, tmp_path: Path) -> None:
    if row.public is not None and clip_folder() is None:
        pytest.skip(f"needs {row.public} in shared/data/clips beside the checkout; there is none")
    case = run_row(row, tmp_path)
    missing = []
    for check in row.checks:
        try:
            check.run(case)
        except Missing as error:
            missing.append(str(error))
    if len(missing) == len(row.checks):
        pytest.skip(missing[0])


def test_names_are_unique() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)


def test_the_table_is_of_these_rows() -> None:
    written = TARGET.read_text(encoding="utf-8")
    assert written == table(), "write it anew: python -m tests.corpus.table"
