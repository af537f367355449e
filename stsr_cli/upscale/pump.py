"""Decoder, network and encoder at once, joined by short queues."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from stsr_cli.pipeline import Prefetch, Sink
from stsr_cli.upscale.job import Job
from stsr_cli.upscale.network import Network
from stsr_cli.upscale.outputs import Output, outputs
from stsr_cli.upscale.passage import Passage
from stsr_cli.video.colour.convert import Pixels
from stsr_cli.video.encode.encoder import EncoderPlan
from stsr_cli.video.side_data.bitstream import Message
from stsr_cli.video.side_data.queue import SideDataQueue
from stsr_cli.video.timing.repeats import Step, batches_of_shots
from stsr_cli.video.timing.timeline import Slot

_QUEUE_DEPTH = 4  # frames decoded ahead, frames waiting for the encoder


@dataclass(frozen=True)
class Waits:
    """Seconds that the network stood still for want of a frame to read, or of room for one to write."""

    decode: float = 0.0
    encode: float = 0.0


def pump(
    job: Job,
    network: Network,
    passage: Passage,
    plan: EncoderPlan,
    receive: Callable[[Output], Iterable[None]],
    on_frame: Callable[[int], None],
) -> Waits:
    """Bring every frame of a passage through the network, in order.

    Args:
        job: how.
        network: which.
        passage: of what.
        plan: what the frames are made for.
        receive: takes each output frame, in steps, in a thread of its own.
        on_frame: told how many source frames of the passage are done.
    """
    steps = passage.steps(with_alpha=plan.has_alpha)
    with Prefetch(steps, _QUEUE_DEPTH) as frames:
        batches = batches_of_shots(_told(frames, on_frame), job.batch_size)
        with Sink[Output](receive, _QUEUE_DEPTH) as sink, torch.inference_mode():
            for output in outputs(
                network,
                batches,
                job.source,
                job.options.cut,
                job.device,
                job.dtype,
                plan.frame_size,
                is_last=lambda: passage.has_last,
                ticks=job.ticks_a_tick,
            ):
                sink.put(output)
    return Waits(frames.waited_seconds, sink.waited_seconds)


def _told(steps: Iterable[Step], on_frame: Callable[[int], None]) -> Iterator[Step]:
    num_done = 0
    for step in steps:
        yield step
        num_done += 1 + step.num_repeats
        on_frame(num_done)


class Encodes(Protocol):
    """What frames are written with: a `Writer`, or a segment's."""

    @property
    def time_base(self) -> Fraction:
        """Seconds per tick."""

    def write(
        self, pixels: Pixels, pts: int, duration: int, messages: Sequence[Message] = ()
    ) -> None:
        """Encode one frame, as `Writer.write` does."""


def write_slots(
    writer: Encodes, image: Tensor, slots: Sequence[Slot], side_data: SideDataQueue
) -> Iterator[None]:
    """Bring (C, H, W) integers to the host, as encoders take them, and encode them once for each slot, a step each.

    What of `side_data` belongs to a slot goes along.
    """
    pixels = image.movedim(0, -1).contiguous().cpu().numpy()
    if pixels.dtype != np.uint8:
        pixels = pixels.astype(np.uint16)
    for slot in slots:
        messages = side_data.take(slot.pts * writer.time_base)
        writer.write(pixels, slot.pts, slot.duration, messages)
        yield


class Clock:
    """Wall time since it was made."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()

    @property
    def seconds(self) -> float:
        """How long that is."""
        return time.perf_counter() - self._begin
