"""Where the options of a run come from: a flag wins over --config, which wins over the preset."""

import pytest

from stsr_cli.presets import RECIPE_KEYS, recipe

from .training import FAST, PAIR, PLAIN, assert_same_run

OTHER = {
    **{"steps": 7, "optimizer": "sgd", "schedule": "constant", "learning_rate": 0.5},
    **{"warmup_steps": 3, "momentum": 0.5, "weight_decay": 0.25, "batch_size": 3, "accumulate": 5},
    **{"crop": 31, "consistency_weight": 3.0, "given_weight": 4.0, "temporal_weight": 2.0},
    **{
        "penalty": "squared",
        "reduction": "sum",
        "clip_norm": 6.0,
        "ema_decay": 0.25,
        "stills_share": 0.125,
    },
    "max_stride": 4,
    "made_share": 0.75,
    "patience": 9,
}


@pytest.fixture
def runs(monkeypatch):
    """Collect what the command line asks for instead of training it."""
    found = []
    monkeypatch.setattr("stsr_cli.cli.train.run", lambda runs, is_dry: found.extend(runs))
    monkeypatch.setattr("stsr_cli.cli.finetune.run", lambda runs, is_dry: found.extend(runs))
    return found


@pytest.mark.parametrize("name", RECIPE_KEYS)
def test_every_field_of_a_recipe_has_a_flag(call, runs, name):
    value = OTHER[name]
    before = vars(recipe("modern", "joint"))
    assert before[name] != value
    flag = f"--{name.replace('_', '-')}"
    call("train", "--labeled", "x", "--stage", "joint", flag, value)
    assert vars(runs[0].recipe) == {**before, name: value}


def test_a_flag_wins_over_the_file_and_the_file_over_the_preset(call, runs, tmp_path):
    (tmp_path / "my.toml").write_text(
        'preset = "paper"\nlearning_rate = 0.25\nmomentum = 0.75\nlabeled = ["a", "b"]\n'
        "seed = 3\n[spatial_config]\nnum_channels = 8\n"
    )
    flags = ["--momentum", "0.5", "--seed", "4", "--stage", "joint"]
    call("train", "--config", "my.toml", *flags)
    (run,) = runs
    assert run.recipe == recipe("paper", "joint", {"learning_rate": 0.25, "momentum": 0.5})
    assert (run.seed, run.spatial_config) == (4, {"num_channels": 8})
    assert [str(path) for path in run.labeled] == ["a", "b"]
    runs.clear()
    call("train", "--config", "my.toml", *flags, "--preset", "modern", "--labeled", "c")
    assert runs[0].recipe == recipe("modern", "joint", {"learning_rate": 0.25, "momentum": 0.5})
    assert [str(path) for path in runs[0].labeled] == ["c"]


@pytest.mark.parametrize("preset", ["finetune", "modern", "paper"])
def test_all_takes_each_stages_recipe_and_what_differs_counts_in_all(call, runs, preset):
    names = ["--spatial", "espcn", "--temporal", "dvf"]
    call("train", "--labeled", "x", "--unlabeled", "y", *names, "--preset", preset, "--crop", "40")
    assert [run.stage for run in runs] == ["spatial", "temporal", "joint"]
    assert [str(run.out) for run in runs] == [
        f"runs/espcn+dvf/{stage}" for stage in ("spatial", "temporal", "joint")
    ]
    for run in runs:
        assert run.recipe == recipe(preset, run.stage, {"crop": 40})
        assert bool(run.unlabeled) == (run.stage == "joint")
    assert [str(path) for path in runs[2].init] == [
        f"runs/espcn+dvf/{stage}/weights.safetensors" for stage in ("spatial", "temporal")
    ]


def test_all_without_a_module_to_train_has_no_stage_for_it(call, runs):
    call("train", "--labeled", "x", "--spatial", "espcn", "--temporal", "blend")
    assert [run.stage for run in runs] == ["spatial", "joint"]


def test_minutes_alone_end_a_run(call, runs):
    call("train", "--labeled", "x", "--stage", "joint", "--minutes", "3")
    call("train", "--labeled", "x", "--stage", "joint", "--minutes", "3", "--steps", "9")
    assert [(run.minutes, run.recipe.steps) for run in runs] == [(3, 0), (3, 9)]


def test_unlabeled_footage_and_weights_adapt_both_modules_together(call, runs):
    call("train", "--unlabeled", "x", "--init", "espcn+dvf", "--spatial", "espcn")
    (run,) = runs
    assert (run.stage, run.unlabeled, [str(path) for path in run.clips]) == ("joint", (), ["x"])


def test_a_runs_configuration_makes_the_same_run_again(train, call, data, tmp_path, monkeypatch):
    """From another folder, too."""
    options = ["--unlabeled", data / "lr", "--steps", "6", "--seed", "5", "--learning-rate", "0.02"]
    train("spatial", *PAIR, *PLAIN, "--steps", "2", out="start")
    init = ["--init", "start/weights.safetensors"]
    train("joint", *PAIR, *options, *init, "--preset", "paper", "--validate-steps", "2")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    call("train", "--config", tmp_path / "out" / "config.toml", "--out", tmp_path / "again")
    assert_same_run(tmp_path / "again", tmp_path / "out")
    one, other = ((tmp_path / name / "config.toml").read_text() for name in ("out", "again"))
    assert one == other.replace("/again", "/out")


def test_an_adapted_clips_configuration_makes_the_same_run_again(train, call, data, tmp_path):
    """Whichever command it came from; the other one refuses it."""
    clip = data / "hr" / "clip0.mp4"
    train("joint", *PAIR, *PLAIN, "--steps", "2", out="start")
    own = ["--cache", data / "cache", *FAST, "--crop", "16", "--steps", "4", "--seed", "2"]
    own += ["--learning-rate", "0.05", "--warmup-steps", "0", "--ema-decay", "0"]
    start = "start/weights.safetensors"
    call("finetune", clip, "--weights", start, *own, "--out", "tuned")
    call("finetune", "--config", "tuned/config.toml", "--out", "again")
    assert_same_run(tmp_path / "again", tmp_path / "tuned")
    call("train", "--config", "tuned/config.toml", "--out", "other", code=2)
    call("train", "--unlabeled", clip, "--init", start, *PAIR, *own, "--out", "adapted")
    call("train", "--config", "adapted/config.toml", "--out", "adapted-again")
    assert_same_run(tmp_path / "adapted-again", tmp_path / "adapted")
    result = call("finetune", "--config", "adapted/config.toml", "--out", "other", code=2)
    assert "is of `stsr train`" in result.stderr
