"""Tracks in another codec, where the container cannot hold the source's: sound, and subtitles that are text."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Protocol

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream

_TEXT_CODECS = frozenset({"srt", "subrip", "ass", "ssa", "mov_text", "webvtt", "text"})
_BITS_PER_SECOND_AND_CHANNEL = 96_000
_DEFAULT_RATE = 48_000


class Recoder(Protocol):
    """A decoder and an encoder for one track."""

    def add_to(self, output: OutputContainer) -> Stream:
        """Announce the track in an output whose header is not written yet; return its stream there."""

    def recode(self, packet: Packet[Any] | None) -> list[Packet[Any]]:
        """Packets of the new codec for one of the old, in its time base; None flushes."""


def is_text(stream: Stream) -> bool:
    """Whether a stream is subtitles of text, not of pictures."""
    context = stream.codec_context
    return stream.type == "subtitle" and context is not None and context.name in _TEXT_CODECS


class AudioRecoder:
    """Sound in another codec, at the source's rate where the codec has it, with its channels."""

    def __init__(self, stream: Stream, codec: str) -> None:
        """Recode `stream` to `codec`."""
        assert isinstance(stream, AudioStream)
        self._stream, self._codec = stream, codec
        self._output: AudioStream | None = None

    def add_to(self, output: OutputContainer) -> Stream:
        """See `Recoder`."""
        source = self._stream.codec_context
        rates = av.Codec(self._codec, "w").audio_rates or [source.sample_rate]
        rate = source.sample_rate if source.sample_rate in rates else _DEFAULT_RATE
        stream: Any = output.add_stream(self._codec, rate=rate)
        stream.layout = source.layout
        stream.bit_rate = _BITS_PER_SECOND_AND_CHANNEL * source.layout.nb_channels
        stream.time_base = Fraction(1, rate)
        self._output = stream
        return self._output

    def recode(self, packet: Packet[Any] | None) -> list[Packet[Any]]:
        """See `Recoder`."""
        assert self._output is not None
        packets: list[Packet[Any]] = []
        for frame in self._stream.decode(packet):
            packets += self._output.encode(frame)
        return packets if packet is not None else packets + self._output.encode(None)


class SubtitleRecoder:
    """Subtitles of text in another codec; what it cannot say, such as positions, is lost."""

    def __init__(self, stream: Stream, codec: str) -> None:
        """Recode `stream` to `codec`."""
        assert isinstance(stream, SubtitleStream)
        self._stream, self._codec = stream, codec
        self._output: SubtitleStream | None = None

    def add_to(self, output: OutputContainer) -> Stream:
        """See `Recoder`."""
        decoder: Any = self._stream.codec_context
        decoder.open(strict=False)
        stream: Any = output.add_stream(self._codec)
        stream.codec_context.subtitle_header = decoder.subtitle_header
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        self._output = stream
        return self._output

    def recode(self, packet: Packet[Any] | None) -> list[Packet[Any]]:
        """See `Recoder`."""
        assert self._output is not None
        if packet is None:
            return []
        shown = self._stream.codec_context.decode2(packet)
        if shown is None or not len(shown):
            return []
        recoded = self._output.codec_context.encode_subtitle(shown)
        recoded.time_base = packet.time_base
        recoded.pts, recoded.dts, recoded.duration = packet.pts, packet.pts, packet.duration
        return [recoded]
