"""Published checkpoints of other people's implementations, as weights of ours.

`ARCHITECTURES` says, for every network that has published weights, how its reference names its tensors and what
configuration they belong to; `foreign.py` gets the tensors out of the file. The golden tests fill modules through the
same names.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from stsr_cli.checkpoint import Weights, save_weights
from stsr_cli.errors import UsageError, WeightsError
from stsr_cli.files import sha256
from stsr_cli.foreign import read_tensors
from stsr_cli.modules import Config, SpatialModule, TemporalModule, shapes_only
from stsr_cli.registry import Kind, build, unknown_name

Tensors = Mapping[str, Tensor]
Rule = tuple[str, str | Callable[[re.Match[str]], str]]


@dataclass(frozen=True)
class Architecture:
    """How a reference implementation's state dict becomes a module of ours.

    Attributes:
        kind: spatial or temporal.
        reference: repository of the implementation, and the licence of its weights.
        rules: (pattern, replacement) pairs, applied one after another to each of the reference's names.
        configure: the module's arguments, from the reference's tensors.
        unused: pattern of the names that the reference itself never uses.
        parts: names of the state dicts in a checkpoint that holds several.
        module_globals: (module, class) names that a checkpoint of a whole pickled module may mention.
        adapt: what else published tensors need, under our names.
        fold: makes tensors that have no counterpart here into ones that have, under the reference's names.
    """

    kind: Kind
    reference: str
    rules: tuple[Rule, ...]
    configure: Callable[[Tensors], Config]
    unused: str = r"(?!)"
    parts: tuple[str, ...] = ()
    module_globals: tuple[tuple[str, str], ...] = ()
    adapt: Callable[[dict[str, Tensor]], None] = field(default=lambda tensors: None)
    fold: Callable[[Tensors], Tensors] = field(default=lambda tensors: tensors)

    def rename(self, name: str) -> str:
        """Our name of an entry of the reference's state dict."""
        for pattern, replacement in self.rules:
            name = re.sub(pattern, replacement, name)
        return name


@dataclass(frozen=True)
class Conversion:
    """What a conversion wrote: the module's kind, name, configuration and number of parameters, and the file."""

    kind: Kind
    name: str
    config: Config
    num_parameters: int
    reference: str
    out: Path


def convert_checkpoint(
    checkpoint: Path, arch: str, out: Path, overwrite: bool = False
) -> Conversion:
    """Turn a published checkpoint into a weights file; nothing in the checkpoint is executed.

    Args:
        checkpoint: the file as its authors published it.
        arch: name of the module it is for, a key of `ARCHITECTURES`.
        out: .safetensors file to write.
        overwrite: replace `out` if it exists.

    Raises:
        UsageError: an unknown architecture, or an `out` that may not be written.
        WeightsError: the checkpoint cannot be read, or belongs to another network; nothing is written.
    """
    if arch not in ARCHITECTURES:
        raise UsageError(unknown_name("architecture", arch, sorted(ARCHITECTURES)))
    if out.suffix != ".safetensors":
        raise UsageError(f"{out} must end in .safetensors")
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists; -y replaces it, or choose another name")
    architecture = ARCHITECTURES[arch]
    tensors = read_tensors(
        checkpoint, parts=architecture.parts, module_globals=architecture.module_globals
    )
    try:
        module = module_from(arch, tensors, is_published=True)
    except WeightsError as error:
        raise WeightsError(f"{checkpoint} is no checkpoint of {arch}: {error}") from error
    training = {
        "converted": {
            "file": checkpoint.name,
            "sha256": sha256(checkpoint),
            "reference": architecture.reference,
        }
    }
    if isinstance(module, SpatialModule):
        weights = Weights(spatial=module, training=training)
    else:
        weights = Weights(temporal=module, training=training)
    save_weights(out, weights)
    num_parameters = sum(parameter.numel() for parameter in module.parameters())
    return Conversion(
        architecture.kind, arch, module.config, num_parameters, architecture.reference, out
    )


