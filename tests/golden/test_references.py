"""Modules against stored outputs of their public reference implementations.

Weights come in under the references' names, through the same key maps that convert their checkpoints.
"""

from typing import Any

import pytest
import torch
from torch import Tensor

from stsr_cli.convert import ARCHITECTURES, module_from
from stsr_cli.temporal.dain.adaptive_warp import adaptive_warp
from stsr_cli.temporal.dain.flow import correlation
from stsr_cli.temporal.dain.projection import project_flow

# Parameters of the reference where ours has fewer: DAIN never uses one deconvolution (2x2x4x4 and 2).
REFERENCE_PARAMETERS = {
    "VDSR": 664_704,
    "ESPCN": 24_752,
    "DBPN_S": 599_566,
    "DBPN_T7": 10_426_358,
    "DDBPN_T10": 15_348_302,
    "DVF": 3_821_891,
    "SuperSloMo": 39_610_473,
    "DAIN": 24_031_656,
}
UNUSED_PARAMETERS = {"DAIN": 66}


def filled(golden: Any, arch: str, **changes: Any) -> Any:
    return module_from(arch, golden.state_dict(), **changes)


def frames(golden: Any) -> tuple[Tensor, Tensor]:
    return golden.input("frame0"), golden.input("frame1")


def test_the_rule_gives_its_published_values(fill) -> None:
    kernel = fill("conv1.weight", (2, 3, 3, 3), "float32", {})
    expected = [0.38869318, 0.13266385, -0.04337576]
    assert kernel.flatten()[:3].tolist() == pytest.approx(expected, abs=1e-8)
    assert fill("act.weight", (1,), "float32", {}).item() == pytest.approx(0.27593109, abs=1e-8)


def test_the_longest_prefix_sets_the_gain(fill) -> None:
    plain = fill("a.b.weight", (2, 2), "float32", {})
    gained = fill("a.b.weight", (2, 2), "float32", {"a.": 3.0, "a.b.": 0.5, "b.": 7.0})
    torch.testing.assert_close(gained, plain / 2)


@torch.inference_mode()
def test_vdsr(golden) -> None:
    reference = golden("VDSR")
    reference.check("y", filled(reference, "vdsr").refine(reference.input("x")))


@torch.inference_mode()
def test_espcn(golden) -> None:
    reference = golden("ESPCN")
    reference.check("linear", filled(reference, "espcn").upsample_luma(reference.input("x")))


@torch.inference_mode()
@pytest.mark.parametrize("name", ["DBPN_S", "DBPN_T7", "DDBPN_T10"])
def test_dbpn(golden, name) -> None:
    reference = golden(name)
    reference.check("y", filled(reference, "dbpn")(reference.input("x")))


@torch.inference_mode()
def test_dvf(golden) -> None:
    reference = golden("DVF")
    module = filled(reference, "dvf")
    reference.check("tanh3", module.voxel_flow(*frames(reference)))
    # The reference's range is [-1, 1].
    reference.check("frame", module(*frames(reference)) * 2 - 1)


@torch.inference_mode()
@pytest.mark.parametrize(
    ("warp_grid", "name"),
    [("exact", "exact"), ("legacy", "legacy_ac1"), ("legacy-half", "legacy_ac0")],
)
def test_superslomo(golden, warp_grid, name) -> None:
    reference = golden("SuperSloMo")
    module = filled(reference, "superslomo", warp_grid=warp_grid)
    for t in (0.5, 0.25):
        reference.check(f"{name}.t{t}.frame", module(*frames(reference), t))
    if warp_grid == "exact":
        mean = torch.tensor((0.429, 0.431, 0.397)).view(3, 1, 1)
        reference.check(
            "flow", module.flow_net(torch.cat(frames(reference), 1) - mean.repeat(2, 1, 1))
        )


@torch.inference_mode()
def test_dain_step_by_step(golden) -> None:
    reference = golden("DAIN")
    module = filled(reference, "dain")
    frame0, frame1 = frames(reference)
    seen: dict[str, Any] = {}
    module.rectify_net.register_forward_hook(
        lambda _, inputs, output: seen.update(clues=inputs[0], out=output)
    )
    reference.check("rectified", module(frame0, frame1))
    reference.check("rectify_in", seen["clues"])
    reference.check("rectify_out", seen["out"])
    reference.check("blend", seen["clues"][:, :3])
    flows = module.flow_net(frame0, frame1)
    halves = module.flows(frame0, frame1, 0.5)
    kernels = module.kernel_net(frame0, frame1)
    log_depths = module.depth_net(torch.cat((frame0, frame1))).chunk(2)
    for index, direction in enumerate(("01", "10")):
        reference.check(f"pwc{direction}", flows[index])
        reference.check(f"flow{direction}_half", halves[index])
        reference.check(f"log_depth{index}", log_depths[index])
        nearness = 1e-6 + 1 / torch.exp(log_depths[index])
        projected = project_flow(halves[index], nearness, fill_holes=True)
        reference.check(f"proj_t{index}", projected)
        reference.check(f"kernel{index}", kernels[index])
        reference.check(f"ctx{index}", module.context_net((frame0, frame1)[index]))


def test_dain_in_training_leaves_holes(golden) -> None:
    reference = golden("DAIN")
    found = filled(reference, "dain")(*frames(reference))
    reference.check("rectified_nofill", found.detach())


def test_the_operations_of_dain(golden) -> None:
    reference = golden("DAIN_ops")
    given = {
        name: reference.input(name)
        for name in ("corr_a", "corr_b", "image", "flow", "weight", "kernel")
    }
    reference.check("correlation", correlation(given["corr_a"], given["corr_b"]))
    reference.check("filter", adaptive_warp(given["image"], given["flow"], given["kernel"]))
    for name, fill_holes in (("proj_fill", True), ("proj_nofill", False)):
        reference.check(name, project_flow(given["flow"], given["weight"], fill_holes))


@pytest.mark.parametrize("name", REFERENCE_PARAMETERS)
def test_parameters_are_as_many_as_the_reference_has(golden, name) -> None:
    reference = golden(name)
    arch = {"DDBPN_T10": "dbpn"}.get(name, name.split("_")[0].lower())
    ours = sum(parameter.numel() for parameter in filled(reference, arch).parameters())
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    theirs = sum(
        value.numel() for key, value in reference.state_dict().items() if not key.endswith(buffers)
    )
    assert theirs == REFERENCE_PARAMETERS[name]
    assert ours == theirs - UNUSED_PARAMETERS.get(name, 0)


def test_every_architecture_has_a_golden() -> None:
    golden_of = {"vdsr", "espcn", "dbpn", "dvf", "superslomo", "dain"}
    golden_of |= {"span", "rife"}  # test_published.py
    assert set(ARCHITECTURES) == golden_of
