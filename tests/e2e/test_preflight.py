"""What a container takes of a source is tried with its own packets before the run: nothing fails after it."""

import json
import os
import signal
import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from stsr_cli.options import EncodeOptions, TrackOptions
from stsr_cli.video import rehearsal, trial_process
from stsr_cli.video.probe import probe
from stsr_cli.video.writer import open_writer, plan_video

MILLISECOND = Fraction(1, 1000)
RUN = ["--scale", "1", "--spatial", "bicubic", "--temporal", "blend", "--preset", "ultrafast", "-y"]


def write(path, *, codec="pcm_s16le", layout="stereo", rate=48000, video="mpeg4", seconds=0.4):
    """A video with a sine as its sound, of 25 frames a second."""
    channels = av.AudioLayout(layout).nb_channels
    with av.open(str(path), "w") as out:
        pictures = out.add_stream(video, rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound = out.add_stream(codec, rate=rate)
        sound.layout, sound.bit_rate = layout, 128_000
        step = rate // 25
        for index in range(round(25 * seconds)):
            pixels = np.full((48, 64, 3), 20 * index, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p")
            out.mux(pictures.encode(frame))
            times = np.arange(index * step, (index + 1) * step)
            wave = 8000 * np.sin(times[:, None] * (0.01 + 0.003 * np.arange(channels)))
            samples = av.AudioFrame.from_ndarray(
                wave.astype(np.int16).reshape(1, -1), "s16", layout
            )
            samples.sample_rate, samples.pts = rate, index * step
            out.mux(sound.encode(samples))
        out.mux([*pictures.encode(None), *sound.encode(None)])
    return path


def sound_of(path):
    """The payload of the sound, and the name of its layout."""
    with av.open(str(path)) as container:
        layout = container.streams.audio[0].layout.name
        return b"".join(bytes(packet) for packet in container.demux(audio=0)), layout


def without_places(path):
    """Let a QuickTime file with six channels say of each that its place is unknown."""
    data = bytearray(path.read_bytes())
    at = data.index(b"chan") + 4  # version and flags, tag, bitmap, number of descriptions
    size = struct.unpack(">I", data[at - 8 : at - 4])[0]
    descriptions = struct.pack(">III", 0, 0, 6) + struct.pack(">II12x", 0xFFFFFFFF, 0) * 6
    atom = struct.pack(">I", 12 + len(descriptions)) + b"chan" + bytes(4) + descriptions
    grown = len(atom) - size
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"):
        place = data.rindex(name, 0, at) - 4
        data[place : place + 4] = struct.pack(
            ">I", struct.unpack_from(">I", data, place)[0] + grown
        )
    entry = data.rindex(b"sowt", 0, at) - 4
    data[entry : entry + 4] = struct.pack(">I", struct.unpack_from(">I", data, entry)[0] + grown)
    data[at - 8 : at - 8 + size] = atom
    path.write_bytes(data)


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
@pytest.mark.parametrize("ending", ["mp4", "mov"])
def test_pcm_without_a_layout_is_copied(call, tmp_path, layout, ending):
    """Matroska stores the number of channels alone, and times in milliseconds, whatever the samples need."""
    before, unnamed = sound_of(write(tmp_path / "in.mkv", layout=layout, rate=44100))
    assert unnamed.endswith("channels")
    assert call("upscale", "in.mkv", f"out.{ending}", *RUN, "-q").stderr == ""
    after, named = sound_of(tmp_path / f"out.{ending}")
    assert after == before
    assert named == layout or layout == "mono"  # MP4 says of one channel that it is one


@pytest.mark.parametrize("ending", ["mov", "webm"])
def test_a_map_of_unknown_channels_ends_no_process(call, tmp_path, ending):
    """PyAV frees such a map twice."""
    write(tmp_path / "in.mov", layout="5.1", rate=8000)
    without_places(tmp_path / "in.mov")
    codec = ["--codec", "libvpx-vp9"] if ending == "webm" else []
    run = [option for option in RUN if option not in ("--preset", "ultrafast")]
    call("upscale", "in.mov", f"out.{ending}", *run, *codec)
    with av.open(str(tmp_path / f"out.{ending}")) as container:
        sound = container.streams.audio[0]
        assert sound.codec_context.name == ("pcm_s16le" if ending == "mov" else "opus")


def test_flv_is_written_and_verified(call, tmp_path):
    write(tmp_path / "in.mp4", codec="aac")
    said = call("upscale", "in.mp4", "out.flv", *RUN).stderr
    assert "20 frames" in said
    with av.open(str(tmp_path / "out.flv")) as container:
        assert len([frame.pts for frame in container.decode(video=0)]) == 20


def write_times(path, times, tick=MILLISECOND, codec="libx264"):
    """A video with a frame at each of `times`, in ticks."""
    with av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=25, time_base=tick, width=64, height=48)
        for index, pts in enumerate(times):
            frame = av.VideoFrame.from_ndarray(
                np.full((72, 64), 16 + index % 99, np.uint8), "yuv420p"
            )
            frame.pts, frame.time_base = pts, tick
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path


def times_of(path):
    """When each picture is shown, in ms, ascending."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        return sorted(float(packet.pts * packet.time_base * 1000) for packet in packets)


CLOSE = [0, 33, 34, 67, 100, 101, 133, 167]
BETWEEN = [17, 51, 84, 117, 150, 187]  # a half away from zero; none from 33 to 34 and 100 to 101


@pytest.mark.parametrize("more", [[], ["--segment", "0.05"]])
@pytest.mark.parametrize("ending", ["mkv", "flv"])
def test_new_frames_without_a_tick_are_left_out_with_a_word(call, tmp_path, ending, more):
    write_times(tmp_path / "in.mkv", CLOSE)
    said = call("upscale", "in.mkv", f"out.{ending}", *RUN, *more).stderr
    assert "has a clock of 1 ms: of the first 7 new frames 2 would share a tick" in said
    found = times_of(tmp_path / f"out.{ending}")
    assert [round(time - found[0]) for time in found] == sorted([*CLOSE, *BETWEEN])
    refused = call("upscale", "in.mkv", f"out.{ending}", *RUN, "--strict", code=2).stderr
    assert "would share a tick" in refused


def test_a_finer_clock_holds_all_new_frames(call, tmp_path):
    write_times(tmp_path / "in.mkv", CLOSE)
    assert call("upscale", "in.mkv", "out.mp4", *RUN, "-q").stderr == ""
    assert len(times_of(tmp_path / "out.mp4")) == 2 * len(CLOSE)


def test_more_frames_than_a_clock_has_ticks(call, tmp_path):
    """240 fps by 8 are 1920 a second, and Matroska has 1000 ticks."""
    write_times(tmp_path / "in.mp4", range(12), Fraction(1, 240))
    said = call("upscale", "in.mp4", "out.mkv", *RUN, "--time-scale", "8").stderr
    assert "are left out; a .mp4 or .mov has room for all" in said
    found = times_of(tmp_path / "out.mkv")
    assert len(set(found)) == len(found) > 36
    given = [round(index * 1000 / 240) for index in range(12)]
    assert set(given) <= {round(time) for time in found}


def test_given_frames_that_do_not_fit_are_refused_before(call, tmp_path):
    write_times(tmp_path / "in.mp4", range(0, 40), Fraction(1, 2000))
    said = call("upscale", "in.mp4", "out.mkv", *RUN, code=2).stderr
    assert "too coarse for 2000 frames a second; write a .mp4 or .mov" in said


def test_segments_made_for_a_finer_clock_are_joined_for_a_coarser_one(tmp_path):
    source = probe(write_times(tmp_path / "in.mkv", CLOSE))
    options = {"scale": 1, "time_scale": 2, "overwrite": False}
    with open_writer(tmp_path / "out.mkv", source, EncodeOptions("mpeg4"), **options) as writer:
        for pts in range(66, 72):  # half milliseconds
            writer.write(np.zeros((48, 64, 3), np.uint8), pts, 1)
        writer.close()
    assert times_of(tmp_path / "out.mkv") == [33, 34, 35, 36, 37, 38]


def test_a_crash_is_an_answer():
    with pytest.raises(trial_process.CrashedTrial, match="FFmpeg crashes on it, SIGABRT"):
        trial_process.call(os.abort)
    assert trial_process.call(os.getpid) != os.getpid()


def test_a_process_that_had_nothing_to_do_is_started_anew():
    before = trial_process.call(os.getpid)
    os.kill(before, signal.SIGTERM)  # as its own timer does
    assert trial_process.call(os.getpid) != before


def test_a_track_that_crashes_is_converted_and_the_others_are_copied(tmp_path, monkeypatch):
    """The trial with the first track as it is ends its process."""
    write(tmp_path / "in.mkv", codec="flac")
    source = probe(tmp_path / "in.mkv")
    plan, name = plan_video(tmp_path / "out.mkv", source, EncodeOptions(), scale=1)
    monkeypatch.setattr(rehearsal, "try_output", crash_on_copies)
    (track,) = rehearsal.rehearse(
        rehearsal.PlannedOutput(source, plan, name, 2), TrackOptions()
    ).tracks
    assert (track.action, track.target) == ("convert", "flac")


def crash_on_copies(output, tracks):
    if any(track.kind == "audio" and track.action == "copy" for track in tracks):
        os.abort()
    return rehearsal._Trial(output, tracks).run()


@pytest.mark.parametrize("ending", ["mkv", "mp4", "ts", "webm", "flv", "3gp"])
@pytest.mark.parametrize(
    ("codec", "layout", "rate"),
    [
        ("pcm_u8", "stereo", 44100),
        ("pcm_s24le", "5.1", 48000),
        ("wavpack", "mono", 22050),
        ("libmp3lame", "stereo", 44100),
        ("libopus", "stereo", 48000),
        ("ac3", "5.1(side)", 48000),
    ],
)
def test_what_probe_says_of_a_track_happens(call, tmp_path, codec, layout, rate, ending):
    """A small part of tests/benchmarks/mux_matrix.py."""
    write(tmp_path / "in.mkv", codec=codec, layout=layout, rate=rate)
    encoder = {"webm": "libvpx-vp9", "3gp": "mpeg4"}.get(ending, "libx264")
    run = ["in.mkv", f"out.{ending}", "--codec", encoder]
    (said,) = json.loads(call("probe", *run, "--no-trial", "--json").stdout)["tracks"][:1]
    again = [json.loads(call("probe", *run, "--no-trial", "--json").stdout) for _ in range(2)]
    assert [one["tracks"][0] for one in again] == [said, said]
    options = [option for option in RUN if option not in ("--preset", "ultrafast")]
    call("upscale", *run, *options, "--report", "report.json", code=0)
    (done,) = json.loads((tmp_path / "report.json").read_text())["tracks"][:1]
    assert (done["action"], done["target"]) == (said["action"], said["target"])
    with av.open(str(tmp_path / f"out.{ending}")) as container:
        assert len(container.streams.audio) == (said["action"] != "drop")


def test_sound_of_which_nut_stores_less_is_converted(tmp_path):
    """Its muxer takes WMA and does not write how long a block is: no reader could decode it."""
    write(tmp_path / "in.avi", codec="wmav2")
    source = probe(tmp_path / "in.avi")
    plan, name = plan_video(tmp_path / "out.nut", source, EncodeOptions(), scale=1)
    output = rehearsal.PlannedOutput(source, plan, name, 2)
    (track,) = rehearsal.rehearse(output, TrackOptions()).tracks
    assert (track.codec, track.action, track.target) == ("wmav2", "convert", "aac")


@pytest.mark.parametrize("codec", ["ffv1", "libvpx-vp9"])
@pytest.mark.parametrize("ending", ["ts", "m2ts"])
def test_video_that_readers_of_mpeg_ts_take_for_data_is_refused(call, make_clip, codec, ending):
    clip = make_clip("in.mkv", num_frames=3)
    command = ("upscale", clip.name, f"out.{ending}", "--spatial", "bicubic", "--temporal", "blend")
    refused = call(*command, "--codec", codec, code=2)
    assert "kind of track: data instead of video" in refused.stderr
