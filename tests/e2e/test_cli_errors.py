"""What goes wrong is one line on stderr with the right exit code, and leaves the disk as it was.

Most requests run `stsr` inside this process (the same command, without the seconds that importing torch takes); those
in which FFmpeg, the kernel or the interpreter itself could speak up run the installed command.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from stsr_cli.cdca import CDCA
from stsr_cli.checkpoint import Weights, load_weights, read_header, save_weights
from stsr_cli.cli import main
from stsr_cli.registry import build

PLAIN = ["--spatial", "bicubic", "--temporal", "blend"]
FAILED, USAGE, INPUT, WEIGHTS, DEVICE = 1, 2, 4, 5, 6


def contents(folder):
    """Every file below a folder with its bytes; None for folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def assert_one_line(stderr, stdout=""):
    """One `stsr: ...` line."""
    assert stdout == ""
    assert "Traceback" not in stderr
    lines = stderr.splitlines()
    assert len(lines) == 1, stderr
    assert lines[0].startswith("stsr: "), stderr


@pytest.fixture
def fails(tmp_path, monkeypatch, capfd):
    """Run `stsr` in tmp_path; check code, one line with `words` in it, and that no file changed."""
    monkeypatch.chdir(tmp_path)

    def run(code, words, *arguments):
        before = contents(tmp_path)
        result = CliRunner().invoke(main, list(map(str, arguments)), prog_name="stsr")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        written_past_python = capfd.readouterr().err
        assert_one_line(result.stderr + written_past_python, result.stdout)
        assert result.exit_code == code, result.stderr
        for word in words:
            assert word in result.stderr
        assert contents(tmp_path) == before

    return run


@pytest.fixture
def really_fails(run_stsr, tmp_path):
    """The same with the installed command."""

    def run(code, words, *arguments):
        before = contents(tmp_path)
        result = run_stsr(*arguments, cwd=tmp_path)
        assert_one_line(result.stderr, result.stdout)
        assert result.returncode == code, result.stderr
        for word in words:
            assert word in result.stderr
        assert contents(tmp_path) == before

    return run


def test_missing_input(really_fails):
    really_fails(INPUT, ["gone.mp4"], "upscale", "gone.mp4", "out.mp4", *PLAIN)


def test_input_is_a_folder(fails, tmp_path):
    (tmp_path / "clips.mp4").mkdir()
    fails(INPUT, ["clips.mp4", "folder"], "upscale", "clips.mp4", "out.mp4", *PLAIN)


def test_input_is_garbage(really_fails, tmp_path):
    (tmp_path / "in.mp4").write_bytes(bytes(range(256)) * 50)
    really_fails(INPUT, ["in.mp4"], "upscale", "in.mp4", "out.mp4", *PLAIN)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "is empty"),
        (b"not a video\n", "is text and no video"),
        ("Grüße\r\n".encode() * 1365, "is text and no video"),  # cut inside of a character
        (bytes(range(128, 256)) * 50, "is no video that can be read"),
    ],
    ids=["empty", "text", "utf-8", "bytes"],
)
@pytest.mark.parametrize("name", ["in.txt", "in.mp4"])
def test_input_is_no_video(fails, tmp_path, name, content, word):
    (tmp_path / name).write_bytes(content)
    fails(INPUT, [f"{name} {word}"], "upscale", name, "out.mp4", *PLAIN)


def test_a_single_picture_is_written_into_a_folder(fails, tmp_path, run_stsr):
    av.VideoFrame(64, 48, "rgb24").to_image().save(tmp_path / "p.png")
    fails(
        USAGE, ["of a single picture write out/ with --time-scale 1"], "upscale", "p.png", "q.png"
    )
    result = CliRunner().invoke(main, ["upscale", "p.png", "out/", "--time-scale", "1", *PLAIN])
    assert result.exit_code == 0, result.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["000001.png"]


def test_many_frames_in_one_image_are_refused(fails, make_clip):
    make_clip("in.mp4", num_frames=3)
    words = ["would be a single image", "q_%06d.png", "out/"]
    fails(USAGE, words, "upscale", "in.mp4", "q.png", *PLAIN)
    words = ["webm cannot hold libx264 video; write a .mkv, or use --codec libvpx-vp9 or"]
    fails(USAGE, words, "upscale", "in.mp4", "q.webm", *PLAIN, "--codec", "libx264")


