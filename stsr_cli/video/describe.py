"""What a source is, in words and for programs."""

from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import av

from stsr_cli.errors import InputError
from stsr_cli.text import plural
from stsr_cli.video.damage import demuxed
from stsr_cli.video.probe import SourceInfo, open_source
from stsr_cli.video.size_changes import SizeChange, in_words

_HDR = {16: "HDR (PQ)", 18: "HDR (HLG)"}  # transfer characteristics of ITU-T H.273

_ROUNDING = Fraction(1, 5)  # seconds by which headers are wrong about files that are complete


def ends_early(source: SourceInfo, end_pts: int) -> list[str]:
    """What to say of a file that holds less than its header says, as after a download that was broken off.

    Args:
        source: read to its end.
        end_pts: of its last frame that could be read, in ticks.
    """
    is_part = source.begin_pts is not None or source.end_pts is not None
    if is_part or source.images or source.pipe or (source.resets and source.resets.times):
        return []
    start, end = ((pts + source.shift) * source.time_base for pts in (source.start_pts, end_pts))
    if source.duration is not None:
        length = source.duration * source.time_base
        # Of fragments a header states, as often as not, where the last one ends, and no length.
        is_end = start > 0 and not source.num_frames_from_header
        stated = length if is_end else start + length
    else:
        try:
            stated, end = _ends_of_file(source, end)
        except InputError:  # it is gone by now, and was whole when it was read
            return []
    if stated - end <= _ROUNDING:
        return []
    return [
        f"the source ends at {float(end):.2f} s, its header says {float(stated):.2f} s: it may be cut off"
    ]


def _ends_of_file(source: SourceInfo, end: Fraction) -> tuple[Fraction, Fraction]:
    """End of a Matroska file as it states it, which may be that of another track, and of its last packet, in seconds.

    `end`: of its video, as read; the packets are looked at only if the file states more.
    """
    with open_source(source) as container:
        stated = Fraction(container.duration or 0, av.time_base)
        if stated - end > _ROUNDING:
            for packet in demuxed(container):
                if packet.pts is not None and packet.time_base is not None:
                    end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
    return stated, end


def describe(source: SourceInfo, size_changes: Sequence[SizeChange] = ()) -> dict[str, Any]:
    """A source's video for programs, as JSON's types; "text" has the same on a line."""
    seconds = None if source.duration is None else float(source.duration * source.time_base)
    rate = source.frame_rate
    if seconds is None and source.num_frames_from_header and rate:
        seconds = float(source.num_frames_from_header / rate)
    if seconds is None:  # Matroska knows the whole file's duration alone, if nobody wrote tags
        with open_source(source) as container:
            seconds = container.duration / av.time_base if container.duration else None
    size = f"{source.width}x{source.height}"
    if size_changes:
        size = in_words(source, tuple(size_changes))
    text = [size, f"{float(rate):.3f} fps" if rate else "", source.pix_fmt]
    text += [f"{seconds:.3f} s" if seconds is not None else ""]
    text += ["cropped by the container" if any(source.cropping) else ""]
    text += ["interlaced" if source.is_interlaced else ""]
    colour, shape = source.colour, source.sample_aspect_ratio
    text += [_HDR.get(colour.transfer, "")]
    text += [f"turned by {source.rotation} degrees" if source.rotation else ""]
    text += [f"pixels of {shape.numerator}:{shape.denominator}" if shape and shape != 1 else ""]
    text += [plural(len(source.images), "image") if source.images else ""]
    return {
        "index": source.stream_index,
        "width": source.width,
        "height": source.height,
        "frame_rate": str(rate) if rate else None,
        "time_base": str(source.time_base),
        "duration_seconds": seconds,
        "pix_fmt": source.pix_fmt,
        "bit_depth": source.bit_depth,
        "matrix": colour.matrix,
        "range": colour.range,
        "primaries": colour.primaries,
        "transfer": colour.transfer,
        "rotation": source.rotation,
        "sample_aspect_ratio": str(shape) if shape else None,
        "is_interlaced": source.is_interlaced,
        "size_changes": [asdict(change) for change in size_changes],
        "num_images": len(source.images) or None,
        "text": ", ".join(filter(None, text)),
    }
