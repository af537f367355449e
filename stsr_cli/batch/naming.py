"""What an output is called: `--output-pattern "{stem}_{w}x{h}_{fps}fps{ext}"`."""

import string
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

from stsr_cli.errors import UsageError

DEFAULT_PATTERN = "{stem}{ext}"
FIELDS = {
    "stem": "name of the input without its ending",
    "name": "name of the input",
    "ext": "its ending, or .mkv where stsr writes no such file",
    "w": "width of the output as it is shown",
    "h": "its height",
    "fps": "its frame rate: 60, 59.94, 23.976",
    "scale": "spatial factor",
    "time_scale": "temporal factor",
    "index": "number of the input, from 1",
    "parent": "folder of the input",
}
_EXAMPLE: dict[str, str | int] = {
    **dict.fromkeys(FIELDS, "a"),
    **dict.fromkeys(("w", "h", "scale", "time_scale", "index"), 1),
}
_WRITTEN = frozenset(
    ".mp4 .m4v .mov .mkv .webm .ts .m2ts .mts .flv .f4v .3gp .3g2 .nut".split()
)  # endings that are kept; other containers keep no times of their own


def check_pattern(pattern: str) -> None:
    """Refuse a pattern that names no file.

    Raises:
        UsageError: an unknown field, or no pattern at all.
    """
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None]
        unknown = [name for name in names if name not in FIELDS]
        if unknown:
            raise UsageError(
                f"--output-pattern {pattern!r}: {{{unknown[0]}}} is no field; choose from "
                f"{', '.join(f'{{{name}}}' for name in FIELDS)}"
            )
        example = pattern.format_map(_EXAMPLE)
    except (ValueError, LookupError) as error:
        raise UsageError(
            f"--output-pattern {pattern!r} cannot be read: {error}; write {{stem}}_{{w}}x{{h}}{{ext}}, "
            "and {{ or }} for a brace"
        ) from None
    if not Path(example).name or example.endswith("/"):
        raise UsageError(
            f"--output-pattern {pattern!r} names a folder; add a name, such as {{stem}}{{ext}}"
        )


def extension(source: Path) -> str:
    """The ending of an output whose name follows its input's."""
    return source.suffix if source.suffix.lower() in _WRITTEN else ".mkv"


def output_name(pattern: str, values: Mapping[str, str | int]) -> str:
    """The name that a pattern gives; `values` has all of FIELDS."""
    return pattern.format_map(values)


def rate_text(rate: Fraction | None) -> str:
    """A frame rate for a name: 60, 59.94, 23.976; `variable` where it is not known."""
    return "variable" if rate is None else f"{float(rate):.5g}"
