"""What --dedup does to animation, and what it takes for a repeat: drawn motion that is known, and footage.

python tests/benchmarks/dedup.py OUT [--footage VIDEO...]

Writes OUT/dedup.json and OUT/dedup.md. A scene is drawn at every moment asked for; held on ones, twos, threes and
mixed it is the input, drawn at the time of every output frame it is the truth. Upscaled with the default networks.
"""

import argparse
import datetime
import itertools
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch

from stsr_cli.device import machine_name
from stsr_cli.metrics import psnr_rgb
from stsr_cli.ops import to_pixels, to_tensor
from stsr_cli.options import EncodeOptions, ModelOptions, UpscaleOptions
from stsr_cli.pairs import load_pair
from stsr_cli.streams import TwoStream
from stsr_cli.upscale import upscale
from stsr_cli.video.reader import read_frames
from stsr_cli.video.timing.repeats import steps

RATE, WIDTH, HEIGHT, SCALE = 24, 160, 96, 4
NUM_FRAMES = 36
HELD = {"ones": (1,), "twos": (2,), "threes": (3,), "mixed": (2, 3, 1, 2, 2, 3)}
CRFS = (18, 23, 28, 30)
FOOTAGE_FRAMES = 100


def draw(seconds: float, scale: int) -> np.ndarray:
    """(scale * HEIGHT, scale * WIDTH, 3) uint8: flat colours, outlines, a ball that bounces, a face that speaks."""
    y, x = (np.mgrid[: HEIGHT * scale, : WIDTH * scale] + 0.5) / scale
    picture = np.empty((*x.shape, 3))
    picture[:] = (150, 200, 235)
    picture[y > 70] = (120, 170, 90)

    def shape(distance: np.ndarray, colour: tuple[int, int, int]) -> None:
        for edge, paint in ((1, (20, 15, 15)), (0, colour)):
            share = np.clip(0.5 + (edge - distance) * scale, 0, 1)[..., None]
            picture[:] = picture * (1 - share) + np.array(paint) * share

    def disc(left: float, top: float, radius: float, colour: tuple[int, int, int]) -> None:
        shape(np.hypot(x - left, y - top) - radius, colour)

    def box(left: float, top: float, w: float, h: float, colour: tuple[int, int, int]) -> None:
        shape(np.maximum(abs(x - left) - w / 2, abs(y - top) - h / 2), colour)

    box(32 - 6 * np.sin(1.3 * seconds), 64, 14, 32, (200, 70, 60))
    disc(80 - 35 * np.cos(1.9 * seconds), 66 - 26 * abs(np.sin(4 * seconds)), 9, (250, 210, 60))
    disc(130, 34, 21, (245, 215, 190))
    disc(123, 30, 2, (255, 255, 255))
    disc(137, 30, 2, (255, 255, 255))
    box(130, 44, 9, 1 + 4 * abs(np.sin(6 * seconds)), (150, 40, 50))
    return picture.round().astype(np.uint8)


def shown(lengths: tuple[int, ...]) -> list[int]:
    """For each frame of the clip, the frame at which its drawing was made."""
    starts = itertools.accumulate(itertools.cycle(lengths), initial=0)
    pairs = itertools.pairwise(starts)
    frames = [
        start for start, end in itertools.islice(pairs, NUM_FRAMES) for _ in range(end - start)
    ]
    return frames[:NUM_FRAMES]


def write(path: Path, frames: list[np.ndarray], crf: int) -> None:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=RATE, options={"crf": str(crf)})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for pixels in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        output.mux(stream.encode(None))


def judder(frames: list[np.ndarray]) -> float:
    """How unevenly frames change: the standard deviation of the change from one to the next, by its mean."""
    changes = [
        np.abs(one.astype(np.int16) - other).mean() for one, other in itertools.pairwise(frames)
    ]
    return float(np.std(changes) / np.mean(changes))


def upscaled(folder: Path, held: str, time_scale: int, dedup: bool) -> tuple[list[np.ndarray], int]:
    options = UpscaleOptions(
        folder / f"{held}.mp4",
        folder / "out.mkv",
        scale=SCALE,
        time_scale=time_scale,
        dedup=dedup,
        overwrite=True,
        encode=EncodeOptions(crf=8, preset="veryfast"),
    )
    report = upscale(options)
    return [frame.pixels for frame in read_frames(options.target)], report.num_repeats


def compare(folder: Path) -> Iterator[dict]:
    """With and without --dedup, against the truth."""
    cases = [("twos", 2), ("threes", 2), ("mixed", 2), ("twos", 1), ("threes", 1)]
    for held, time_scale in cases:
        num_frames = (NUM_FRAMES - 3) * time_scale  # behind them, holds have no end
        truth = [draw(index / RATE / time_scale, SCALE) for index in range(num_frames)]
        for dedup in (False, True):
            frames, num_repeats = upscaled(folder, held, time_scale, dedup)
            assert len(frames) == NUM_FRAMES * time_scale
            pairs = zip(frames[:num_frames], truth, strict=True)
            yield {
                "held": held,
                "time_scale": time_scale,
                "dedup": dedup,
                "num_repeats": num_repeats,
                "psnr_rgb": float(np.mean([psnr_rgb(one, other) for one, other in pairs])),
                "judder": judder(frames[:num_frames]),
                "judder_of_truth": judder(truth),
            }


