"""Exact output times in closed form."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stsr_cli.video.timing.timeline import PtsRepair, Slot, last_duration, slots


def test_ntsc_film_doubles_to_exact_ticks():
    time_base = Fraction(1001, 24000)
    doubled = [slot.pts * time_base / 2 for pts in range(4) for slot in slots(pts, pts + 1, 2)]
    assert doubled == [Fraction(1001, 48000) * index for index in range(8)]


def test_in_betweens_split_an_uneven_interval():
    assert slots(100, 107, 4) == (Slot(400, 7), Slot(407, 7), Slot(414, 7), Slot(421, 7))


def test_a_time_scale_of_one_changes_nothing():
    assert slots(-5, 2, 1) == (Slot(-5, 7),)


@given(
    st.integers(-1000, 1000),
    st.lists(st.integers(1, 5000), min_size=1, max_size=20),
    st.sampled_from([1, 2, 4, 8]),
)
def test_output_has_no_gap_and_the_length_of_the_source(start, intervals, time_scale):
    pts, output = start, []
    for interval in intervals:
        output += slots(pts, pts + interval, time_scale)
        pts += interval
    assert len(output) == len(intervals) * time_scale
    assert output[0].pts == start * time_scale
    for slot, following in pairwise(output):
        assert slot.pts + slot.duration == following.pts
    assert sum(slot.duration for slot in output) == sum(intervals) * time_scale


@pytest.mark.parametrize(
    ("duration", "interval", "frame_rate", "expected"),
    [
        (40, 33, Fraction(25), 40),
        (None, 33, Fraction(25), 33),
        (0, 33, None, 33),
        (None, None, Fraction(24000, 1001), 42),
        (None, None, None, 1),
    ],
)
def test_last_duration_takes_the_best_source(duration, interval, frame_rate, expected):
    assert last_duration(duration, interval, frame_rate, Fraction(1, 1000)) == expected


def test_sound_timestamps_are_not_repaired():
    repair = PtsRepair()
    assert [repair(pts, 10) for pts in (-20, -10, 5, 30)] == [-20, -10, 5, 30]
    assert repair.num_repaired == 0


def test_missing_duplicate_and_backward_pts_become_increasing():
    repair = PtsRepair(start_pts=7)
    told = [None, 17, 17, 3, None, 60]
    assert [repair(pts, 10) for pts in told] == [7, 17, 18, 19, 29, 60]
    assert repair.num_repaired == 4


def test_a_missing_pts_without_durations_repeats_the_interval():
    repair = PtsRepair()
    assert [repair(pts, None) for pts in (0, 40, None, 120)] == [0, 40, 80, 120]
    assert repair.num_repaired == 1
