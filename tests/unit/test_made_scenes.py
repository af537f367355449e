"""Scenes made of moving layers: the frame in the middle is exact, what stands still is the same in every frame."""

import numpy as np
import pytest
import torch

from stsr_cli.data import degrade
from stsr_cli.ops import to_pixels, to_tensor
from stsr_cli.training import made_scenes
from stsr_cli.training.drawings import draw_overlay, draw_shape
from stsr_cli.training.made_scenes import Layer, Scene, Wave, captioned, draw_scene, made_triplet
from stsr_cli.training.sampling import Sampler

SIDE = 64
STANDING = torch.eye(2), torch.zeros(2, 2)


@pytest.fixture
def picture():
    noise = np.random.default_rng(1).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    return to_tensor(noise)


@pytest.fixture
def draw(picture):
    pixels = to_pixels(picture)
    return lambda rng, height, width: pixels[:height, :width]


def test_a_background_that_moves_by_whole_pixels_is_the_shifted_picture_in_every_frame(picture):
    layer = Layer(picture, *STANDING, torch.zeros(2), torch.tensor([12.0, -20.0]))
    frames = Scene([layer]).frames(SIDE)
    first = (160 - SIDE) // 2
    for frame, dx, dy in zip(frames, (-6, 0, 6), (10, 0, -10), strict=True):
        rows, columns = (slice(first - shift, first - shift + SIDE) for shift in (dy, dx))
        assert torch.allclose(frame, picture[:, rows, columns], atol=1e-4)


def test_a_point_moves_at_a_constant_velocity_whatever_its_layer_does(picture):
    """Where the middle frame shows a point of a layer, halfway between where the others show it."""
    wave = Wave(torch.tensor([3.0, -2.0]), torch.tensor([0.03, 0.04]), 1.0)
    matrix = torch.tensor([[1.1, -0.3], [0.3, 1.1]])
    turn = torch.tensor([[0.08, -0.1], [0.1, 0.08]])
    layer = Layer(picture, matrix, turn, torch.tensor([5.0, 3.0]), torch.tensor([14.0, 9.0]), wave)
    for t in (0.0, 0.5, 1.0):
        points, s = layer._points(t - 0.5, SIDE), t - 0.5
        seen_at = (
            points @ (matrix + s * turn).T + layer.centre + s * (layer.velocity + wave(points))
        )
        assert torch.allclose(seen_at, made_scenes._positions(SIDE), atol=0.02)


def test_a_foreground_hides_what_is_behind_it_and_only_that(picture):
    colour = torch.tensor([1.0, 0, 0])[:, None, None].expand(3, 24, 24)
    mask = torch.nn.functional.pad(torch.ones(1, 20, 20), (2, 2, 2, 2))
    back = Layer(picture, *STANDING, torch.zeros(2), torch.zeros(2))
    front = Layer(torch.cat((colour, mask)), *STANDING, torch.zeros(2), torch.tensor([16.0, 0]))
    for frame, x in zip(Scene([back, front]).frames(SIDE), (-8, 0, 8), strict=True):
        expected = back.sample(0.5, SIDE).clone()
        expected[:, 22:42, 22 + x : 42 + x] = colour[:, :20, :20]
        assert torch.allclose(frame, expected, atol=1e-4)


def test_an_overlay_stands_still_over_motion_ramp_blur_and_grain(picture):
    overlay = draw_overlay(np.random.default_rng(3), SIDE, 4)
    is_covered = overlay[3] == 1
    assert 0.02 < is_covered.float().mean() < 0.9
    layer = Layer(picture, *STANDING, torch.zeros(2), torch.tensor([13.0, 5.0]))
    grain = torch.randn(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) / 50
    scene = Scene([layer], overlay, shutter=0.3, num_exposures=3, ramp=0.2, grain=grain)
    frames = to_pixels(scene.frames(SIDE))
    assert (frames == to_pixels(overlay[:3]))[:, is_covered].all()
    assert (frames[0] != frames[1])[~is_covered].any(-1).mean() > 0.8


def test_frames_are_brighter_along_a_ramp(picture):
    layer = Layer(picture * 0.5 + 0.2, *STANDING, torch.zeros(2), torch.zeros(2))
    means = Scene([layer], ramp=0.2).frames(SIDE).mean((1, 2, 3))
    assert torch.allclose(means / means[1], torch.tensor([0.9, 1, 1.1]), atol=1e-3)


def test_motion_blur_is_the_mean_along_the_path(picture):
    layer = Layer(picture, *STANDING, torch.zeros(2), torch.tensor([8.0, 0]))
    blurred = Scene([layer], shutter=0.5, num_exposures=2).frames(SIDE)[1]
    moments = [layer.sample(0.5 + offset, SIDE) for offset in (-0.125, 0.125)]
    assert torch.allclose(blurred, (moments[0] + moments[1]) / 2, atol=1e-5)


