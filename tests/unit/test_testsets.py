"""What a folder of test data is taken for. No file holds a picture: nothing is decoded here."""

from pathlib import Path

import pytest

from stsr_cli.errors import InputError, UsageError
from stsr_cli.testsets import find_dataset


@pytest.fixture
def touch(tmp_path: Path):
    """Make empty files: `touch("set/a", "1.png 2.png 3.png")`; returns the path of set."""

    def make(folder: str, names: str) -> Path:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for name in names.split():
            (tmp_path / folder / name).touch()
        return tmp_path / folder.partition("/")[0]

    return make


THREE = "001.png 002.png 003.png"


def found(given: Path | str, **options) -> dict[str, list[str]]:
    return {
        clip.name: [file.stem for file in clip.files]
        for clip in find_dataset(given, **options).clips
    }


def test_even_frames_with_both_neighbours_are_the_truth(touch) -> None:
    names = [
        str(index) for index in range(1, 13)
    ]  # 10 comes after 9, the twelfth has no right neighbour
    touch("set/a", " ".join(f"{name}.png" for name in names))
    touch("set/b", THREE)
    folder = touch("set/b", "._hidden.png")
    assert found(folder) == {"a": names, "b": ["001", "002", "003"]}
    dataset = find_dataset(folder)
    assert [clip.num_triplets for clip in dataset.clips] == [5, 1]
    limited = find_dataset(folder, limit=3)
    assert [(clip.name, clip.middles) for clip in limited.clips] == [("a", (1, 5, 9))]
    assert find_dataset(folder, limit=6) == dataset


@pytest.mark.parametrize("folders", [("input", "gt"), ("other-data", "other-gt-interp")])
def test_middlebury(touch, folders: tuple[str, str]) -> None:
    given, truth = folders
    touch(f"mb/{given}/Urban", "frame07.png frame10.png frame11.png frame14.png")
    touch(f"mb/{given}/Hidden", "frame10.png frame11.png")  # its truth is not public
    folder = touch(f"mb/{truth}/Urban", "frame10i11.png")
    assert found(folder) == {"Urban": ["frame10", "frame10i11", "frame11"]}
    assert (find_dataset(folder).name, find_dataset(folder).layout) == ("mb", "middlebury")


def test_vimeo_follows_its_test_list(touch) -> None:
    folder = touch("vimeo/sequences", "")
    (folder / "tri_trainlist.txt").write_text("00001/0009\n")
    (folder / "sep_testlist.txt").write_text("00001/0001\n")
    assert found(folder) == {"00001/0001": [f"im{index}" for index in range(1, 8)]}
    # The triplets' list comes first; its last line is empty, or no sequence.
    (folder / "tri_testlist.txt").write_text("00001/0001\n00001/0002\n\n0000\n")
    triplet = ["im1", "im2", "im3"]
    assert found(folder) == {"00001/0001": triplet, "00001/0002": triplet}
    assert find_dataset(folder).layout == "vimeo90k"


def test_davis_follows_its_validation_list(touch) -> None:
    for clip in ("bear", "cows"):
        touch(f"DAVIS/JPEGImages/480p/{clip}", "00000.jpg 00001.jpg 00002.jpg")
        touch(f"DAVIS/JPEGImages/Full-Resolution/{clip}", "00000.jpg 00001.jpg 00002.jpg")
        folder = touch(f"DAVIS/Annotations/480p/{clip}", "00000.png 00001.png 00002.png")
    assert list(found(folder)) == ["bear", "cows"]
    touch("DAVIS/ImageSets/2017", "")
    (folder / "ImageSets" / "2017" / "val.txt").write_text("cows\n")
    (clip,) = find_dataset(folder).clips
    assert (clip.name, clip.files[0].parent.parent.name) == ("cows", "480p")


def test_originals_beside_what_was_made_of_them(touch) -> None:
    touch("Vid4/GT/calendar", THREE)
    assert found(touch("Vid4/BIx4/calendar", THREE)) == {"calendar": ["001", "002", "003"]}
    assert find_dataset(touch("Vid4", "")).layout == "vid4"
    touch("spmcs/car/truth", THREE)
    assert list(found(touch("spmcs/car/input4", THREE))) == ["car"]
    touch("REDS/val/val_sharp/000", THREE)
    touch("REDS/val/val_sharp_bicubic/X4/000", THREE)
    reds = touch("REDS/train/train_sharp/000", THREE)
    touch("REDS/train/train_sharp/001", THREE)
    (clip,) = find_dataset(reds).clips
    assert clip.files[0].parts[-3:-1] == ("val_sharp", "000")
    assert list(found(f"reds4={reds / 'train'}")) == ["000"]


def test_triplets_of_ucf101_in_both_spellings(touch) -> None:
    touch("ucf/37", "frame_00.png frame_01_gt.png frame_01_ours.png frame_02.png")
    folder = touch("ucf/38", "frame1.png frame2.png framet.png")
    assert found(folder) == {
        "37": ["frame_00", "frame_01_gt", "frame_02"],
        "38": ["frame1", "framet", "frame2"],
    }
    assert list(found(folder / "37")) == ["37"]


def test_what_cannot_be_measured_is_said(touch) -> None:
    touch("set/good", "10.png 20.png 30.png")  # numbered by tens
    touch("set/gap", "f_1.png f_2.png f_4.png")
    touch("set/short", "1.png 2.png")
    folder = touch("set/twice", "1.jpg 1.png 2.png")
    dataset = find_dataset(folder)
    assert [clip.name for clip in dataset.clips] == ["good"]
    gap, short, twice = dataset.problems
    assert (
        gap
        == f"{folder / 'gap'}: no frame 3 between f_2.png and f_4.png; a clip must hold all its frames"
    )
    assert "only 2 images" in short
    assert "two frames 1, 1." in twice
    broken = touch("videos", "clip.mp4")
    with pytest.raises(InputError, match=r"clip\.mp4"):
        find_dataset(broken)
    with pytest.raises(UsageError, match=r"no layout 'vid5'.*davis, frames, middlebury"):
        find_dataset(f"vid5={folder}")
    with pytest.raises(InputError, match=r"no such file or folder: .*; name a video"):
        find_dataset(f"vid4={folder}-not")
