"""Decoded frames on disk: decoded once, bounded, shared by runs; images that stay in their files."""

import os
import pickle
import time

import numpy as np
import pytest

from stsr_cli.data import degrade
from stsr_cli.data.cache import FrameCache
from stsr_cli.errors import InputError, StsrError
from stsr_cli.training.sampling import Sampler

FRAME = 64 * 48 * 3 * 17 / 16  # bytes of a decoded frame of a made clip


def gib(num_frames):
    """A bound that leaves room for so many frames, and a bit."""
    return (num_frames + 0.5) * FRAME / 0.98 / 2**30


# Once is enough


def test_a_second_start_decodes_nothing(make_clip, write_images, textures, load, tmp_path, decoded):
    make_clip("b.mp4", num_frames=4)
    write_images(tmp_path / "x", textures([0, 1, 2]))
    paths = tmp_path / "b.mp4", tmp_path / "x"
    first = load(*paths)
    assert sorted({*decoded}) == ["000.png", "001.png", "002.png", "b.mp4"]
    decoded.clear()
    second = load(*paths)
    assert decoded == []
    for one, other in zip(first, second, strict=True):
        assert one.name == other.name
        assert np.array_equal(one.hr_frames, other.hr_frames)
        assert np.array_equal(one.starts, other.starts)


def test_what_is_broken_is_remembered(load, tmp_path, decoded):
    (tmp_path / "broken.mp4").write_bytes(b"broken")
    for _ in range(2):
        told = []
        with pytest.raises(InputError, match=r"1 of 1 .*broken\.mp4"):
            load(tmp_path / "broken.mp4", on_broken=told.append)
        assert len(told) == 1
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_changed_video_is_decoded_again(make_clip, load):
    source = make_clip(num_frames=4)
    load(source)
    changed = source.stat().st_mtime_ns + 10**9
    make_clip(num_frames=5)
    os.utime(source, ns=(changed, changed))
    (clip,) = load(source)
    assert len(clip.lr_frames) == 5


@pytest.mark.parametrize("damage", ["vanished", "cut", "no record", "half a record"])
@pytest.mark.posix
def test_a_damaged_entry_is_made_again(make_clip, load, tmp_path, damage):
    source = make_clip(num_frames=4)
    (first,) = load(source)
    expected = np.array(first.hr_frames)
    (entry,) = (tmp_path / "cache").iterdir()
    if damage == "vanished":
        entry.rename(tmp_path / "elsewhere")
    elif damage == "cut":
        os.truncate(entry / "0-hr.raw", 1000)
    elif damage == "no record":
        (entry / "records.json").unlink()
    else:
        (entry / "records.json").write_text('[{"groups": [')
    (second,) = load(source)
    assert np.array_equal(second.hr_frames, expected)


def test_a_video_that_fits_is_the_same_entry_beside_others(make_clip, load, decoded):
    a, b = make_clip("a.mp4", num_frames=4), make_clip("b.mp4", num_frames=4)
    load(a)
    decoded.clear()
    assert [clip.name for clip in load(a, b)] == ["a.mp4", "b.mp4"]
    assert decoded == ["b.mp4"]


# Videos that are longer than their share


@pytest.mark.parametrize("name", ["in.mp4", "in.mkv"])
def test_a_long_video_gives_segments_spread_over_it(make_clip, load, name):
    source = make_clip(name, num_frames=200, options={"g": "10", "crf": "1"})
    (whole,) = load(source)
    assert len(whole.lr_frames) == 200
    (clip,) = load(source, cache_gib=gib(75))
    assert len(clip.lr_frames) == 75
    numbers = [
        int(np.abs(np.array(whole.lr_frames).astype(int) - frame).sum((1, 2, 3)).argmin())
        for frame in np.array(clip.lr_frames)
    ]
    assert numbers == [*range(25), *range(66, 91), *range(133, 158)]
    assert clip.starts.tolist() == [*range(23), *range(25, 48), *range(50, 73)]


