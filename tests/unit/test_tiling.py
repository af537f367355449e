"""Where tiles lie, and that what they share adds up."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stsr_cli.errors import UsageError
from stsr_cli.modules import Window
from stsr_cli.tiling import Tiles, tiled

sizes = st.integers(1, 90)


@given(sizes, st.integers(1, 200), st.integers(0, 300), st.integers(0, 90), st.sampled_from([1, 8]))
def test_spans_cover_a_side_and_share_enough(length, core, overlap, reach, multiple_of):
    tiles = Tiles(core, overlap, reach, multiple_of)
    length *= multiple_of
    spans = tiles.spans(length)
    assert spans[0][0] == 0
    assert spans[-1][1] == length
    assert len({end - start for start, end in spans}) == 1
    for (start, end), (next_start, next_end) in pairwise(spans):
        assert start < next_start
        assert end - next_start >= overlap
        assert end < next_end
        assert next_start % multiple_of == 0
    longest = -(-core // multiple_of) + -(-overlap // multiple_of)
    assert spans[0][1] <= max(longest * multiple_of, 0) or len(spans) == 1


@given(sizes, sizes, st.integers(4, 60), st.integers(0, 40), st.integers(0, 20), st.integers(1, 3))
def test_tiles_of_what_is_done_pixel_by_pixel_join_to_the_whole(
    height, width, core, overlap, reach, scale
):
    frame = torch.rand(2, 3, height, width, dtype=torch.float64)

    def run(frames, window):
        part = frame[..., window.top :, window.left :]
        assert torch.equal(frames[0], part[..., : frames[0].shape[-2], : frames[0].shape[-1]])
        assert (window.height, window.width) == (height, width)
        return frames[0].repeat_interleave(scale, -1).repeat_interleave(scale, -2)

    found = tiled(run, [frame], Tiles(core, overlap, reach), scale)
    torch.testing.assert_close(found, run([frame], Window(0, 0, height, width)), atol=1e-6, rtol=0)


def test_what_is_near_the_edge_of_a_tile_is_dropped():
    """A network that is wrong within its reach of an edge, and nowhere else."""
    frame, reach = torch.rand(1, 3, 60, 200), 7

    def run(frames, window):
        (tile,) = frames
        found = tile.clone()
        if window.left > 0:
            found[..., :reach] = 9
        if window.left + tile.shape[-1] < window.width:
            found[..., -reach:] = 9
        return found

    assert torch.equal(tiled(run, [frame], Tiles(40, 2 * reach, reach)), frame)
    assert not torch.equal(tiled(run, [frame], Tiles(40, reach, reach)), frame)


@pytest.mark.parametrize(("core", "overlap"), [(0, 4), (-3, 4), (8, -1)])
def test_tiles_that_cannot_be(core, overlap):
    with pytest.raises(UsageError, match="cannot be"):
        Tiles(core, overlap, 0)
