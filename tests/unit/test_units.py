"""What people write on a command line is read as they mean it."""

from fractions import Fraction

import click
import pytest

from stsr_cli.cli.units import GIB, HEIGHT, RATE, SCALE, SIDES, TIME, TIME_SCALE

CASES = [
    *((SCALE, text, 2) for text in ("2", "2x", "x2", "2X", "2\N{MULTIPLICATION SIGN}", " 2 ")),
    *((TIME_SCALE, text, 8) for text in ("8", "8x")),
    *((HEIGHT, text, 1080) for text in ("1080", "1080p", "1080P", "1080 p", "1080px")),
    *(
        (SIDES, text, (1920, 1080))
        for text in ("1920x1080", "1920X1080", "1920 x 1080", "1920*1080")
    ),
    *((SIDES, text, (None, 720)) for text in ("720p", "720P")),
    *((RATE, text, Fraction(60)) for text in ("60", "60fps", "60 FPS", "60Hz")),
    *((RATE, text, Fraction(60000, 1001)) for text in ("59.94", "59.94fps", "60000/1001")),
    *((TIME, text, Fraction(20)) for text in ("20", "20s", "20 s", "20sec", "0:20")),
    *((GIB, text, 2.0) for text in ("2", "2GiB", "2G", "2048MiB")),
    (GIB, "0.5", 0.5),
]
WRONG = [
    *((SCALE, text) for text in ("0", "2.5", "-2", "x", "xx2", "", "two")),
    *((HEIGHT, text) for text in ("0", "1080q", "-1", "10.5")),
    *((SIDES, text) for text in ("1920", "0x5", "1920x", "x1080", "axb", "p", "0p")),
    *((RATE, text) for text in ("0", "fps", "60fpm")),
    *((TIME, text) for text in ("s", "20m", "-1")),
    *((GIB, text) for text in ("0", "-1", "nan", "inf", "much")),
]


@pytest.mark.parametrize(("kind", "text", "value"), CASES)
def test_a_value_as_people_write_it(kind, text: str, value) -> None:
    assert kind.convert(text, None, None) == value
    assert kind.convert(value, None, None) == value  # a default, or one of a file


@pytest.mark.parametrize(("kind", "text"), WRONG)
def test_what_cannot_be_meant_is_refused(kind, text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"write|for any other"):
        kind.convert(text, None, None)
