"""A segment of an output on its own: encoded to a finished file, and read back for the join.

NUT keeps timestamps and packets as they are; MOV takes what NUT does not, such as ProRes; Matroska has the alpha of
VP9, which travels beside the packets. None is what the output becomes: its muxer is given the packets when all are
there (`VideoWriter.write_encoded`).
"""

from __future__ import annotations

import contextlib
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
from av.bitstream import BitStreamFilterContext
from av.codec.context import Flags as CodecFlags
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from stsr_cli.errors import InputError, StsrError
from stsr_cli.files import remove, replace, sync
from stsr_cli.text import plural
from stsr_cli.video.check.verify import Expected, verify
from stsr_cli.video.colour.convert import Pixels
from stsr_cli.video.encode.encoder import EncoderPlan, add_video, open_encoder
from stsr_cli.video.encode.frame_encoder import FrameEncoder
from stsr_cli.video.opening import OWN_OUTPUT
from stsr_cli.video.probe import SourceInfo, local_url, open_input, reason, shown
from stsr_cli.video.side_data.bitstream import Message
from stsr_cli.video.timing.coding_order import delay_of
from stsr_cli.video.timing.timeline import Slot
from stsr_cli.video.written import encoding_advice, is_of_disk, removing_on_failure

_FORMATS = ("nut", "mov")
_IN_BAND = frozenset(
    {"h264", "hevc", "mpeg4"}
)  # whose encoders write parameter sets in one place or the other


def segment_format(plan: EncoderPlan) -> str | None:
    """FFmpeg's name of the format that segments are stored in, and the ending of their files.

    None: none takes the codec. It follows from the encoder alone, so that segments fit any container with that codec.
    """
    is_beside = plan.has_alpha and plan.codec.startswith("libvpx")
    for name in ("matroska",) if is_beside else _FORMATS:
        with av.open(f"file:segment.{name}", "w", format=name) as output:
            if plan.codec in output.supported_codecs:
                return name
    return None


