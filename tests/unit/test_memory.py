"""What a network takes, counted beforehand, and what it does when that is too much."""

import pytest
import torch

from stsr_cli.cli.units import SIZE
from stsr_cli.errors import StsrError
from stsr_cli.modules import Card, SpatialModule
from stsr_cli.options import UpscaleOptions
from stsr_cli.registry import available, build
from stsr_cli.streams import TwoStream, even_times
from stsr_cli.upscale.memory import bytes_per_pixel, foreseen, tile_side, within_memory
from stsr_cli.upscale.network import Network
from stsr_cli.upscale.tiles import Room, TiledSpatial

CPU = torch.device("cpu")


def test_what_is_counted_is_what_a_plain_network_holds():
    """Blend: both products and their sum, of 3 channels of 4 bytes; the formula of a convolution likewise."""
    assert bytes_per_pixel(build("temporal", "blend"), CPU) == 36
    f_s = build("spatial", "dbpn", {"num_stages": 1, "num_channels": 8, "num_features": 16})
    # the up-projection at 16 times the pixels: its guess, and what is added to it twice (before and after PReLU)
    assert bytes_per_pixel(f_s, CPU) >= 3 * 16 * 8 * 4
    half = build("spatial", "dbpn", {"num_stages": 1, "num_channels": 8, "num_features": 16})
    assert bytes_per_pixel(half.bfloat16(), CPU, torch.bfloat16) == pytest.approx(
        bytes_per_pixel(f_s, CPU) / 2
    )


@pytest.mark.parametrize("name", [name for name in available("spatial") if name != "vdsr"])
def test_a_pixel_takes_the_same_in_every_frame(name):
    """Which is what an estimate for a large frame rests on."""
    module = build("spatial", name).eval()
    expected = bytes_per_pixel(module, CPU)
    module.card = Card("larger", 2000, "a test", (4,), min_size=96)
    assert bytes_per_pixel(module, CPU) == pytest.approx(expected, rel=0.05)


class Greedy(SpatialModule):
    """Takes any number of pixels up to `most` in all samples, and asks torch for what cannot be for more of them."""

    card = Card("Greedy", 2000, "a test", scales=(2,))
    scale, reach = 2, 2

    def __init__(self, most: int) -> None:
        super().__init__({})
        self.most = most
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        self.sizes.append(tuple(frames.shape))
        if frames[:, 0].numel() > self.most:
            torch.empty(2**60, dtype=torch.uint8)
        return frames.repeat_interleave(2, -1).repeat_interleave(2, -2)


def greedy(most, told, tile=None):
    module = Greedy(most)
    return module, TiledSpatial(module, Room(module, 100, tile, None, told.append))


def test_first_fewer_frames_then_smaller_tiles():
    told = []
    module, tiled = greedy(100 * 100 * 3, told)
    frames = torch.rand(4, 3, 100, 200)
    expected = frames.repeat_interleave(2, -1).repeat_interleave(2, -2)
    assert torch.equal(tiled(frames), expected)
    assert module.sizes == [(4, 3, 100, 200), (2, 3, 100, 200), *[(1, 3, 100, 200)] * 4]
    assert (
        told == ["greedy ran out of memory; it goes on with 1 frame at a time"]
        or "goes on" in told[0]
    )
    module.most = 100 * 100
    module.sizes.clear()
    assert torch.allclose(tiled(frames), expected, atol=1e-6)
    assert all(shape[0] == 1 for shape in module.sizes)
    assert len(told) == 1, "once"
    again = len(module.sizes)
    tiled(frames)
    failed = sum(shape[-1] * shape[-2] > module.most for shape in module.sizes)
    assert failed == 1, "what was learned is kept"
    assert len(module.sizes) - again == again - failed


@pytest.mark.parametrize("tile", [None, 0, 128])
def test_what_does_not_fit_at_all_is_one_error_with_advice(tile):
    told = []
    module, tiled = greedy(10, told, tile)
    model = TwoStream(tiled, build("temporal", "blend"))
    network = Network(model, "t2s", False, None, tell=told.append)
    with pytest.raises(StsrError, match=r"out of memory with one frame at a time.*--tile-overlap"):
        network.extend(torch.rand(4, 3, 100, 200), None, even_times(2))
    smallest = min(shape[-1] * shape[-2] for shape in module.sizes)
    assert smallest == (100 * 200 if tile == 0 else min(smallest, 100 * 128))


def run(**wishes):
    return UpscaleOptions(source="in.mp4", target="out.mp4", **wishes)


def test_an_estimate_that_does_not_fit_makes_tiles_before_anything_fails():
    told = []
    system = TwoStream(build("spatial", "span"), build("temporal", "rife")).eval()
    size = (720, 1280)
    roomy = within_memory(system, run(max_memory=2**40), size, CPU, 1, told.append)
    assert foreseen(roomy, "both", size) == []
    tight = within_memory(system, run(max_memory=1_400_000_000), size, CPU, 1, told.append)
    assert isinstance(tight, TwoStream)
    cut = tight.spatial.room.cut(1, *size)
    assert cut.num_tiles > 1
    (f_s,) = foreseen(tight, "t2s", size)
    assert f_s.startswith("span on 1280x720: about 1.4 GiB at once, where ")
    _, s2t = foreseen(tight, "s2t", size)
    assert "s2t runs rife on 5120x2880, 16 times the pixels of the source: about" in s2t
    assert tile_side(tight) == 0, "nothing has run"
    assert told == []


def test_showing_motion_of_smaller_frames_takes_less_than_finding_it():
    """It is counted by itself, so that S->T is not cut for what only small frames go through."""
    f_t = build("temporal", "rife", {"scales": [4, 2, 0.5], "num_channels": [96, 64, 48]})
    larger, whole = bytes_per_pixel(f_t, CPU, ratio=4), bytes_per_pixel(f_t, CPU)
    assert 3 * 4 * 3 < larger < whole / 2
    system = TwoStream(build("spatial", "bicubic"), f_t).eval()
    tight = within_memory(system, run(max_memory=2**31), (720, 1280), CPU, 1, print)
    f_t = tight.temporal
    assert f_t.larger.max_pixels > 2 * f_t.room.max_pixels
    assert foreseen(tight, "s2t", (720, 1280))[-1].startswith("s2t runs rife on 5120x2880")


def test_twice_the_memory_takes_no_more_tiles():
    system = TwoStream(build("spatial", "span"), build("temporal", "rife")).eval()
    counts = []
    for power in range(26, 36):
        tight = within_memory(system, run(max_memory=2**power), (720, 1280), CPU, 1, print)
        counts.append(
            [m.room.cut(1, 2880, 5120).num_tiles for m in (tight.spatial, tight.temporal)]
        )
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == [1, 1]


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [
        *(("2GiB", 2**31), ("2G", 2**31), ("2 GB", 2 * 10**9), ("1.5g", 3 * 2**29)),
        *(("500MB", 5 * 10**8), ("64KiB", 2**16), ("4096", 4096), ("4096B", 4096), ("1T", 2**40)),
        *(("2", 2**31), ("0.5", 2**29), ("1023", 1023 * 2**30), ("2B", 2), ("2gib", 2**31)),
    ],
)
def test_sizes_as_they_are_written(text, num_bytes):
    assert SIZE.convert(text, None, None) == num_bytes
