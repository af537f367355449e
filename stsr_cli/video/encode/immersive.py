"""The output's video stream where it is to say that it is stereo or spherical.

In Matroska it is made apart from its encoder; MP4 and QuickTime are told when the file is finished.
"""

from __future__ import annotations

import contextlib
import functools
import io
from dataclasses import replace
from typing import Any

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from stsr_cli.video.boxes import Change, TrackDescription, box
from stsr_cli.video.encode.encoder import EncoderPlan, add_video, open_encoder
from stsr_cli.video.probe import SourceInfo
from stsr_cli.video.side_data.immersive import boxes_saying, header_saying
from stsr_cli.video.target import MOV_FAMILY


def add_saying(
    output: OutputContainer, source: SourceInfo, plan: EncoderPlan, time_scale: int
) -> tuple[VideoStream, VideoStream]:
    """Add the video stream to an output whose header is not written yet, as `add_video` does.

    Returns:
        The stream, and the one that encodes; they are the same unless there is something to say.

    Raises:
        UsageError: as of `add_video` and `open_encoder`.
    """
    name = output.format.name
    if not plan.immersive or name not in ("matroska", "webm"):
        video = add_video(output, source, plan, time_scale)
        return video, video
    encoder = add_video(av.open(io.BytesIO(), mode="w", format=name), source, plan, time_scale)
    coding = encoder.codec_context.codec.canonical_name
    header = header_saying(plan.immersive, coding, plan.width, plan.height)
    template = _template(header)
    if template is None:
        video = add_video(output, source, plan, time_scale)
        return video, video
    open_encoder(encoder, plan)
    with template:
        added: Any = output.add_stream_from_template(template.streams.video[0], opaque=True)
    _describe(added, encoder)
    added.metadata.update(encoder.metadata)
    if plan.display_matrix:
        added.set_display_matrix(plan.display_matrix)
    return added, encoder


def describing(plan: EncoderPlan, format_name: str) -> Change | None:
    """What makes the description of a finished MP4 or QuickTime video say it; None: there is nothing to say."""
    boxes = boxes_saying(plan.immersive) if format_name in MOV_FAMILY else b""
    return functools.partial(_with_boxes, boxes) if boxes else None


def _with_boxes(boxes: bytes, description: TrackDescription) -> TrackDescription:
    entry = description.entry
    return replace(description, entry=box(entry[4:8], entry[8:] + boxes))


def _template(header: bytes | None) -> Any:
    if header is None:
        return None
    with contextlib.suppress(av.FFmpegError, OSError, ValueError):
        return av.open(io.BytesIO(header), mode="r", format="matroska")
    return None


def _describe(video: Any, encoder: VideoStream) -> None:
    """Tell a stream that is only muxed what its encoder knows."""
    to, of = video.codec_context, encoder.codec_context
    for name in ("width", "height", "pix_fmt", "sample_aspect_ratio", "framerate", "bit_rate"):
        value = getattr(of, name)
        if value:
            setattr(to, name, value)
    for name in ("colorspace", "color_range", "color_primaries", "color_trc"):
        setattr(to, name, getattr(of, name))
    if of.codec_tag.strip("\0"):
        to.codec_tag = of.codec_tag
    to.extradata = of.extradata
    to.reorder_depth = of.reorder_depth
    video.time_base = of.time_base
