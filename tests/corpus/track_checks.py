"""Checks of everything beside the video."""

from . import readers
from .case import Case, check


@check("sound: the same packets, by SHA-256", "ffmpeg -f streamhash")
def same_sound(case: Case) -> None:
    before = readers.stream_hashes(case.source, "a")
    assert before, "the source has no sound"
    assert readers.stream_hashes(case.output, "a") == before
