"""`stsr eval` and command lines: real programs are run, well behaved and not."""

import json
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stsr_cli.errors import UsageError
from stsr_cli.evaluation import EvalReport, MeasuredFrame, evaluate
from stsr_cli.metrics import psnr_rgb
from stsr_cli.ops import imresize, to_pixels, to_tensor
from stsr_cli.options import EvalOptions, ModelOptions

BASELINE = ModelOptions(spatial="bicubic", temporal="blend", device="cpu")
SYSTEMS = ("bicubic+blend",)

# A program of the contract: holds or drops frames as it is told, and enlarges by repeating pixels.
PROGRAM = """
import sys, numpy as np
from pathlib import Path
from stsr_cli.data.frames import decode
from stsr_cli.video.lossless import write_lossless
source, target, num_extra, scale = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
frames = [frame for frame in decode(source) for _ in range(2)]
frames = (frames + frames[-1:] * 9)[: len(frames) + num_extra]
write_lossless(target, [frame.repeat(scale, 0).repeat(scale, 1) for frame in frames])
"""


@pytest.fixture
def clip(make_clip: Callable[..., Path]) -> Path:
    """Five frames in which a smooth picture moves by 4 pixels a frame."""
    coarse = np.random.default_rng(5).integers(0, 256, (10, 22, 3), np.uint8)
    wide = to_pixels(imresize(to_tensor(coarse), (64, 128)))
    frames = [np.ascontiguousarray(wide[:, 4 * index : 4 * index + 96]) for index in range(5)]
    return make_clip("moving.mkv", frames=frames, codec="ffv1", pix_fmt="bgr0")


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., str]:
    """A command line of the program above: `program("hold", num_extra=0)`."""
    script = tmp_path / "program with a space.py"
    script.write_text(PROGRAM)

    def make(name: str, num_extra: int = 0, scale: int = 4) -> str:
        words = shlex.join([sys.executable, str(script)])
        return f"{name}={words} {{in}} {{out}} {num_extra} {scale}"

    return make


def run(
    clip: Path, *externals: str, told: list[MeasuredFrame] | None = None, **options
) -> EvalReport:
    wanted = EvalOptions(systems=SYSTEMS, externals=externals, measures=("psnr_rgb",), **options)
    return evaluate([clip], BASELINE, wanted, on_measured=None if told is None else told.append)


def test_a_command_gets_the_given_frames_unchanged(clip: Path, program) -> None:
    told: list[MeasuredFrame] = []
    report = run(clip, program("hold"), program("short", num_extra=-1), told=told)
    assert report.problems == []
    assert [row["system"] for row in report.rows] == ["bicubic+blend", "hold", "short"]
    assert [frame.index for frame in told] == [1, 3]
    for frame in told:
        enlarged = frame.given[0].repeat(4, 0).repeat(4, 1)  # the frame before, held
        for name in ("hold", "short"):
            np.testing.assert_array_equal(frame.predictions[name, "-"].pixels, enlarged)
    # All frames of the clip are given, whatever part of it is scored.
    limited = run(clip, program("hold"), limit=1)
    assert limited.rows[1]["num_frames"] == 1
    assert limited.problems == []


def test_a_command_that_fails_keeps_the_other_rows(clip: Path, program, tmp_path: Path) -> None:
    complains = (
        f"{sys.executable} -c 'import sys; print(1); sys.exit(\"no such\\nmodel \\x1b[1mX\")'"
    )
    report = run(
        clip,
        program("good"),
        f"says={complains} {{in}} {{out}}",
        program("many", num_extra=1),
        program("few", num_extra=-3),
        program("small", scale=2),
        "nothing=true {in} {out}",
        f"text=cp {shlex.quote(__file__)} {{out}} --no-clobber {{in}}x",
        "absent=/no/such/program {in} {out}",
    )
    figures = {row["system"]: row["psnr_rgb"] for row in report.rows}
    assert figures["good"] > 10
    assert [row["error"] is None for row in report.rows] == [True, True] + [False] * 7
    wanted = {
        "says": "failed with exit status 1: model [1mX",
        "many": "wrote more than 6 frames; expected 5 or 6 for 3 given ones",
        "few": "wrote 3 frames; expected 5 or 6 for 3 given ones",
        "small": "wrote frames of 48x32 pixels; expected 96x64",
        "nothing": "ended well and wrote no video to {out}",
        "text": "failed with exit status 1: cp: ",
        "absent": "cannot be started: No such file or directory",
    }
    assert len(report.problems) == len(wanted)
    for name, text in wanted.items():
        (problem,) = [line for line in report.problems if line.startswith(f"moving.mkv: {name} (")]
        assert text in problem
        assert problem.isprintable()
        assert figures[name] is None


