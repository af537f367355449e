"""Batches: what a sample shows, what it depends on, and the processes that make it."""

import itertools
import os
import pickle
import signal
import time
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from stsr_cli.data import Clip
from stsr_cli.errors import InputError, StsrError, UsageError
from stsr_cli.ops import imresize
from stsr_cli.training.sampling import BatchSource, Sampler, batches, concatenate, strided


@pytest.fixture
def sampler(numbered_clip):
    clips = [numbered_clip("a", 9, (20, 24)), numbered_clip("b", 5, (16, 60))]
    return Sampler(clips, scale=4, crop=12, seed=7)


def test_low_and_high_resolution_crops_show_the_same_place(sampler):
    """Through every flip and transposition; 64 samples have all sixteen combinations."""
    batch = sampler.triplets(0, 64)
    assert batch.is_labeled.tolist() == [True] * 64
    for lr_frames, hr_frames in zip(batch.lr_frames, batch.hr_frames, strict=True):
        assert lr_frames.shape == (64, 3, 12, 12)
        assert hr_frames.shape == (64, 3, 48, 48)
        lr = (lr_frames * 255).round().int().repeat_interleave(4, 2).repeat_interleave(4, 3)
        hr = (hr_frames * 255).round().int()
        assert torch.equal(hr[:, 0], lr[:, 0])
        assert torch.equal(hr[:, 1:] // 4 * 4, lr[:, 1:])


def test_crops_are_cut_out_of_the_degraded_frame(make_clip, load):
    """Inside, where the borders' handling does not reach, a crop equals the degraded crop."""
    (clip,) = load(make_clip("in.mp4", num_frames=4, width=160, height=128))
    batch = Sampler([clip], scale=4, crop=20, seed=0).singles(0, 8)
    lr, hr = batch.lr_frames[0], batch.hr_frames[0]
    degraded = imresize(hr, (20, 20))
    assert (degraded - lr)[..., 3:-3, 3:-3].abs().max() <= 0.51 / 255
    assert lr.std() > 0.05


def test_triplets_are_neighbours_in_either_order(sampler):
    batch = sampler.triplets(3, 64)
    numbers = torch.stack([frames[:, 0, 0, 0] for frames in batch.lr_frames]) * 255
    steps = (numbers[1:] - numbers[:-1]).round()
    assert torch.equal(steps[0], steps[1])
    assert set(steps[0].tolist()) == {-1.0, 1.0}


def test_strides_up_to_the_largest_the_smaller_the_more_often(numbered_clip):
    """A clip of ten frames has triplets three apart; one of five frames has them two apart at most."""
    clips = [numbered_clip("long", 10, (16, 16)), numbered_clip("short", 5, (16, 16))]
    sampler = Sampler(clips, scale=4, crop=12, seed=0, max_stride=3)
    batch = sampler.triplets(0, 400)
    numbers = torch.stack([frames[:, 0, 0, 0] for frames in batch.lr_frames]) * 255
    steps = (numbers[1:] - numbers[:-1]).round()
    assert torch.equal(steps[0], steps[1])
    counts = {stride: int((steps[0].abs() == stride).sum()) for stride in (1, 2, 3)}
    assert sum(counts.values()) == 400
    assert counts[1] == pytest.approx(400 * 6 / 11, abs=50)
    assert counts[2] == pytest.approx(400 * 3 / 11, abs=50)


def test_a_stride_does_not_reach_over_a_cut():
    frames = np.zeros((12, 16, 16, 3), np.uint8)
    starts = np.array([0, 1, 2, 6, 7, 8, 9])  # a cut between frames 4 and 6
    clip = Clip("cut", frames, None, starts)
    assert strided(clip, 2).tolist() == [0, 6, 7]
    assert strided(clip, 3).tolist() == []
    assert strided(Clip("short", frames[:3], None, np.array([0])), 2).tolist() == []


def test_a_stride_that_no_clip_has_is_never_drawn(sampler):
    longer = Sampler(sampler.moving, scale=4, crop=12, seed=7, max_stride=9)
    batch = longer.triplets(0, 64)
    numbers = torch.stack([frames[:, 0, 0, 0] for frames in batch.lr_frames]) * 255
    assert 1 < (numbers[1] - numbers[0]).abs().max().round() <= 4


def test_crops_come_from_everywhere(sampler):
    rows = sampler.triplets(0, 300).lr_frames[0][:, 1] * 255 / 4
    assert rows.amin().round() == 0
    assert rows.amax().round() == 19


def tensors(batch):
    return [*batch.lr_frames, *batch.hr_frames, batch.is_labeled]


@pytest.mark.parametrize("kind", ["triplets", "singles"])
def test_a_batch_is_a_function_of_seed_and_step(kind, numbered_clip):
    clips = [numbered_clip("a", 9, (20, 24))]

    def sample(seed, step):
        return tensors(getattr(Sampler(clips, scale=4, crop=12, seed=seed), kind)(step, 4))

    used = Sampler(clips, scale=4, crop=12, seed=1)
    for step in (9, 2, 5):
        used.triplets(step, 3)
    torch.manual_seed(5)
    np.random.seed(5)
    for actual, expected in zip(tensors(getattr(used, kind)(5, 4)), sample(1, 5), strict=True):
        assert torch.equal(actual, expected)
    assert not torch.equal(sample(1, 6)[0], sample(1, 5)[0])
    assert not torch.equal(sample(2, 5)[0], sample(1, 5)[0])


def test_unlabeled_samples_have_no_high_resolution(sampler, numbered_clip):
    clips = [numbered_clip("u", 6, (16, 16), is_labeled=False)]
    unlabeled = Sampler(clips, scale=4, crop=12, seed=0).triplets(0, 2)
    assert unlabeled.is_labeled.tolist() == [False, False]
    assert all(frames.shape == (2, 3, 48, 48) for frames in unlabeled.hr_frames)
    assert not any(frames.any() for frames in unlabeled.hr_frames)
    labeled = sampler.triplets(0, 3)
    both = concatenate(labeled, unlabeled)
    assert both.is_labeled.tolist() == [True, True, True, False, False]
    assert torch.equal(both.lr_frames[1], torch.cat([labeled.lr_frames[1], unlabeled.lr_frames[1]]))
    assert torch.equal(both.hr_frames[2][:3], labeled.hr_frames[2])


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_share_of_stills(share, numbered_clip):
    moving, still = numbered_clip("moving", 20, (12, 12)), numbered_clip("still", 1, (12, 12))
    still.lr_frames[..., 0] = 200
    still = Clip(still.name, still.lr_frames, still.hr_frames, np.empty(0, np.int64))
    sampler = Sampler([moving, still], scale=4, crop=12, seed=0, stills_share=share)
    (frames,) = sampler.singles(0, 400).lr_frames
    num_stills = int(((frames[:, 0, 0, 0] * 255).round() == 200).sum())
    assert abs(num_stills / 400 - share) < 0.08


def test_frames_too_small_for_the_crop(numbered_clip):
    small, large = numbered_clip("small", 5, (11, 40)), numbered_clip("large", 5, (12, 12))
    with pytest.raises(UsageError, match="--crop"):
        Sampler([small], scale=4, crop=12, seed=0)
    assert Sampler([small, large], scale=4, crop=12, seed=0).triplets(0, 4).lr_frames[0].shape


def test_stills_make_no_triplets(numbered_clip):
    still = numbered_clip("still", 1, (12, 12))
    with pytest.raises(UsageError, match="moving"):
        Sampler([still], scale=4, crop=12, seed=0).triplets(0, 2)


def test_an_error_says_why_there_are_no_triplets(make_clip, load, tmp_path, textures, write_images):
    make_clip("short.mp4", num_frames=2)
    write_images(tmp_path / "mixed", [*textures([0, 1, 2]), *textures([0], 32, 24)])
    clips = load(tmp_path / "short.mp4", tmp_path / "mixed")
    with pytest.raises(
        UsageError, match=r"short\.mp4 has 2 frames; a clip needs at least 3"
    ) as error:
        Sampler(clips, scale=4, crop=4, seed=0).require_triplets()
    assert "folder mixed holds frames of differing sizes 64x48 and 24x32" in str(error.value)
    assert "\n" not in str(error.value)


def test_an_error_says_which_clips_are_smaller_than_a_crop(numbered_clip):
    small, still = numbered_clip("small", 5, (11, 40)), numbered_clip("still", 1, (12, 12))
    with pytest.raises(UsageError, match="small is 40x11, smaller than a crop of 12"):
        Sampler([small, still], scale=4, crop=12, seed=0).require_triplets()
    with pytest.raises(UsageError, match="12x12 low-resolution pixels: the largest are 40x11"):
        Sampler([small], scale=4, crop=12, seed=0)


# Slices of a batch, and the processes that make it


@pytest.mark.parametrize("kind", ["triplets", "singles"])
def test_slices_of_a_batch_are_the_batch(numbered_clip, kind):
    """Two processes with two samples each see what one sees with four."""
    clips = [numbered_clip("a", 9, (20, 24)), numbered_clip("still", 1, (13, 13))]
    take = getattr(Sampler(clips, scale=4, crop=12, seed=3), kind)
    whole, first, second = take(5, 4), take(5, 2), take(5, 2, first=2)
    for all_four, one_two, three_four in zip(*map(tensors, (whole, first, second)), strict=True):
        assert torch.equal(all_four, torch.cat([one_two, three_four]))
    assert not torch.equal(first.lr_frames[0], second.lr_frames[0])


@dataclass(frozen=True)
class Triplets:
    """What a training loop hands to `batches`."""

    sampler: Sampler

    def __call__(self, step):
        return self.sampler.triplets(step, 2)


@dataclass(frozen=True)
class Fault:
    """Numbers, and at step 3 something else."""

    kind: str = ""

    def __call__(self, step):
        if step == 3 and self.kind == "error":
            raise InputError("im3.png is damaged")
        if step == 3 and self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        return (step, os.getpid())


@pytest.mark.parametrize("first_step", [0, 7])
def test_any_number_of_workers_makes_the_same_batches(load, make_clip, first_step):
    clips = load(make_clip(num_frames=8))
    make = Triplets(Sampler(clips, scale=4, crop=8, seed=1))
    state = torch.get_rng_state()
    made = {
        num_workers: list(itertools.islice(batches(make, first_step, num_workers), 5))
        for num_workers in (0, 2)
    }
    assert torch.equal(torch.get_rng_state(), state), "the run's random numbers are not touched"
    for step, here, there in zip(itertools.count(first_step), made[0], made[2], strict=False):
        for expected, a, b in zip(*map(tensors, (make(step), here, there)), strict=True):
            assert torch.equal(a, expected)
            assert torch.equal(b, expected)
            assert a.stride() == b.stride()


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_more_workers_than_processors_are_no_warning():
    made = batches(Fault(), 0, 2 * (os.cpu_count() or 1) + 1)
    assert [next(made)[0] for _ in range(4)] == [0, 1, 2, 3]
    made.close()


@pytest.mark.posix
def test_workers_end_with_the_iterator_and_ignore_ctrl_c():
    made = batches(Fault(), 0, 2)
    pids = {next(made)[1], next(made)[1]}
    assert len(pids) == 2
    assert os.getpid() not in pids
    for pid in pids:
        os.kill(pid, signal.SIGINT)
    assert [next(made)[0] for _ in range(6)] == list(range(2, 8))
    began = time.monotonic()
    made.close()
    assert not any(map(is_running, pids))
    assert time.monotonic() - began < 4


def test_an_error_in_a_worker_is_one_line():
    made = batches(Fault("error"), 0, 2)
    with pytest.raises(InputError) as error:
        list(made)
    assert str(error.value) == "im3.png is damaged"


def test_a_worker_that_dies_is_one_line():
    with pytest.raises(StsrError, match=r"died.*--workers") as error:
        list(batches(Fault("kill"), 0, 1))
    assert "\n" not in str(error.value)


def test_a_batch_source_makes_what_is_asked_for():
    assert BatchSource(Fault())[12] == (12, os.getpid())


@pytest.mark.posix
def test_a_clip_is_pickled_by_name(load, make_clip):
    """Its pixels are not in it, and a part of it stays that part."""
    (clip,) = load(make_clip(num_frames=40, width=256, height=192))
    assert clip.hr_frames[0:].shape[0] * 256 * 192 * 3 > 10**6
    part = Clip("part", clip.lr_frames[3:9], clip.hr_frames[3:9], clip.starts)
    for original in (clip, part):
        pickled = pickle.dumps(original)
        assert len(pickled) < 10_000
        copy = pickle.loads(pickled)
        assert np.array_equal(copy.hr_frames, original.hr_frames)
        assert np.array_equal(copy.lr_frames, original.lr_frames)
    pickled = pickle.dumps(part)
    clip.lr_frames.file.unlink()
    assert np.array(part.lr_frames).any(), "what is mapped stays"
    with pytest.raises(StsrError, match="--cache"):
        pickle.loads(pickled)
