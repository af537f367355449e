"""How each video encoder is steered: what --crf and --preset are called there, their scales and defaults, its limits.

One table. An encoder that is not in it gets neither of the two, and is what `-e` makes of it. The defaults of --crf of
libx265, libsvtav1 and libvpx-vp9 were chosen for files about as large as libx264's at 18, and a PSNR within 1.3 dB of
its, on two clips of 1280x720 and 320x180; those of hardware encoders are common values that were not measured.
"""

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import av
from av.codec import Codec

from stsr_cli.errors import UsageError

_X26X_PRESETS = tuple(
    "ultrafast superfast veryfast faster fast medium slow slower veryslow placebo".split()
)
_X265_TUNES = tuple("psnr ssim grain zerolatency fastdecode animation".split())
_X264_TUNES = tuple("film animation grain stillimage psnr ssim fastdecode zerolatency".split())
_X264_PROFILES = tuple("baseline main high high10 high422 high444".split())
_QSV_PRESETS = tuple("veryfast faster fast medium slow slower veryslow".split())


@dataclass(frozen=True)
class Scale:
    """One of --crf and --preset, as an encoder knows it.

    Attributes:
        options: of the encoder, which all get the value.
        values: allowed ones, as strings, in order.
        default: one of them.
    """

    options: tuple[str, ...]
    values: tuple[str, ...]
    default: str

    @property
    def allowed(self) -> str:
        """The values, for a message."""
        if self.values[0].isdigit():
            return f"{self.values[0]} to {self.values[-1]}"
        return ", ".join(self.values)


@dataclass(frozen=True)
class Encoder:
    """How an encoder is steered, and what it takes.

    Attributes:
        crf: its constant quality, smaller is better; None: it has none, or none that stsr sets.
        preset: its speed, or None.
        fixed: options it always gets, unless `-e` says otherwise.
        lossless: options instead of its crf where that is 0, or None where 0 is not lossless.
        lossless_presets: those that are known to be lossless with it; empty: all.
        named: strings allowed for options that it would only complain about on the terminal.
        largest: width and height in pixels that it takes.
        needs: device that it runs on, for a message; None: the CPU.
    """

    crf: Scale | None = None
    preset: Scale | None = None
    fixed: Mapping[str, str] = field(default_factory=dict)
    lossless: Mapping[str, str] | None = None
    lossless_presets: tuple[str, ...] = ()
    named: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    largest: tuple[int, int] = (2**31 - 1, 2**31 - 1)
    needs: str | None = None


def _crf(highest: int, default: int, *options: str, lowest: int = 0) -> Scale:
    values = tuple(str(value) for value in range(lowest, highest + 1))
    return Scale(options or ("crf",), values, str(default))


def _nvenc(highest: int, default: int, largest: int) -> Encoder:
    return Encoder(
        crf=_crf(highest, default, "cq", lowest=1),
        preset=Scale(("preset",), tuple(f"p{speed}" for speed in range(1, 8)), "p5"),
        fixed={"rc": "vbr", "b": "0", "tune": "hq"},
        largest=(largest, largest),
        needs="an NVIDIA GPU",
    )


def _qsv(largest: int | None = None) -> Encoder:
    return Encoder(
        crf=_crf(51, 20, "global_quality", lowest=1),
        preset=Scale(("preset",), _QSV_PRESETS, "medium"),
        largest=(largest, largest) if largest else Encoder.largest,
        needs="an Intel GPU",
    )


def _amf(highest: int, default: int, *options: str) -> Encoder:
    return Encoder(
        crf=_crf(highest, default, *options),
        preset=Scale(("quality",), ("speed", "balanced", "quality"), "quality"),
        fixed={"rc": "cqp"},
        needs="an AMD GPU",
    )


_X264 = Encoder(
    crf=_crf(51, 18),
    preset=Scale(("preset",), _X26X_PRESETS, "medium"),
    lossless={"qp": "0"},  # crf 0 is lossless at 8 bits only, qp 0 at any depth
    named={"tune": _X264_TUNES, "profile": _X264_PROFILES},
    largest=(16384, 16384),
)
_APPLE = Encoder(needs="a Mac")