def test_a_command_that_takes_too_long_is_ended(clip: Path) -> None:
    begin = time.monotonic()
    report = run(clip, "slow=sh -c 'sleep 60; : {in} {out}'", external_timeout=0.5)
    assert time.monotonic() - begin < 20
    assert "took more than 0.5 seconds for one clip" in report.problems[0]


def test_commands_that_cannot_be_read_are_refused(clip: Path) -> None:
    for given, pattern in (
        ("run {in}", r"'run \{in\}' has no \{out\}"),
        ("run", r"no \{in\} and no \{out\}"),
        ("a='b {in} {out}", "No closing quotation"),
        ("bicubic+blend=run {in} {out}", "two systems are called 'bicubic.blend'"),
    ):
        with pytest.raises(UsageError, match=pattern):
            run(clip, given)


def test_stsr_itself_as_a_command(run_stsr, clip: Path) -> None:
    stsr = Path(sys.executable).with_name("stsr")
    result = run_stsr(
        *("eval", clip, "--system", "streams", "--stream", "s2t", "--json", "--protocol", "stvsr"),
        *("--external", f"self={shlex.quote(str(stsr))} upscale {{in}} {{out}} --codec ffv1 -q"),
        *("--external", "broken=false {in} {out}"),
    )
    assert result.returncode == 3, result.stderr
    rows = {row["system"]: row for row in json.loads(result.stdout)}
    assert rows["self"]["num_frames"] == rows["span+rife"]["num_frames"] == 5
    for name in ("psnr_y", "psnr_rgb", "ssim_y"):
        assert rows["self"][name] == pytest.approx(rows["span+rife"][name], abs=1e-4)
    assert rows["broken"]["psnr_y"] is None
    assert result.stderr.splitlines()[-1] == (
        "stsr: moving.mkv: broken ('false {in} {out}') failed with exit status 1: it said nothing"
    )


def test_ffmpeg_interpolates_at_the_middle(clip: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs an ffmpeg on the PATH; there is none")
    told: list[MeasuredFrame] = []
    wanted = EvalOptions(systems=("ffmpeg",), measures=("psnr_rgb",), protocol="stvsr")
    report = evaluate([clip], BASELINE, wanted, on_measured=told.append)
    assert report.problems == []
    truths = [frame.truth for frame in told]
    assert len(truths) == 5
    for index, frame in enumerate(told):
        made = frame.predictions["ffmpeg", "-"].pixels
        # Away from the borders, where motion brings in what no frame has.
        figures = [psnr_rgb(made[8:-8, 16:-16], truth[8:-8, 16:-16]) for truth in truths]
        assert int(np.argmax(figures)) == index
        assert figures[index] > 25


def test_ffmpeg_takes_two_given_frames(clip: Path, make_clip: Callable[..., Path]) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs an ffmpeg on the PATH; there is none")
    short = make_clip("three.mkv", num_frames=3, codec="ffv1", pix_fmt="bgr0")
    report = evaluate([short], BASELINE, EvalOptions(systems=("ffmpeg",)))
    assert report.problems == []
    assert report.rows[1]["gain_psnr_rgb"] > -3


def test_without_an_ffmpeg(clip: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        UsageError, match=r"--system ffmpeg needs an ffmpeg on the PATH.*install it"
    ):
        evaluate([clip], BASELINE, EvalOptions(systems=("ffmpeg",)))
    with pytest.raises(UsageError, match=r"vmaf needs an ffmpeg on the PATH.*libvmaf"):
        evaluate([clip], BASELINE, EvalOptions(systems=SYSTEMS, measures=("vmaf",)))
