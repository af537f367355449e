"""The engine: a video in, a video out. Frames are decoded, run through one stream in pairs, and encoded, all at once.

Time is the timeline's business, colour and tracks are `video/`'s, padding is the streams'; the only clamp and the only
rounding are here, between the network and the encoder.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stsr_cli.device import resolve_device, resolve_dtype
from stsr_cli.disagreement import DisagreementFiles, Doubt, check_disagreement, disagreement
from stsr_cli.errors import InputError
from stsr_cli.ops import quantise, to_tensor
from stsr_cli.options import CutAction, OnDoubt, StreamChoice, UpscaleOptions
from stsr_cli.pairs import System, load_system, to_device
from stsr_cli.pipeline import Prefetch, Sink
from stsr_cli.self_score import Choice, choose_stream
from stsr_cli.streams import Stream, TwoStream
from stsr_cli.video.plan import Track
from stsr_cli.video.probe import SourceInfo, probe
from stsr_cli.video.reader import Frame, read_frames
from stsr_cli.video.scenes import batches_of_shots, mark_cuts
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
        stream: whose frames were written, "both" for the mean; of CDCA, which has none, whatever the options say.
        choice: how `stream` was chosen, where it was left to stsr.
        tracks: what became of each other track of the source.
        num_new: new frames between two given ones.
        num_cuts: places where time_scale - 1 of them are no new pictures, since one shot ends there and another begins.
        num_replaced: how many others were not shown, since the streams disagreed on them too much.
        mean_disagreement: of the streams over the new frames, in levels of 255, or None where it was not asked for;
            at a cut there is nothing to compare.
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
    stream: StreamChoice
    choice: Choice | None
    tracks: tuple[Track, ...]
    num_new: int
    num_cuts: int
    num_replaced: int
    mean_disagreement: float | None

    @property
    def frames_per_second(self) -> float:
        """Output frames per second of wall time."""
        return self.frames_out / self.seconds


@dataclass(frozen=True)
class _Output:
    """One output frame on its way to the encoder: (3, H, W) integers on the device, shown in each of `slots`.

    `doubt`: of a new frame, where both streams were run and compared.
    """

    image: Tensor
    slots: tuple[Slot, ...]
    doubt: Doubt | None = None


def upscale(
    options: UpscaleOptions,
    on_start: Callable[[SourceInfo, str, Choice | None], None] = lambda source, device, choice: (
        None
    ),
    on_frame: Callable[[int], None] = lambda num_done: None,
    on_pair: Callable[[int, int], None] = lambda num_done, num_total: None,
    on_plan: Callable[[Sequence[Track]], None] = lambda tracks: None,
) -> UpscaleReport:
    """Upscale one video file in space and time.

    Args:
        options: the run.
        on_start: told what is about to be read, the device, and how the stream was chosen (None: by the options),
            before the first frame.
        on_frame: told how many source frames are done.
        on_pair: told how many places of the video were looked at to choose the stream, of how many.
        on_plan: told what becomes of each other track of the source, before a network is loaded.

    Raises:
        InputError, UsageError, WeightsError, DeviceError: before anything is written.
        InputError: the source turns out to be damaged; nothing is left behind.
        StsrError: the output could not be written or does not verify; nothing is left behind.
    """
    source = probe(options.source)
    check_disagreement(options)
    device = resolve_device(options.model.device)
    dtype = resolve_dtype(options.model.precision, device)
    batch_size = options.batch_size or (_GPU_BATCH if device.type == "cuda" else 1)
    repair = PtsRepair(source.start_pts)
    with (
        open_writer(
            options.target,
            source,
            options.encode,
            scale=options.scale,
            time_scale=options.time_scale,
            overwrite=options.overwrite,
            tracks=options.tracks,
        ) as writer,
        DisagreementFiles(options, source) as doubts,
    ):
        on_plan(writer.tracks)
        system = load_system(options.model, options.scale, options.time_scale)
        model = to_device(system, device, dtype)
        choice = _choose(options, model, source, device, dtype, on_pair)
        stream = choice.stream if choice else options.model.stream
        network = _Network(model, stream, bool(options.disagreement), options.on_doubt)
        begin = time.perf_counter()
        with Prefetch(_marked(read_frames(source, repair), options), _QUEUE_DEPTH) as frames:
            on_start(source, str(device), choice)
            counted = _Counter(frames, on_frame)
            batches = batches_of_shots(counted, batch_size)
            with (
                Sink[_Output](lambda output: _write(writer, doubts, output), _QUEUE_DEPTH) as sink,
                torch.inference_mode(),
            ):
                for output in _outputs(network, batches, source, options.cut, device, dtype):
                    sink.put(output)
        drain = time.perf_counter()
        written = writer.close()
        doubts.close()
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
        stream=stream,
        choice=choice,
        tracks=writer.tracks,
        num_new=(counted.num_frames - 1) * (options.time_scale - 1),
        num_cuts=counted.num_cuts,
        num_replaced=doubts.num_replaced,
        mean_disagreement=doubts.mean_levels,
    )


def _choose(
    options: UpscaleOptions,
    model: System,
    source: SourceInfo,
    device: torch.device,
    dtype: torch.dtype,
    on_pair: Callable[[int, int], None],
) -> Choice | None:
    """Which stream to use, where that is left to stsr and makes a difference."""
    if options.model.stream != "auto" or not isinstance(model, TwoStream):
        return None
    if options.time_scale == 1:
        return Choice("t2s", why="there are no new frames at --time-scale 1")
    if options.scale == 1:
        return Choice("t2s", why="both streams are the same at --scale 1")
    return choose_stream(model, source, device, dtype, on_pair)


class _Network:
    """The system, and what becomes of its streams: one of them, or their mean; compared and replaced if asked for."""

    def __init__(
        self, model: System, stream: StreamChoice, is_compared: bool, on_doubt: OnDoubt | None
    ) -> None:
        self._model, self._stream, self._on_doubt = model, stream, on_doubt
        self._is_compared = is_compared or on_doubt is not None
        # At scale 1 there is nothing to do before or after f_T: both streams are one.
        self._is_both = self._is_compared or (stream == "both" and model.scale > 1)
        self.time_scale = model.time_scale

    def extend(
        self, lr_frames: Tensor, previous: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, list[tuple[Tensor, Sequence[Doubt | None]]]]:
        """`TwoStream.extend`; with each batch of new frames, what is known about each of them."""
        if not self._is_both or not isinstance(self._model, TwoStream):
            stream: Stream = "s2t" if self._stream == "s2t" else "t2s"
            hr_frames, middles = self._model.extend(lr_frames, stream, previous)
            return hr_frames, [(middle, [None] * len(middle)) for middle in middles]
        hr_frames, both = self._model.extend_both(lr_frames, previous)
        given = [*(() if previous is None else previous[1]), *hr_frames]
        found: list[tuple[Tensor, Sequence[Doubt | None]]] = []
        for index, (t2s, s2t) in enumerate(both, 1):
            doubts = disagreement(t2s, s2t) if self._is_compared else []
            middle = {"t2s": t2s, "s2t": s2t}.get(self._stream)
            middle = (t2s + s2t) / 2 if middle is None else middle
            for pair, doubt in enumerate(doubts):
                if self._on_doubt and doubt.mean_levels > self._on_doubt.threshold:
                    doubts[pair] = replace(doubt, is_replaced=True)
                    middle[pair] = _instead(
                        self._on_doubt, given[pair], given[pair + 1], index / self.time_scale
                    )
            found.append((middle, doubts or [None] * len(middle)))
        return hr_frames, found


def _instead(on_doubt: OnDoubt, before: Tensor, after: Tensor, t: float) -> Tensor:
    """What stands for the new frame at t between two given ones."""
    return before if on_doubt.action == "hold" else torch.lerp(before, after, t)


def _marked(frames: Iterator[Frame], options: UpscaleOptions) -> Iterator[tuple[Frame, bool]]:
    """Each frame with whether a cut lies before it, where that makes a difference."""
    if options.cut == "off" or options.time_scale == 1:
        return ((frame, False) for frame in frames)
    return mark_cuts(frames, options.scene_threshold)


class _Counter:
    """Passes frames on and reports how many were taken, and how many of them come after a cut."""

    def __init__(
        self, frames: Iterable[tuple[Frame, bool]], on_frame: Callable[[int], None]
    ) -> None:
        self.num_frames = self.num_cuts = 0
        self._frames, self._on_frame = frames, on_frame

    def __iter__(self) -> Iterator[tuple[Frame, bool]]:
        for frame, is_after_cut in self._frames:
            yield frame, is_after_cut
            self.num_frames += 1
            self.num_cuts += is_after_cut
            self._on_frame(self.num_frames)


def _outputs(
    network: _Network,
    batches: Iterable[tuple[list[Frame], bool]],
    source: SourceInfo,
    cut: CutAction,
    device: torch.device,
    dtype: torch.dtype,
) -> Iterator[_Output]:
    """Every output frame in order, with its time: each source frame, then those between it and the next."""
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
            fades = [quantise(torch.lerp(previous[1][0], hr_frames[0], t), peak) for t in steps]
        previous = (lr_frames[-1:], hr_frames[-1:])
        images = quantise(hr_frames, peak)
        between = [(quantise(middle, peak), doubts) for middle, doubts in middles]
        first_pair = 0 if before is not None else -1  # the first frame of a shot has none before it
        for index, frame in enumerate(batch):
            if last is not None and last_image is not None:
                interval = frame.pts - last.pts
                times = slots(last.pts, frame.pts, time_scale)
                if is_after_cut and index == 0:
                    yield from _across_cut(last_image, fades, times)
                    last, last_image = frame, images[index]
                    continue
                yield _Output(last_image, times[:1])
                for (new_images, doubts), slot in zip(between, times[1:], strict=True):
                    pair = index + first_pair
                    yield _Output(new_images[pair], (slot,), doubts[pair])
            last, last_image = frame, images[index]
    if last is None or last_image is None:
        raise InputError(f"{source.path} holds no frame that can be decoded")
    # The last frame has no successor to interpolate towards: it is held, so N frames in give time_scale * N out.
    duration = last_duration(last.duration, interval, source.frame_rate, source.time_base)
    yield _Output(last_image, slots(last.pts, last.pts + duration, time_scale))


def _across_cut(
    last_image: Tensor, fades: Sequence[Tensor], times: tuple[Slot, ...]
) -> Iterator[_Output]:
    """The last frame of a shot and what follows it: a fade to the next shot, or itself until that begins.

    It is held for the whole interval, as it was in the source, so that the cut stays where it was in time.
    """
    yield _Output(last_image, times[:1] if fades else times)
    for image, slot in zip(fades, times[1:], strict=False):
        yield _Output(image, (slot,))


def _write(writer: VideoWriter, doubts: DisagreementFiles, output: _Output) -> None:
    """Bring a frame to the host and encode it, in the encoder's thread."""
    pixels = output.image.movedim(0, -1).contiguous().cpu().numpy()
    if pixels.dtype != np.uint8:
        pixels = pixels.astype(np.uint16)
    for slot in output.slots:
        writer.write(pixels, slot.pts, slot.duration)
    doubts.write(output.doubt, output.slots)
