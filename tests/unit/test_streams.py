"""Both streams against Eq. 1-4, with modules simple enough to compute by hand."""

import pytest
import torch
from torch import Tensor

from stsr_cli.errors import UsageError
from stsr_cli.losses import Objective
from stsr_cli.modules import Card, SpatialModule, TemporalModule
from stsr_cli.ops import backward_warp, upsample
from stsr_cli.spatial.bicubic import Bicubic
from stsr_cli.streams import TwoStream
from stsr_cli.temporal.blend import Blend


class Repeat(SpatialModule):
    """Every pixel becomes a square of `scale`; counts its calls and keeps the sizes it was given."""

    card = Card("Repeat", 2000, "a test", scales=(4,), multiple_of=8, min_size=16)

    def __init__(self, scale: int = 4) -> None:
        super().__init__({"scale": scale})
        self.scale = scale
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, frames: Tensor) -> Tensor:
        self.sizes.append(tuple(frames.shape[-2:]))
        return frames.repeat_interleave(self.scale, -1).repeat_interleave(self.scale, -2)


class First(TemporalModule):
    """Half of the first frame plus the square of the second: neither symmetric nor linear."""

    card = Card("First", 2000, "a test", scales=(1,), multiple_of=8, min_size=16)

    def __init__(self) -> None:
        super().__init__({})
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, frame0: Tensor, frame1: Tensor, t: float = 0.5) -> Tensor:
        self.sizes.append(tuple(frame0.shape[-2:]))
        return frame0 / 2 + frame1**2


class Shift(TemporalModule):
    """Finds that all moves by two pixels to the right in an interval; notes where it looks and what it shows."""

    card = Card("Shift", 2000, "a test", scales=(1,), multiple_of=8, min_size=16)
    finds_motion = True

    def __init__(self) -> None:
        super().__init__({})
        self.found: list[tuple[int, ...]] = []
        self.shown: list[tuple[tuple[int, ...], int]] = []

    def find_motion(self, frame0: Tensor, frame1: Tensor, t: float = 0.5) -> Tensor:
        self.found.append(tuple(frame0.shape[-2:]))
        flow = torch.tensor([-1.0, 0, 1, 0, 0], dtype=frame0.dtype)[:, None, None]
        return flow.expand(len(frame0), 5, *frame0.shape[-2:])

    def render(
        self, frame0: Tensor, frame1: Tensor, motion: Tensor, t: float = 0.5, ratio: int = 1
    ) -> Tensor:
        self.shown.append((tuple(frame0.shape[-2:]), ratio))
        warped = (
            backward_warp(frame, flow)
            for frame, flow in zip((frame0, frame1), motion[:, :4].split(2, 1), strict=True)
        )
        return sum(warped) / 2

    def forward(self, frame0: Tensor, frame1: Tensor, t: float = 0.5) -> Tensor:
        return self.render(frame0, frame1, self.find_motion(frame0, frame1, t), t)


def pair(height: int = 6, width: int = 9, batch: int = 2) -> tuple[Tensor, Tensor]:
    frame0, frame1 = torch.rand(2, batch, 3, height, width, dtype=torch.float64)
    return frame0, frame1


@pytest.mark.parametrize("stream", ["t2s", "s2t"])
def test_a_pair_becomes_three_frames(stream) -> None:
    frame0, frame1 = pair()
    model = TwoStream(Bicubic(), Blend())
    found = model(frame0, frame1, stream)
    # Eq. 1: the given frames upscaled, the new one between them.
    assert len(found) == 3
    torch.testing.assert_close(found[0], upsample(frame0, 4))
    torch.testing.assert_close(found[1], upsample((frame0 + frame1) / 2, 4))
    torch.testing.assert_close(found[2], upsample(frame1, 4))


def test_streams_of_linear_modules_agree() -> None:
    frame0, frame1 = pair()
    model = TwoStream(Bicubic(), Blend(), time_scale=4)
    t2s = model(frame0, frame1, "t2s")
    s2t = model(frame0, frame1, "s2t")
    assert len(t2s) == len(s2t) == 5
    for one, other in zip(t2s, s2t, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)
    assert Objective().consistency_loss(t2s[1], s2t[1]).item() < 1e-20


