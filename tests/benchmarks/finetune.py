"""What `stsr finetune CLIP` gains where the original is known.

python tests/benchmarks/finetune.py OUT CLIP...    writes OUT/finetune.json and OUT/finetune.md

Every CLIP is taken as the original: degraded 4x and with every other frame dropped it is the user's footage, which the
installed `stsr finetune` adapts to without ever seeing the original. Two scores: the self-score, which stsr sees (the
held-out end of the footage, restored from what is left of it at a quarter of its size), and the true score, which it
cannot see (the dropped frames at full size against the original), both in RGB PSNR.
"""

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
import time
from itertools import islice, pairwise
from pathlib import Path

import av
import numpy as np
import torch

from stsr_cli.data import degrade
from stsr_cli.device import machine_name
from stsr_cli.ops import to_tensor
from stsr_cli.options import ModelOptions
from stsr_cli.pairs import load_pair
from stsr_cli.video.reader import read_frames

SCALE = 4
NUM_FRAMES = 120  # of an original at most
EVERY = 4  # one pair in four is measured against the original


def footage(original: list[np.ndarray], path: Path) -> list[np.ndarray]:
    """Write what a user would have of the original, losslessly; return its frames."""
    frames = [degrade(pixels, SCALE) for pixels in original[::2]]
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=15)
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = "bgr0"
        for pixels in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode(None))
    return frames


def true_score(weights: tuple[str, ...], frames: list[np.ndarray], original: list[np.ndarray]):
    """Mean RGB PSNR of the new frames by stream, and of f_S on the given ones."""
    model = load_pair(ModelOptions(weights=weights))
    scores: dict[str, list[float]] = {"t2s": [], "s2t": [], "given": []}

    def measure(name: str, prediction: torch.Tensor, index: int) -> None:
        pixels = prediction[0].clamp(0, 1).mul(255).round() / 255
        height, width = pixels.shape[-2:]
        error = (pixels - to_tensor(original[index][:height, :width])).square().mean()
        scores[name].append(float(-10 * torch.log10(error)))

    with torch.inference_mode():
        for index, (first, second) in islice(enumerate(pairwise(frames)), 0, None, EVERY):
            lr0, lr1 = to_tensor(first)[None], to_tensor(second)[None]
            hr0, s2t, _ = model(lr0, lr1, "s2t")
            measure("given", hr0, 2 * index)
            measure("s2t", s2t, 2 * index + 1)
            measure("t2s", model.t2s(lr0, lr1)[0], 2 * index + 1)
    return {name: float(np.mean(values)) for name, values in scores.items()}


def adapt(clip: Path, folder: Path, options: list[str]) -> dict:
    """Adapt to one clip; scores before and after."""
    original = [frame.pixels for frame in islice(read_frames(clip), NUM_FRAMES)]
    height, width = (length - length % (SCALE * SCALE) for length in original[0].shape[:2])
    original = [pixels[:height, :width] for pixels in original]
    path = folder / f"{clip.stem}.mkv"
    frames = footage(original, path)
    run = folder / clip.stem
    command = ["stsr", "finetune", str(path), "--out", str(run), "--cache", str(folder / "cache")]
    start = time.monotonic()
    program = [str(Path(sys.executable).with_name("stsr")), *command[1:], *options]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - start
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr)
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    best = max(log, key=lambda line: sum(line["psnr"].values()))
    before = true_score((), frames, original)
    is_saved = done.returncode == 0
    after = (
        true_score((str(run / "weights.safetensors"),), frames, original) if is_saved else before
    )
    return {
        "clip": clip.name,
        "size": [width // SCALE, height // SCALE, len(frames)],
        "is_saved": is_saved,
        "message": done.stderr.splitlines()[-1],
        "steps": log[-1]["step"],
        "best_step": best["step"],
        "seconds": round(seconds),
        "self_before": log[0]["psnr"],
        "self_after": best["psnr"],
        "true_before": before,
        "true_after": after,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--options", default="", help="more options of stsr finetune")
    arguments = parser.parse_args()
    options = arguments.options.split()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for clip in arguments.clips:
            rows.append(adapt(clip, Path(folder), options))
            print(json.dumps(rows[-1]), file=sys.stderr)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "finetune.json").write_text(json.dumps(rows, indent=1))

    def cells(row: dict, kind: str, names: tuple[str, ...]) -> str:
        gains = (
            f"{row[f'{kind}_before'][name]:.2f} ({row[f'{kind}_after'][name] - row[f'{kind}_before'][name]:+.2f})"
            for name in names
        )
        return " | ".join(gains)

    lines = [
        "| clip (footage) | self T->S | self S->T | true T->S | true S->T | true f_S | best step | time |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        width, height, count = row["size"]
        lines.append(
            f"| {row['clip']} ({width}x{height}, {count} frames) | {cells(row, 'self', ('t2s', 's2t'))} "
            f"| {cells(row, 'true', ('t2s', 's2t', 'given'))} "
            f"| {row['best_step'] if row['is_saved'] else 'nothing saved'} | {row['seconds']} s |"
        )
    machine = machine_name(torch.device("cpu"))
    more = f" --options '{arguments.options}'" if options else ""
    text = (
        f"""# Adapting to a clip without its original

`python tests/benchmarks/finetune.py {arguments.out} CLIP...{more}`,
{datetime.date.today()}, {machine}, torch {torch.__version__.partition("+")[0]}.

RGB PSNR in dB before adapting, and what adapting changed.

"""
        + "\n".join(lines)
        + "\n"
    )
    (arguments.out / "finetune.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
