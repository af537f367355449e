"""`stsr eval`: the protocol on synthetic clips, and the published baselines on the real sets."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from stsr_cli import hub, pairs
from stsr_cli.cdca import CDCA, tricubic
from stsr_cli.checkpoint import Weights, save_weights
from stsr_cli.errors import InputError, UsageError, WeightsError
from stsr_cli.evaluation import EvalReport, MeasuredFrame, evaluate, systems
from stsr_cli.evaluation.samples import read_image, read_samples
from stsr_cli.files import sha256
from stsr_cli.metrics import measure, sharpness_ratio
from stsr_cli.ops import imresize, to_pixels, to_tensor, upsample
from stsr_cli.options import EvalOptions, ModelOptions
from stsr_cli.pairs import load_pair
from stsr_cli.registry import build
from stsr_cli.testsets import find_dataset

BASELINE = ModelOptions(spatial="bicubic", temporal="blend", device="cpu")
WriteFrames = Callable[..., Path]


@pytest.fixture
def write_frames(make_clip, tmp_path: Path) -> WriteFrames:
    """Write pictures as PNG files: `write_frames("set/clip", [picture, ...])`, named 1.png, 2.png, ..."""

    def write(folder: str, pictures, names=None) -> Path:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        names = names or [str(index + 1) for index in range(len(pictures))]
        for name, picture in zip(names, pictures, strict=True):
            make_clip(f"{folder}/{name}.png", frames=[picture], codec="png", pix_fmt="rgb24")
        return tmp_path / folder

    return write


def picture(seed: int, height: int = 50, width: int = 66) -> np.ndarray:
    """A smooth picture, which survives being reduced."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return to_pixels(imresize(to_tensor(coarse), (height, width)))


def run(folder: Path, model: ModelOptions = BASELINE, **options) -> EvalReport:
    return evaluate([folder], model, EvalOptions(**options))


def samples(folder: Path, is_every_frame: bool = False):
    return [s for clip in find_dataset(folder).clips for s in read_samples(clip, is_every_frame)]


def test_png_and_webp_are_read_exactly(write_frames, shared_dir: Path) -> None:
    expected = np.random.default_rng(0).integers(0, 256, (31, 45, 3), np.uint8)
    folder = write_frames("clip", [expected])
    np.testing.assert_array_equal(read_image(folder / "1.png"), expected)
    image = pytest.importorskip("PIL.Image")
    for name in ("vid4/city/001.webp", "middlebury/gt/Beanbags/frame10i11.webp"):
        path = shared_dir / "data" / "eval" / name
        np.testing.assert_array_equal(read_image(path), np.asarray(image.open(path).convert("RGB")))


def test_given_frames_are_cropped_degraded_and_rounded(write_frames, tmp_path: Path) -> None:
    frames = [picture(i) for i in range(3)]
    (sample,) = samples(write_frames("clip", frames))
    np.testing.assert_array_equal(sample.target, frames[1][:48, :64])
    for lr_frame, frame in zip(sample.given, (frames[0], frames[2]), strict=True):
        expected = imresize(to_tensor(frame[:48, :64]).double(), (12, 16))
        assert lr_frame.dtype == np.uint8
        np.testing.assert_array_equal(lr_frame, to_pixels(expected))


def test_figures_are_the_mean_over_all_truths(write_frames, tmp_path: Path) -> None:
    write_frames("set/a", [picture(i) for i in range(5)])
    write_frames("set/b", [picture(9 + i) for i in range(3)])
    told: list[tuple[int, int]] = []
    report = evaluate([tmp_path / "set"], BASELINE, on_frame=lambda *done: told.append(done))
    (row,) = report.rows
    assert told == [(1, 3), (2, 3), (3, 3)]
    expected = []
    for sample in samples(tmp_path / "set"):
        lr_frame0, lr_frame1 = (to_tensor(pixels) for pixels in sample.given)
        middle = imresize((lr_frame0 + lr_frame1) / 2, (48, 64))
        expected.append(measure(to_pixels(middle), sample.target))
    for name in expected[0]:
        mean = np.mean([values[name] for values in expected])
        assert row[name] == pytest.approx(mean, abs=2e-3), name
    assert [(clip["clip"], clip["num_frames"]) for clip in row["clips"]] == [("a", 2), ("b", 1)]
    assert row["clips"][1]["psnr_rgb"] == pytest.approx(expected[2]["psnr_rgb"], abs=2e-3)
    assert (row["num_frames"], row["gain_psnr_rgb"], row["error"]) == (3, 0, None)
    assert report.problems == []