def module_from(
    arch: str, tensors: Tensors, *, is_published: bool = False, **changes: int | bool | str
) -> SpatialModule | TemporalModule:
    """Build a module of `arch`, in eval mode, from tensors under the reference's names.

    Args:
        arch: a key of `ARCHITECTURES`.
        tensors: all of the reference's state dict; counters of batch norms may be missing.
        is_published: the tensors were trained by the reference's conventions, which differ from ours in some cases.
        changes: arguments of the module in place of those that the tensors tell.

    Raises:
        WeightsError: names or shapes do not fit; the message names some of them.
    """
    architecture = ARCHITECTURES[arch]
    try:
        config = {**architecture.configure(tensors), **changes}
        used = {
            architecture.rename(name): tensor
            for name, tensor in architecture.fold(tensors).items()
            if not re.fullmatch(architecture.unused, name)
        }
        with shapes_only():
            module = build(architecture.kind, arch, config)
    except KeyError as error:
        raise WeightsError(f"it has no tensor {error}, but {_some(tensors)}") from error
    except (IndexError, ValueError, RuntimeError, ZeroDivisionError, UsageError) as error:
        raise WeightsError(f"its tensors have impossible shapes ({error})") from error
    expected = module.state_dict()
    for name in expected.keys() - used.keys():
        if name.endswith(".num_batches_tracked"):
            used[name] = torch.zeros((), dtype=torch.int64)
    if missing := expected.keys() - used.keys():
        raise WeightsError(f"it lacks {_some(missing)}; it has {_some(tensors)}")
    if left_over := used.keys() - expected.keys():
        raise WeightsError(f"it has more than the network: {_some(left_over)}")
    for name, tensor in used.items():
        if tensor.shape != expected[name].shape:
            raise WeightsError(
                f"{name} has the shape {list(tensor.shape)}, not {list(expected[name].shape)}"
            )
        used[name] = tensor.to(expected[name].dtype)
    if is_published:
        architecture.adapt(used)
    module.load_state_dict(used, assign=True)
    return module.eval()


def _some(names: Mapping[str, Tensor] | set[str]) -> str:
    """The first names of many."""
    first = sorted(names)[:3]
    rest = len(names) - len(first)
    return ", ".join(first) + (f" and {rest} more" if rest else "") if first else "nothing"


def _espcn(tensors: Tensors) -> Config:
    is_leftthomas = "conv1.weight" in tensors
    first, last = ("conv1", "conv3") if is_leftthomas else ("feature_maps.0", "sub_pixel.0")
    return {
        "scale": round(tensors[f"{last}.weight"].shape[0] ** 0.5),
        "num_channels": tensors[f"{first}.weight"].shape[0],
        "output": "sigmoid" if is_leftthomas else "linear",
    }


def _vdsr(tensors: Tensors) -> Config:
    return {"num_channels": tensors["input.weight"].shape[0]}


def _dbpn(tensors: Tensors) -> Config:
    kernel_size = tensors["up1.up_conv1.deconv.weight"].shape[-1]
    num_channels, num_features = tensors["feat1.conv.weight"].shape[:2]
    return {
        "scale": {6: 2, 8: 4, 12: 8}[kernel_size],
        "num_stages": tensors["output_conv.conv.weight"].shape[1] // num_channels,
        "num_features": num_features,
        "num_channels": num_channels,
    }


def _dvf(tensors: Tensors) -> Config:
    return {"num_channels": tensors["conv1.weight"].shape[0]}


def _span(tensors: Tensors) -> Config:
    tail = "tail" if "tail.weight" in tensors else "upsampler.0"
    num_shuffled = tensors[f"{tail}.weight"].shape[0]
    blocks = {match[1] for name in tensors if (match := re.match(r"block(?:s\.|_)(\d+)\.", name))}
    return {
        "scale": round((num_shuffled / 3) ** 0.5),
        "num_channels": tensors[f"{tail}.weight"].shape[1],
        "num_blocks": len(blocks),
        "form": "published",
    }


def _fold_span(tensors: Tensors) -> Tensors:
    """The input's range of 0 to 255 goes into the first convolution, that of the output stays 0 to 1."""
    head = "head.weight" if "head.weight" in tensors else "conv_1.eval_conv.weight"
    return {**tensors, head: tensors[head].float() * 255}


