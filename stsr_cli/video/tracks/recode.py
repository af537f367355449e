"""Tracks in another codec, where the container cannot hold the source's: sound, and subtitles that are text."""

from __future__ import annotations

import heapq
import math
from fractions import Fraction
from typing import Any, Protocol

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.codec import Codec
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import AssSubtitle, SubtitleSet

from stsr_cli.video.side_data.bitstream import captions_in, find
from stsr_cli.video.tracks import captions
from stsr_cli.video.tracks.captions import CaptionText, Line
from stsr_cli.video.tracks.layout import layout_name, name_layout, num_channels, usual_layout

_TEXT_CODECS = frozenset(
    {"srt", "subrip", "ass", "ssa", "mov_text", "webvtt", "text", captions.CODEC}
)
# Bits per second and channel: of a source that does not tell, and the bounds for one that does.
_USUAL, _LOWEST, _HIGHEST = 96_000, 48_000, 128_000
_DEFAULT_RATE = 48_000
_MILLISECOND = Fraction(1, 1000)
_JITTER = Fraction(1, 100)  # seconds by which the times of a file that counts milliseconds are off
_MOST_REORDERED = 32  # pictures, of any coding
_AT_THE_SIDE = {"quad": "quad(side)", "5.0": "5.0(side)", "5.1": "5.1(side)"}
_LAST_LINE_MS = 3000  # how long the last line is shown if the file does not tell


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


def can_be_decoded(sound: Stream) -> bool:
    """Whether the header of a sound says all that a decoder's frames must be known to be."""
    context: Any = sound.codec_context
    if not isinstance(context, AudioCodecContext) or context.format is None:
        return False
    return context.sample_rate > 0 and num_channels(context) > 0


def is_lossless(codec: Codec) -> bool:
    """Whether all that a codec stores is the sound as it was."""
    return codec.lossless and not codec.lossy


def keeps_all(sound: Stream, codec: str) -> bool:
    """Whether a sound that is stored without loss stays so in a codec, which may not have its rate or its channels."""
    source: Any = sound.codec_context
    rates = av.Codec(codec, "w").audio_rates
    if codec == "pcm_bluray" and num_channels(source) > 6:  # FFmpeg writes 24 bits of 7.1 too loud
        return False
    return is_lossless(source.codec) and (not rates or source.sample_rate in rates)


def lost_by(stream: Stream, codec: str) -> str | None:
    """What is lost when a track is converted, or how much is kept of it, for a message."""
    if stream.type == "audio":
        if not is_lossless(av.Codec(codec, "w")):
            return f"{_bit_rate(stream.codec_context) // 1000} kbit/s"
        return "without loss" if _bits(stream.codec_context) <= 24 else "rounded to 24 bits"
    styled = ("ass", "ssa", captions.CODEC)
    is_styled = stream.codec_context is not None and stream.codec_context.name in styled
    return "without its styles and positions" if is_styled else None


def _bit_rate(source: Any) -> int:
    """As many bits as the source has, within bounds for its number of channels."""
    channels = num_channels(source)
    if not source.bit_rate or is_lossless(source.codec):
        return _USUAL * channels
    return min(max(source.bit_rate, _LOWEST * channels), _HIGHEST * channels)


def _bits(source: Any) -> int:
    """Of a sample: 16 or 24 that are kept, 32 and more that are not."""
    name = source.format.name.removesuffix("p")
    if name in ("u8", "s16"):
        return 16
    return 24 if name == "s32" and "32" not in source.name else 32


