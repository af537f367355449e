"""New frames of fast motion side by side, as a picture: `python tests/benchmarks/fast_motion.py OUT.png`.

A row for each frame of the demo's output (odd ones are new), cropped to where it moves most; columns: bicubic + blend,
S->T by the modules trained apart with f_T at full size, as it was until 2026-12-01, T->S and S->T of the default pair.
"""

import argparse
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch

from stsr_cli.checkpoint import load_weights
from stsr_cli.hub import weights_folder
from stsr_cli.ops import to_tensor
from stsr_cli.spatial.bicubic import Bicubic
from stsr_cli.streams import Interval, TwoStream
from stsr_cli.temporal.blend import Blend

DEMO = Path(__file__).parents[1] / "data" / "demo.mp4"
HALF = Fraction(1, 2)
SIDE = 288  # pixels of a crop


def decoded(path: Path) -> list[torch.Tensor]:
    """The frames of a video, (1, 3, H, W) in [0, 1]."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [to_tensor(np.ascontiguousarray(frame))[None] for frame in frames]


def pair(name: str) -> TwoStream:
    """Networks that ship."""
    weights = load_weights(weights_folder() / f"{name}.safetensors")
    return TwoStream(weights.spatial, weights.temporal).eval()


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path)
    parser.add_argument("--frames", type=int, nargs="+", default=[41, 63, 65, 87])
    options = parser.parse_args()
    frames = decoded(DEMO)
    plain, before, now = (
        TwoStream(Bicubic(4), Blend()),
        pair("span-rife-separate"),
        pair("span-rife"),
    )
    rows = []
    with torch.inference_mode():
        for number in options.frames:
            first, second = frames[number // 2], frames[number // 2 + 1]
            large = [before.upscale(one) for one in (first, second)]
            streams = Interval(now, first, second, now.upscale(first), now.upscale(second))
            columns = [
                plain.upscale(plain.interpolate(first, second)),
                before.interpolate(*large),
                streams.t2s(HALF),
                streams.s2t(HALF),
            ]
            y, x = moving(first, second)
            rows.append(torch.cat([one[0, :, y : y + SIDE, x : x + SIDE] for one in columns], 2))
    pixels = torch.cat(rows, 1).clamp(0, 1).permute(1, 2, 0).mul(255).round().byte().numpy()
    av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24").save(options.target)


def moving(first: torch.Tensor, second: torch.Tensor) -> tuple[int, int]:
    """Where the crop begins in the large picture whose small ones differ most."""
    side = SIDE // 4
    difference = (first - second).abs().mean(1, keepdim=True)
    sums = torch.nn.functional.avg_pool2d(difference, side, 4)[0, 0]
    place = int(sums.argmax())
    return 16 * (place // sums.shape[1]), 16 * (place % sums.shape[1])


if __name__ == "__main__":
    main()
