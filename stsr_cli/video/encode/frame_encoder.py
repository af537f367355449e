"""From the network's frames to the encoder's packets: turned, converted to the coded colours, timed."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from av.packet import Packet
from av.video.stream import VideoStream

from stsr_cli.video.colour.convert import FromRgb, Pixels
from stsr_cli.video.encode.encoder import EncoderPlan
from stsr_cli.video.encode.orientation import upright
from stsr_cli.video.side_data.bitstream import CODINGS, Message, embed


class FrameEncoder:
    """Encodes frames in presentation order with a stream's encoder.

    Attributes:
        num_frames: encoded so far.
    """

    def __init__(self, video: VideoStream, plan: EncoderPlan, time_base: Fraction) -> None:
        """Take the stream, its encoder open as the plan says, and the seconds per tick of the frames' pts."""
        self.num_frames = 0
        self._video, self._plan, self._time_base = video, plan, time_base
        self._to_frame = FromRgb(plan.pix_fmt, plan.tags, is_neutral=plan.is_grey)
        self._last_pts = 0
        self._messages: dict[int, Sequence[Message]] = {}  # by pts, of frames in the encoder

    def encode(
        self, pixels: Pixels, pts: int, messages: Sequence[Message] = ()
    ) -> list[Packet[VideoStream]]:
        """Take a frame, (H, W, 3 or 4) as the plan says, later than the one before; return what is encoded by now.

        `messages` go along with it, as far as the coding holds them.

        Raises:
            ValueError: of another shape, or not later.
        """
        shape = (*self._plan.frame_size, 4 if self._plan.has_alpha else 3)
        if pixels.shape != shape:
            raise ValueError(f"a frame must have the shape {shape}, not {pixels.shape}")
        if self.num_frames and pts <= self._last_pts:
            raise ValueError(f"pts {pts} does not come after {self._last_pts}")
        frame = self._to_frame(upright(pixels, self._plan.turn))
        frame.pts, frame.time_base = pts, self._time_base
        if messages:
            self._messages[pts] = messages
        packets = self._video.encode(frame)
        self._last_pts = pts
        self.num_frames += 1
        return [self._with_messages(packet) for packet in packets]

    def drain(self) -> list[Packet[VideoStream]]:
        """The packets that are left at the end."""
        if not self.num_frames:  # SVT-AV1 waits for ever for the end of nothing
            return []
        packets = [self._with_messages(packet) for packet in self._video.encode(None)]
        if self.num_frames < 3:  # nothing to reorder, and libx265 4.2 leaves dts to chance
            for packet in packets:
                packet.dts = packet.pts
        return packets

    def _with_messages(self, packet: Packet[VideoStream]) -> Packet[VideoStream]:
        messages = self._messages.pop(packet.pts, ()) if packet.pts is not None else ()
        return with_messages(packet, messages, self._video)


def with_messages(
    packet: Packet[VideoStream], messages: Sequence[Message], video: VideoStream
) -> Packet[VideoStream]:
    """A packet of a stream's encoder with messages in it, as far as the coding holds them."""
    context = video.codec_context
    coding = context.codec.canonical_name
    if not messages or coding not in CODINGS:
        return packet
    data = embed(bytes(packet), messages, coding, context.extradata)
    filled: Packet[VideoStream] = Packet(data)  # type: ignore[assignment]
    filled.stream, filled.time_base = packet.stream, packet.time_base
    filled.pts, filled.dts, filled.duration = packet.pts, packet.dts, packet.duration
    filled.is_keyframe = packet.is_keyframe
    return filled
