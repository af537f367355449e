"""A file behind another one in one file: told where FFmpeg does not read on."""

import av
import pytest

from stsr_cli.video.files_behind import unread_files
from stsr_cli.video.probe import probe

CODECS = {"ogv": "libvpx", "webm": "libvpx", "avi": "mpeg4", "mpg": "mpeg2video"}


def parts(make_clip, ending, options):
    codec = CODECS.get(ending, "libx264")
    names = (f"a.{ending}", f"b.{ending}")
    return [make_clip(name, num_frames=12, codec=codec, options=options) for name in names]


def num_read(path):
    with av.open(str(path)) as container:
        return sum(packet.size > 0 for packet in container.demux(video=0))


@pytest.mark.parametrize(
    "ending", ["mp4", "mov", "flv", "ogv", "nut", "mkv", "webm", "avi", "mpg", "ts"]
)
def test_what_is_not_read_is_told_and_nothing_else(make_clip, tmp_path, ending):
    first, second = parts(make_clip, ending, {})
    joined = tmp_path / f"joined.{ending}"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    assert unread_files(probe(first)) == []
    lines = unread_files(probe(joined))
    if ending == "ogv":  # its packets come, and the decoder takes none of them
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
