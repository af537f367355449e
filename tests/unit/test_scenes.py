"""What counts as a cut: synthetic frames of which it is known."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from stsr_cli.options import UpscaleOptions
from stsr_cli.video.probe import probe
from stsr_cli.video.reader import Frame
from stsr_cli.video.timing.scenes import Cut, find_cuts, mark_cuts, thumbnail

THRESHOLD = UpscaleOptions.scene_threshold
WIDTH, HEIGHT = 160, 90


def scenery(seed, width=3 * WIDTH):
    """A smooth random picture, wider than a frame, so that a camera can pan over it."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(50, 200, (6, width // 16 + 1, 3))
    return np.kron(coarse, np.ones((HEIGHT // 6, 16, 1)))[:HEIGHT, :width]


def shot(seed, num_frames=8, speed=2, noise=2.0):
    """A pan of `speed` pixels a frame, with some grain."""
    wide, rng = scenery(seed), np.random.default_rng(100 + seed)
    frames = [wide[:, speed * i : speed * i + WIDTH] for i in range(num_frames)]
    return [np.clip(frame + rng.normal(0, noise, frame.shape), 0, 255) for frame in frames]


def cuts_of(frames, threshold=THRESHOLD, dtype=np.uint8):
    """The indexes of the frames before which a cut is found."""
    gain = 257 if dtype == np.uint16 else 1
    given = [
        Frame((np.rint(frame) * gain).astype(dtype), index, 1, Fraction(1, 25))
        for index, frame in enumerate(frames)
    ]
    found = list(mark_cuts(given, threshold))
    assert [frame.pts for frame, _ in found] == [*range(len(frames))]
    return [frame.pts for frame, is_cut in found if is_cut]


def fade(last, first, num_frames=10):
    steps = np.arange(1, num_frames + 1) / (num_frames + 1)
    return [last * (1 - step) + first * step for step in steps]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_cuts_are_found_where_they_are(dtype):
    assert cuts_of([*shot(0, 5), *shot(1, 4), *shot(2, 9)], dtype=dtype) == [5, 9]


def test_a_cut_at_the_very_beginning_and_the_very_end():
    assert cuts_of([shot(0)[0], *shot(1)]) == [1]
    assert cuts_of([*shot(1), shot(0)[0]]) == [8]


@pytest.mark.parametrize("speed", [0, 2, 8, 16])
def test_still_pictures_and_pans_are_no_cuts(speed):
    assert cuts_of(shot(3, 14, speed)) == []
    assert cuts_of([*shot(3, 6, 0), *shot(3, 14, speed)]) == [], "a pan that begins suddenly"


def test_fades_are_no_cuts():
    one, other = shot(4), shot(5)
    black = np.zeros_like(one[0])
    assert cuts_of([*one, *fade(one[-1], other[0]), *other]) == []
    through_black = [*fade(one[-1], black), black, *fade(black, other[0])]
    assert cuts_of([*one, *through_black, *other]) == []


@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("place", [1, 4, 6])
def test_a_flash_is_no_cut(share, place):
    frames = shot(6)
    frames[place] = frames[place] * (1 - share) + 255 * share
    assert cuts_of(frames) == []


@pytest.mark.parametrize("times", [2, 3])
def test_animation_on_twos_and_threes_is_no_row_of_cuts(times):
    frames = [frame for frame in shot(7, 8, speed=8, noise=0) for _ in range(times)]
    moved = [float(np.abs(one - other).mean()) for one, other in pairwise(frames)]
    assert max(moved) > 2 * THRESHOLD
    assert all(cut <= times for cut in cuts_of(frames)), "but where nothing moved before"
    assert cuts_of([*frames, *shot(8, 6, noise=0)])[-1:] == [len(frames)]


def test_a_lower_threshold_finds_more():
    base = scenery(9)[:, :WIDTH]
    frames = [base * 0.9] * 4 + [base * 0.9 + 6] * 4
    assert cuts_of(frames) == []
    assert cuts_of(frames, threshold=5) == [4]
    assert cuts_of([*shot(0, 5), *shot(1, 5)], threshold=255) == []


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (5, 300), (17, 13), (90, 160), (1080, 1920)])
def test_thumbnails_of_any_size_keep_the_mean_of_a_plain_picture(size):
    small = thumbnail(np.full((*size, 3), (10, 200, 90), np.uint8))
    assert small.size <= 3 * 6 * 2 * max(6, size[1], size[0]) / min(size) * 6
    assert np.allclose(small, (10, 200, 90))
    assert np.allclose(thumbnail(np.full((*size, 3), 65535, np.uint16)), 255)


@pytest.mark.parametrize("frames", [[], shot(0)[:1], shot(0)[:2]], ids=["none", "one", "two"])
def test_hardly_any_frames(frames):
    assert cuts_of(frames) == []


def test_cuts_of_a_file(make_clip):
    frames = [frame.round().astype(np.uint8) for frame in (*shot(0, 6), *shot(1, 5))]
    source = probe(make_clip("in.mp4", frames=frames, frame_rate=Fraction(24)))
    done = []
    shots = find_cuts(source, on_frame=done.append)
    assert shots.cuts == (Cut(6, 0.25),)
    assert (shots.num_frames, shots.seconds) == (11, float(Fraction(10, 24)))
    assert not shots.is_rate_variable
    assert done == [*range(1, 12)]
    assert find_cuts(source, threshold=255).cuts == ()


def test_a_variable_rate_is_seen(make_clip):
    frames = [frame.round().astype(np.uint8) for frame in shot(0, 4)]
    source = probe(make_clip("in.mp4", frames=frames, frame_pts=[0, 1, 3, 4]))
    shots = find_cuts(source)
    assert (shots.shortest, shots.longest) == (0.04, 0.08)
    assert shots.is_rate_variable
