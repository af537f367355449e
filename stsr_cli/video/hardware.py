"""Decoding on a device: whether one can decode a source, and its frames as software would have decoded them."""

from dataclasses import replace

import av
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stsr_cli.errors import DeviceError, InputError, UsageError
from stsr_cli.video.messages import messages_captured
from stsr_cli.video.probe import SourceInfo, open_input, reason, shown

# Formats of devices that only lay out anew what a planar one has.
PLANAR = {
    "nv12": "yuv420p",
    "nv16": "yuv422p",
    "p010le": "yuv420p10le",
    "p210le": "yuv422p10le",
    "p012le": "yuv420p12le",
}
# The same numbers under another name: full range is a tag.
_TWINS = {"yuvj420p": "yuv420p", "yuvj422p": "yuv422p", "yuvj444p": "yuv444p"}


def accelerated(source: SourceInfo, name: str) -> SourceInfo:
    """The source, to be decoded on a device.

    A device is taken if the first frame of the source comes from it in numbers that software would give.

    Args:
        source: what `probe` says.
        name: "off"; "auto": the first device that can, else software; or FFmpeg's name of a kind of device, e.g. cuda.

    Raises:
        UsageError: FFmpeg was built without devices of that kind.
        DeviceError: there is no such device, or it cannot decode this.
    """
    if name == "off" or source.images:
        return source
    if source.pipe is not None:  # its one decoder is open already
        if name == "auto":
            return source
        raise UsageError(f"--hwaccel {name} cannot be used with a pipe; use --hwaccel auto or off")
    known = hwdevices_available()
    if name != "auto" and name not in known:
        raise UsageError(
            f"unknown --hwaccel {name!r}; this build of FFmpeg knows {', '.join(known) or 'none'}; use auto or off"
        )
    why = ""
    for device in known if name == "auto" else [name]:
        candidate = replace(source, hwaccel=device)
        why = _obstacle(candidate)
        if not why:
            return candidate
    if name == "auto":
        return source
    raise DeviceError(
        f"--hwaccel {name} cannot decode {shown(source.path)} here ({why}); use --hwaccel auto or off"
    )


def decoder_note(source: SourceInfo, name: str) -> tuple[str, ...]:
    """What to say about where a source is decoded, if that was left to stsr or asked for."""
    if name == "off":
        return ()
    if source.hwaccel is None:
        return ("decoded in software: no device here can",)
    return (f"decoded on {source.hwaccel}",)


def accelerator(source: SourceInfo, *, can_fall_back: bool = True) -> HWAccel | None:
    """What to open a source with so that it is decoded on its device; None: in software."""
    if source.hwaccel is None:
        return None
    return HWAccel(source.hwaccel, allow_software_fallback=can_fall_back)


def on_host(frame: VideoFrame, source: SourceInfo) -> VideoFrame:
    """A frame in the pixel format that software decodes to.

    Raises:
        InputError: the device gave numbers of another depth or another kind.
    """
    pix_fmt = source.pix_fmt
    if source.hwaccel is None or frame.format.name == pix_fmt:
        return frame
    planar = PLANAR.get(frame.format.name, frame.format.name)
    if planar != _TWINS.get(pix_fmt, pix_fmt):
        raise InputError(
            f"{source.hwaccel} decodes {shown(source.path)} to {frame.format.name} and not to {pix_fmt}; "
            "use --hwaccel off"
        )
    return frame.reformat(format=planar)


def _obstacle(source: SourceInfo) -> str:
    """Why the first frame does not come from the device; empty: it does."""
    try:
        with (
            messages_captured(av.logging.ERROR) as logged,
            open_input(
                source.path, accelerator(source, can_fall_back=False), source.options
            ) as container,
        ):
            stream = container.streams[source.stream_index]
            assert isinstance(stream, VideoStream)
            if not stream.codec_context.is_hwaccel:
                return f"it has no decoder for {stream.codec_context.name}"
            frame = next(iter(container.decode(stream)), None)
            if frame is None:
                return "it gives no frame"
            on_host(frame, source)
            return ""
    except (InputError, av.FFmpegError, OSError, ValueError, RuntimeError) as error:
        lines = [text.strip() for _, _, text in logged if text.strip()]
        return lines[0] if lines else reason(error)
