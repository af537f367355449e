"""Training data: which frames count as motion, what degradation does, what a sample holds."""

import os
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from stsr_cli.data import Clip, degrade, find_triplets, load_clips, split
from stsr_cli.errors import InputError, StsrError, UsageError
from stsr_cli.ops import imresize
from stsr_cli.training.sampling import Sampler, concatenate


def textures(positions, height=48, width=64):
    """Frames of a texture that has moved so many pixels to the right."""
    y, x = np.mgrid[0:height, 0:width]
    frames = [
        128 + 60 * np.sin((x - position) / 3)[..., None] * np.cos(y / 5)[..., None] * np.ones(3)
        for position in positions
    ]
    return np.stack(frames).round().astype(np.uint8)


def write_images(folder, frames, names=None):
    folder.mkdir(parents=True, exist_ok=True)
    for index, pixels in enumerate(frames):
        path = folder / (names[index] if names else f"{index:03d}.png")
        with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
            stream = container.add_stream("png", rate=1)
            stream.height, stream.width, stream.pix_fmt = *pixels.shape[:2], "rgb24"
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))


def load(path, tmp_path, **options):
    wishes = {"scale": 4, "is_labeled": True, "cache": tmp_path / "cache", **options}
    return load_clips([path] if isinstance(path, Path) else path, **wishes)


# Which frames make a triplet


def test_even_motion_makes_triplets():
    assert find_triplets(textures([0, 1, 2, 3, 4])).tolist() == [0, 1, 2]


def test_a_still_picture_makes_none():
    assert find_triplets(textures([0] * 6)).tolist() == []


def test_a_repeated_frame_spoils_its_triplets():
    assert find_triplets(textures([0, 1, 2, 2, 3, 4, 5])).tolist() == [0, 3, 4]


def test_a_cut_spoils_its_triplets():
    frames = np.concatenate([textures([0, 1, 2]), 255 - textures([0, 1, 2]) // 4])
    assert find_triplets(frames).tolist() == [0, 3]


def test_uneven_motion_makes_none():
    assert find_triplets(textures([0, 1, 4, 5, 8])).tolist() == []


@pytest.mark.parametrize("num_frames", [1, 2])
def test_too_few_frames_make_none(num_frames):
    assert find_triplets(textures(range(num_frames))).tolist() == []


def test_dark_and_bright_differences_count_alike():
    """Differences of unsigned numbers must not wrap around."""
    frames = textures([0, 1, 2, 3])
    assert find_triplets(frames[::-1]).tolist() == find_triplets(255 - frames).tolist() == [0, 1]


# Degradation


def test_degrade_is_the_bicubic_of_the_whole_frame():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), np.uint8)
    exact = imresize(torch.from_numpy(pixels / 255).movedim(-1, -3), (8, 12)).movedim(-3, -1)
    expected = exact.clamp(0, 1) * 255
    actual = degrade(pixels, 4)
    assert actual.shape == (2, 8, 12, 3)
    assert actual.dtype == np.uint8
    assert np.abs(actual - expected.numpy()).max() <= 0.501


def test_degrade_keeps_a_flat_picture():
    assert np.all(degrade(np.full((1, 16, 16, 3), 200, np.uint8), 4) == 200)


# Loading


def test_a_video(make_clip, tmp_path):
    source = make_clip("in.mkv", num_frames=6, width=66, height=50, codec="ffv1", pix_fmt="bgr0")
    told = []
    (clip,) = load(source, tmp_path, on_source=lambda *done: told.append(done))
    assert told == [(1, 1)]
    with av.open(str(source)) as container:
        frames = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    assert clip.name == "in.mkv"
    assert np.array_equal(clip.hr_frames, frames[:, :48, :64]), "cropped to a multiple of the scale"
    assert np.array_equal(clip.lr_frames, degrade(frames[:, :48, :64], 4))
    assert clip.starts.tolist() == [0, 1, 2, 3]


def test_unlabeled_footage_is_used_as_it_is(make_clip, tmp_path):
    source = make_clip("in.mkv", num_frames=4, width=66, height=50, codec="ffv1", pix_fmt="bgr0")
    (clip,) = load(source, tmp_path, is_labeled=False)
    assert clip.hr_frames is None
    assert clip.lr_frames.shape == (4, 50, 66, 3)


def test_a_folder_of_mixed_sizes(tmp_path):
    moving, still = textures([0, 1, 2, 3]), textures([0, 7], 32, 40)
    write_images(tmp_path / "frames", [*moving, *still])
    write_images(tmp_path / "frames" / "deeper", textures([0], 16, 16))
    clips = load(tmp_path / "frames", tmp_path)
    shapes = {clip.name: clip.hr_frames.shape for clip in clips}
    assert len(shapes) == 3
    assert sorted(shapes.values()) == [(1, 16, 16, 3), (2, 32, 40, 3), (4, 48, 64, 3)]
    for clip in clips:
        if len(clip.lr_frames) == 4:
            assert np.array_equal(clip.hr_frames, moving)
            assert clip.starts.tolist() == [0, 1]
        else:
            assert not len(clip.starts)


