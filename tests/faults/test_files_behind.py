"""A file behind another one in one file: told where FFmpeg does not read on."""

from fractions import Fraction

import av
import numpy as np
import pytest

from stsr_cli.video.files_behind import unread_files
from stsr_cli.video.probe import probe

CODECS = {"ogv": "libvpx", "webm": "libvpx", "avi": "mpeg4"}
CODECS |= {"mpg": "mpeg2video", "mxf": "mpeg2video"}


def parts(make_clip, ending, options):
    codec = CODECS.get(ending, "libx264")
    names = (f"a.{ending}", f"b.{ending}")
    return [make_clip(name, num_frames=12, codec=codec, options=options) for name in names]


def num_read(path):
    with av.open(str(path)) as container:
        return sum(packet.size > 0 for packet in container.demux(video=0))


@pytest.mark.parametrize(
    "ending", ["mp4", "mov", "flv", "ogv", "nut", "mxf", "mkv", "webm", "avi", "mpg", "ts"]
)
def test_what_is_not_read_is_told_and_nothing_else(make_clip, tmp_path, ending):
    first, second = parts(make_clip, ending, {})
    joined = tmp_path / f"joined.{ending}"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    assert unread_files(probe(first)) == []
    lines = unread_files(probe(joined))
    if ending in (
        "ogv",
        "mxf",
    ):  # packets come; the decoder takes none of them, or all have one time
        assert len(lines) == 1
    else:
        assert bool(lines) == (num_read(joined) < 24)
    if lines:
        assert f"from byte {first.stat().st_size:,} on" in lines[0]


def test_fragments_behind_an_index_of_their_own_are_read(make_clip, tmp_path):
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    first, _ = parts(make_clip, "mp4", {})
    with (
        av.open(str(first)) as source,
        av.open(str(tmp_path / "f.mp4"), "w", options=fragments) as out,
    ):
        video = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = video
                out.mux(packet)
    joined = tmp_path / "joined.mp4"
    joined.write_bytes((tmp_path / "f.mp4").read_bytes() * 2)
    assert num_read(joined) == 24
    assert unread_files(probe(joined)) == []


def test_a_run_says_so_and_ends_with_3_and_strict_refuses(call, make_clip, tmp_path):
    first, second = parts(make_clip, "mp4", {})
    (tmp_path / "joined.mp4").write_bytes(first.read_bytes() + second.read_bytes())
    command = ("upscale", "joined.mp4", "out.mkv", "--spatial", "bicubic", "--temporal", "blend")
    refused = call(*command, "--strict", code=2)
    assert "several files, one behind the other" in refused.stderr
    result = call(*command, code=3)
    assert "only the first is read" in result.stderr


def test_sound_of_which_all_packets_have_one_time_fails_no_run(call, tmp_path):
    with av.open(str(tmp_path / "in.mxf"), "w") as output:
        video = output.add_stream("mpeg2video", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = output.add_stream("pcm_s16le", rate=48_000, layout="mono")
        for index in range(25):
            frame = av.VideoFrame.from_ndarray(np.full((72, 64), 90, np.uint8), "yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(video.encode(frame))
            noise = np.random.default_rng(index).integers(-999, 999, (1, 1920)).astype(np.int16)
            samples = av.AudioFrame.from_ndarray(noise, "s16", "mono")
            samples.sample_rate, samples.pts = 48_000, 1920 * index
            samples.time_base = Fraction(1, 48_000)
            output.mux(sound.encode(samples))
        output.mux(video.encode(None))
    joined = tmp_path / "joined.mxf"
    joined.write_bytes((tmp_path / "in.mxf").read_bytes() * 2)
    command = ("upscale", "joined.mxf", "out.mp4", "--spatial", "bicubic", "--temporal", "blend")
    assert "could not be stored" in call(*command, code=3).stderr
