"""stsr between other programs: `-` as INPUT and OUTPUT, with sound in sync and nothing else on the standard output."""

import array
import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

STSR = Path(sys.executable).with_name("stsr")
FAST = ("--spatial", "bicubic", "--temporal", "blend", "--scale", "1")
RATE = 8000


@dataclass(frozen=True)
class Ran:
    """A finished `stsr`."""

    returncode: int
    stdout: bytes
    stderr: str


@pytest.fixture
def stsr(command_server, tmp_path, tmp_path_factory):
    """Run `stsr upscale` in tmp_path, with the bytes `stdin` in a pipe."""
    folder = tmp_path_factory.mktemp("streams")

    def run(*arguments, stdin=b"", command="upscale", options=FAST):
        pipe, out, err = (folder / name for name in ("stdin", "stdout", "stderr"))
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe)
        request = {
            "arguments": [command, *map(str, arguments), *options],
            "env": {"PATH": os.environ["PATH"], "NO_COLOR": "1", "COLUMNS": "100"},
            "cwd": str(tmp_path),
            "stdin": str(pipe),
            "stdout": str(out),
            "stderr": str(err),
            "weights_folder": None,
        }

        def feed():
            with contextlib.suppress(BrokenPipeError):
                pipe.write_bytes(stdin)

        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        command_server.stdin.write(json.dumps(request) + "\n")
        command_server.stdin.flush()
        code = int(command_server.stdout.readline())
        feeder.join()
        return Ran(code, out.read_bytes(), err.read_text(encoding="utf-8"))

    return run


def picture(index, deep=False):
    random = np.random.default_rng(index)
    peak, kind = (65535, np.uint16) if deep else (255, np.uint8)
    return random.integers(0, peak, (32, 48, 3), endpoint=True, dtype=kind)


def stream(pts, *, container="nut", codec="rawvideo", pix_fmt="gbrp", deep=False, sound=None):
    """A stream of pictures at these pts, in ms, perhaps with PCM that begins at `sound` ms."""
    data = io.BytesIO()
    with av.open(data, "w", format=container) as out:
        video = out.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = 48, 32, pix_fmt
        video.codec_context.time_base = Fraction(1, 1000)
        if container == "yuv4mpegpipe":
            video.codec_context.time_base = Fraction(1, 25)
        audio = out.add_stream("pcm_s16le", rate=RATE) if sound is not None else None
        if audio:
            audio.layout = "mono"
            for begin in range(0, RATE, 800):
                samples = av.AudioFrame.from_ndarray(
                    np.arange(begin, begin + 800, dtype=np.int16)[None], "s16", "mono"
                )
                samples.sample_rate, samples.time_base = RATE, Fraction(1, RATE)
                samples.pts = sound * RATE // 1000 + begin
                out.mux(audio.encode(samples))
        for index, time in enumerate(pts):
            kind = "rgb48le" if deep else "rgb24"
            frame = av.VideoFrame.from_ndarray(picture(index, deep), kind).reformat(format=pix_fmt)
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            if container == "yuv4mpegpipe":
                frame.pts, frame.time_base = index, Fraction(1, 25)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return data.getvalue()


def demux(data):
    """(format, video frames as (milliseconds, frame), sound as (milliseconds, samples))."""
    with av.open(io.BytesIO(data) if isinstance(data, bytes) else str(data)) as container:
        frames, samples = [], []
        for packet in container.demux():
            for frame in packet.decode():
                is_video = isinstance(frame, av.VideoFrame)
                (frames if is_video else samples).append(
                    (frame.pts * frame.time_base * 1000, frame)
                )
        return container.format.name, frames, samples


def sound_in(samples):
    return np.concatenate([frame.to_ndarray().reshape(-1) for _, frame in samples])


def test_a_pipe_through_keeps_times_pixels_and_sound(stsr):
    pts = [120, 160, 210, 290, 330]
    result = stsr("-", "-", stdin=stream(pts, sound=40))
    assert result.returncode == 0, result.stderr
    name, frames, samples = demux(result.stdout)
    assert name == "nut"
    assert [time for time, _ in frames] == [80, 100, 120, 145, 170, 210, 250, 270, 290, 310]
    assert samples[0][0] == 0
    assert np.array_equal(sound_in(samples), np.arange(RATE, dtype=np.int16))
    for index in range(5):
        assert np.array_equal(frames[2 * index][1].to_ndarray(format="rgb24"), picture(index))
    assert "a pipe cannot be read back" in result.stderr


