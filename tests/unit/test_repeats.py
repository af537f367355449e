"""Which frames repeat the one before, and when those that replace them are shown."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from stsr_cli.video.reader import Frame
from stsr_cli.video.timing.repeats import batches_of_shots, block_change, steps

RATE = 24
SIZE = (96, 128)


def drawing(position, noise=0.0, seed=0, dtype=np.uint8):
    """A disc on a plain ground, and what a codec adds."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    inside = (x - 20 - position) ** 2 + (y - 48) ** 2 < 14**2
    picture = np.where(inside[..., None], (240, 200, 40), (90, 130, 170))
    picture = picture + np.random.default_rng(seed).normal(0, noise, picture.shape)
    gain = np.iinfo(dtype).max // 255
    return (picture.clip(0, 255) * gain).astype(dtype)


def held(*lengths, speed=6, noise=0.0, dtype=np.uint8):
    """A drawing for each length, shown for so many frames."""
    shown = [index for index, length in enumerate(lengths) for _ in range(length)]
    return [drawing(speed * i, noise, seed, dtype) for seed, i in enumerate(shown)]


def run(pictures, time_scale=2, cuts=(), pts=None, dedup=True, time_base=Fraction(1, RATE)):
    given = [
        (Frame(one, index if pts is None else pts[index], 1, time_base), index in cuts)
        for index, one in enumerate(pictures)
    ]
    found = list(steps(given, time_scale, dedup=dedup))
    frames = [slot.pts for step in found for slot in step.slots]
    expected = [slot.pts for step in steps(given, time_scale, dedup=False) for slot in step.slots]
    assert frames == expected, "the same output frames at the same times"
    assert sum(1 + step.num_repeats for step in found) == len(pictures)
    for step in found:
        assert [*step.times] == sorted(set(step.times)), "each later than the one before"
        assert all(0 < t < 1 for t in step.times)
    return found


def repeats(pictures, **options):
    return [step.num_repeats for step in run(pictures, **options)]


@pytest.mark.parametrize("noise", [0.0, 3.0])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_twos_threes_and_both(noise, dtype):
    assert repeats(held(2, 2, 2, 2, noise=noise, dtype=dtype)) == [0, 1, 1, 1, 0]
    assert repeats(held(3, 3, 3, noise=noise, dtype=dtype)) == [0, 2, 2, 0, 0]
    assert repeats(held(1, 2, 3, 1, 2, noise=noise, dtype=dtype)) == [0, 0, 1, 2, 0, 0]


@pytest.mark.parametrize("time_scale", [1, 2, 4, 8])
@pytest.mark.parametrize("length", [2, 3, 4])
def test_new_frames_are_as_far_apart_in_motion_as_in_time(time_scale, length):
    _, step, *_ = run(held(length, length, length), time_scale=time_scale)
    exact = [Fraction(j, length * time_scale) for j in range(1, length * time_scale)]
    assert len(step.times) == len(exact)
    for t, wanted in zip(step.times, exact, strict=True):
        assert abs(t - wanted) <= Fraction(1, 32 * time_scale)
        assert t.denominator & (t.denominator - 1) == 0, "halving reaches it"
    if length != 3:
        assert [*step.times] == exact


def test_ones_and_all_without_dedup_are_as_ever():
    for found in (run(held(1, 1, 1, 1)), run(held(2, 2), dedup=False)):
        assert [len(step.slots) for step in found] == [0, 2, 2, 2]
        assert {step.times for step in found} == {(Fraction(1, 2),)}


def test_a_small_mouth_that_moves_is_no_repeat():
    still = drawing(0)
    mouths = []
    for index in range(6):
        mouths.append(still.copy())
        mouths[-1][70 : 74 + index % 3, 60:68] = (120, 20, 30)
    assert repeats(mouths) == [0] * 6


def test_a_slow_pan_and_grain_are_no_repeats():
    x = np.arange(SIZE[1])[None, :, None] + np.zeros((SIZE[0], 1, 3))
    pan = [(128 + 60 * np.sin((x - 0.3 * index) / 9)).astype(np.uint8) for index in range(12)]
    assert max(block_change(*pair) for pair in pairwise(pan)) < 4
    assert repeats(pan) == [0] * 12
    assert repeats(held(12, noise=6.0)) == [0] * 12


def test_a_long_hold_is_a_still_picture():
    assert repeats(held(2, 14, 2, 1)) == [0, 1, *[0] * 14, 1]
    assert repeats(held(2, 6, 2, 1)) == [0, 1, 5, 1], "a quarter of a second is animation still"
    assert sum(repeats(held(2, 20, 2), pts=range(24), time_base=Fraction(1, 1000))) == 1


def test_a_cut_ends_a_hold_which_stays():
    found = run(held(2, 3, 2, 2), cuts={5})
    assert [step.num_repeats for step in found] == [0, 1, 0, 0, 0, 1, 0]
    assert [step.is_after_cut for step in found] == [False] * 4 + [True] + [False] * 2


def test_a_variable_rate_keeps_its_times():
    _, step = run([*held(2), drawing(9)], pts=[0, 30, 40], time_base=Fraction(1, 1000))
    assert [slot.pts for slot in step.slots] == [0, 30, 60, 70]
    assert [*step.times] == [Fraction(j, 32) for j in (12, 24, 28)]


@pytest.mark.parametrize("num_frames", [0, 1, 2])
def test_hardly_any_frames(num_frames):
    assert repeats(held(num_frames)) == [0] * num_frames


def test_batches_end_at_cuts_and_where_times_differ():
    found = run(held(1, 1, 1, 1, 2, 2, 1, 1, 1), cuts={3})
    batches = list(batches_of_shots(found, 3))
    assert [len(batch) for batch in batches] == [3, 2, 2, 2]
    for batch in batches:
        assert not any(step.is_after_cut for step in batch[1:])
        assert len({step.times for step in batch if not step.is_first_of_shot}) == 1
    assert [step for batch in batches for step in batch] == found


@pytest.mark.parametrize("size", [(1, 1), (5, 40), (17, 33), (64, 48)])
def test_block_change_of_any_size(size):
    one = np.full((*size, 3), 100, np.uint8)
    assert block_change(one, one) == 0
    share = min(size[0], 16) * min(size[1], 16) / 256
    assert block_change(one, one + 9) == pytest.approx(9 * share)
    deep = one.astype(np.uint16) * 257
    assert block_change(deep, deep + 9 * 257) == pytest.approx(9 * share)
