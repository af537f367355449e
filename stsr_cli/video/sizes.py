"""How many bytes frames and tracks take in a file, by looking at its packets."""

import itertools
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from stsr_cli.text import size_text
from stsr_cli.video.damage import demuxed
from stsr_cli.video.encode.encoder import EncoderPlan
from stsr_cli.video.opening import OWN_OUTPUT
from stsr_cli.video.pipes.pipe import PIPE
from stsr_cli.video.probe import SourceInfo, open_input, open_source, shown
from stsr_cli.video.tracks.plan import Track

_LOSSLESS = frozenset({"ffv1", "ffvhuff", "huffyuv", "utvideo", "png", "tiff"})
_BITS_A_PIXEL, _LOSSLESS_BITS = 0.005, 1.0  # of a dark H.264 clip, and less than FFV1 took
_SAMPLED_PACKETS = 5000
_SAMPLED_SECONDS = 20


@dataclass(frozen=True)
class FrameSizes:
    """Bytes of each frame of a video, those that stand alone and those that need others."""

    keyframes: tuple[int, ...]
    others: tuple[int, ...]


def frame_sizes(path: Path) -> FrameSizes:
    """Of the first video of a file; of the images in its folder, if it is their pattern.

    Raises:
        InputError: the file cannot be read.
    """
    if not path.is_file():
        return FrameSizes(tuple(image.stat().st_size for image in path.parent.iterdir()), ())
    with open_input(path, options=OWN_OUTPUT) as container:
        packets = [(p.is_keyframe, p.size) for p in container.demux(container.streams[0]) if p.size]
    return FrameSizes(
        tuple(size for is_key, size in packets if is_key),
        tuple(size for is_key, size in packets if not is_key),
    )


def track_bytes(
    source: SourceInfo, tracks: Sequence[Track], seconds: Fraction | None
) -> int | None:
    """About how many bytes of other tracks go from a source into an output.

    By what those take in the source's first seconds; what is converted counts as it is.

    Args:
        source: the file.
        tracks: what becomes of each.
        seconds: of the video, or None where that is not known.

    Returns:
        None where it would take the seconds to tell.

    Raises:
        InputError: the source cannot be read.
    """
    kept = {track.index for track in tracks if track.action in ("copy", "convert")}
    with open_source(source) as container:
        streams = [stream for stream in container.streams if stream.index in kept]
        fixed = sum(len(getattr(one, "data", None) or b"") for one in streams)
        timed = [stream for stream in streams if stream.type in ("audio", "subtitle")]
        if not timed:
            return fixed
        if seconds is None:
            return None
        sampled, begin, end = 0, math.inf, 0.0
        for packet in itertools.islice(demuxed(container, *timed), _SAMPLED_PACKETS):
            if packet.pts is not None and packet.time_base is not None:
                at = float(packet.pts * packet.time_base)
                begin, end = min(begin, at), max(end, at)
            sampled += packet.size
            if end - begin > _SAMPLED_SECONDS:
                break
        else:
            return fixed + sampled  # that was all
    return fixed + round(sampled * float(seconds) / max(end - begin, 1.0))


def disk_warning(
    target: Path, plan: EncoderPlan, num_frames: int, copies: int = 1
) -> tuple[str, ...]:
    """What to say where an output will hardly find room, by what is seldom undercut; nothing where it may.

    Args:
        target: the output, whose folder exists or its folder's folder does.
        plan: how it is encoded.
        num_frames: about how many it will have; 0: unknown.
        copies: how many times it is on the disk when it is completed.
    """
    if target == PIPE:
        return ()
    is_lossless = plan.codec in _LOSSLESS or "0" in (
        plan.options.get("crf"),
        plan.options.get("qp"),
    )
    bits = _LOSSLESS_BITS if is_lossless else _BITS_A_PIXEL
    needed = num_frames * plan.width * plan.height * bits / 8 * copies
    folder = target.absolute()
    while not folder.is_dir():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed <= free:
        return ()
    segments = ", its segments included," if copies > 1 else ""
    return (
        f"the output takes about {size_text(int(needed))} at least{segments} and {size_text(free)} are free "
        f"in {shown(folder)}; `stsr probe INPUT OUTPUT` estimates it better",
    )
