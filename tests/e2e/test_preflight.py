"""What a container takes of a source is tried with its own packets before the run: nothing fails after it."""

import struct

import av
import numpy as np
import pytest

RUN = ["--scale", "1", "--spatial", "bicubic", "--temporal", "blend", "--preset", "ultrafast", "-y"]


def write(path, *, codec="pcm_s16le", layout="stereo", rate=48000, video="mpeg4", seconds=0.4):
    """A video with a sine as its sound, of 25 frames a second."""
    channels = av.AudioLayout(layout).nb_channels
    with av.open(str(path), "w") as out:
        pictures = out.add_stream(video, rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound = out.add_stream(codec, rate=rate)
        sound.layout = layout
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
