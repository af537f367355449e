"""The page as a reader has it: in a real, headless Chromium, which may fetch nothing and say nothing."""

import html
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from stsr_cli.cli import main
from stsr_cli.report.page import Page, PageFrame, Section, Series, Table, best_cells, write_page

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>{{data}} \u2028 &amp; \"'"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
POINTS = "paths => paths.map(path => path.getAttribute('d'))"
WIDTH, HEIGHT, NUM_VALUES = 96, 64, 30
INDEXES = (3, 12, 20, 27)


def picture(level):
    """A gradient from left to right, so that it is seen what part is shown."""
    pixels = np.full((HEIGHT, WIDTH, 3), level, dtype=np.uint8)
    pixels[..., 0] = np.linspace(0, 250, WIDTH).astype(np.uint8)
    return pixels


def make_page():
    """Two sections: of three systems with charts, and of two with hostile names and no chart."""
    psnrs = {
        name: [20 + place + (index % 5) for index in range(NUM_VALUES)]
        for place, name in enumerate(("A", "B"))
    }
    psnrs["A"][12] = 5.0
    apart = [None if index % 2 else index / 10 for index in range(NUM_VALUES)]
    apart[4] = float("inf")
    frames = [
        PageFrame(
            f"frame {index}",
            {"A": picture(40), "B": picture(120), "truth": picture(200)},
            {"PSNR A (dB)": psnrs["A"][index]},
            index,
        )
        for index in INDEXES
    ]
    charts = [Series("PSNR", name, "dB", values) for name, values in psnrs.items()]
    charts.append(Series("disagreement", "apart", "levels", apart))
    first = Section("clip one", frames, charts, worst_by="PSNR A (dB)")
    hostile = PageFrame(HOSTILE, {HOSTILE: picture(0), "plain": picture(90)}, {HOSTILE: 1.0})
    second = Section(HOSTILE, [hostile], note=HOSTILE)
    rows = (("A", "20.50"), (HOSTILE, "21.50"))
    table = Table(HOSTILE, ("system", HOSTILE), rows, best_cells(rows, highest=(1,)), HOSTILE)
    return Page(HOSTILE, HOSTILE, [table], [first, second], HOSTILE)


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("needs a chromium (Debian: apt-get install chromium); none is on the path")
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra 'dev')")
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    assert write_page(path, make_page()) == path.stat().st_size
    return path


@pytest.fixture
def open_page(browser, written):
    """Open the page; after the test, nothing was fetched, and nothing was said on the console."""
    said, fetched, contexts = [], [], []

    def call(path: Path = written, **wishes):
        wishes = {"viewport": {"width": 1100, "height": 900}, "color_scheme": "light", **wishes}
        context = browser.new_context(**wishes)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("request", lambda request: fetched.append(request.url))
        page.goto(path.as_uri())
        page.locator("#image-left").evaluate("image => image.decode()")
        return page

    yield call
    for context in contexts:
        context.close()
    assert said == []
    files = [url for url in fetched if not url.startswith("data:")]
    assert len(files) == len(contexts), "one request each, for the page itself"
    assert all(url.startswith("file:") for url in files)


def value(page):
    return float(page.locator("#divider").get_attribute("aria-valuenow"))


def clip(page):
    return page.locator("#layer-left").evaluate("layer => getComputedStyle(layer).clipPath")


def transform(page, side="left"):
    """Scale and offset of a picture."""
    script = "image => { const m = new DOMMatrix(getComputedStyle(image).transform); return [m.a, m.e, m.f]; }"
    return page.locator(f"#image-{side}").evaluate(script)


def at_share(page, selector, across, down=0.5):
    """A point inside an element, in the window's pixels."""
    page.locator(selector).scroll_into_view_if_needed()
    box = page.locator(selector).bounding_box()
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


def colour_at(page, x, y):
    """Red, green, blue of the page as it is drawn."""
    import io

    from PIL import Image

    shot = page.screenshot(clip={"x": x, "y": y, "width": 1, "height": 1})
    return Image.open(io.BytesIO(shot)).convert("RGB").getpixel((0, 0))