def test_input_lost_its_index(really_fails, make_clip, tmp_path):
    """An MP4 whose second half, and with it the index (moov), is missing."""
    clip = make_clip("in.mp4", has_sound=True)
    content = clip.read_bytes()
    assert content.index(b"moov") > len(content) / 2
    clip.write_bytes(content[: len(content) // 2])
    really_fails(INPUT, ["in.mp4"], "upscale", "in.mp4", "out.mp4", *PLAIN)


def test_input_has_only_sound(fails, tmp_path):
    import wave

    with wave.open(str(tmp_path / "in.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(8000))
    fails(INPUT, ["in.wav", "no video"], "upscale", "in.wav", "out.mp4", *PLAIN)


@pytest.mark.parametrize(
    ("option", "name", "hint"),
    [
        ("--spatial", "bicubik", "did you mean 'bicubic'"),
        ("--temporal", "blnd", "did you mean 'blend'"),
        ("--spatial", "blend", "available: "),
        ("--temporal", "../spatial/bicubic", "available: "),
        ("--spatial", "__init__", "available: "),
    ],
)
def test_unknown_module(fails, make_clip, option, name, hint):
    make_clip("in.mp4")
    fails(USAGE, [name, hint], "upscale", "in.mp4", "out.mp4", *PLAIN, option, name)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scale", "0"], ["--scale"]),
        (["--scale", "4.5"], ["--scale", "--height", "--size"]),
        (["--height", "1080q"], ["1080q", "1080p"]),
        (["--max-memory", "much"], ["much", "2GiB"]),
        (["--scale", "1024"], ["libx264"]),
        (["--time-scale", "3"], ["time scale 3", "try 1, 2, 4, 8"]),
        (["--stream", "mean"], ["--stream"]),
        (["--batch-size", "0"], ["--batch-size"]),
        (["--codec", "h264x"], ["h264x"]),
        (["--codec", "aac"], ["aac"]),
        (["--pix-fmt", "yuv999p"], ["yuv999p"]),
        (["--preset", "slowish"], ["slowish"]),
        (["--crf", "60"], ["60", "51"]),
        (["--frobnicate"], ["--frobnicate"]),
        (["surplus.mp4"], ["surplus.mp4"]),
    ],
    ids=lambda value: value[0].strip("-") + "-" + value[-1] if value[0][:2] == "--" else None,
)
def test_bad_option(fails, make_clip, arguments, words):
    make_clip("in.mp4")
    fails(USAGE, words, "upscale", "in.mp4", "out.mp4", *PLAIN, *arguments)


def test_unknown_command(fails):
    fails(USAGE, ["upscal", "stsr upscale in.mp4 out.mp4"], "upscal", "in.mp4", "out.mp4")


def test_output_is_missing(fails, make_clip):
    make_clip("in.mp4")
    fails(USAGE, ["OUTPUT"], "upscale", "in.mp4")


def test_output_exists(really_fails, make_clip, tmp_path):
    make_clip("in.mp4")
    (tmp_path / "out.mp4").write_bytes(b"precious")
    words = ["out.mp4 exists", "-y replaces it"]
    really_fails(USAGE, words, "upscale", "in.mp4", "out.mp4", *PLAIN)


@pytest.mark.parametrize("target", ["in.mp4", "./in.mp4", "hard.mp4", "soft.mp4"])
@pytest.mark.parametrize("overwrite", [[], ["-y"]], ids=["", "y"])
def test_output_is_the_input(fails, make_clip, tmp_path, target, overwrite):
    clip = make_clip("in.mp4")
    (tmp_path / "hard.mp4").hardlink_to(clip)
    (tmp_path / "soft.mp4").symlink_to(clip)
    name = "in.mp4" if target == "soft.mp4" else Path(target).name  # a link is written through
    fails(USAGE, [name, "input"], "upscale", "in.mp4", target, *PLAIN, *overwrite)


def test_output_is_a_folder(fails, make_clip, tmp_path):
    make_clip("in.mp4")
    (tmp_path / "out.mp4").mkdir()
    fails(USAGE, ["out.mp4", "folder"], "upscale", "in.mp4", "out.mp4", "-y", *PLAIN)


def test_folder_of_the_output_is_missing(fails, make_clip):
    make_clip("in.mp4")
    fails(USAGE, ["gone"], "upscale", "in.mp4", "gone/out.mp4", *PLAIN)


@pytest.mark.parametrize("name", ["out.xyz", "out"])
def test_unknown_container(fails, make_clip, name):
    make_clip("in.mp4")
    fails(USAGE, [Path(name).suffix or name, ".mkv"], "upscale", "in.mp4", name, *PLAIN)


def test_one_image_for_many_frames(fails, make_clip):
    make_clip("in.mp4")
    fails(USAGE, ["%06d.png"], "upscale", "in.mp4", "out.png", *PLAIN)


def test_container_cannot_hold_the_codec(fails, make_clip):
    make_clip("in.mp4")
    fails(USAGE, [".mkv"], "upscale", "in.mp4", "out.webm", *PLAIN, "--codec", "libx264")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_no_cuda_here(fails, make_clip, device):
    make_clip("in.mp4")
    fails(DEVICE, [device, "--device"], "upscale", "in.mp4", "out.mp4", *PLAIN, "--device", device)


@pytest.mark.parametrize("device", ["gpu", "meta", "cuda:x", ""])
def test_unknown_device(fails, make_clip, device):
    make_clip("in.mp4")
    fails(DEVICE, [repr(device)], "upscale", "in.mp4", "out.mp4", *PLAIN, "--device", device)


def test_fp16_on_the_cpu(fails, make_clip):
    make_clip("in.mp4")
    options = ["--device", "cpu", "--precision", "fp16"]
    fails(DEVICE, ["fp16", "bf16"], "upscale", "in.mp4", "out.mp4", *PLAIN, *options)


@pytest.fixture
def espcn(make_clip, tmp_path):
    """Weights of a tiny ESPCN, beside the clip that they are for."""
    make_clip("in.mp4")
    path = tmp_path / "espcn.safetensors"
    save_weights(path, Weights(spatial=build("spatial", "espcn", {"num_channels": 4})))
    return path


@pytest.fixture
def fails_with(fails):
    """Upscale with ESPCN, blend and the weights of that name; see `fails`."""

    def run(code, words, weights, spatial="espcn"):
        names = ["--spatial", spatial, "--temporal", "blend", "--weights", weights]
        fails(code, words, "upscale", "in.mp4", "out.mp4", *names)

    return run


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--stream", "s2t"], USAGE, ["--stream cannot be used with --system cdca"]),
        (PLAIN, USAGE, ["--spatial, --temporal cannot be used with --system cdca"]),
        (["--scale", "16"], USAGE, ["scale 16", "CDCA", "try 4"]),
        (["--scale", "1"], USAGE, ["scale 1", "try 4"]),
        (["--weights", "espcn.safetensors"], WEIGHTS, ["espcn.safetensors", "no cdca weights"]),
        (["--weights", "cut.safetensors"], WEIGHTS, ["cut.safetensors"]),
    ],
    ids=lambda value: value[0].strip("-") if isinstance(value, list) else None,
)
def test_cdca(fails, espcn, tmp_path, arguments, code, words):
    path = tmp_path / "cdca.safetensors"
    save_weights(path, Weights(cdca=CDCA(num_channels=4, num_features=4)))
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:-5])
    options = ["--system", "cdca", "--weights", path.name, *arguments]
    if "--weights" in arguments:
        options = ["--system", "cdca", *arguments]
    fails(code, words, "upscale", "in.mp4", "out.mp4", *options)


