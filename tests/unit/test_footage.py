"""What a run trains on and what it is measured on."""

from stsr_cli.options import TrainOptions
from stsr_cli.presets import recipe
from stsr_cli.training.footage import load_training_data


def test_named_held_out_footage_is_measured_on_and_never_trained_on(make_clip, tmp_path):
    paths = [make_clip(f"{name}.mkv", num_frames=6) for name in "abc"]
    options = TrainOptions(
        tmp_path / "run", "joint", recipe("modern", "joint"), cache=tmp_path / "cache"
    )
    named = TrainOptions(
        **{**vars(options), "labeled": (tmp_path,), "held_out": (paths[1],)}  # b is in both
    )
    data = load_training_data(named, 4)
    assert [clip.name for clip in data.training] == ["a.mkv", "c.mkv"]
    assert [clip.name for clip in data.held_out] == ["b.mkv"]
    assert [len(clip.lr_frames) for clip in data.training] == [6, 6], (
        "whole: nothing else is left out"
    )
    assert all(clip.hr_frames is not None for clip in data.held_out)


def test_of_clips_to_adapt_to_all_is_trained_on_where_other_footage_is_held_out(
    make_clip, tmp_path
):
    own, other = make_clip("own.mkv", num_frames=8, width=256, height=192), make_clip("other.mkv")
    options = TrainOptions(
        tmp_path / "run",
        "joint",
        recipe("finetune", "joint"),
        clips=(own,),
        held_out=(other,),
        cache=tmp_path / "cache",
    )
    data = load_training_data(options, 4)
    assert {len(clip.lr_frames) for clip in data.training} == {8}
    assert [clip.name for clip in data.held_out] == ["other.mkv"]
    assert {clip.name for clip in data.unlabeled} == {"own.mkv"}
