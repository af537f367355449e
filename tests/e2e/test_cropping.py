"""Pictures that their container says to cut: what is upscaled is what is shown."""

import shutil
import subprocess

import av
import numpy as np
import pytest

from stsr_cli.video.probe import probe
from stsr_cli.video.reader import read_frames

LEFT, TOP, RIGHT, BOTTOM = 8, 4, 16, 2
LOSSLESS = ["--scale", "1", "--spatial", "bicubic", "--temporal", "blend", "--codec", "ffv1"]


def number(value):
    return bytes([0x80 | 4]) + value.to_bytes(4, "big")


@pytest.fixture
def cropped(make_clip, tmp_path):
    """`cropped("in.mkv")`: a clip of 64x48 that a player shows as 40x42."""

    def make(name):
        plain = make_clip("plain.mkv", num_frames=4)
        remux(plain, tmp_path / "exact.mkv", fflags="+bitexact")  # no random numbers in the header
        data = (tmp_path / "exact.mkv").read_bytes()
        # Matroska: PixelHeight, then the four crops in the place of a Void element, sizes mended.
        height = data.index(b"\xba\x81\x30")
        crops = b"".join(
            bytes.fromhex(name) + number(value)
            for name, value in (("54CC", LEFT), ("54BB", TOP), ("54DD", RIGHT), ("54AA", BOTTOM))
        )
        parents = [data.rindex(mark, 0, height) for mark in (b"\xe0", b"\xae", b"\x16\x54\xae\x6b")]
        out = bytearray(data[: height + 3] + crops + data[height + 3 :])
        for at, length in zip(parents, (1, 1, 4), strict=True):
            mend(out, at + length, len(crops))
        path = tmp_path / "cropped.mkv"
        path.write_bytes(out)
        if name.endswith(".mkv"):
            return path
        return remux(path, tmp_path / name)

    return make


def remux(path, target, **options):
    with av.open(str(path)) as source, av.open(str(target), "w", options=options) as output:
        video = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = video
                output.mux(packet)
    return target


def mend(data, at, added):
    """Add to the size of an EBML element, a number of variable length at `at`."""
    length = 9 - data[at].bit_length()
    size = int.from_bytes(data[at : at + length], "big") + added
    data[at : at + length] = size.to_bytes(length, "big")


@pytest.mark.parametrize("name", ["in.mkv", "in.mp4", "in.mov"])
def test_the_shown_picture_is_upscaled(call, cropped, tmp_path, name):
    clip = cropped(name)
    source = probe(clip)
    assert source.cropping == (LEFT, TOP, RIGHT, BOTTOM)
    assert (source.width, source.height) == (64 - LEFT - RIGHT, 48 - TOP - BOTTOM)
    call("upscale", clip, "out.mkv", *LOSSLESS, "--time-scale", "1")
    after = probe(tmp_path / "out.mkv")
    assert (after.width, after.height, any(after.cropping)) == (40, 42, False)
    whole = read_frames(tmp_path / "plain.mkv")
    for given, made in zip(whole, read_frames(tmp_path / "out.mkv"), strict=True):
        expected = given.pixels[TOP : 48 - BOTTOM, LEFT : 64 - RIGHT].astype(int)
        assert np.abs(made.pixels - expected).mean() < 2  # chroma is sampled anew at the edges


def test_a_clip_without_cropping_has_none(make_clip):
    for name in ("a.mkv", "a.mp4", "a.avi"):
        assert not any(probe(make_clip(name, num_frames=2)).cropping)


@pytest.mark.skipif(shutil.which("mkvpropedit") is None, reason="needs mkvpropedit (MKVToolNix)")
def test_what_mkvpropedit_writes_is_read(make_clip):
    clip = make_clip("in.mkv", num_frames=2)
    values = zip(("left", "top", "right", "bottom"), (2, 4, 6, 8), strict=True)
    sets = [part for side, value in values for part in ("--set", f"pixel-crop-{side}={value}")]
    subprocess.run(
        ["mkvpropedit", str(clip), "--edit", "track:v1", *sets], check=True, capture_output=True
    )
    assert probe(clip).cropping == (2, 4, 6, 8)
