"""Transparency through a run: kept where the output can carry it, and a warning or an error where it cannot."""

import subprocess
import sys

import av
import numpy as np
import pytest

from stsr_cli.video.probe import probe
from stsr_cli.video.reader import read_frames

FAST = ("--spatial", "bicubic", "--temporal", "blend", "--device", "cpu")
WIDTH, HEIGHT = 64, 48
OPTIONS = {"libvpx-vp9": {"lossless": "1"}, "libvpx": {"auto-alt-ref": "0"}}


def picture(index):
    """(H, W, 4): a gradient, and alpha that is 255 left of column 20 + 4 index, 64 right of it."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    rgba = np.stack(
        [40 + 2 * x, 200 - 2 * y, 90 + x + y, np.where(x < 20 + 4 * index, 255, 64)], -1
    )
    return rgba.astype(np.uint8)


def write(path, codec, pix_fmt, num_frames=3):
    with av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=25, options=OPTIONS.get(codec, {}))
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, pix_fmt
        if "vp" in codec:
            video.metadata["alpha_mode"] = "1"
        for pts in range(num_frames):
            frame = av.VideoFrame.from_ndarray(picture(pts), "rgba").reformat(format=pix_fmt)
            frame.pts = pts
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "source", "target", "kept", "tolerance"),
    [
        ("ffv1", "bgra", "a.mkv", "b.mkv", "bgra", 0),
        ("ffv1", "yuva420p", "a.mkv", "b.mkv", "yuva420p", 0),
        ("ffv1", "yuva444p10le", "a.mkv", "b.mkv", "yuva444p10le", 0),
        ("ffv1", "gbrap12le", "a.mkv", "b.mkv", "gbrap12le", 0),
        ("libvpx-vp9", "yuva420p", "a.webm", "b.webm", "yuva420p", 6),
        ("libvpx-vp9", "yuva420p", "a.webm", "b.mkv", "yuva420p", 6),
        ("libvpx", "yuva420p", "a.webm", "b.webm", "yuva420p", 12),
        ("prores_ks", "yuva444p10le", "a.mov", "b.mov", "yuva444p12le", 0),
        ("qtrle", "argb", "a.mov", "b.mov", "argb", 0),
        ("png", "rgba", "a.mov", "b.mov", "rgba", 0),
    ],
)
def test_alpha_is_kept_and_enlarged(
    call, tmp_path, codec, pix_fmt, source, target, kept, tolerance
):
    write(tmp_path / source, codec, pix_fmt)
    quality = ["--crf", "0"] if codec == "libvpx-vp9" else ["--crf", "4"] if "vp" in codec else []
    result = call("upscale", source, target, *FAST, "--codec", codec, *quality)
    assert "transparency" not in result.stderr
    info = probe(tmp_path / target)
    assert (info.pix_fmt, info.has_alpha) == (kept, True)
    frames = [frame.pixels for frame in read_frames(info, with_alpha=True)]
    assert len(frames) == 6
    white = np.iinfo(frames[0].dtype).max
    low = white * 64 / 255
    for index, frame in enumerate(frames):
        assert frame.shape == (4 * HEIGHT, 4 * WIDTH, 4)
        alpha, edge = frame[..., 3].astype(int), 4 * (20 + 4 * (index // 2))
        error = (
            np.abs(alpha[:, : edge - 12] - white).max(),
            np.abs(alpha[:, edge + 30 :] - low).max(),
        )
        assert max(error) * 255 / white <= tolerance + 0.6
        if index % 2 and index < 5:  # between the edges of two frames alpha is the mean
            middle = alpha[:, edge + 8] * 255 / white
            assert np.abs(middle - (255 + 64) / 2).max() <= tolerance + 1


def test_lost_alpha_is_a_warning_and_strictly_an_error(call, tmp_path):
    write(tmp_path / "a.mkv", "ffv1", "bgra")
    result = call("upscale", "a.mkv", "b.mp4", *FAST, "-q")
    assert result.stderr.startswith("warning: transparency is lost: libx264 with yuv444p has none")
    assert "ffv1" in result.stderr
    refused = call("upscale", "a.mkv", "c.mp4", *FAST, "--strict", code=2)
    assert "transparency is lost" in refused.stderr
    assert not (tmp_path / "c.mp4").exists()


def test_vp9_in_mp4_has_no_alpha(call, tmp_path):
    write(tmp_path / "a.webm", "libvpx-vp9", "yuva420p")
    result = call("upscale", "a.webm", "b.mp4", *FAST, "--codec", "libvpx-vp9", "-q")
    assert "transparency is lost: libvpx-vp9 with yuv420p in mp4 has none" in result.stderr
    assert probe(tmp_path / "b.mp4").pix_fmt == "yuv420p"


def test_images_with_alpha_become_vp9_with_alpha_and_images_again(call, tmp_path):
    (tmp_path / "in").mkdir()
    for index in range(2):
        write_image(tmp_path / "in" / f"{index}.png", picture(index))
    call("upscale", "in", "b.webm", *FAST)
    assert (probe(tmp_path / "b.webm").pix_fmt, probe(tmp_path / "b.webm").has_alpha) == (
        "yuva420p",
        True,
    )
    call("upscale", "in", "out_%02d.png", *FAST)
    found = next(read_frames(tmp_path / "out_01.png", with_alpha=True)).pixels
    assert np.all(found[:, :60, 3] == 255) and np.all(found[:, 110:, 3] == 64)


def test_a_pipe_has_alpha_too(tmp_path):
    source = write(tmp_path / "a.webm", "libvpx-vp9", "yuva420p")
    command = [sys.executable, "-m", "stsr_cli", "upscale", "-", "b.mkv", *FAST, "--codec", "ffv1"]
    with source.open("rb") as stdin:
        subprocess.run(command, cwd=tmp_path, stdin=stdin, capture_output=True, check=True)
    info = probe(tmp_path / "b.mkv")
    assert (info.pix_fmt, info.has_alpha) == ("yuva420p", True)


def test_ffmpeg_reads_the_alpha_of_vp9(call, tmp_path):
    if not _has("ffmpeg"):
        pytest.skip("needs ffmpeg")
    write(tmp_path / "a.webm", "libvpx-vp9", "yuva420p")
    call("upscale", "a.webm", "b.webm", *FAST, "--codec", "libvpx-vp9", "--crf", "0")
    command = ["ffmpeg", "-v", "error", "-c:v", "libvpx-vp9", "-i", "b.webm", "-frames:v", "1"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgba", "-"]
    data = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    alpha = np.frombuffer(data, np.uint8).reshape(4 * HEIGHT, 4 * WIDTH, 4)[..., 3].astype(int)
    assert np.abs(alpha[:, :60] - 255).max() <= 2
    assert np.abs(alpha[:, 110:] - 64).max() <= 4


def test_an_opaque_gif_has_no_alpha_and_a_transparent_one_has(tmp_path):
    for name, value, expected in (("opaque.png", 255, False), ("clear.png", 0, True)):
        rgba = picture(0)
        rgba[..., 3] = value
        write_image(tmp_path / name, rgba)
        assert probe(tmp_path / name).has_alpha == expected


def write_image(path, rgba):
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as out:
        video = out.add_stream("png", rate=1)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "rgba"
        out.mux(video.encode(av.VideoFrame.from_ndarray(rgba, "rgba")))
        out.mux(video.encode(None))


def _has(program):
    from shutil import which

    return which(program) is not None
