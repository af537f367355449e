"""How well the disagreement of the two streams predicts the error of the new frame, where the truth is known.

python tests/benchmarks/disagreement.py OUT SET... [--videos VIDEO...]

Writes OUT/disagreement.json and OUT/disagreement.md. Every SET is a folder of frames as `stsr eval` takes it, measured
by the paper's protocol. Spearman's rank correlation is 1 where the more doubtful of two is always the worse one. The
VIDEOs show what --on-doubt has to tell apart: their triplets at their own speed, at three and six times that, and cuts
from one to the next.
"""

import argparse
import datetime
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from stsr_cli.data import degrade, find_triplets
from stsr_cli.data.frames import crop_to_multiple, decode
from stsr_cli.device import machine_name
from stsr_cli.disagreement import block_means, disagreement
from stsr_cli.metrics import psnr_rgb
from stsr_cli.ops import to_pixels, to_tensor
from stsr_cli.options import ModelOptions, OnDoubt
from stsr_cli.pairs import load_pair
from stsr_cli.testsets import SCALE, find_dataset, read_triplet

STREAMS = ("t2s", "s2t", "mean")
SPEEDS = (1, 3, 6)
NUM_TRIPLETS = 6  # of a video and speed, and cuts from one video to the next
THRESHOLD = OnDoubt("hold").threshold


def ranks(values: Sequence[float]) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's rank correlation; nan where one of the two never changes."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(np.corrcoef(ranks(one), ranks(other))[0, 1])


@torch.inference_mode()
def measure(model, lr_frame0, target, lr_frame1) -> dict:
    """Everything that is known about one new frame: errors and differences in levels, PSNR in dB."""
    hr_frames, ((t2s, s2t),) = model.extend_both(to_tensor(np.stack((lr_frame0, lr_frame1))))
    truth = to_tensor(target)[None] * 255
    hr0, hr1 = hr_frames.clamp(0, 1)[:, None] * 255
    (doubt,) = disagreement(t2s, s2t)
    shown = {
        "t2s": t2s,
        "s2t": s2t,
        "mean": (t2s + s2t) / 2,
        "hold": hr_frames[:1],
        "blend": hr_frames.mean(0, keepdim=True),
    }
    psnr = {name: psnr_rgb(to_pixels(frame[0]), target) for name, frame in shown.items()}
    errors = {name: (shown[name].clamp(0, 1) * 255 - truth).abs().mean(1) for name in STREAMS}
    neighbours = (hr0 - hr1).abs().mean(1)
    blocks = {
        "disagreement": block_means(doubt.levels[None]).flatten().numpy(),
        "neighbours": block_means(neighbours).flatten().numpy(),
        **{name: block_means(error).flatten().numpy() for name, error in errors.items()},
    }
    return {
        "disagreement": doubt.mean_levels,
        "worst_block": doubt.worst_block_levels,
        "neighbours": float(neighbours.mean()),
        "error": {name: float(error.mean()) for name, error in errors.items()},
        "psnr": psnr,
        "blocks": {
            predictor: {name: spearman(blocks[predictor], blocks[name]) for name in errors}
            for predictor in ("disagreement", "neighbours")
        },
    }


def correlations(frames: Sequence[dict], predictors: Sequence[str], truth: str = "error") -> dict:
    """By predictor and stream."""
    return {
        predictor: {
            stream: spearman([f[predictor] for f in frames], [f[truth][stream] for f in frames])
            for stream in STREAMS
        }
        for predictor in predictors
    }


def mean_of(found: Sequence[dict]) -> dict:
    """Means of correlations by predictor and stream; {} of none."""
    return {
        predictor: {
            stream: float(np.nanmean([one[predictor][stream] for one in found]))
            for stream in STREAMS
        }
        for predictor in (found[0] if found else ())
    }


