"""The ablations before anything is trained: their plans, their samples, and the arithmetic of their verdicts."""

import math
from pathlib import Path

import numpy as np
import pytest

from stsr_cli.data import Clip
from stsr_cli.errors import UsageError
from stsr_cli.options import ReproduceOptions, TrainOptions
from stsr_cli.report.ablation import draw_ablation, write_ablation
from stsr_cli.reproduce.engine import plan
from stsr_cli.reproduce.figures import FIGURES
from stsr_cli.reproduce.plan import Cell, Claim, Comparison, in_order
from stsr_cli.reproduce.samples import Draw, digest, training_data
from stsr_cli.reproduce.samples import tests as draw_tests
from stsr_cli.reproduce.scales import SCALES
from stsr_cli.reproduce.verdicts import compare, judge, mean_and_error, verdict_of
from stsr_cli.training.batches import Share, make_batches

ALL = tuple(FIGURES)


def figure_of(name, scale="small"):
    return FIGURES[name](SCALES[scale]())


def sizes(line):
    return {x: (cell.num_labeled, cell.num_unlabeled) for x, cell in line.items()}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", ALL)
def test_every_point_is_compared_with_what_there_is(name, scale):
    figure = figure_of(name, scale)
    points = {(method, x) for method, x, _ in figure.points()}
    assert figure.claims
    for claim in figure.claims:
        assert claim.comparisons
        for comparison in claim.comparisons:
            assert {comparison.better, comparison.worse} <= points
            assert comparison.better != comparison.worse


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", ALL)
def test_cells_come_once_after_what_they_need_and_can_be_trained(name, scale):
    cells = in_order([figure_of(name, scale)], 3)
    assert len(set(cells)) == len(cells) == len({cell.name for cell in cells})
    assert {cell.seed for cell in cells} == {0, 1, 2}
    for index, cell in enumerate(cells):
        assert set(cell.needs) <= set(cells[:index])
        if cell.kind != "baseline":
            recipe = SCALES[scale]().recipe(cell)
            assert recipe.steps > 0
            if cell.kind == "joint":
                assert recipe.consistency_weight == cell.consistency_weight
                assert recipe.penalty == "squared"


def test_the_papers_sizes():
    pool = {k: (round(20.48 * k), 2048 - round(20.48 * k)) for k in range(10, 101, 10)}
    lines = figure_of("fig5", "paper").lines
    assert sizes(lines["F"]) == pool
    assert sizes(lines["B"]) == {k: (labeled, 0) for k, (labeled, _) in pool.items()}
    fig6 = sizes(figure_of("fig6", "paper").lines["F"])
    assert fig6 == {n: (32, n) for n in (0, 64, 256, 1024, 4096)}
    fig8 = figure_of("fig8", "paper").lines["F"]
    assert set(sizes(fig8).values()) == {(32, 480)}
    assert [cell.consistency_weight for cell in fig8.values()] == list(fig8)
    assert {0, 8, 10} < set(fig8)
    for line in figure_of("fig4", "paper").lines.values():
        assert min(line) == 0.1
        assert max(line) == 100
        assert {labeled + unlabeled for labeled, unlabeled in sizes(line).values()} == {2048}


def test_the_papers_recipe():
    scale = SCALES["paper"]()
    assert (scale.spatial, scale.temporal) == ("vdsr", "dvf")
    for cell in in_order([FIGURES["fig8"](scale)], 1):
        recipe = scale.recipe(cell)
        assert (recipe.optimizer, recipe.batch_size, recipe.learning_rate) == ("sgd", 2, 1e-3)
        assert (recipe.momentum, recipe.weight_decay, recipe.reduction) == (0.9, 5e-4, "sum")


def test_what_is_compared_in_a_figure_differs_in_one_thing():
    fig4 = figure_of("fig4").lines
    for x, cell in fig4["L_R + lambda L_C"].items():
        other = fig4["L_R alone"][x]
        assert cell.consistency_weight > 0 == other.consistency_weight
        assert (cell.num_labeled, cell.num_unlabeled) == (other.num_labeled, other.num_unlabeled)
        assert cell.needs == other.needs


def test_figures_share_cells():
    options = ReproduceOptions(figures=ALL)
    _, figures, cells = plan(options)
    apart = sum(len(in_order([figure], 3)) for figure in figures)
    assert len(cells) < 0.7 * apart
    assert len(plan(ReproduceOptions(figures=ALL, seeds=1))[2]) * 3 == len(cells)


def test_unknown_figure():
    with pytest.raises(UsageError, match=r"no figure 'fig7'.*available: fig4"):
        plan(ReproduceOptions(figures=("fig7",)))


def test_cell_names_tell_them_apart():
    assert Cell("joint", 8, 504, 0.5, 2).name == "joint-l8-u504-c0.5-s2"
    assert Cell("spatial", 8).name == "spatial-l8-s0"
    assert Cell("joint", 8, 504, 4.0, 1).needs == (
        Cell("spatial", 8, seed=1),
        Cell("temporal", 8, seed=1),
    )
    assert Cell("cdca", 8).needs == Cell("temporal", 8).needs == ()