def test_stvsr_scores_every_frame_in_luma_clip_by_clip(write_frames, tmp_path: Path) -> None:
    write_frames("set/a", [picture(i) for i in range(6)])  # the sixth has no right neighbour
    write_frames("set/b", [picture(9 + i) for i in range(3)])
    (row,) = run(tmp_path / "set", protocol="stvsr").rows
    assert list(row)[5] == "psnr_y", "luma comes first"
    assert [(clip["clip"], clip["num_frames"]) for clip in row["clips"]] == [("a", 5), ("b", 3)]
    found = samples(tmp_path / "set", is_every_frame=True)
    assert [sample.index for sample in found] == [0, 1, 2, 3, 4, 0, 1, 2]
    expected = []
    for sample in found:
        images = [to_tensor(pixels) for pixels in sample.given]
        made = imresize(sum(images) / len(images), (48, 64))
        expected.append(measure(to_pixels(made), sample.target)["psnr_y"])
    clips = [np.mean(expected[:5]), np.mean(expected[5:])]
    assert [clip["psnr_y"] for clip in row["clips"]] == pytest.approx(clips, abs=2e-3)
    assert row["psnr_y"] == pytest.approx(np.mean(clips), abs=2e-3), "not the mean over all frames"
    # The given frames are f_S alone: a limit keeps them beside the truths it chooses.
    assert run(tmp_path / "set", protocol="stvsr", limit=1).rows[0]["num_frames"] == 3


def test_faulty_clips_and_missing_data_are_told(write_frames, tmp_path: Path) -> None:
    good = [picture(i) for i in range(3)]
    write_frames("mixed/a", good)
    write_frames("mixed/b", [picture(0), picture(1, 40, 66), picture(2)])
    write_frames("mixed/c", [picture(0), picture(1), picture(2)], ["1", "2", "4"])
    write_frames("mixed/d", good[:2])
    torn = write_frames("mixed/e", good) / "2.png"
    torn.write_bytes(torn.read_bytes()[:60])
    report = evaluate([tmp_path / "mixed", tmp_path / "nowhere"], BASELINE)
    (row,) = report.rows
    assert [clip["clip"] for clip in row["clips"]] == ["a"]
    wanted = (
        r"no such file or folder: .*nowhere",
        r"mixed/c: no frame 3 between 2\.png and 4\.png",
        r"mixed/d holds no clip of three images or more, only 2 images",
        r"clip b differ in size: .*2\.png has 66x40 pixels, those before it 66x50.*; clip b of mixed is left out",
        r"2\.png.*; clip e of mixed is left out",
    )
    assert len(report.problems) == len(wanted)
    for problem, pattern in zip(report.problems, wanted, strict=True):
        assert re.search(pattern, problem), problem
        assert "\n" not in problem
    (tmp_path / "empty").mkdir()
    for folder, pattern in (
        ("mixed/b", "differ in size"),
        ("mixed/c", "no frame 3"),
        ("nowhere", "no such file or folder"),
        ("empty", "no clip of three images"),
    ):
        with pytest.raises(InputError, match=pattern):
            run(tmp_path / folder)


