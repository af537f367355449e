"""`stsr upscale --dedup`: what replaces repeated frames, when it is shown, and what is counted."""

import numpy as np
import pytest

from .test_upscale import LOSSLESS, PLAIN, RGB_SOURCE, bicubic, decode, write_tiny_weights

HELD = (2, 3, 1, 2)  # frames that each drawing is shown for


@pytest.fixture
def clip(make_clip):
    """A plain ground and a bar that moves far from one drawing to the next."""
    drawings = []
    for index in range(len(HELD)):
        drawings.append(np.full((32, 64, 3), 90, np.uint8))
        drawings[-1][:, 4 + 14 * index : 12 + 14 * index] = (230, 200, 40)
    frames = [one for one, length in zip(drawings, HELD, strict=True) for _ in range(length)]
    return make_clip("in.mp4", frames=frames, **RGB_SOURCE), drawings


@pytest.mark.parametrize("stream", ["t2s", "s2t", "both"])
@pytest.mark.parametrize("time_scale", [1, 2, 4])
def test_new_frames_lie_between_drawings_and_time_stays(call, clip, tmp_path, time_scale, stream):
    source, drawings = clip
    common = (*PLAIN, *LOSSLESS, "--time-scale", time_scale, "--stream", stream)
    result = call("upscale", source, "out.mp4", *common, "--dedup", "--cut", "off")
    assert "3 of 8 source frames repeat the one before, replaced by new ones" in result.stderr
    plain = call("upscale", source, "plain.mp4", *common)
    assert "repeat" not in plain.stderr
    found, times = decode(tmp_path / "out.mp4")
    as_ever, expected_times = decode(tmp_path / "plain.mp4")
    assert times == expected_times
    large = [bicubic(one, 4) for one in drawings]
    place = 0
    for index, length in enumerate(HELD[:-1]):
        for step in range(length * time_scale):
            t = step / length / time_scale
            expected = large[index] * (1 - t) + large[index + 1] * t
            worst = np.abs(found[place] - expected.clip(0, 255)).max()
            assert worst <= 0.51 + (length == 3) * 140 / 32 / time_scale + 1
            place += 1
    for image, other in zip(found[place:], as_ever[place:], strict=True):
        assert np.array_equal(image, other), "a hold that does not end stays"


@pytest.mark.parametrize("batch_size", [1, 4])
def test_all_pairs_and_cdca(call, clip, tmp_path, batch_size):
    source, _ = clip
    write_tiny_weights(tmp_path / "tiny.safetensors", "span", "rife")
    names = ("--spatial", "span", "--temporal", "rife", "--weights", "tiny.safetensors")
    options = (*LOSSLESS, "--dedup", "--cut", "off", "--batch-size", batch_size, "-y")
    call("upscale", source, "out.mp4", *names, *options, "--disagreement", "out.csv")
    assert len(decode(tmp_path / "out.mp4")[0]) == 2 * sum(HELD)
    rows = (tmp_path / "out.csv").read_text().splitlines()[1:]
    shown = [int(row.split(",")[0]) for row in rows]
    assert shown == [1, 2, 3, 5, 6, 7, 8, 9, 11, 13], "all but drawings and the hold at the end"
    call("upscale", source, "cdca.mp4", "--system", "cdca", *options)
    assert len(decode(tmp_path / "cdca.mp4")[0]) == 2 * sum(HELD)


def test_a_cut_ends_a_hold(call, make_clip, tmp_path):
    rng = np.random.default_rng(0)
    shots = [
        np.kron(rng.uniform(0, 255, (4, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8) for _ in "ab"
    ]
    source = make_clip("in.mp4", frames=[shots[0]] * 3 + [shots[1]] * 3, **RGB_SOURCE)
    result = call("upscale", source, "out.mp4", *PLAIN, *LOSSLESS, "--dedup")
    assert "0 of 6 source frames repeat" in result.stderr
    assert "1 cut" in result.stderr
    found, _ = decode(tmp_path / "out.mp4")
    assert all(np.array_equal(image, found[0]) for image in found[:6])