def of_set(name: str, clips: Sequence[str], frames: Sequence[dict]) -> dict:
    """A row of the first table; `clips` says which clip a frame is of."""
    by_clip = [
        [frame for frame, of in zip(frames, clips, strict=True) if of == clip]
        for clip in dict.fromkeys(clips)
    ]
    long_clips = [part for part in by_clip if len(part) >= 7]
    return {
        "set": name,
        "num_frames": len(frames),
        "psnr": means(frames),
        "disagreement": float(np.mean([f["disagreement"] for f in frames])),
        "frames": correlations(frames, ("disagreement", "worst_block", "neighbours")),
        "frames_psnr": correlations(frames, ("disagreement", "worst_block", "neighbours"), "psnr"),
        "clips": mean_of([correlations(c, ("disagreement", "neighbours")) for c in long_clips]),
        "blocks": mean_of([f["blocks"] for f in frames]),
        **on_doubt(frames),
    }


def means(frames: Sequence[dict]) -> dict:
    """Mean PSNR in dB by what is shown."""
    return {key: float(np.mean([f["psnr"][key] for f in frames])) for key in frames[0]["psnr"]}


def on_doubt(frames: Sequence[dict]) -> dict:
    """What replacing the frames above the default threshold does, to T->S, in dB."""
    doubtful = [f["psnr"] for f in frames if f["disagreement"] > THRESHOLD]
    gains = {
        action: float(np.mean([psnr[action] - psnr["t2s"] for psnr in doubtful]))
        for action in ("hold", "blend")
        if doubtful
    }
    return {"num_doubtful": len(doubtful), "gain_of_doubtful": gains}


