"""What an error carries goes along where more is said, and to another process."""

import pickle
from pathlib import Path

import pytest

from stsr_cli.errors import InterruptedRun, UnfinishedOutput, WeightsError
from stsr_cli.video.check.verify import Difference


@pytest.mark.parametrize(
    ("error", "attributes"),
    [
        (UnfinishedOutput("no", [(Path("a.mkv"), ["--no-audio"])], 4), ("ways", "exit_code")),
        (InterruptedRun("no", goes_on=True), ("goes_on", "exit_code")),
        (Difference("no", "frames: 3 instead of 4"), ("text", "exit_code")),
        (WeightsError("no"), ("exit_code",)),
    ],
)
def test_an_error_with_advice_keeps_what_it_carries(error, attributes):
    more = pickle.loads(pickle.dumps(error.with_advice("; try again")))
    assert (type(more), str(more)) == (type(error), "no; try again")
    for name in attributes:
        assert getattr(more, name) == getattr(error, name)
    assert str(error) == "no"