def test_streams_are_the_two_orders_of_the_modules() -> None:
    frame0, frame1 = pair(16, 16)
    spatial, temporal = Repeat(), First()
    model = TwoStream(spatial, temporal)
    # Eq. 4: f_S(f_T(x0, x1)) and f_T(f_S(x0), f_S(x1)).
    t2s, s2t = model(frame0, frame1, "t2s")[1], model(frame0, frame1, "s2t")[1]
    assert temporal.sizes == [(16, 16), (64, 64)]
    torch.testing.assert_close(t2s, spatial(temporal(frame0, frame1)))
    torch.testing.assert_close(s2t, temporal(spatial(frame0), spatial(frame1)))


def test_both_streams_follow_the_motion_between_small_frames() -> None:
    """It is looked for once, at low resolution, and is four times as far between frames four times as large."""
    frames = torch.rand(3, 3, 20, 24, dtype=torch.float64)
    spatial, temporal = Repeat(), Shift()
    model = TwoStream(spatial, temporal)
    hr_frames, ((t2s, s2t),) = model.extend_both(frames)
    assert temporal.found == [(24, 24)], "padded to a multiple of 8"
    assert temporal.shown == [((24, 24), 1), ((80, 96), 4)]
    middle = (hr_frames[:-1].roll(4, -1) + hr_frames[1:].roll(-4, -1)) / 2
    inner = slice(8, -8)
    torch.testing.assert_close(s2t[..., inner], middle[..., inner])
    torch.testing.assert_close(t2s[..., inner], middle[..., inner])
    for stream, found in (("t2s", t2s), ("s2t", s2t)):
        assert torch.equal(model.extend(frames, stream)[1][0], found)


def test_motion_of_later_passes_is_found_between_new_small_frames() -> None:
    frame0, frame1 = pair(16, 16)
    spatial, temporal = Repeat(), Shift()
    model = TwoStream(spatial, temporal, 16, 4)
    _, *new, _ = model(frame0, frame1, "s2t")
    assert [frame.shape[-1] for frame in new] == [256] * 3
    assert temporal.found == [(16, 16)] * 3
    # of the small frames only the middle one is needed, of the large ones all
    assert sorted(temporal.shown) == [((16, 16), 1), *[((256, 256), 16)] * 3]


@pytest.mark.parametrize(("scale", "num_passes"), [(1, 0), (4, 1), (16, 2), (64, 3)])
def test_scale_repeats_the_module(scale: int, num_passes: int) -> None:
    spatial = Repeat()
    frames = torch.rand(1, 3, 2, 3)
    found = TwoStream(spatial, Blend(), scale).upscale(frames)
    assert len(spatial.sizes) == num_passes
    assert found.shape == (1, 3, 2 * scale, 3 * scale)
    expected = frames.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("time_scale", [1, 2, 4, 8])
@pytest.mark.parametrize("stream", ["t2s", "s2t"])
def test_new_frames_are_evenly_spaced_and_in_order(time_scale: int, stream) -> None:
    frame0, frame1 = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    found = TwoStream(Bicubic(), Blend(), 4, time_scale)(frame0, frame1, stream)
    levels = [frame.mean().item() for frame in found]
    expected = [index / time_scale for index in range(time_scale + 1)]
    assert levels == pytest.approx(expected, abs=1e-6)


def test_later_passes_interpolate_neighbours_in_their_order() -> None:
    frame0, frame1 = pair(16, 16)
    temporal = First()
    middle = frame0 / 2 + frame1**2
    expected = [frame0 / 2 + middle**2, middle, middle / 2 + frame1**2]
    found = TwoStream(Bicubic(), temporal, 4, 4).between(frame0, frame1)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("stream", ["t2s", "s2t"])
def test_a_given_hr_frame_saves_f_s_and_changes_nothing(stream) -> None:
    frame0, frame1 = pair(16, 16)
    spatial = Repeat()
    model = TwoStream(spatial, First())
    expected = model(frame0, frame1, stream)
    num_calls = len(spatial.sizes)
    found = model(frame0, frame1, stream, hr_frame0=expected[0])
    assert len(spatial.sizes) - num_calls == num_calls - 1
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_odd_sizes_are_padded_for_the_module_and_cut_again() -> None:
    frame0, frame1 = pair(17, 3)
    spatial, temporal = Repeat(), First()
    model = TwoStream(spatial, temporal)
    t2s, s2t = model.t2s(frame0, frame1)[0], model(frame0, frame1, "s2t")[1]
    assert t2s.shape == s2t.shape == (2, 3, 68, 12)
    # The next multiple of 8, and 16 at least.
    assert set(spatial.sizes) == {(24, 16)}
    assert temporal.sizes == [(24, 16), (72, 16)]
    expected = frame0 / 2 + frame1**2
    torch.testing.assert_close(t2s, expected.repeat_interleave(4, -1).repeat_interleave(4, -2))
    torch.testing.assert_close(s2t, t2s)


