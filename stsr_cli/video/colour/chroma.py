"""Where the chroma samples of subsampled formats lie between the luma samples: read, and set, through FFmpeg's filters.

PyAV has no attribute for it. `setparams` sets it on a frame (0.1 ms, no copy) and `VideoReformatter` honours it then,
of the source of a conversion and, since it copies properties, of its result. It takes an unspecified location for the
centre, and the formats' standards do not (H.273, clause 8.7: left is the rule for 4:2:0), so that every untagged frame
passes through here. `scale`'s own in_chroma_loc and out_chroma_loc do the same; its "auto" takes every frame's for the
centre (FFmpeg 8.1.2).
"""

import re
from fractions import Fraction

import av
from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from stsr_cli.video.messages import messages_captured

UNSPECIFIED = "unspecified"
LEFT = "left"
_LOCATIONS = ("left", "center", "topleft", "top", "bottomleft", "bottom")
_REPORTED = re.compile(rf"\bcl:({'|'.join(_LOCATIONS)})\b")
# What the standards of these codecs lay down, without a way to say otherwise.
_FIXED = {"mjpeg": "center", "mpeg1video": "center", "mpeg2video": LEFT, "mpeg4": LEFT}
_AV1 = frozenset({LEFT, "topleft"})  # what a sequence header of AV1 can say
_SAMPLE = 16  # pixels of the corner that is reported on


def is_subsampled(pixel_format: VideoFormat) -> bool:
    """Whether a format has fewer chroma samples than luma samples."""
    has_chroma = any(component.is_chroma for component in pixel_format.components)
    return has_chroma and (pixel_format.chroma_width(16), pixel_format.chroma_height(16)) != (
        16,
        16,
    )


def read_chroma_location(frame: VideoFrame) -> str:
    """The location a decoded frame is tagged with, as FFmpeg names it; "unspecified" where it has none, or no chroma.

    FFmpeg's `showinfo` filter reports it, on its log alone, which is captured: about 11 ms, for a first frame.
    """
    if not is_subsampled(frame.format):
        return UNSPECIFIED
    width, height = min(_SAMPLE, frame.width), min(_SAMPLE, frame.height)
    can_be_cut = min(width, height) > 1  # a row of 4:2:0 has half a row of chroma
    graph = _graph(
        frame,
        *([("crop", f"{width}:{height}:0:0")] if can_be_cut else []),
        ("sidedata", "mode=delete"),
        ("showinfo", "checksum=0"),
    )
    with messages_captured(av.logging.INFO) as lines:
        graph.vpush(frame)
        graph.vpull()
    found = _REPORTED.search("".join(text for _, _, text in lines))
    return found[1] if found else UNSPECIFIED


def is_cosited(pixel_format: VideoFormat) -> bool:
    """Whether an unspecified location means left: of all that are subsampled but 4:1:0, which has blocks of 4x4."""
    return is_subsampled(pixel_format) and pixel_format.chroma_height(16) >= 8


def output_location(codec: str, pixel_format: VideoFormat, source: str) -> str:
    """Where an output's chroma samples are to lie: where the source's do, if the codec can say so.

    Args:
        codec: name of the encoder.
        pixel_format: of the output.
        source: location in the source, or "unspecified".

    Returns:
        The location to convert to and to tag; "unspecified" where there is nothing to tag.
    """
    if not is_subsampled(pixel_format):
        return UNSPECIFIED
    if codec in _FIXED:
        return _FIXED[codec]
    if source != UNSPECIFIED and "av1" in codec and source not in _AV1:
        return LEFT
    return source


def tag_options(location: str) -> dict[str, str]:
    """Options that make an encoder tag its output with a location; none where there is nothing to tag."""
    return {} if location == UNSPECIFIED else {"chroma_sample_location": location}


class ChromaLocator:
    """Tags frames with one location, through one long-lived filter graph."""

    def __init__(self, location: str) -> None:
        """Prepare for `location`, one of FFmpeg's names."""
        self._location = location
        self._graph: Graph | None = None
        self._layout: tuple[int, int, str] | None = None

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """The same picture, tagged."""
        layout = (frame.width, frame.height, frame.format.name)
        if self._graph is None or layout != self._layout:
            self._graph = _graph(frame, ("setparams", f"chroma_location={self._location}"))
            self._layout = layout
        self._graph.vpush(frame)
        return self._graph.vpull()


def _graph(frame: VideoFrame, *filters: tuple[str, str]) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format,
        time_base=frame.time_base or Fraction(1, 1000),
    )
    nodes = [graph.add(name, arguments) for name, arguments in filters]
    graph.link_nodes(source, *nodes, graph.add("buffersink")).configure()
    return graph
