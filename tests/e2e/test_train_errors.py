"""What `stsr train` refuses: one line and a code, before anything is written."""

import os

import pytest

from .training import PAIR, moving_texture

SPATIAL = ["--stage", "spatial", *PAIR, "--steps", "2"]
JOINT = ["--stage", "joint", *SPATIAL[2:]]


def test_no_end(refused, data):
    refused("train", 2, ["--steps", "--minutes"], "--labeled", data / "hr", *SPATIAL, "--steps=0")


def test_no_data(refused):
    refused("train", 2, ["--labeled"], *SPATIAL)


@pytest.mark.parametrize("stage", ["all", "joint"])
def test_unlabeled_footage_alone_says_why_that_cannot_work(refused, data, stage):
    words = ["without labeled footage there is nothing to reconstruct", "stsr finetune"]
    refused("train", 2, words, "--unlabeled", data / "lr", *PAIR, "--stage", stage)


def test_missing_data(refused):
    refused("train", 4, ["gone"], "--labeled", "gone", *SPATIAL)


@pytest.mark.parametrize("role", ["labeled", "unlabeled"])
def test_empty_data(refused, data, tmp_path, role):
    (tmp_path / "empty").mkdir()
    sources = ["--labeled", data / "hr"] if role == "unlabeled" else []
    refused("train", 4, ["empty holds no videos"], *sources, f"--{role}", "empty", *JOINT)


@pytest.mark.parametrize("stage", ["all", "joint"])
def test_missing_unlabeled_data(refused, data, stage):
    """Found before the first of three stages is trained."""
    arguments = ["--unlabeled", "gone", *JOINT, "--stage", stage]
    refused("train", 4, ["gone"], "--labeled", data / "hr", *arguments)


def test_list_names_a_missing_video(refused, tmp_path):
    (tmp_path / "list.txt").write_text("gone.mp4\t0\n")
    refused("train", 4, ["gone.mp4"], "--labeled", "list.txt", *SPATIAL)


@pytest.mark.parametrize("stage", ["all", "joint"])
def test_a_batch_of_one_holds_no_labeled_and_unlabeled_sample(refused, data, stage):
    sources = ["--labeled", data / "hr", "--unlabeled", data / "lr"]
    arguments = [*sources, *JOINT, "--stage", stage, "--batch-size", "1"]
    refused("train", 2, ["--batch-size 1 holds no", "give 2 or more"], *arguments)


def test_a_batch_of_one_labeled_sample_is_fine(train, tmp_path):
    train("joint", *PAIR, "--steps", "1", "--batch-size", "1")


def test_footage_smaller_than_a_crop(refused, make_clip):
    small = make_clip("small.mp4", frames=moving_texture(0, 16, 64, 64))
    refused("train", 2, ["24x24 low-resolution pixels", "lower --crop"], "--labeled", small, *JOINT)


@pytest.mark.parametrize(
    ("option", "value", "code", "word"),
    [
        ("--spatial", "espcm", 2, "did you mean 'espcn'"),
        ("--spatial-config", '{"depth": 3}', 2, "depth"),
        ("--spatial-config", '{"num_channels": "x"}', 2, "num_channels"),
        ("--spatial-config", "[1]", 2, "JSON object"),
        ("--crop", "64", 2, "--crop"),
        ("--stage", "both", 2, "--stage"),
        ("--preset", "modem", 2, "--preset"),
        ("--device", "cuda:77", 6, "cuda:77"),
        ("--cdca-config", "[1]", 2, "JSON object"),
        ("--init", "gone.safetensors", 5, "gone.safetensors"),
        ("--init", "cdca", 5, "do not hold espcn or dvf"),
        ("--init", "span+rife", 5, "do not hold espcn or dvf"),
        ("--out", ".", 2, ". exists; go on with --resume"),
        ("--labeled", "gone.mp4", 4, "gone.mp4"),
    ],
)
def test_bad_option(refused, data, option, value, code, word):
    refused("train", code, [word], "--labeled", data / "hr", *SPATIAL, "--offline", option, value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--spatial", "espcn"], ["--spatial cannot be used with --stage cdca"]),
        (["--cdca-config", '{"depth": 3}'], ["depth"]),
        (["--cdca-config", '{"num_features": 2}'], ["num_features 2", "3 or more"]),
        (["--cdca-config", '{"num_features": "x"}'], ["CDCA", "x"]),
    ],
    ids=lambda value: value[-1] if value[0][0] == "-" else None,
)
def test_bad_option_of_cdca(refused, data, arguments, words):
    stage = ["--stage", "cdca", "--steps", "2"]
    refused("train", 2, words, "--labeled", data / "hr", *stage, *arguments)


