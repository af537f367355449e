"""`stsr train` for real: tiny networks, a few steps, on clips whose motion can be learnt."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from stsr_cli.checkpoint import Weights, load_weights, save_weights
from stsr_cli.cli import main
from stsr_cli.errors import InterruptedRun
from stsr_cli.options import TrainOptions
from stsr_cli.registry import build
from stsr_cli.training.loop import Trainer

CONFIGS = {
    "espcn": {"num_channels": 8},
    "dvf": {"num_channels": 2},
    "rife": {"scales": [2, 1], "num_channels": [8, 8], "num_convs": 1, "num_refine_channels": 4},
}
PAIR = ["--spatial", "espcn", "--spatial-config", json.dumps(CONFIGS["espcn"])]
PAIR += ["--temporal", "dvf", "--temporal-config", json.dumps(CONFIGS["dvf"])]
FAST = ["--crop", "24", "--batch-size", "4", "--threads", "1", "--device", "cpu"]
EVERY_STEP = ["--validate-minutes", "0"]


def moving_texture(seed, num_frames, width, height):
    """A detailed picture that moves 3 pixels a frame: bicubic and blend do badly on it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    waves = rng.uniform(0.05, 0.6, (12, 2)), rng.uniform(0, 6, 12), rng.uniform(0.2, 1, (12, 3))
    step_x, step_y = [(3, 0), (0, 3), (-3, 0), (2, 2)][seed % 4]
    frames = []
    for index in range(num_frames):
        image = np.full((height, width, 3), 128.0)
        for (fx, fy), phase, colour in zip(*waves, strict=True):
            wave = np.sin(fx * (x - step_x * index) + fy * (y - step_y * index) + phase)
            image += 18 * wave[..., None] * colour
        frames.append(image.clip(0, 255).round().astype(np.uint8))
    return frames


def write_clip(path, frames, options=None):
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options=options or {"crf": "10"})
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = "yuv420p"
        for pixels in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode(None))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folders hr/ (D_L: three clips of 160x128) and lr/ (D_U: one of 64x48), and a shared cache."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "hr").mkdir()
    (folder / "lr").mkdir()
    for seed in range(3):
        write_clip(folder / "hr" / f"clip{seed}.mp4", moving_texture(seed, 24, 160, 128))
    write_clip(folder / "lr" / "footage.mp4", moving_texture(3, 12, 64, 48))
    return folder


@pytest.fixture
def train(run_stsr, data, tmp_path):
    """Run `stsr train` in tmp_path on the clips, into OUT.safetensors unless told otherwise."""

    def run(stage, *arguments, code=0, out="out.safetensors"):
        sources = ["--labeled", data / "hr", "--cache", data / "cache"]
        options = ["--stage", stage, "--out", out, *FAST, *arguments]
        result = run_stsr("train", *sources, *options, cwd=tmp_path)
        assert result.returncode == code, result.stderr
        assert "Traceback" not in result.stderr
        return result

    return run


def read_log(path):
    """Every line of a training log; NaN is no JSON."""

    def refuse(constant):
        raise ValueError(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def read_state(path):
    return torch.load(path, weights_only=True)["state"]


def assert_same_tensors(actual, expected):
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(actual[name], tensor), name


def assert_falls(losses):
    """Crops differ from step to step, so it takes means to see the trend."""
    assert all(np.isfinite(losses))
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:5]), losses


