"""Probing and decoding: every frame comes out, every bad file is one clear line."""

import os
import random
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from stsr_cli.errors import InputError
from stsr_cli.video.probe import probe
from stsr_cli.video.reader import read_frames
from stsr_cli.video.timing.timeline import PtsRepair


def test_probe_tells_what_the_file_holds(make_clip):
    path = make_clip(frame_rate=Fraction(24000, 1001), num_frames=10, has_sound=True)
    source = probe(path)
    assert (source.width, source.height, source.pix_fmt) == (64, 48, "yuv420p")
    assert source.frame_rate == Fraction(24000, 1001)
    seconds = source.duration * source.time_base
    assert abs(seconds - 10 * Fraction(1001, 24000)) < Fraction(1, 1000)  # MP4's edit list rounds
    assert source.num_frames_from_header == 10
    assert (source.bit_depth, source.has_audio, source.rotation) == (8, True, 0)
    assert (source.colour.matrix, source.colour.effective_matrix) == (2, 6)


def test_every_frame_of_a_clip_with_b_frames_comes_out_on_time(make_clip):
    path = make_clip(
        frame_rate=Fraction(24000, 1001), num_frames=20, options={"bf": "3", "b-adapt": "0"}
    )
    frames = list(read_frames(path))
    assert [f.pts * f.time_base for f in frames] == [i * Fraction(1001, 24000) for i in range(20)]
    assert {f.pixels.shape for f in frames} == {(48, 64, 3)}
    assert {f.pixels.dtype for f in frames} == {np.dtype(np.uint8)}


def test_deep_sources_decode_to_uint16(make_clip):
    path = make_clip(pix_fmt="yuv420p10le")
    assert probe(path).bit_depth == 10
    assert next(read_frames(path)).pixels.dtype == np.uint16


def test_tags_are_read(make_clip):
    path = make_clip(colorspace=1, color_range=2, color_primaries=1, color_trc=1)
    colour = probe(path).colour
    assert (colour.matrix, colour.range, colour.primaries, colour.transfer) == (1, 2, 1, 1)
    assert (colour.effective_matrix, colour.effective_range) == (1, 2)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "error"),
    [
        ("a.png", "png", "rgb24", 0),
        ("b%03d.png", "png", "rgb24", 0),
        ("c.jpg", "mjpeg", "yuvj444p", 12),
    ],
)
def test_a_still_image_is_one_frame(tmp_path, name, codec, pix_fmt, error):
    rgb = np.zeros((24, 32, 3), np.uint8)
    rgb[...] = (200, 60, 30)
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt = 32, 24, pix_fmt
    encoder.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(
        format=pix_fmt, dst_colorspace=5, dst_color_range=2
    )
    path = tmp_path / name
    path.write_bytes(b"".join(bytes(p) for p in [*encoder.encode(frame), *encoder.encode(None)]))
    frames = list(read_frames(path))
    assert len(frames) == 1
    assert np.abs(frames[0].pixels.astype(int) - rgb).max() <= error


@pytest.mark.parametrize(
    "name", ["日本 ö 'x'.mkv", "a\nb.mkv", "-y.mkv", "http:x.mkv", "concat:a|b.mkv", "50%d.mkv"]
)
@pytest.mark.posix
def test_any_file_name_is_a_file_name(make_clip, monkeypatch, name):
    path = make_clip(name="plain.mkv", num_frames=2)
    path.rename(path.with_name(name))
    monkeypatch.chdir(path.parent)
    assert len(list(read_frames(name))) == 2


def test_pts_repairs_are_counted(make_clip):
    repair = PtsRepair()
    list(read_frames(make_clip(num_frames=3), repair))
    assert repair.num_repaired == 0


def test_an_abandoned_reader_closes_its_file(make_clip):
    path = make_clip()
    frames = read_frames(path)
    next(frames)
    assert _open_descriptors(path) == 1
    frames.close()
    assert _open_descriptors(path) == 0


def _open_descriptors(path):
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            links.append(entry.readlink())
        except FileNotFoundError:
            continue
    return links.count(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no such file: .*nowhere\.mp4; check the name"):
        probe(tmp_path / "nowhere.mp4")


def test_a_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=r"is a folder without images .*; name a video file"):
        probe(tmp_path)


@pytest.mark.posix
def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(InputError, match="not a regular file"):
        probe(tmp_path / "pipe.mp4")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "is empty; check"),
        (b"not a video " * 100, "is text and no video; name"),
        (random.Random(0).randbytes(5000), "is no video that can be read: .*; check"),
    ],
)
@pytest.mark.posix
def test_garbage_is_one_clear_line(tmp_path, content, word):
    path = tmp_path / "new\nline.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match=word) as caught:
        probe(path)
    assert "\n" not in str(caught.value)


def test_a_file_without_video_is_named(tmp_path):
    path = tmp_path / "sound.mka"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(InputError, match=r"no video in .* only audio"):
        probe(path)


def test_a_file_that_ends_before_its_first_frame_is_named(make_clip):
    path = make_clip(name="cut.mkv", num_frames=3)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(InputError, match=r"cut\.mkv"):
        probe(path)


def test_a_size_change_is_refused(tmp_path):
    path = tmp_path / "sizes.mjpeg"
    chunks = []
    for width in (64, 64, 32):
        encoder = av.CodecContext.create("mjpeg", "w")
        encoder.width, encoder.height, encoder.pix_fmt = width, 48, "yuvj420p"
        encoder.time_base = Fraction(1, 25)
        frame = av.VideoFrame(width, 48, "yuvj420p")
        chunks += [bytes(p) for p in [*encoder.encode(frame), *encoder.encode(None)]]
    path.write_bytes(b"".join(chunks))
    with pytest.raises(InputError, match="changes its size from 64x48 to 32x48 at frame 2"):
        list(read_frames(path))


def test_every_shared_clip_is_probed_and_decoded():
    folder = Path(__file__).parents[2].parent / "shared" / "data" / "clips"
    if not folder.is_dir():
        pytest.skip("needs the folder 'shared' beside the checkout (data sets); there is none")
    for path in sorted(folder.iterdir()):
        source = probe(path)
        frames = previous = 0
        for frame in read_frames(source):
            assert frames == 0 or frame.pts > previous
            previous, frames = frame.pts, frames + 1
        assert frames > 0, path
        if source.num_frames_from_header:
            assert frames == source.num_frames_from_header, path


def test_raw_dv_has_the_rate_of_its_frames(tmp_path):
    path = tmp_path / "in.dv"
    with av.open(str(path), "w") as output:
        video = output.add_stream("dvvideo", rate=25)
        video.width, video.height, video.pix_fmt = 720, 576, "yuv420p"
        sound = output.add_stream("pcm_s16le", rate=48_000, layout="stereo")
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(np.full((864, 720), 90, np.uint8), "yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(video.encode(frame))
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 1920), np.int16), "s16", "stereo")
            samples.sample_rate, samples.pts, samples.time_base = (
                48_000,
                1920 * index,
                Fraction(1, 48_000),
            )
            output.mux(sound.encode(samples))
    source = probe(path)
    assert (source.frame_rate, source.time_base) == (25, Fraction(1, 60_000))