def ways(model: TwoStream) -> Iterator[dict]:
    """New frames at sixths of threes: f_T asked for t at once, or halving to the nearest time of a grid."""
    made: dict[str, Callable[[torch.Tensor, torch.Tensor, Fraction], torch.Tensor]] = {
        "f_T at t at once": lambda a, b, t: model.interpolate(a, b, float(t)),
        "blend": lambda a, b, t: torch.lerp(a, b, float(t)),
    }
    for grid in (8, 16, 32, 64):
        made[f"halving, 1/{grid}"] = lambda a, b, t, grid=grid: model.between(
            a, b, times=[Fraction(round(t * grid), grid)]
        )[0]
    starts = range(0, NUM_FRAMES, 3)
    pictures = {index: draw(index / RATE / 2, 2) for index in range(2 * NUM_FRAMES + 7)}
    for name, make in made.items():
        psnrs, frames = [], []
        for start in starts:
            given = [to_tensor(pictures[2 * index])[None] for index in (start, start + 3)]
            frames.append(pictures[2 * start])
            for step in range(1, 6):
                frames.append(to_pixels(make(*given, Fraction(step, 6)))[0])
                psnrs.append(psnr_rgb(frames[-1], pictures[2 * start + step]))
        yield {"way": name, "psnr_rgb": float(np.mean(psnrs)), "judder": judder(frames)}


def found_in(video: Path) -> tuple[int, int]:
    """How many frames there are and how many of them are taken for repeats."""
    frames = ((frame, False) for frame in itertools.islice(read_frames(video), FOOTAGE_FRAMES))
    found = list(steps(frames, 1, dedup=True))
    num_repeats = sum(step.num_repeats for step in found)
    return len(found) + num_repeats, num_repeats


def recall(folder: Path) -> Iterator[dict]:
    """Repeats found of those that there are, after H.264."""
    for held, crf in itertools.product(HELD, CRFS):
        drawings = shown(HELD[held])
        write(folder / "coded.mp4", [draw(index / RATE, 1) for index in drawings], crf)
        last = drawings.index(drawings[-1])  # the last hold has no end
        num_all = last - len(set(drawings)) + 1
        yield {"held": held, "crf": crf, "found": found_in(folder / "coded.mp4")[1], "of": num_all}


def markdown(content: dict, command: str) -> str:
    lines = [
        "# Repeated frames of animation, replaced",
        "",
        f"`{command}`,",
        f"{datetime.date.today()}, {machine_name(torch.device('cpu'))}.",
        "",
        f"A drawn scene of {WIDTH}x{HEIGHT} at {RATE} frames a second, held on ones, twos, threes and mixed, H.264 at "
        "crf 18, upscaled x4 with the default networks. The truth is the scene drawn at the times of the output. "
        "Judder: the standard deviation of the change from one frame to the next, by its mean; the truth has some, "
        "since the motion is not even.",
        "",
        "| held on | --time-scale | repeats replaced | PSNR without | PSNR with --dedup | judder without | with | "
        "of the truth |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for without, with_it in zip(content["compared"][::2], content["compared"][1::2], strict=True):
        lines.append(
            f"| {without['held']} | {without['time_scale']} | {with_it['num_repeats']} "
            f"| {without['psnr_rgb']:.2f} dB | {with_it['psnr_rgb']:.2f} dB "
            f"| {without['judder']:.2f} | {with_it['judder']:.2f} | {without['judder_of_truth']:.2f} |"
        )
    lines += [
        "",
        "How the new frames at sixths of threes are made, at twice that size. stsr halves, to 1/16 for each frame of "
        "--time-scale (1/32 at 2).",
        "",
        "| way | PSNR | judder |",
        "|---|---|---|",
        *(f"| {r['way']} | {r['psnr_rgb']:.2f} dB | {r['judder']:.2f} |" for r in content["ways"]),
        "",
        "Repeats found after H.264, of those that there are:",
        "",
        f"| held on | {' | '.join(f'crf {crf}' for crf in CRFS)} |",
        f"|---|{'---|' * len(CRFS)}",
    ]
    for held in HELD:
        cells = [f"{r['found']} of {r['of']}" for r in content["recall"] if r["held"] == held]
        lines.append(f"| {held} | {' | '.join(cells)} |")
    if content["footage"]:
        number = sum(row["num_frames"] for row in content["footage"])
        lines += [
            "",
            f"Taken for repeats in the first {FOOTAGE_FRAMES} frames of {len(content['footage'])} videos ({number} "
            "frames); those of videos that were brought from one frame rate to another are real.",
            "",
            "| video | repeats |",
            "|---|---|",
            *(
                f"| {r['video']} | {r['num_repeats']} |"
                for r in content["footage"]
                if r["num_repeats"]
            ),
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--footage", type=Path, nargs="+", default=[])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        folder = Path(name)
        for held, lengths in HELD.items():
            frames = [draw(index / RATE, 1) for index in shown(lengths)]
            write(folder / f"{held}.mp4", frames, crf=18)
        content: dict = {"recall": list(recall(folder)), "footage": []}
        for video in arguments.footage:
            num_frames, num_repeats = found_in(video)
            row = {"video": video.name, "num_frames": num_frames, "num_repeats": num_repeats}
            content["footage"].append(row)
        print(content, file=sys.stderr)
        content["ways"] = list(ways(load_pair(ModelOptions())))
        print(content["ways"], file=sys.stderr)
        content["compared"] = list(compare(folder))
    footage = f" --footage ({len(arguments.footage)} videos)" if arguments.footage else ""
    command = f"python tests/benchmarks/dedup.py {arguments.out}{footage}"
    (arguments.out / "dedup.json").write_text(json.dumps(content, indent=1) + "\n")
    (arguments.out / "dedup.md").write_text(markdown(content, command))


if __name__ == "__main__":
    main()
