"""What `stsr probe INPUT OUTPUT` says a run will take."""

import json

import av
import pytest

from .test_upscale import PLAIN


def estimated(call, *arguments):
    return json.loads(call("probe", *arguments, *PLAIN, "--json").stdout)["estimate"]


@pytest.mark.parametrize("codec", ["ffv1", "libx264"])
def test_size_and_frames_are_near_what_comes(call, make_clip, tmp_path, codec):
    source = make_clip("in.mkv", width=96, height=64, num_frames=60, has_sound=True)
    options = ("--codec", codec, "--time-scale", "4")
    found = estimated(call, source, "out.mkv", *options)
    assert 240 <= found["num_frames"] <= 248, "Matroska knows only how long the sound is, too"
    assert found["num_tried"] >= 10
    assert found["seconds"] > 0
    assert found["gpu_bytes"] is None
    assert 1e8 < found["memory_bytes"] < 4e9
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"], "nothing is written"
    call("upscale", source, "out.mkv", *PLAIN, *options)
    size = (tmp_path / "out.mkv").stat().st_size
    assert 0.5 < found["output_bytes"] / size < 2


def test_a_part_and_another_rate_count(call, make_clip):
    source = make_clip("in.mp4", width=96, height=64, num_frames=50)
    part = estimated(call, source, "out.mp4", "--start", "0.4", "--end", "1.2")
    assert part["num_frames"] == 40
    beyond = estimated(call, source, "out.mp4", "--end", "99")
    assert beyond["num_frames"] == 100
    faster = estimated(call, source, "out.mp4", "--fps", "100")
    assert faster["num_frames"] == 200


def test_images_and_a_single_frame(call, make_clip, tmp_path):
    source = make_clip("in.mp4", width=64, height=64, num_frames=1)
    assert estimated(call, source, "out.mkv")["num_frames"] == 2
    found = estimated(call, source, "%06d.png")
    call("upscale", source, "images/%06d.png", *PLAIN)
    size = sum(image.stat().st_size for image in (tmp_path / "images").iterdir())
    assert 0.5 < found["output_bytes"] / size < 2


def test_it_is_told_and_can_be_left_out(call, make_clip):
    source = make_clip("in.mp4", width=64, height=64, num_frames=6)
    told = call("probe", source, "out.mp4", *PLAIN).stderr
    for word in ("time: about", "disk: about", "memory: about", "estimated by running"):
        assert word in told
    assert "time:" not in call("probe", source, "out.mp4", "--no-trial").stderr
    assert "time:" not in call("probe", source).stderr
    call("probe", source, "out.mp4", "--codec", "nonsense", code=2)


def test_what_the_encoder_cannot_keep_is_said(call, tmp_path):
    with av.open(str(tmp_path / "in.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuva420p"
        for _ in range(4):
            container.mux(stream.encode(av.VideoFrame(64, 48, "yuva420p")))
        container.mux(stream.encode(None))
    found = estimated(call, tmp_path / "in.mkv", "out.mp4")
    assert ["transparency" in warning for warning in found["warnings"]] == [True]
    assert "warning: transparency is lost" in call("probe", "in.mkv", "out.mp4", *PLAIN).stderr
    assert call("probe", "in.mkv", "out.mp4", *PLAIN, "--strict", code=2).stdout == ""