def test_unknown_system(fails, make_clip):
    make_clip("in.mp4")
    fails(USAGE, ["--system", "cdca"], "upscale", "in.mp4", "out.mp4", "--system", "dvf")


def test_weights_of_another_module(fails_with, espcn):
    fails_with(WEIGHTS, ["ESPCN", "span"], espcn.name, spatial="span")


def test_weights_hold_one_module_of_two(fails, espcn):
    names = ["--spatial", "espcn", "--temporal", "superslomo", "--weights", espcn.name]
    words = ["published no weights", "'superslomo'", "stsr weights convert"]
    fails(WEIGHTS, words, "upscale", "in.mp4", "out.mp4", *names)


@pytest.mark.parametrize("name", ["gone.safetensors", "folder/gone.safetensors", "no-such-weights"])
def test_missing_weights(fails_with, espcn, name):
    fails_with(WEIGHTS, [] if name == "no-such-weights" else [name], name)


def test_weights_path_is_a_folder(fails_with, espcn, tmp_path):
    (tmp_path / "weights").mkdir()
    fails_with(WEIGHTS, ["weights"], "./weights")


@pytest.mark.parametrize("damage", ["cut", "cut in the header", "noise", "empty", "longer"])
def test_damaged_weights(fails_with, espcn, damage):
    content = espcn.read_bytes()
    espcn.write_bytes(
        {
            "cut": content[:-5],
            "cut in the header": content[:40],
            "noise": bytes(range(255, -1, -1)) * 20,
            "empty": b"",
            "longer": content + b"more",
        }[damage]
    )
    fails_with(WEIGHTS, [espcn.name], espcn.name)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_weights_that_are_not_finite(fails_with, espcn, value):
    module = load_weights(espcn).spatial
    with torch.no_grad():
        module.conv2.weight[0, 0, 0, 0] = float(value)
    save_weights(espcn, Weights(spatial=module))
    fails_with(WEIGHTS, [espcn.name, "spatial.conv2.weight", "not finite"], espcn.name)


