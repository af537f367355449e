"""Where two frames differ: the figures by hand, the colours, the files."""

import csv
import io
import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from stsr_cli.disagreement import DisagreementFiles, block_means, disagreement, heat_map
from stsr_cli.options import UpscaleOptions
from stsr_cli.spatial.bicubic import Bicubic
from stsr_cli.streams import TwoStream
from stsr_cli.temporal.blend import Blend
from stsr_cli.video.probe import probe
from stsr_cli.video.timing.timeline import Slot


def test_figures_of_hand_made_frames() -> None:
    """One channel of one block of 16x16 differs by 51 levels (0.2); there are 6 blocks of 3 channels."""
    t2s = torch.full((2, 3, 32, 48), 0.4)
    s2t = t2s.clone()
    s2t[1, 2, 16:, :16] += 0.2
    same, other = disagreement(t2s, s2t)
    assert (same.mean_levels, same.worst_block_levels, same.psnr_db) == (0, 0, math.inf)
    assert other.mean_levels == pytest.approx(51 / 18, rel=1e-5)
    assert other.worst_block_levels == pytest.approx(17, rel=1e-5)
    assert other.psnr_db == pytest.approx(10 * math.log10(255**2 / (51**2 / 18)), rel=1e-5)
    expected = torch.zeros(32, 48)
    expected[16:, :16] = 17
    torch.testing.assert_close(other.levels, expected, atol=1e-4, rtol=0)


def test_what_no_screen_shows_is_no_difference() -> None:
    (doubt,) = disagreement(torch.full((1, 3, 4, 4), 1.5), torch.full((1, 3, 4, 4), 1.0))
    assert doubt.mean_levels == 0


def test_half_precision_is_compared_in_full() -> None:
    t2s = torch.full((1, 3, 64, 64), 0.5, dtype=torch.float16)
    (doubt,) = disagreement(t2s, t2s + 0.25)
    assert doubt.mean_levels == pytest.approx(63.75)


def test_streams_of_bicubic_and_blend_agree() -> None:
    lr_frames = torch.rand(2, 3, 11, 7)
    _, ((t2s, s2t),) = TwoStream(Bicubic(), Blend()).extend_both(lr_frames)
    (doubt,) = disagreement(t2s, s2t)
    assert doubt.worst_block_levels < 1e-3
    assert doubt.psnr_db > 100


def test_blocks_at_the_border_are_means_of_what_is_there() -> None:
    levels = torch.zeros(1, 20, 17)
    levels[0, 16:, 16] = 8
    torch.testing.assert_close(block_means(levels)[0], torch.tensor([[0.0, 0.0], [0.0, 8.0]]))


def test_colours_run_from_black_to_pale_yellow_and_stay_there() -> None:
    pixels = heat_map(torch.tensor([[0.0, 16.0, 32.0, 200.0]]))[0]
    assert pixels[0].tolist() == [0, 0, 4]
    assert pixels[1].tolist() == pytest.approx([188, 55, 84], abs=1)  # inferno at one half
    assert pixels[2].tolist() == pixels[3].tolist() == [252, 255, 164]
    luma = heat_map(torch.linspace(0, 32, 256)[None])[0] @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(luma) >= -0.5).all(), "brighter is more"


def test_rows_and_times_of_a_table(make_clip, tmp_path) -> None:
    """The number of a row counts frames of the output, given ones included."""
    source = probe(make_clip("in.mkv", num_frames=3, frame_rate=Fraction(25), width=16, height=16))
    table = tmp_path / "d.csv"
    options = UpscaleOptions(source.path, tmp_path / "out.mp4", time_scale=4, disagreement=(table,))
    frame = torch.zeros(1, 3, 64, 64)
    (doubt,) = disagreement(frame, frame + 0.1)
    with DisagreementFiles(options, source) as files:
        ticks = int(1 / (25 * source.time_base))
        files.write(None, [Slot(0, ticks)])
        files.write(doubt, [Slot(ticks, ticks)])
        files.write(None, [Slot(2 * ticks, ticks), Slot(3 * ticks, ticks)])
        files.write(doubt, [Slot(4 * ticks, ticks)])
        files.close()
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    assert [row["frame"] for row in rows] == ["1", "4"]
    assert [float(row["seconds"]) for row in rows] == pytest.approx([0.01, 0.04])
    assert [float(row["mean_levels"]) for row in rows] == pytest.approx([25.5, 25.5])
    assert [float(row["psnr_db"]) for row in rows] == pytest.approx([20, 20], abs=1e-3)
    assert {row["replaced"] for row in rows} == {"0"}
    assert files.sum_levels / files.num_doubts == pytest.approx(25.5)


def test_a_failed_run_leaves_no_file(make_clip, tmp_path) -> None:
    source = probe(make_clip("in.mkv", num_frames=3, width=16, height=16))
    options = UpscaleOptions(
        source.path,
        tmp_path / "out.mp4",
        disagreement=(tmp_path / "d.csv", tmp_path / "d.mkv", tmp_path / "e.mp4"),
    )
    with pytest.raises(KeyboardInterrupt), DisagreementFiles(options, source) as files:
        files.write(None, [Slot(0, 20)])
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]