def test_a_scene_in_which_nothing_moves_has_equal_frames(draw, monkeypatch):
    monkeypatch.setattr(made_scenes, "_STILL_SHARE", 1.0)
    for seed in range(4):
        frames = made_triplet(np.random.default_rng(seed), draw, SIDE, 4)
        assert (frames == frames[0]).all()
        assert frames.std() > 10


def test_layers_go_up_to_a_quarter_of_the_frame_and_some_stand_still(draw):
    scenes = [draw_scene(np.random.default_rng(seed), draw, SIDE, 4) for seed in range(80)]
    ways = torch.stack([layer.velocity.norm() for scene in scenes for layer in scene.layers])
    assert 0.1 < (ways == 0).float().mean() < 0.3
    moving = ways[ways > 0]
    assert (moving.min() >= 0.99, moving.max() <= SIDE / 4 + 0.01) == (True, True)
    assert moving.log().mean() == pytest.approx(np.log(SIDE / 4) / 2, abs=0.2), "on a log scale"
    assert {len(scene.layers) for scene in scenes} == {2, 3, 4, 5}
    assert 0.1 < np.mean([scene.overlay is not None for scene in scenes]) < 0.4


def test_shapes_end_before_their_rim_and_are_neither_empty_nor_full():
    for seed in range(30):
        mask = draw_shape(np.random.default_rng(seed), 40, 60)
        assert mask.shape == (40, 60)
        assert (mask[:2] == 0).all() and (mask[:, -2:] == 0).all()
        assert 0.05 < mask.mean() < 0.95
        assert ((mask == 0) | (mask == 1)).float().mean() > 0.5


def test_a_sampler_makes_its_share_of_scenes_each_a_function_of_seed_step_and_number(numbered_clip):
    """Frames of a numbered clip say which clip's they are; a scene's have more than one number in a frame."""
    clips = [numbered_clip(name, 9, (24, 24)) for name in "ab"]

    def sampler(share):
        return Sampler(clips, scale=4, crop=12, seed=7, made_share=share)

    batch = sampler(0.5).triplets(3, 24)
    is_made = [len(frame[0].unique()) > 1 for frame in batch.hr_frames[1]]
    assert 6 <= sum(is_made) <= 18
    assert batch.is_labeled.all()
    assert batch.lr_frames[0].shape == (24, 3, 12, 12)
    assert batch.hr_frames[0].shape == (24, 3, 48, 48)
    later = sampler(0.5).triplets(3, 4, 20)
    for whole, part in zip(
        batch.lr_frames + batch.hr_frames, later.lr_frames + later.hr_frames, strict=True
    ):
        assert torch.equal(whole[20:], part)
    plain = Sampler(clips, scale=4, crop=12, seed=7).triplets(3, 24)
    assert torch.equal(sampler(0.0).triplets(3, 24).hr_frames[0], plain.hr_frames[0])


def test_low_resolution_frames_of_a_scene_are_its_high_resolution_ones_degraded(make_clip, load):
    (clip,) = load(make_clip("in.mp4", num_frames=4, width=160, height=128))
    batch = Sampler([clip], scale=4, crop=20, seed=0, made_share=1.0).triplets(0, 2)
    for lr, hr in zip(batch.lr_frames, batch.hr_frames, strict=True):
        degraded = made_scenes.to_tensor(to_pixels(torch.nn.functional.avg_pool2d(hr, 4)))
        assert (degraded - lr).abs().mean() < 0.02
        assert lr.std() > 0.05


def test_scenes_need_no_more_of_a_picture_than_there_is(picture):
    small = to_pixels(picture[:, :20, :30])
    frames = made_triplet(np.random.default_rng(5), lambda rng, height, width: small, SIDE, 4)
    assert frames.shape == (3, SIDE, SIDE, 3)


def test_a_captioned_picture_is_small_and_large_alike() -> None:
    """Where no overlay is, both are the picture; where one is, the enlarged small one is near the large one."""
    picture = to_pixels(torch.rand(1, 3, 16, 16).repeat_interleave(16, 2).repeat_interleave(16, 3))[
        0
    ]
    kinds = set()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        lr_picture, hr_picture = captioned(rng, picture, 4)
        assert lr_picture.shape == (64, 64, 3)
        assert hr_picture.shape == picture.shape
        again = captioned(np.random.default_rng(seed), picture, 4)
        assert np.array_equal(again[0], lr_picture)
        assert np.array_equal(again[1], hr_picture)
        difference = np.abs(degrade(hr_picture, 4).astype(int) - lr_picture)
        kinds.add(difference.max() == 0)
        assert difference.mean() < 20
    assert kinds == {True, False}, "drawn in the large picture, and in the small one"
