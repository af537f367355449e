"""Frame rates, times and sizes as they are written on a command line, exact; and names of protocols."""

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
_LARGEST_TILE = 65536
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGTkmgt])?(i?B)?)?")
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


class SizeType(click.ParamType[int]):
    """An amount of memory, in bytes: 500MB, 2GiB, 1.5G, 1073741824."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See `click.ParamType`."""
        if isinstance(value, int):
            return value
        match = _SIZE.fullmatch(value.strip())
        num_bytes = 0
        if match is not None:
            number, prefix, unit = match.groups()
            base = 1000 if unit == "B" else 1024  # 2G, as tools have it, is 2GiB
            num_bytes = int(Fraction(number) * base ** " KMGT".index((prefix or " ").upper()))
        if num_bytes < 1:
            self.fail(f"{value!r} is no size; write 2GiB, 500MB or bytes")
        return num_bytes


class TileType(click.ParamType[int]):
    """The side of a tile in pixels; auto is None, which an option's default is."""

    name = "tile"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See `click.ParamType`."""
        if value == "auto":
            return None
        try:
            side = int(value)
        except ValueError:
            side = -1
        if side != 0 and not 16 <= side <= _LARGEST_TILE:
            self.fail(f"{value!r} is no side of a tile; write auto, 0, or 16 to {_LARGEST_TILE}")
        return side


RATE = RateType()
TIME = TimeType()
PROTOCOLS = ProtocolsType()
SIZE = SizeType()
TILE = TileType()
