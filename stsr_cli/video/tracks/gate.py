"""Which packets of a track a container stores: each goes through a muxer that writes nowhere before the real one.

The real one refuses a damaged packet too late: it holds packets back, and then fails at one of another track.
"""

from __future__ import annotations

import contextlib
from typing import Any

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from stsr_cli.video.damage import REFUSALS
from stsr_cli.video.tracks.layout import add_copy

_OPUS_MOST_MS = 120


class Gate:
    """A muxer for the packets of one copied track alone."""

    def __init__(self, format_name: str, stream: Stream) -> None:
        """Open it.

        Args:
            format_name: FFmpeg's name of the container.
            stream: of the source.

        Raises:
            FFmpegError, OSError, ValueError: the container does not hold the track.
        """
        self._is_opus = stream.codec_context is not None and stream.codec_context.name == "opus"
        self._output: OutputContainer = av.open(_Nowhere(), mode="w", format=format_name)
        try:
            self._stream = add_copy(self._output, stream)
            self._output.start_encoding()
        except BaseException:
            self.close()
            raise

    def takes(self, packet: Packet[Any]) -> bool:
        """Whether the muxer takes a packet, which stays as it is, and readers find it; its times must be in order."""
        if self._is_opus and not _has_frames(bytes(packet)):
            return False
        times = packet.time_base, packet.pts, packet.dts, packet.duration
        stream = packet.stream
        packet.stream = self._stream
        try:
            self._output.mux(packet)
        except REFUSALS:
            return False
        finally:
            packet.stream = stream
            packet.time_base, packet.pts, packet.dts, packet.duration = times
        return True

    def close(self) -> None:
        """Close the muxer; safe to repeat."""
        with contextlib.suppress(*REFUSALS):
            self._output.close()


def _has_frames(packet: bytes) -> bool:
    """Whether an Opus packet says of itself what it may (RFC 6716, 3.1, 3.2), 120 ms at most; readers drop others."""
    if not packet:
        return False
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        frame_ms = (10.0, 20.0, 40.0, 60.0)[config & 3]
    else:
        frame_ms = (10.0, 20.0)[config & 1] if config < 16 else (2.5, 5.0, 10.0, 20.0)[config & 3]
    num_frames = (1, 2, 2, packet[1] & 63 if len(packet) > 1 else 0)[code]
    return 0 < num_frames * frame_ms <= _OPUS_MOST_MS


class _Nowhere:
    """A file that keeps nothing of what is written."""

    def __init__(self) -> None:
        self._at = self._end = 0

    def write(self, data: bytes) -> int:
        self._at += len(data)
        self._end = max(self._end, self._at)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._end)[whence]
        return self._at

    def tell(self) -> int:
        return self._at
