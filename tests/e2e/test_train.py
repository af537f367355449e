"""`stsr train` for real: tiny networks, a few steps, on clips whose motion can be learnt."""

import json
from itertools import pairwise

import av
import numpy as np
import pytest
import torch

from stsr_cli.checkpoint import Weights, load_weights, read_tensors, save_weights
from stsr_cli.registry import build
from stsr_cli.training.loop import Trainer

from .training import (
    CONFIGS,
    FAST,
    PAIR,
    PLAIN,
    assert_falls,
    assert_same_tensors,
    read_checkpoint,
    read_log,
    run_of,
)


def test_spatial_stage_learns_and_its_weights_upscale(run_stsr, data, make_clip, tmp_path):
    sources = ["--labeled", data / "hr", "--cache", data / "cache", "--stage", "spatial"]
    speed = ["--steps", "50", "--learning-rate", "0.03", *PLAIN, "--validate-steps", "5"]
    arguments = [*sources, *FAST, *PAIR, *speed, "--out", "out"]
    result = run_stsr("train", *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "out/weights.safetensors\n"
    log = read_log(tmp_path / "out")
    assert [line["step"] for line in log] == list(range(5, 51, 5))
    assert_falls([line["losses"]["loss"] for line in log])
    for line in log:
        assert line["psnr"].keys() == line["baseline"].keys() == {"spatial"}
        assert line["baseline"]["spatial"] == pytest.approx(log[0]["baseline"]["spatial"])
    best = max(line["psnr"]["spatial"] for line in log)
    assert best > log[0]["psnr"]["spatial"] + 3
    assert f"{best:.2f} dB" in result.stderr
    weights = load_weights(tmp_path / "out" / "weights.safetensors")
    assert weights.temporal is None
    assert weights.spatial.config["num_channels"] == 8
    assert weights.training["psnr"]["spatial"] == pytest.approx(best), "it is the best, not last"
    names = ["--spatial", "espcn", "--temporal", "blend", "--weights", "out/weights.safetensors"]
    result = run_stsr("upscale", make_clip(), "big.mp4", *names, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    with av.open(str(tmp_path / "big.mp4")) as container:
        assert (container.streams.video[0].width, container.streams.video[0].frames) == (256, 16)


@pytest.mark.parametrize(("temporal", "learning_rate"), [("rife", 0.1), ("dvf", 0.01)])
def test_temporal_stage_learns(train, tmp_path, temporal, learning_rate):
    names = ["--spatial", "bicubic", "--temporal", temporal]
    config = ["--temporal-config", json.dumps(CONFIGS[temporal])]
    speed = ["--steps", "40", "--learning-rate", learning_rate, *PLAIN]
    train("temporal", *names, *config, *speed, "--validate-steps", "5")
    log = read_log(tmp_path / "out")
    # f_T starts as plain blending, which is hard to tell from a little better by the loss of a few crops
    psnr = [sum(line["psnr"].values()) for line in log]
    assert max(psnr) > psnr[0] + 0.15
    assert log[0]["psnr"].keys() == {"temporal_lr", "temporal_hr"}
    weights = load_weights(tmp_path / "out" / "weights.safetensors")
    assert weights.spatial is None
    assert weights.temporal.config.items() >= CONFIGS[temporal].items()


def test_temporal_stage_takes_crops_of_any_size(train):
    """Of a --crop of 17, f_T sees 22 pixels, which no U-Net can halve three times."""
    names = ["--spatial", "bicubic", "--temporal", "dvf"]
    train("temporal", *names, "--temporal-config", '{"num_channels": 2}', "--crop=17", "--steps=4")


CDCA = ["--cdca-config", '{"num_channels": 8, "num_features": 8}', "--penalty", "squared"]


def test_cdca_learns_and_its_weights_upscale(train, call, make_clip, tmp_path):
    speed = ["--steps", "60", "--learning-rate", "0.01", *PLAIN, "--crop=16"]
    train("cdca", *CDCA, *speed, "--validate-steps", "10")
    log = read_log(tmp_path / "out")
    losses = [line["losses"]["loss"] for line in log]
    assert all(np.isfinite(losses))
    assert losses[-1] < losses[1], "the last stage began after nine steps"
    last = log[-1]
    assert last["psnr"].keys() == last["baseline"].keys() == {"given", "new"}
    assert sum(last["psnr"].values()) > sum(last["baseline"].values())
    weights = load_weights(tmp_path / "out" / "weights.safetensors")
    assert (weights.spatial, weights.temporal) == (None, None)
    assert weights.training["stage"] == "cdca"
    assert {name.partition(".")[0] for name in weights.cdca.state_dict()} == {
        *("encoder_lr", "mapping", "decoder_hr")
    }, "what only training needs is not in the file"
    names = ["--system", "cdca", "--weights", "out/weights.safetensors"]
    call("upscale", make_clip(num_frames=2), "big.mp4", *names)
    train("cdca", *CDCA, "--init=out/weights.safetensors", "--steps=1", out="again")


def batch_norm_statistics(tensors):
    return {name: tensor for name, tensor in tensors.items() if "running_" in name}


@pytest.mark.parametrize("ema_decay", ["0", "0.9"])
def test_joint_stage_learns_with_frozen_batch_norm(train, call, make_clip, tmp_path, ema_decay):
    init = tmp_path / "init.safetensors"
    torch.manual_seed(0)
    modules = build("spatial", "espcn", CONFIGS["espcn"]), build("temporal", "dvf", CONFIGS["dvf"])
    for module in modules[1].modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    save_weights(init, Weights(*modules))
    speed = ["--steps", "30", "--learning-rate", "0.1", *PLAIN, "--ema-decay", ema_decay]
    train("joint", *PAIR, "--init", init, *speed, "--validate-steps", "5")
    log = read_log(tmp_path / "out")
    assert log[0]["step"] == 0, "what it starts from is measured too"
    assert_falls([line["losses"]["loss"] for line in log[1:]])
    assert log[0]["psnr"].keys() == log[0]["baseline"].keys() == {"t2s", "s2t"}
    before = batch_norm_statistics(modules[1].state_dict())
    assert len(before) == 14
    trained = load_weights(tmp_path / "out" / "weights.safetensors")
    assert_same_tensors(batch_norm_statistics(trained.temporal.state_dict()), before)
    state = read_checkpoint(tmp_path / "out")["model"]
    for name, tensor in before.items():
        assert torch.equal(state[f"temporal.{name}"], tensor), name
    for kind, module in zip(("spatial", "temporal"), modules, strict=True):
        for name, tensor in module.named_parameters():
            assert not torch.equal(state[f"{kind}.{name}"], tensor), f"{name} did not learn"
    names = ["--spatial", "espcn", "--temporal", "dvf", "--weights", "out/weights.safetensors"]
    call("upscale", make_clip(num_frames=2), "big.mp4", *names)


@pytest.mark.parametrize("stage", ["spatial", "temporal"])
def test_the_other_module_stays_as_it_is(train, tmp_path, stage):
    init = tmp_path / "init.safetensors"
    modules = {
        "spatial": build("spatial", "espcn", CONFIGS["espcn"]),
        "temporal": build("temporal", "dvf", CONFIGS["dvf"]),
    }
    save_weights(init, Weights(**modules))
    train(stage, *PAIR, *PLAIN, "--init", init, "--steps", "4", "--learning-rate", "0.1")
    model = read_checkpoint(tmp_path / "out")["model"]
    for kind, module in modules.items():
        for name, tensor in module.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            is_same = torch.equal(model[f"{kind}.{name}"], tensor)
            assert is_same == (kind != stage), f"{kind}.{name}"


def test_unlabeled_footage_counts_in_the_consistency_alone(train, data, tmp_path):
    """With lambda = 0, two labeled and two unlabeled samples teach what the two labeled ones do."""
    options = [*PAIR, *PLAIN, "--steps=4", "--learning-rate=0.1", "--consistency-weight=0"]
    unlabeled = ["--unlabeled", data / "lr", "--batch-size=4"]
    train("joint", *options, "--batch-size=2", out="labeled")
    train("joint", *options, *unlabeled, out="zero")
    labeled, zero = (read_checkpoint(tmp_path / name)["model"] for name in ("labeled", "zero"))
    for name, tensor in labeled.items():
        torch.testing.assert_close(zero[name], tensor, rtol=1e-3, atol=2e-4)


def test_the_papers_preset_does_not_diverge_from_a_sensible_start(train, tmp_path):
    pair = ["--spatial", "espcn", "--temporal", "dvf", "--init", "espcn+dvf", "--offline"]
    size = ["--crop", "16", "--batch-size", "2"]
    train("joint", "--preset", "paper", *pair, *size, "--steps", "30", "--validate-steps", "10")
    log = read_log(tmp_path / "out")
    losses = [line["losses"]["loss"] for line in log[1:]]
    assert all(np.isfinite(losses))
    assert min(losses[1:]) < 1.1 * losses[0], losses
    psnr = [sum(line["psnr"].values()) for line in log]
    assert max(psnr[1:]) > psnr[0]
    assert psnr[-1] > psnr[0] - 2


def options_of(data, tmp_path, **changes):
    """Options of a short run of the joint stage."""
    plain = {"steps": 6, "warmup_steps": 0, "ema_decay": 0.0, "batch_size": 2, "crop": 24}
    return run_of(data, tmp_path / "out", {**plain, **changes})


def test_the_gradient_is_clipped_and_its_full_norm_told(data, tmp_path):
    sgd = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "schedule": "constant"}
    trainer = Trainer(
        options_of(data, tmp_path, **sgd, learning_rate=0.1, clip_norm=0.01, threads=1)
    )
    before = [p.detach().clone() for p in trainer.parameters]
    found = []

    def on_step(status):
        moved = torch.cat(
            [(p - q).flatten() for p, q in zip(trainer.parameters, before, strict=True)]
        )
        found.append((status.gradient_norm, float(moved.detach().norm())))
        for old, new in zip(before, trainer.parameters, strict=True):
            old.copy_(new.detach())

    trainer.run(on_step=on_step)
    assert len(found) == 6
    assert all(norm > 0.01 for norm, _ in found), found
    assert all(moved == pytest.approx(0.1 * 0.01, rel=1e-3) for _, moved in found), found


def test_the_average_follows_the_weights_and_is_what_is_saved(data, tmp_path):
    trainer = Trainer(
        options_of(data, tmp_path, ema_decay=0.75, learning_rate=0.01, validate_steps=1, threads=1)
    )
    average, best = {}, {}

    def on_step(status):
        for name, tensor in trainer.system.state_dict().items():
            if tensor.is_floating_point():
                old = average.get(name, tensor)
                average[name] = (0.75 * old + 0.25 * tensor).clone()

    def on_status(status):
        if status.is_best:
            best.update({name: tensor.clone() for name, tensor in average.items()})

    trainer.run(on_status, on_step)
    ema = read_checkpoint(tmp_path / "out")["ema"]
    saved = read_tensors(tmp_path / "out" / "weights.safetensors")
    assert average.keys() <= saved.keys()
    for name in average:
        torch.testing.assert_close(ema[f"module.{name}"], average[name])
        torch.testing.assert_close(saved[name], best[name])
    model = read_checkpoint(tmp_path / "out")["model"]
    assert not all(torch.allclose(model[name], ema[f"module.{name}"]) for name in average)


def test_a_run_that_gains_no_more_ends_early(train, tmp_path):
    start = ["--spatial", "espcn", "--init", "espcn+dvf", "--offline", "--temporal", "dvf"]
    speed = ["--steps", "50", "--learning-rate", "0.1", "--warmup-steps", "0", *PLAIN]
    train("spatial", *start, *speed, "--patience", "2", "--validate-steps", "1")
    log = read_log(tmp_path / "out")
    is_best = [line["is_best"] for line in log]
    assert [line["step"] for line in log] == list(range(len(log))), "each step is measured once"
    assert 3 <= len(log) < 50
    assert is_best[-3:] == [True, False, False]
    assert not any(not a and not b for a, b in pairwise(is_best[:-1]))