def test_nothing_to_train(refused, data):
    names = ["--spatial", "bicubic", "--spatial-config", "{}"]
    refused("train", 2, ["nothing to train"], "--labeled", data / "hr", *SPATIAL, *names)


def test_stills_have_no_motion_to_learn(refused, make_clip):
    frame = moving_texture(0, 1, 160, 128)[0]
    still = make_clip("still.mp4", frames=[frame] * 10)
    refused("train", 2, ["moving"], "--labeled", still, "--stage", "temporal", *SPATIAL[2:])


def test_a_folder_that_cannot_be_written(train, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere, so that a read-only folder stops nobody")
    (tmp_path / "locked").mkdir(mode=0o500)
    result = train("spatial", *PAIR, "--steps", "1", out="locked/out", code=2)
    assert result.stderr.splitlines()[-1].startswith("stsr: ")
    assert "locked" in result.stderr.splitlines()[-1]


def test_an_out_below_a_file(train, tmp_path):
    """As little a place to write to as a read-only folder, for root too."""
    (tmp_path / "file").write_text("")
    result = train("spatial", *PAIR, "--steps", "1", out="file/out", code=2)
    last_line = result.stderr.splitlines()[-1]
    assert last_line.startswith("stsr: ")
    assert "file" in last_line


def test_a_run_is_not_written_over_unless_told(finished_run, refused, train, data):
    refused("train", 2, ["out exists", "start over with -y"], "--labeled", data / "hr", *SPATIAL)
    train("spatial", *PAIR, "--steps", "2", "--overwrite")


@pytest.mark.parametrize("stage", ["all", "spatial"])
def test_resume_without_a_checkpoint(refused, data, stage):
    arguments = [*SPATIAL, "--stage", stage, "--resume"]
    refused("train", 2, ["nothing to resume"], "--labeled", data / "hr", *arguments)


@pytest.mark.parametrize(
    "options",
    [
        ["--seed", "1"],
        ["--crop", "20"],
        ["--batch-size", "5"],
        ["--accumulate", "2"],
        ["--stage", "joint"],
        ["--optimizer", "sgd"],
        ["--preset", "paper"],
        ["--spatial-config", '{"num_channels": 4}'],
    ],
    ids=lambda options: options[0].strip("-"),
)
def test_resume_with_other_options(finished_run, refused, data, options):
    again = [*SPATIAL, "--steps", "5", "--resume", *options]
    refused("train", 2, ["cannot resume"], "--labeled", data / "hr", *again)


CONFIGS = [
    ("step = 5", 2, ["no option 'step'", "did you mean 'steps'"]),
    ('steps = "many"', 2, ["config.toml: steps = 'many'; expected a whole number"]),
    ("steps = 5.5", 2, ["steps = 5.5; expected a whole number"]),
    ("steps = true", 2, ["steps = True; expected a whole number"]),
    ('learning_rate = "x"', 2, ["learning_rate = 'x'; expected a number"]),
    ('labeled = "clips"', 2, ["labeled = 'clips'; expected a list of texts"]),
    ("labeled = [1]", 2, ["labeled = [1]; expected a list of texts"]),
    ("[spatial]\nname = 'espcn'", 2, ["spatial = {'name': 'espcn'}; expected a text"]),
    ("spatial_config = 3", 2, ["spatial_config = 3; expected a table"]),
    ("resume = 1", 2, ["resume = 1; expected true or false"]),
    ("pretrained = true", 2, ["of `stsr finetune`"]),
    ("steps = -1", 2, ["--steps"]),
    ('optimizer = "adam"', 2, ["--optimizer", "adamw"]),
    ('preset = "modem"', 2, ["--preset", "modern"]),
    ("steps = ", 4, ["config.toml", "TOML"]),
    (b"\xff\xfe", 4, ["config.toml", "TOML"]),
    (None, 4, ["config.toml", "No such file"]),
]


@pytest.mark.parametrize(("text", "code", "words"), CONFIGS)
def test_bad_config(refused, data, tmp_path, text, code, words):
    if text is not None:
        content = text if isinstance(text, bytes) else text.encode()
        (tmp_path / "config.toml").write_bytes(content)
    refused("train", code, words, *SPATIAL[:-2], "--config", "config.toml")
