"""Tags that MP4 and MOV have no box of their own for: stored under their names, as cameras and phones do.

FFmpeg's muxer can do that with all tags or with none, and players do not look there for a title. Here those that it
does not keep are added to the complete file. Source: QuickTime File Format, "QuickTime Metadata Keys".
"""

from __future__ import annotations

import struct

from stsr_cli.video.boxes import box
from stsr_cli.video.target import MOV_FAMILY

_UTF_8 = 1  # type of a value
_APPLE = "com.apple.quicktime."


def holds_keys(format_name: str) -> bool:
    """Whether files of a format can have such tags."""
    return format_name in MOV_FAMILY


def with_keys(index: bytes, tags: dict[str, str]) -> bytes:
    """The index of a file with tags added; in a `meta` without version and flags, as phones do.

    Args:
        index: body of `moov`.
        tags: by their keys, UTF-8 with escaped surrogates.
    """
    handler = box(b"hdlr", bytes(8) + b"mdta" + bytes(13))
    keys, values = b"", b""
    for number, (key, value) in enumerate(tags.items(), 1):
        keys += box(b"mdta", _encoded(_spelled(key)))
        data = box(b"data", struct.pack(">II", _UTF_8, 0) + _encoded(value))
        values += box(struct.pack(">I", number), data)
    listed = box(b"keys", struct.pack(">II", 0, len(tags)) + keys)
    # Behind `udta`: its readers would look up the names of other lists in this one.
    return index + box(b"meta", handler + listed + box(b"ilst", values))


def _spelled(key: str) -> str:
    """A key as Apple spells it: Matroska has capitals alone."""
    if key.lower().startswith(_APPLE):
        return key.lower().replace("iso6709", "ISO6709")
    return key


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