def triplets_of(video: Path, speed: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Some triplets of every `speed`-th frame that move evenly: (lr_frame0, target, lr_frame1, hr_frame0)."""
    hr_frames = [
        crop_to_multiple(pixels, SCALE)
        for index, pixels in zip(range(150), decode(video), strict=False)
        if index % speed == 0
    ]
    lr_frames = [degrade(pixels, SCALE) for pixels in hr_frames]
    starts = find_triplets(np.stack(lr_frames))
    num_chosen = min(NUM_TRIPLETS, len(starts))
    for index in starts[np.arange(num_chosen) * len(starts) // max(num_chosen, 1)]:
        yield lr_frames[index], hr_frames[index + 1], lr_frames[index + 2], hr_frames[index]


def of_videos(model, videos: Iterable[Path]) -> list[dict]:
    """Rows of the second table. In a cut the truth is the frame before it."""
    found: dict[str, list[dict]] = {f"speed x{speed}": [] for speed in SPEEDS} | {"cut": []}
    before = None
    for video in videos:
        for speed in SPEEDS:
            triplets = list(triplets_of(video, speed))
            found[f"speed x{speed}"] += [measure(model, *triplet[:3]) for triplet in triplets]
            if speed != 1 or not triplets:
                continue
            for lr_frame, *_ in triplets:
                if before is not None and before[0].shape == lr_frame.shape:
                    found["cut"].append(measure(model, *before, lr_frame))
            lr_frame, _, _, hr_frame = triplets[-1]
            before = lr_frame, hr_frame
        print(f"{video.name}: {json.dumps({k: len(v) for k, v in found.items()})}", file=sys.stderr)
    return [
        {
            "what": what,
            "num_frames": len(frames),
            "disagreement": [float(np.percentile(values, p)) for p in (0, 50, 95, 100)],
            "psnr": means(frames),
            **on_doubt(frames),
        }
        for what, frames in found.items()
        if frames and (values := [f["disagreement"] for f in frames])
    ]


def markdown(sets: list[dict], videos: list[dict], command: str) -> str:
    def rho(row: dict, what: str, predictor: str) -> str:
        values = row[what].get(predictor)
        return " / ".join(f"{values[stream]:.2f}" for stream in STREAMS) if values else "-"

    def doubtful(row: dict) -> str:
        gains = row["gain_of_doubtful"]
        more = f" (hold {gains['hold']:+.2f}, blend {gains['blend']:+.2f} dB)" if gains else ""
        return f"{row['num_doubtful']} of {row['num_frames']}{more}"

    lines = [
        "# Disagreement of the two streams, and the error of the new frame",
        "",
        f"`{command}`,",
        f"{datetime.date.today()}, {machine_name(torch.device('cpu'))}, torch {torch.__version__.partition('+')[0]}.",
        "",
        "Spearman's rank correlation with the true mean absolute error of T->S / S->T / their mean: over the frames "
        "of a set, over those of each clip of seven or more (mean over the clips), and over the 16x16 blocks of each "
        "frame (mean over the frames). With PSNR in place of the error: disagreement.json. "
        "Disagreement is the mean absolute difference of the two streams in levels of 255. Beside it: the difference "
        "between the two given frames, for which no second stream is needed.",
        "",
        "| set | frames | PSNR T->S / S->T / mean | disagreement | frames: disagreement | its worst block "
        "| given frames | frames of a clip: disagreement | given frames | blocks: disagreement | given frames |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sets:
        psnr = " / ".join(f"{row['psnr'][key]:.2f}" for key in STREAMS)
        lines.append(
            f"| {row['set']} | {row['num_frames']} | {psnr} | {row['disagreement']:.2f} "
            f"| {rho(row, 'frames', 'disagreement')} | {rho(row, 'frames', 'worst_block')} "
            f"| {rho(row, 'frames', 'neighbours')} | {rho(row, 'clips', 'disagreement')} "
            f"| {rho(row, 'clips', 'neighbours')} | {rho(row, 'blocks', 'disagreement')} "
            f"| {rho(row, 'blocks', 'neighbours')} |"
        )
    lines += [
        "",
        f"`--on-doubt` with its default threshold of {THRESHOLD:g} levels: how many frames it replaces, and what that "
        "does to their RGB PSNR beside T->S.",
        "",
        "| set | replaced |",
        "|---|---|",
        *(f"| {row['set']} | {doubtful(row)} |" for row in sets),
    ]
    if videos:
        lines += [
            "",
            "What the threshold tells apart: footage that is in none of the sets, at its own speed, at three and six "
            "times that (every third and sixth frame), and cuts, of which the truth is taken to be the frame before. "
            "The default was chosen on such footage.",
            "",
            "| | frames | disagreement: least, median, 95 %, most | PSNR T->S / hold / blend | replaced |",
            "|---|---|---|---|---|",
        ]
        for row in videos:
            psnr = " / ".join(f"{row['psnr'][key]:.2f}" for key in ("t2s", "hold", "blend"))
            spread = ", ".join(f"{value:.1f}" for value in row["disagreement"])
            lines.append(
                f"| {row['what']} | {row['num_frames']} | {spread} | {psnr} | {doubtful(row)} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("sets", type=Path, nargs="+")
    parser.add_argument("--videos", type=Path, nargs="+", default=[])
    parser.add_argument("--weights", action="append", default=[], help="as of stsr upscale")
    arguments = parser.parse_args()
    model = load_pair(ModelOptions(weights=tuple(arguments.weights)))
    sets = []
    for folder in arguments.sets:
        dataset = find_dataset(folder)
        frames = [measure(model, *read_triplet(sample)) for sample in dataset.samples]
        sets.append(of_set(dataset.name, [sample.clip for sample in dataset.samples], frames))
        print(f"{dataset.name}: {len(frames)} frames", file=sys.stderr)
    videos = of_videos(model, arguments.videos)
    weights = "".join(f" --weights {source}" for source in arguments.weights)
    names = " ".join(f"{path.resolve().name}" for path in arguments.sets)
    more = f" --videos ({len(arguments.videos)} files)" if videos else ""
    command = f"python tests/benchmarks/disagreement.py {arguments.out} {names}{weights}{more}"
    arguments.out.mkdir(parents=True, exist_ok=True)
    content = {"threshold": THRESHOLD, "sets": sets, "videos": videos}
    (arguments.out / "disagreement.json").write_text(json.dumps(content, indent=1) + "\n")
    text = markdown(sets, videos, command)
    (arguments.out / "disagreement.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
