"""`stsr compare` as a user sees it: videos in, one video out, with known pixels; what goes wrong is one line."""

import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from click.testing import CliRunner

from stsr_cli.cli import main
from stsr_cli.report.letters import draw_letters
from stsr_cli.report.pictures import draw_text
from stsr_cli.video.reader import read_frames

LOSSLESS = ("--codec", "ffv1")
EXACT = {"codec": "ffv1", "pix_fmt": "bgr0"}
USAGE, INPUT = 2, 4
BAR = 24  # height of the bar of labels above a small picture


def flat(level, num_frames=6, width=64, height=48):
    """Frames of one grey, a level brighter every frame."""
    return [np.full((height, width, 3), level + i, dtype=np.uint8) for i in range(num_frames)]


def decode(path):
    frames = list(read_frames(path))
    return [frame.pixels for frame in frames], [frame.pts * frame.time_base for frame in frames]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run `stsr compare` in tmp_path, inside this process."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        result = CliRunner().invoke(main, ["compare", *map(str, arguments)], prog_name="stsr")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.stdout == ""
        return result

    return call


@pytest.fixture
def three(make_clip):
    """a, b and c: flat greys from 40, 100 and 160 at 24000/1001."""
    for name, level in (("a.mkv", 40), ("b.mkv", 100), ("c.mkv", 160)):
        make_clip(name, frames=flat(level), frame_rate=Fraction(24000, 1001), **EXACT)


@pytest.mark.usefixtures("three")
def test_side_by_side_below_labels(run, tmp_path):
    result = run("a.mkv", "b.mkv", "c.mkv", "-o", "out.mkv", *LOSSLESS)
    assert result.exit_code == 0, result.stderr
    assert "out.mkv: 6 frames of 192x72" in result.stderr
    frames, times = decode(tmp_path / "out.mkv")
    assert times == decode(tmp_path / "a.mkv")[1]
    for index, pixels in enumerate(frames):
        assert pixels.shape == (48 + BAR, 3 * 64, 3)
        for place, level in enumerate((40, 100, 160)):
            assert (pixels[BAR:, 64 * place : 64 * (place + 1)] == level + index).all()
    bar = frames[0][:BAR]
    for place in range(3):
        assert bar[:, 64 * place : 64 * (place + 1)].max() > 150, "no letters"
    assert np.array_equal(bar, frames[-1][:BAR])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.mkv",
        "b.mkv",
        "c.mkv",
        "out.mkv",
    ]


@pytest.mark.usefixtures("three")
def test_split_takes_a_strip_from_each(run, tmp_path):
    result = run("a.mkv", "b.mkv", "-o", "out.mkv", "--mode", "split", "--no-labels", *LOSSLESS)
    assert result.exit_code == 0, result.stderr
    for index, pixels in enumerate(decode(tmp_path / "out.mkv")[0]):
        assert pixels.shape == (48, 64, 3)
        assert (pixels[:, :31] == 40 + index).all()
        assert (pixels[:, 31:33] == 255).all()
        assert (pixels[:, 33:] == 100 + index).all()


@pytest.mark.usefixtures("three")
def test_difference_is_amplified_and_clipped(run, tmp_path):
    options = ("--mode", "difference", "--gain", "2.5", *LOSSLESS)
    result = run("a.mkv", "b.mkv", "c.mkv", "-o", "out.mkv", *options)
    assert result.exit_code == 0, result.stderr
    for pixels in decode(tmp_path / "out.mkv")[0]:
        assert pixels.shape == (48 + BAR, 128, 3)
        assert (pixels[BAR:, :64] == 150).all()
        assert (pixels[BAR:, 64:] == 255).all(), "2.5 * 120 is more than white"


@pytest.mark.usefixtures("three")
def test_flip_shows_one_after_the_other(run, tmp_path):
    seconds = str(2 * 1001 / 24000 + 1e-3)
    options = ("--mode", "flip", "--flip-seconds", seconds, "--no-labels", *LOSSLESS)
    result = run("a.mkv", "c.mkv", "-o", "out.mkv", *options)
    assert result.exit_code == 0, result.stderr
    levels = [int(pixels[0, 0, 0]) for pixels in decode(tmp_path / "out.mkv")[0]]
    assert levels == [40, 41, 42, 163, 164, 45]


