"""Text for people that more than one part prints."""

import math
import re
import shlex
import sys
from collections.abc import Sequence

_PLAIN = re.compile(r"[\w.+:/\\~=-]+")  # needs no quotes in cmd, nor in PowerShell


def command_line(words: Sequence[str]) -> str:
    """A command as it is typed into the system's shell: on Windows, where it can be, for cmd and PowerShell alike."""
    if sys.platform != "win32":
        return shlex.join(words)
    return " ".join(map(_windows_word, words))


def going_on(words: Sequence[str]) -> str:
    """A command that goes on with what an earlier one has done, as it is typed; --no-resume would make all anew."""
    return command_line([word for word in words if word != "--no-resume"])


def plural(number: int, what: str) -> str:
    """A number with what is counted: "1 frame", "2 frames"; `what` takes an s, or es behind a sibilant."""
    ending = "es" if what.endswith(("s", "x", "ch", "sh")) else "s"
    return f"{number} {what}{'' if number == 1 else ending}"


def size_text(num_bytes: int) -> str:
    """A size on the disk: "12 kB", "3.4 MB", "1.2 GB"."""
    for unit, name in ((10**9, "GB"), (10**6, "MB")):
        if num_bytes >= unit:
            return f"{num_bytes / unit:.1f} {name}"
    return f"{math.ceil(num_bytes / 1000)} kB"


def split_command(text: str) -> list[str]:
    """The words of a command that somebody typed; on Windows a backslash is part of a path.

    Raises:
        ValueError: a quote is not closed.
    """
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    if sys.platform == "win32":
        lexer.escape = ""
    return list(lexer)


def _windows_word(word: str) -> str:
    if _PLAIN.fullmatch(word):
        return word
    if "$" in word or "`" in word:  # PowerShell expands them in double quotes; cmd has no other
        return "'" + word.replace("'", "''") + "'"
    # what the program's C library makes of backslashes before a quote
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', word)
    escaped = re.sub(r"(\\+)$", r"\1\1", escaped)
    return f'"{escaped}"'
