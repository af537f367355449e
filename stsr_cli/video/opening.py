"""How a file is opened that may be a stranger's: it may name no other file, and no frame may be larger than allowed."""

import re
from contextlib import suppress
from pathlib import Path

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer

from stsr_cli.errors import InputError
from stsr_cli.options import SourceOptions
from stsr_cli.video.images.moving_webp import is_moving_webp, open_moving_webp

PIPE = Path("-")
WHOLE_SOURCE = SourceOptions(max_bad_frames=0)
OWN_OUTPUT = SourceOptions(max_pixels=2**31 - 1)  # of any size that an encoder took

# Demuxers that open what a file names: other files, addresses, devices.
_OPEN_OTHERS = frozenset(
    "concat dash hls imf lavfi rtp rtsp sap sdp vobsub webm_dash_manifest".split()
    + "alsa fbdev kmsgrab oss video4linux2 v4l2 x11grab".split()
)
_DEMUXERS = {
    "webm": "matroska",
    **dict.fromkeys(("ipod", "psp", "f4v", "mp4", "3gp", "3g2", "ismv"), "mov"),
}
_PLAYLIST = re.compile(rb"\s*(#EXTM3U|ffconcat version|<\?xml[^>]*>\s*<MPD|<MPD|v=0\r?\n)")
_HEAD_BYTES = 4096
# Protocols that others run on: who allows one allows these.
_BELOW = {
    **dict.fromkeys(("http", "ftp", "rtmp", "tls", "httpproxy", "gopher"), ("tcp",)),
    **dict.fromkeys(("https", "rtmps", "gophers"), ("tls", "tcp")),
}
_ONE_SLASH = re.compile(r"([a-z][a-z0-9+.-]+):/(?=[^/])", re.IGNORECASE)
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/?(?=[^/])", re.IGNORECASE)  # C: is a drive


def local_url(path: Path) -> str:
    """The name under which FFmpeg opens a plain local file, whatever the file is called.

    `file:` and an absolute path, so that `http:x`, `concat:x` and `-x` are never taken as a
    protocol or an option.
    """
    return f"file:{path.absolute()}"


def address(path: Path, options: SourceOptions) -> str | None:
    """The address that a name is, if its protocol is allowed and there is no file of that name; else None."""
    text = path.as_posix()  # a Path makes one slash of two, and on Windows backslashes
    match = _ADDRESS.match(text)
    if match is None or match[1].lower() not in options.protocols or path.exists():
        return None
    is_network = text[match.end(1) + 1] == "/"
    return f"{match[1]}://{text[match.end() :]}" if is_network else text


def open_input(
    path: Path,
    hwaccel: HWAccel | None = None,
    options: SourceOptions = WHOLE_SOURCE,
    muxer: str | None = None,
) -> InputContainer:
    """Open a local file for reading, its videos to be decoded on a device or in software; the caller closes it.

    Args:
        path: the file; or an address, where `options.protocols` allow it.
        hwaccel: the device.
        options: how large a frame may be, and what else the file may open; the rest is not looked at.
        muxer: what wrote it, as FFmpeg names it, so that its format is no guess; None: it is guessed.

    Raises:
        InputError: the file is missing, a folder, not readable, in no known format, or wants to open others.
    """
    url = address(path, options)
    if url is None:
        _check_file(path)
    below = [under for name in options.protocols for under in _BELOW.get(name, ())]
    protocols = ",".join(dict.fromkeys(["file", *options.protocols, *below]))
    allowed = {"protocol_whitelist": protocols, "format_whitelist": demuxers(options)}
    try:
        if url is None and is_moving_webp(path):
            return open_moving_webp(path, shown(path), options.max_pixels)
        return av.open(
            url or local_url(path),
            mode="r",
            format=muxer and demuxer_of(muxer),
            options={
                **allowed,
                "pattern_type": "none",  # a picture called a%03d.png is that file and not a sequence
                "max_pixels": str(options.max_pixels),
                # a list whose maker is trusted may name any file
                **({"safe": "0"} if options.protocols else {}),
            },
            metadata_errors="surrogateescape",
            hwaccel=hwaccel,
        )
    except PermissionError:
        _refuse_playlist(path, options)
        raise InputError(f"no permission to read {shown(path)}; check its access rights") from None
    except (av.FFmpegError, OSError, ValueError) as error:
        _refuse_playlist(path, options)
        raise InputError(_unread(path, error, is_address=url is not None)) from error