def test_a_long_video_gives_listed_triplets_spread_over_it(make_clip, load, tmp_path):
    make_clip("in.mp4", num_frames=120)
    starts = [*range(50), 60, 70, 80, 117]
    (tmp_path / "list.txt").write_text("".join(f"in.mp4\t{start}\n" for start in starts))
    (clip,) = load(tmp_path / "list.txt", cache_gib=gib(48))
    (whole,) = load(tmp_path / "in.mp4")
    assert 40 <= len(clip.lr_frames) <= 48
    assert len(clip.starts) == 36
    last = np.array(clip.lr_frames)[clip.starts[-1]]
    assert np.array_equal(last, whole.lr_frames[117]), "the last triplet of the list"


# The bound


def entries(cache):
    return {path.name for path in cache.iterdir()}


def size_of(cache):
    return sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())


@pytest.mark.posix
def test_the_least_recently_used_entries_make_room(make_clip, load, tmp_path):
    cache, bound = tmp_path / "cache", gib(20)
    paths = [make_clip(f"{index}.mp4", num_frames=8) for index in range(4)]
    (first,) = load(paths[0], cache_gib=bound)
    (oldest,) = entries(cache)
    load(paths[1], cache_gib=bound)
    os.utime(cache / oldest, (time.time() - 60,) * 2)
    load(paths[2], cache_gib=bound)
    assert len(entries(cache)) == 2
    assert oldest not in entries(cache)
    assert np.array(first.hr_frames).any(), "frames that are mapped stay"
    assert size_of(cache) <= bound * 2**30
    load(paths[0], cache_gib=bound)
    assert oldest in entries(cache), "decoded again"


def test_entries_of_this_load_are_not_evicted(make_clip, load, tmp_path, decoded):
    """Even those it comes to later, when the first one is missing and makes room for itself."""
    paths = [make_clip(f"{index}.mp4", num_frames=10) for index in range(3)]
    load(paths[0])
    (first,) = entries(tmp_path / "cache")
    load(*paths)
    (tmp_path / "cache" / first).rename(tmp_path / "gone")
    stranger = make_clip("stranger.mp4", num_frames=10)
    load(stranger)
    decoded.clear()
    load(*paths, cache_gib=gib(31))
    assert decoded == ["0.mp4"]
    decoded.clear()
    load(stranger)
    assert decoded == ["stranger.mp4"]


def test_many_videos_together_keep_the_bound(make_clip, load, tmp_path):
    paths = [make_clip(f"{index}.mp4", num_frames=10 + index) for index in range(4)]
    load(paths[0])
    clips = load(*paths, cache_gib=gib(30))
    assert [len(clip.lr_frames) for clip in clips] == [7] * 4
    assert size_of(tmp_path / "cache") <= gib(30) * 2**30
    assert all(np.array(clip.hr_frames).any() for clip in clips)


def test_a_share_leaves_room_for_other_footage(make_clip, load, decoded):
    bound = {"cache_gib": gib(24), "cache_share": 0.5}
    a, b = make_clip("a.mp4", num_frames=20), make_clip("b.mp4", num_frames=40)
    for _ in range(2):
        (labeled,) = load(a, **bound)
        (unlabeled,) = load(b, is_labeled=False, **bound)
        assert (len(labeled.lr_frames), len(unlabeled.lr_frames)) == (12, 13)
    assert len(decoded) == 2


def test_only_entries_are_evicted(make_clip, load, tmp_path):
    cache = tmp_path / "cache"
    (cache / "photos").mkdir(parents=True)
    (cache / "photos" / "1.png").write_bytes(bytes(10**6))
    load(make_clip(num_frames=4), cache_gib=gib(5))
    assert (cache / "photos" / "1.png").exists()


