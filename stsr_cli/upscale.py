"""The engine: a video in, a video out. Frames are decoded, run through one stream in pairs, and encoded, all at once.

Time is the timeline's business, colour and tracks are `video/`'s, padding is the streams'; the only clamp and the only
rounding are here, between the network and the encoder.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stsr_cli.device import resolve_device, resolve_dtype
from stsr_cli.errors import InputError
from stsr_cli.ops import quantise, to_tensor
from stsr_cli.options import UpscaleOptions
from stsr_cli.pairs import System, load_system, to_device
from stsr_cli.pipeline import Prefetch, Sink
from stsr_cli.streams import Stream
from stsr_cli.video.probe import SourceInfo, probe
from stsr_cli.video.reader import Frame, read_frames
from stsr_cli.video.timeline import PtsRepair, Slot, last_duration, slots
from stsr_cli.video.writer import VideoWriter, open_writer

_QUEUE_DEPTH = 4  # frames decoded ahead, frames waiting for the encoder
_GPU_BATCH = 4


@dataclass(frozen=True)
class UpscaleReport:
    """What a run did.

    Attributes:
        target: the file written and verified.
        frames_in: frames decoded.
        frames_out: frames encoded.
        width, height: of the output, in pixels.
        seconds: wall time from the first frame asked for to the verified file.
        decode_share, network_share, encode_share: how the wall time divides into waiting for the decoder, running the
            network, and waiting for the encoder; they sum to 1.
        repaired_timestamps: source frames whose time was missing or not later than the one before.
        device: where the network ran.
    """

    target: Path
    frames_in: int
    frames_out: int
    width: int
    height: int
    seconds: float
    decode_share: float
    network_share: float
    encode_share: float
    repaired_timestamps: int
    device: str

    @property
    def frames_per_second(self) -> float:
        """Output frames per second of wall time."""
        return self.frames_out / self.seconds


@dataclass(frozen=True)
class _Output:
    """One output frame on its way to the encoder: (3, H, W) integers on the device, shown in each of `slots`."""

    image: Tensor
    slots: tuple[Slot, ...]


def upscale(
    options: UpscaleOptions,
    on_start: Callable[[SourceInfo, str], None] = lambda source, device: None,
    on_frame: Callable[[int], None] = lambda num_done: None,
) -> UpscaleReport:
    """Upscale one video file in space and time.

    Args:
        options: the run.
        on_start: told what is about to be read, and the device, before the first frame.
        on_frame: told how many source frames are done.

    Raises:
        InputError, UsageError, WeightsError, DeviceError: before anything is written.
        InputError: the source turns out to be damaged; nothing is left behind.
        StsrError: the output could not be written or does not verify; nothing is left behind.
    """
    source = probe(options.source)
    device = resolve_device(options.model.device)
    dtype = resolve_dtype(options.model.precision, device)
    model = to_device(load_system(options.model, options.scale, options.time_scale), device, dtype)
    batch_size = options.batch_size or (_GPU_BATCH if device.type == "cuda" else 1)
    repair = PtsRepair(source.start_pts)
    writer = open_writer(
        options.target,
        source,
        options.encode,
        scale=options.scale,
        time_scale=options.time_scale,
        overwrite=options.overwrite,
    )
    begin = time.perf_counter()
    with writer, Prefetch(read_frames(source, repair), _QUEUE_DEPTH) as frames:
        on_start(source, str(device))
        counted = _Counter(frames, on_frame)
        with (
            Sink[_Output](lambda output: _write(writer, output), _QUEUE_DEPTH) as sink,
            torch.inference_mode(),
        ):
            for output in _outputs(
                model, counted, source, options.model.stream, batch_size, device, dtype
            ):
                sink.put(output)
        drain = time.perf_counter()
        written = writer.close()
    end = time.perf_counter()
    decode, encode = frames.waited_seconds, sink.waited_seconds + end - drain
    seconds = end - begin
    return UpscaleReport(
        target=options.target,
        frames_in=counted.num_frames,
        frames_out=written.frames,
        width=source.width * options.scale,
        height=source.height * options.scale,
        seconds=seconds,
        decode_share=decode / seconds,
        network_share=1 - (decode + encode) / seconds,
        encode_share=encode / seconds,
        repaired_timestamps=repair.num_repaired,
        device=str(device),
    )


class _Counter:
    """Passes frames on and reports how many were taken."""

    def __init__(self, frames: Iterable[Frame], on_frame: Callable[[int], None]) -> None:
        self.num_frames = 0
        self._frames, self._on_frame = frames, on_frame

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._frames:
            yield frame
            self.num_frames += 1
            self._on_frame(self.num_frames)


def _outputs(
    model: System,
    frames: Iterable[Frame],
    source: SourceInfo,
    stream: Stream,
    batch_size: int,
    device: torch.device,
    dtype: torch.dtype,
) -> Iterator[_Output]:
    """Every output frame in order, with its time: each source frame, then those between it and the next."""
    time_scale = model.time_scale
    rest = iter(frames)
    previous: tuple[Tensor, Tensor] | None = None
    last: Frame | None = None
    last_image: Tensor | None = None
    interval: int | None = None
    while batch := list(islice(rest, batch_size)):
        pixels = np.stack([frame.pixels for frame in batch])
        peak = 255 if pixels.dtype == np.uint8 else 65535
        lr_frames = to_tensor(pixels, device, dtype)
        hr_frames, middles = model.extend(lr_frames, stream, previous)
        previous = (lr_frames[-1:], hr_frames[-1:])
        images = quantise(hr_frames, peak)
        between = [quantise(middle, peak) for middle in middles]
        first_pair = 0 if last is not None else -1  # the very first frame has no frame before it
        for index, frame in enumerate(batch):
            if last is not None and last_image is not None:
                interval = frame.pts - last.pts
                times = slots(last.pts, frame.pts, time_scale)
                yield _Output(last_image, times[:1])
                for middle_images, slot in zip(between, times[1:], strict=True):
                    yield _Output(middle_images[index + first_pair], (slot,))
            last, last_image = frame, images[index]
    if last is None or last_image is None:
        raise InputError(f"{source.path} holds no frame that can be decoded")
    # The last frame has no successor to interpolate towards: it is held, so N frames in give time_scale * N out.
    duration = last_duration(last.duration, interval, source.frame_rate, source.time_base)
    yield _Output(last_image, slots(last.pts, last.pts + duration, time_scale))


def _write(writer: VideoWriter, output: _Output) -> None:
    """Bring a frame to the host and encode it, in the encoder's thread."""
    pixels = output.image.movedim(0, -1).contiguous().cpu().numpy()
    if pixels.dtype != np.uint8:
        pixels = pixels.astype(np.uint16)
    for slot in output.slots:
        writer.write(pixels, slot.pts, slot.duration)
