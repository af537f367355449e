"""MPEG transport streams joined of recordings whose tracks have other numbers or codecs: told before the run."""

import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest

from stsr_cli.video.probe import probe
from stsr_cli.video.program_changes import unread_tracks
from stsr_cli.video.program_maps import ProgramMaps

RATE = 48_000


def recording(path, tracks, *, video="libx264", sound="aac", first_pid=0x100):
    """A second of video, and of sound, in the order of `tracks` ("va"), their PIDs from one number on."""
    options = {"mpegts_start_pid": str(first_pid)}
    with av.open(str(path), "w", options=options) as output:
        streams = {}
        for kind in tracks:
            if kind == "v":
                streams[kind] = output.add_stream(video, rate=25)
                streams[kind].width = streams[kind].height = 64
                streams[kind].pix_fmt = "yuv420p"
                if video == "libx265":
                    streams[kind].options = {"x265-params": "log-level=none:bframes=0"}
            else:
                streams[kind] = output.add_stream(sound, rate=RATE, layout="stereo")
        num_samples = 0
        for index in range(25):
            frame = av.VideoFrame.from_ndarray(np.full((96, 64), 3 * index, np.uint8), "yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(streams["v"].encode(frame))
            while "a" in streams and num_samples < (index + 1) * RATE // 25:
                kind = "fltp" if sound == "aac" else "s16"
                shape = (2, 1152) if kind == "fltp" else (1, 2304)
                silence = np.zeros(shape, np.float32 if kind == "fltp" else np.int16)
                samples = av.AudioFrame.from_ndarray(silence, kind, "stereo")
                samples.sample_rate, samples.pts = RATE, num_samples
                samples.time_base = Fraction(1, RATE)
                num_samples += 1152
                output.mux(streams["a"].encode(samples))
        for stream in streams.values():
            output.mux(stream.encode(None))
    return path


def joined(folder, ending, *parts):
    path = folder / f"joined.{ending}"
    made = [recording(folder / f"{n}.{ending}", **part) for n, part in enumerate(parts)]
    path.write_bytes(b"".join(part.read_bytes() for part in made))
    return path, made[0].stat().st_size


PLAIN = {"tracks": "va"}
OTHERS = [
    ({"tracks": "av"}, "its pictures (H.264) and its sound (AAC) are"),
    ({"tracks": "va", "first_pid": 0x200}, "its pictures (H.264) and its sound (AAC) are"),
    ({"tracks": "va", "video": "mpeg2video"}, "its pictures (MPEG-2) are"),
    ({"tracks": "va", "video": "libx265"}, "its pictures (HEVC) are"),
    ({"tracks": "va", "sound": "mp2"}, "its sound (MPEG) is"),
]


@pytest.mark.parametrize(
    ("ending", "other", "what"),
    [
        *(("ts", *row) for row in OTHERS),
        ("m2ts", {"tracks": "va", "video": "mpeg2video"}, "its pictures (MPEG-2) are"),
    ],
)
def test_what_goes_on_in_other_tracks_is_told(tmp_path, ending, other, what):
    path, size = joined(tmp_path, ending, PLAIN, other)
    (line,) = unread_tracks(probe(path))
    assert f"on {what} in other tracks" in line
    position = int(line.split("from byte ")[1].split(" on")[0].replace(",", ""))
    assert 0 <= position - size < 2 * 192  # a description of the service may come before


def test_sound_that_begins_with_the_second_part_is_told(tmp_path):
    path, _ = joined(tmp_path, "ts", {"tracks": "v"}, PLAIN)
    (line,) = unread_tracks(probe(path))
    assert "its sound (AAC) is in other tracks" in line


@pytest.mark.parametrize("parts", [(PLAIN,), (PLAIN, PLAIN), (PLAIN, {"tracks": "v"})])
def test_nothing_is_told_of_tracks_that_go_on_or_end(tmp_path, parts):
    path, _ = joined(tmp_path, "ts", *parts)
    assert unread_tracks(probe(path)) == []


def test_nothing_is_told_of_a_track_that_is_announced_and_never_comes(tmp_path):
    data = recording(tmp_path / "a.ts", "va").read_bytes()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    silent = tmp_path / "silent.ts"
    silent.write_bytes(
        b"".join(one for one in packets if one[1:3] not in (b"\x01\x01", b"\x41\x01"))
    )
    assert unread_tracks(probe(silent)) == []


def test_a_map_that_is_damaged_tells_nothing(tmp_path):
    path = recording(tmp_path / "a.ts", "va")
    data = bytearray(path.read_bytes())
    at = data.rfind(b"\x47\x50\x00")  # the last map, PID 0x1000
    data[at + 19] ^= 4  # of a type of its tracks
    path.write_bytes(data)
    assert unread_tracks(probe(path)) == []


def test_packets_are_found_again_behind_a_gap(tmp_path):
    path, size = joined(tmp_path, "ts", PLAIN, {"tracks": "av"})
    data = path.read_bytes()
    path.write_bytes(data[: size - 1000] + data[size - 950 :])  # no whole packets are missing
    (line,) = unread_tracks(probe(path))
    assert "its pictures (H.264) and its sound (AAC) are" in line


def test_a_run_says_so_and_ends_with_3_and_strict_refuses(call, tmp_path):
    path, _ = joined(tmp_path, "ts", PLAIN, {"tracks": "av"})
    command = ("upscale", path.name, "out.mkv", "--spatial", "bicubic", "--temporal", "blend")
    refused = call(*command, "--strict", code=2)
    assert "changes its tracks on the way" in refused.stderr
    result = call(*command, code=3)
    assert "cut the file there" in result.stderr
    call(*command, "-y", "--end", "0.5", code=0)  # nothing of the second part is asked for


def test_a_pipe_says_so_at_its_end(tmp_path):
    path, _ = joined(tmp_path, "ts", PLAIN, {"tracks": "av"})
    command = [sys.executable, "-m", "stsr_cli", "upscale", "-", str(tmp_path / "out.mkv")]
    with path.open("rb") as file:
        result = subprocess.run(
            [*command, "--spatial", "bicubic", "--temporal", "blend"],
            stdin=file,
            capture_output=True,
            text=True,
            check=False,
        )
    assert result.returncode == 3
    assert result.stderr.count("the pipe (-) changes its tracks on the way: from byte ") == 1


@pytest.mark.parametrize("num_bytes", [1, 187, 100_000])
def test_tracks_are_the_same_whatever_pieces_a_stream_comes_in(tmp_path, num_bytes):
    path, size = joined(tmp_path, "m2ts", PLAIN, {"tracks": "va", "video": "mpeg2video"})
    data, maps = path.read_bytes(), ProgramMaps()
    for at in range(0, len(data), num_bytes):
        maps.feed(data[at : at + num_bytes])
    (first, before), (second, after) = maps.states
    assert first < 192 * 2 < size <= second < size + 192 * 2
    assert (sorted(before.values()), sorted(after.values())) == ([0x06, 0x1B], [0x02, 0x06])