class AudioRecoder:
    """Sound in another codec, at the source's rate where the codec has it, with its channels.

    Its samples follow one another as they are counted, where the file's times are rounded; what overlaps is cut.

    Attributes:
        begin: what is heard before it is cut, in seconds of the packets' clock; None: nothing is.
    """

    def __init__(self, stream: Stream, codec: str) -> None:
        """Recode `stream` to `codec`."""
        assert isinstance(stream, AudioStream)
        self._stream, self._codec = stream, codec
        self._output: AudioStream | None = None
        self.begin: Fraction | None = None
        self._end: int | None = None  # of what was encoded, in samples of the source
        self._first: AudioFrame | None = None  # whose rate, channels and format all others get
        self._resampler: tuple[tuple[Any, ...], AudioResampler] | None = None  # from which format

    def add_to(self, output: OutputContainer) -> Stream:
        """See `Recoder`."""
        source = self._stream.codec_context
        rates = av.Codec(self._codec, "w").audio_rates or [source.sample_rate]
        rate = source.sample_rate if source.sample_rate in rates else _DEFAULT_RATE
        stream: Any = output.add_stream(self._codec, rate=rate)
        name_layout(source)  # so that its frames have it, too
        layout: str | None = layout_name(source)
        if self._codec == "libopus":  # knows one for each number of channels, not 5.1(side)
            layout = usual_layout(num_channels(source)) or layout
        elif self._codec == "pcm_bluray":  # has the other speakers of those at the side
            layout = _AT_THE_SIDE.get(layout_name(source), layout)
        stream.layout = layout
        if is_lossless(stream.codec_context.codec):
            depth = "s16" if _bits(source) == 16 else "s32"
            formats = [one.name for one in stream.codec_context.codec.audio_formats or ()]
            stream.format = next(name for name in formats if name.removesuffix("p") == depth)
        else:
            stream.bit_rate = _bit_rate(source)
        stream.time_base = Fraction(1, rate)
        self._output = stream
        return self._output

    def recode(self, packet: Packet[Any] | None) -> list[Packet[Any]]:
        """See `Recoder`."""
        assert self._output is not None
        packets: list[Packet[Any]] = []
        for frame in self._stream.decode(packet):
            for alike in self._alike(frame):
                placed = self._placed(alike)
                if placed is not None:
                    packets += self._output.encode(placed)
        return packets if packet is not None else packets + self._output.encode(None)

    def _alike(self, frame: AudioFrame) -> list[AudioFrame]:
        """A decoded frame at the rate and with the channels of the first: parts joined in a file may have others."""
        first = self._first = self._first or frame
        kind = _kind(frame)
        if kind == _kind(first):
            self._resampler = None
            return [frame]
        if self._resampler is None or self._resampler[0] != kind:
            made = AudioResampler(first.format, first.layout, first.sample_rate)
            self._resampler = (kind, made)
        return self._resampler[1].resample(frame)

    def _placed(self, frame: AudioFrame) -> AudioFrame | None:
        """A decoded frame at its place in samples, cut where it begins too early; None: nothing of it is left."""
        rate = frame.sample_rate
        first = self._end
        if frame.pts is not None and frame.time_base is not None:
            at = round(frame.pts * frame.time_base * rate)
            is_next = self._end is not None and abs(at - self._end) <= rate * _JITTER
            first = self._end if is_next else at
        first = first or 0
        earliest = first if self._end is None else self._end
        if self.begin is not None:
            earliest = max(earliest, math.ceil(self.begin * rate))
        num_cut = earliest - first
        if num_cut >= frame.samples:
            return None
        if num_cut > 0:
            frame, first = _without_first(frame, num_cut), earliest
        frame.pts, frame.time_base = first, Fraction(1, rate)
        self._end = first + frame.samples
        return frame