def test_a_pipe_keeps_sixteen_bits(stsr):
    given = stream([0, 40], pix_fmt="rgb48le", deep=True)
    result = stsr("-", "-", "--time-scale", "1", "--pix-fmt", "rgb48le", stdin=given)
    assert result.returncode == 0, result.stderr
    _, frames, _ = demux(result.stdout)
    for index, (_, frame) in enumerate(frames):
        assert np.array_equal(frame.to_ndarray(format="rgb48le"), picture(index, deep=True))


@pytest.mark.parametrize("container", ["nut", "matroska", "yuv4mpegpipe"])
def test_a_pipe_into_a_file(stsr, tmp_path, container):
    is_y4m = container == "yuv4mpegpipe"
    pix_fmt = "yuv444p" if is_y4m else "yuv420p"
    codec = "rawvideo" if container != "matroska" else "libx264"
    given = stream(
        [0, 40, 80], container=container, codec=codec, pix_fmt=pix_fmt, sound=None if is_y4m else 20
    )
    result = stsr("-", "out.mkv", stdin=given)
    assert result.returncode == 0, result.stderr
    assert result.stdout == b""
    _, frames, samples = demux(tmp_path / "out.mkv")
    assert [time for time, _ in frames] == [0, 20, 40, 60, 80, 100]
    if not is_y4m:
        assert samples[0][0] == 20
        assert np.array_equal(sound_in(samples), np.arange(RATE, dtype=np.int16))


def test_a_pipe_with_tags_that_the_output_does_not_keep(stsr, tmp_path):
    piped = io.BytesIO()
    with (
        av.open(io.BytesIO(stream([0, 40], sound=0))) as given,
        av.open(piped, "w", format="nut") as out,
    ):
        copies = {s: out.add_stream_from_template(s) for s in given.streams}
        copies[given.streams.audio[0]].metadata.update(MIXER="Someone", language="und")
        for packet in given.demux():
            if packet.size:
                packet.stream = copies[packet.stream]
                out.mux(packet)
    result = stsr("-", "out.mov", stdin=piped.getvalue())
    assert result.returncode == 0, result.stderr
    assert len(demux(tmp_path / "out.mov")[1]) == 4


@pytest.mark.parametrize(
    ("pix_fmt", "found"),
    [("yuv420p", "yuv420p"), ("yuv422p10le", "yuv422p10le"), ("gbrp", "yuv444p")],
)
def test_y4m_out(stsr, tmp_path, pix_fmt, found):
    (tmp_path / "in.nut").write_bytes(stream([0, 40, 80, 120], pix_fmt=pix_fmt, sound=0))
    result = stsr("in.nut", "-", "--format", "y4m")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(b"YUV4MPEG2 W48 H32 F50:1 ")
    name, frames, samples = demux(result.stdout)
    assert (name, len(frames), samples) == ("yuv4mpegpipe", 8, [])
    assert frames[0][1].format.name == found
    assert "audio 1 (pcm_s16le): dropped because y4m has no room for it" in result.stderr
    assert "y4m has no times" not in result.stderr
    assert stsr("in.nut", "-", "--format", "y4m", "--strict").returncode == 2


def test_y4m_says_that_it_has_no_times(stsr):
    result = stsr("-", "-", "--format", "y4m", stdin=stream([0, 40, 80, 200, 240, 600]))
    assert result.returncode == 0
    assert "warning: y4m has no times: frames are shown up to" in result.stderr


def test_matroska_out_is_lossless(stsr):
    result = stsr("-", "-", "--format", "matroska", "--time-scale", "1", stdin=stream([0, 40, 90]))
    assert result.returncode == 0, result.stderr
    name, frames, _ = demux(result.stdout)
    assert "matroska" in name
    assert [time for time, _ in frames] == [0, 40, 90]
    for index, (_, frame) in enumerate(frames):
        assert np.array_equal(frame.to_ndarray(format="rgb24"), picture(index))


def test_a_pipe_into_images(stsr, tmp_path):
    result = stsr("-", "images/", stdin=stream([0, 40], sound=0))
    assert result.returncode == 0, result.stderr
    assert len(list((tmp_path / "images").iterdir())) == 4


def test_a_reader_that_goes_away_is_one_line(tmp_path):
    (tmp_path / "in.nut").write_bytes(stream(range(0, 2000, 40)))
    command = [str(STSR), "upscale", "in.nut", "-", *FAST]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        run.stdout.read(10)
        run.stdout.close()
        stderr = run.stderr.read().decode()
        assert run.wait(60) == 1
    assert "the program behind it has stopped reading" in stderr.splitlines()[-1]
    assert "Traceback" not in stderr