def test_folders_of_one_name_stay_apart(write_frames, tmp_path: Path) -> None:
    frames = [picture(i) for i in range(3)]
    folders = [write_frames("x/clip", frames), write_frames("y/clip", frames)]
    rows = evaluate(folders, BASELINE, EvalOptions(measures=("psnr_rgb",))).rows
    assert [row["dataset"] for row in rows] == ["clip", str(folders[1])]


def test_frames_of_a_video_are_read_one_by_one(make_clip, tmp_path: Path) -> None:
    """A video gives what its frames give as images, whatever is chosen of it."""
    frames = [picture(i) for i in range(8)]
    clip = make_clip("a.mkv", frames=frames, codec="ffv1", pix_fmt="bgr0")
    (row,) = run(clip).rows
    assert (row["dataset"], row["num_frames"]) == ("a.mkv", 3)
    told: list[MeasuredFrame] = []
    evaluate([clip], BASELINE, EvalOptions(limit=1), on_measured=told.append)
    assert [(frame.index, frame.name, len(frame.given)) for frame in told] == [(1, "frame 1", 2)]
    np.testing.assert_array_equal(told[0].truth, frames[1][:48, :64])
    short = make_clip("short.mp4", num_frames=2)
    with pytest.raises(InputError, match=r"short\.mp4 has 2 frames; three or more"):
        run(short)


def imresized(lr_frame: np.ndarray) -> np.ndarray:
    return to_pixels(upsample(to_tensor(lr_frame)[None], 4)[0])


def test_hook_is_told_pixels_measures_and_disagreement(write_frames, tmp_path: Path) -> None:
    folder = write_frames("set/a", [picture(i) for i in range(5)]).parent
    told: list[MeasuredFrame] = []
    model = ModelOptions("bicubic", "dvf", device="cpu")
    options = EvalOptions(systems=("bicubic+dvf",), measures=("ssim_y", "psnr_rgb"))
    report = evaluate([folder], model, options, on_measured=told.append)
    assert [(frame.dataset, frame.clip, frame.name, frame.index) for frame in told] == [
        ("set", "a", "2", 1),
        ("set", "a", "4", 3),
    ]
    assert [(row["system"], row["stream"]) for row in report.rows] == list(told[0].predictions)
    for row in report.rows:
        key = row["system"], row["stream"]
        for name in ("ssim_y", "psnr_rgb"):
            values = [frame.predictions[key].measures[name] for frame in told]
            assert row[name] == pytest.approx(np.mean(values))
        for frame in told:
            found = frame.predictions[key]
            assert found.measures == measure(found.pixels, frame.truth, 0, ("ssim_y", "psnr_rgb"))
        ratios = [frame.predictions[key].sharpness_ratio for frame in told]
        assert row["sharpness_ratio"] == pytest.approx(np.mean(ratios))
    first = told[0]
    given = [imresized(lr_frame) for lr_frame in first.given]
    softer = first.predictions["bicubic+blend", "t2s"]
    assert softer.sharpness_ratio == pytest.approx(sharpness_ratio(softer.pixels, given))
    assert softer.sharpness_ratio < 0.9, "a fade of two moving frames is soft"
    t2s, s2t = (
        first.predictions["bicubic+dvf", stream].pixels.astype(float) for stream in ("t2s", "s2t")
    )
    assert first.disagreement == {"bicubic+dvf": pytest.approx(np.abs(t2s - s2t).mean())}
    assert first.disagreement["bicubic+dvf"] > 0