def frame_name(page):
    return page.locator("#frame-name").text_content()


def test_the_divider_follows_the_mouse_and_the_picture_is_cut_there(open_page):
    page = open_page()
    assert value(page) == 50
    assert clip(page) == "inset(0px 50% 0px 0px)"
    near, far = at_share(page, "#stage", 0.35, 0.2), at_share(page, "#stage", 0.65, 0.2)
    assert colour_at(page, *near)[1] == 40
    assert colour_at(page, *far)[1] == 120
    page.mouse.move(*at_share(page, "#divider", 0.5))
    page.mouse.down()
    page.mouse.move(*at_share(page, "#stage", 0.2), steps=4)
    page.mouse.up()
    assert value(page) == 20
    assert clip(page) == "inset(0px 80% 0px 0px)"
    assert colour_at(page, *near)[1] == 120
    page.mouse.click(*at_share(page, "#stage", 0.9))
    assert value(page) == 90
    assert colour_at(page, *far)[1] == 40


def test_the_divider_is_a_slider_for_the_keyboard(open_page):
    page = open_page()
    slider = page.get_by_role("slider")
    slider.focus()
    for key, expected in (
        ("ArrowLeft", 48),
        ("Shift+ArrowRight", 58),
        ("PageUp", 68),
        ("End", 100),
        ("ArrowRight", 100),
        ("Home", 0),
    ):
        slider.press(key)
        assert value(page) == expected
        assert clip(page) == f"inset(0px {100 - expected}% 0px 0px)"
    assert slider.get_attribute("aria-valuetext") == "0 % A, the rest B"
    assert frame_name(page) == "frame 12", "the arrows moved the divider, not the frame"


def test_keys(open_page):
    page = open_page()
    assert [frame_name(page)] == ["frame 12"], "the worst is first"
    names = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
        names.append(frame_name(page))
    assert names == ["frame 20", "frame 27", "frame 20", "frame 12", "frame 3"]
    page.keyboard.press("3")
    assert page.locator("#chip-right").text_content() == "truth"
    page.keyboard.press("Shift+Digit2")
    assert page.locator("#chip-left").text_content() == "B"
    page.keyboard.press("9")
    assert page.locator("#chip-right").text_content() == "truth", "there is no ninth"
    point = at_share(page, "#stage", 0.3)
    seen = []
    for _ in range(3):
        page.keyboard.press("Space")
        seen.append((value(page), colour_at(page, *point)[1]))
    assert seen == [(0, 200), (100, 120), (0, 200)]
    page.keyboard.press("?")
    assert page.get_by_role("dialog").is_visible()
    page.keyboard.press("Escape")
    assert not page.get_by_role("dialog").is_visible()


def test_order_and_choice(open_page):
    page = open_page()
    names = page.locator("#film .name")
    assert names.all_text_contents() == ["frame 12", "frame 20", "frame 27", "frame 3"]
    page.get_by_label("Order").select_option("in time")
    assert names.all_text_contents() == [f"frame {index}" for index in INDEXES]
    assert frame_name(page) == "frame 12"
    page.get_by_label("Right", exact=True).select_option("truth")
    assert page.locator("#chip-right").text_content() == "truth"
    page.get_by_role("button", name="Swap").click()
    assert page.locator("#chip-left").text_content() == "truth"
    assert page.locator("#chip-right").text_content() == "A"
    page.locator("#film button").nth(3).click()
    assert frame_name(page) == "frame 27"


def test_charts_have_a_point_for_every_value(open_page):
    page = open_page()
    paths = page.locator("#charts path.line").evaluate_all(POINTS)
    assert [len(re.findall("[ML]", path)) for path in paths] == [30, 30, 15]
    assert page.locator("#charts svg").count() == 2
    label = page.locator("#charts svg").first.get_attribute("aria-label")
    assert label == "PSNR of 30 frames, from 5.00 dB to 25.00 dB"
    heights = [float(point.split()[1]) for point in re.findall(r"[\d.]+ [\d.]+", paths[0])]
    assert max(heights) == heights[12], "the lowest value is drawn the lowest"
    marked = page.locator("#charts svg").first.locator("circle.embedded")
    assert marked.count() == len(INDEXES)
    page.get_by_label("Charts of").select_option("odd frames")
    paths = page.locator("#charts path.line").evaluate_all(POINTS)
    assert [len(re.findall("[ML]", path)) for path in paths] == [15, 15, 0]
    label = page.locator("#charts svg").first.get_attribute("aria-label")
    assert label == "PSNR of 30 frames, from 20.00 dB to 25.00 dB", "frame 12, the worst, is even"