def test_what_a_killed_run_left_is_removed(tmp_path):
    for name, age in ((".part-old", 7200), (".part-new", 0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0-lr.raw").write_bytes(bytes(1000))
        for path in (tmp_path / name / "0-lr.raw", tmp_path / name):
            os.utime(path, (time.time() - age,) * 2)
    cache = FrameCache(tmp_path, 500)
    with cache.write() as part:
        cache.keep(part, "a" * 32)
    assert entries(tmp_path) == {".part-new", "a" * 32}


def test_two_runs_that_write_the_same_entry(tmp_path):
    one, other = FrameCache(tmp_path, 10**6), FrameCache(tmp_path, 10**6)
    with one.write() as part, other.write() as other_part:
        (part / "x").write_text("one")
        (other_part / "x").write_text("other")
        one.keep(part, "a" * 32)
        other.keep(other_part, "a" * 32)
    assert entries(tmp_path) == {"a" * 32}
    assert (tmp_path / ("a" * 32) / "x").read_text() == "one"


def test_an_entry_that_vanishes_again_and_again(make_clip, load, monkeypatch):
    monkeypatch.setattr(FrameCache, "find", lambda self, key: None)
    with pytest.raises(StsrError, match="--cache"):
        load(make_clip(num_frames=3))


def test_a_cache_that_cannot_be_written(make_clip, load, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StsrError, match="--cache"):
        load(make_clip(num_frames=3), cache=tmp_path / "file")


# Images that do not fit


@pytest.fixture
def folders(tmp_path, textures, write_images):
    """Three folders of four frames, and one of a single picture with an odd size."""
    for index in range(3):
        write_images(tmp_path / "data" / f"clip{index}", textures(range(index, index + 4)))
    write_images(tmp_path / "data" / "still", textures([5], 50, 67))
    return tmp_path / "data"


@pytest.mark.parametrize("is_labeled", [True, False])
def test_images_that_do_not_fit_are_read_when_asked_for(folders, load, tmp_path, is_labeled):
    stored = load(folders, is_labeled=is_labeled)
    read = load(folders, is_labeled=is_labeled, cache=tmp_path / "small", cache_gib=gib(8))
    assert size_of(tmp_path / "small") < FRAME
    for one, other in zip(stored, read, strict=True):
        assert (one.name, one.lr_frames.shape) == (other.name, other.lr_frames.shape)
        assert one.starts.tolist() == other.starts.tolist()
        assert np.array_equal(one.lr_frames, other.lr_frames)
        if is_labeled:
            assert np.array_equal(one.hr_frames, other.hr_frames)
            assert np.array_equal(other.lr_frames[0], degrade(other.hr_frames[0], 4))
    samplers = [Sampler(clips, scale=4, crop=8, seed=0) for clips in (stored, read)]
    a, b = (sampler.singles(0, 4).lr_frames[0] for sampler in samplers)
    assert np.array_equal(a, b)
    assert len(pickle.dumps(read)) < 10_000


def test_images_that_do_not_fit_are_indexed_once(folders, load, decoded):
    load(folders, cache_gib=gib(8))
    decoded.clear()
    clips = load(folders, cache_gib=gib(8))
    assert decoded == []
    assert [len(clip.starts) for clip in clips] == [2, 2, 2, 0]


def test_images_that_need_more_room_than_expected(textures, write_images, load, tmp_path, decoded):
    """What most of a data set is like says how large all of it is; the rest must not break the bound."""
    for index in range(8):
        write_images(tmp_path / "data" / f"clip{index}", textures([0, 1, 2], 16, 16))
    names = ["000.png", "001.png"]
    write_images(tmp_path / "data" / "clip8", textures([0, 1], 240, 320), names)
    for _ in range(2):
        clips = load(tmp_path / "data", cache_gib=gib(8))
        assert len(clips) == 9
        assert clips[-1].hr_frames[0].shape == (240, 320, 3)
        assert size_of(tmp_path / "cache") <= gib(8) * 2**30
    decoded.clear()
    load(tmp_path / "data", cache_gib=gib(8))
    assert decoded == []


def test_an_image_that_changes_during_a_run(folders, load, textures, write_images):
    clip = load(folders, cache_gib=gib(8))[0]
    write_images(folders / "clip0", textures([0], 20, 20))
    with pytest.raises(InputError, match=r"000\.png has changed its size"):
        np.array(clip.hr_frames)
