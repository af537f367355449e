"""Formulations of DAIN's adaptive warp side by side: python tests/benchmarks/adaptive_warp.py [--device cuda] ...

Each gets the taps and weights that `adaptive_warp` computes, so that only the sampling differs; all must agree. The
runs are taken in turn, so that load on the machine meets all alike; printed are medians, and their ratio to the one
that is kept.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from stsr_cli.temporal.dain.adaptive_warp import _taps

BAND_PIXELS = 4096

# image (1, C, H, W), index and weight (H * W, 16) -> (1, C, H, W)
Sampler = Callable[[Tensor, Tensor, Tensor], Tensor]


def table_of(image: Tensor) -> Tensor:
    return image.movedim(1, -1).reshape(-1, image.shape[1])


def image_of(table: Tensor, image: Tensor) -> Tensor:
    return table.view(1, *image.shape[2:], -1).movedim(-1, 1)


def bag(image: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Kept: one bag of 16 weighted rows a pixel."""
    rows = F.embedding_bag(index, table_of(image), mode="sum", per_sample_weights=weight)
    return image_of(rows, image)


def bag_of_short_indices(image: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """The same with 32-bit indices."""
    rows = F.embedding_bag(index.int(), table_of(image), mode="sum", per_sample_weights=weight)
    return image_of(rows, image)


def rows_a_tap(image: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """A row for every pixel, tap after tap, accumulated in place."""
    table = table_of(image)
    total = torch.zeros_like(table)
    for tap in range(16):
        total.addcmul_(table.index_select(0, index[:, tap]), weight[:, tap, None])
    return image_of(total, image)


def rows_a_tap_in_bands(image: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """The same for bands of pixels that stay in the cache."""
    table = table_of(image)
    total, buffer = torch.zeros_like(table), table.new_empty(BAND_PIXELS, table.shape[1])
    index, weight = index.T.contiguous(), weight.T.contiguous()
    for start in range(0, len(table), BAND_PIXELS):
        band = slice(start, start + BAND_PIXELS)
        part = total[band]
        rows = buffer[: len(part)]
        for tap in range(16):
            torch.index_select(table, 0, index[tap, band], out=rows)
            part.addcmul_(rows, weight[tap, band, None])
    return image_of(total, image)


def products_in_bands(image: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """All 16 rows of a band of pixels, and a batched product with their weights."""
    table = table_of(image)
    total = torch.empty_like(table)
    for start in range(0, len(table), BAND_PIXELS):
        band = slice(start, start + BAND_PIXELS)
        rows = table.index_select(0, index[band].flatten()).view(-1, 16, table.shape[1])
        torch.bmm(weight[band, None], rows, out=total[band, None])
    return image_of(total, image)


def sparse_product(image: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """A sparse (CSR) matrix of 16 entries a row, times the table."""
    table, num_pixels = table_of(image), len(index)
    rows = torch.arange(0, 16 * num_pixels + 1, 16, device=index.device)
    matrix = torch.sparse_csr_tensor(
        rows, index.flatten(), weight.flatten(), size=(num_pixels, num_pixels)
    )
    return image_of(matrix @ table, image)


def gathers(image: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Channels first: a gather a tap."""
    flat = image.flatten(2)
    total = torch.zeros_like(flat)
    for tap in range(16):
        taken = flat.gather(2, index[:, tap].expand(1, flat.shape[1], -1))
        total.addcmul_(taken, weight[:, tap])
    return total.view_as(image)


def grid_samples(image: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Channels first: 16 nearest samples at shifted positions."""
    height, width = image.shape[2:]
    total = torch.zeros_like(image)
    for tap in range(16):
        x, y = index[:, tap] % width, index[:, tap] // width
        grid = torch.stack((x * (2 / (width - 1)) - 1, y * (2 / (height - 1)) - 1), dim=-1)
        taken = F.grid_sample(
            image, grid.view(1, height, width, 2), mode="nearest", align_corners=True
        )
        total.addcmul_(taken, weight[:, tap].view(1, 1, height, width))
    return total


CHANNELS_LAST: tuple[Sampler, ...] = (
    bag,
    bag_of_short_indices,
    rows_a_tap,
    rows_a_tap_in_bands,
    products_in_bands,
    sparse_product,
)
CHANNELS_FIRST: tuple[Sampler, ...] = (gathers, grid_samples)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time formulations of DAIN's adaptive warp.")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--channels", type=int, default=196)
    parser.add_argument("--size", type=int, nargs=2, default=(256, 448), metavar=("H", "W"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="Sparse")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = torch.device(options.device)
    height, width = options.size
    image = torch.rand(1, options.channels, height, width, device=device)
    motion = F.interpolate(torch.randn(1, 2, 16, 28) * 8, size=(height, width), mode="bilinear")
    kernel = torch.randn(1, 16, height, width)
    index, weight = (part[0].to(device) for part in _taps(motion, kernel))

    def seconds(sampler: Sampler) -> float:
        layout = torch.channels_last if sampler in CHANNELS_LAST else torch.contiguous_format
        given = image.contiguous(memory_format=layout)
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        found = sampler(given, index, weight)
        if device.type == "cuda":
            torch.cuda.synchronize()
        taken = time.perf_counter() - start
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
        return taken

    samplers = CHANNELS_LAST + CHANNELS_FIRST
    with torch.inference_mode():
        expected = rows_a_tap(image, index, weight)
        runs = [[seconds(sampler) for sampler in samplers] for _ in range(options.repeats + 1)][1:]
    medians = [statistics.median(column) for column in zip(*runs, strict=True)]
    print(f"{options.channels} channels of {height}x{width} on {device}, {options.threads} threads")
    for sampler, median in sorted(zip(samplers, medians, strict=True), key=lambda row: row[1]):
        print(f"{1000 * median:9.1f} ms  {median / medians[0]:6.1f}x  {sampler.__name__}")


if __name__ == "__main__":
    main()