def test_weights_are_a_pickle(fails_with, espcn):
    torch.save({"spatial.conv1.weight": torch.zeros(4)}, espcn)
    fails_with(WEIGHTS, [espcn.name], espcn.name)


def test_weights_are_of_another_program(fails_with, espcn):
    save_file({"conv1.weight": torch.zeros(4)}, espcn)
    fails_with(WEIGHTS, [espcn.name, "no stsr weights"], espcn.name)


def rewrite_header(path, change):
    """Change the configuration in a weights file, as a later version or a vandal would."""
    import json

    from safetensors.torch import load_file

    tensors, header = load_file(path), change(read_header(path))
    save_file(tensors, path, {"stsr-1": json.dumps(header)})


@pytest.mark.parametrize(
    ("description", "word"),
    [
        ({"name": "nextgen", "config": {}}, "nextgen"),
        ({"name": "espcn", "config": {"num_channels": 4, "depth": 9}}, "depth"),
        ({"name": "espcn", "config": {"num_channels": 8}}, "espcn.safetensors"),
        ({"name": "espcn", "config": {"num_channels": -4}}, "espcn.safetensors"),
        ({"name": "espcn", "config": {"scale": 0}}, "espcn.safetensors"),
        ({"name": "espcn", "config": {"num_channels": "many"}}, "espcn.safetensors"),
        ({"name": "espcn", "config": "none"}, "espcn.safetensors"),
        ({"name": "espcn"}, "espcn.safetensors"),
        ("espcn", "espcn.safetensors"),
    ],
    ids=str,
)
def test_weights_that_this_version_cannot_build(fails_with, espcn, description, word):
    rewrite_header(espcn, lambda header: {**header, "spatial": description})
    fails_with(WEIGHTS, [word], espcn.name)


@pytest.mark.parametrize("header", [[], 7, None, "text"], ids=str)
def test_weights_with_a_senseless_header(fails_with, espcn, header):
    rewrite_header(espcn, lambda _: header)
    fails_with(WEIGHTS, [espcn.name], espcn.name)


def noise(num_frames):
    """Frames that no codec can make small."""
    return list(np.random.default_rng(0).integers(0, 256, (num_frames, 48, 64, 3), np.uint8))


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
@pytest.mark.parametrize("kib", [0, 64, 1024], ids=lambda kib: f"{kib}KiB")
def test_no_room_for_the_output(make_clip, tmp_path, kib):
    """A limit on the size of files stands in for a full disk: before, at, and amid the frames."""
    make_clip("in.mkv", frames=noise(30), has_sound=True)
    before = contents(tmp_path)
    command = [Path(sys.executable).with_name("stsr"), "upscale", "in.mkv", "out.mkv", *PLAIN]
    result = subprocess.run(
        ["sh", "-c", f'ulimit -f {2 * kib}; exec "$@"', "sh", *command, "--codec", "ffv1", "-q"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert_one_line(result.stderr, result.stdout)
    assert result.returncode == FAILED, result.stderr
    assert "out.mkv" in result.stderr
    kept = {"out.incomplete.nut"} if kib else set()  # the frames that were made
    assert contents(tmp_path).keys() == before.keys() | kept


@contextlib.contextmanager
def small_disk(folder):
    """Mount 1 MiB on a folder, where the test may."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "stsr-test", str(folder)]
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount a small disk, on Linux")
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not let root mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_full_disk(run_stsr, make_clip, tmp_path):
    source = make_clip("in.mkv", frames=noise(30))
    with small_disk(tmp_path / "disk") as disk:
        options = ["--codec", "ffv1", "-q"]
        result = run_stsr("upscale", source, disk / "out.mkv", *PLAIN, *options)
        assert_one_line(result.stderr, result.stdout)
        assert result.returncode == FAILED, result.stderr
        assert "free some space" in result.stderr
        assert set(contents(disk)) == {"out.incomplete.nut"}  # the frames that were made


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="root may write where nobody else may"
)
def test_read_only_folder(fails, make_clip, tmp_path):
    make_clip("in.mp4")
    (tmp_path / "locked").mkdir(mode=0o555)
    fails(USAGE, ["locked", "permission"], "upscale", "in.mp4", "locked/out.mp4", *PLAIN)


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="root may read what nobody else may"
)
def test_unreadable_input(run_stsr, make_clip, tmp_path):
    make_clip("in.mp4").chmod(0)
    result = run_stsr("upscale", "in.mp4", "out.mp4", *PLAIN, cwd=tmp_path)
    assert_one_line(result.stderr, result.stdout)
    assert result.returncode == INPUT
    assert "permission" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]