# --- verdicts ---------------------------------------------------------------------------------------------------------


def test_mean_and_standard_error_by_hand():
    assert mean_and_error([1.0, 2.0, 3.0]) == (2.0, pytest.approx(1 / math.sqrt(3)))
    assert mean_and_error([5.0]) == (5.0, None)


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([0.1, 0.1, 0.1], "confirmed"),
        ([0.1, 0.2, 0.3], "confirmed"),  # 0.2 against 2 * 0.058
        ([0.0, 0.1, 0.3], "not confirmed"),  # 0.133 against 2 * 0.088
        ([-0.1, -0.2, -0.3], "contradicted"),
        ([0.1, -0.1, 0.0], "not confirmed"),
        ([0.0, 0.0, 0.0], "not confirmed"),
        ([1.0], "not confirmed"),  # one seed says nothing
    ],
)
def test_verdict_of_differences(differences, verdict):
    assert verdict_of(differences) == verdict


def test_seeds_are_compared_in_pairs():
    # Seeds differ by far more than methods do, as training sets do.
    values = {("F", 1.0): [20.0, 25.0, 31.1], ("B", 1.0): [19.9, 24.9, 31.0]}
    found = compare(Comparison("F - B", ("F", 1.0), ("B", 1.0)), values)
    assert found["differences"] == pytest.approx([0.1, 0.1, 0.1])
    assert found["difference"] == pytest.approx(0.1)
    assert found["verdict"] == "confirmed"
    turned = compare(Comparison("B - F", ("B", 1.0), ("F", 1.0)), values)
    assert turned["verdict"] == "contradicted"


def test_verdict_of_a_claim():
    values = {("F", 1.0): [2.0, 2.1], ("F", 2.0): [1.0, 1.1], ("F", 3.0): [1.05, 1.0]}

    def verdict(*pairs):
        comparisons = tuple(Comparison("", ("F", a), ("F", b)) for a, b in pairs)
        return judge(Claim("it is so", comparisons), values)["verdict"]

    assert verdict((1, 2)) == verdict((1, 2), (1, 3)) == "confirmed"
    assert verdict((2, 3)) == "not confirmed"
    assert verdict((2, 1)) == "contradicted"
    assert verdict((1, 2), (2, 3), (2, 1)) == (
        "confirmed in 1, not confirmed in 1, contradicted in 1 of 3 comparisons"
    )


# --- samples ----------------------------------------------------------------------------------------------------------


def footage(num_clips=3, num_frames=6, height=48, width=64):
    """Clips whose pixels tell the clip, the frame and the place."""
    clips = []
    for index in range(num_clips):
        hr_frames = np.zeros((num_frames, height * 4, width * 4, 3), np.uint8)
        hr_frames[..., 0] = 50 * index + np.arange(num_frames)[:, None, None]
        hr_frames[..., 1] = np.arange(width * 4) // 4
        hr_frames[..., 2] = np.arange(height * 4)[:, None] // 4
        starts = np.arange(num_frames - 2)
        clips.append(Clip(f"clip{index}", hr_frames[:, ::4, ::4], hr_frames, starts))
    return clips


def first_frames(samples):
    return [int(np.asarray(clip.lr_frames)[0, 0, 0, 0]) for clip in samples]


