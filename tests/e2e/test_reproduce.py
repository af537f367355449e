"""`stsr reproduce` for real, with networks and training sets as small as they can be."""

import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from click.testing import CliRunner

from stsr_cli.cli import main
from stsr_cli.errors import InterruptedRun, StsrError, UsageError
from stsr_cli.options import ReproduceOptions
from stsr_cli.reproduce.engine import plan, reproduce
from stsr_cli.reproduce.scales import SCALES, Scale

from .training import CONFIGS, environment, moving_texture, write_clip


def tiny(joint_steps: int = 2) -> Scale:
    """The small scale with hardly anything in it."""
    small = SCALES["small"]()
    recipes = {kind: replace(recipe, steps=2) for kind, recipe in small.recipes.items()}
    recipes["joint"] = replace(recipes["joint"], steps=joint_steps)
    return replace(
        small,
        spatial="espcn",
        spatial_config=CONFIGS["espcn"],
        temporal="dvf",
        temporal_config=CONFIGS["dvf"],
        cdca_config={"num_channels": 4, "num_features": 3},
        recipes=recipes,
        num_tests=3,
        pool=8,
        percentages=(25, 100),
        more_percentages=(),
        few=2,
        unlabeled=(0, 2, 6),
        sensitivity_pool=8,
        weights=(0, 1, 16),
        weight=1,
    )


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for seed in range(3):
        write_clip(folder / f"{seed}.mp4", moving_texture(seed, 32, 160, 144))
    return folder


@pytest.fixture
def options(videos, tmp_path):
    where = {"labeled": (videos,), "cache": videos.parent / "cache", "out": tmp_path / "out"}
    return ReproduceOptions(("fig6", "table2"), seeds=2, jobs=2, device="cpu", **where)


def run(options, **scales):
    """Results, and the names of the cells that were done, in order."""
    done = []
    results = reproduce(
        options,
        "stsr reproduce",
        scales=scales or {"small": tiny},
        on_cell=lambda cell, result: done.append(cell.name),
    )
    return results, done


