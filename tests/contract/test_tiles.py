"""Every module, and both streams, in tiles and whole: the same picture within 1/255.

What a module declares as its reach is measured anew. Modules that ship with weights run with them; of the others the
layers that start small, so that an untrained network blends, are drawn like the rest: otherwise there is no motion.
"""

from functools import cache
from pathlib import Path
from typing import Any

import av
import pytest
import torch
from torch import Tensor, nn

from stsr_cli.checkpoint import load_weights
from stsr_cli.modules import SpatialModule, TemporalModule
from stsr_cli.registry import available, build, load
from stsr_cli.streams import TwoStream
from stsr_cli.tiling import FEATHER, Tiles
from stsr_cli.upscale.tiles import LEAST_CORE, Room, TiledSpatial, TiledTemporal

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = {
    ("spatial", "span"): "span-rife",
    ("temporal", "rife"): "span-rife",
    ("spatial", "espcn"): "espcn-dvf",
    ("temporal", "dvf"): "espcn-dvf",
}
# As deep as ever, and narrower: the reach is the same.
SMALL = {
    "vdsr": {"num_channels": 8},
    "dbpn": {"num_features": 16, "num_channels": 8},
    "superslomo": {"num_channels": 4},
}
LEVEL = 1 / 255


def drawn(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        module.reset_parameters()


@cache
def trained(kind: str, name: str) -> Any:
    torch.manual_seed(0)
    if (kind, name) in WEIGHTS:
        path = ROOT / "weights" / f"{WEIGHTS[kind, name]}.safetensors"
        return getattr(load_weights(path), kind).eval()
    module = build(kind, name, SMALL.get(name, {})).apply(drawn).eval()
    if name == "superslomo":
        module.flow_net.tail.weight.data *= 40  # so that something moves
    return module


@cache
def clip() -> Tensor:
    """Frames of the demo, (N, 3, 144, 256) in [0, 1]."""
    with av.open(str(ROOT / "tests" / "data" / "demo.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return torch.stack([torch.from_numpy(frame) for frame in frames]).movedim(-1, 1).float() / 255


def moving(height: int, width: int, step: int = 4) -> list[Tensor]:
    """Two frames of the demo, `step` frames apart, mirrored on until they are that large."""
    frames = clip()[[8, 8 + step]]
    while frames.shape[-1] < width:
        frames = torch.cat((frames, frames.flip(-1)), dim=-1)
    while frames.shape[-2] < height:
        frames = torch.cat((frames, frames.flip(-2)), dim=-2)
    return [frame[None, :, :height, :width] for frame in frames]


def room(module: Any, height: int, tile: int | None = LEAST_CORE, **wishes: Any) -> Room:
    return Room(module, height, tile, wishes.pop("overlap", None), lambda note: None, **wishes)


@pytest.mark.parametrize(
    ("name", "scale"),
    [(name, scale) for name in available("spatial") for scale in load("spatial", name).card.scales],
)
def test_the_reach_of_f_s_is_what_gradients_reach(name: str, scale: int) -> None:
    torch.manual_seed(0)
    module = build("spatial", name, {"scale": scale, **SMALL.get(name, {})}).apply(drawn).double()
    side = 2 * module.reach + 9
    frames = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    middle = side // 2
    pixel = slice(middle * scale, (middle + 1) * scale)
    found = (module(frames)[..., pixel, pixel] * torch.rand(3, scale, scale)).sum()
    (gradient,) = torch.autograd.grad(found, frames)
    reached = (gradient.abs().sum((0, 1)).nonzero() - middle).abs().max().item()
    assert module.reach - 1 <= reached <= module.reach


@pytest.mark.parametrize("name", available("spatial"))
def test_f_s_in_tiles_is_f_s(name: str) -> None:
    module: SpatialModule = trained("spatial", name)
    (frames,) = moving(96, 112)[:1]
    tiles = room(module, 96, tile=32)
    with torch.inference_mode():
        whole, found = module(frames), TiledSpatial(module, tiles)(frames)
    assert tiles.cut(1, 96, 112).num_tiles > 3
    assert (found - whole).abs().max() < 1e-4, "no more than the order of sums"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name == "dain" else name
        for name in available("temporal")
    ],
)
def test_f_t_in_tiles_is_f_t(name: str) -> None:
    module: TemporalModule = trained("temporal", name)
    multiple = module.card.multiple_of
    height = max(64, module.card.min_size)
    width = max(-(-(2 * LEAST_CORE + 2 * module.reach + FEATHER) // multiple) * multiple, 256)
    frames = moving(height, width)
    tiles = room(module, height)
    with torch.inference_mode():
        whole, found = module(*frames), TiledTemporal(module, tiles)(*frames)
    assert tiles.cut(1, height, width).num_tiles > 1
    assert (whole - (frames[0] + frames[1]) / 2).abs().max() > 4 * LEVEL or name == "blend"
    assert (found.clamp(0, 1) - whole.clamp(0, 1)).abs().max() < LEVEL


@pytest.mark.parametrize("stream", ["t2s", "s2t"])
@pytest.mark.parametrize("previous", [True, False])
def test_the_default_pair_in_tiles(stream: Any, previous: bool) -> None:
    """Through the streams, odd sizes and the cached frame before included; f_T of S->T in tiles of its own."""
    f_s, f_t = trained("spatial", "span"), trained("temporal", "rife")
    frames = torch.cat(moving(101, 147, step=3))
    model = TwoStream(f_s, f_t)
    room_s, room_t = room(f_s, 101, tile=32), room(f_t, 101, tile=16)
    tiled = TwoStream(TiledSpatial(f_s, room_s), TiledTemporal(f_t, room_t))
    with torch.inference_mode():
        before = (frames[:1], model.upscale(frames[:1])) if previous else None
        given = frames[1:] if previous else frames
        whole, (new,) = model.extend(given, stream, before)
        found, (found_new,) = tiled.extend(given, stream, before)
    assert room_s.tile_side and (room_t.tile_side or stream == "t2s")
    assert (found - whole).abs().max() < LEVEL
    assert (found_new.clamp(0, 1) - new.clamp(0, 1)).abs().max() < LEVEL


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("dvf", {"num_channels": 8, "flow_extent": 0}),
        *(("superslomo", {"num_channels": 4, "warp_grid": grid}) for grid in ("legacy", "exact")),
    ],
)
def test_flow_that_depends_on_place_or_size_is_the_frames(name: str, config: Any) -> None:
    """A share of the frame's side, or a drift that grows to the right: not of the tile's."""
    torch.manual_seed(0)
    module = build("temporal", name, config).apply(drawn).eval()
    frames = moving(64, 640)
    with torch.inference_mode():
        whole, found = module(*frames), TiledTemporal(module, room(module, 64))(*frames)
    assert (found - whole).abs().max() < LEVEL
    with torch.inference_mode():  # which is no small matter
        part = module(*(frame[..., 320:] for frame in frames))
    if config.get("warp_grid") != "exact":
        assert (part - whole[..., 320:])[..., 200:].abs().max() > 2 * LEVEL


def test_without_enough_overlap_there_are_seams() -> None:
    """That the tests above would see them."""
    module = trained("temporal", "rife")
    frames = moving(128, 512)
    with torch.inference_mode():
        whole = module(*frames)
        found = TiledTemporal(module, room(module, 128, overlap=32))(*frames)
    assert (found - whole).abs().max() > 10 * LEVEL


def test_more_overlap_than_tile_still_adds_up_to_one() -> None:
    module = trained("spatial", "bicubic")
    frames = torch.rand(1, 3, 90, 160)
    tiles = Tiles(16, 100, module.reach)
    assert tiles.count(90, 160) > 3
    wide = room(module, 90, tile=16, overlap=100)
    with torch.inference_mode():
        assert (TiledSpatial(module, wide)(frames) - module(frames)).abs().max() < 1e-5
