"""When a disk is said to be too small."""

import shutil
from types import SimpleNamespace

import pytest

from stsr_cli.video.sizes import disk_warning


@pytest.mark.parametrize(
    ("codec", "options", "num_bytes"),
    [
        ("libx264", {"crf": "18"}, 1000 * 640 * 480 * 0.005 / 8),
        ("libx264", {"qp": "0"}, 1000 * 640 * 480 * 1.0 / 8),
        ("ffv1", {}, 1000 * 640 * 480 * 1.0 / 8),
    ],
)
def test_a_full_disk_is_a_warning(monkeypatch, tmp_path, codec, options, num_bytes):
    plan = SimpleNamespace(codec=codec, options=options, width=640, height=480)
    for free, is_enough in ((num_bytes + 1, True), (num_bytes - 1, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        found = disk_warning(tmp_path / "new" / "out.mp4", plan, 1000)
        assert bool(found) is not is_enough
        assert all(f"free in {tmp_path}" in one for one in found)
        assert disk_warning(tmp_path / "out.mp4", plan, 0) == ()