def test_figures_from_nothing_and_again(options):
    results, done = run(options)
    _, _, cells = plan(options, {"small": tiny})
    assert sorted(done) == sorted(cell.name for cell in cells)
    assert [result["name"] for result in results] == ["fig6", "table2"]
    for result in results:
        name = result["name"]
        assert json.loads((options.out / f"{name}.json").read_text()) == result
        assert (options.out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        text = (options.out / f"{name}.md").read_text()
        for claim in result["claims"]:
            assert f"{claim['statement']}: **{claim['verdict']}**" in text
    rows = {(row["method"], row["x"]): row for row in results[0]["rows"]}
    assert set(rows) == {("F", 0), ("F", 2), ("F", 6)}
    for row in rows.values():
        psnr = row["mean"]["psnr_rgb"]
        assert len(psnr["seeds"]) == 2
        assert psnr["seeds"][0] != psnr["seeds"][1], "every seed has its own training set"
        both = (row["t2s"]["psnr_rgb"]["mean"] + row["s2t"]["psnr_rgb"]["mean"]) / 2
        assert psnr["mean"] == pytest.approx(both)
    assert {row["method"] for row in results[1]["rows"]} == {"CDCA", "B", "F"}
    assert results[1]["paper"]["values"]["CDCA"]["Vid4"] == [21.51, 0.581]
    assert not list((options.out / "cells").glob("*/checkpoints")), "what is done is not resumed"

    again, done = run(options)
    assert done == []
    assert [one["rows"] for one in again] == [one["rows"] for one in results]

    # A third seed leaves the two there are alone; a lost cell alone is done again, and gives what it gave.
    lost = options.out / "cells" / "joint-l2-u6-c1-s1.json"
    kept = json.loads(lost.read_text())
    lost.unlink()
    # (The number of processes makes no difference.)
    more, done = run(replace(options, figures=("fig6",), seeds=3, jobs=1))
    assert lost.stem in done
    assert {name for name in done if not name.endswith("-s2")} == {lost.stem}
    found = json.loads(lost.read_text())
    assert found["mean"] == kept["mean"]
    assert (
        more[0]["rows"][0]["mean"]["psnr_rgb"]["seeds"][:2]
        == (results[0]["rows"][0]["mean"]["psnr_rgb"]["seeds"])
    )

    # More points of a figure can be asked for later, but not other networks, and not measured on other frames.
    more, done = run(
        replace(options, figures=("fig8",), seeds=1),
        small=lambda: replace(tiny(), weights=(0, 3, 16)),
    )
    assert "joint-l2-u6-c3-s0" in done
    assert "spatial-l2-s0" not in done
    with pytest.raises(
        UsageError, match=r"cells of other settings \(spatial_config, tests, num_tests\)"
    ):
        run(options, small=lambda: replace(tiny(), spatial_config={}, num_tests=2))


SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
from stsr_cli.cli import main
from stsr_cli.reproduce.scales import SCALES
from tests.e2e.test_reproduce import tiny
scale = tiny(100)
SCALES["small"] = lambda: scale
if __name__ == "__main__":
    main()
"""


def test_ctrl_c_keeps_what_is_done_and_goes_on(options, tmp_path, request):
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), "reproduce", "fig6", "--seeds", "1", "--jobs", "2"]
    command += ["--labeled", str(options.labeled[0]), "--cache", str(options.cache)]
    command += ["--out", str(options.out)]
    root = str(request.config.rootpath)
    lines = []
    with subprocess.Popen(
        command, env=environment(PYTHONPATH=root), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            if "2/5 " in line:  # f_S and f_T are trained, the joint stages begin
                time.sleep(0.7)
                process.send_signal(signal.SIGINT)
    assert process.returncode == 130, "".join(lines)
    assert lines[-1].startswith("stsr: stopped; what is done is kept")
    assert "Traceback" not in "".join(lines)
    cells = options.out / "cells"
    before = {path.name for path in cells.glob("*-s0.json")}
    assert {"spatial-l2-s0.json", "temporal-l2-s0.json"} <= before
    assert list(cells.glob("joint-*/checkpoints/step-*")), "a run in the middle goes on, too"
    results, done = run(replace(options, figures=("fig6",), seeds=1), small=lambda: tiny(100))
    assert {f"{name}.json" for name in done}.isdisjoint(before)
    assert len(results[0]["rows"]) == 3


def test_a_cell_that_fails_ends_the_run_with_its_reason(options):
    def broken():
        return replace(tiny(), temporal_config={"num_channels": "many"})

    with pytest.raises(StsrError) as caught:
        run(options, small=broken)
    assert not isinstance(caught.value, InterruptedRun)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fig4"], "draw 512 samples at random from footage: give --labeled, such as videos"),
        (["fig5", "--scale", "paper"], "2048 samples .* give --labeled, such as Vimeo-90K"),
        (["fig4", "--labeled", "nowhere"], "no such file or folder: nowhere"),
        (["fig7"], "'fig7' is not one of 'fig4'"),
        (["fig4", "--seeds", "0"], "--seeds"),
        ([], "missing argument 'FIGURE...'"),
    ],
)
def test_bad_input(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["reproduce", *arguments], prog_name="stsr")
    assert result.exit_code in (2, 4)
    assert result.stdout == ""
    *_, last = [line for line in result.stderr.splitlines() if not line.startswith("\t")]
    assert re.search(words, last), result.stderr
    assert not list(tmp_path.iterdir())


def test_too_little_footage_is_refused_before_anything_is_done(options):
    with pytest.raises(UsageError, match=r"needs 512 samples, and the footage holds \d+ moving"):
        run(replace(options, figures=("fig4",)), small=SCALES["small"])
    assert not options.out.exists()


@pytest.mark.parametrize("scale", ["small", "paper"])
def test_dry_run_lists_every_cell_and_needs_no_footage(tmp_path, monkeypatch, scale):
    monkeypatch.chdir(tmp_path)
    arguments = ["reproduce", "all", "--scale", scale, "--dry-run"]
    result = CliRunner().invoke(main, arguments, prog_name="stsr")
    assert result.exit_code == 0, result.stderr
    names = {"small": "span + rife", "paper": "vdsr + dvf"}
    assert f"{scale} scale, {names[scale]}" in result.stderr
    _, _, cells = plan(ReproduceOptions(("fig4", "fig5", "fig6", "fig8", "table2"), scale=scale))
    assert f"{len(cells)} cells" in result.stderr
    assert not list(tmp_path.iterdir())