def test_a_chart_tells_values_and_leads_to_frames(open_page):
    page = open_page()
    chart = page.locator("#charts svg").first
    box = chart.bounding_box()
    left, right = 52, 14  # the margins around the plot

    def at(index):
        share = index / (NUM_VALUES - 1)
        x = box["x"] + left + share * (box["width"] - left - right)
        return x, page.locator("#charts svg").first.bounding_box()["y"] + 60

    chart.scroll_into_view_if_needed()
    page.mouse.move(*at(7))
    figure = page.locator("#charts figure").first
    assert figure.locator(".readout").text_content() == "frame 7"
    assert figure.locator(".key b").all_text_contents() == ["22.00", "23.00"]
    page.mouse.click(*at(25))
    assert frame_name(page) == "frame 27", "the nearest with a picture"
    page.mouse.click(*at(5))
    assert frame_name(page) == "frame 3"
    page.mouse.move(0, 0)
    assert figure.locator(".readout").text_content() == "frame 3"


def test_zoom_is_one_for_both_pictures(open_page):
    page = open_page()
    assert transform(page) == [1, 0, 0]
    page.get_by_role("button", name="Zoom in").click()
    assert transform(page)[0] == 1.5
    assert transform(page) == transform(page, "right")
    before = transform(page)
    page.mouse.move(*at_share(page, "#stage", 0.3))
    page.mouse.down()
    page.mouse.move(*at_share(page, "#stage", 0.4), steps=3)
    page.mouse.up()
    width = page.locator("#stage").bounding_box()["width"]
    assert transform(page)[1] - before[1] == pytest.approx(0.1 * width, abs=1)
    assert value(page) == 50, "the picture was moved, not the divider"
    page.keyboard.press("0")
    assert transform(page) == [1, 0, 0]
    page.keyboard.press("+")
    page.keyboard.press("+")
    page.keyboard.press("-")
    assert transform(page)[0] == 1.5
    page.get_by_role("button", name="1:1").click()
    assert page.locator("#zoom").text_content() == "100 %"
    assert transform(page)[0] * width == pytest.approx(WIDTH)
    page.keyboard.press("0")
    assert "pixelated" in page.locator("#layers").get_attribute("class")


def test_the_wheel_zooms_once_the_picture_has_the_focus(open_page):
    page = open_page()
    point = at_share(page, "#stage", 0.25)
    page.mouse.move(*point)
    page.mouse.wheel(0, -100)
    page.wait_for_timeout(100)
    assert transform(page) == [1, 0, 0], "it scrolls the page"
    page.mouse.click(*at_share(page, "#stage", 0.25))
    page.mouse.wheel(0, -300)
    page.wait_for_function("document.getElementById('stage').classList.contains('zoomed')")
    scale, x, _ = transform(page)
    width = page.locator("#stage").bounding_box()["width"]
    assert scale > 1.3
    assert (0.25 * width - x) / scale == pytest.approx(0.25 * width, abs=1), (
        "what is below it stays"
    )


def test_difference(open_page):
    page = open_page()
    page.keyboard.press("d")
    assert page.get_by_role("button", name="Difference").get_attribute("aria-pressed") == "true"
    assert page.locator("#chip-left").text_content() == "|A − B| ×8"
    red, green, _ = colour_at(page, *at_share(page, "#stage", 0.7, 0.2))
    assert red == 0, "where A and B are equal"
    assert green == 255, "8 times (120 - 40) is more than white"
    page.keyboard.press("d")
    assert colour_at(page, *at_share(page, "#stage", 0.7, 0.2))[1] == 120


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(open_page, scheme):
    page = open_page(color_scheme=scheme)

    def brightness():
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", paper))) / 3

    assert (brightness() > 200) == (scheme == "light")
    page.locator("#theme").click()
    assert (brightness() > 200) == (scheme == "dark")
    page.locator("#theme").click()
    assert (brightness() > 200) == (scheme == "light")


