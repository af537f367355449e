"""Presets and configuration files: what they hold, and what is no such thing."""

from dataclasses import fields, replace
from pathlib import Path
from typing import get_args

import pytest

from stsr_cli.errors import InputError, UsageError
from stsr_cli.options import Recipe, Stage, TrainOptions
from stsr_cli.presets import CONFIG_KEYS, RECIPE_KEYS, available, read_config, recipe
from stsr_cli.training.config import as_toml, as_values


def test_the_presets_that_ship():
    assert available() == ("finetune", "modern", "paper")


@pytest.mark.parametrize("stage", get_args(Stage))
@pytest.mark.parametrize("preset", available())
def test_every_preset_is_whole_for_every_stage(preset, stage):
    found = recipe(preset, stage)
    assert found.optimizer in ("adamw", "sgd")
    assert found.schedule in ("constant", "cosine")
    assert found.penalty in ("squared", "charbonnier")
    assert found.reduction in ("sum", "mean")
    for field in fields(Recipe):
        value = getattr(found, field.name)
        assert type(value) is (field.type if field.type in (int, float) else str), field.name
    assert found.steps > 0 and found.batch_size > 0 and found.crop >= 16


@pytest.mark.parametrize("stage", get_args(Stage))
def test_the_papers_numbers_are_the_papers(stage):
    found = recipe("paper", stage)
    assert (found.optimizer, found.batch_size, found.learning_rate) == ("sgd", 2, 1e-3)
    assert (found.momentum, found.weight_decay) == (0.9, 5e-4)
    assert (found.penalty, found.reduction, found.given_weight) == ("squared", "sum", 0.0)
    assert (found.ema_decay, found.schedule, found.accumulate) == (0.0, "constant", 1)
    largest = found.crop * 4 // 3 if stage == "temporal" else found.crop
    assert largest == 64, "the rows of a frame of Vimeo-90K at a quarter of its size"


def test_a_stages_table_counts_for_it_alone_and_changes_win():
    assert recipe("modern", "spatial").batch_size == 16
    assert recipe("modern", "temporal").batch_size == 8
    assert recipe("modern", "joint").learning_rate < recipe("modern", "temporal").learning_rate
    changed = recipe("modern", "joint", {"batch_size": 3})
    assert changed == replace(recipe("modern", "joint"), batch_size=3)


def test_an_unknown_preset_names_the_close_one():
    with pytest.raises(UsageError, match="no preset 'modem'; did you mean 'modern'"):
        recipe("modem", "joint")


def test_the_keys_are_those_of_the_options():
    assert set(RECIPE_KEYS) <= set(CONFIG_KEYS)
    assert "recipe" not in CONFIG_KEYS
    assert len(set(CONFIG_KEYS)) == len(CONFIG_KEYS), "a name in both would be one key"


def options(tmp_path, **changes):
    changes = {"labeled": (Path("hr"), Path("/data/x y")), "minutes": 1.5, **changes}
    return TrainOptions(tmp_path / "out", "joint", recipe("paper", "joint"), **changes)


def test_options_written_are_read_again(tmp_path):
    config = {"num_channels": 8, "scales": [2, 1], "kind": 'a "b"', "is_x": True, "rate": 0.1}
    run = options(tmp_path, spatial_config=config, init=("span+rife",), seed=7, threads=2)
    path = tmp_path / "config.toml"
    path.write_text(as_toml(run), encoding="utf-8")
    read = read_config(path)
    assert read == {name: value for name, value in as_values(run).items() if value is not None}
    assert read["spatial_config"] == config
    assert read["labeled"] == [str(Path("hr").absolute()), "/data/x y"]
    assert read.keys() <= set(CONFIG_KEYS)
    assert {"resume", "overwrite", "cache", "workers"}.isdisjoint(read)
    assert (read["minutes"], read["seed"], read["learning_rate"]) == (1.5, 7, 0.001)


def test_weights_that_are_a_file_are_found_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.safetensors").write_bytes(b"")
    run = options(tmp_path, init=("mine.safetensors", "span+rife", "hf:a/b:c.safetensors"))
    path = str(tmp_path / "mine.safetensors")
    assert as_values(run)["init"] == [path, "span+rife", "hf:a/b:c.safetensors"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat = 1", "no option 'learning_rat'; did you mean 'learning_rate'"),
        ("recipe = 1", "no option 'recipe'"),
        ("crop = 24.0", r"crop = 24.0; expected a whole number"),
        ("minutes = '5'", "minutes = '5'; expected a number"),
        ("threads = 1.5", r"threads = 1.5; expected a whole number"),
        ("offline = 'yes'", "offline = 'yes'; expected true or false"),
        ("out = 1", "out = 1; expected a text"),
        ("stage = ['joint']", r"stage = \['joint'\]; expected a text"),
        ("init = 'span'", "init = 'span'; expected a list of texts"),
        ("cdca_config = []", r"cdca_config = \[\]; expected a table"),
    ],
)
def test_a_bad_value_is_named(tmp_path, text, message):
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as raised:
        read_config(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["minutes = 5", "learning_rate = 1", "cache = 'x'", ""])
def test_a_good_value_is_taken(tmp_path, text):
    path = tmp_path / "c.toml"
    path.write_text(text)
    assert len(read_config(path)) == bool(text)


def test_a_file_that_is_no_toml_or_none(tmp_path):
    path = tmp_path / "c.toml"
    with pytest.raises(InputError, match="No such file"):
        read_config(path)
    path.write_text("a = = 1")
    with pytest.raises(InputError, match="expected a TOML file"):
        read_config(path)