def test_images_smaller_than_one_pixel_of_theirs_do_not_end_the_run(tmp_path):
    write_images(tmp_path / "frames", [*textures([0, 1, 2, 3]), *textures([0], 3, 3)])
    clips = load(tmp_path / "frames", tmp_path)
    assert sum(len(clip.lr_frames) for clip in clips if min(clip.lr_frames.shape[1:3])) == 4


def test_one_broken_image_does_not_cost_its_folder(tmp_path):
    write_images(tmp_path / "frames", textures(range(24)))
    (tmp_path / "frames" / "011.png").write_bytes(b"broken")
    (clip,) = load(tmp_path / "frames", tmp_path)
    assert len(clip.lr_frames) == 23


def test_a_list_says_where_triplets_start(make_clip, tmp_path):
    make_clip("a.mp4", num_frames=8)
    make_clip("b.mp4", num_frames=8)
    (tmp_path / "list.txt").write_text("a.mp4\t4\na.mp4\t1\nb.mp4\t7\nb.mp4\t5\n")
    a, b = load(tmp_path / "list.txt", tmp_path)
    assert sorted(a.starts.tolist()) == [1, 4]
    assert b.starts.tolist() == [5], "a triplet must not end after the clip"


@pytest.mark.parametrize("line", ["a.mp4 3", "a.mp4\t-1", "a.mp4\tx", "a.mp4\t1\t2"])
def test_a_list_with_a_bad_line(make_clip, tmp_path, line):
    make_clip("a.mp4")
    (tmp_path / "list.txt").write_text(f"a.mp4\t0\n{line}\n")
    with pytest.raises(InputError, match="line 2"):
        load(tmp_path / "list.txt", tmp_path)


def test_a_list_that_names_a_missing_video(tmp_path):
    (tmp_path / "list.txt").write_text("gone.mp4\t0\n")
    with pytest.raises(InputError, match=r"gone\.mp4"):
        load(tmp_path / "list.txt", tmp_path)


def test_what_was_decoded_once_is_not_decoded_again(make_clip, tmp_path, monkeypatch):
    source = make_clip(num_frames=4)
    (first,) = load(source, tmp_path)

    def refuse(_):
        raise AssertionError("decoded a second time")

    with monkeypatch.context() as patch:
        patch.setattr("stsr_cli.data.read_frames", refuse)
        (second,) = load(source, tmp_path)
    assert np.array_equal(first.hr_frames, second.hr_frames)
    assert np.array_equal(first.starts, second.starts)


def test_a_changed_video_is_decoded_again(make_clip, tmp_path):
    source = make_clip(num_frames=4)
    load(source, tmp_path)
    time = source.stat().st_mtime_ns + 10**9
    make_clip(num_frames=5)
    os.utime(source, ns=(time, time))
    (clip,) = load(source, tmp_path)
    assert len(clip.lr_frames) == 5


def test_long_videos_give_their_first_frames(make_clip, tmp_path):
    source = make_clip(num_frames=12)
    one_frame = 64 * 48 * 3
    (clip,) = load(source, tmp_path, cache_gib=5.5 * one_frame * 17 / 16 / 2**30)
    assert len(clip.lr_frames) == 5
    (whole,) = load(source, tmp_path)
    assert len(whole.lr_frames) == 12
    assert np.array_equal(whole.lr_frames[:5], clip.lr_frames)


def test_deep_colour_becomes_eight_bits(make_clip, tmp_path):
    source = make_clip("in.mkv", num_frames=3, codec="ffv1", pix_fmt="yuv444p10le")
    plain = make_clip("plain.mkv", num_frames=3, codec="ffv1", pix_fmt="yuv444p")
    (deep,), (shallow,) = load(source, tmp_path), load(plain, tmp_path)
    assert deep.hr_frames.dtype == np.uint8
    assert np.abs(deep.hr_frames.astype(int) - shallow.hr_frames).max() <= 2


@pytest.mark.parametrize(("num_good", "is_enough"), [(20, True), (18, False), (0, False)])
def test_a_broken_video_among_many_is_skipped(make_clip, tmp_path, num_good, is_enough):
    folder = tmp_path / "clips"
    folder.mkdir()
    clip = make_clip("clip.mp4", num_frames=3, width=32, height=32)
    for index in range(num_good):
        (folder / f"{index}.mp4").write_bytes(clip.read_bytes())
    (folder / "broken.mp4").write_bytes(clip.read_bytes()[:500])
    if is_enough:
        assert len(load(folder, tmp_path)) == num_good
    else:
        with pytest.raises(InputError, match=rf"1 of {num_good + 1} .*broken\.mp4"):
            load(folder, tmp_path)


