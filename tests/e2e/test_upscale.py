"""`stsr upscale` as a user sees it: real clips in, real files out, through the installed command."""

import itertools
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from stsr_cli.cdca import CDCA, tricubic
from stsr_cli.checkpoint import Weights, load_weights, save_weights
from stsr_cli.ops import imresize
from stsr_cli.registry import build
from stsr_cli.streams import TwoStream
from stsr_cli.video.reader import read_frames

PLAIN = ("--spatial", "bicubic", "--temporal", "blend")
LOSSLESS = ("--codec", "libx264rgb", "--pix-fmt", "rgb24", "--crf", "0", "--preset", "ultrafast")
RGB_SOURCE = {"codec": "libx264rgb", "pix_fmt": "rgb24", "options": {"crf": "0"}}
TINY = {
    "span": {"num_channels": 8, "num_blocks": 2},
    "espcn": {"num_channels": 8},
    "rife": {
        "scales": [4, 2, 1],
        "num_channels": [8, 8, 8],
        "num_convs": 1,
        "num_refine_channels": 4,
    },
    "dvf": {"num_channels": 2},
}


def decode(path):
    """Every frame as (H, W, 3) RGB and its time in seconds, in presentation order."""
    with av.open(str(path)) as container:
        frames = [
            (frame.to_ndarray(format="rgb24"), frame.pts * frame.time_base)
            for frame in container.decode(video=0)
        ]
    return [pixels for pixels, _ in frames], [seconds for _, seconds in frames]


def pictures_of_noise(num_frames, width, height):
    """Unrelated smooth pictures, so that a frame in the wrong place cannot look right."""
    rng = np.random.default_rng(0)
    size = (height // 4 + 2, width // 4 + 2)
    coarse = torch.from_numpy(rng.random((num_frames, 3, *size)))
    smooth = imresize(coarse, (height, width)).clamp(0, 1).mul(255).round()
    return list(smooth.movedim(1, -1).numpy().astype(np.uint8))


def bicubic(pixels, scale):
    """(H, W, 3) uint8 -> float64 levels (scale*H, scale*W, 3), neither rounded nor clamped."""
    height, width = pixels.shape[:2]
    image = torch.from_numpy(pixels.astype(np.float64)).movedim(-1, 0)
    return imresize(image, (height * scale, width * scale)).movedim(0, -1).numpy()


def assert_levels(actual, expected):
    """Equal up to ties of rounding: `expected` is in unrounded, unclamped levels."""
    difference = np.abs(actual.astype(np.float64) - expected.clip(0, 255))
    assert difference.max() < 0.51


def write_tiny_weights(path, spatial, temporal):
    """Random weights with enough in their last layers that every layer shows in the picture."""
    torch.manual_seed(1)
    modules = build("spatial", spatial, TINY[spatial]), build("temporal", temporal, TINY[temporal])
    for module in modules:
        for parameter in module.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.5 / parameter[0].numel() ** 0.5)
    if spatial == "espcn":  # its picture is not added to the bicubic one: give it some brightness
        torch.nn.init.constant_(modules[0].conv3.bias, 0.4)
        torch.nn.init.normal_(modules[0].conv1.weight, std=0.5)
    save_weights(path, Weights(*modules))
    return TwoStream(*(module.eval() for module in modules)).eval()


def packets(path, kind):
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        return [
            (packet.pts * packet.time_base, bytes(packet))
            for packet in container.demux(stream)
            if packet.size
        ]


