"""What training keeps: checkpoints on disk, the last good weights in memory, and each process's share of a step."""

import pytest
import torch
from torch import nn

from stsr_cli.errors import StsrError, UsageError, WeightsError
from stsr_cli.training import checkpoints, guard
from stsr_cli.training.batches import Share
from stsr_cli.training.checkpoints import Checkpoint, discard, load_checkpoint, newest
from stsr_cli.training.checkpoints import save_checkpoint as save
from stsr_cli.training.guard import Guard

CPU = torch.device("cpu")
IDENTITY = {"stage": "joint", "seed": 0, "spatial": ["espcn", {"num_channels": 8}]}


def checkpoint(step, value=None):
    tensors = {"a.weight": torch.full((3, 2), float(step if value is None else value))}
    ema = {"module.a.weight": tensors["a.weight"] / 2, "n_averaged": torch.tensor(step)}
    return Checkpoint(step, IDENTITY, tensors, ema, {"best": -1.5, "random": torch.arange(3)})


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_saved_is_loaded(tmp_path):
    save(tmp_path / "c", checkpoint(120))
    found = load_checkpoint(tmp_path / "c", IDENTITY, CPU)
    assert (found.step, found.identity, found.state["best"]) == (120, IDENTITY, -1.5)
    assert torch.equal(found.model["a.weight"], torch.full((3, 2), 120.0))
    assert torch.equal(found.ema["module.a.weight"], torch.full((3, 2), 60.0))
    assert found.ema["n_averaged"] == 120
    assert found.state["random"].tolist() == [0, 1, 2]
    assert names(tmp_path / "c" / "step-00000120") == [
        *("ema.safetensors", "model.safetensors", "state.pt")
    ]


def test_the_newest_replaces_the_one_before_and_what_kills_left(tmp_path):
    for leftover in ("step-00000003", ".step-00000005.part", ".step-00000009.part"):
        (tmp_path / leftover).mkdir()
        (tmp_path / leftover / "model.safetensors").write_bytes(b"half")
    (tmp_path / "step-notes").mkdir()  # a user's
    assert newest(tmp_path) == tmp_path / "step-00000003"
    save(tmp_path, checkpoint(9))
    assert names(tmp_path) == ["step-00000009", "step-notes"]
    assert load_checkpoint(tmp_path, IDENTITY, CPU).step == 9
    save(tmp_path, checkpoint(100_000_0))
    assert newest(tmp_path).name == "step-01000000"


def test_the_newest_complete_one_counts(tmp_path):
    save(tmp_path / "c", checkpoint(7))
    save(tmp_path / "d", checkpoint(12))
    (tmp_path / "d" / "step-00000012").rename(tmp_path / "c" / "step-00000012")
    (tmp_path / "c" / ".step-00000020.part").mkdir()
    assert load_checkpoint(tmp_path / "c", IDENTITY, CPU).step == 12


def test_saving_the_same_step_again_changes_nothing(tmp_path):
    save(tmp_path, checkpoint(7))
    save(tmp_path, checkpoint(7, value=0))
    assert load_checkpoint(tmp_path, IDENTITY, CPU).model["a.weight"][0, 0] == 7


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_save_that_fails_keeps_the_one_before(tmp_path, monkeypatch, nth):
    """Whichever of its files is the one that there is no room for."""
    save(tmp_path, checkpoint(70))
    calls = []

    def full(path, *content):
        calls.append(path)
        if len(calls) == nth:
            raise StsrError(f"cannot write {path}: No space left on device")
        path.write_bytes(b"")

    monkeypatch.setattr(checkpoints, "write_tensors", full)
    monkeypatch.setattr(checkpoints, "write_atomically", full)
    with pytest.raises(
        StsrError, match=r"cannot save step 80: .*the checkpoint of step 70 is kept"
    ):
        save(tmp_path, checkpoint(80))
    assert names(tmp_path) == ["step-00000070"]
    assert load_checkpoint(tmp_path, IDENTITY, CPU).step == 70


def test_a_first_save_that_fails_says_that_there_is_none(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StsrError, match=r"cannot save step 3: .*; none is there yet"):
        save(tmp_path / "file" / "c", checkpoint(3))


