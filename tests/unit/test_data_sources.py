"""What a path of training data means: data sets, lists, folders."""

from pathlib import Path

import numpy as np
import pytest

from stsr_cli.data.sources import find_sources
from stsr_cli.errors import InputError, UsageError


def touch(folder, *names):
    """Empty files: to find sources is to look at names."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names_of(folder, *paths):
    """Every source as the names of its files, relative to a folder."""
    sources, problems = find_sources([Path(path) for path in paths] or [folder])
    assert not problems
    return [[file.relative_to(folder).as_posix() for file in source.files] for source in sources]


def test_a_folder_of_everything(tmp_path):
    touch(tmp_path, "b.MP4", "a.mkv", "x/frame_10.png", "x/frame_2.png", "x/frame_1.png")
    touch(tmp_path, "x/deeper/1.jpg", "notes.md", "._a.mkv", ".hidden/c.mp4", "__MACOSX/b.mp4")
    assert names_of(tmp_path) == [
        *(["a.mkv"], ["b.MP4"]),
        ["x/frame_1.png", "x/frame_2.png", "x/frame_10.png"],
        ["x/deeper/1.jpg"],
    ]


@pytest.mark.posix
def test_a_folder_that_is_reached_twice_counts_once(tmp_path):
    touch(tmp_path, "x/a.mp4", "x/y/b.mp4")
    (tmp_path / "x" / "y" / "loop").symlink_to(tmp_path)
    once = [["x/a.mp4"], ["x/y/b.mp4"]]
    assert names_of(tmp_path, tmp_path, tmp_path / "x") == once
    assert names_of(tmp_path, tmp_path / "x/a.mp4", tmp_path / "x") == once


def test_single_images_are_stills(tmp_path, textures, write_images, load):
    write_images(tmp_path / "x", textures([0, 1, 2]))
    (clip,) = load(*sorted((tmp_path / "x").iterdir()))
    assert len(clip.lr_frames) == 3
    assert not len(clip.starts)
    assert "named one by one" in clip.why_still


# Vimeo-90K


def make_vimeo(folder, kind="tri", num_frames=3):
    sequences = ["00001/0001", "00001/0002", "00002/0001"]
    for name in sequences:
        touch(folder, *(f"sequences/{name}/im{i}.png" for i in range(1, num_frames + 1)))
    (folder / f"{kind}_trainlist.txt").write_text("00001/0001\n00002/0001\n\n")
    (folder / f"{kind}_testlist.txt").write_text("00001/0002\n")
    return lambda name: [f"sequences/{name}/im{i}.png" for i in range(1, num_frames + 1)]


@pytest.mark.parametrize(("kind", "num_frames"), [("tri", 3), ("sep", 7)])
def test_vimeo(tmp_path, kind, num_frames):
    files = make_vimeo(tmp_path, kind, num_frames)
    train = [files("00001/0001"), files("00002/0001")]
    assert names_of(tmp_path) == train, "never the test list"
    assert names_of(tmp_path, tmp_path / f"{kind}_trainlist.txt") == train
    assert names_of(tmp_path, tmp_path / f"{kind}_testlist.txt") == [files("00001/0002")]
    sources, _ = find_sources([tmp_path])
    assert [source.name for source in sources] == ["00001/0001", "00002/0001"]


def test_vimeo_without_a_train_list(tmp_path):
    make_vimeo(tmp_path)
    (tmp_path / "tri_trainlist.txt").unlink()
    with pytest.raises(InputError, match="name the list itself"):
        find_sources([tmp_path])


def test_a_bad_line_of_vimeo_is_named(tmp_path):
    make_vimeo(tmp_path)
    with (tmp_path / "tri_trainlist.txt").open("a") as file:
        file.write("0000")
    sources, problems = find_sources([tmp_path])
    assert len(sources) == 2
    assert len(problems) == 1
    assert "tri_trainlist.txt, line 4: '0000'" in problems[0]


def test_vimeo_needs_no_even_motion_but_motion(tmp_path, textures, write_images, load):
    names = [f"im{i}.png" for i in range(1, 8)]
    folder = tmp_path / "sequences" / "00001"
    write_images(folder / "0001", textures([0, 1, 4, 9, 9, 10, 11]), names)
    (tmp_path / "sep_trainlist.txt").write_text("00001/0001\n")
    (clip,) = load(tmp_path)
    assert clip.name == "00001/0001/16x12"
    assert len(clip.lr_frames) == 7
    assert clip.starts.tolist() == [0, 1, 4]


def test_a_missing_sequence_of_vimeo_is_named(tmp_path, textures, write_images, load):
    lines = []
    for index in range(1, 22):
        names = ["im1.png", "im2.png", "im3.png"]
        lines.append(f"00001/{index:04d}")
        if index < 21:
            write_images(tmp_path / "sequences" / lines[-1], textures([0, 1, 2], 8, 8), names)
    (tmp_path / "tri_trainlist.txt").write_text("\n".join(lines))
    told = []
    clips = load(tmp_path, on_broken=told.append)
    assert [clip.starts.tolist() for clip in clips] == [[0]] * 20
    assert len(told) == 3
    assert all(f"0021/im{i}.png" in line for i, line in enumerate(told, 1))


# DAVIS, GoPro, REDS


def make_davis(folder):
    for name in ("bear", "camel", "dog"):
        for kind in ("JPEGImages/480p", "JPEGImages/Full-Resolution"):
            touch(folder, f"{kind}/{name}/00000.jpg", f"{kind}/{name}/00001.jpg")
        touch(folder, f"Annotations/480p/{name}/00000.png")
    return lambda name: [f"JPEGImages/480p/{name}/0000{i}.jpg" for i in range(2)]


def test_davis(tmp_path):
    files = make_davis(tmp_path / "DAVIS")
    expected = [[f"DAVIS/{name}" for name in files(clip)] for clip in ("bear", "camel", "dog")]
    assert names_of(tmp_path, tmp_path / "DAVIS") == expected
    assert names_of(tmp_path) == expected, "also within a folder"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("ImageSets/2017/train.txt", "bear\ndog\n"),
        (
            "ImageSets/480p/train.txt",
            "/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png\n"
            "/JPEGImages/480p/dog/00000.jpg /Annotations/480p/dog/00000.png\n",
        ),
    ],
)
def test_davis_keeps_to_its_train_list(tmp_path, path, text):
    files = make_davis(tmp_path)
    touch(tmp_path, path, str(Path(path).with_name("val.txt")))
    (tmp_path / path).write_text(text)
    (tmp_path / path).with_name("val.txt").write_text("camel\n")
    assert names_of(tmp_path) == [files("bear"), files("dog")]


def test_gopro_gives_sharp_frames_of_its_train_part(tmp_path):
    for part, name in (("train", "GOPR01"), ("train", "GOPR02"), ("test", "GOPR03")):
        for kind in ("sharp", "blur", "blur_gamma"):
            touch(tmp_path, f"{part}/{name}/{kind}/000001.png")
    train = [["train/GOPR01/sharp/000001.png"], ["train/GOPR02/sharp/000001.png"]]
    assert names_of(tmp_path) == train
    assert [source.name for source in find_sources([tmp_path])[0]] == ["GOPR01", "GOPR02"]
    assert names_of(tmp_path, tmp_path / "test") == [["test/GOPR03/sharp/000001.png"]]
    assert names_of(tmp_path, tmp_path / "train/GOPR01/blur") == [["train/GOPR01/blur/000001.png"]]


def test_reds_gives_sharp_frames_of_its_train_part(tmp_path):
    for name in ("train/train_sharp", "train/train_blur", "train/train_sharp_bicubic/X4"):
        touch(tmp_path, f"{name}/000/00000000.png", f"{name}/001/00000000.png")
    touch(tmp_path, "val/val_sharp/000/00000000.png")
    train = [[f"train/train_sharp/00{i}/00000000.png"] for i in range(2)]
    assert names_of(tmp_path) == names_of(tmp_path, tmp_path / "train") == train
    small = "train/train_sharp_bicubic"
    assert names_of(tmp_path, tmp_path / small)[1] == [f"{small}/X4/001/00000000.png"]


# Lists


def test_a_list_of_paths(tmp_path):
    touch(tmp_path, "a.mp4", "x/1.png", "x/2.png", "y/5.png", "z z/1.jpg")
    (tmp_path / "list.txt").write_text("a.mp4\n\nx\ny/5.png\nz z\na.mp4\t3\na.mp4\t1\n")
    assert names_of(tmp_path, tmp_path / "list.txt") == [
        *(["a.mp4"], ["x/1.png", "x/2.png"], ["z z/1.jpg"], ["a.mp4"], ["y/5.png"]),
    ]
    assert [source.starts for source in find_sources([tmp_path / "list.txt"])[0]] == [
        *(None, None, None, (1, 3), ()),
    ]


@pytest.mark.parametrize("line", ["gone.mp4", "list.txt", "a.mp4 3", "a.mp4\t-1", "a.mp4\t1\t2"])
def test_a_bad_line_is_named(tmp_path, line):
    touch(tmp_path, "a.mp4")
    (tmp_path / "list.txt").write_text(f"a.mp4\n{line}\n")
    sources, problems = find_sources([tmp_path / "list.txt"])
    assert len(sources) == len(problems) == 1
    assert f"list.txt, line 2: {line!r}" in problems[0]


# Frames that are left out, and why


def test_animation_on_twos_gives_even_triplets(tmp_path, textures, write_images, load):
    write_images(tmp_path / "x", textures([0, 0, 1, 1, 2, 2, 3, 3]))
    (clip,) = load(tmp_path / "x")
    assert np.array_equal(clip.hr_frames, textures([0, 1, 2, 3]))
    assert clip.starts.tolist() == [0, 1]


@pytest.mark.parametrize("crf", ["18", "30"])
def test_pulldown_gives_even_triplets_after_an_encoder(make_clip, textures, load, crf):
    positions = [2 * (index * 4 // 5) for index in range(20)]
    source = make_clip("in.mp4", frames=list(textures(positions)), options={"crf": crf})
    (clip,) = load(source)
    assert len(clip.lr_frames) == 16
    assert clip.starts.tolist() == list(range(14))


def test_a_list_addresses_frames_of_the_file(make_clip, textures, load, tmp_path):
    frames = list(textures([0, 0, 0, 2, 4, 6]))
    make_clip("a.mkv", frames=frames, codec="ffv1", pix_fmt="bgr0")
    (tmp_path / "list.txt").write_text("a.mkv\t3\n")
    (clip,) = load(tmp_path / "list.txt")
    assert clip.starts.tolist() == [3]
    assert np.array_equal(clip.hr_frames[3], frames[3])


def test_a_broken_image_is_no_neighbour(tmp_path, textures, write_images, load):
    write_images(tmp_path / "x", textures(range(24)))
    (tmp_path / "x" / "011.png").write_bytes(b"broken")
    told = []
    (clip,) = load(tmp_path / "x", on_broken=told.append)
    assert len(told) == 1
    assert "011.png" in told[0]
    assert clip.starts.tolist() == [*range(9), *range(11, 21)]


def test_a_short_video_is_named_and_no_failure(make_clip, load):
    source, told = make_clip("short.mp4", num_frames=2), []
    (clip,) = load(source, on_broken=told.append)
    assert len(clip.lr_frames) == 2
    assert told == ["short.mp4 has 2 frames; a clip needs at least 3: taken as still pictures"]


def test_more_videos_than_there_is_room(make_clip, load, tmp_path):
    make_clip("a.mp4")
    with pytest.raises(UsageError, match=r"a\.mp4.*64x48.*--cache-gib"):
        load(tmp_path / "a.mp4", cache_gib=64 * 48 * 3 * 2 / 2**30)