def test_spatial_stage_learns_and_its_weights_upscale(train, run_stsr, make_clip, tmp_path):
    result = train(
        "spatial", *PAIR, *EVERY_STEP, "--steps", "50", "--learning-rate", "0.03", "--ema-decay=0"
    )
    assert result.stdout == "out.safetensors\n"
    log = read_log(tmp_path / "out.safetensors.log.jsonl")
    assert [line["step"] for line in log] == list(range(1, 51))
    assert_falls([line["loss"] for line in log])
    for line in log:
        assert line["psnr"].keys() == line["baseline"].keys() == {"spatial"}
        assert line["baseline"]["spatial"] == pytest.approx(log[0]["baseline"]["spatial"])
    best = max(line["psnr"]["spatial"] for line in log)
    assert best > log[0]["psnr"]["spatial"] + 3
    assert f"{best:.2f} dB" in result.stderr
    weights = load_weights(tmp_path / "out.safetensors")
    assert weights.temporal is None
    assert weights.spatial.config["num_channels"] == 8
    assert weights.training["psnr"]["spatial"] == pytest.approx(best), "OUT is the best, not last"
    names = ["--spatial", "espcn", "--temporal", "blend", "--weights", "out.safetensors"]
    result = run_stsr("upscale", make_clip(), "big.mp4", *names, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    with av.open(str(tmp_path / "big.mp4")) as container:
        assert (container.streams.video[0].width, container.streams.video[0].frames) == (256, 16)


@pytest.mark.parametrize(("temporal", "learning_rate"), [("rife", 0.1), ("dvf", 0.01)])
def test_temporal_stage_learns(train, tmp_path, temporal, learning_rate):
    names = ["--spatial", "bicubic", "--temporal", temporal]
    config = ["--temporal-config", json.dumps(CONFIGS[temporal])]
    speed = ["--steps", "40", "--learning-rate", learning_rate, "--ema-decay=0"]
    train("temporal", *names, *config, *speed, *EVERY_STEP)
    log = read_log(tmp_path / "out.safetensors.log.jsonl")
    # crops differ from step to step, so that it shows on held-out frames alone
    psnr = [sum(line["psnr"].values()) for line in log]
    assert max(psnr) > psnr[0] + 0.3
    assert log[0]["psnr"].keys() == {"temporal_lr", "temporal_hr"}
    weights = load_weights(tmp_path / "out.safetensors")
    assert weights.spatial is None
    assert weights.temporal.config.items() >= CONFIGS[temporal].items()


def test_temporal_stage_takes_crops_of_any_size(train):
    """Of a --crop of 17, f_T sees 22 pixels, which no U-Net can halve three times."""
    names = ["--spatial", "bicubic", "--temporal", "dvf"]
    train("temporal", *names, "--temporal-config", '{"num_channels": 2}', "--crop=17", "--steps=4")


CDCA = ["--cdca-config", '{"num_channels": 8, "num_features": 8}', "--penalty", "squared"]


def test_cdca_learns_and_its_weights_upscale(train, run_stsr, make_clip, tmp_path):
    speed = ["--steps", "60", "--learning-rate", "0.01", "--ema-decay=0", "--crop=16"]
    train("cdca", *CDCA, *speed, *EVERY_STEP)
    log = read_log(tmp_path / "out.safetensors.log.jsonl")
    losses = [line["loss"] for line in log]
    assert all(np.isfinite(losses))
    end_to_end = losses[15:]
    assert np.mean(end_to_end[-10:]) < np.mean(end_to_end[:10]), losses
    last = log[-1]
    assert last["psnr"].keys() == last["baseline"].keys() == {"given", "new"}
    assert sum(last["psnr"].values()) > sum(last["baseline"].values())
    weights = load_weights(tmp_path / "out.safetensors")
    assert (weights.spatial, weights.temporal) == (None, None)
    assert weights.training["stage"] == "cdca"
    assert {name.partition(".")[0] for name in weights.cdca.state_dict()} == {
        *("encoder_lr", "mapping", "decoder_hr")
    }, "what only training needs is not in the file"
    names = ["--system", "cdca", "--weights", "out.safetensors"]
    result = run_stsr("upscale", make_clip(num_frames=2), "big.mp4", *names, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    train("cdca", *CDCA, "--init=out.safetensors", "--steps=1", out="again.safetensors")


@pytest.fixture
def _one_thread():
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.mark.usefixtures("_one_thread")
def test_cdca_goes_on_through_its_stages_as_if_never_stopped(data, tmp_path):
    """Stopped in every stage: after 3 of 40 steps (auto-encoders), 5 (mapping), 9 (the whole)."""

    def run(name, stop_at=0, **more):
        def on_status(status):
            if status.step == stop_at:
                signal.raise_signal(signal.SIGINT)  # ends the run after one more step

        options = TrainOptions(
            labeled=(data / "hr",),
            out=tmp_path / f"{name}.safetensors",
            stage="cdca",
            cdca_config=json.loads(CDCA[1]),
            cache=data / "cache",
            device="cpu",
            **{"steps": 40, "batch_size": 2, "crop": 16, "ema_decay": 0.9, "learning_rate": 0.01},
            **more,
        )
        Trainer(options).run(on_status)

    run("straight")
    for stop_at, is_averaged in ((2, False), (4, False), (8, True)):
        with pytest.raises(InterruptedRun, match=f"stopped at step {stop_at + 1};"):
            run("out", stop_at, resume=stop_at > 2, validate_minutes=0)
        state = read_state(tmp_path / "out.safetensors.state")
        equal = [
            torch.equal(tensor, state["ema"][f"module.{name}"])
            for name, tensor in state["model"].items()
        ]
        assert all(equal) != is_averaged, "the average begins with the last stage"
    run("out", resume=True)
    straight, resumed = (
        read_state(tmp_path / f"{name}.safetensors.state") for name in ("straight", "out")
    )
    assert straight["step"] == resumed["step"] == 40
    assert_same_tensors(resumed["model"], straight["model"])
    assert_same_tensors(resumed["ema"], straight["ema"])


def batch_norm_statistics(tensors):
    return {name: tensor for name, tensor in tensors.items() if "running_" in name}


@pytest.mark.parametrize("ema_decay", ["0", "0.9"])
def test_joint_stage_learns_with_frozen_batch_norm(train, run_stsr, make_clip, tmp_path, ema_decay):
    init = tmp_path / "init.safetensors"
    torch.manual_seed(0)
    modules = build("spatial", "espcn", CONFIGS["espcn"]), build("temporal", "dvf", CONFIGS["dvf"])
    for module in modules[1].modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    save_weights(init, Weights(*modules))
    speed = ["--steps", "30", "--learning-rate", "0.1", "--ema-decay", ema_decay]
    train("joint", *PAIR, "--init", init, *speed, *EVERY_STEP)
    log = read_log(tmp_path / "out.safetensors.log.jsonl")
    assert_falls([line["loss"] for line in log])
    assert log[0]["psnr"].keys() == log[0]["baseline"].keys() == {"t2s", "s2t"}
    before = batch_norm_statistics(modules[1].state_dict())
    assert len(before) == 14
    trained = load_weights(tmp_path / "out.safetensors")
    assert_same_tensors(batch_norm_statistics(trained.temporal.state_dict()), before)
    state = read_state(tmp_path / "out.safetensors.state")["model"]
    for name, tensor in before.items():
        assert torch.equal(state[f"temporal.{name}"], tensor), name
    for kind, module in zip(("spatial", "temporal"), modules, strict=True):
        for name, tensor in module.named_parameters():
            assert not torch.equal(state[f"{kind}.{name}"], tensor), f"{name} did not learn"
    names = ["--spatial", "espcn", "--temporal", "dvf", "--weights", "out.safetensors"]
    result = run_stsr("upscale", make_clip(num_frames=2), "big.mp4", *names, cwd=tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("stage", ["spatial", "temporal"])
def test_the_other_module_stays_as_it_is(train, tmp_path, stage):
    init = tmp_path / "init.safetensors"
    modules = {
        "spatial": build("spatial", "espcn", CONFIGS["espcn"]),
        "temporal": build("temporal", "dvf", CONFIGS["dvf"]),
    }
    save_weights(init, Weights(**modules))
    train(stage, *PAIR, "--init", init, "--steps", "4", "--learning-rate", "0.1")
    state = read_state(tmp_path / "out.safetensors.state")
    for kind, module in modules.items():
        for name, tensor in module.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            is_same = torch.equal(state["model"][f"{kind}.{name}"], tensor)
            assert is_same == (kind != stage), f"{kind}.{name}"


def test_unlabeled_footage_counts_in_the_consistency_alone(train, data, tmp_path):
    """With lambda = 0, two labeled and two unlabeled samples teach what the two labeled ones do."""
    options = [*PAIR, "--steps=4", "--learning-rate=0.1", "--ema-decay=0"]
    unlabeled = ["--unlabeled", data / "lr", "--batch-size=4"]
    train("joint", *options, "--consistency-weight=0", "--batch-size=2", out="labeled.safetensors")
    train("joint", *options, "--consistency-weight=0", *unlabeled, out="zero.safetensors")
    labeled, zero = (
        read_state(tmp_path / f"{name}.safetensors.state")["model"] for name in ("labeled", "zero")
    )
    for name, tensor in labeled.items():
        torch.testing.assert_close(zero[name], tensor, rtol=1e-3, atol=2e-4)


def test_going_on_equals_never_stopping(train, data, tmp_path):
    """Ctrl-C after some steps, going on until a kill, going on to the end: the very same tensors."""
    unlabeled = ["--unlabeled", data / "lr", "--ema-decay", "0.9", "--learning-rate", "0.02"]
    options = [*PAIR, *unlabeled, *EVERY_STEP, "--steps", "24"]
    train("joint", *options, out="straight.safetensors")
    command = [Path(sys.executable).with_name("stsr"), "train", "--labeled", data / "hr"]
    command += ["--cache", data / "cache", "--stage", "joint", "--out", "out.safetensors"]
    command += [*FAST, *options, "--save-minutes", "0"]
    stderr = stop_after(command, "step      6 ", signal.SIGINT, 130, tmp_path)
    last_line = stderr.splitlines()[-1]
    assert last_line.startswith("stsr: stopped at step ")
    assert "--resume" in last_line
    assert "Traceback" not in stderr
    first_stop = read_state(tmp_path / "out.safetensors.state")["step"]
    assert 6 <= first_stop < 20
    stop_after([*command, "--resume"], f"step {first_stop + 3:6d} ", signal.SIGKILL, -9, tmp_path)
    second_stop = read_state(tmp_path / "out.safetensors.state")["step"]
    assert first_stop + 2 <= second_stop < 24
    train("joint", *options, "--resume")
    straight = read_state(tmp_path / "straight.safetensors.state")
    resumed = read_state(tmp_path / "out.safetensors.state")
    assert straight["step"] == resumed["step"] == 24
    assert_same_tensors(resumed["model"], straight["model"])
    assert_same_tensors(resumed["ema"], straight["ema"])
    actual, expected = (
        load_weights(tmp_path / f"{name}.safetensors") for name in ("out", "straight")
    )
    assert_same_tensors(actual.spatial.state_dict(), expected.spatial.state_dict())
    assert_same_tensors(actual.temporal.state_dict(), expected.temporal.state_dict())


def stop_after(command, line, number, code, folder):
    """Start a run, send it a signal once `line` is on stderr, and return its stderr."""
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        read = []
        for text in process.stderr:
            read.append(text)
            if line in text:
                process.send_signal(number)
                break
        read += process.stderr
        assert process.wait(60) == code, "".join(read)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    return "".join(read)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_sigterm_saves_the_state_too(data, tmp_path):
    command = [Path(sys.executable).with_name("stsr"), "train", "--labeled", data / "hr", *FAST]
    command += ["--cache", data / "cache", "--stage", "spatial", "--out", "out.safetensors", *PAIR]
    command += ["--minutes", "5", *EVERY_STEP]
    stop_after(command, "step      3 ", signal.SIGTERM, 130, tmp_path)
    assert read_state(tmp_path / "out.safetensors.state")["step"] >= 3
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.fixture
def finished_run(train, data, tmp_path):
    """What a run of the spatial stage over three steps left in tmp_path; trained once a module."""
    kept = data / "finished"
    if not kept.is_dir():
        train("spatial", *PAIR, "--steps", "3")
        shutil.copytree(tmp_path, kept)
    shutil.copytree(kept, tmp_path, dirs_exist_ok=True)


def test_resuming_a_finished_run_changes_nothing(finished_run, train, tmp_path):
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.safetensors")}
    train("spatial", *PAIR, "--steps", "3", "--resume")
    after = {path.name: path.read_bytes() for path in tmp_path.glob("*.safetensors")}
    assert before == after
    assert {line["step"] for line in read_log(tmp_path / "out.safetensors.log.jsonl")} == {3}


@pytest.fixture
def refused(data, tmp_path, monkeypatch):
    """Run `stsr train` with what it must refuse; check the code, one line, and that nothing is new."""
    monkeypatch.chdir(tmp_path)

    def run(code, words, *arguments):
        before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
        options = ["--out", "out.safetensors", "--cache", data / "cache", *FAST, *arguments]
        num_threads = torch.get_num_threads()
        try:
            result = CliRunner().invoke(main, ["train", *map(str, options)], prog_name="stsr")
        finally:
            torch.set_num_threads(num_threads)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        lines = [line for line in result.stderr.splitlines() if "on the held-out split" not in line]
        assert result.exit_code == code, result.stderr
        assert result.stdout == ""
        if lines[0].startswith("Usage: stsr"):
            assert len(lines) <= 4 and lines[-1].startswith("Error: "), result.stderr
        else:
            assert len(lines) == 1 and lines[0].startswith("stsr: "), result.stderr
        for word in words:
            assert word in lines[-1], result.stderr
        assert before == {
            path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")
        }

    return run


SPATIAL = ["--stage", "spatial", *PAIR, "--steps", "2"]


def test_no_end(refused, data):
    refused(2, ["--steps", "--minutes"], "--labeled", data / "hr", *SPATIAL[:-2])


def test_no_data(refused):
    refused(2, ["--labeled"], *SPATIAL)


def test_missing_data(refused):
    refused(4, ["gone"], "--labeled", "gone", *SPATIAL)


def test_empty_data(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(4, ["empty"], "--labeled", "empty", *SPATIAL)


def test_missing_unlabeled_data(refused, data):
    joint = ["--stage", "joint", *SPATIAL[2:]]
    refused(4, ["gone"], "--labeled", data / "hr", "--unlabeled", "gone", *joint)


def test_list_names_a_missing_video(refused, tmp_path):
    (tmp_path / "list.txt").write_text("gone.mp4\t0\n")
    refused(4, ["gone.mp4"], "--labeled", "list.txt", *SPATIAL)


@pytest.mark.parametrize(
    ("option", "value", "code", "word"),
    [
        ("--spatial", "espcm", 2, "did you mean 'espcn'"),
        ("--spatial-config", '{"depth": 3}', 2, "depth"),
        ("--spatial-config", '{"num_channels": "x"}', 2, "num_channels"),
        ("--spatial-config", "[1]", 2, "JSON object"),
        ("--crop", "64", 2, "--crop"),
        ("--stage", "both", 2, "--stage"),
        ("--device", "cuda:77", 6, "cuda:77"),
        ("--cdca-config", "[1]", 2, "JSON object"),
        ("--init", "gone.safetensors", 5, "gone.safetensors"),
        ("--out", "gone/out.safetensors", 2, "gone"),
        ("--out", ".", 2, "--out"),
        ("--labeled", "gone.mp4", 4, "gone.mp4"),
    ],
)
def test_bad_option(refused, data, option, value, code, word):
    refused(code, [word], "--labeled", data / "hr", *SPATIAL, option, value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--spatial", "espcn"], ["--spatial cannot be used with --stage cdca"]),
        (["--cdca-config", '{"depth": 3}'], ["depth"]),
        (["--cdca-config", '{"num_features": 2}'], ["num_features 2", "3 or more"]),
        (["--cdca-config", '{"num_features": "x"}'], ["CDCA", "x"]),
    ],
    ids=lambda value: value[-1] if value[0][0] == "-" else None,
)
def test_bad_option_of_cdca(refused, data, arguments, words):
    refused(2, words, "--labeled", data / "hr", "--stage", "cdca", "--steps", "2", *arguments)


def test_nothing_to_train(refused, data):
    names = ["--spatial", "bicubic", "--spatial-config", "{}"]
    refused(2, ["nothing to train"], "--labeled", data / "hr", *SPATIAL, *names)


def test_stills_have_no_motion_to_learn(refused, make_clip):
    frame = moving_texture(0, 1, 160, 128)[0]
    still = make_clip("still.mp4", frames=[frame] * 10)
    refused(2, ["moving"], "--labeled", still, "--stage", "temporal", *SPATIAL[2:])


def test_resume_without_a_state(refused, data):
    refused(2, ["nothing to resume"], "--labeled", data / "hr", *SPATIAL, "--resume")


@pytest.mark.parametrize(
    "options",
    [
        ["--seed", "1"],
        ["--crop", "20"],
        ["--batch-size", "5"],
        ["--stage", "joint"],
        ["--optimizer", "sgd"],
        ["--spatial-config", '{"num_channels": 4}'],
    ],
    ids=lambda options: options[0].strip("-"),
)
def test_resume_with_other_options(finished_run, refused, data, options):
    again = [*SPATIAL, "--steps", "5", "--resume", *options]
    refused(2, ["cannot resume"], "--labeled", data / "hr", *again)


@pytest.mark.parametrize("content", ["garbage", "another program's", "cut"])
def test_resume_from_a_damaged_state(refused, data, tmp_path, content):
    state = tmp_path / "out.safetensors.state"
    torch.save({"epoch": 3, "weights": torch.zeros(5)}, state)
    if content == "garbage":
        state.write_bytes(b"no state at all\n" * 9)
    if content == "cut":
        state.write_bytes(state.read_bytes()[:-300])
    refused(5, [state.name], "--labeled", data / "hr", *SPATIAL, "--resume")
