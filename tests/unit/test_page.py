"""The page's bytes: pictures that come back, a policy that fits, the best cells; which frames are chosen."""

import base64
import hashlib
import io
import json
import re

import av
import numpy as np
import pytest

from stsr_cli.errors import StsrError, UsageError
from stsr_cli.metrics import psnr_rgb
from stsr_cli.report.comparison import choose_frames
from stsr_cli.report.montage import Montage
from stsr_cli.report.page import (
    Page,
    PageFrame,
    Section,
    Table,
    best_cells,
    render_page,
    write_page,
)
from stsr_cli.video.images.still import jpeg, webp


def smooth(height, width):
    y, x = np.mgrid[0:height, 0:width]
    waves = [128 + 100 * np.sin(x / 9 + shift) * np.cos(y / 7 - shift) for shift in range(3)]
    return np.stack(waves, -1).round().astype(np.uint8)


def decode(content):
    with av.open(io.BytesIO(content)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def parts(page):
    """The page's text, and what its script reads."""
    text = render_page(page).decode("utf-8")
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    return text, json.loads(data)


def of_frames(*frames, **wishes):
    return Page("title", "subtitle", sections=[Section("clip", frames, **wishes)])


@pytest.mark.parametrize("size", [(64, 96), (33, 17), (1, 1)])
def test_pictures_come_back(size):
    pixels = smooth(*size)
    assert np.array_equal(decode(webp(pixels)), pixels)
    assert decode(jpeg(pixels)).shape == pixels.shape
    assert psnr_rgb(decode(jpeg(pixels)), pixels) > 40


def test_jpeg_keeps_the_resolution_of_colours():
    stripes = np.zeros((16, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = (200, 40, 40)
    stripes[:, 1::2] = (40, 40, 200)
    assert psnr_rgb(decode(jpeg(stripes)), stripes) > 35


def test_many_pixels_are_jpeg_and_few_are_lossless():
    small, large = smooth(64, 96), smooth(1200, 1200)
    _, data = parts(of_frames(PageFrame("x", {"a": small, "b": small}, {})))
    uri = data["sections"][0]["frames"][0]["images"][1]["uri"]
    assert np.array_equal(
        decode(base64.b64decode(uri.removeprefix("data:image/webp;base64,"))), small
    )
    text, data = parts(of_frames(PageFrame("x", {name: large for name in "abc"}, {})))
    images = data["sections"][0]["frames"][0]["images"]
    assert all(image["uri"].startswith("data:image/jpeg;base64,") for image in images)
    assert "JPEG" in text.split("<footer>")[1]


def test_the_worst_frames_are_first():
    pixels = smooth(8, 8)

    def names(**wishes):
        values = {"a": 3.0, "b": 1.0, "c": None, "d": float("inf"), "e": float("nan")}
        frames = [
            PageFrame(name, {"x": pixels}, {} if value is None else {"v": value})
            for name, value in values.items()
        ]
        _, data = parts(of_frames(*frames, **wishes))
        return [frame["name"] for frame in data["sections"][0]["frames"]]

    assert names() == list("abcde")
    assert names(worst_by="v") == list("bacde")
    assert names(worst_by="v", is_low_bad=False) == list("dabce")


def test_policy_allows_this_style_and_this_script_alone():
    text, _ = parts(Page("t", "s"))
    policy = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)[0]
    (style,), (script,) = (
        re.findall(r"<style>(.*?)</style>", text, re.S),
        re.findall(r"<script>(.*?)</script>", text, re.S),
    )
    for name, code in (("style", style), ("script", script)):
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert not re.search(r"""(?:src|href|action)\s*=\s*["']?(?:https?:|//)""", text)
    assert not re.search(r"\burl\(|@import|\bfetch\(|XMLHttpRequest|\bimport\b", text)


def test_names_cannot_break_out():
    evil = "</script><!--<script>{{script}}"
    frame = PageFrame(evil, {evil: smooth(8, 8)}, {evil: 1.0}, 0)
    table = Table(evil, (evil,), ((evil,),))
    text, data = parts(Page(evil, evil, [table], [Section(evil, [frame], note=evil)], evil))
    assert data["sections"][0]["name"] == evil
    assert data["sections"][0]["frames"][0]["images"][0]["label"] == evil
    assert text.count("<script") == 2
    assert "<!--" not in text


def test_bytes_without_text_can_be_a_name(tmp_path):
    """A file's name on Linux is any bytes; Python spells those that are no text as surrogates."""
    size = write_page(tmp_path / "p.html", Page("a\udcff", "b\udcff"))
    assert size == (tmp_path / "p.html").stat().st_size
    (tmp_path / "p.html").read_bytes().decode("utf-8")


def test_sizes_within_a_frame_must_agree():
    frame = PageFrame("frame 3", {"a": smooth(8, 8), "b": smooth(8, 9)}, {})
    with pytest.raises(UsageError, match="'frame 3' have 8x8, 9x8"):
        render_page(of_frames(frame))


def test_a_page_that_cannot_be_written(tmp_path):
    with pytest.raises(StsrError, match="cannot write"):
        write_page(tmp_path / "missing" / "p.html", Page("t", "s"))


ROWS = [
    ("x", "A", "20.5", "3"),
    ("x", "B", "21.0", "3"),
    ("y", "A", "19.0", "–"),
    ("y", "B", "−1.0", "7"),
]


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        ({"highest": [2]}, {(1, 2)}),
        ({"lowest": [2]}, {(3, 2)}),
        ({"highest": [2], "group_by": 0}, {(1, 2), (2, 2)}),
        ({"lowest": [3]}, {(0, 3), (1, 3)}),
        ({"lowest": [3], "group_by": 0}, {(0, 3), (1, 3)}),
        ({"highest": [1]}, set()),
    ],
)
def test_best_cells(wishes, expected):
    assert best_cells(ROWS, **wishes) == expected