def test_ctrl_c_while_waiting_for_the_first_bytes(tmp_path):
    command = [str(STSR), "upscale", "-", "out.mkv", *FAST]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        run.stdin.write(b"YUV4MPEG2 W48 H32 ")
        run.stdin.flush()
        while unread(run.stdin):  # until stsr is up and reads
            time.sleep(0.1)
        run.send_signal(signal.SIGINT)
        assert run.wait(60) == 130
        assert run.stderr.read().splitlines()[-1].startswith(b"stsr: interrupted")


def unread(pipe):
    """How many bytes nobody has read yet."""
    fcntl, termios = map(pytest.importorskip, ("fcntl", "termios"))  # not on Windows
    waiting = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, waiting)
    return waiting[0]


def test_a_stream_that_breaks_off_says_so(stsr, tmp_path):
    whole = stream([0, 40, 80, 120], container="matroska", codec="libx264", pix_fmt="yuv420p")
    result = stsr("-", "out.mkv", stdin=b"no video at all")
    assert result.returncode == 4
    assert "cannot read a video from the pipe (-)" in result.stderr
    assert stsr("-", "out.mkv", stdin=b"").returncode == 4
    assert stsr("-", "out.mkv", stdin=whole[:300]).returncode == 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-", "out.mkv", "--stream", "auto"), "- is read once"),
        (("-", "out.mkv", "--start", "1"), "--start cannot be used with -"),
        (("-", "out.mkv", "--rate", "25"), "--rate is for image sequences"),
        (("-", "out.mkv", "--format", "y4m"), "--format cannot be used"),
        (("-", "out.mkv", "--preview", "1"), "it needs files"),
        (("-", "-", "--format", "y4m", "--codec", "libx264"), "y4m holds raw video alone"),
    ],
)
def test_what_makes_no_sense_with_a_pipe_is_refused(stsr, tmp_path, arguments, words):
    result = stsr(*arguments, stdin=stream([0, 40]))
    assert result.returncode == 2
    assert words in " ".join(result.stderr.split())
    assert result.stdout == b""
    assert list(tmp_path.iterdir()) == []


def test_probe_reads_a_pipe(stsr):
    result = stsr("-", "--json", stdin=stream([0, 40], sound=0), command="probe", options=())
    assert b'"width": 48' in result.stdout
    assert b'"codec": "pcm_s16le"' in result.stdout


def test_a_playlist_from_a_stranger_opens_no_file(stsr, tmp_path, make_clip):
    clip = make_clip("clip.ts")
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{clip}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{clip}'\n",
    ):
        result = stsr("-", "out.mkv", stdin=text.encode())
        assert result.returncode == 4
        assert not (tmp_path / "out.mkv").exists()


def test_sound_far_ahead_of_its_pictures_is_no_endless_queue(tmp_path):
    path = tmp_path / "in.nut"
    path.write_bytes(stream([0, 2000], sound=0))
    code = (
        "import stsr_cli.video.pipes.pipe as pipe; pipe._MOST_WAITING_BYTES = 5000\n"
        "from stsr_cli.cli import main; main(prog_name='stsr')"
    )
    command = [sys.executable, "-c", code, "upscale", "-", "out.mkv", *FAST]
    with path.open("rb") as file:
        result = subprocess.run(
            command, stdin=file, cwd=tmp_path, capture_output=True, check=False, timeout=60
        )
    assert result.returncode == 1
    assert b"ahead of its pictures; save it to a file" in result.stderr


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs ffmpeg")
def test_between_two_ffmpegs(tmp_path, demo_clip):
    script = (
        'ffmpeg -v error -i "$0" -f nut -c:v rawvideo -c:a pcm_s16le - '
        f'| "{STSR}" upscale - - {" ".join(FAST)} '
        "| ffmpeg -v error -f nut -i - -c:v ffv1 -c:a copy out.nut"
    )
    subprocess.run(
        ["bash", "-o", "pipefail", "-ec", script, str(demo_clip)], cwd=tmp_path, check=True
    )
    direct = 'ffmpeg -v error -i "$0" -c:v ffv1 -c:a pcm_s16le direct.nut'
    subprocess.run(["bash", "-ec", direct, str(demo_clip)], cwd=tmp_path, check=True)
    _, frames, samples = demux(tmp_path / "out.nut")
    _, wanted, sound = demux(tmp_path / "direct.nut")
    assert [time for time, _ in frames[::2]] == [time for time, _ in wanted]
    assert samples[0][0] - frames[0][0] == sound[0][0] - wanted[0][0]
    assert np.array_equal(sound_in(samples), sound_in(sound))