@pytest.mark.parametrize("name", ["model.safetensors", "ema.safetensors", "state.pt"])
@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "garbage"])
def test_a_damaged_file_is_one_line(tmp_path, name, damage):
    save(tmp_path, checkpoint(5))
    path = tmp_path / "step-00000005" / name
    if damage == "gone":
        path.unlink()
    else:
        content = path.read_bytes()
        path.write_bytes({"empty": b"", "cut": content[: len(content) // 2]}.get(damage, b"x" * 99))
    with pytest.raises(WeightsError, match=r"cannot resume from .*step-00000005: ") as raised:
        load_checkpoint(tmp_path, IDENTITY, CPU)
    assert raised.value.exit_code == 5
    assert "\n" not in str(raised.value)
    assert "--overwrite" in str(raised.value)


@pytest.mark.parametrize(
    "content", [{"epoch": 3}, [1, 2], 5, {"identity": 3, "state": {}}], ids=str
)
def test_another_programs_state(tmp_path, content):
    save(tmp_path, checkpoint(5))
    torch.save(content, tmp_path / "step-00000005" / "state.pt")
    with pytest.raises(WeightsError, match="cannot resume from"):
        load_checkpoint(tmp_path, IDENTITY, CPU)


def test_a_state_is_never_code(tmp_path):
    save(tmp_path, checkpoint(5))
    torch.save(
        {"identity": IDENTITY, "state": nn.Linear(1, 1)}, tmp_path / "step-00000005/state.pt"
    )
    with pytest.raises(WeightsError, match="cannot resume from"):
        load_checkpoint(tmp_path, IDENTITY, CPU)


def test_nothing_to_resume_and_another_run(tmp_path):
    with pytest.raises(UsageError, match="nothing to resume"):
        load_checkpoint(tmp_path / "gone", IDENTITY, CPU)
    save(tmp_path, checkpoint(5))
    with pytest.raises(UsageError, match="cannot resume: seed was 0 and is now 1"):
        load_checkpoint(tmp_path, {**IDENTITY, "seed": 1}, CPU)
    discard(tmp_path)
    discard(tmp_path)
    assert newest(tmp_path) is None


def counter(value):
    module = nn.Linear(1, 1)
    nn.init.constant_(module.weight, value)
    return module


def test_the_guard_goes_back_to_what_it_kept(monkeypatch):
    monkeypatch.setattr(guard, "_KEEP_EVERY", 10)
    module = counter(1)
    keeper = Guard({"model": module})
    nn.init.constant_(module.weight, 2)
    keeper.after_good_step(9)
    note = keeper.go_back(9, "loss nan")
    assert module.weight.item() == 1
    assert note.startswith("step 9: loss nan; back to the weights of step 0, at 0.5 times")
    nn.init.constant_(module.weight, 3)
    keeper.after_good_step(10)
    for rate in (0.25, 0.125):
        nn.init.constant_(module.weight, float("nan"))
        assert "of step 10" in keeper.go_back(12, "loss nan")
        assert (module.weight.item(), keeper.rate) == (3, rate)
    assert keeper.num_returns == 3


def test_the_guard_gives_up_and_forgives(monkeypatch):
    monkeypatch.setattr(guard, "_FORGIVEN_AFTER", 3)
    keeper = Guard({"model": counter(1)})
    for _ in range(5):
        keeper.go_back(1, "loss nan")
    for step in (1, 2, 3):
        keeper.after_good_step(step)
    assert keeper.num_returns == 0
    for _ in range(5):
        keeper.go_back(4, "loss nan")
    with pytest.raises(StsrError, match="training diverged at step 4: loss inf again after 5"):
        keeper.go_back(4, "loss inf")


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("num_processes", [1, 2, 4])
def test_processes_share_each_step_without_gap_or_overlap(num_processes, accumulate):
    shares = [Share(rank, num_processes, accumulate) for rank in range(num_processes)]
    for step in (0, 1, 7):
        indexes = range(step * accumulate, (step + 1) * accumulate)
        places = [share.place(index) for share in shares for index in indexes]
        assert {place[0] for place in places} == {step}
        assert sorted(turn for _, turn in places) == list(range(num_processes * accumulate))


def test_one_process_takes_one_batch_a_step():
    assert [Share().place(index) for index in range(3)] == [(0, 0), (1, 0), (2, 0)]
    assert [Share(1, 2, 2).place(index) for index in range(4)] == [(0, 1), (0, 3), (1, 1), (1, 3)]


def test_a_checkpoint_from_before_an_option_was_known_is_one_without_it(tmp_path):
    save(tmp_path, checkpoint(5))
    assert load_checkpoint(tmp_path, {**IDENTITY, "made_share": 0.0}, CPU).step == 5
    with pytest.raises(UsageError, match=r"made_share was 0.0 and is now 0.5"):
        load_checkpoint(tmp_path, {**IDENTITY, "made_share": 0.5}, CPU)