def test_columns_of_numbers_are_aligned():
    columns = ("name", "dB", "file", "n")
    rows = (("a", "20.5 dB", "1.mkv", "1,000"), ("b", "–", "2.mkv", "+3"))
    text, _ = parts(Page("t", "s", [Table("", columns, rows, frozenset({(0, 1)}))]))
    assert re.findall(r"<td[^>]*>", text) == [
        *("<td>", '<td class="number best">', "<td>", '<td class="number">'),
        *("<td>", '<td class="number">', "<td>", '<td class="number">'),
    ]


def test_half_of_the_frames_are_the_worst_and_the_others_spread():
    badness = [30.0] * 400
    badness[100:104] = [10.0, 11.0, 12.0, 13.0]  # one bad moment
    badness[300] = 20.0
    chosen = choose_frames(badness, 4)
    assert 100 in chosen
    assert 300 in chosen, "neighbours of the worst frame show the same"
    assert {101, 102, 103}.isdisjoint(chosen)
    assert len(set(chosen)) == 4


@pytest.mark.parametrize(
    ("num_all", "num_frames"), [(3, 8), (8, 8), (9, 8), (20, 7), (5, 1), (1, 1)]
)
def test_as_many_frames_as_asked_for(num_all, num_frames):
    chosen = choose_frames([float("inf")] * num_all, num_frames)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(num_all, num_frames)
    assert set(chosen) <= set(range(num_all))


@pytest.mark.parametrize(
    ("mode", "size"),
    [("side", (72, 192)), ("split", (72, 64)), ("difference", (72, 128)), ("flip", (72, 64))],
)
def test_a_montage_says_its_size(mode, size):
    frames = [np.full((48, 64, 3), level, dtype=np.uint8) for level in (1, 2, 3)]
    montage = Montage(mode, ("a", "b", "c"), 1.0, has_labels=True)
    assert montage.size(48, 64) == size == montage.draw(frames).shape[:2]
