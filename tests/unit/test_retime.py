"""A constant frame rate: which frame each tick shows, and how many ticks there are."""

from fractions import Fraction
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stsr_cli.options import UpscaleOptions
from stsr_cli.video.timing.retime import ConstantTimes, output_rate, time_scale_for
from stsr_cli.video.timing.timeline import Slot


def choose(pts, durations, time_base, rate):
    """Names of frames (their index) by tick, and the object that chose."""
    times = ConstantTimes(rate, time_base, 1 / rate)
    chosen = []
    for index, slot in enumerate(map(Slot, pts, durations)):
        chosen += times.push(index, (slot,))
    chosen += times.flush()
    ticks = [(slot.pts, item) for item, slots in chosen for slot in slots]
    start = ticks[0][0]
    assert [tick for tick, _ in ticks] == list(range(start, start + len(ticks)))
    return [item for _, item in ticks], times


def test_a_rate_that_is_kept_keeps_every_frame():
    shown, times = choose(range(0, 400, 40), [40] * 10, Fraction(1, 1000), Fraction(25))
    assert shown == list(range(10))
    assert (times.num_repeated, times.num_dropped) == (0, 0)


def test_timestamps_rounded_to_milliseconds_lose_and_repeat_no_frame():
    pts = [round(index * 1000 / 30) for index in range(31)]
    durations = [after - before for before, after in pairwise(pts)]
    shown, _ = choose(pts[:-1], durations, Fraction(1, 1000), Fraction(30))
    assert shown == list(range(30))


def test_a_picture_is_held_until_the_next_is_due():
    shown, times = choose([0, 10, 500], [10, 490, 10], Fraction(1, 1000), Fraction(100))
    assert shown == [0] + [1] * 49 + [2]
    assert times.num_repeated == 48


def test_of_many_frames_the_nearest_is_shown_and_the_rest_counted():
    shown, times = choose(range(24), [1] * 24, Fraction(1, 240), Fraction(30))
    assert shown == [0, 8, 16]
    assert times.num_dropped == 21


def test_the_earlier_of_two_frames_as_near_is_shown():
    shown, _ = choose([0, 1, 3, 4], [1, 2, 1, 1], Fraction(1, 4), Fraction(2))
    assert (
        shown == [0, 1, 3][: len(shown)]
    )  # the second tick lies between the second frame and the third


@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=30),
    st.sampled_from([Fraction(24000, 1001), Fraction(25), Fraction(60000, 1001), Fraction(7, 2)]),
    st.integers(-500, 500),
)
def test_the_length_is_the_sources_to_half_a_tick(durations, rate, start):
    time_base, pts = Fraction(1, 1000), [start]
    for duration in durations[:-1]:
        pts.append(pts[-1] + duration)
    shown, times = choose(pts, durations, time_base, rate)
    seconds = sum(durations) * time_base
    assert abs(len(shown) / rate - seconds) <= 1 / rate / 2 or len(shown) == 1
    assert shown == sorted(shown)
    assert len(set(shown)) + times.num_dropped == len(durations)
    assert len(set(shown)) + times.num_repeated == len(shown)
    for tick, index in enumerate(shown):
        early = pts[index] - start - tick / rate / time_base
        assert early < 1 / rate / time_base / 2 or index == 0


@pytest.mark.parametrize(
    ("fps", "source", "expected"),
    [
        (60, 30, 2),
        (60, 24, 4),
        (25, 25, 1),
        (10, 25, 1),
        (60, Fraction(30000, 1001), 2),
        (60, 0, 1),
    ],
)
def test_the_time_scale_is_the_smallest_that_reaches_the_rate(fps, source, expected):
    assert time_scale_for(Fraction(fps), Fraction(source) or None) == expected


@pytest.mark.parametrize(
    ("average", "nominal", "expected"),
    [(25, 25, 50), (Fraction(293, 10), 30, 60), (30, 90000, 60), (None, None, 50)],
)
def test_a_constant_rate_is_the_nominal_one_if_that_is_credible(average, nominal, expected):
    source = SimpleNamespace(
        frame_rate=average and Fraction(average), nominal_rate=nominal and Fraction(nominal)
    )
    options = UpscaleOptions("a", "b", vfr="cfr")
    assert output_rate(source, options) == expected
    assert output_rate(source, UpscaleOptions("a", "b")) is None
