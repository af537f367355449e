from fractions import Fraction

import pytest

from stsr_cli.video.timing.timecode import retimed

NTSC, DOUBLE_NTSC = Fraction(30000, 1001), Fraction(60000, 1001)
FILM = Fraction(24000, 1001)


@pytest.mark.parametrize(
    ("code", "rate", "new_rate", "expected"),
    [
        ("10:11:12:20", 25, 50, "10:11:12:40"),
        ("10:11:12:20", 25, 100, "10:11:12:80"),
        ("10:11:12:20", 25, 200, "10:11:12:160"),
        ("10:11:12:20", 25, 25, "10:11:12:20"),
        ("01:00:59;29", NTSC, DOUBLE_NTSC, "01:00:59;58"),
        ("01:01:00;02", NTSC, DOUBLE_NTSC, "01:01:00;04"),
        ("01:01:00:01", NTSC, DOUBLE_NTSC, "01:01:00:02"),
        ("01:02:03.28", NTSC, DOUBLE_NTSC, "01:02:03;56"),
        ("01:02:03:23", FILM, NTSC, "01:02:03:28"),
        ("01:02:03;29", NTSC, 25, "01:02:03:24"),
        ("1:02:03:04", 25, 50, "01:02:03:08"),
        ("whenever", 25, 50, "whenever"),
        ("10:11:12:20", 25, 400, None),
    ],
)
def test_the_second_stays_and_the_frame_is_counted_anew(code, rate, new_rate, expected):
    assert retimed(code, Fraction(rate), Fraction(new_rate)) == expected


@pytest.mark.parametrize(
    ("code", "rate", "num_frames", "expected"),
    [
        ("10:11:12:20", 25, 10, "10:11:13:05"),
        ("23:59:59:24", 25, 1, "00:00:00:00"),
        ("01:00:59;29", NTSC, 1, "01:01:00;02"),
        ("01:09:59;29", NTSC, 1, "01:10:00;00"),
        ("01:00:59;59", DOUBLE_NTSC, 1, "01:01:00;04"),
        ("23:59:59;29", NTSC, 1, "00:00:00;00"),
        ("00:00:00;00", NTSC, 107892, "01:00:00;00"),  # an hour of SMPTE ST 12-1
    ],
)
def test_later_frames_of_a_day(code, rate, num_frames, expected):
    rate = Fraction(rate)
    assert retimed(code, rate, rate, num_frames) == expected
