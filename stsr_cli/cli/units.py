"""Frame rates, times and sizes as they are written on a command line, exact; and names of protocols."""

import math
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
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT])?(i?B)?", re.IGNORECASE)
_FACTOR = re.compile(
    r"[x\N{MULTIPLICATION SIGN}]?(\d{1,9})[x\N{MULTIPLICATION SIGN}]?", re.IGNORECASE
)
_HEIGHT = re.compile(r"(\d{1,9})\s*(?:p|px)?", re.IGNORECASE)
_SIDES = re.compile(r"(\d{1,9})\s*[x*:\N{MULTIPLICATION SIGN}]\s*(\d{1,9})", re.IGNORECASE)
_MOST_GIB = 1024  # from here on, a number alone is bytes
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
        value = re.sub(r"\s*(fps|hz)$", "", value, flags=re.IGNORECASE)
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
        match = _TIME.fullmatch(re.sub(r"(?<=\d)\s*s(ec)?$", "", value))
        if match is None:
            self.fail(f"{value!r} is no time; write seconds (12.5) or [hh:]mm:ss (1:02:03.250)")
        hours, minutes, seconds = match.groups(default="0")
        return 3600 * int(hours) + 60 * int(minutes) + Fraction(seconds)


class ProtocolsType(click.ParamType[tuple[str, ...]]):
    """Names of protocols with commas between them: file,https."""

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
                self.fail(f"{name!r} is no name of a protocol; write e.g. file or https,udp")
        return names


class FactorType(click.ParamType[int]):
    """A whole factor: 2, 2x or x2."""

    name = "factor"

    def __init__(self, advice: str) -> None:
        """`advice`: what to do where another factor is wanted."""
        self._advice = advice

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See `click.ParamType`."""
        if isinstance(value, int):
            return value
        match = _FACTOR.fullmatch(value.strip())
        if match is None or int(match[1]) < 1:
            self.fail(f"{value!r} is no whole factor from 1 on, such as 4; {self._advice}")
        return int(match[1])


class HeightType(click.ParamType[int]):
    """A height in pixels: 1080 or 1080p."""

    name = "height"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See `click.ParamType`."""
        match = _HEIGHT.fullmatch(str(value).strip())
        if match is None or int(match[1]) < 1:
            self.fail(f"{value!r} is no height in pixels; write 1080 or 1080p")
        return int(match[1])


class SidesType(click.ParamType[tuple[int | None, int]]):
    """Width and height in pixels: 1920x1080; 1080p is a height alone, to which the width follows."""

    name = "sides"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int | None, int]:
        """See `click.ParamType`."""
        if isinstance(value, tuple):
            return value
        text = value.strip()
        if text.lower().endswith("p"):
            return None, HEIGHT.convert(text, param, ctx)
        match = _SIDES.fullmatch(text)
        if match is None or min(int(match[1]), int(match[2])) < 1:
            self.fail(f"{value!r} is no size; write 1920x1080 (WIDTHxHEIGHT), or 1080p")
        return int(match[1]), int(match[2])


class SizeType(click.ParamType[int]):
    """An amount of memory, in bytes: 500MB, 2GiB, 1.5G, 1073741824; below 1024, a number alone is GiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See `click.ParamType`."""
        if isinstance(value, int):
            return value
        match = _SIZE.fullmatch(value.strip())
        num_bytes = 0
        if match is not None:
            number, prefix, unit = match.groups()
            if not (prefix or unit) and Fraction(number) < _MOST_GIB:
                prefix = "G"
            base = 1000 if unit in ("B", "b") else 1024  # 2G, as tools have it, is 2GiB
            num_bytes = int(Fraction(number) * base ** " KMGT".index((prefix or " ").upper()))
        if num_bytes < 1:
            self.fail(f"{value!r} is no amount of memory; write 2GiB, 500MB or 2 (GiB)")
        return num_bytes


class GiBType(click.ParamType[float]):
    """An amount of storage in GiB, above 0: 20, 0.5, or with a unit of its own: 500MB, 2GiB."""

    name = "gib"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """See `click.ParamType`."""
        try:
            number = float(value)
        except ValueError:
            number = SIZE.convert(value, param, ctx) / 2**30
        if not 0 < number < math.inf:
            self.fail(f"{value!r} is no amount of storage; write 20 (GiB) or 500MB")
        return number


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
GIB = GiBType()
SCALE = FactorType("for any other size, --height 1080 or --size 1920x1080")
TIME_SCALE = FactorType("for any other frame rate, --fps 60")
HEIGHT = HeightType()
SIDES = SidesType()
TILE = TileType()