def test_nothing_is_clamped() -> None:
    frame0 = torch.full((1, 3, 4, 4), -2.0)
    found = TwoStream(Bicubic(), Blend())(frame0, frame0 + 8, "t2s")
    assert [frame.mean().item() for frame in found] == pytest.approx([-2, 2, 6], abs=1e-5)


@pytest.mark.parametrize("scale", [0, 2, 3, 8, 17])
def test_a_scale_out_of_reach_is_refused(scale: int) -> None:
    with pytest.raises(
        UsageError, match=f"scale {scale} cannot be reached.*factor 4; try 1, 4, 16"
    ):
        TwoStream(Bicubic(4), Blend(), scale)


@pytest.mark.parametrize("time_scale", [0, 3, 6])
def test_a_time_scale_out_of_reach_is_refused(time_scale: int) -> None:
    with pytest.raises(UsageError, match=f"time scale {time_scale} cannot be reached"):
        TwoStream(Bicubic(4), Blend(), 4, time_scale)


@pytest.mark.parametrize("time_scale", [1, 2, 4])
def test_both_streams_at_once_are_each_of_them(time_scale: int) -> None:
    """Along a video in batches of 1, 2 and 1; f_S of a given frame is computed once, though both streams need it."""
    frames = torch.rand(4, 3, 16, 16, dtype=torch.float64)
    spatial = Repeat()
    model = TwoStream(spatial, First(), 4, time_scale)
    previous = None
    for batch in (frames[:1], frames[1:3], frames[3:]):
        expected = [model.extend(batch, stream, previous) for stream in ("t2s", "s2t")]
        num_calls = len(spatial.sizes)
        hr_frames, both = model.extend_both(batch, previous)
        assert len(spatial.sizes) - num_calls == 1 + len(both), "frames, and a batch of new ones"
        assert len(both) == (time_scale - 1 if previous is not None or len(batch) > 1 else 0)
        assert torch.equal(hr_frames, expected[0][0])
        for (t2s, s2t), new_t2s, new_s2t in zip(both, expected[0][1], expected[1][1], strict=True):
            assert torch.equal(t2s, new_t2s)
            assert torch.equal(s2t, new_s2t)
        previous = batch[-1:], hr_frames[-1:]
    whole, both = model.extend_both(frames)
    assert torch.equal(whole[-1:], previous[1])
    assert all(len(t2s) == len(s2t) == 3 for t2s, s2t in both)


@pytest.mark.parametrize("time_scale", [1, 2, 4])
@pytest.mark.parametrize("sizes", [(7,), (1,) * 7, (2, 3, 2)], ids=str)
def test_a_frame_that_equals_the_one_before_costs_nothing(
    time_scale: int, sizes: tuple[int, ...]
) -> None:
    """A A B B B C A: between equal frames lies that frame, by both streams; all else is as without the repeats."""
    a, b, c = torch.rand(3, 1, 3, 16, 16, dtype=torch.float64)
    video = torch.cat((a, a, b, b, b, c, a))
    spatial = Repeat()
    model = TwoStream(spatial, First(), 4, time_scale)
    expected = dict(zip("abc", model.upscale(torch.cat((a, b, c))).split(1), strict=True))
    moving = {pair: model.extend_both(torch.cat(pair))[1] for pair in [(a, b), (b, c), (c, a)]}
    spatial.sizes.clear()
    previous, given, new = None, [], []
    for batch in video.split(sizes):
        hr_frames, both = model.extend_both(batch, previous)
        previous = batch[-1:], hr_frames[-1:]
        given += hr_frames.split(1)
        new += zip(*[[pair for pair in zip(*frames, strict=True)] for frames in both], strict=True)
    assert all(map(torch.equal, given, [expected[name] for name in "aabbbca"]))
    moves = {1: (a, b), 4: (b, c), 5: (c, a)}
    for index, pair in enumerate(new):
        still = [(given[index][0],) * 2] * (time_scale - 1)
        known = [(t2s[0], s2t[0]) for t2s, s2t in moving[moves[index]]] if index in moves else still
        for times, others in zip(pair, known, strict=True):
            assert all(map(torch.equal, times, others))
    assert len(new) == (6 if time_scale > 1 else 0)
    if sizes == (1,) * 7:
        num_new = 3 * (time_scale - 1)
        assert len(spatial.sizes) == 4 + num_new, "f_S of A, B, C, A, and of the new frames of T->S"
