"""The wait for torch: what a terminal says meanwhile, and how it is kept short."""

import contextlib
import gc
import sys
from collections.abc import Iterator

import click

_TEXT = "loading ..."


@contextlib.contextmanager
def loading(*, is_shown: bool = True) -> Iterator[None]:
    """Import torch, and what needs it, inside of this context.

    A terminal shows `loading ...` until it is left. The garbage collector rests: it would search what is loaded again
    and again, for a sixth of the time that loading takes. What is loaded stays, so it is never searched later either.
    """
    is_shown = is_shown and sys.stderr is not None and sys.stderr.isatty()
    if is_shown:
        click.echo(_TEXT, nl=False, err=True)
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.freeze()
            gc.enable()
        if is_shown:
            click.echo(f"\r{' ' * len(_TEXT)}\r", nl=False, err=True)
