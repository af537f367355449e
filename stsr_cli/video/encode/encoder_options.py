"""Options of an encoder: --crf and --preset in its own terms, and `-e KEY=VALUE`, checked against what it knows."""

import difflib
from collections.abc import Mapping
from pathlib import Path

from av.codec import Codec
from av.codec.context import CodecContext, CodecOption, OptionFlags

from stsr_cli.errors import UsageError
from stsr_cli.options import EncodeOptions
from stsr_cli.video.encode.codecs import Encoder, Scale, encoder_of, find_encoder
from stsr_cli.video.target import new_container

_ENCODES_VIDEO = OptionFlags.ENCODING_PARAM | OptionFlags.VIDEO_PARAM
# Settled by the plan: another value would make the file untrue or unreadable. Each with what to use instead.
_OWNED = {
    **dict.fromkeys(("time_base", "pkt_timebase"), "the source's clock is kept"),
    **dict.fromkeys(("video_size",), "use --size"),
    **dict.fromkeys(("aspect", "sar"), "use --size"),
    **dict.fromkeys(("pixel_format",), "use --pix-fmt"),
    **dict.fromkeys(
        ("color_primaries", "color_trc", "colorspace", "color_range", "chroma_sample_location"),
        "the source's colours are kept",
    ),
    **dict.fromkeys(("field_order", "alpha_mode", "codec_tag"), "it follows from the frames"),
    **dict.fromkeys(("passlogfile", "stats", "x265-stats"), "there is one pass"),
}
_OWNED_FLAGS = frozenset({"global_header", "pass1", "pass2", "ildct", "ilme"})
# Set by one of these, the rate or quality is not --crf's business any more.
_RATE = frozenset({"b", "qp", "cq", "crf", "global_quality", "quality", "rc", "lossless"})
_PARAMETERS = ("x264-params", "x264opts", "x265-params", "svtav1-params")


def known_options(codec: Codec) -> dict[str, CodecOption]:
    """What `-e` may set: the encoder's own options, then FFmpeg's for every video encoder, by name."""
    supported = CodecContext.create(codec, "w").supported_options
    known = {
        option.name: option
        for option in (*supported.private, *supported.generic)
        if option.flags & _ENCODES_VIDEO == _ENCODES_VIDEO and option.name not in _OWNED
    }
    own = {option.name for option in supported.private}
    return dict(sorted(known.items(), key=lambda item: (item[0] not in own, item[0])))


def describe_options(codec: str, target: Path) -> list[str]:
    """A line for each option that `-e` takes, for an output whose extension chooses the container.

    Raises:
        UsageError: there is no such encoder or container.
    """
    with new_container(target, target) as container:
        encoder = find_encoder(codec, container.format.name)
    lines = [f"options of {encoder.name}"]
    for option in known_options(encoder).values():
        allowed = encoder_of(encoder.name).named.get(option.name)
        names = allowed or tuple(choice.name for choice in option.choices)
        default = f" [{option.default}]" if option.default else ""
        choices = f" ({', '.join(names)})" if names else ""
        lines.append(f"  {option.name}{default}  {option.help}{choices}")
    return lines


def settle_options(codec: Codec, encode: EncodeOptions) -> tuple[dict[str, str], list[str]]:
    """The options that an encoder is opened with, and what to say about them.

    `-e` wins over --crf and --preset, and those win over the defaults of the table.

    Raises:
        UsageError: a value off the encoder's scale, an option that it does not know or that is not to be set.
    """
    encoder, given = encoder_of(codec.name), dict(encode.options)
    _check(codec, encoder, given)
    options, notes = dict(encoder.fixed), []
    for name, scale, asked in (
        ("crf", encoder.crf, None if encode.crf is None else str(encode.crf)),
        ("preset", encoder.preset, encode.preset),
    ):
        if scale is None:
            if asked is not None:
                notes.append(f"{codec.name} has no {name}: --{name} {asked} changes nothing")
            continue
        instead = _RATE | set(scale.options) if name == "crf" else set(scale.options)
        if instead & set(given):
            if asked is not None:
                winner = ", ".join(sorted(instead & set(given)))
                notes.append(f"--{name} {asked} gives way to -e {winner}")
            continue
        value = _on_scale(codec.name, name, scale, asked)
        is_lossless = name == "crf" and value == "0" and encoder.lossless is not None
        options.update(
            encoder.lossless or {} if is_lossless else dict.fromkeys(scale.options, value)
        )
    allowed, preset = encoder.lossless_presets, options.get("preset")
    is_lossless = encoder.lossless is not None and encoder.lossless.items() <= options.items()
    if is_lossless and allowed and preset not in allowed:
        raise UsageError(
            f"crf 0 and preset {preset} do not go together; {codec.name} is lossless with {allowed[0]} to {allowed[-1]}"
        )
    for key, value in given.items():
        is_joined = key in _PARAMETERS and key in options
        options[key] = f"{options[key]}:{value}" if is_joined else value
    return options, notes


def _on_scale(codec: str, name: str, scale: Scale, value: str | None) -> str:
    if value is None:
        return scale.default
    if value in scale.values:
        return value
    if name == "crf":
        raise UsageError(
            f"crf {value} is out of range; {codec} takes {scale.values[0]} (best) to {scale.values[-1]}"
        )
    raise UsageError(f"unknown preset {value!r}; {codec} takes {scale.allowed}")


def _check(codec: Codec, encoder: Encoder, given: Mapping[str, str]) -> None:
    known = known_options(codec) if given else {}
    for key, value in given.items():
        if key in _OWNED:
            raise UsageError(f"-e {key} is not to be set: {_OWNED[key]}; leave it out")
        if key not in known:
            near = difflib.get_close_matches(key, known, n=3)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise UsageError(
                f"{codec.name} has no option {key!r}; {hint}-e list shows what there is"
            )
        allowed = encoder.named.get(key)
        if allowed and not set(value.replace("+", ",").split(",")) <= set(allowed):
            raise UsageError(
                f"-e {key}={value}: {codec.name} takes {', '.join(allowed)} for {key}; choose from those"
            )
        if key == "flags":
            _check_flags(value)


def _check_flags(value: str) -> None:
    """Flags are added or taken away one by one: a plain list would take away what the container needs."""
    if value[:1] not in ("+", "-"):
        raise UsageError(f"-e flags={value} would replace all flags; write -e flags=+{value}")
    for flag in value.replace("-", "+").split("+"):
        if flag in _OWNED_FLAGS:
            raise UsageError(f"-e flags={value}: {flag} follows from the output; leave it out")
