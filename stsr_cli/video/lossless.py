"""Frames handed to another program: a video file in which no pixel changes."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stsr_cli.errors import StsrError
from stsr_cli.video.colour.convert import Pixels
from stsr_cli.video.probe import local_url, reason, shown

_FRAME_RATE = Fraction(25)


def write_lossless(path: Path, frames: Iterable[Pixels]) -> int:
    """Write (H, W, 3) uint8 RGB frames of one size as FFV1 in RGB, at 25 frames a second; return how many.

    Meant for temporary files: nothing is renamed or synced, and memory does not grow with the length.

    Raises:
        StsrError: the disk is full, or the container (the ending of `path`, .mkv is meant) takes no FFV1.
    """
    num_frames = 0
    try:
        with av.open(local_url(path), mode="w") as output:
            video: VideoStream | None = None
            for pixels in frames:
                if video is None:
                    video = output.add_stream("ffv1", rate=_FRAME_RATE)
                    video.height, video.width = pixels.shape[:2]
                    video.pix_fmt = "bgr0"
                frame = VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="bgr0")
                frame.pts, frame.time_base = num_frames, 1 / _FRAME_RATE
                output.mux(video.encode(frame))
                num_frames += 1
            if video is not None:
                output.mux(video.encode(None))
    except (av.FFmpegError, OSError) as error:
        raise StsrError(f"cannot write {shown(path)}: {reason(error)}; free some space") from error
    return num_frames