def test_nothing_to_load(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.md").write_text("no video")
    with pytest.raises(InputError, match="empty"):
        load(tmp_path / "empty", tmp_path)
    with pytest.raises(InputError, match="gone"):
        load(tmp_path / "gone", tmp_path)


def test_a_cache_that_cannot_be_written(make_clip, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StsrError, match="--cache"):
        load(make_clip(num_frames=3), tmp_path, cache=tmp_path / "file")


def test_a_failed_decode_leaves_no_part_in_the_cache(make_clip, tmp_path):
    source = make_clip()
    source.write_bytes(source.read_bytes()[:600])
    with pytest.raises(InputError):
        load(source, tmp_path)
    assert list((tmp_path / "cache").iterdir()) == []


# Training and validation


def numbered_clip(name, num_frames, size=(8, 8), is_labeled=True):
    """Pixels say where they are: frame number, row and column of the high-resolution frame."""
    height, width = size
    y, x = np.mgrid[0 : 4 * height, 0 : 4 * width]
    hr_frames = np.stack([np.stack([y * 0 + i, y, x], -1) for i in range(num_frames)])
    hr_frames = hr_frames.astype(np.uint8)
    starts = np.arange(max(num_frames - 2, 0))
    return Clip(name, hr_frames[:, ::4, ::4], hr_frames if is_labeled else None, starts)


def identities(clips):
    """(clip, frame number) of every frame."""
    return {(clip.name, int(frame[0, 0, 0])) for clip in clips for frame in clip.lr_frames}


@pytest.mark.parametrize("num_clips", [1, 3, 100])
def test_split_is_disjoint_complete_and_repeatable(num_clips):
    clips = [numbered_clip(f"clip{index}.mp4", 24) for index in range(num_clips)]
    training, validation = split(clips)
    assert not identities(training) & identities(validation)
    assert identities(training) | identities(validation) == identities(clips)
    assert 0 < len(identities(validation)) < 0.25 * len(identities(clips))
    again = split(list(reversed(clips)))
    assert [identities(part) for part in again] == [identities(training), identities(validation)]
    for clip in [*training, *validation]:
        assert len(clip.starts)
        for start in clip.starts:
            assert 0 <= start <= len(clip.lr_frames) - 3
        assert np.array_equal(clip.hr_frames[:, 0, 0, 0], clip.lr_frames[:, 0, 0, 0])


def test_single_images_are_not_in_both_parts():
    """A folder of pictures of different sizes: each is a clip of its own."""
    clips = [numbered_clip(f"photos/{8 + i}x8", 1, (8, 8 + i)) for i in range(6)]
    training, validation = split(clips)
    assert training
    assert not identities(training) & identities(validation)


# Samples


@pytest.fixture
def sampler():
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


def test_crops_are_cut_out_of_the_degraded_frame(make_clip, tmp_path):
    """Inside, where the borders' handling does not reach, a crop equals the degraded crop."""
    (clip,) = load(make_clip("in.mp4", num_frames=4, width=160, height=128), tmp_path)
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


def test_crops_come_from_everywhere(sampler):
    rows = sampler.triplets(0, 300).lr_frames[0][:, 1] * 255 / 4
    assert rows.amin().round() == 0
    assert rows.amax().round() == 19


def tensors(batch):
    return [*batch.lr_frames, *batch.hr_frames, batch.is_labeled]


@pytest.mark.parametrize("kind", ["triplets", "singles"])
def test_a_batch_is_a_function_of_seed_and_step(kind):
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


def test_unlabeled_samples_have_no_high_resolution(sampler):
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
def test_share_of_stills(share):
    moving, still = numbered_clip("moving", 20, (12, 12)), numbered_clip("still", 1, (12, 12))
    still.lr_frames[..., 0] = 200
    still = Clip(still.name, still.lr_frames, still.hr_frames, np.empty(0, np.int64))
    sampler = Sampler([moving, still], scale=4, crop=12, seed=0, stills_share=share)
    (frames,) = sampler.singles(0, 400).lr_frames
    num_stills = int(((frames[:, 0, 0, 0] * 255).round() == 200).sum())
    assert abs(num_stills / 400 - share) < 0.08


def test_frames_too_small_for_the_crop():
    small, large = numbered_clip("small", 5, (11, 40)), numbered_clip("large", 5, (12, 12))
    with pytest.raises(UsageError, match="--crop"):
        Sampler([small], scale=4, crop=12, seed=0)
    assert Sampler([small, large], scale=4, crop=12, seed=0).triplets(0, 4).lr_frames[0].shape


def test_stills_make_no_triplets():
    still = numbered_clip("still", 1, (12, 12))
    with pytest.raises(UsageError, match="moving"):
        Sampler([still], scale=4, crop=12, seed=0).triplets(0, 2)
