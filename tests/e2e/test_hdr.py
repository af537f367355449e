"""PQ and HLG through a run: kept with what comes with them, refused in 8 bits, or tone-mapped."""

import json
import shutil
import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest

from stsr_cli.video.probe import probe
from stsr_cli.video.reader import read_frames

FAST = ("--spatial", "bicubic", "--temporal", "blend", "--device", "cpu")
WIDTH, HEIGHT, PQ, HLG = 96, 64, 16, 18
METADATA = (
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):"
    "max-cll=1000,400"
)


def write(path, codec="libx265", transfer=PQ, pix_fmt="yuv420p10le", params=METADATA):
    """A ramp of luma from black to white, without colour."""
    is_deep = pix_fmt.endswith("le")
    # without B-frames: of fewer than three frames libx265 4.2 leaves dts to chance
    x265 = f"{params}:log-level=error:bframes=0"
    options = {"x265-params": x265} if codec == "libx265" else {}
    with av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=25, options=options)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, pix_fmt
        context = video.codec_context
        context.colorspace = context.color_primaries = 9
        context.color_trc, context.color_range = transfer, 1
        for pts in range(2):
            frame = av.VideoFrame(WIDTH, HEIGHT, pix_fmt)
            for index, plane in enumerate(frame.planes):
                dtype = np.uint16 if is_deep else np.uint8
                lines = np.frombuffer(plane, dtype).reshape(plane.height, -1)
                ramp = 16 + np.arange(plane.width) * 219 // (plane.width - 1)
                lines[:, : plane.width] = (128 if index else ramp) * (4 if is_deep else 1)
            frame.pts = pts
            out.mux(video.encode(frame))
        out.mux(video.encode(None))


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
@pytest.mark.parametrize("target", ["out.mkv", "out.mp4"])
def test_hdr_is_kept_in_10_bits_with_its_metadata(call, tmp_path, codec, target):
    write(tmp_path / "in.mkv")
    result = call("upscale", "in.mkv", target, *FAST, "--codec", codec)
    assert "trained on SDR" in result.stderr and "warning" not in result.stderr
    source, found = probe(tmp_path / "in.mkv"), probe(tmp_path / target)
    assert found.pix_fmt == "yuv420p10le"
    tags = ("matrix", "primaries", "transfer", "range")
    assert [getattr(found.colour, name) for name in tags] == [9, 9, PQ, 1]
    assert found.hdr.light == (1000, 400)
    for name in ("red", "green", "blue", "white"):
        pairs = zip(
            getattr(found.hdr.mastering, name), getattr(source.hdr.mastering, name), strict=True
        )
        assert all(abs(have - want) < Fraction(1, 30000) for have, want in pairs)
    assert found.hdr.mastering.brightest == 1000
    assert abs(found.hdr.mastering.darkest - Fraction(1, 200)) < Fraction(1, 10000)


def test_ffprobe_reads_the_metadata(call, tmp_path):
    if not shutil.which("ffprobe"):
        pytest.skip("needs ffprobe")
    write(tmp_path / "in.mkv")
    call("upscale", "in.mkv", "out.mp4", *FAST, "--codec", "libx265")
    command = ["ffprobe", "-v", "error", "-show_frames", "-read_intervals", "%+#1", "-of", "json"]
    said = subprocess.run([*command, "out.mp4"], cwd=tmp_path, capture_output=True, check=True)
    frame = json.loads(said.stdout)["frames"][0]
    assert (frame["color_transfer"], frame["color_primaries"]) == ("smpte2084", "bt2020")
    sides = {side["side_data_type"]: side for side in frame["side_data_list"]}
    assert sides["Mastering display metadata"]["max_luminance"] == "10000000/10000"
    assert sides["Content light level metadata"]["max_content"] == 1000


def test_a_codec_without_a_place_for_metadata_is_a_warning_and_strictly_an_error(call, tmp_path):
    write(tmp_path / "in.mkv")
    result = call("upscale", "in.mkv", "out.mkv", *FAST, "--codec", "ffv1")
    assert "warning: the mastering display and the content light level" in result.stderr
    assert probe(tmp_path / "out.mkv").colour.transfer == PQ
    refused = call("upscale", "in.mkv", "b.mkv", *FAST, "--codec", "ffv1", "--strict", code=2)
    assert "cannot be kept with ffv1" in refused.stderr


@pytest.mark.parametrize(
    ("codec", "arguments", "words"),
    [
        ("libx264", ["--pix-fmt", "yuv420p"], "libx264 with yuv420p has 8 bits"),
        ("libvpx-vp9", [], "has 8 bits"),
    ],
)
def test_8_bits_are_refused(call, tmp_path, codec, arguments, words):
    write(tmp_path / "in.mkv", "ffv1", HLG)
    result = call("upscale", "in.mkv", "o.mkv", *FAST, "--codec", codec, *arguments, code=2)
    assert "HDR (HLG)" in result.stderr and words in result.stderr
    assert "--hdr tonemap" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_8_bit_hdr_source_gets_10_bits(call, tmp_path):
    write(tmp_path / "in.mkv", "ffv1", PQ, "yuv420p")
    call("upscale", "in.mkv", "out.mkv", *FAST)
    assert probe(tmp_path / "out.mkv").pix_fmt == "yuv420p10le"


def test_tonemap_makes_sdr_of_it(call, tmp_path):
    write(tmp_path / "in.mkv")
    result = call("upscale", "in.mkv", "out.mp4", *FAST, "--hdr", "tonemap", "--crf", "0")
    assert "HDR (PQ, up to 1000 cd/m2) is mapped to BT.709 SDR" in result.stderr
    found = probe(tmp_path / "out.mp4")
    assert (found.colour.matrix, found.colour.primaries, found.colour.transfer) == (1, 1, 1)
    assert found.hdr.mastering is None and found.hdr.light is None
    line = next(read_frames(found)).pixels[HEIGHT * 2, :, 1] / 65535
    place = 4 * round(0.508 * (WIDTH - 1)) + 2  # of 100 cd/m2 on the ramp
    assert line[place] == pytest.approx((100 / 203) ** (1 / 2.4), abs=0.02)
    assert line[-1] == pytest.approx(1, abs=0.01) and np.all(np.diff(line) > -0.01)
    call("upscale", "in.mkv", "b.webm", *FAST, "--hdr", "tonemap")
    assert probe(tmp_path / "b.webm").pix_fmt == "yuv420p"


def test_tonemap_leaves_sdr_alone(call, tmp_path):
    write(tmp_path / "in.mkv", "ffv1", 1)
    for name, hdr in (("a.mkv", "keep"), ("b.mkv", "tonemap")):
        call("upscale", "in.mkv", name, *FAST, "--codec", "ffv1", "--hdr", hdr)
    pairs = zip(read_frames(tmp_path / "a.mkv"), read_frames(tmp_path / "b.mkv"), strict=True)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in pairs)