def _rife(tensors: Tensors) -> Config:
    """RIFE 4.6 scales every convolution's result and adds its input to it; 4.0 adds once, over all of a body."""
    blocks = sorted({match[1] for name in tensors if (match := re.match(r"block(\d+)\.", name))})
    has_betas = "block0.convblock.0.beta" in tensors
    convs = {
        match[1] for name in tensors if (match := re.match(r"block0\.convblock\.(\d+)\.", name))
    }
    return {
        "scales": [2 ** (len(blocks) - 1 - index) for index in range(len(blocks))],
        "num_channels": [tensors[f"block{index}.conv0.1.0.weight"].shape[0] for index in blocks],
        "num_convs": len(convs),
        "num_refine_channels": 0,
        "is_body_residual": not has_betas,
        "tail_factor": 4 if has_betas else 2,
    }


def _fold_rife(tensors: Tensors) -> Tensors:
    """Write scaled and added-to convolutions, leaky ones and transposed ones as the plain ones they are equal to."""
    folded = {name: tensor.float() for name, tensor in tensors.items()}
    has_betas = any(name.endswith(".beta") for name in tensors)
    for name in tensors:
        if name.endswith(".beta"):  # conv(x) * beta + x
            stem, beta = name.removesuffix("beta"), folded.pop(name).flatten()
            weight = folded[f"{stem}conv.weight"] * beta[:, None, None, None]
            weight[:, :, 1, 1] += torch.eye(len(beta))
            folded[f"{stem}conv.weight"] = weight
            folded[f"{stem}conv.bias"] = folded[f"{stem}conv.bias"] * beta
            folded[f"{stem}slope"] = torch.full_like(beta, 0.2)
    for name in tensors:
        if (match := re.fullmatch(r"(block\d+\.conv0\.[01]\.)0\.bias", name)) is not None:
            folded.setdefault(f"{match[1]}1.weight", torch.full_like(folded[name], 0.2))
        if re.fullmatch(r"block[1-9]\d*\.conv0\.0\.0\.weight", name) and has_betas:
            # of the images they see 4.6 leaves out frame0 and frame1, the first six channels
            weight = folded[name]
            folded[name] = torch.cat((torch.zeros_like(weight[:, :6]), weight), dim=1)
        if re.fullmatch(r"block\d+\.lastconv\.(0\.)?weight", name):
            stem = name.removesuffix("weight")
            weight, bias = _phases(folded[name], folded[f"{stem}bias"])
            if stem.endswith(
                "0."
            ):  # of what is shuffled once more, six channels: the last is not used
                order = [
                    4 * (4 * channel + 2 * (row % 2) + column % 2) + 2 * (row // 2) + column // 2
                    for channel in range(5)
                    for row in range(4)
                    for column in range(4)
                ]
                weight, bias = weight[order], bias[order]
            folded[name], folded[f"{stem}bias"] = weight, bias
    return folded


def _phases(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """A transposed 4x4 convolution of stride 2 and padding 1, (C, N, 4, 4), as a 3x3 one before a pixel shuffle."""
    num_in, num_out = weight.shape[:2]
    phases = weight.new_zeros(num_out, 2, 2, num_in, 3, 3)
    # output 2h + phase = sum over input h + tap - 1 of the transposed kernel's entry
    rows = {0: ((0, 3), (1, 1)), 1: ((1, 2), (2, 0))}
    for row, row_taps in rows.items():
        for column, column_taps in rows.items():
            for y, source_y in row_taps:
                for x, source_x in column_taps:
                    phases[:, row, column, :, y, x] = weight[:, :, source_y, source_x].T
    return phases.flatten(0, 2), bias.repeat_interleave(4)


def _superslomo(tensors: Tensors) -> Config:
    # The public weights were made when grid_sample aligned corners.
    return {
        "num_channels": tensors["state_dictFC.conv1.weight"].shape[0],
        "warp_grid": "legacy",
    }


def _bgr_to_rgb(tensors: dict[str, Tensor]) -> None:
    """The reference reads its frames with OpenCV, blue first; two frames come in."""
    tensors["conv1.0.weight"] = tensors["conv1.0.weight"][:, [2, 1, 0, 5, 4, 3]]


def _number(prefix: str, offset: int, suffix: str = ".") -> Callable[[re.Match[str]], str]:
    """A replacement that counts from another start: group 1 of the match plus `offset`."""
    return lambda match: f"{prefix}{int(match[1]) + offset}{suffix}"


def _estimator(match: re.Match[str]) -> str:
    """PWC-Net numbers its levels 6 (coarsest) to 2."""
    return f"flow_net.estimators.{6 - int(match[1])}."


def _pyramid(match: re.Match[str]) -> str:
    # The last level's "aa" comes before its "a".
    order = ("aa", "a", "b") if match[1] == "6" else ("a", "aa", "b")
    return f"flow_net.pyramid.{int(match[1]) - 1}.{order.index(match[2])}."


_UNET_RULES: Sequence[Rule] = (
    (r"^state_dictFC\.", "flow_net."),
    (r"^state_dictAT\.", "interpolation_net."),
    (r"_net\.conv(?=[12]\.)", "_net.head.conv"),
    (r"_net\.conv3\.", "_net.tail."),
    (r"_net\.down(\d)\.", lambda match: f"_net.downs.{int(match[1]) - 1}."),
    (r"_net\.up(\d)\.", lambda match: f"_net.ups.{int(match[1]) - 1}."),
)

_DAIN_RULES: Sequence[Rule] = (
    (r"^initScaleNets_filter\.0\.", "kernel_net.head.0."),
    (r"^initScaleNets_filter\.17\.", "kernel_net.bottom.0."),
    *(
        (rf"^initScaleNets_filter\.{index}\.", f"kernel_net.{path}.0.")
        for start, paths in ((2, "downs"), (20, "ups"))
        for index, path in ((start + 3 * level, f"{paths}.{level}") for level in range(5))
    ),
    (r"^initScaleNets_filter1\.", "kernel_net.kernel0."),
    (r"^initScaleNets_filter2\.", "kernel_net.kernel1."),
    (r"^ctxNet\.block1\.0\.", "context_net.head."),
    (r"^ctxNet\.block(\d)\.", _number("context_net.blocks.", -2)),
    (r"^rectifyNet\.block1\.0\.", "rectify_net.head."),
    (r"^rectifyNet\.block5\.0\.", "rectify_net.tail."),
    (r"^rectifyNet\.block(\d)\.", _number("rectify_net.blocks.", -2)),
    (r"^flownets\.conv(\d)(aa|a|b)\.", _pyramid),
    (r"^flownets\.conv(\d)_", lambda match: f"{_estimator(match)}convs."),
    (r"^flownets\.predict_flow(\d)\.", lambda match: f"{_estimator(match)}predict."),
    (r"^flownets\.deconv(\d)\.", lambda match: f"{_estimator(match)}up_flow."),
    (r"^flownets\.upfeat(\d)\.", lambda match: f"{_estimator(match)}up_features."),
    (r"^flownets\.dc_conv(\d)\.", _number("flow_net.context.", -1)),
    (r"^depthNet\.([01])\.", r"depth_net.stem.\1."),
    (r"^depthNet\.4\.", "depth_net.head."),
    # Four hourglasses, one in the other; in the inner two the path at full size comes first.
    (r"^depthNet\.3\.0\.0\.", "depth_net.hourglass.deep."),
    (r"^depthNet\.3\.0\.1\.", "depth_net.hourglass.skip."),
    (r"^(depth_net\.hourglass\.deep\.3\.)0\.0\.", r"\1deep."),
    (r"^(depth_net\.hourglass\.deep\.3\.)0\.1\.", r"\1skip."),
    (r"^(depth_net\.hourglass\.deep\.3\.deep\.3\.)0\.0\.", r"\1skip."),
    (r"^(depth_net\.hourglass\.deep\.3\.deep\.3\.)0\.1\.", r"\1deep."),
    (r"^(depth_net\.hourglass\.deep\.3\.deep\.3\.deep\.3\.)0\.0\.", r"\1skip."),
    (r"^(depth_net\.hourglass\.deep\.3\.deep\.3\.deep\.3\.)0\.1\.", r"\1deep."),
)

ARCHITECTURES: Mapping[str, Architecture] = {
    "vdsr": Architecture(
        "spatial",
        "twtygqyy/pytorch-vdsr, MIT",
        rules=(
            (r"^residual_layer\.(\d+)\.conv\.", _number("convs.", 1)),
            (r"^input\.", "convs.0."),
            (r"^output\.", "convs.19."),
        ),
        configure=_vdsr,
        module_globals=(("vdsr", "Net"), ("vdsr", "Conv_ReLU_Block")),
    ),
    "span": Architecture(
        "spatial",
        "hongyuanyu/SPAN, Apache-2.0",
        rules=(
            (r"^conv_1\.eval_conv\.", "head."),
            (r"^block_(\d+)\.", _number("blocks.", -1)),
            (r"\.c(\d)_r\.eval_conv\.", r".conv\1."),
            (r"^conv_2\.eval_conv\.", "body_end."),
            (r"^conv_cat\.", "fuse."),
            (r"^upsampler\.0\.", "tail."),
        ),
        configure=_span,
        unused=r".*\.(sk|conv\.\d+)\.(weight|bias)",
        fold=_fold_span,
    ),
    "espcn": Architecture(
        "spatial",
        "Lornatang/ESPCN-PyTorch, Apache-2.0, or leftthomas/ESPCN, no licence",
        rules=(
            (r"^feature_maps\.0\.", "conv1."),
            (r"^feature_maps\.2\.", "conv2."),
            (r"^sub_pixel\.0\.", "conv3."),
        ),
        configure=_espcn,
    ),
    "dbpn": Architecture(
        "spatial",
        "alterzero/DBPN-Pytorch, MIT",
        rules=(
            (r"^output_conv\.conv\.", "output."),
            (r"^up(\d+)\.", _number("ups.", -1)),
            (r"^down(\d+)\.", _number("downs.", -1)),
            (r"\.(?:up|down)_conv1\.", ".there."),
            (r"\.(?:up|down)_conv2\.", ".back."),
            (r"\.(?:up|down)_conv3\.", ".again."),
            (r"^(ups|downs)\.(\d+)\.conv\.", r"\1.\2.merge."),
            (r"\.(?:conv|deconv)\.(weight|bias)$", r".0.\1"),
            (r"\.act\.weight$", ".1.weight"),
        ),
        configure=_dbpn,
    ),
    "dvf": Architecture(
        "temporal",
        "lxx1991/pytorch-voxel-flow, non-commercial",
        rules=(
            (r"^(\w+)_bn\.", r"\1.1."),
            (r"^((?!conv4)\w+)\.weight$", r"\1.0.weight"),
        ),
        configure=_dvf,
        adapt=_bgr_to_rgb,
    ),
    "rife": Architecture(
        "temporal",
        "hzwer/Practical-RIFE, MIT",
        rules=(
            (r"^block(\d+)\.", r"blocks.\1."),
            (r"\.conv0\.", ".head."),
            (r"\.convblock\.(\d+)\.conv\.", r".body.\1.0."),
            (r"\.convblock\.(\d+)\.slope$", r".body.\1.1.weight"),
            (r"\.convblock\.", ".body."),
            (r"\.lastconv\.(?:0\.)?(weight|bias)$", r".tail.\1"),
        ),
        configure=_rife,
        unused=r"(?:block_tea|teacher|caltime|encode)\..*",
        fold=_fold_rife,
    ),
    "superslomo": Architecture(
        "temporal",
        "avinashpaliwal/Super-SloMo, MIT",
        rules=tuple(_UNET_RULES),
        configure=_superslomo,
        parts=("state_dictFC", "state_dictAT"),
    ),
    "dain": Architecture(
        "temporal",
        "baowenbo/DAIN, MIT; its PWC-Net and MegaDepth parts have terms of their own",
        rules=tuple(_DAIN_RULES),
        configure=lambda tensors: {},
        unused=r"flownets\.deconv2\.(weight|bias)",
    ),
}
