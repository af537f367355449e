"""What there is to know about the clock of a format before its times can be believed."""

from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream


def dts_delay(
    container: InputContainer, stream: VideoStream, first: VideoFrame, num_skipped: int = 0
) -> int | None:
    """By how many ticks the frames of an AVI are reordered: it has no pts, and what FFmpeg takes for them is wrong.

    Args:
        container: the opened file.
        stream: its video.
        first: the first frame that was decoded.
        num_skipped: packets before it that could not be.

    Returns:
        What a frame's dts is later than its pts; None for a format that has pts.
    """
    if container.format.name != "avi" or first.dts is None or not len(stream.index_entries):
        return None
    entry = stream.index_entries[min(num_skipped, len(stream.index_entries) - 1)]
    return max(0, first.dts - entry.timestamp) if entry.is_keyframe or num_skipped else 0
