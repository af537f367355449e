"""`stsr eval --html`: the figures of the run, a chart over all frames, pictures of the worst."""

import json
import re

import numpy as np
import pytest

BICUBIC = ("--spatial", "bicubic", "--temporal", "blend", "--device", "cpu")


@pytest.fixture
def dataset(make_clip, tmp_path):
    """Two clips: `calm` fades slowly, `wild` has a frame that nobody could guess."""
    for clip, levels in (("calm", (10, 20, 30, 40, 50)), ("wild", (10, 200, 30, 40, 50))):
        (tmp_path / "set" / clip).mkdir(parents=True)
        for index, level in enumerate(levels):
            picture = np.full((48, 64, 3), level, np.uint8)
            make_clip(f"set/{clip}/{index}.png", frames=[picture], codec="png", pix_fmt="rgb24")
    return tmp_path / "set"


def data_of(page):
    """What the page's script works with."""
    found = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.S
    )
    return json.loads(found[0])


def test_a_page_of_a_run(run_stsr, dataset, tmp_path):
    page = tmp_path / "page.html"
    done = run_stsr("eval", dataset, *BICUBIC, "--html", page, "--html-frames", 1, "--json")
    assert done.returncode == 0, done.stderr
    assert str(page) in done.stderr
    rows = json.loads(done.stdout)
    (section,) = data_of(page)["sections"]
    assert section["name"] == "set"
    (chart,) = (chart for chart in section["charts"] if chart["title"] == "PSNR")
    baseline = chart["series"][0]
    assert baseline["name"] == "bicubic+blend"
    frames = [clip for row in rows if row["system"] == "bicubic+blend" for clip in row["clips"]]
    assert len(baseline["values"]) == sum(clip["num_frames"] for clip in frames) == 4
    # one picture is asked for, and the worst frame is the one that nobody could guess
    (frame,) = section["frames"]
    assert frame["name"].startswith("wild")
    assert [image["label"] for image in frame["images"]][-1] == "truth"
    assert {(image["width"], image["height"]) for image in frame["images"]} == {(64, 48)}
    assert f"{rows[0]['ssim_rgb']:.4f}" in page.read_text()


def test_a_page_without_pictures(run_stsr, dataset, tmp_path):
    page = tmp_path / "page.html"
    done = run_stsr("eval", dataset, *BICUBIC, "--html", page, "--html-frames", 0)
    assert done.returncode == 0, done.stderr
    (section,) = data_of(page)["sections"]
    assert section["frames"] == []
    assert section["charts"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--html", "nowhere/page.html"), "there is no folder nowhere"),
        (("--html-frames", "3"), "--html"),
    ],
)
def test_what_cannot_become_a_page_is_said_before_the_run(run_stsr, dataset, arguments, words):
    done = run_stsr("eval", dataset, *BICUBIC, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