@pytest.mark.parametrize(
    ("stream", "streams"), [("both", ["t2s", "s2t", "mean"]), ("s2t", ["s2t"])]
)
def test_trained_pair_is_measured_beside_the_baseline(
    write_frames, tmp_path: Path, stream, streams
) -> None:
    weights = tmp_path / "weights.safetensors"
    save_weights(weights, Weights(spatial=build("spatial", "span")))
    folder = write_frames("set/a", [picture(i) for i in range(3)]).parent
    options = ModelOptions("span", "blend", (str(weights),), device="cpu")
    rows = run(folder, options, streams=stream).rows
    assert [row["stream"] for row in rows] == ["t2s", *streams]
    assert [row["system"] for row in rows] == ["bicubic+blend"] + ["span+blend"] * len(streams)
    for row in rows:
        gain = row["psnr_rgb"] - rows[0]["psnr_rgb"]
        assert row["gain_psnr_rgb"] == pytest.approx(gain)
        assert abs(gain) < 1  # SPAN starts at the bicubic result
    model = load_pair(options)
    (sample,) = samples(folder)
    given = [to_tensor(lr_frame)[None] for lr_frame in sample.given]
    with torch.inference_mode():
        found = {name: model(*given, name)[1] for name in ("t2s", "s2t")}
    found["mean"] = (found["t2s"] + found["s2t"]) / 2
    for row in rows[1:]:
        expected = measure(to_pixels(found[row["stream"]][0]), sample.target)
        assert row["psnr_rgb"] == pytest.approx(expected["psnr_rgb"], abs=1e-3)
        assert row["ssim_y"] == pytest.approx(expected["ssim_y"], abs=1e-4)


