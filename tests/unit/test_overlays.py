"""What stands still before a picture that moves: found, kept in both streams, and nothing else mistaken for it."""

from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stsr_cli.modules import Card, TemporalModule
from stsr_cli.overlays import find_overlay, lay_over, take_off_larger
from stsr_cli.spatial.bicubic import Bicubic
from stsr_cli.streams import Interval, TwoStream

HEIGHT, WIDTH, PAN = 72, 128, 8
HALF = Fraction(1, 2)


class Pans(TemporalModule):
    """Moves frame0 to the left by half of the pan, whatever stands still in it: tears captions."""

    card = Card("pans", 2026, "a test", "a test")

    def forward(self, frame0: Tensor, frame1: Tensor, t: float = 0.5) -> Tensor:
        ratio = frame0.shape[-1] // WIDTH
        return frame0.roll(-round(PAN * ratio * t), -1)


def photograph(seed=0, width=WIDTH + 64):
    """Smooth shapes, edges and fine texture, (1, 3, HEIGHT, width)."""
    rng = np.random.default_rng(seed)

    def noise(height, columns):
        return torch.from_numpy(rng.standard_normal((1, 3, height, columns), dtype=np.float32))

    size = HEIGHT, width
    shapes = F.interpolate(noise(6, width // 12), size=size, mode="bicubic")
    texture = F.interpolate(noise(36, width // 2), size=size, mode="bicubic")
    return (0.5 + 0.2 * shapes.sign() + 0.08 * shapes + 0.04 * texture).clamp(0, 1)


def panned(picture, shift):
    return picture[..., shift : shift + WIDTH].clone()


@pytest.fixture
def caption():
    """Strokes two pixels wide with a dark outline; where they are, (HEIGHT, WIDTH) booleans, and their colours."""
    light = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    for column in range(40, 88, 6):
        light[50:60, column : column + 2] = True
        light[50 + column % 8 : 52 + column % 8, column : column + 5] = True
    covered = F.max_pool2d(light[None].float(), 3, 1, 1)[0].bool()
    return covered, light.float()


@pytest.fixture
def frames(caption):
    """Two frames of a pan under the caption."""
    covered, colours = caption
    picture = photograph()
    return [torch.where(covered, colours, panned(picture, shift)) for shift in (0, PAN)]


def test_a_caption_over_a_pan_is_found_and_little_else(frames, caption):
    overlay = find_overlay(*frames)
    covered = caption[0]
    assert overlay is not None
    assert overlay.still[0, 0][covered].mean() == 1
    assert overlay.hiding[0, 0][covered].mean() > 0.95
    far = F.max_pool2d(covered[None].float(), 9, 1, 4)[0] == 0
    assert overlay.hiding[0, 0][far].mean() < 0.01
    assert overlay.still[0, 0][far].mean() < 0.05


@pytest.mark.parametrize("stream", ["t2s", "s2t"])
def test_it_stands_still_in_both_streams_and_leaves_no_trace_in_the_picture(
    frames, caption, stream
):
    """A given frame, or the mean of both, inside; beside it, where f_T would have drawn it, is the picture."""
    model = TwoStream(Bicubic(), Pans({}))
    hr_frames = [model.upscale(frame) for frame in frames]
    new = Interval(model, *frames, *hr_frames).new(HALF, stream)
    covered = caption[0].repeat_interleave(4, 0).repeat_interleave(4, 1)
    mean = (hr_frames[0] + hr_frames[1]) / 2
    error = torch.minimum((new - hr_frames[0]).abs(), (new - mean).abs())
    assert error[..., covered].max() < 1 / 255
    dragged = (
        covered.roll(-4 * PAN // 2, 1) & ~F.max_pool2d(covered[None].float(), 13, 1, 6)[0].bool()
    )
    assert dragged.any()
    picture = model.upscale(panned(photograph(), PAN // 2))
    torn = model.upscale(frames[0].roll(-PAN // 2, -1))
    error, torn_error = ((image - picture).abs()[..., dragged].mean() for image in (new, torn))
    assert error < torn_error * 0.6  # blurred from what is around


def test_frames_at_every_time_keep_it(frames, caption):
    covered, colours = caption
    new = TwoStream(Bicubic(), Pans({}), time_scale=4).between(*frames)
    for frame in new:
        assert (frame - colours).abs()[..., covered].max() < 1 / 255


def test_f_s_of_the_given_frames_may_be_given_or_not(frames):
    model = TwoStream(Bicubic(), Pans({}))
    (alone,) = model.t2s(*frames)
    _, (along_video,) = model.extend(torch.cat(frames), "t2s")
    _, (later,) = model.extend(frames[1], "t2s", (frames[0], model.upscale(frames[0])))
    assert torch.allclose(alone, along_video, atol=1e-5)
    assert torch.allclose(alone, later, atol=1e-5)


def test_a_pair_of_a_batch_is_as_if_it_were_alone(frames):
    model = TwoStream(Bicubic(), Pans({}))
    picture = photograph(3)
    plain = [panned(picture, shift) for shift in (0, PAN)]
    assert find_overlay(*plain) is None
    (both,) = model.t2s(*(torch.cat(pair) for pair in zip(frames, plain, strict=True)))
    for index, pair in enumerate((frames, plain)):
        assert torch.allclose(both[index], model.t2s(*pair)[0][0], atol=1e-5)


def test_gradients_reach_the_networks_around_it(frames):
    model = TwoStream(Bicubic(), Pans({}))
    leaves = [frame.requires_grad_() for frame in frames]
    model.t2s(*leaves)[0].sum().backward()
    assert all(leaf.grad is not None and leaf.grad.abs().sum() > 0 for leaf in leaves)


def test_what_moves_alone_or_stands_still_alone_has_none():
    picture = photograph(1)
    assert find_overlay(picture, picture) is None
    assert find_overlay(panned(picture, 0), panned(picture, 13)) is None
    flat = torch.full((1, 3, HEIGHT, WIDTH), 0.5)
    assert find_overlay(flat, flat + 0.3) is None
    assert find_overlay(flat[..., :8, :8], flat[..., :8, :8]) is None


@pytest.mark.parametrize("way", [6, 12, 20, 40])
def test_what_passes_before_a_still_background_is_not_cut_off(way):
    """Where both frames show the background and the one between an object, all edges of the background stand still."""
    background, other = panned(photograph(2), 0), panned(photograph(5), 0)
    y, x = torch.arange(HEIGHT)[:, None] - HEIGHT / 2, torch.arange(WIDTH) - WIDTH / 2

    def disc(shift):
        return y**2 + (x - shift) ** 2 < 8**2

    frames = [torch.where(disc(shift), other, background) for shift in (-way / 2, way / 2)]
    overlay = find_overlay(*frames)
    assert overlay is None or overlay.still[0, 0][disc(0)].mean() < 0.05


def test_an_overlay_is_taken_off_and_laid_over_in_either_precision(frames):
    """In half precision f_S's frames and f_T's are not always of one type."""
    overlay = find_overlay(*frames)
    assert overlay is not None
    half = frames[0].bfloat16()
    taken_off = take_off_larger(half, frames[0], overlay)
    assert taken_off.dtype == torch.bfloat16
    laid = lay_over(frames[0], half, half, overlay, 0.5)
    assert laid.dtype == torch.float32
    torch.testing.assert_close(laid, frames[0], rtol=0, atol=0.01)
