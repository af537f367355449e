"""The standard input: a stream that passes once, from another program to this one, and never touches the disk."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Collection, Iterator
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stsr_cli.errors import StsrError, UsageError
from stsr_cli.options import SourceOptions
from stsr_cli.video.damage import Counted
from stsr_cli.video.messages import let_thread
from stsr_cli.video.opening import PIPE as PIPE
from stsr_cli.video.opening import demuxers
from stsr_cli.video.program_maps import ProgramMaps
from stsr_cli.video.salvage import Salvage, decoder_of
from stsr_cli.video.timing.clock_resets import ClockResets, has_resets, joined_packets

FORMATS = {"nut": "nut", "y4m": "yuv4mpegpipe", "matroska": "matroska"}
_BUFFER_BYTES = 1 << 20
_MOST_WAITING_BYTES = 256 << 20


class InputPipe:
    """A stream from the standard input, with the one demuxer that there can be.

    Packets of the video are decoded as they come; those of other tracks wait until they are taken.

    Attributes:
        container: the demuxer; nobody but this class may read packets from it, or close it.
        resets: where its clock started anew so far; None: its format allows none.
        maps: the tracks that it announced so far, if it is a transport stream.
    """

    def __init__(self, options: SourceOptions) -> None:
        """Read the header; `options` say how much damage is borne, and how large a frame may be.

        Raises:
            UsageError: the standard input is a terminal.
            av.FFmpegError, OSError, ValueError: it is closed, or in no known format.
        """
        if os.isatty(0):
            raise UsageError(
                "- reads a video from another program; write PROGRAM | stsr ... -, or name a file"
            )
        self.maps = ProgramMaps()
        source = _StandardInput(self.maps)
        # No protocol at all: a playlist from a stranger opens no file.
        safe = {"protocol_whitelist": "none", "format_whitelist": demuxers(SourceOptions())}
        try:
            self.container: InputContainer = av.open(
                source,
                mode="r",
                options={**safe, "max_pixels": str(options.max_pixels)},
                buffer_size=_BUFFER_BYTES,
                metadata_errors="surrogateescape",
            )
        finally:
            if source.is_interrupted:
                raise KeyboardInterrupt
        self.resets = ClockResets() if has_resets(self.container) else None
        self._wanted: set[int] | None = None
        self._waiting: deque[Packet[Any]] = deque()
        self._num_waiting_bytes = 0
        self._frames: Iterator[VideoFrame] = iter(())
        self._limit = options.max_bad_frames
        self._salvage: Salvage | None = None

    def start(self, video: VideoStream) -> None:
        """Say which stream is decoded."""
        let_thread(video.codec_context)
        ticks = video.time_base or Fraction(1)
        self._salvage = Salvage(
            decoder_of(video), "the pipe (-)", self._limit, ticks, resets=self.resets
        )
        self._frames = self._decode(video, self._salvage)

    def peek(self) -> Iterator[VideoFrame]:
        """Frames as of `frames`, which gives them again."""
        for frame in self._frames:
            self._frames = itertools.chain([frame], self._frames)
            yield frame

    def frames(self, counted: Counted) -> Iterator[VideoFrame]:
        """The frames of the video, once; `counted` gets what their damage costs.

        Packets that nobody has asked for by now are dropped.
        """
        if self._salvage is not None:
            self._salvage.count_in(counted)
        if self._wanted is None:
            self.packets(())
        return self._frames

    def packets(self, indexes: Collection[int]) -> Iterator[Packet[Any]]:
        """The packets of these streams that have been read so far; goes on when more have been."""
        self._wanted = set(indexes)
        self._waiting = deque(p for p in self._waiting if p.stream_index in self._wanted)
        self._num_waiting_bytes = sum(packet.size for packet in self._waiting)
        return _Waiting(self)

    def take(self) -> Packet[Any] | None:
        """The oldest packet that waits, or None."""
        if not self._waiting:
            return None
        packet = self._waiting.popleft()
        self._num_waiting_bytes -= packet.size
        return packet

    def _decode(self, video: VideoStream, salvage: Salvage) -> Iterator[VideoFrame]:
        for packet in joined_packets(self.container, self.resets, on_error=salvage.refuse):
            if packet.stream.index == video.index:
                yield from salvage.take(packet)
            elif packet.size and (self._wanted is None or packet.stream_index in self._wanted):
                self._waiting.append(packet)
                self._num_waiting_bytes += packet.size
                if self._num_waiting_bytes > _MOST_WAITING_BYTES:
                    raise StsrError(
                        "the sound of the pipe is more than "
                        f"{_MOST_WAITING_BYTES >> 20} MiB ahead of its pictures; save it to a file and upscale that"
                    )


class _StandardInput:
    """Reads on and never back. Ctrl-C ends it, since FFmpeg would swallow the exception and wait for more."""

    def __init__(self, maps: ProgramMaps) -> None:
        self.is_interrupted, self._maps = False, maps

    def read(self, num_bytes: int) -> bytes:
        """Up to so many bytes, none at the end."""
        try:
            data = b"" if self.is_interrupted else os.read(0, num_bytes)
        except KeyboardInterrupt:
            self.is_interrupted = True
            return b""
        self._maps.feed(data)
        return data


class _Waiting:
    """Packets that wait: an iterator that stops when there is none, and goes on when there is one again."""

    def __init__(self, pipe: InputPipe) -> None:
        self._pipe = pipe

    def __iter__(self) -> Iterator[Packet[Any]]:
        return self

    def __next__(self) -> Packet[Any]:
        packet = self._pipe.take()
        if packet is None:
            raise StopIteration
        return packet
