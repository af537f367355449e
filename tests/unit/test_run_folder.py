"""A run's folder: real files, read back by the programs that people will read them with."""

import io
import json
import os
import re
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from stsr_cli.checkpoint import Weights
from stsr_cli.errors import StsrError, UsageError
from stsr_cli.registry import build
from stsr_cli.training import run_folder
from stsr_cli.training.card import run_card
from stsr_cli.training.run_folder import RunFolder
from stsr_cli.training.status import Picture, StepStatus, TrainStatus

BASELINE = {"t2s": 25.0, "s2t": 26.0}


def step_status(step):
    return StepStatus(
        step, step / 100, step / 10, {"loss": 1 / step, "consistency": 0.5}, 1e-3, 2.0
    )


def train_status(step, is_best=True, gain=1.5):
    psnr = {name: value + gain for name, value in BASELINE.items()}
    return TrainStatus(step, step / 10, step / 100, {"loss": 1 / step}, psnr, BASELINE, is_best)


def picture(step=1):
    images = np.random.default_rng(step).integers(0, 256, (2, 16, 24, 3), dtype=np.uint8)
    return Picture("a clip/7", (("bicubic + blend", images[0]), ("original", images[1])))


def decode(content: bytes) -> np.ndarray:
    with av.open(io.BytesIO(content), format="png_pipe") as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def read_log(path: Path) -> list[dict]:
    return [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]


