"""From batches of source frames to output frames in order, each with its time. Rounds; knows no file."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stsr_cli.disagreement import Doubt
from stsr_cli.errors import InputError
from stsr_cli.ops import lanczos, quantise, to_tensor
from stsr_cli.options import CutAction
from stsr_cli.upscale.network import Network
from stsr_cli.video.probe import SourceInfo
from stsr_cli.video.reader import Frame
from stsr_cli.video.timeline import Slot, last_duration, slots


@dataclass(frozen=True)
class Output:
    """One output frame on its way to the encoder: (3, H, W) integers on the device, shown in each of `slots`.

    `doubt`: of a new frame, where both streams were run and compared.
    """

    image: Tensor
    slots: tuple[Slot, ...]
    doubt: Doubt | None = None


def outputs(
    network: Network,
    batches: Iterable[tuple[list[Frame], bool]],
    source: SourceInfo,
    cut: CutAction,
    device: torch.device,
    dtype: torch.dtype,
    size: tuple[int, int] | None = None,
) -> Iterator[Output]:
    """Every output frame in order, with its time: each source frame, then those between it and the next.

    They are resized to `size`, (height, width), by Lanczos, or left as the network makes them.
    """

    def finish(image: Tensor, peak: int) -> Tensor:
        return quantise(image if size is None else lanczos(image, size), peak)

    time_scale = network.time_scale
    previous: tuple[Tensor, Tensor] | None = None
    last: Frame | None = None
    last_image: Tensor | None = None
    interval: int | None = None
    for batch, is_after_cut in batches:
        pixels = np.stack([frame.pixels for frame in batch])
        peak = 255 if pixels.dtype == np.uint8 else 65535
        lr_frames = to_tensor(pixels, device, dtype)
        before = None if is_after_cut else previous
        hr_frames, middles = network.extend(lr_frames, before)
        fades: list[Tensor] = []
        if is_after_cut and previous is not None and cut == "blend":
            steps = [index / time_scale for index in range(1, time_scale)]
            fades = [finish(torch.lerp(previous[1][0], hr_frames[0], t), peak) for t in steps]
        previous = (lr_frames[-1:], hr_frames[-1:])
        images = finish(hr_frames, peak)
        between = [(finish(middle, peak), doubts) for middle, doubts in middles]
        first_pair = 0 if before is not None else -1  # the first frame of a shot has none before it
        for index, frame in enumerate(batch):
            if last is not None and last_image is not None:
                interval = frame.pts - last.pts
                times = slots(last.pts, frame.pts, time_scale)
                if is_after_cut and index == 0:
                    yield from _across_cut(last_image, fades, times)
                    last, last_image = frame, images[index]
                    continue
                yield Output(last_image, times[:1])
                for (new_images, doubts), slot in zip(between, times[1:], strict=True):
                    pair = index + first_pair
                    yield Output(new_images[pair], (slot,), doubts[pair])
            last, last_image = frame, images[index]
    if last is None or last_image is None:
        raise InputError(f"{source.path} holds no frame that can be decoded")
    # The last frame has no successor to interpolate towards: it is held, so N frames in give time_scale * N out.
    duration = last_duration(last.duration, interval, source.frame_rate, source.time_base)
    yield Output(last_image, slots(last.pts, last.pts + duration, time_scale))


def _across_cut(
    last_image: Tensor, fades: Sequence[Tensor], times: tuple[Slot, ...]
) -> Iterator[Output]:
    """The last frame of a shot and what follows it: a fade to the next shot, or itself until that begins.

    It is held for the whole interval, as it was in the source, so that the cut stays where it was in time.
    """
    yield Output(last_image, times[:1] if fades else times)
    for image, slot in zip(fades, times[1:], strict=False):
        yield Output(image, (slot,))
