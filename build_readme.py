"""README.md for an index of packages, where there are no files beside it: links and images have whole addresses.

hatchling runs this when it builds a wheel or an sdist (pyproject.toml, `tool.hatch.metadata.hooks.custom`).
"""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^]]*)\]\((?P<target>(?![a-z]+:|#)[^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


class ReadmeHook(MetadataHookInterface):
    """Sets the project's readme."""

    def update(self, metadata: dict[str, Any]) -> None:
        """See `MetadataHookInterface`."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        source = str(metadata["urls"]["Source"])
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": with_whole_addresses(text, source),
        }


def with_whole_addresses(text: str, source: str) -> str:
    """Replace local targets by those at `source`, the address of the repository; code keeps what it says."""
    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [_replaced(text[end : fence.start()], source), fence[0]]
        end = fence.end()
    return "".join([*parts, _replaced(text[end:], source)])


def _replaced(text: str, source: str) -> str:
    def whole(match: re.Match[str]) -> str:
        kind = "raw" if match["image"] else "blob"
        return f"{match['image']}[{match['text']}]({source}/{kind}/main/{match['target']})"

    return _LINK.sub(whole, text)
