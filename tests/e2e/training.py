"""What the tests of `stsr train` share: clips whose motion can be learnt, tiny networks, and what a run leaves."""

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import av
import numpy as np
import torch

from stsr_cli.checkpoint import read_tensors
from stsr_cli.options import Recipe, TrainOptions
from stsr_cli.presets import recipe

STSR = Path(sys.executable).with_name("stsr")
CONFIGS = {
    "espcn": {"num_channels": 8},
    "dvf": {"num_channels": 2},
    "rife": {"scales": [2, 1], "num_channels": [8, 8], "num_convs": 1, "num_refine_channels": 4},
}
PAIR = ["--spatial", "espcn", "--spatial-config", json.dumps(CONFIGS["espcn"])]
PAIR += ["--temporal", "dvf", "--temporal-config", json.dumps(CONFIGS["dvf"])]
FAST = ["--crop", "24", "--batch-size", "4", "--threads", "1", "--device", "cpu"]
# An average over more steps than there are would hide what they do.
PLAIN = ["--ema-decay", "0"]
EVERY_STEP = ["--validate-steps", "1"]


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


def read_log(run, what="psnr"):
    """The lines of a run's log that hold `what`: those of validations, or "gradient_norm" of steps; NaN is no JSON."""

    def refuse(constant):
        raise ValueError(f"{constant} is not JSON")

    lines = (run / "log.jsonl").read_text().splitlines()
    return [line for text in lines if what in (line := json.loads(text, parse_constant=refuse))]


def newest_checkpoint(run):
    (folder,) = (run / "checkpoints").iterdir()  # one, and nothing half-written
    return folder


def read_checkpoint(run):
    """Step, model, average and state of a run's only checkpoint."""
    folder = newest_checkpoint(run)
    return {
        "step": int(folder.name.removeprefix("step-")),
        "model": read_tensors(folder / "model.safetensors"),
        "ema": read_tensors(folder / "ema.safetensors"),
        "state": torch.load(folder / "state.pt", weights_only=True)["state"],
    }


def assert_same_tensors(actual, expected):
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(actual[name], tensor), name


def assert_same_run(actual, expected):
    """Two runs ended at the same step with the very same weights and average, and with the same best ones."""
    one, other = read_checkpoint(actual), read_checkpoint(expected)
    assert one["step"] == other["step"]
    assert_same_tensors(one["model"], other["model"])
    assert_same_tensors(one["ema"], other["ema"])
    assert_same_tensors(*(read_tensors(run / "weights.safetensors") for run in (actual, expected)))


def assert_falls(losses):
    """Crops differ from step to step, so that these are means over the steps between two validations."""
    assert all(np.isfinite(losses))
    assert np.mean(losses[-2:]) < 0.8 * losses[0], losses


def names_under(folder):
    """Every file and folder below, hidden ones too."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def environment(**more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "STSR_"))}
    return {**kept, "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "COLUMNS": "100", **more}


def stop_after(command, line, number, code, folder, prefix=()):
    """Start a run, send it a signal once `line` is on stderr, and return its stderr."""
    process = subprocess.Popen(
        [*prefix, *map(str, command)],
        cwd=folder,
        env=environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
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
    assert "Traceback" not in "".join(read)
    return "".join(read)


def run_of(data, out, changes):
    """Options of a run of the joint stage of the tiny pair over `data`, with changes of them or of the recipe."""
    names = {field.name for field in fields(Recipe)}
    of_recipe = {name: value for name, value in changes.items() if name in names}
    of_run = {name: value for name, value in changes.items() if name not in names}
    defaults = {
        "labeled": (data / "hr",),
        "spatial": "espcn",
        "temporal": "dvf",
        "spatial_config": CONFIGS["espcn"],
        "temporal_config": CONFIGS["dvf"],
        "cache": data / "cache",
        "device": "cpu",
    }
    stage = of_run.pop("stage", "joint")
    return TrainOptions(
        out=out, stage=stage, recipe=recipe("modern", stage, of_recipe), **{**defaults, **of_run}
    )