def test_systems_are_measured_side_by_side(
    write_frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pair and B from the same modules, and an untrained CDCA, which gives the tri-cubic picture."""
    torch.manual_seed(0)
    files = {
        "pair": Weights(spatial=build("spatial", "span")),
        "apart": Weights(spatial=build("spatial", "span")),
        "cdca": Weights(cdca=CDCA(num_channels=4, num_features=4)),
    }
    about = {"spatial": "span"}
    entries = {"pair": about, "apart": about | {"training": "separate"}, "cdca": {"cdca": "cdca"}}
    for name, weights in files.items():
        path = tmp_path / f"{name}.safetensors"
        save_weights(path, weights)
        entries[name] = entries[name] | {"file": path.name, "sha256": sha256(path)}
    monkeypatch.setattr(hub, "weights_folder", lambda: tmp_path)
    monkeypatch.setattr(pairs, "manifest", lambda: entries)
    monkeypatch.setattr(hub, "manifest", lambda: entries)
    monkeypatch.setattr(systems, "manifest", lambda: entries)
    folder = write_frames("set/a", [picture(i) for i in range(3)]).parent
    options = ModelOptions("span", "blend", device="cpu")
    rows = run(folder, options, systems=("cdca", "baseline", "streams")).rows
    assert [(row["system"], row["stream"]) for row in rows] == [
        ("bicubic+blend", "t2s"),
        ("cdca", "-"),
        *(("span+blend-separate", stream) for stream in ("t2s", "s2t", "mean")),
        *(("span+blend", stream) for stream in ("t2s", "s2t", "mean")),
    ]
    (sample,) = samples(folder)
    given = [to_tensor(pixels)[None] for pixels in sample.given]
    expected = measure(to_pixels(tricubic(*given, 0.5, 4)[0]), sample.target)
    assert rows[1]["psnr_rgb"] == pytest.approx(expected["psnr_rgb"], abs=0.05)
    assert rows[2]["psnr_rgb"] != rows[5]["psnr_rgb"], "B has weights of its own"
    assert len(run(folder, options, streams="t2s").rows) == 2
    # Weights by name and by path, and pairs of modules; what is named twice comes once.
    names = ("pair", str(tmp_path / "cdca.safetensors"), "span+blend", "streams", "bicubic+blend")
    named = run(folder, options, systems=names, streams="t2s").rows
    assert [row["system"] for row in named] == ["bicubic+blend", "pair", "cdca", "span+blend"]
    assert named[1]["psnr_rgb"] == named[3]["psnr_rgb"] == rows[5]["psnr_rgb"]
    with pytest.raises(UsageError, match=r"--weights fill one system, and 2.*streams, cdca.*once"):
        run(folder, ModelOptions("span", "blend", ("pair",)), systems=("streams", "cdca"))
    for unknown, pattern in (
        ("spam+blend", "did you mean 'span'"),
        ("nothing", "no system 'nothing'; give streams"),
        ("nothing.safetensors", "nothing.safetensors does not exist"),
    ):
        with pytest.raises((UsageError, WeightsError), match=pattern):
            run(folder, options, systems=(unknown,))


def test_json_of_the_command(run_stsr, write_frames, tmp_path: Path) -> None:
    flat = [np.full((48, 48, 3), 90, np.uint8)] * 3
    write_frames("moving/a", [picture(i) for i in range(3)])
    write_frames("flat/a", flat)
    result = run_stsr(
        *("eval", tmp_path / "moving", tmp_path / "flat", "--spatial", "bicubic"),
        *("--temporal", "blend", "--threads", "1", "--json"),
    )
    assert result.returncode == 0, result.stderr
    moving, still = json.loads(result.stdout, parse_constant=pytest.fail)
    assert moving.keys() == {
        *("dataset", "layout", "system", "stream", "num_frames", "psnr_rgb", "ssim_rgb", "psnr_y"),
        *("ssim_y", "ssim_3d", "sharpness_ratio", "gain_psnr_rgb", "clips", "error"),
    }
    assert (moving["dataset"], moving["system"]) == ("moving", "bicubic+blend")
    assert 5 < moving["psnr_rgb"] < 50
    # Nothing moves and nothing is lost: no number stands for a perfect prediction.
    assert (still["psnr_rgb"], still["ssim_rgb"]) == (None, pytest.approx(1))


def test_table_and_errors_of_the_command(run_stsr, write_frames, tmp_path: Path) -> None:
    folder = write_frames("set/a", [picture(i) for i in range(3)]).parent
    options = ("--spatial", "bicubic", "--temporal", "blend")
    result = run_stsr("eval", folder, *options)
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert "bicubic+blend" in result.stderr
    weights = tmp_path / "cdca.safetensors"
    save_weights(weights, Weights(cdca=CDCA(num_channels=4, num_features=4)))
    result = run_stsr("eval", folder, "--system", "cdca", "--weights", weights, "--json")
    assert result.returncode == 0, result.stderr
    assert [row["system"] for row in json.loads(result.stdout)] == ["bicubic+blend", "cdca"]
    result = run_stsr("eval", folder, "--system", "cdca", *options)
    assert result.returncode == 2
    assert "--spatial, --temporal cannot be used" in result.stderr
    shutil.rmtree(folder / "a")
    result = run_stsr("eval", folder, *options)
    assert result.returncode == 4
    assert "no clip of three images" in result.stderr


def test_one_bad_data_set_degrades_the_run(run_stsr, write_frames, tmp_path: Path) -> None:
    folder = write_frames("vid4/a", [picture(i) for i in range(3)]).parent
    result = run_stsr(
        *("eval", folder, tmp_path / "nowhere", "--system", "bicubic+blend"),
        *("--csv", tmp_path / "rows.csv"),
    )
    assert result.returncode == 3, result.stderr
    assert "vid4 beside the paper" in result.stderr
    assert re.search(r"paper +F\(V\+S\) +22\.95 +0\.708 +22\.92 +0\.707", result.stderr)
    assert result.stderr.splitlines()[-1].startswith(
        f"stsr: no such file or folder: {tmp_path / 'nowhere'}; "
    )
    with (tmp_path / "rows.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["clip"], line["system"]) for line in lines] == [
        ("a", "bicubic+blend"),
        ("", "bicubic+blend"),
    ]
    assert float(lines[0]["psnr_rgb"]) == float(lines[1]["psnr_rgb"]) > 5
    result = run_stsr("eval", folder, "--measure", "psnr", "--system", "bicubic+blend")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "no measure 'psnr'; there are: psnr_rgb, ssim_rgb, psnr_y" in result.stderr


def test_own_footage_says_which_stream_is_better(run_stsr, demo_clip: Path) -> None:
    result = run_stsr(
        *("eval", demo_clip, "--self", "--limit", "2", "--measure", "psnr_rgb", "--json")
    )
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    figures = {row["stream"]: row["psnr_rgb"] for row in rows if row["system"] == "span+rife"}
    better, worse = sorted(("t2s", "s2t"), key=lambda stream: -figures[stream])
    gain = figures[better] - figures[worse]
    assert f"--stream {better}) is better" in result.stderr
    assert f"by {gain:.2f} dB over 2 frames" in result.stderr
    assert "a quarter of the clip's size" in result.stderr
    result = run_stsr("eval", demo_clip, "--self", "--protocol", "stvsr")
    assert result.returncode == 2
    assert "--protocol cannot be used with --self" in result.stderr


@pytest.mark.parametrize(
    ("name", "num_frames", "expected"),
    [
        # Measured with another implementation of the same protocol.
        ("middlebury", 12, (25.89, 0.715, 27.83, 0.762)),
        ("vid4", 8, (21.78, 0.578, 23.21, 0.606)),
    ],
)
def test_baseline_on_the_real_sets(
    shared_dir: Path, tmp_path: Path, name: str, num_frames: int, expected
) -> None:
    folder = shared_dir / "data" / "eval" / name
    if name == "vid4":  # the first five frames of each clip: two truths
        for source in sorted(folder.iterdir()):
            (tmp_path / name / source.name).mkdir(parents=True)
            for path in sorted(source.iterdir())[:5]:
                (tmp_path / name / source.name / path.name).symlink_to(path)
        folder = tmp_path / name
    (row,) = run(folder).rows
    assert row["num_frames"] == num_frames
    found = [row[key] for key in ("psnr_rgb", "ssim_rgb", "psnr_y", "ssim_y")]
    for value, reference, tolerance in zip(found, expected, (6e-3, 6e-4, 6e-3, 6e-4), strict=True):
        assert value == pytest.approx(reference, abs=tolerance)


@pytest.fixture
def write_stills(tmp_path: Path, make_clip: Callable[..., Path]) -> Callable[..., Path]:
    """Make a folder of stills: `write_stills(a=(small, large))`, (H, W, 3) uint8 each."""

    def write(**stills: tuple[np.ndarray, np.ndarray]) -> Path:
        folder = tmp_path / "stills"
        folder.mkdir()
        for name, pair in stills.items():
            for suffix, pixels in zip(("lr", "hr"), pair, strict=True):
                made = make_clip(
                    f"{name}_{suffix}.png", frames=[pixels], codec="png", pix_fmt="rgb24"
                )
                made.rename(folder / made.name)
        return folder

    return write


def test_stills_measure_f_s_alone(write_stills) -> None:
    rng = np.random.default_rng(4)
    pairs = {
        name: (
            rng.integers(0, 256, (12, 15, 3), np.uint8),
            rng.integers(0, 256, (50, 61, 3), np.uint8),
        )
        for name in ("b", "a")
    }
    folder = write_stills(**pairs)
    (row,) = run(folder).rows
    assert (row["stream"], row["num_frames"]) == ("-", 2)
    assert [clip["clip"] for clip in row["clips"]] == ["a", "b"]
    for clip in row["clips"]:
        small, large = pairs[clip["clip"]]
        enlarged = to_pixels(imresize(to_tensor(small), (48, 60)))
        expected = measure(enlarged, large[:48, :60], crop_border=4)
        assert {name: clip[name] for name in expected} == pytest.approx(expected, abs=1e-6)


def test_a_still_that_is_smaller_than_four_times_the_other(write_stills) -> None:
    folder = write_stills(a=(np.zeros((12, 16, 3), np.uint8), np.zeros((48, 60, 3), np.uint8)))
    with pytest.raises(InputError, match=r"a_hr\.png has 60x48 pixels, less than 4 times"):
        run(folder)
