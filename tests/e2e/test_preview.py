"""`stsr upscale --preview`: which excerpts, side by side, and nothing else."""

from fractions import Fraction

import numpy as np
import pytest

from .test_upscale import LOSSLESS, PLAIN, RGB_SOURCE, bicubic, decode, hidden_files

RATE = 10
BAR = 24  # pixels of the labels above


@pytest.fixture
def clip(make_clip):
    """Six seconds, every frame of a grey of its own."""
    frames = [np.full((32, 48, 3), 20 + 3 * index, np.uint8) for index in range(6 * RATE)]
    return make_clip("in.mp4", frames=frames, frame_rate=Fraction(RATE), **RGB_SOURCE)


def test_three_excerpts_side_by_side(call, clip, tmp_path):
    source = clip
    result = call("upscale", source, "out.mp4", *PLAIN, *LOSSLESS, "--preview", "0.4")
    assert "0.800 s to 1.200 s, 2.800 s to 3.200 s, 4.800 s to 5.200 s" in result.stderr
    assert "24 frames of 384x152, left bicubic + blend, right bicubic + blend" in result.stderr
    found, times = decode(tmp_path / "out.mp4")
    assert times == [Fraction(index, 2 * RATE) for index in range(24)]
    expected = [8, 8.5, 9, 9.5, 10, 10.5, 11, 11]
    expected = [place + start for start in (0, 20, 40) for place in expected]
    for image, place in zip(found, expected, strict=True):
        assert np.abs(image[BAR:].astype(int) - (20 + 3 * place)).max() <= 2
    assert len(np.unique(found[0][:BAR])) > 2, "labels"
    assert hidden_files(tmp_path) == []


def test_a_short_video_is_shown_whole_and_the_network_is_on_the_right(call, make_clip, tmp_path):
    rng = np.random.default_rng(0)
    frames = list(rng.integers(0, 256, (4, 32, 48, 3), dtype=np.uint8))
    source = make_clip("in.mp4", frames=frames, **RGB_SOURCE)
    options = ("--spatial", "span", "--temporal", "blend", "--cut", "off", "--preview", "2")
    result = call("upscale", source, "out.mp4", *options, *LOSSLESS)
    assert "0.000 s to the end" in result.stderr
    found, _ = decode(tmp_path / "out.mp4")
    assert len(found) == 8
    for image, frame in zip(found[::2], frames, strict=True):
        left, right = image[BAR:, :192].astype(float), image[BAR:, 192:]
        wanted = bicubic(frame, 4).clip(0, 255)
        assert np.abs(left - wanted).max() <= 3
        assert np.abs(right - wanted).mean() > 2


def test_an_existing_output_and_nonsense_are_refused(call, clip, tmp_path):
    source = clip
    (tmp_path / "out.mp4").write_bytes(b"mine")
    call("upscale", source, "out.mp4", *PLAIN, "--preview", "1", code=2)
    assert (tmp_path / "out.mp4").read_bytes() == b"mine"
    for wrong in (("--preview", "0"), ("--preview", "1", "--disagreement", "a.csv")):
        call("upscale", source, "other.mp4", *PLAIN, *wrong, code=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]