def _kind(frame: AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _without_first(frame: AudioFrame, num_samples: int) -> AudioFrame:
    """A frame without its first samples."""
    samples: Any = frame.to_ndarray()  # (channels, samples), or (1, samples * channels)
    start = num_samples if frame.format.is_planar else num_samples * frame.layout.nb_channels
    rest: Any = np.ascontiguousarray(samples[:, start:])
    cut = AudioFrame.from_ndarray(rest, format=frame.format.name, layout=frame.layout.name)
    cut.sample_rate = frame.sample_rate
    return cut


class SubtitleRecoder:
    """Subtitles of text in another codec; what it cannot say, such as positions, is lost.

    MP4 shows one text at a time: lines at the same time are put under each other, so that none moves.
    """

    def __init__(self, stream: Stream, codec: str) -> None:
        """Recode `stream` to `codec`."""
        assert isinstance(stream, SubtitleStream)
        self._stream, self._codec = stream, codec
        self._output: SubtitleStream | None = None
        self._lines: list[Line] = []  # on the screen at `_now`
        self._now = 0
        is_captions = stream.codec_context.name == captions.CODEC
        self._captions = CaptionText(stream.codec_context) if is_captions else None

    def add_to(self, output: OutputContainer) -> Stream:
        """See `Recoder`."""
        decoder: Any = self._stream.codec_context
        decoder.open(strict=False)
        stream: Any = output.add_stream(self._codec)
        header = decoder.subtitle_header
        if self._captions:
            header = captions.plain_header(header)
        stream.codec_context.subtitle_header = header
        stream.codec_context.time_base = stream.time_base = _MILLISECOND
        self._output = stream
        return self._output

    def recode(self, packet: Packet[Any] | None) -> list[Packet[Any]]:
        """See `Recoder`."""
        if self._captions:
            packets = []
            for line in self._captions.lines(packet):
                packets += self._shown([line])
            return packets + (self._show_until(None) if packet is None else [])
        if packet is None:
            return self._show_until(None)
        shown = self._stream.codec_context.decode2(packet)
        if shown is None or packet.pts is None or packet.time_base is None:
            return []
        start = round(packet.pts * packet.time_base / _MILLISECOND)
        length = round((packet.duration or 0) * packet.time_base / _MILLISECOND)
        lines = [
            Line(start, start + length if length else None, rect.ass)
            for rect in shown
            if isinstance(rect, AssSubtitle)
        ]
        return self._shown(lines) if lines else []

    def _shown(self, lines: list[Line]) -> list[Packet[Any]]:
        """Packets of lines that come on at one time."""
        if self._codec != "mov_text":
            return [self.line(line.start, line.end or line.start, line.ass) for line in lines]
        packets = self._show_until(lines[0].start)
        self._lines += lines
        return packets

    def _show_until(self, end: int | None) -> list[Packet[Any]]:
        """One packet for each time between `_now` and `end` in which the same lines are shown; None: all of it."""
        packets = []
        while self._lines and (end is None or self._now < end):
            ends = [line.end for line in self._lines if line.end is not None]
            until = min([*ends, *([] if end is None else [end])], default=self._now + _LAST_LINE_MS)
            if until > self._now:
                texts = [line.ass.split(b",", 8)[-1] for line in self._lines]
                head = self._lines[0].ass.split(b",", 8)[:-1]
                ass = b",".join([*head, b"\\N".join(texts)])
                packets.append(self.line(self._now, until, ass))
            self._now = until
            is_next = until == end or not ends
            self._lines = [
                line
                for line in self._lines
                if (line.end is None and not is_next) or (line.end is not None and line.end > until)
            ]
        self._now = self._now if end is None else max(end, self._now)
        return packets

    def line(self, start: int, end: int, ass: bytes) -> Packet[Any]:
        """A packet of a line of ASS without its time, shown from `start` to `end` in ms."""
        assert self._output is not None
        text = SubtitleSet.create(ass, 0, end - start)
        packet = self._output.codec_context.encode_subtitle(text)
        packet.time_base = _MILLISECOND
        packet.pts, packet.dts, packet.duration = start, start, end - start
        return packet


class VideoCaptions:
    """Closed captions inside a video as a track of text; a `Recoder` of that video's packets."""

    def __init__(self, stream: Stream, codec: str) -> None:
        """Make text of `codec` of the captions in the video `stream`."""
        context: Any = stream.codec_context
        self._coding = context.codec.canonical_name
        self._extradata = context.extradata
        self._captions = captions.caption_stream()
        self._text = SubtitleRecoder(self._captions, codec)
        self._waiting: list[tuple[int, bytes, int, Fraction]] = []  # pts, triplets, duration, tick

    def add_to(self, output: OutputContainer) -> Stream:
        """See `Recoder`."""
        return self._text.add_to(output)

    def recode(self, packet: Packet[Any] | None) -> list[Packet[Any]]:
        """See `Recoder`; captions are in the order of their pictures, which come in that of coding."""
        packets: list[Packet[Any]] = []
        if packet is not None and packet.pts is not None:
            triplets = captions_in(find(bytes(packet), self._coding, self._extradata))
            if triplets:
                entry = (packet.pts, triplets, packet.duration or 0, packet.time_base)
                heapq.heappush(self._waiting, entry)
        while self._waiting and self._is_next(packet):
            pts, triplets, duration, tick = heapq.heappop(self._waiting)
            caption: Packet[Any] = Packet(triplets)
            caption.time_base = self._captions.time_base or _MILLISECOND
            caption.pts = caption.dts = round(pts * tick / caption.time_base)
            caption.duration = round(duration * tick / caption.time_base)
            packets += self._text.recode(caption)
        return packets if packet is not None else packets + self._text.recode(None)

    def line(self, start: int, end: int, ass: bytes) -> Packet[Any]:
        """See `SubtitleRecoder`."""
        return self._text.line(start, end, ass)

    def _is_next(self, packet: Packet[Any] | None) -> bool:
        """Whether no picture that is shown before the first one that waits can still come."""
        if packet is None or packet.dts is None:
            return packet is None or len(self._waiting) > _MOST_REORDERED
        return self._waiting[0][0] <= packet.dts
