"""Times of packets in the order in which they are coded, which B-frames make another than that of showing."""

from __future__ import annotations

from collections.abc import Sequence

from av.packet import Packet
from av.video.stream import VideoStream


def stretch(packet: Packet[VideoStream], end_dts: int) -> None:
    """Let the last packet in coding order end at `end_dts` at least.

    MP4 and MOV store a track's length twice, over presentation and over coding order, and readers take
    the smaller. With a variable frame rate and B-frames the second comes out short. A later dts, up to
    the pts, mends that without changing what is shown when; only what is left goes into the duration.
    """
    assert packet.pts is not None and packet.dts is not None and packet.duration is not None
    missing = end_dts - (packet.dts + packet.duration)
    if missing > 0:
        shift = min(missing, packet.pts - packet.dts)
        packet.dts += shift
        packet.duration += missing - shift


def delay_of(pts: Sequence[int]) -> int:
    """By how many frames coding runs ahead of showing, of frames whose `pts` are in coding order."""
    rank = {shown: index for index, shown in enumerate(sorted(pts))}
    return max((index - rank[shown] for index, shown in enumerate(pts)), default=0)


def dts_of(index: int, pts: Sequence[int], delay: int) -> int:
    """When the frame that is coded as the `index`-th is decoded: as the one shown `delay` frames earlier is shown.

    Args:
        index: in coding order.
        pts: of all frames so far at least, in the order they are shown.
        delay: as `delay_of` says, or more.
    """
    if index >= delay:
        return pts[index - delay]
    ahead = pts[min(delay, len(pts) - 1)] - pts[0]
    return pts[index] - ahead
