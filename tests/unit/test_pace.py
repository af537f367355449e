"""Speed and time left, on a clock of the test's own."""

import pytest

from stsr_cli.console import pace as pace_module
from stsr_cli.console.pace import Pace, clock


@pytest.fixture
def at(monkeypatch):
    """Set the clock."""
    now = [100.0]
    monkeypatch.setattr(pace_module.time, "monotonic", lambda: now[0])

    def move(seconds):
        now[0] = 100.0 + seconds

    return move


def test_nothing_is_said_too_early(at):
    pace = Pace()
    assert pace.frames_per_second is None
    pace.add(1)
    assert (pace.frames_per_second, pace.seconds_left(100)) == (None, None)


def test_frames_of_an_earlier_run_do_not_count(at):
    pace = Pace(1000)
    for second in range(1, 11):
        at(second)
        pace.add(1000 + 2 * second)
    assert pace.frames_per_second == pytest.approx(2)
    assert pace.seconds_left(1120) == pytest.approx(50)
    assert pace.seconds_left(None) is None
    assert pace.seconds_left(900) == 0


def test_the_first_call_of_a_network_is_forgotten(at):
    pace = Pace()
    at(20)
    pace.add(1)
    for second in range(1, 4):
        at(20 + second)
        pace.add(1 + 5 * second)
    assert pace.frames_per_second == pytest.approx(5)


def test_a_run_that_becomes_slower_says_so_within_half_a_minute(at):
    pace, done = Pace(), 0
    for second in range(1, 200):
        at(second)
        done += 10 if second <= 100 else 2
        pace.add(done)
        if second == 140:
            assert pace.frames_per_second == pytest.approx(2)


def test_a_network_that_takes_minutes_a_frame(at):
    pace = Pace()
    for frame in range(1, 30):
        at(120 * frame)
        pace.add(frame)
    assert pace.frames_per_second == pytest.approx(1 / 120)


def test_the_window_stays_small(at):
    pace = Pace()
    for frame in range(100_000):
        at(frame / 1000)
        pace.add(frame)
    assert len(pace._samples) < 130
    assert pace.frames_per_second == pytest.approx(1000, rel=0.01)


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "--:--"), (5, "0:05"), (425, "7:05"), (3723, "1:02:03")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text
