"""The errors stsr raises on purpose, each with the exit code that `cli/` maps it to.

The library raises these and never prints or exits. A message is one line that says what, the value, what is allowed
and what to do next. Anything else that escapes is a bug and keeps its traceback.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Self

FINISHED_DAMAGED = 3  # exit code: what was asked for is there, but for what is said on stderr


class StsrError(Exception):
    """Processing failed: an encoder refused, the disk filled up, a written file did not verify.

    `goes_on`: the same command goes on with what is kept, once the cause is gone.
    """

    exit_code = 1
    goes_on = False

    def with_advice(self, advice: str) -> Self:
        """The same error, with more to say; without what caused it."""
        error = copy.copy(self)
        error.args = (f"{self}{advice}",)
        return error


class UnfinishedOutput(StsrError):
    """All frames are computed and kept, and the output could not be completed of them.

    `ways`: what completes it without computing them again: for each an output, and options to add.
    """

    def __init__(
        self, message: str, ways: Sequence[tuple[Path, Sequence[str]]] = (), exit_code: int = 1
    ) -> None:
        super().__init__(message)
        self.ways, self.exit_code = tuple(ways), exit_code


class UsageError(StsrError):
    """The request itself is wrong: an unknown module name, an output that exists, options that exclude each other."""

    exit_code = 2


class InputError(StsrError):
    """An input file is missing, unreadable, or holds nothing that can be used."""

    exit_code = 4


class WeightsError(StsrError):
    """A weights file is missing, damaged, or belongs to another module."""

    exit_code = 5


class DeviceError(StsrError):
    """The device or precision that was asked for is not there."""

    exit_code = 6


class InterruptedRun(StsrError):
    """The user stopped the run (Ctrl-C, SIGTERM)."""

    exit_code = 130

    def __init__(self, message: str, *, goes_on: bool = False) -> None:
        super().__init__(message)
        self.goes_on = goes_on
