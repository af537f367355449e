"""What a source is, in words and for programs."""

from typing import Any

import av

from stsr_cli.video.probe import SourceInfo, open_source

_HDR = {16: "HDR (PQ)", 18: "HDR (HLG)"}  # transfer characteristics of ITU-T H.273


def describe(source: SourceInfo) -> dict[str, Any]:
    """A source's video for programs, as JSON's types; "text" has the same on a line."""
    seconds = None if source.duration is None else float(source.duration * source.time_base)
    if seconds is None:  # Matroska knows the whole file's duration alone
        with open_source(source) as container:
            seconds = container.duration / av.time_base if container.duration else None
    rate = source.frame_rate
    size = f"{source.width}x{source.height}"
    text = [size, f"{float(rate):.3f} fps" if rate else "", source.pix_fmt]
    text += [f"{seconds:.3f} s" if seconds is not None else ""]
    text += ["cropped by the container" if any(source.cropping) else ""]
    text += ["interlaced" if source.is_interlaced else ""]
    colour, shape = source.colour, source.sample_aspect_ratio
    text += [_HDR.get(colour.transfer, "")]
    text += [f"turned by {source.rotation} degrees" if source.rotation else ""]
    text += [f"pixels of {shape.numerator}:{shape.denominator}" if shape and shape != 1 else ""]
    text += [f"{len(source.images)} images" if source.images else ""]
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
        "num_images": len(source.images) or None,
        "text": ", ".join(filter(None, text)),
    }