def read_events(path: Path) -> EventAccumulator:
    events = EventAccumulator(str(path / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    return events.Reload()


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "runs" / "first"


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def no_curves(monkeypatch):
    """Leave the curves out, which take longest."""
    monkeypatch.setattr(run_folder, "draw_curves", lambda lines: b"")


def train(path, notes, steps, start=0, validate_every=10):
    """Log steps `start` + 1 to `steps` as a run does."""
    folder = RunFolder(path)
    folder.create("stage = 'joint'\n")
    folder.start(start, notes.append)
    for step in range(start + 1, steps + 1):
        folder.log_step(step_status(step))
        if step % validate_every == 0:
            folder.log_validation(train_status(step), [picture(step)])
    folder.close()


def test_a_run_leaves_what_people_look_at(path, notes):
    train(path, notes, 20)
    assert notes == []
    assert (path / "config.toml").read_text() == "stage = 'joint'\n"
    assert read_log(path) == [
        {
            "step": step,
            "elapsed_minutes": step / 10,
            "progress": step / 100,
            "losses": {"loss": 1 / step},
            "psnr": {"t2s": 26.5, "s2t": 27.5},
            "baseline": BASELINE,
            "is_best": True,
        }
        for step in (10, 20)
    ]
    assert decode((path / "curves.png").read_bytes()).shape == (480, 1280, 3)
    samples = sorted(file.name for file in (path / "samples").iterdir())
    assert samples == ["step-00000010.png", "step-00000020.png"]
    sheet = decode((path / "samples" / samples[-1]).read_bytes())
    assert sheet.shape[0] > 16 and sheet.shape[1] > 48
    assert sorted(file.name for file in path.iterdir()) == [
        *("config.toml", "curves.png", "log.jsonl", "samples", "tensorboard")
    ]


def test_tensorboard_reads_the_events(path, notes):
    train(path, notes, 20)
    events = read_events(path)
    train_tags = {
        f"train/{name}" for name in ("loss", "consistency", "learning_rate", "gradient_norm")
    }
    assert set(events.Tags()["scalars"]) == train_tags | {
        *("psnr/t2s", "psnr/s2t", "gain/t2s", "gain/s2t")
    }
    losses = events.Scalars("train/loss")
    assert [(event.step, event.value) for event in losses] == [
        (step, pytest.approx(1 / step)) for step in range(1, 21)
    ]
    assert [event.value for event in events.Scalars("gain/s2t")] == pytest.approx([1.5, 1.5])
    (tag,) = events.Tags()["images"]
    image = events.Images(tag)[0]
    strip = decode(image.encoded_image_string)
    assert strip.shape == (image.height, image.width, 3)
    assert np.array_equal(strip[-16:, :24], picture(10).columns[0][1])


def test_images_are_added_to_the_events_a_bounded_number_of_times(path, notes, no_curves):
    train(path, notes, 100, validate_every=1)
    events = read_events(path)
    (tag,) = events.Tags()["images"]
    assert [event.step for event in events.Images(tag)] == [1, *range(5, 101, 5)]
    assert len(read_log(path)) == 100


def test_the_first_and_the_last_twenty_sheets_are_kept(path, notes, no_curves):
    train(path, notes, 30, validate_every=1)
    samples = sorted(int(file.stem[5:]) for file in (path / "samples").iterdir())
    assert samples == [1, *range(11, 31)]


def test_a_resumed_run_forgets_what_came_after_its_checkpoint(path, notes):
    train(path, notes, 30)
    with (path / "log.jsonl").open("a") as log:
        log.write('{"step": 40, "elaps')  # the machine went down
    train(path, notes, 40, start=15)
    assert notes == []
    assert [line["step"] for line in read_log(path)] == [10, 20, 30, 40]
    assert sorted(int(file.stem[5:]) for file in (path / "samples").iterdir()) == [10, 20, 30, 40]
    events = read_events(path)
    assert [event.step for event in events.Scalars("train/loss")] == list(range(1, 41))
    assert [event.step for event in events.Scalars("psnr/t2s")] == [10, 20, 30, 40]


def test_the_log_never_repeats_a_step(path, notes):
    train(path, notes, 20)
    folder = RunFolder(path)
    folder.start(20, notes.append)
    folder.log_validation(train_status(20, gain=3.0), [])
    folder.close()
    log = read_log(path)
    assert [line["step"] for line in log] == [10, 20]
    assert log[-1]["psnr"]["t2s"] == 28.0


def test_a_run_that_starts_over_keeps_nothing(path, notes):
    train(path, notes, 30)
    foreign = path / "samples" / "step-by-step.png"
    foreign.touch()
    train(path, notes, 10)
    assert [line["step"] for line in read_log(path)] == [10]
    assert {file.name for file in (path / "samples").iterdir()} == {
        *("step-00000010.png", foreign.name)
    }
    assert len(list((path / "tensorboard").iterdir())) == 1
    assert len(read_events(path).Scalars("train/loss")) == 10


def test_paths_and_the_card(path):
    folder = RunFolder(path)
    folder.create("")
    folder.write_card("# Ä card\n")
    assert (path / "README.md").read_bytes() == "# Ä card\n".encode()
    assert folder.weights_path == path / "weights.safetensors"
    assert folder.checkpoints_path == path / "checkpoints"
    folder.close()  # never started
    folder.close()


@pytest.mark.parametrize("name", ["file", "file/run"])
def test_a_file_in_its_place_is_refused(name, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"^a run needs a folder, and .*file\S* is a file; .+\Z"):
        RunFolder(tmp_path / name).create("")


@pytest.mark.posix
@pytest.mark.skipif(
    os.name == "posix" and os.geteuid() == 0, reason="root may write into read-only folders"
)
def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(UsageError, match=r"^cannot create the folder .+\Z"):
            RunFolder(tmp_path / "run").create("")
        with pytest.raises(StsrError, match=r"^cannot write .+\Z"):
            RunFolder(tmp_path).create("")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder nobody can write into")
def test_a_folder_that_nobody_can_write_into_is_refused():
    with pytest.raises(UsageError, match=r"^cannot create the folder /proc/stsr: .+\Z"):
        RunFolder(Path("/proc/stsr")).create("")
    with pytest.raises(StsrError, match=r"^cannot write /proc/config.toml: .+\Z"):
        RunFolder(Path("/proc")).create("")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the disk that is always full")
@pytest.mark.posix
def test_a_log_on_a_full_disk_is_noted_and_made_good(path, notes):
    folder = RunFolder(path)
    folder.create("")
    folder.start(0, notes.append)
    log = path / "log.jsonl"
    log.symlink_to("/dev/full")
    folder.log_validation(train_status(1), [])
    assert notes == [
        "log.jsonl: No space left on device; its lines are kept for the next validation"
    ]
    log.unlink()  # space again
    folder.log_validation(train_status(2), [])
    folder.log_validation(train_status(3), [])
    folder.close()
    assert [line["step"] for line in read_log(path)] == [1, 2, 3]
    assert len(notes) == 1


def test_files_that_cannot_be_written_are_noted_once_until_they_can(path, notes):
    folder = RunFolder(path)
    folder.create("")
    folder.start(0, notes.append)
    (path / "samples").touch()
    (path / "curves.png").mkdir()
    for step in (1, 2):
        folder.log_validation(train_status(step), [picture()])
    assert [note.split(":")[0] for note in notes] == ["sample pictures", "curves.png"]
    assert not any("\n" in note for note in notes)
    (path / "samples").unlink()
    folder.log_validation(train_status(3), [picture()])
    assert [file.name for file in (path / "samples").iterdir()] == ["step-00000003.png"]
    folder.close()
    assert len(read_log(path)) == 3
    assert not list(path.rglob("*.part"))


def test_events_that_cannot_be_written_are_noted(path, notes):
    folder = RunFolder(path)
    folder.create("")
    (path / "tensorboard").touch()
    folder.start(0, notes.append)
    folder.log_step(step_status(1))
    folder.log_validation(train_status(1), [picture()])
    folder.close()
    assert len(notes) == 1 and notes[0].startswith("tensorboard: ")
    assert len(read_log(path)) == 1


def test_a_writer_that_fails_on_the_way_is_noted_and_left(path, notes, monkeypatch):
    folder = RunFolder(path)
    folder.create("")
    folder.start(0, notes.append)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder._events, "add_scalar", fail)
    folder.log_step(step_status(1))
    folder.log_step(step_status(2))
    folder.log_validation(train_status(2), [picture()])
    folder.close()
    assert notes == ["tensorboard: No space left on device; no more events of this run"]
    assert (path / "curves.png").exists()


def test_without_matplotlib_and_tensorboard_a_run_has_its_log(path, notes, monkeypatch):
    for module in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    run_folder.picture_strip.__globals__["draw_text"].cache_clear()
    train(path, notes, 20)
    assert len(notes) == 2
    for note, package in zip(notes, ("tensorboard", "matplotlib"), strict=True):
        assert package in note
        assert re.search(r"-m pip install ['\"]accelerate", note) and "\n" not in note
    assert [line["step"] for line in read_log(path)] == [10, 20]
    assert not (path / "curves.png").exists()


def test_the_card_of_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = Weights(build("spatial", "vdsr", {"scale": 4}), build("temporal", "blend"))
    options = {
        "out": str(tmp_path / "runs" / "first"),
        "stage": "joint",
        "labeled": [str(tmp_path / "films"), "/elsewhere/films"],
        "unlabeled": ["/elsewhere/phone"],
        "clips": [],
        "learning_rate": 0.001,
        "init": ["span-rife"],
        "minutes": 60.0,
        "cache": None,
    }
    card = run_card(options, weights, train_status(1200))
    parameters = sum(parameter.numel() for parameter in weights.spatial.parameters())
    for words in [
        "\n# first\n",
        "stsr upscale in.mp4 out.mp4 --weights runs/first/weights.safetensors --spatial vdsr",
        "--temporal blend",
        f"`vdsr`) | {parameters:,} |",
        "| `films` | labeled",
        "| `/elsewhere/films` | labeled",
        "| `/elsewhere/phone` | unlabeled",
        "1,200 steps, 120.0 minutes",
        "| learning rate | 0.001 |",
        '| init | `["span-rife"]` |',
        "| T->S | 25.00 | 26.50 | +1.50 |",
        "licence of the footage",
    ]:
        assert words in card
    assert str(tmp_path) not in card
    assert "cache" not in card and "clips" not in card


def test_the_card_of_a_run_without_a_held_out_split():
    status = TrainStatus(1, 0.1, 1.0, {}, {}, {}, True)
    card = run_card(
        {"out": "x", "stage": "temporal"}, Weights(temporal=build("temporal", "blend")), status
    )
    assert "nothing was measured" in card
    assert "Trained on" not in card
