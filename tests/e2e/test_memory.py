"""Tiles by hand, by --max-memory, and after allocations that really failed; half precision that really fails."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stsr_cli.checkpoint import Weights, save_weights
from stsr_cli.registry import build

# Runs the command with so much more address space than it took for a small clip: allocations beyond that fail.
LIMITED = """
import resource, sys
from stsr_cli.cli import main
small, more, *arguments = sys.argv[1:]
main(["upscale", small, "small/", *arguments[2:]], standalone_mode=False)
lines = open("/proc/self/status").read().splitlines()
size = next(int(line.split()[1]) for line in lines if line.startswith("VmSize")) * 1024
resource.setrlimit(resource.RLIMIT_AS, (size + int(more) * 2**20,) * 2)
main(["upscale", *arguments])
"""


def images(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))])


def differ_by(folder: Path, other: Path) -> int:
    return int(np.abs(images(folder).astype(int) - images(other)).max())


@pytest.fixture
def heavy(tmp_path):
    """Options for a network that takes 8.6 kB a pixel."""
    torch.manual_seed(0)
    path = tmp_path / "dbpn.safetensors"
    save_weights(path, Weights(spatial=build("spatial", "dbpn")))
    return ["--spatial", "dbpn", "--temporal", "blend", "--weights", str(path)]


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux")
@pytest.mark.parametrize(("batch_size", "words"), [("1", "tiles a frame"), ("3", "frame")])
def test_an_allocation_that_fails_makes_tiles_smaller(
    call, heavy, make_clip, tmp_path, batch_size, words
):
    """No estimate helps: --max-memory promises more than there is."""
    small = make_clip("small.mp4", width=32, height=32, num_frames=2)
    source = make_clip("in.mp4", width=160, height=96, num_frames=4)  # 130 MB a frame
    options = [*heavy, "--batch-size", batch_size, "--max-memory", "100GiB"]
    call("upscale", source, "whole/", *options)
    command = [sys.executable, "-c", LIMITED, str(small), "100", str(source), "tiles/"]
    ran = subprocess.run(
        [*command, *options, "--report", "run.json", "-y"],
        cwd=tmp_path,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            "OMP_NUM_THREADS": "1",
            "MALLOC_ARENA_MAX": "1",
            "MALLOC_MMAP_THRESHOLD_": "65536",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    (note,) = [line for line in ran.stderr.splitlines() if "out of memory" in line]
    assert note.startswith("note: dbpn ran out of memory; it goes on with")
    assert words in note
    assert differ_by(tmp_path / "whole", tmp_path / "tiles") <= 1
    report = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert 0 < report["network"]["tile_side"] < 160


@pytest.mark.parametrize("stream", ["t2s", "s2t", "both"])
def test_max_memory_makes_tiles_and_says_so(call, tmp_path, demo_clip, stream):
    options = ["--stream", stream, "--end", "0.1"]
    call("upscale", demo_clip, "whole/", *options)
    done = call(
        "upscale", demo_clip, "tiles/", *options, "--max-memory", "130MB", "--report", "r.json"
    )
    told = [line for line in done.stderr.splitlines() if line.startswith("note: ")]
    if stream == "t2s":
        assert told == []
        assert differ_by(tmp_path / "whole", tmp_path / "tiles") == 0
        return
    (note,) = told
    assert "s2t runs rife on 1024x576, 16 times the pixels of the source: about" in note
    assert note.endswith("tiles")
    assert differ_by(tmp_path / "whole", tmp_path / "tiles") <= 1
    assert json.loads((tmp_path / "r.json").read_text())["network"]["tile_side"] > 0
    assert "the networks ran in tiles of up to" in done.stderr


def test_tiles_by_hand(call, make_clip, tmp_path):
    source = make_clip("in.mp4", width=130, height=98, num_frames=3)
    fast = ["--spatial", "espcn", "--temporal", "dvf"]
    call("upscale", source, "whole/", *fast)
    for name, options in {
        "tiles": ["--tile", "32"],
        "never": ["--tile", "0", "--max-memory", "1MB"],
        "wide": ["--tile", "16", "--tile-overlap", "60"],
        "auto": ["--tile", "auto"],
    }.items():
        done = call("upscale", source, f"{name}/", *fast, *options)
        assert differ_by(tmp_path / "whole", tmp_path / name) <= 1
        assert ("tiles of up to" in done.stderr) == (name in ("tiles", "wide"))
    seams = call("upscale", source, "seams/", *fast, "--tile", "32", "--tile-overlap", "16")
    assert "note: tiles share 16 pixels, and espcn needs 24: seams may show" in seams.stderr


def test_alpha_and_cdca_in_tiles(call, make_clip, tmp_path):
    source = make_clip("in.mp4", width=96, height=64, num_frames=2)
    call("upscale", source, "whole/", "--system", "cdca")
    call("upscale", source, "tiles/", "--system", "cdca", "--tile", "16")
    assert differ_by(tmp_path / "whole", tmp_path / "tiles") <= 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tile", "7"], "write auto, 0, or 16 to 65536"),
        (["--tile", "big"], "write auto, 0, or 16 to 65536"),
        (["--tile-overlap", "-1"], "-1"),
        (["--max-memory", "much"], "write 2GiB, 500MB or 2 (GiB)"),
        (["--max-memory", "0"], "write 2GiB, 500MB or 2 (GiB)"),
    ],
)
def test_sizes_that_are_none(call, make_clip, options, words):
    source = make_clip("in.mp4")
    assert words in call("upscale", source, "out.mp4", *options, code=2).stderr


def test_half_precision_that_fails_is_made_again(call, make_clip, tmp_path):
    """Weights to which bf16 is too coarse: 2.5 (10020 + x) - (25050 + x)."""
    f_s = build("spatial", "vdsr", {"num_channels": 2, "num_layers": 3, "has_bias": True})
    with torch.no_grad():
        for conv, bias in zip(f_s.convs, ((10020, 25050), (0, 0), (0,)), strict=True):
            conv.weight.zero_()
            conv.bias.copy_(torch.tensor(bias))
        f_s.convs[1].weight[0, 0, 1, 1] = f_s.convs[1].weight[1, 1, 1, 1] = 1
        f_s.convs[2].weight[0, :, 1, 1] = torch.tensor((2.5, -1))
    save_weights(tmp_path / "hostile.safetensors", Weights(spatial=f_s))
    source = make_clip("in.mp4", width=32, height=32, num_frames=4)
    options = ["--spatial", "vdsr", "--temporal", "blend", "--weights", "hostile.safetensors"]
    call("upscale", source, "fp32/", *options)
    done = call("upscale", source, "bf16/", *options, "--precision", "bf16", "--report", "run.json")
    told = [line for line in done.stderr.splitlines() if line.startswith("note: ")]
    assert len(told) == 2
    assert "bf16 gave a frame that is no picture; it is made again in fp32" in told[0]
    assert "goes on in fp32" in told[1]
    counts = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["counts"]
    assert counts["num_redone"] > 3
    assert f"made again in fp32: {counts['num_redone']} frames" in done.stderr
    assert differ_by(tmp_path / "fp32", tmp_path / "bf16") <= 2  # the source in bf16


def test_weights_that_overflow_fp32_are_an_error(call, make_clip, tmp_path):
    f_s = build("spatial", "espcn")
    with torch.no_grad():
        f_s.conv3.bias[0] = 3.3e38  # which colour conversion multiplies
    save_weights(tmp_path / "huge.safetensors", Weights(spatial=f_s))
    options = ["--spatial", "espcn", "--temporal", "blend", "--weights", "huge.safetensors"]
    failed = call("upscale", make_clip("in.mp4"), "out.mp4", *options, code=5)
    assert "NaN or infinity" in failed.stderr
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize(
    "command",
    [
        ["upscale", "in.mp4", "out.mp4"],
        ["bench"],
        ["train", "--stage", "spatial", "--labeled", ".", "--out", "run"],
    ],
)
def test_a_missing_gpu_is_an_error_everywhere(call, make_clip, command):
    make_clip("in.mp4")
    failed = call(*command, "--device", "cuda", code=6)
    assert "device 'cuda' is not available here" in failed.stderr
