"""What is measured: from what `--system` and `--external` say to networks in this process and command lines."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Generic, Literal, TypeVar, cast, get_args

import torch
from torch import Tensor

from stsr_cli.checkpoint import read_header
from stsr_cli.data import Pixels
from stsr_cli.errors import UsageError
from stsr_cli.evaluation.external import External, ffmpeg, parse_external
from stsr_cli.evaluation.samples import SCALE
from stsr_cli.hub import manifest, resolve_weights
from stsr_cli.ops import to_pixels, to_tensor
from stsr_cli.options import EvalOptions, ModelOptions, System
from stsr_cli.pairs import load_system, to_device
from stsr_cli.registry import load
from stsr_cli.streams import Interval, Stream, TwoStream, even_times

BASELINE = ModelOptions(spatial="bicubic", temporal="blend")
NO_STREAM = "-"

Streams = Literal["t2s", "s2t", "both"]
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Network:
    """A system that runs here, in float32.

    Attributes:
        name: what the tables call it.
        streams: the ways in which it makes an interpolated frame: t2s, s2t, and their mean before clamping; or "-".
    """

    def __init__(
        self, name: str, options: ModelOptions, streams: Streams, device: torch.device
    ) -> None:
        model = to_device(load_system(options, SCALE), device, torch.float32)
        self.name = name
        self.streams: tuple[str, ...] = (NO_STREAM,)
        if isinstance(model, TwoStream):
            self.streams = ("t2s", "s2t", "mean") if streams == "both" else (streams,)
        self._model = model
        self._to_tensor = _Recent[Pixels, Tensor](lambda pixels: to_tensor(pixels)[None].to(device))
        self._upscale = _Recent[Tensor, Tensor](model.upscale)

    @torch.inference_mode()
    def predict(self, given: Sequence[Pixels]) -> dict[str, Pixels]:
        """Return the frame between two, or the one given enlarged, by stream.

        Args:
            given: one or two (h, w, 3) uint8 frames; a single one is f_S's alone and the same for every stream.

        Returns:
            (4h, 4w, 3) uint8 pixels, clamped and rounded, for each of `streams`.
        """
        frames = [self._to_tensor(pixels) for pixels in given]
        if len(frames) == 1:
            return dict.fromkeys(self.streams, to_pixels(self._upscale(frames[0])[0]))
        made: dict[str, Tensor] = {}
        if isinstance(self._model, TwoStream):
            needs_s2t = bool({"s2t", "mean"} & set(self.streams))
            hr_frames = [self._upscale(frame) for frame in frames] if needs_s2t else ()
            interval, (t,) = Interval(self._model, *frames, *hr_frames), even_times(2)
            for stream in ("t2s", "s2t") if "mean" in self.streams else self.streams:
                made[stream] = interval.new(t, cast(Stream, stream))
        else:
            (made[NO_STREAM],) = self._model.between(*frames)
        if "mean" in self.streams:
            made["mean"] = (made["t2s"] + made["s2t"]) / 2
        return {stream: to_pixels(made[stream][0]) for stream in self.streams}

    @torch.inference_mode()
    def enlarged(self, given: Sequence[Pixels]) -> list[Pixels]:
        """Return f_S of (h, w, 3) uint8 frames, as (4h, 4w, 3) uint8; frames of `predict` are known already."""
        return [to_pixels(self._upscale(self._to_tensor(pixels))[0]) for pixels in given]


class _Recent(Generic[_Key, _Value]):
    """A function that remembers what it made of the last two objects: neighbouring pairs share a frame."""

    def __init__(self, function: Callable[[_Key], _Value]) -> None:
        self._function = function
        self._kept: deque[tuple[_Key, _Value]] = deque(maxlen=2)

    def __call__(self, key: _Key) -> _Value:
        for known, value in self._kept:
            if known is key:
                return value
        value = self._function(key)
        self._kept.append((key, value))
        return value


def find_systems(
    model: ModelOptions, options: EvalOptions, device: torch.device
) -> list[Network | External]:
    """Load everything that is to be measured, bicubic + blend first; what is named twice comes once.

    Raises:
        UsageError: an unknown system, no ffmpeg, a command line without {in} and {out}, `model.weights` for several
            systems or for none, or an f_S that does not upscale by 4.
        WeightsError: see `pairs.load_system`.
    """
    filled = [spec for spec in dict.fromkeys(options.systems) if spec in get_args(System)]
    if model.weights and len(filled) != 1:
        asked = ", ".join(filled) or "none of streams, baseline, cdca"
        raise UsageError(
            f"--weights fill one system, and {len(filled)} were asked for ({asked}); "
            "run once for each --system, or name the weights as a --system of their own"
        )
    chosen: dict[str, ModelOptions | External] = {"bicubic+blend": BASELINE}
    for spec in options.systems:
        if spec == "ffmpeg":
            chosen["ffmpeg"] = ffmpeg(options.external_timeout)
            continue
        name, asked_model = _model_of(spec, model)
        if chosen.get(name, asked_model) != asked_model and name != "bicubic+blend":
            name = f"{name} ({Path(spec).name})"
        chosen.setdefault(name, asked_model)
    for given in options.externals:
        external = parse_external(given, options.external_timeout)
        if external.name in chosen:
            raise UsageError(
                f"two systems are called {external.name!r}; give one a name: --external 'NAME=CMD ...'"
            )
        chosen[external.name] = external
    return [
        one
        if isinstance(one, External)
        else Network(name, one, "t2s" if name == "bicubic+blend" else options.streams, device)
        for name, one in chosen.items()
    ]


def _model_of(spec: str, model: ModelOptions) -> tuple[str, ModelOptions]:
    """The name and the networks of a word, of weights, or of a pair of modules."""
    if spec in get_args(System):
        asked = replace(model, system=cast(System, spec))
        return asked.name, asked
    plain = replace(model, weights=(), system="streams")
    spatial, plus, temporal = spec.partition("+")
    if _is_pair(spec, spatial, temporal):
        asked = replace(plain, spatial=spatial, temporal=temporal)
        return asked.name, asked
    is_file = Path(spec).suffix == ".safetensors" or spec.startswith("hf:")
    if is_file or spec in manifest() or Path(spec).is_file():
        return _weights(spec, plain)
    if plus:
        load("spatial", spatial)
        load("temporal", temporal)
    raise UsageError(
        f"no system {spec!r}; give streams, baseline, cdca, ffmpeg, a pair F_S+F_T, a name of `stsr weights list` "
        "or a .safetensors file"
    )


def _is_pair(spec: str, spatial: str, temporal: str) -> bool:
    """Whether it is the name of two modules, and not of weights that hold something else."""
    entry = manifest().get(spec)
    if entry is not None:
        return (entry.get("spatial"), entry.get("temporal")) == (spatial, temporal)
    try:
        load("spatial", spatial)
        load("temporal", temporal)
    except UsageError:
        return False
    return True


def _weights(spec: str, plain: ModelOptions) -> tuple[str, ModelOptions]:
    header = read_header(resolve_weights(spec, plain.offline))
    name = spec if spec in manifest() else Path(spec).stem
    if "cdca" in header and "spatial" not in header:
        return name, replace(plain, weights=(spec,), system="cdca")
    modules = {
        kind: str(header[kind].get("name"))
        for kind in ("spatial", "temporal")
        if isinstance(header.get(kind), dict)
    }
    return name, replace(plain, weights=(spec,), **modules)  # type: ignore[arg-type]