@pytest.mark.parametrize("lr_size", [None, (16, 24)])
def test_every_triplet_is_drawn_once_and_every_clip_in_turn(lr_size):
    draw = Draw(footage(), 5, 4, lr_size)
    assert len(draw) == 12
    samples = draw.samples(0, 12)
    frames = first_frames(samples)
    assert sorted(frames) == sorted(50 * clip + start for clip in range(3) for start in range(4))
    for turn in range(4):
        assert {frame // 50 for frame in frames[3 * turn : 3 * turn + 3]} == {0, 1, 2}
    for clip, frame in zip(samples, frames, strict=True):
        assert clip.lr_frames.shape == (3, *(lr_size or (48, 64)), 3)
        lr_frames, hr_frames = np.asarray(clip.lr_frames), np.asarray(clip.hr_frames)
        assert list(lr_frames[:, 0, 0, 0]) == [frame, frame + 1, frame + 2]
        assert np.array_equal(hr_frames[:, ::4, ::4], lr_frames)
        assert list(clip.starts) == [0]


def test_a_smaller_training_set_is_a_part_of_a_larger_one_and_seeds_differ():
    draw = Draw(footage(), 0, 4, (16, 24))
    small, large = training_data(draw, 2, 0), training_data(draw, 5, 4)
    assert [clip.name for clip in large.training[:2]] == [clip.name for clip in small.training]
    assert np.array_equal(large.training[0].lr_frames, small.training[0].lr_frames)
    names = [clip.name for clip in (*large.training, *large.unlabeled)]
    assert len(set(names)) == 9
    assert all(clip.hr_frames is None for clip in large.unlabeled)
    assert all(clip.hr_frames is not None for clip in large.training)
    assert not large.held_out
    other = Draw(footage(), 1, 4, (16, 24)).samples(0, 12)
    assert [clip.name for clip in other] != [clip.name for clip in draw.samples(0, 12)]


def test_tests_are_the_same_every_time_and_as_many_as_there_are():
    once, again = draw_tests(footage(), 5, 4, (16, 24)), draw_tests(footage(), 5, 4, (16, 24))
    assert digest(once) == digest(again)
    assert len(once) == 5
    assert len(draw_tests(footage(), 100, 4, (16, 24))) == 12


def test_too_little_footage():
    with pytest.raises(UsageError, match="needs 13 samples, and the footage holds 12"):
        Draw(footage(), 0, 4, None).samples(13, 13)
    with pytest.raises(UsageError, match="no moving triplets of frames of at least 400x100 pixels"):
        Draw(footage(), 0, 4, (25, 100))
    with pytest.raises(UsageError, match="no moving triplets of frames; give"):
        Draw([], 0, 4, None)


@pytest.mark.parametrize(("scale", "size"), [("small", (90, 160)), ("paper", (64, 112))])
def test_every_stage_finds_its_crops_in_the_samples(scale, size):
    """Of ordinary videos, and of Vimeo-90K, whose frames are hardly larger than what f_T takes."""
    constants = SCALES[scale]()
    draw = Draw(footage(2, 4, *size), 0, 4, constants.lr_size)
    data = training_data(draw, 2, 2)
    crops = {"spatial": 0, "temporal": 0, "joint": 0, "cdca": 0}
    for kind in crops:
        cell = Cell(kind, 2, 2 if kind == "joint" else 0)
        recipe = constants.recipe(cell)
        options = TrainOptions(Path("out"), kind, recipe, seed=0)
        batch = make_batches(options, data, 4, Share())(0)
        crops[kind] = batch.lr_frames[0].shape[-1]
        assert len(batch.is_labeled) == recipe.batch_size
        if kind == "joint":
            assert batch.is_labeled.tolist() == sorted(batch.is_labeled.tolist(), reverse=True)
            assert batch.is_labeled.sum() == recipe.batch_size // 2
    assert set(crops.values()) == {32 if scale == "small" else 64}


# --- report -----------------------------------------------------------------------------------------------------------


def summary(mean):
    return {"mean": mean, "standard_error": 0.01, "seeds": [mean - 0.01, mean, mean + 0.01]}


def a_result(**changes):
    def row(method, x, psnr):
        measures = {"psnr_rgb": summary(psnr), "ssim_rgb": summary(0.8)}
        cell = {"cell": "joint-l8-u4-c2", "num_labeled": 8, "num_unlabeled": 4}
        return {"method": method, "x": x, "consistency_weight": 2.0, "mean": measures, **cell}

    comparison = {"label": "F - B", "difference": 1.0, "standard_error": 0.1, "differences": [1, 1]}
    claim = {"statement": "F is better", "verdict": "confirmed", "comparisons": []}
    claim["comparisons"].append({**comparison, "verdict": "confirmed"})
    result = {
        **{
            "name": "fig6",
            "title": "Fig. 6",
            "command": "stsr reproduce fig6",
            "date": "2020-01-02",
        },
        **{
            "version": "1",
            "machine": "a machine",
            "software": "torch",
            "seeds": 3,
            "scale": "small",
        },
        **{"data": {"num_tests": 96}, "cell_minutes": 3.5, "x_label": "unlabeled samples"},
        **{"x_scale": "symlog", "claims": [claim], "differences": ["Smaller networks."]},
        "rows": [row("F", 0, 25.0), row("F", 8, 25.5), row("B", 0, 24.0), row("B", 8, 24.5)],
        "paper": {"states": "The curve rises.", "values": {}},
    }
    return {**result, **changes}


def test_report_says_how_it_was_made_and_what_came_out():
    text = write_ablation(a_result())
    for words in (
        *("`stsr reproduce fig6`", "2020-01-02", "a machine", "F is better: **confirmed**"),
        *("| F - B | +1.000 ± 0.100 | +1.000, +1.000 | confirmed |", "The curve rises."),
        *("| 0 | F | 8 | 4 | 2 | 25.000 ± 0.010 | 0.8000 ± 0.0100 |", "- Smaller networks."),
    ):
        assert words in text
    assert "T->S" not in text, "an empty column"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"x_scale": "log", "rows": a_result()["rows"][1::2]},
        {"x_scale": "linear"},
        {"x_label": "", "paper": {"states": "", "values": {"F": {"Vid4": [22.2, 0.66]}}}},
    ],
)
def test_picture(changes):
    assert draw_ablation(a_result(**changes)).startswith(b"\x89PNG")