class SegmentWriter:
    """A segment under its temporary name, as a context manager: an exception removes it.

    Attributes:
        path: the file to be.
        slots: when each frame that was written is shown, in ticks of the source's time base / time_scale.
        delay: by how many frames coding runs ahead of showing; known after `close`.
        time_base: seconds per tick of the times that `write` takes.
    """

    def __init__(
        self,
        path: Path,
        source: SourceInfo,
        plan: EncoderPlan,
        storage: str,
        *,
        time_scale: int,
        leftover: Path | None = None,
    ) -> None:
        """Write the header.

        Args:
            path: the file to write.
            source: as of the output's writer.
            plan: likewise.
            storage: of `segment_format`.
            time_scale: as of the output's writer.
            leftover: where the frames go that are written when the disk is full; None: they are removed.

        Raises:
            StsrError: it cannot be written.
        """
        self._leftover = leftover
        self.path, self.slots, self.delay = path, list[Slot](), 0
        self._partial = path.with_name(f".{path.name}")
        self.time_base = source.time_base / time_scale
        self._size = (plan.width, plan.height)
        self._coded = array("q")
        with removing_on_failure(self, self.path, encoding_advice):
            self._output: OutputContainer = av.open(local_url(self._partial), "w", format=storage)
            self._video = add_video(self._output, source, plan, time_scale)
            self._video.codec_context.flags |= CodecFlags.global_header
            open_encoder(self._video, plan)
            self._output.start_encoding()
            self._encoder = FrameEncoder(self._video, plan, self.time_base)

    def __enter__(self) -> SegmentWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.abort()

    def write(
        self, pixels: Pixels, pts: int, duration: int, messages: Sequence[Message] = ()
    ) -> None:
        """Encode one frame, as `VideoWriter.write` does."""
        with removing_on_failure(self, self.path, encoding_advice), self._leaving_frames():
            self.slots.append(Slot(pts, duration))
            # its own start is 0: no format takes all times
            for packet in self._encoder.encode(pixels, pts - self.slots[0].pts, messages):
                self._mux(packet)

    def close(self) -> None:
        """Complete the file, read it back, and give it its name; all of it is on the disk then.

        Raises:
            StsrError: the disk is full, or it does not verify; it is removed then.
        """
        with removing_on_failure(self, self.path, encoding_advice):
            with self._leaving_frames():
                for packet in self._encoder.drain():
                    self._mux(packet)
                self._output.close()
                sync(self._partial)
            self.delay = delay_of(self._coded)
            pts = array("q", (slot.pts - self.slots[0].pts for slot in self.slots))
            expected = Expected(pts, self.time_base, size=self._size)
            verify(self._partial, expected, shown(self.path))
            replace(self._partial, self.path)

    def abort(self) -> None:
        """Remove what there is. Safe to repeat."""
        if hasattr(self, "_output"):
            with contextlib.suppress(av.FFmpegError, OSError, ValueError):
                self._output.close()
        remove(self._partial)

    @contextlib.contextmanager
    def _leaving_frames(self) -> Iterator[None]:
        """Leave what is written when the disk is full under another name."""
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            if self._leftover is None or not is_of_disk(error):
                raise
            with contextlib.suppress(av.FFmpegError, OSError, ValueError):
                self._output.close()
            try:
                with open_input(self._partial, options=OWN_OUTPUT) as container:
                    num_frames = sum(1 for packet in container.demux(video=0) if packet.size) - 1
                if num_frames < 1:  # the last one is cut off
                    raise error
                replace(self._partial, self._leftover)
            except (InputError, av.FFmpegError, OSError, ValueError):
                raise error from None
            raise StsrError(
                f"cannot write {shown(self.path)}: {reason(error)}; {encoding_advice(error.errno)}; "
                f"the first {plural(num_frames, 'frame')} made are kept as {shown(self._leftover)}"
            ) from error

    def _mux(self, packet: Packet[VideoStream]) -> None:
        assert packet.pts is not None
        self._coded.append(packet.pts)
        packet.stream = self._video
        self._output.mux(packet)


def read_segment(
    path: Path, slots: Sequence[Slot], time_base: Fraction, *, is_header_global: bool = True
) -> Iterator[Packet[VideoStream]]:
    """The packets of a segment in coding order.

    Args:
        path: the file.
        slots: when its frames are shown, in ticks of `time_base`.
        time_base: seconds per tick of the output that it was written for, in which the packets are timed.
        is_header_global: whether the container has the encoder's parameter sets in front of all packets; else each key
            frame gets them, as in MPEG-TS.

    Raises:
        StsrError: it cannot be read.
    """
    times = [slot.pts for slot in slots]
    try:
        with open_input(path, options=OWN_OUTPUT) as container:
            video = container.streams.video[0]
            assert video.time_base is not None
            ticks = video.time_base / time_base
            offset: Fraction | None = None
            in_band: BitStreamFilterContext | None = None
            if not is_header_global and video.codec_context.codec.canonical_name in _IN_BAND:
                in_band = BitStreamFilterContext("dump_extra", video)
            for packet in container.demux(video):
                if packet.size and packet.pts is not None:
                    if offset is None:  # the first frame of a closed GOP is coded first
                        offset = times[0] - packet.pts * ticks
                    pts = _nearest(packet.pts * ticks + offset, times)
                    for filtered in in_band.filter(packet) if in_band else (packet,):
                        filtered.pts = pts
                        yield filtered
    except (av.FFmpegError, OSError, ValueError) as error:
        raise StsrError(f"cannot read {shown(path)}: {reason(error)}; run again") from error


def _nearest(time: Fraction, times: Sequence[int]) -> int:
    """Of ascending times the one that a format's clock has rounded."""
    after = min(bisect_left(times, time), len(times) - 1)
    return min(times[max(after - 1, 0) : after + 1], key=lambda one: abs(one - time))
