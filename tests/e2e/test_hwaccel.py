"""Decoding on a device. Of the devices themselves a machine without one can only test that they are missed."""

import av
import numpy as np
import pytest
from av.codec.hwaccel import hwdevices_available

from stsr_cli.errors import DeviceError, InputError, UsageError
from stsr_cli.video.hardware import accelerated, on_host
from stsr_cli.video.probe import probe
from stsr_cli.video.reader import read_frames

PLAIN = ("--spatial", "bicubic", "--temporal", "blend")


def found_on(source, device):
    """The source on a device of a kind, or None if this machine has none that decodes it."""
    try:
        return accelerated(source, device)
    except DeviceError as error:
        assert f"--hwaccel {device} cannot decode" in str(error)
        assert "use --hwaccel auto or off" in str(error)
        assert "\n" not in str(error)
        return None


@pytest.mark.parametrize("codec", ["libx264", "libx265", "ffv1"])
@pytest.mark.parametrize("device", ["auto", *hwdevices_available()])
def test_a_device_gives_the_pixels_of_software_or_is_said_to_be_missing(make_clip, codec, device):
    clip = make_clip("in.mkv", width=320, height=192, num_frames=3, codec=codec)
    source = probe(clip)
    on_device = found_on(source, device)
    if on_device is None:
        return
    pairs = zip(read_frames(source), read_frames(on_device), strict=True)
    assert all(np.array_equal(a.pixels, b.pixels) and a.pts == b.pts for a, b in pairs)


def test_an_unknown_device_is_refused(make_clip):
    with pytest.raises(UsageError, match="unknown --hwaccel 'quantum'"):
        accelerated(probe(make_clip(num_frames=1)), "quantum")


def test_auto_says_where_it_decodes_and_changes_nothing(call, make_clip, tmp_path):
    make_clip("in.mp4", width=96, height=64, num_frames=3)
    call("upscale", "in.mp4", "off.mkv", *PLAIN)
    ran = call("upscale", "in.mp4", "auto.mkv", *PLAIN, "--hwaccel", "auto")
    assert "decoded in software: no device here can" in ran.stderr or "decoded on " in ran.stderr
    pairs = zip(read_frames(tmp_path / "off.mkv"), read_frames(tmp_path / "auto.mkv"), strict=True)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in pairs)


def test_a_device_that_is_not_here_is_an_error_before_anything_is_written(
    call, make_clip, tmp_path
):
    name = next((n for n in hwdevices_available() if not _is_here(n, make_clip)), None)
    if name is None:
        pytest.skip("every kind of device is here")
    ran = call("upscale", "clip.mp4", "out.mp4", *PLAIN, "--hwaccel", name, code=6)
    assert ran.stderr.startswith(f"stsr: --hwaccel {name} cannot decode clip.mp4 here (")
    assert ran.stderr.count("\n") == 1
    assert not (tmp_path / "out.mp4").exists()


def _is_here(device, make_clip):
    return found_on(probe(make_clip(width=320, height=192, num_frames=1)), device) is not None


@pytest.mark.parametrize(
    ("pix_fmt", "given"),
    [("yuv420p", "nv12"), ("yuvj420p", "nv12"), ("yuv420p10le", "p010le"), ("yuv422p", "nv16")],
)
def test_what_devices_lay_out_anew_is_laid_out_as_software_does(make_clip, pix_fmt, given):
    clip = make_clip("in.mkv", num_frames=1, codec="libx264", pix_fmt=pix_fmt)
    with av.open(str(clip)) as container:
        frame = next(container.decode(video=0))
    source = accelerated_by_name(probe(clip))
    planar = pix_fmt.replace("yuvj", "yuv")
    packed = frame.reformat(format=planar).reformat(format=given)
    back = on_host(packed, source)
    assert back.format.name == planar
    assert np.array_equal(back.to_ndarray(), frame.reformat(format=planar).to_ndarray())


def test_another_depth_from_a_device_is_an_error(make_clip):
    source = accelerated_by_name(probe(make_clip("in.mkv", codec="ffv1", pix_fmt="yuv420p10le")))
    with pytest.raises(InputError, match="to nv12 and not to yuv420p10le; use --hwaccel off"):
        on_host(av.VideoFrame(64, 48, "nv12"), source)


def accelerated_by_name(source):
    import dataclasses

    return dataclasses.replace(source, hwaccel="cuda")
