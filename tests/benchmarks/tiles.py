"""What tiles cost and what they change: how far a cut reaches, memory foreseen and taken, speed.

python tests/benchmarks/tiles.py reach FOLDER...     folders of consecutive frames (DAVIS, Vid4)
python tests/benchmarks/tiles.py memory
python tests/benchmarks/tiles.py speed

Prints the rows of the tables in docs/memory.md.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stsr_cli.checkpoint import load_weights
from stsr_cli.device import peak_memory, start_memory
from stsr_cli.registry import available, build
from stsr_cli.streams import TwoStream
from stsr_cli.upscale.memory import bytes_per_pixel
from stsr_cli.upscale.tiles import Room, TiledSpatial, TiledTemporal

CPU = torch.device("cpu")
WEIGHTS = Path(__file__).resolve().parents[2] / "weights"
DISTANCES = (0, 32, 64, 96, 128, 160, 192)
SIDES = {"vdsr": 160, "dbpn": 256, "dain": 448, "span": 512, "superslomo": 512, "blend": 2048}


def frame(path: Path) -> Tensor:
    pixels = np.array(Image.open(path).convert("RGB"))
    return torch.from_numpy(pixels).movedim(-1, 0)[None].float() / 255


def reach(folders: list[Path]) -> None:
    """How much of the picture beside a cut changes, by the distance from it: the largest change of all folders."""
    for name in ("span-rife", "fast", "espcn-dvf"):
        weights = load_weights(WEIGHTS / f"{name}.safetensors")
        assert weights.spatial is not None
        assert weights.temporal is not None
        f_t = weights.temporal.eval()
        model = TwoStream(weights.spatial.eval(), f_t)
        multiple = f_t.card.multiple_of
        for stream in ("t2s", "s2t"):
            for step in (1, 4):
                worst = np.zeros(len(DISTANCES))
                for folder in folders:
                    paths = sorted(path for path in folder.iterdir() if path.is_file())
                    frame0, frame1 = frame(paths[2]), frame(paths[2 + step])
                    if stream == "s2t":
                        middle = (..., slice(100, 340), slice(200, 440))
                        frame0, frame1 = (
                            model.upscale(frame0[middle]),
                            model.upscale(frame1[middle]),
                        )
                    height, width = (side // multiple * multiple for side in frame0.shape[-2:])
                    frame0, frame1 = frame0[..., :height, :width], frame1[..., :height, :width]
                    cut = width // 2 // multiple * multiple
                    whole = f_t(frame0, frame1).clamp(0, 1)[..., cut:]
                    part = f_t(frame0[..., cut:], frame1[..., cut:]).clamp(0, 1)
                    change = 255 * (part - whole).abs().amax((0, 1, 2)).numpy()
                    found = [change[distance:].max(initial=0) for distance in DISTANCES]
                    worst = np.maximum(worst, found)
                cells = " | ".join(f"{value:.2f}" for value in worst)
                print(f"| {name} | {stream} | {step} | {cells} |", flush=True)


def memory(name: str, kind: str, dtype: torch.dtype) -> None:
    """Bytes a pixel, counted and taken, of one module in a process of its own."""
    torch.manual_seed(0)
    module = build(kind, name).eval().to(dtype=dtype, memory_format=torch.channels_last)
    counted = bytes_per_pixel(module, CPU, dtype)
    side, number = SIDES.get(name, 768), 1 if kind == "spatial" else 2
    frames = torch.rand(number, 1, 3, side, side).to(dtype)
    before = start_memory(CPU)
    module(*frames)
    taken = (peak_memory(CPU) - before) / side**2
    label = str(dtype).removeprefix("torch.")
    print(f"| {name} | {label} | {counted:.0f} | {taken:.0f} | {taken / counted:.2f} |", flush=True)


def speed() -> None:
    """Processor seconds of the default pair on 320x180, whole and in tiles, in turns."""
    weights = load_weights(WEIGHTS / "span-rife.safetensors")
    assert weights.spatial is not None
    assert weights.temporal is not None
    f_s, f_t = weights.spatial.eval(), weights.temporal.eval()
    frames = torch.rand(2, 3, 180, 320)

    def system(tile: int) -> TwoStream:
        rooms = [Room(module, 180, tile, None, print) for module in (f_s, f_t)]
        return TwoStream(TiledSpatial(f_s, rooms[0]), TiledTemporal(f_t, rooms[1]))

    systems = {"bare": TwoStream(f_s, f_t), **{str(tile): system(tile) for tile in (0, 160, 80)}}
    for stream in ("t2s", "s2t"):
        seconds: dict[str, list[float]] = {name: [] for name in systems}
        for turn in range(3):
            for name, model in systems.items():
                begin = time.process_time()
                model.extend(frames, stream)  # type: ignore[arg-type]
                if turn:
                    seconds[name].append(time.process_time() - begin)
        least = {name: min(values) for name, values in seconds.items()}
        cells = " | ".join(f"{value:.2f} ({value / least['bare']:.2f})" for value in least.values())
        print(f"| {stream} | {cells} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["reach", "memory", "speed", "module"])
    parser.add_argument("arguments", nargs="*")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with torch.inference_mode():
        if options.what == "reach":
            reach([Path(folder) for folder in options.arguments])
        elif options.what == "speed":
            speed()
        elif options.what == "module":
            name, kind, dtype = options.arguments
            memory(name, kind, getattr(torch, dtype))
        else:
            for kind in ("spatial", "temporal"):
                for name in available(kind):
                    for dtype in ("float32", "bfloat16"):
                        again = [sys.executable, __file__, "module", name, kind, dtype]
                        subprocess.run(again, check=True)


if __name__ == "__main__":
    main()