@pytest.mark.parametrize("width", [400, 1400])
def test_nothing_is_wider_than_the_window(open_page, width):
    page = open_page(viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    stage = page.locator("#stage").bounding_box()
    assert stage["width"] / stage["height"] == pytest.approx(WIDTH / HEIGHT, rel=0.01)


def test_sections_and_hostile_names(open_page, written):
    page = open_page()
    assert page.locator("h1").text_content() == HOSTILE
    assert page.locator("td.best").text_content() == "21.50"
    page.locator("#sections button").nth(1).click()
    assert page.locator("#section-name").text_content() == HOSTILE
    assert frame_name(page) == HOSTILE
    assert page.locator("#chip-left").text_content() == HOSTILE
    assert page.locator("#charts svg").count() == 0
    assert page.locator("script").count() == 2
    text = written.read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert html.escape(HOSTILE) in text


def test_the_policy_stops_what_is_not_the_pages_own(browser, written, tmp_path):
    """A script that got in in spite of all would not run, and nothing could be sent away."""
    path = tmp_path / "spoilt.html"
    spoilt = "<script>document.title = 'run'</script><img src='http://127.0.0.1:9/x'>"
    path.write_text(written.read_text(encoding="utf-8").replace("<main>", f"<main>{spoilt}"))
    page = browser.new_page()
    stopped = []
    page.on("requestfailed", lambda request: stopped.append((request.url, request.failure)))
    page.goto(path.as_uri())
    assert page.title() != "run"
    assert stopped == [("http://127.0.0.1:9/x", "csp")]
    page.close()


def test_compare_writes_a_page(open_page, make_clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, level in (("a.mkv", 90), ("b.mkv", 96), ("film.mkv", 100)):
        frames = [np.full((48, 64, 3), level, dtype=np.uint8) for _ in range(20)]
        if name == "b.mkv":
            frames[7][:] = 180
            frames[8][:] = 100
        make_clip(name, frames=frames, codec="ffv1", pix_fmt="bgr0")
    lines = ["seconds,frame,mean_levels,note"]
    lines += [f"{index / 25},{index},{index / 2},x" for index in range(1, 20, 2)]
    Path("apart.csv").write_text("\n".join(lines) + "\n")
    options = ("--truth", "film.mkv", "--disagreement", "apart.csv", "--frames", "4")
    result = CliRunner().invoke(
        main,
        [
            "compare",
            "a.mkv",
            "b.mkv",
            "--label",
            "<b>",
            "--label",
            "b",
            "--html",
            "p.html",
            *options,
        ],
    )
    assert result.exit_code == 0, result.stderr
    assert "p.html: 4 of 20 frames with pictures" in result.stderr
    page = open_page(tmp_path / "p.html")
    assert page.locator("h1").text_content() == "<b> and b"
    assert frame_name(page) == "frame 7, 0.280 s"
    cells = page.locator("tbody td").all_text_contents()
    expected = 20 * np.log10(255 / 10)
    assert cells[:6] == ["<b>", "a.mkv", f"{expected:.2f}", f"{expected:.2f}", "0", "0"]
    assert cells[6:8] == ["b", "b.mkv"]
    assert cells[9:] == [f"{20 * np.log10(255 / 80):.2f}", "7", "1"]
    data = json.loads(page.locator("#data").text_content())
    psnr, apart = data["sections"][0]["charts"]
    assert psnr["title"] == "PSNR RGB against truth"
    assert [series["name"] for series in psnr["series"]] == ["<b>", "b"]
    assert psnr["series"][1]["values"][8] == "inf"
    assert apart["series"][0]["values"][:4] == [None, 0.5, None, 1.5]
    labels = page.locator("#left option").all_text_contents()
    assert labels == ["<b>", "b", "truth"]