def hidden_files(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_demo_gets_four_times_the_size_and_twice_the_frames(run_stsr, demo_clip, tmp_path):
    target = tmp_path / "out.mp4"
    result = run_stsr("upscale", demo_clip, target, *PLAIN, "--preset", "ultrafast")
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert "96 frames of 1024x576" in result.stderr
    assert "\x1b" not in result.stderr, "control characters although stderr is no terminal"
    assert "Traceback" not in result.stderr
    with av.open(str(demo_clip)) as before, av.open(str(target)) as after:
        source, video = before.streams.video[0], after.streams.video[0]
        assert (video.width, video.height) == (4 * source.width, 4 * source.height) == (1024, 576)
        assert video.duration * video.time_base == source.duration * source.time_base
        assert video.average_rate == 2 * source.average_rate == 48
        assert [stream.type for stream in after.streams] == ["video", "audio"]
    assert [seconds for seconds, _ in packets(target, "audio")] == [
        seconds for seconds, _ in packets(demo_clip, "audio")
    ]
    assert packets(target, "audio") == packets(demo_clip, "audio")
    _, times = decode(target)
    assert times == [Fraction(index, 48) for index in range(96)]
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize("stream", ["t2s", "s2t"])
def test_given_frames_are_upscaled_and_new_ones_lie_between(
    run_stsr, make_clip, demo_clip, tmp_path, stream
):
    source, target = demo_clip, tmp_path / "out.mp4"
    if stream == "s2t":
        source = make_clip("in.mp4", frames=pictures_of_noise(6, 68, 44), **RGB_SOURCE)
    result = run_stsr("upscale", source, target, *PLAIN, *LOSSLESS, "--stream", stream, "-q")
    assert result.returncode == 0, result.stderr
    frames, _ = decode(target)
    given = [frame.pixels for frame in read_frames(source)]
    assert len(frames) == 2 * len(given)
    assert np.array_equal(frames[-1], frames[-2]), "the last frame has none to move to: it is held"
    upscaled = [bicubic(pixels, 4) for pixels in given[:12]]
    for index, expected in enumerate(upscaled):
        assert_levels(frames[2 * index], expected)
    for index, (before, after) in enumerate(itertools.pairwise(upscaled)):
        assert_levels(frames[2 * index + 1], (before + after) / 2)


@pytest.mark.parametrize(
    ("arguments", "name", "source_options"),
    [
        (
            ("--codec", "ffv1"),
            "out.mkv",
            {"codec": "ffv1", "pix_fmt": "bgr0"},
        ),
        (
            ("--crf", "0"),
            "out.mp4",
            {"pix_fmt": "yuv444p", "options": {"crf": "0"}, "colorspace": 1, "color_range": 1},
        ),
    ],
    ids=["rgb", "yuv444"],
)
def test_scale_1_time_scale_1_changes_nothing(
    run_stsr, make_clip, tmp_path, arguments, name, source_options
):
    source = make_clip("in.mkv", **source_options)
    result = run_stsr(
        "upscale",
        source,
        name,
        *PLAIN,
        *("--scale", "1", "--time-scale", "1", "--quiet"),
        *arguments,
        cwd=tmp_path,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    before, times_before = decode(source)
    after, times_after = decode(tmp_path / name)
    assert len(before) == len(after)
    assert times_before == times_after
    difference = np.abs(np.stack(before).astype(int) - np.stack(after))
    assert difference.max() <= 1


@pytest.mark.parametrize(("scale", "time_scale"), [(1, 4), (4, 8), (16, 2), (4, 1)])
def test_other_factors(run_stsr, make_clip, tmp_path, scale, time_scale):
    rate, given = Fraction(24000, 1001), pictures_of_noise(3, 20, 16)
    source = make_clip("in.mp4", frames=given, frame_rate=rate, **RGB_SOURCE)
    target = tmp_path / "out.mp4"
    factors = ("--scale", scale, "--time-scale", time_scale)
    result = run_stsr("upscale", source, target, *PLAIN, *LOSSLESS, *map(str, factors))
    assert result.returncode == 0, result.stderr
    frames, times = decode(target)
    assert times == [index / (rate * time_scale) for index in range(3 * time_scale)]
    upscaled = [pixels.astype(np.float64) for pixels in given]
    for _ in range({1: 0, 4: 1, 16: 2}[scale]):
        upscaled = [bicubic(levels, 4) for levels in upscaled]
    assert frames[0].shape == (16 * scale, 20 * scale, 3)
    upscaled.append(upscaled[-1])
    for index in range(3 * time_scale):
        first, t = divmod(index, time_scale)
        share = t / time_scale
        assert_levels(frames[index], (1 - share) * upscaled[first] + share * upscaled[first + 1])


@pytest.mark.parametrize(("width", "height"), [(50, 38), (33, 17)])
def test_odd_sizes_keep_their_borders(run_stsr, make_clip, tmp_path, width, height):
    """33x17 is smaller than what RIFE takes and no multiple of anything: padding must not show."""
    source = make_clip(
        "in.mkv", num_frames=3, width=width, height=height, codec="ffv1", pix_fmt="bgr0"
    )
    weights = tmp_path / "tiny.safetensors"
    model = write_tiny_weights(weights, "span", "rife")
    target = tmp_path / "out.mp4"
    names = ("--spatial", "span", "--temporal", "rife", "--weights", weights)
    result = run_stsr("upscale", source, target, *names, *LOSSLESS)
    assert result.returncode == 0, result.stderr
    frames, _ = decode(target)
    assert frames[0].shape == (4 * height, 4 * width, 3)
    expected = _reference(model, decode(source)[0], "s2t")
    assert np.abs(np.stack(frames[:-1]).astype(int) - expected).max() <= 1


def test_odd_size_in_the_default_codec(run_stsr, make_clip, tmp_path):
    """H.264's usual 4:2:0 cannot hold 33x17."""
    source = make_clip("in.mkv", width=33, height=17, codec="ffv1", pix_fmt="yuv420p")
    result = run_stsr("upscale", source, tmp_path / "out.mp4", *PLAIN, "--scale", "1")
    assert result.returncode == 0, result.stderr
    frames, _ = decode(tmp_path / "out.mp4")
    assert [frame.shape for frame in frames] == [(17, 33, 3)] * 16


@pytest.mark.parametrize(
    ("spatial", "temporal", "stream", "batch_size"),
    [
        ("span", "rife", "t2s", 3),
        ("span", "rife", "s2t", 3),
        ("espcn", "dvf", "t2s", 1),
        ("espcn", "dvf", "s2t", 1),
    ],
)
def test_learned_pairs_give_what_their_networks_give(
    run_stsr, make_clip, tmp_path, spatial, temporal, stream, batch_size
):
    """Eq. 4 pair by pair, without any reuse of earlier results, is what the video must show."""
    source = make_clip("in.mkv", num_frames=4, width=48, height=32, codec="ffv1", pix_fmt="bgr0")
    weights = tmp_path / "tiny.safetensors"
    model = write_tiny_weights(weights, spatial, temporal)
    names = ("--spatial", spatial, "--temporal", temporal, "--weights", weights)
    options = ("--stream", stream, "--batch-size", str(batch_size))
    result = run_stsr("upscale", source, tmp_path / "out.mp4", *names, *LOSSLESS, *options)
    assert result.returncode == 0, result.stderr
    frames = np.stack(decode(tmp_path / "out.mp4")[0]).astype(int)
    assert len(frames) == 8
    expected = _reference(model, decode(source)[0], stream)
    assert np.std(expected) > 10, "the tiny weights give flat pictures, which prove nothing"
    assert np.abs(expected[0] - expected[2]).mean() > 1, "and these do not move"
    assert np.abs(frames[:-1] - expected).max() <= 1


@pytest.mark.parametrize("batch_size", [1, 3])
def test_cdca_gives_what_its_network_gives(run_stsr, make_clip, tmp_path, batch_size):
    """A system of its own behind the same command, at a time scale that no repeated f_T reaches."""
    source = make_clip("in.mkv", num_frames=4, width=33, height=17, codec="ffv1", pix_fmt="bgr0")
    torch.manual_seed(0)
    model = CDCA(num_channels=8, num_features=6).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data += 0.2 * torch.randn_like(parameter) / parameter[0].numel() ** 0.5
    weights = tmp_path / "cdca.safetensors"
    save_weights(weights, Weights(cdca=model))
    options = ("--system", "cdca", "--weights", weights, "--time-scale", "3")
    options += ("--batch-size", str(batch_size))
    result = run_stsr("upscale", source, tmp_path / "out.mp4", *options, *LOSSLESS)
    assert result.returncode == 0, result.stderr
    assert "with CDCA, weights" in result.stderr
    frames, times = decode(tmp_path / "out.mp4")
    assert times == [Fraction(index, 75) for index in range(12)]
    lr_frames = [torch.from_numpy(frame).movedim(-1, 0)[None] / 255 for frame in decode(source)[0]]
    expected = []
    with torch.inference_mode():
        for before, after in itertools.pairwise([*lr_frames, lr_frames[-1]]):
            between = [model(tricubic(before, after, t / 3, 4)) for t in (1, 2)]
            expected += [model.upscale(before), *between]
    expected[-2:] = expected[-3:-2] * 2  # the last frame is held
    levels = torch.cat(expected).clamp(0, 1).mul(255).round().movedim(1, -1).numpy().astype(int)
    assert np.abs(levels[0] - levels[3]).mean() > 1, "these do not move"
    assert np.abs(np.stack(frames).astype(int) - levels).max() <= 1


def test_separately_trained_files_make_a_pair(run_stsr, make_clip, tmp_path):
    source = make_clip("in.mkv", num_frames=3, width=48, height=32, codec="ffv1", pix_fmt="bgr0")
    write_tiny_weights(tmp_path / "both.safetensors", "espcn", "dvf")
    both = load_weights(tmp_path / "both.safetensors")
    save_weights(tmp_path / "s.safetensors", Weights(spatial=both.spatial))
    save_weights(tmp_path / "t.safetensors", Weights(temporal=both.temporal))
    names = ("--spatial", "espcn", "--temporal", "dvf", "--codec", "ffv1")
    for target, weights in (("one.mkv", ["both"]), ("two.mkv", ["s", "t"])):
        files = [part for name in weights for part in ("--weights", f"{name}.safetensors")]
        result = run_stsr("upscale", source, target, *names, *files, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    one, two = (decode(tmp_path / name)[0] for name in ("one.mkv", "two.mkv"))
    assert np.array_equal(one, two)


def test_batches_do_not_change_the_frames(run_stsr, make_clip, tmp_path):
    source = make_clip("in.mkv", num_frames=5, codec="ffv1", pix_fmt="bgr0")
    outputs = []
    for batch_size in ("1", "3"):
        target = tmp_path / f"{batch_size}.mp4"
        options = ("--time-scale", "4", "--batch-size", batch_size)
        result = run_stsr("upscale", source, target, *PLAIN, *LOSSLESS, *options)
        assert result.returncode == 0, result.stderr
        outputs.append(decode(target))
    assert outputs[0][1] == outputs[1][1]
    assert len(outputs[0][0]) == 20
    difference = np.abs(np.stack(outputs[0][0]).astype(int) - np.stack(outputs[1][0]))
    assert difference.max() <= 1


@torch.inference_mode()
def _reference(model, given, stream):
    """2N - 1 frames as levels: f_S of each frame, and the stream's frame between neighbours."""
    images = [torch.from_numpy(pixels).movedim(-1, 0)[None] / 255 for pixels in given]
    frames = [model.upscale(images[0])]
    for before, after in itertools.pairwise(images):
        if stream == "t2s":
            middle = model.upscale(model.interpolate(before, after))
        else:
            motion = model.find_motion(before, after) if model.temporal.finds_motion else None
            hr_frames = model.upscale(before), model.upscale(after)
            middle = model.interpolate(*hr_frames, motion=motion)
        frames += [middle, model.upscale(after)]
    levels = torch.cat(frames).clamp(0, 1).mul(255).round()
    return levels.movedim(1, -1).numpy().astype(int)


@pytest.mark.parametrize("num_frames", [1, 2])
def test_very_short_clips(run_stsr, make_clip, tmp_path, num_frames):
    source = make_clip(num_frames=num_frames, has_sound=True)
    result = run_stsr("upscale", source, "out.mp4", *PLAIN, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    frames, times = decode(tmp_path / "out.mp4")
    assert times == [Fraction(index, 50) for index in range(2 * num_frames)]
    assert frames[0].shape == (192, 256, 3)
    assert [data for _, data in packets(tmp_path / "out.mp4", "audio")] == [
        data for _, data in packets(source, "audio")
    ]


def test_variable_frame_rate_puts_new_frames_half_way(run_stsr, make_clip, tmp_path):
    source = make_clip(num_frames=6, frame_pts=[0, 1, 4, 5, 11, 12], frame_rate=Fraction(30))
    target = tmp_path / "out.mp4"
    result = run_stsr("upscale", source, target, *PLAIN)
    assert result.returncode == 0, result.stderr
    _, given = decode(source)
    assert given == [Fraction(tick, 30) for tick in (0, 1, 4, 5, 11, 12)]
    _, times = decode(target)
    assert times[::2] == given
    assert times[1:-1:2] == [(before + after) / 2 for before, after in itertools.pairwise(given)]
    assert len(times) == 12


def test_clip_without_sound(run_stsr, make_clip, tmp_path):
    result = run_stsr("upscale", make_clip(), tmp_path / "out.mkv", *PLAIN)
    assert result.returncode == 0, result.stderr
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
    assert len(decode(tmp_path / "out.mkv")[0]) == 16


@pytest.mark.parametrize(
    ("source_name", "target_name"),
    [
        ('фильм №1 it\'s "new" [a] 100%.mp4', "результат $HOME 'x' %03d 4×.mp4"),
        ("-in.mp4", "-y.mp4"),
    ],
)
def test_unusual_file_names(run_stsr, make_clip, tmp_path, source_name, target_name):
    make_clip(source_name, num_frames=2)
    result = run_stsr("upscale", *PLAIN, "--", source_name, target_name, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert source_name in result.stderr
    assert target_name in result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {source_name, target_name}
    assert len(list(read_frames(tmp_path / target_name))) == 4


def test_ten_bits_in_ten_bits_out(run_stsr, make_clip, tmp_path):
    source = make_clip("in.mkv", pix_fmt="yuv420p10le", codec="ffv1", width=96, height=32)
    result = run_stsr("upscale", source, tmp_path / "out.mp4", *PLAIN, "--crf", "0")
    assert result.returncode == 0, result.stderr
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
        assert frame.format.name == "yuv420p10le"
        luma = frame.to_ndarray()[: frame.height]
    assert len(np.unique(luma % 4)) == 4, "ten bits were asked for and eight are used"


@pytest.fixture
def _ctrl_c_counts():
    """A shell ignores Ctrl-C in what it runs in the background, and children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.usefixtures("_ctrl_c_counts")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_stopping_leaves_nothing_behind(demo_clip, tmp_path, number):
    command = Path(sys.executable).with_name("stsr")
    arguments = ["upscale", demo_clip, tmp_path / "out.mp4", *PLAIN, "--preset", "veryslow", "-q"]
    process = subprocess.Popen(
        [command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 60
        while not hidden_files(tmp_path) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.5)  # into the middle of the frames
        assert process.poll() is None, "the run ended before it could be stopped"
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, stderr
    assert stdout == ""
    assert len(stderr.splitlines()) == 1, stderr
    assert stderr.startswith("stsr: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_existing_output_survives_a_failure(demo_clip, tmp_path):
    """The disk is full half-way: the old file is still there, and what was made until then."""
    target = tmp_path / "out.mkv"
    target.write_bytes(b"precious")
    command = [Path(sys.executable).with_name("stsr"), "upscale", demo_clip, target, *PLAIN]
    options = ["--codec", "ffv1", "-y", "-q"]  # half a megabyte a frame
    result = subprocess.run(
        ["sh", "-c", 'ulimit -f 2048; exec "$@"', "sh", *command, *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 1, result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith("stsr: cannot write")
    assert target.read_bytes() == b"precious"
    assert {path.name for path in tmp_path.iterdir()} == {"out.mkv", "out.incomplete.nut"}


def test_overwriting_replaces_the_old_file(run_stsr, make_clip, tmp_path):
    target = tmp_path / "out.mp4"
    target.write_bytes(b"old")
    result = run_stsr("upscale", make_clip(num_frames=2), target, *PLAIN, "-y")
    assert result.returncode == 0, result.stderr
    assert len(decode(target)[0]) == 4


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
def test_memory_does_not_grow_with_the_length(make_clip, tmp_path):
    peaks = []
    for num_frames in (50, 500):
        source = make_clip(f"{num_frames}.mp4", num_frames=num_frames, options={"g": "25"})
        target = tmp_path / f"out{num_frames}.mp4"
        command = [Path(sys.executable).with_name("stsr"), "upscale", source, target, *PLAIN]
        process = subprocess.Popen([*command, "--preset", "ultrafast", "-q"])
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        assert len(packets(target, "video")) == 2 * num_frames
        peaks.append(usage.ru_maxrss / 1024)
    assert peaks[1] - peaks[0] < 30, f"peak RSS in MiB of 50 and 500 frames: {peaks}"