_ENCODERS = {
    "libx264": _X264,
    "libx264rgb": _X264,
    "libx265": Encoder(
        crf=_crf(51, 17),
        preset=Scale(("preset",), _X26X_PRESETS, "medium"),
        fixed={"x265-params": "log-level=error"},
        lossless={"x265-params": "log-level=error:lossless=1"},
        named={"tune": _X265_TUNES},
        largest=(16384, 16384),
    ),
    "libsvtav1": Encoder(
        crf=_crf(63, 18),
        preset=Scale(("preset",), tuple(map(str, range(14))), "6"),
        lossless={"svtav1-params": "lossless=1"},
        lossless_presets=tuple(map(str, range(11))),  # 4.1 writes damaged streams from 11 on
        largest=(16384, 8704),
    ),
    "libvpx-vp9": Encoder(
        crf=_crf(63, 18),
        preset=Scale(("cpu-used",), tuple(map(str, range(9))), "2"),
        fixed={"b": "0", "row-mt": "1"},  # without b=0, crf is only a bound of a bit rate
        lossless={"lossless": "1"},
        largest=(65535, 65535),
    ),
    "libvpx": Encoder(crf=_crf(63, 10, lowest=4), fixed={"b": "100M"}, largest=(16383, 16383)),
    "ffv1": Encoder(fixed={"level": "3", "g": "1"}),  # with checksums, and every frame a keyframe
    "prores_ks": Encoder(fixed={"vendor": "apl0"}, largest=(65535, 65535)),
    "mpeg4": Encoder(largest=(8191, 8191)),
    "h264_nvenc": _nvenc(51, 19, 4096),
    "hevc_nvenc": _nvenc(51, 21, 8192),
    "av1_nvenc": _nvenc(63, 26, 8192),
    "h264_qsv": _qsv(4096),
    "hevc_qsv": _qsv(),
    "av1_qsv": _qsv(),
    "vp9_qsv": replace(_qsv(), preset=None),
    "h264_amf": _amf(51, 20, "qp_i", "qp_p", "qp_b"),
    "hevc_amf": _amf(51, 22, "qp_i", "qp_p"),
    "av1_amf": _amf(255, 90, "qp_i", "qp_p"),
    "h264_videotoolbox": _APPLE,
    "hevc_videotoolbox": _APPLE,
    "prores_videotoolbox": _APPLE,
}


def encoder_of(name: str) -> Encoder:
    """What is known about an encoder; nothing of one that is not in the table."""
    return _ENCODERS.get(name, Encoder())


# What people call a coding or its encoder -> what FFmpeg calls it.
_USUAL_NAMES = {
    "x264": "h264",
    "h.264": "h264",
    "avc": "h264",
    "x265": "hevc",
    "h265": "hevc",
    "h.265": "hevc",
    "prores": "prores_ks",
}


def find_encoder(name: str, format_name: str) -> Codec:
    """The encoder of a name, or of the usual name of a coding (h264, h265, hevc, x265, av1, vp9, prores).

    Args:
        name: or "auto": libx264, or what else a container of that format can hold.
        format_name: FFmpeg's name of the muxer.

    Raises:
        UsageError: there is none, or it encodes no video.
    """
    meant = _USUAL_NAMES.get(name.lower(), name)
    try:
        codec = Codec(held_by(format_name)[0] if name == "auto" else meant, "w")
    except (av.FFmpegError, ValueError):
        raise UsageError(
            f"unknown codec {name!r}; use libx264, libx265, libsvtav1, libvpx-vp9, prores_ks, ffv1 or another encoder"
        ) from None
    if codec.type != "video":
        raise UsageError(
            f"{name} encodes {codec.type}; choose a video codec such as libx264 or ffv1"
        )
    return codec


def held_by(format_name: str) -> list[str]:
    """The encoders of a short list that a muxer takes, the one for "auto" first; else the muxer's own choice."""
    held = []
    for name in ("libx264", "libvpx-vp9", "mpeg4", "libvpx", "libsvtav1", "libx265", "ffv1"):
        with (
            av.open(io.BytesIO(), mode="w", format=format_name) as output,
            contextlib.suppress(ValueError),
        ):
            output.add_stream(name, rate=25)
            held.append(name)
    return held or [output.default_video_codec]


def library_versions() -> dict[str, Any]:
    """The versions of PyAV and of FFmpeg's libraries, as JSON's types."""
    libraries = {name: ".".join(map(str, version)) for name, version in av.library_versions.items()}
    return {"av": av.__version__, "ffmpeg": libraries}