def test_sound_and_colour_are_the_first_ones(run, make_clip, tmp_path):
    tags = {"colorspace": 1, "color_range": 1, "color_primaries": 1, "color_trc": 1}
    make_clip("a.mp4", has_sound=True, **tags)
    make_clip("b.mp4")
    result = run("a.mp4", "b.mp4", "-o", "out.mp4", "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    with av.open("a.mp4") as before, av.open("out.mp4") as after:
        assert [stream.type for stream in after.streams] == ["video", "audio"]
        sounds = [[bytes(p) for p in c.demux(audio=0) if p.size] for c in (before, after)]
        assert sounds[0] == sounds[1]
    with av.open("out.mp4") as after:
        frame = next(after.decode(video=0))
        found = (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc)
        assert tuple(map(int, found)) == (1, 1, 1, 1)


def test_deep_videos_stay_deep(run, make_clip, tmp_path):
    make_clip("a.mkv", codec="ffv1", pix_fmt="yuv420p10le")
    make_clip("b.mkv", frames=8 * flat(255, 1), **EXACT)
    result = run("a.mkv", "b.mkv", "-o", "out.mkv", *LOSSLESS)
    assert result.exit_code == 0, result.stderr
    (first, *_), _ = decode(tmp_path / "out.mkv")
    assert first.dtype == np.uint16
    assert first[BAR + 8 : -8, 72:120].min() > 65000, "white of 8 bits is white of 16"


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_video_is_shown_upright(run, make_clip, tmp_path, degrees):
    """What a phone records upright lies in its file, with a matrix that tells the player to turn it."""
    plain = flat(10, 3)
    for pixels in plain:
        pixels[:16, :16] = (250, 0, 0)
    make_clip("lying.mkv", frames=[np.ascontiguousarray(p) for p in plain], **EXACT)
    with av.open("lying.mkv") as source, av.open("turned.mov", "w") as target:
        stream = target.add_stream("libx264rgb", rate=25, options={"crf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        stream.set_display_matrix(_matrix(degrees))
        for frame in source.decode(video=0):
            target.mux(stream.encode(frame.reformat(format="rgb24")))
        target.mux(stream.encode(None))
    turned = [np.ascontiguousarray(np.rot90(p, degrees // 90)) for p in plain]
    make_clip("upright.mkv", frames=turned, **EXACT)
    options = ("--mode", "difference", "--no-labels", *LOSSLESS)
    result = run("turned.mov", "upright.mkv", "-o", "out.mkv", *options)
    assert result.exit_code == 0, result.stderr
    frames, _ = decode(tmp_path / "out.mkv")
    assert frames[0].shape == turned[0].shape
    assert max(pixels.max() for pixels in frames) == 0


def _matrix(degrees):
    """Of a counter-clockwise turn, in 16.16 fixed point as MP4 has it."""
    cosine, sine = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    one = 1 << 16
    return [cosine * one, -sine * one, 0, sine * one, cosine * one, 0, 0, 0, 1 << 30]


def test_a_long_label_is_cut(run, make_clip, tmp_path):
    make_clip("a.mkv", num_frames=2, **EXACT)
    labels = ("--label", "W" * 5000, "--label", "名前 <b>\n$x^2$")
    result = run("a.mkv", "a.mkv", *labels, "-o", "out.mkv", *LOSSLESS)
    assert result.exit_code == 0, result.stderr
    assert decode(tmp_path / "out.mkv")[0][0].shape == (48 + BAR, 128, 3)


def test_without_matplotlib_a_font_of_ours_draws_the_labels(run, three, tmp_path, monkeypatch):
    draw_text.cache_clear()
    for name in {"matplotlib", *sys.modules}:
        if name.split(".")[0] == "matplotlib":
            monkeypatch.setitem(sys.modules, name, None)
    result = run("a.mkv", "b.mkv", "-o", "drawn.mkv", "--label", "R", "--label", "", *LOSSLESS)
    assert result.exit_code == 0, result.stderr
    frame = decode(tmp_path / "drawn.mkv")[0][0]
    bar, letter = frame[:BAR], draw_letters("R", 18)
    light = np.argwhere(bar[:, :, 0] > 200)
    (top, left), (bottom, right) = light.min(axis=0), light.max(axis=0) + 1
    rows, columns = np.nonzero(letter == 0)
    expected = letter[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] == 0
    np.testing.assert_array_equal(bar[top:bottom, left:right, 0] > 200, expected)
    draw_text.cache_clear()
    result = run("a.mkv", "b.mkv", "-o", "out.mkv", "--html", "p.html", "--no-labels")
    assert result.exit_code == 0, result.stderr


def test_a_source_stands_beside_its_result(run, make_clip, tmp_path):
    """Scaled to its size, each frame shown as often as the result has frames for it, at the result's times."""
    small = [np.full((24, 32, 3), level, np.uint8) for level in (40, 60, 80)]
    make_clip("small.mkv", frames=small, frame_rate=Fraction(12), **EXACT)
    make_clip("large.mkv", frames=flat(100, 6), frame_rate=Fraction(24), **EXACT)
    for order, places in (
        (("small.mkv", "large.mkv"), (0, 1)),
        (("large.mkv", "small.mkv"), (1, 0)),
    ):
        result = run(*order, "-o", "out.mkv", "--no-labels", "--html", "p.html", "-y", *LOSSLESS)
        assert result.exit_code == 0, result.stderr
        assert "small.mkv: Lanczos to 64x48, each frame 2 times" in result.stderr
        frames, times = decode(tmp_path / "out.mkv")
        large = decode(tmp_path / "large.mkv")[1]
        assert np.max(np.abs(np.subtract(times, large))) <= Fraction(1, 1000)  # Matroska's clock
        halves = [[frame[:, 64 * place : 64 * place + 64] for frame in frames] for place in places]
        assert [half.min() for half in halves[0]] == [40, 40, 60, 60, 80, 80]
        assert [half.max() for half in halves[0]] == [40, 40, 60, 60, 80, 80]
        assert [half.min() for half in halves[1]] == [100, 101, 102, 103, 104, 105]
    assert "small (Lanczos to 64x48, each frame 2 times)" in (tmp_path / "p.html").read_text()
    small_truth = run("large.mkv", "large.mkv", "--html", "q.html", "--truth", "small.mkv")
    assert small_truth.exit_code == USAGE
    assert "small.mkv is smaller or slower" in small_truth.stderr


BAD = [
    (("a.mkv",), USAGE, ["two videos or more"]),
    (("a.mkv", "b.mkv"), USAGE, ["nothing to write", "-o", "--html"]),
    (
        ("a.mkv", "small.mkv", "-o", "o.mkv"),
        USAGE,
        ["small.mkv is 32x48 and a.mkv is 64x48", "one shape"],
    ),
    (("a.mkv", "slow.mkv", "-o", "o.mkv"), USAGE, ["a.mkv has 23.976", "slow.mkv 12"]),
    (
        ("a.mkv", "short.mkv", "-o", "o.mkv", "--html", "p.html"),
        USAGE,
        ["short.mkv ends after 4 frames and a.mkv goes on"],
    ),
    (("a.mkv", "none.mkv", "-o", "o.mkv"), INPUT, ["no such file", "none.mkv"]),
    (("a.mkv", "bad.csv", "-o", "o.mkv"), INPUT, ["bad.csv"]),
    (("a.mkv", "b.mkv", "-o", "b.mkv", "-y"), USAGE, ["b.mkv is the input itself"]),
    (("a.mkv", "b.mkv", "-o", "bad.csv"), USAGE, ["bad.csv exists"]),
    (("a.mkv", "b.mkv", "--html", "b.mkv", "-y"), USAGE, ["b.mkv is the input itself"]),
    (("a.mkv", "b.mkv", "-o", "o.mkv", "--html", "o.mkv"), USAGE, ["both the video and the page"]),
    (("a.mkv", "b.mkv", "-o", "o.mkv", "--label", "x"), USAGE, ["1 label for 2 videos"]),
    (
        ("a.mkv", "b.mkv", "-o", "o.mkv", "--label", "x", "--label", "x"),
        USAGE,
        ["two videos have the label 'x'"],
    ),
    (("a.mkv", "b.mkv", "-o", "o.mkv", "--gain", "0"), USAGE, ["gain"]),
    (("a.mkv", "b.mkv", "-o", "o.mkv", "--truth", "a.mkv"), USAGE, ["--truth", "without --html"]),
    (("a.mkv", "b.mkv", "--html", "p.html", "--mode", "flip"), USAGE, ["--mode", "without -o"]),
    (
        ("a.mkv", "b.mkv", "--html", "p.html", "--truth", "small.mkv"),
        USAGE,
        ["small.mkv is 32x48"],
    ),
    (
        ("a.mkv", "b.mkv", "--html", "p.html", "--disagreement", "bad.csv"),
        INPUT,
        ["bad.csv lacks the column 'mean_levels'"],
    ),
    (
        ("a.mkv", "b.mkv", "--html", "p.html", "--disagreement", "words.csv"),
        INPUT,
        ["words.csv, line 3", "a number"],
    ),
    (
        ("a.mkv", "b.mkv", "--html", "p.html", "--disagreement", "a.mkv"),
        INPUT,
        ["a.mkv"],
    ),
    (
        ("a.mkv", "b.mkv", "-o", "o.mkv", "--html", "p.html", "--disagreement", "long.csv"),
        INPUT,
        ["long.csv goes up to frame 6", "6 frames"],
    ),
]


@pytest.fixture
def unlike(three, make_clip, tmp_path):
    """Videos that go with none of the three, and CSVs that are none."""
    rate = Fraction(24000, 1001)
    make_clip("small.mkv", frames=flat(0, width=32), frame_rate=rate, **EXACT)
    make_clip("slow.mkv", frames=flat(0), frame_rate=Fraction(12), **EXACT)
    make_clip("short.mkv", frames=flat(0, 4), frame_rate=rate, **EXACT)
    (tmp_path / "bad.csv").write_text("frame,seconds\n0,0\n")
    (tmp_path / "words.csv").write_text("frame,mean_levels\n0,1.5\n1,much\n")
    (tmp_path / "long.csv").write_text("frame,mean_levels\n0,1.5\n6,1\n")


@pytest.mark.usefixtures("unlike")
@pytest.mark.parametrize(("arguments", "code", "words"), BAD)
def test_what_cannot_be_is_one_line(run, tmp_path, arguments, code, words):
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    result = run(*arguments)
    assert result.exit_code == code, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[-1]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
