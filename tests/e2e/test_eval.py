"""`stsr eval`: the protocol on synthetic clips, and the published baselines on the real sets."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from stsr_cli import hub, pairs
from stsr_cli.cdca import CDCA, tricubic
from stsr_cli.checkpoint import Weights, save_weights, sha256
from stsr_cli.errors import InputError, UsageError
from stsr_cli.evaluation import evaluate
from stsr_cli.metrics import measure
from stsr_cli.ops import imresize, to_pixels, to_tensor
from stsr_cli.options import ModelOptions
from stsr_cli.pairs import load_pair
from stsr_cli.registry import build
from stsr_cli.testsets import find_dataset, read_image, read_triplet

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


def test_png_and_webp_are_read_exactly(write_frames, shared_dir: Path) -> None:
    expected = np.random.default_rng(0).integers(0, 256, (31, 45, 3), np.uint8)
    folder = write_frames("clip", [expected])
    np.testing.assert_array_equal(read_image(folder / "1.png"), expected)
    image = pytest.importorskip("PIL.Image")
    for name in ("vid4/city/001.webp", "middlebury/gt/Beanbags/frame10i11.webp"):
        path = shared_dir / "data" / "eval" / name
        np.testing.assert_array_equal(read_image(path), np.asarray(image.open(path).convert("RGB")))


def test_even_frames_with_both_neighbours_are_the_truth(write_frames, tmp_path: Path) -> None:
    # Twelve frames: 10 sorts after 9, and the twelfth has no right neighbour.
    write_frames("set/a", [picture(i, 8, 8) for i in range(12)])
    write_frames("set/b", [picture(i, 8, 8) for i in range(3)])
    write_frames("set/short", [picture(i, 8, 8) for i in range(2)])
    dataset = find_dataset(tmp_path / "set")
    assert dataset.name == "set"
    found = [
        (item.clip, *(int(path.stem) for path in (item.frame0, item.target, item.frame1)))
        for item in dataset.samples
    ]
    expected = [("a", middle - 1, middle, middle + 1) for middle in (2, 4, 6, 8, 10)]
    assert found == [*expected, ("b", 1, 2, 3)]
    chosen = find_dataset(tmp_path / "set", limit=3).samples
    assert [(item.clip, int(item.target.stem)) for item in chosen] == [
        ("a", 2),
        ("a", 6),
        ("a", 10),
    ]


def test_layouts_of_middlebury_ucf101_and_one_clip(write_frames, tmp_path: Path) -> None:
    frames = [picture(i, 8, 8) for i in range(3)]
    write_frames("mb/input/Urban", [frames[0], frames[2]], ["frame10", "frame11"])
    write_frames("mb/input/Hidden", [frames[0], frames[2]], ["frame10", "frame11"])  # has no truth
    write_frames("mb/gt/Urban", [frames[1]], ["frame10i11"])
    (triplet,) = find_dataset(tmp_path / "mb").samples
    assert triplet.clip == "Urban"
    names = [path.name for path in (triplet.frame0, triplet.target, triplet.frame1)]
    assert names == ["frame10.png", "frame10i11.png", "frame11.png"]

    clip = write_frames("ucf/37", frames, ["frame_00", "frame_01_gt", "frame_02"])
    for folder in (tmp_path / "ucf", clip):
        (triplet,) = find_dataset(folder).samples
        assert triplet.clip == "37"
        assert triplet.target.name == "frame_01_gt.png"


def test_given_frames_are_cropped_degraded_and_rounded(write_frames, tmp_path: Path) -> None:
    frames = [picture(i) for i in range(3)]
    (triplet,) = find_dataset(write_frames("clip", frames)).samples
    lr_frame0, target, lr_frame1 = read_triplet(triplet)
    np.testing.assert_array_equal(target, frames[1][:48, :64])
    for lr_frame, frame in ((lr_frame0, frames[0]), (lr_frame1, frames[2])):
        expected = imresize(to_tensor(frame[:48, :64]).double(), (12, 16))
        assert lr_frame.dtype == np.uint8
        np.testing.assert_array_equal(lr_frame, to_pixels(expected))


def test_figures_are_the_mean_over_all_truths(write_frames, tmp_path: Path) -> None:
    write_frames("set/a", [picture(i) for i in range(5)])
    write_frames("set/b", [picture(9 + i) for i in range(3)])
    told: list[tuple[int, int]] = []
    (row,) = evaluate(
        [tmp_path / "set"], BASELINE, "both", on_triplet=lambda *done: told.append(done)
    )
    assert told == [(1, 3), (2, 3), (3, 3)]
    expected = []
    for triplet in find_dataset(tmp_path / "set").samples:
        lr_frame0, target, lr_frame1 = (to_tensor(pixels) for pixels in read_triplet(triplet))
        middle = imresize((lr_frame0 + lr_frame1) / 2, (48, 64))
        expected.append(measure(to_pixels(middle), to_pixels(target)))
    for name in expected[0]:
        mean = np.mean([values[name] for values in expected])
        assert row[name] == pytest.approx(mean, abs=2e-3), name
    assert [(clip["clip"], clip["num_frames"]) for clip in row["clips"]] == [("a", 2), ("b", 1)]
    assert row["clips"][1]["psnr_rgb"] == pytest.approx(expected[2]["psnr_rgb"], abs=2e-3)
    assert (row["num_frames"], row["gain_psnr_rgb"]) == (3, 0)


def test_clips_of_two_sizes_and_missing_data_are_refused(write_frames, tmp_path: Path) -> None:
    mixed = write_frames("mixed", [picture(0), picture(1, 40, 66), picture(2)])
    with pytest.raises(InputError, match="differ in size"):
        evaluate([mixed], BASELINE, "t2s")
    with pytest.raises(InputError, match="is not a folder"):
        find_dataset(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no clip of three images"):
        find_dataset(tmp_path / "empty")


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
    rows = evaluate([folder], options, stream)
    assert [row["stream"] for row in rows] == ["t2s", *streams]
    assert [row["system"] for row in rows] == ["bicubic+blend"] + ["span+blend"] * len(streams)
    for row in rows:
        gain = row["psnr_rgb"] - rows[0]["psnr_rgb"]
        assert row["gain_psnr_rgb"] == pytest.approx(gain)
        assert abs(gain) < 1  # SPAN starts at the bicubic result
    model = load_pair(options)
    (triplet,) = find_dataset(folder).samples
    lr_frame0, target, lr_frame1 = read_triplet(triplet)
    given = to_tensor(lr_frame0)[None], to_tensor(lr_frame1)[None]
    with torch.inference_mode():
        found = {name: model(*given, name)[1] for name in ("t2s", "s2t")}
    found["mean"] = (found["t2s"] + found["s2t"]) / 2
    for row in rows[1:]:
        expected = measure(to_pixels(found[row["stream"]][0]), target)
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
    folder = write_frames("set/a", [picture(i) for i in range(3)]).parent
    options = ModelOptions("span", "blend", device="cpu")
    rows = evaluate([folder], options, "both", ["cdca", "baseline", "streams"])
    assert [(row["system"], row["stream"]) for row in rows] == [
        ("bicubic+blend", "t2s"),
        ("cdca", "-"),
        *(("span+blend-separate", stream) for stream in ("t2s", "s2t", "mean")),
        *(("span+blend", stream) for stream in ("t2s", "s2t", "mean")),
    ]
    (triplet,) = find_dataset(folder).samples
    lr_frame0, target, lr_frame1 = (to_tensor(pixels)[None] for pixels in read_triplet(triplet))
    expected = measure(to_pixels(tricubic(lr_frame0, lr_frame1, 0.5, 4)[0]), to_pixels(target[0]))
    assert rows[1]["psnr_rgb"] == pytest.approx(expected["psnr_rgb"], abs=0.05)
    assert rows[2]["psnr_rgb"] != rows[5]["psnr_rgb"], "B has weights of its own"
    assert len(evaluate([folder], options, "t2s", ["streams"])) == 2
    with pytest.raises(UsageError, match=r"--weights fill one system, and 2.*streams, cdca.*once"):
        given = ModelOptions("span", "blend", ("pair",))
        evaluate([folder], given, "t2s", ["streams", "cdca"])


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
        *("dataset", "system", "stream", "num_frames", "psnr_rgb", "ssim_rgb", "psnr_y", "ssim_y"),
        *("gain_psnr_rgb", "clips"),
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
    (row,) = evaluate([folder], BASELINE, "both")
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
    (row,) = evaluate([folder], BASELINE, "both")
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
        evaluate([folder], BASELINE, "both")
