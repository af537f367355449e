"""Images as output, one a frame, numbered from 1. The set appears when it is complete, never a part of it.

The images are written into the hidden folder `.stsr-part` beside them, and each is read back at once. At the end all
are renamed. Images have no times: where those of the frames are uneven, they are written beside them.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.codec.context import CodecContext, ThreadType
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stsr_cli import files
from stsr_cli.errors import InputError, StsrError, UsageError
from stsr_cli.files import sync
from stsr_cli.options import EncodeOptions, TrackOptions
from stsr_cli.text import plural
from stsr_cli.video.check.verify import Check
from stsr_cli.video.colour.convert import FromRgb, Pixels
from stsr_cli.video.encode.encoder import EncoderPlan, plan_encoder
from stsr_cli.video.encode.geometry import Size
from stsr_cli.video.encode.orientation import upright
from stsr_cli.video.images.sequence import numbers_of, parse_pattern
from stsr_cli.video.images.still import JPEG_QUANTISER
from stsr_cli.video.opening import OWN_OUTPUT
from stsr_cli.video.probe import (
    SourceInfo,
    find_video,
    first_frame,
    open_input,
    reason,
    shown,
)
from stsr_cli.video.rehearsal import PlannedOutput, rehearse
from stsr_cli.video.side_data.bitstream import Message
from stsr_cli.video.target import IMAGE_ENCODERS
from stsr_cli.video.tracks.plan import Track
from stsr_cli.video.written import WrittenReport, removing_on_failure

TIMESTAMPS = "timestamps.txt"
_FOLDER = ".stsr-part"
_DEEP = {"png": "rgb48be", "tiff": "rgb48le"}
_FLAT = {"mjpeg": "yuvj444p", "libwebp": "bgra", "bmp": "bgr24"}
_OPTIONS = {"libwebp": {"lossless": "1"}, "tiff": {"compression_algo": "deflate"}}
_EXACT = frozenset({"png", "tiff", "bmp"})


def plan_images(
    source: SourceInfo,
    encode: EncodeOptions,
    pattern: Path,
    *,
    scale: int,
    size: Size | None = None,
) -> EncoderPlan:
    """Settle how the frames of `source`, enlarged by `scale`, become images.

    Args:
        source: what the frames come from.
        encode: of it the pixel format: rgb24, rgb48, another one, or "auto": the source's depth.
        pattern: names of the images; their ending chooses the format.
        scale: of the networks.
        size: of the images, or None: what the networks make.

    Raises:
        UsageError: images of this kind cannot have that pixel format.
    """
    codec = IMAGE_ENCODERS[pattern.suffix.lower()]
    is_deep = encode.pix_fmt == "rgb48" or (encode.pix_fmt == "auto" and source.bit_depth > 8)
    lost: tuple[str, ...] = ()
    if is_deep and codec not in _DEEP:
        if encode.pix_fmt != "auto":
            raise UsageError(
                f"{pattern.suffix} has 8 bits and not rgb48; write .png or .tif images"
            )
        lost = (
            f"{pattern.suffix} keeps 8 of the {source.bit_depth} bits of a colour; .png and .tif keep all",
        )
    if source.has_alpha and encode.pix_fmt == "auto" and codec in _DEEP:
        pix_fmt = _DEEP[codec].replace("rgb48", "rgba64") if is_deep else "rgba"
    elif encode.pix_fmt in ("auto", "rgb24", "rgb48"):
        pix_fmt = _DEEP[codec] if is_deep and codec in _DEEP else _FLAT.get(codec, "rgb24")
    else:
        pix_fmt = encode.pix_fmt
    wanted = replace(encode, codec=codec, pix_fmt=pix_fmt)
    plan = plan_encoder(source, wanted, scale=scale, format_name="image2", size=size)
    tags = plan.tags
    if codec == "mjpeg":  # by JPEG's standard, whatever the source is
        tags = replace(tags, matrix=5, effective_matrix=5, range=2, effective_range=2)
    options = {**_OPTIONS.get(codec, {}), **plan.options}
    return replace(plan, tags=tags, options=options, warnings=(*plan.warnings, *lost))


class SequenceWriter:
    """Images under a temporary name; see `Writer`.

    Attributes:
        target: pattern of their names.
        plan: how they are encoded.
        time_base: seconds per tick of the pts and durations that `write` takes.
        tick: see `Writer`.
        tracks: what is lost of the source.
        warnings: likewise, beside whole tracks.
    """

    def __init__(
        self,
        pattern: Path,
        source: SourceInfo,
        plan: EncoderPlan,
        tracks: TrackOptions,
        *,
        time_scale: int,
    ) -> None:
        """Make the folders; use `open_writer`, which checks the target first.

        Raises:
            UsageError: the encoder refuses the size, a track is lost and that is an error, or there can be no folder.
        """
        self.target = pattern
        self.time_base = source.time_base / time_scale
        self.plan, self.warnings = plan, plan.warnings
        self.tick: Fraction | None = None
        self._time_scale = time_scale
        self._size = (plan.width, plan.height)
        name = parse_pattern(pattern.name)
        assert name is not None
        self._name, self._folder = name, pattern.absolute().parent
        self._partial = self._folder / _FOLDER
        self._to_frame = FromRgb(plan.pix_fmt, plan.tags, is_neutral=plan.is_grey)
        self._pts: list[int] = []
        self._end_pts = self._num_stored = 0
        self._sums: dict[int, int] = {}
        output = PlannedOutput(source, plan, "image2", time_scale)
        self.tracks: tuple[Track, ...] = rehearse(output, tracks).tracks
        self._encoder = _open_encoder(plan, *self._size, plan.sample_aspect_ratio)
        self._has_made_folder = not self._folder.exists()
        try:
            files.remove_folder(self._partial)  # of a run that was killed
            self._partial.mkdir(parents=True)
        except OSError as error:
            raise UsageError(
                f"cannot write in {shown(self._folder)}: {reason(error)}; choose another folder"
            ) from error
        self._is_open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.abort()
        elif self._is_open:
            self.close()

    def write(
        self, pixels: Pixels, pts: int, duration: int, messages: Sequence[Message] = ()
    ) -> None:
        """See `Writer`; images hold no messages."""
        if self._pts and pts <= self._pts[-1]:
            raise ValueError(f"pts {pts} does not come after {self._pts[-1]}")
        image: Any = np.ascontiguousarray(upright(pixels, self.plan.turn))
        if image.shape[1::-1] != self._size:
            raise ValueError(f"a frame must not have the shape {image.shape}")
        with removing_on_failure(self, self.target, _advice):
            frame = self._to_frame(image)
            frame.pts = len(self._pts)
            if self.plan.codec in _EXACT:
                self._sums[len(self._pts) + 1] = _checksum(frame)
            self._store(self._encoder.encode(frame))
        self._pts.append(pts)
        self._end_pts = pts + duration

    def close(self) -> WrittenReport:
        """See `Writer`."""
        with removing_on_failure(self, self.target, _advice):
            if not self._pts:
                raise StsrError(f"no frame was written to {shown(self.target)}; check the source")
            self._store(self._encoder.encode(None))
            if self._num_stored != len(self._pts):
                raise StsrError(
                    f"{self._num_stored} of {plural(len(self._pts), 'image')} were written; run again"
                )
            if not self._is_even():
                self._write_times()
            sync(self._partial)
            self._publish()
        self._is_open = False
        return WrittenReport(
            path=self.target,
            frames=len(self._pts),
            duration=(self._end_pts - self._pts[0]) * self.time_base,
            packets_copied=0,
            checks=(
                Check("images that are read back as written", len(self._pts), self._num_stored),
            ),
        )

    def abort(self) -> None:
        """See `Writer`."""
        self._is_open = False
        files.remove_folder(self._partial)
        if self._has_made_folder:
            with contextlib.suppress(OSError):
                self._folder.rmdir()

    def _store(self, packets: list[Packet[VideoStream]]) -> None:
        """Write each packet to a file of its own and read that back."""
        for packet in packets:
            self._num_stored += 1
            path = self._partial / self._name.name(self._num_stored)
            with path.open("wb") as file:
                file.write(bytes(packet))
                file.flush()
                os.fsync(file.fileno())
            self._verify(path, self._sums.pop(self._num_stored, None))

    def _verify(self, path: Path, checksum: int | None) -> None:
        """Raise `StsrError` if an image cannot be read, or is not what was written."""
        name = shown(self._folder / path.name)
        try:
            with open_input(path, options=OWN_OUTPUT) as container:
                video = find_video(container, path)
                frame, _ = first_frame(container.decode(video), video, path)
        except InputError as error:
            raise StsrError(f"written file does not verify: {error}; check the disk") from error
        is_size = (frame.width, frame.height) == self._size
        is_format = frame.format.name == self.plan.pix_fmt
        if not is_size or (checksum is not None and is_format and _checksum(frame) != checksum):
            raise StsrError(
                f"written file does not verify: {name} has other pixels than were written; "
                "check the disk and run again"
            )

    def _is_even(self) -> bool:
        """Whether all frames are equally long, but for the rounding of the source's clock."""
        num_steps = len(self._pts) - 1
        span = self._pts[-1] - self._pts[0]
        return all(
            abs((pts - self._pts[0]) * num_steps - index * span) <= self._time_scale * num_steps
            for index, pts in enumerate(self._pts)
        )

    def _write_times(self) -> None:
        """The start of each frame in milliseconds, as mkvmerge reads it (format v2)."""
        starts = [(pts - self._pts[0]) * self.time_base * 1000 for pts in self._pts]
        lines = ["# timestamp format v2", *(f"{float(start):.6f}" for start in starts)]
        path = self._partial / TIMESTAMPS
        path.write_text("\n".join(lines) + "\n", encoding="ascii")
        sync(path)
        self.warnings += (
            "images have no times and the frames are unevenly long; when each begins is in "
            f"{shown(self._folder / TIMESTAMPS)}",
        )

    def _publish(self) -> None:
        """Give the images their names. Of an older set that is replaced, those that would follow are removed."""
        older = set(numbers_of(self._name, self._folder))
        for path in sorted(self._partial.iterdir()):
            path.replace(self._folder / path.name)
        self._partial.rmdir()
        number = self._num_stored + 1
        while number in older:
            (self._folder / self._name.name(number)).unlink()
            number += 1
        sync(self._folder)


def _advice(number: int | None) -> str:
    return "free some space or write elsewhere"


def _open_encoder(
    plan: EncoderPlan, width: int, height: int, shape: Fraction | None
) -> VideoCodecContext:
    context = CodecContext.create(plan.codec, "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, plan.coded_pix_fmt
    context.time_base = Fraction(1, 25)  # which images do not store
    context.thread_type = ThreadType.AUTO
    context.options = plan.options
    context.color_range = plan.tags.range
    if shape:
        context.sample_aspect_ratio = shape
    if plan.codec == "mjpeg":
        context.qmin = context.qmax = JPEG_QUANTISER
    try:
        context.open(strict=False)
    except (av.FFmpegError, ValueError) as error:
        raise UsageError(
            f"{plan.codec} refuses {width}x{height} in {plan.coded_pix_fmt} ({reason(error)}); "
            "try another kind of image, or scale"
        ) from error
    return context


def _checksum(frame: VideoFrame) -> int:
    return zlib.crc32(frame.to_ndarray().tobytes())
