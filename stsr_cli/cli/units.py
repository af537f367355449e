"""Frame rates and times as they are written on a command line, exact; and names of protocols."""

import re
from fractions import Fraction
from typing import Any

import click

_TELEVISION = (
    24,
    30,
    48,
    60,
    96,
    120,
    240,
)  # whose 1000/1001 are written as decimals: 23.976, 59.94
_ROUNDED = Fraction(1, 200)
_HIGHEST_RATE = 1000
_TIME = re.compile(r"(?:(?:(\d+):)?([0-5]?\d):(?=[0-5]?\d(?:\.|$)))?(\d+(?:\.\d+)?)")


class RateType(click.ParamType[Fraction]):
    """A frame rate: 60, 60000/1001, 12.5; 59.94 and its kin are 60000/1001."""

    name = "rate"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Fraction:
        """See `click.ParamType`."""
        if isinstance(value, Fraction):
            return value
        try:
            rate = Fraction(value)
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if not 0 < rate <= _HIGHEST_RATE:
            self.fail(
                f"{value!r} is no frame rate up to {_HIGHEST_RATE}; write 60, 59.94 or 60000/1001"
            )
        for whole in _TELEVISION:
            exact = Fraction(whole * 1000, 1001)
            if "." in value and rate.denominator > 1 and abs(rate - exact) <= _ROUNDED:
                return exact
        return rate


class TimeType(click.ParamType[Fraction]):
    """A time of a video, in seconds: 12.5, 1:30, 1:02:03.250."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Fraction:
        """See `click.ParamType`."""
        if isinstance(value, Fraction):
            return value
        match = _TIME.fullmatch(value)
        if match is None:
            self.fail(f"{value!r} is no time; write seconds (12.5) or [hh:]mm:ss (1:02:03.250)")
        hours, minutes, seconds = match.groups(default="0")
        return 3600 * int(hours) + 60 * int(minutes) + Fraction(seconds)


class ProtocolsType(click.ParamType[tuple[str, ...]]):
    """Names of protocols with commas between them: https,tls,tcp."""

    name = "protocols"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """See `click.ParamType`."""
        if isinstance(value, tuple):
            return value
        names = tuple(value.split(","))
        for name in names:
            if not re.fullmatch(r"[a-z0-9]+", name):
                self.fail(f"{name!r} is no name of a protocol; write e.g. file or https,tls,tcp")
        return names


RATE = RateType()
TIME = TimeType()
PROTOCOLS = ProtocolsType()
