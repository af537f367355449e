"""Training data: which frames count as motion, what degradation does, what a sample holds."""

import av
import numpy as np
import pytest
import torch

from stsr_cli.data import degrade, find_triplets, split
from stsr_cli.errors import InputError
from stsr_cli.ops import imresize

# Which frames make a triplet


def test_even_motion_makes_triplets(textures):
    assert find_triplets(textures([0, 1, 2, 3, 4])).tolist() == [0, 1, 2]


def test_a_still_picture_makes_none(textures):
    assert find_triplets(textures([0] * 6)).tolist() == []


def test_a_repeated_frame_spoils_its_triplets(textures):
    assert find_triplets(textures([0, 1, 2, 2, 3, 4, 5])).tolist() == [0, 3, 4]


def test_a_cut_spoils_its_triplets(textures):
    frames = np.concatenate([textures([0, 1, 2]), 255 - textures([0, 1, 2]) // 4])
    assert find_triplets(frames).tolist() == [0, 3]


def test_uneven_motion_makes_none(textures):
    assert find_triplets(textures([0, 1, 4, 5, 8])).tolist() == []


@pytest.mark.parametrize("num_frames", [1, 2])
def test_too_few_frames_make_none(num_frames, textures):
    assert find_triplets(textures(range(num_frames))).tolist() == []


def test_dark_and_bright_differences_count_alike(textures):
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


def test_a_video(make_clip, load):
    source = make_clip("in.mkv", num_frames=6, width=66, height=50, codec="ffv1", pix_fmt="bgr0")
    told = []
    (clip,) = load(source, on_source=lambda *done: told.append(done))
    assert told == [(1, 1)]
    with av.open(str(source)) as container:
        frames = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    assert clip.name == "in.mkv"
    assert np.array_equal(clip.hr_frames, frames[:, :48, :64]), "cropped to a multiple of the scale"
    assert np.array_equal(clip.lr_frames, degrade(frames[:, :48, :64], 4))
    assert clip.starts.tolist() == [0, 1, 2, 3]


def test_unlabeled_footage_is_used_as_it_is(make_clip, load):
    source = make_clip("in.mkv", num_frames=4, width=66, height=50, codec="ffv1", pix_fmt="bgr0")
    (clip,) = load(source, is_labeled=False)
    assert clip.hr_frames is None
    assert clip.lr_frames.shape == (4, 50, 66, 3)


def test_a_folder_of_mixed_sizes(tmp_path, textures, write_images, load):
    moving, still = textures([0, 1, 2, 3]), textures([0, 7], 32, 40)
    write_images(tmp_path / "frames", [*moving, *still])
    write_images(tmp_path / "frames" / "deeper", textures([0], 16, 16))
    clips = load(tmp_path / "frames")
    shapes = {clip.name: clip.hr_frames.shape for clip in clips}
    assert len(shapes) == 3
    assert sorted(shapes.values()) == [(1, 16, 16, 3), (2, 32, 40, 3), (4, 48, 64, 3)]
    for clip in clips:
        assert not len(clip.starts), "of frames of differing sizes no order is known"
        if len(clip.lr_frames) == 4:
            assert np.array_equal(clip.hr_frames, moving)
            assert "frames of differing sizes 64x48 and 40x32" in clip.why_still


def test_images_smaller_than_one_pixel_of_theirs_do_not_end_the_run(
    tmp_path, textures, write_images, load
):
    write_images(tmp_path / "frames", [*textures([0, 1, 2, 3]), *textures([0], 3, 3)])
    clips = load(tmp_path / "frames")
    assert sum(len(clip.lr_frames) for clip in clips if min(clip.lr_frames.shape[1:3])) == 4


def test_one_broken_image_does_not_cost_its_folder(tmp_path, textures, write_images, load):
    write_images(tmp_path / "frames", textures(range(24)))
    (tmp_path / "frames" / "011.png").write_bytes(b"broken")
    (clip,) = load(tmp_path / "frames")
    assert len(clip.lr_frames) == 23


def test_a_list_says_where_triplets_start(make_clip, tmp_path, load):
    make_clip("a.mp4", num_frames=8)
    make_clip("b.mp4", num_frames=8)
    (tmp_path / "list.txt").write_text("a.mp4\t4\na.mp4\t1\nb.mp4\t7\nb.mp4\t5\n")
    a, b = load(tmp_path / "list.txt")
    assert sorted(a.starts.tolist()) == [1, 4]
    assert b.starts.tolist() == [5], "a triplet must not end after the clip"


@pytest.mark.parametrize("line", ["a.mp4 3", "a.mp4\t-1", "a.mp4\tx", "a.mp4\t1\t2"])
def test_a_list_with_a_bad_line(make_clip, tmp_path, line, load):
    make_clip("a.mp4")
    (tmp_path / "list.txt").write_text(f"a.mp4\t0\n{line}\n")
    with pytest.raises(InputError, match="line 2"):
        load(tmp_path / "list.txt")


def test_a_list_that_names_a_missing_video(tmp_path, load):
    (tmp_path / "list.txt").write_text("gone.mp4\t0\n")
    with pytest.raises(InputError, match=r"gone\.mp4"):
        load(tmp_path / "list.txt")


def test_deep_colour_becomes_eight_bits(make_clip, load):
    source = make_clip("in.mkv", num_frames=3, codec="ffv1", pix_fmt="yuv444p10le")
    plain = make_clip("plain.mkv", num_frames=3, codec="ffv1", pix_fmt="yuv444p")
    (deep,), (shallow,) = load(source), load(plain)
    deep, shallow = np.array(deep.hr_frames), np.array(shallow.hr_frames)
    assert deep.dtype == np.uint8
    assert np.abs(deep.astype(int) - shallow).max() <= 2


@pytest.mark.parametrize(("num_good", "is_enough"), [(20, True), (18, False), (0, False)])
def test_a_broken_video_among_many_is_skipped(make_clip, tmp_path, num_good, is_enough, load):
    folder = tmp_path / "clips"
    folder.mkdir()
    clip = make_clip("clip.mp4", num_frames=3, width=32, height=32)
    for index in range(num_good):
        (folder / f"{index}.mp4").write_bytes(clip.read_bytes())
    (folder / "broken.mp4").write_bytes(clip.read_bytes()[:500])
    if is_enough:
        assert len(load(folder)) == num_good
    else:
        with pytest.raises(InputError, match=rf"1 of {num_good + 1} .*broken\.mp4"):
            load(folder)


def test_nothing_to_load(tmp_path, load):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.md").write_text("no video")
    with pytest.raises(InputError, match="empty"):
        load(tmp_path / "empty")
    with pytest.raises(InputError, match="gone"):
        load(tmp_path / "gone")


# Training and validation


def identities(clips):
    """(clip, frame number) of every frame."""
    return {(clip.name, int(frame[0, 0, 0])) for clip in clips for frame in clip.lr_frames}


@pytest.mark.parametrize("num_clips", [1, 3, 100])
def test_split_is_disjoint_complete_and_repeatable(num_clips, numbered_clip):
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


def test_single_images_are_not_in_both_parts(numbered_clip):
    """A folder of pictures of different sizes: each is a clip of its own."""
    clips = [numbered_clip(f"photos/{8 + i}x8", 1, (8, 8 + i)) for i in range(6)]
    training, validation = split(clips)
    assert training
    assert not identities(training) & identities(validation)
