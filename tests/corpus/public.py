"""The public clips in shared/data/clips beside the checkout, where there are any."""

import shutil
from collections.abc import Callable
from pathlib import Path

_FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "clips"


def clip_folder() -> Path | None:
    """The folder, or None: there is none."""
    return _FOLDER if _FOLDER.is_dir() else None


def public(name: str) -> Callable[[Path], Path]:
    """A public clip, copied."""

    def build(folder: Path) -> Path:
        return Path(shutil.copy(_FOLDER / name, folder / f"in{Path(name).suffix}"))

    return build
