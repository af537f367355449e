"""From batches of source frames to output frames in order, each with its time. Rounds; knows no file."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from stsr_cli.disagreement import Doubt
from stsr_cli.errors import InputError
from stsr_cli.ops import lanczos, quantise, to_tensor
from stsr_cli.options import CutAction
from stsr_cli.streams import even_times
from stsr_cli.upscale.network import Network
from stsr_cli.video.probe import SourceInfo
from stsr_cli.video.timing.repeats import Step
from stsr_cli.video.timing.timeline import Slot, joined, last_duration, own_ticks, slots


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
    batches: Iterable[Sequence[Step]],
    source: SourceInfo,
    cut: CutAction,
    device: torch.device,
    dtype: torch.dtype,
    size: tuple[int, int] | None = None,
    is_last: Callable[[], bool] = lambda: True,
    ticks: Fraction | None = None,
) -> Iterator[Output]:
    """Every output frame in order, with its time: each source frame, then those between it and the next.

    They are resized to `size`, (height, width), by Lanczos, or left as the network makes them. `is_last`, asked at the
    end, says whether the last frame is the video's: else it only leads on, and is not among them. `ticks`: of the
    frames' times in one of the output's clock, where not all have one of their own.
    """

    def finish(image: Tensor, peak: int) -> Tensor:
        return quantise(image if size is None else lanczos(image, size), peak)

    previous: tuple[Tensor, Tensor] | None = None
    last: Step | None = None
    last_image: Tensor | None = None
    for batch in batches:
        is_after_cut, times = batch[0].is_after_cut, batch[-1].times
        pixels = np.stack([step.frame.pixels for step in batch])
        peak = 255 if pixels.dtype == np.uint8 else 65535
        lr_frames = to_tensor(pixels, device, dtype)
        before = None if is_after_cut else previous
        hr_frames, middles = network.extend(lr_frames, before, times)
        fades: list[Tensor] = []
        if is_after_cut and previous is not None and cut == "blend":
            shares = [float(t) for t in even_times(network.time_scale)]
            before_cut = previous[1][0].to(hr_frames.dtype)
            fades = [finish(torch.lerp(before_cut, hr_frames[0], t), peak) for t in shares]
        previous = (lr_frames[-1:], hr_frames[-1:])
        images = finish(hr_frames, peak)
        between = [(finish(middle, peak), doubts) for middle, doubts in middles]
        first_pair = 0 if before is not None else -1  # the first frame of a shot has none before it
        for index, step in enumerate(batch):
            if last_image is not None and step.is_after_cut:
                yield from _across_cut(last_image, fades, step.slots)
            elif last_image is not None:
                yield Output(last_image, step.slots[:1])
                for (new_images, doubts), slot in zip(between, step.slots[1:], strict=True):
                    pair = index + first_pair
                    yield Output(new_images[pair], (slot,), doubts[pair])
            last, last_image = step, images[index]
    if not is_last():
        return
    if last is None or last_image is None:
        raise InputError(f"{source.path} holds no frame that can be decoded")
    # The last frame has no successor to interpolate towards: it is held, so N frames in give time_scale * N out.
    frame, interval = last.frame, last.slots[-1].duration if last.slots else None
    duration = last_duration(frame.duration, interval, source.frame_rate, source.time_base)
    if source.end_pts is not None:  # a picture that is held for long; a constant rate stays so
        duration = min(duration, max(source.end_pts - frame.pts, interval or 1))
    held = slots(frame.pts, frame.pts + duration, network.time_scale)
    yield Output(last_image, joined(held, own_ticks(held, None, ticks)) if ticks else held)


def _across_cut(
    last_image: Tensor, fades: Sequence[Tensor], times: tuple[Slot, ...]
) -> Iterator[Output]:
    """The last frame of a shot and what follows it: a fade to the next shot, or itself until that begins.

    It is held for the whole interval, as it was in the source, so that the cut stays where it was in time.
    """
    yield Output(last_image, times[:1] if fades else times)
    for image, slot in zip(fades, times[1:], strict=False):
        yield Output(image, (slot,))
