"""When a loss or gradient is not finite, training goes back to the last good weights and goes on more slowly."""

import copy
from collections.abc import Mapping
from typing import Any

from stsr_cli.errors import StsrError

_KEEP_EVERY = 50  # steps
_MAX_RETURNS = 5
_FORGIVEN_AFTER = 1000  # good steps


class Guard:
    """Keeps a copy of the last good state in memory, renewed every fifty steps.

    Args:
        parts: modules, optimizers: what has a `state_dict`.

    Attributes:
        rate: what the learning rate is multiplied by: halved by every return.
        num_returns: returns of late.
    """

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self._parts = parts
        self.rate = 1.0
        self.num_returns = 0
        self._good_steps = 0
        self.keep(0)

    def keep(self, step: int) -> None:
        """Take the present state as good."""
        self._step = step
        self._kept = {name: copy.deepcopy(part.state_dict()) for name, part in self._parts.items()}

    def after_good_step(self, step: int) -> None:
        """Count a step whose loss and gradient were finite."""
        self._good_steps += 1
        if self._good_steps >= _FORGIVEN_AFTER:
            self.num_returns = 0
        if step % _KEEP_EVERY == 0:
            self.keep(step)

    def go_back(self, step: int, what: str) -> str:
        """Restore the last good state and halve the learning rate; say so.

        Raises:
            StsrError: it was not the first time by far.
        """
        self.num_returns += 1
        self._good_steps = 0
        if self.num_returns > _MAX_RETURNS:
            raise StsrError(
                f"training diverged at step {step}: {what} again after {_MAX_RETURNS} returns to the last good "
                "weights; lower --learning-rate or --clip-norm"
            )
        for name, part in self._parts.items():
            part.load_state_dict(copy.deepcopy(self._kept[name]))
        self.rate /= 2
        return (
            f"step {step}: {what}; back to the weights of step {self._step}, at {self.rate:g} times the "
            "learning rate"
        )