def demuxer_of(muxer: str) -> str:
    """FFmpeg's name of the demuxer of what a muxer writes."""
    return _DEMUXERS.get(muxer, muxer)


def demuxers(options: SourceOptions) -> str:
    """Names of the formats that may be read, for FFmpeg: those that open other files if a protocol is allowed alone."""
    names = av.formats_available - (frozenset() if options.protocols else _OPEN_OTHERS)
    return ",".join(sorted(names))


def _check_file(path: Path) -> None:
    """Refuse what is no plain file."""
    try:
        if path.is_dir():
            raise InputError(f"{shown(path)} is a folder; name a file")
        if not path.exists():
            match = _ADDRESS.match(path.as_posix())
            advice = f", or allow an address with --allow-protocols {match[1]}" if match else ""
            raise InputError(f"no such file: {shown(path)}; check the name{advice}")
    except (OSError, ValueError) as error:  # a name that is too long, a circle of links
        raise InputError(f"no such file: {shown(path)} ({reason(error)}); check the name") from None
    if not path.is_file():
        raise InputError(
            f"{shown(path)} is not a regular file; use it as the standard input: stsr upscale - OUTPUT < NAME"
        )


def _refuse_playlist(path: Path, options: SourceOptions) -> None:
    """Say of a file that cannot be read why, if it is a list of others.

    Raises:
        InputError: it is, and no protocol is allowed.
    """
    if options.protocols or not path.is_file():
        return
    with suppress(OSError), path.open("rb") as file:
        if _PLAYLIST.match(file.read(_HEAD_BYTES)):
            raise InputError(
                f"{shown(path)} names other files or addresses, and none is opened for it; if you trust its maker, "
                "allow them with --allow-protocols file, or --allow-protocols https"
            )


def _unread(path: Path, error: Exception, *, is_address: bool) -> str:
    """What to say of what could not be opened as a video."""
    if is_address:
        return f"cannot read {shown(path)} as a video: {reason(error)}; check the address"
    with suppress(OSError), path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        if not head:
            return f"{shown(path)} is empty; check that it was copied or downloaded"
        if _is_text(head):
            return (
                f"{shown(path)} is text and no video; name a video, an image or a folder of images"
            )
    if isinstance(error, av.InvalidDataError):
        return (
            f"{shown(path)} is no video that can be read: its beginning is of no known format, or a part of it is "
            "missing; check that the file is complete"
        )
    return f"cannot read {shown(path)} as a video: {reason(error)}; check that the file is complete"


def _is_text(head: bytes) -> bool:
    """Whether the first bytes of a file are text: UTF-8, perhaps cut short, without control characters."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # not a character that is cut off
            return False
        text = head[: error.start].decode("utf-8")
    return all(sign.isprintable() or sign in "\t\n\r\f" for sign in text.removeprefix("\ufeff"))


def reason(error: Exception) -> str:
    """FFmpeg's or the system's message without numbers and file names."""
    return str(getattr(error, "strerror", None) or error)


def shown(path: Path) -> str:
    """A path for a one-line message: escaped when it holds line breaks or bytes without text.

    An address has its two slashes, of which a Path keeps one.
    """
    if path == PIPE:
        return "the pipe (-)"
    text = (
        _ONE_SLASH.sub(r"\1://", str(path), count=1) if _ONE_SLASH.match(str(path)) else str(path)
    )
    return text if text.isprintable() else repr(text)
