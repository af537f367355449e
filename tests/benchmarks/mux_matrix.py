"""Every container that stsr writes, with every codec that FFmpeg can encode as a track of the source, or as the output.

    python tests/benchmarks/mux_matrix.py OUT.md [--only WORD] [--carriers 2]

A source of ten frames of 32x32 with a second of sound, a few subtitles or packets of data in each carrier that holds
them is run through `upscale` with bicubic and blend. A combination ends well if its track is copied, converted or
dropped with a word, or the run is refused, before the first frame. One that fails after it, or ends the process, is a
failure. Runs are made in one process, which is started anew after a crash.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from collections import Counter
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.codec import Codec
from av.subtitles.subtitle import SubtitleSet

from stsr_cli.errors import StsrError
from stsr_cli.options import EncodeOptions, ModelOptions, UpscaleOptions

TARGETS = "mkv webm mp4 mov m4v 3gp 3g2 f4v ts m2ts flv nut apng".split()
CARRIERS = "mkv mov nut avi ts mp4 flv asf".split()
MUXERS = {"mkv": "matroska", "ts": "mpegts", "ogv": "ogg"}
SOUNDS = [
    (48000, "stereo"),
    (44100, "stereo"),
    (48000, "mono"),
    (44100, "mono"),
    (22050, "mono"),
    (16000, "mono"),
    (8000, "mono"),
    (48000, "5.1"),
]
LAYOUTS = "mono stereo 2.1 3.0 4.0 quad 5.0 5.1 5.1(side) 6.1 7.1 octagonal".split()
SIZES = {"h261": (176, 144), "h263": (128, 96), "dvvideo": (720, 576), "dnxhd": (1280, 720)}
DATA = "klv bin_data timed_id3 scte_35 smpte_2038".split()
BITMAPS = "dvd_subtitle dvb_subtitle hdmv_pgs_subtitle xsub".split()
HEADER = b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\n"
HEADER += b"Style: Default,Arial,16\n\n"
HEADER += (
    b"[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
)
HARDWARE = ("_nvenc", "_qsv", "_amf", "_v4l2m2m", "_vaapi", "_videotoolbox", "_mf", "_vulkan")
MILLISECOND = Fraction(1, 1000)


def cases() -> list[tuple[str, str, str]]:
    """(kind, codec, layout) of each source, or (video, encoder, "") of each output."""
    found: list[tuple[str, str, str]] = []
    for name in sorted(av.codecs_available):
        with contextlib.suppress(Exception):
            codec = Codec(name, "w")
            if codec.type == "audio":
                found.append(("audio", name, ""))
            elif codec.type == "subtitle" and name not in ("dvbsub", "dvdsub", "xsub"):
                found.append(("subtitle", name, ""))
            elif codec.type == "video" and not name.endswith(HARDWARE):
                found.append(("video", name, ""))
    found += [("audio", codec, layout) for codec in ("pcm_s16le", "flac") for layout in LAYOUTS]
    found += [("bitmap", codec, "") for codec in BITMAPS]
    return found + [("data", codec, "") for codec in DATA]


def write_source(path: Path, kind: str, codec: str, layout: str) -> bool:
    """Write a source; whether its carrier holds the track and says what it is."""
    muxer = MUXERS.get(path.suffix[1:], path.suffix[1:])
    for rate, usual in SOUNDS if kind == "audio" and not layout else [(48000, layout)]:
        try:
            with av.open(str(path), "w", format=muxer, options={"strict": "-2"}) as out:
                video = out.add_stream("mpeg4" if muxer != "flv" else "flv", rate=25)
                video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
                packets = _TRACKS[kind](out, codec, rate, usual)
                out.start_encoding()
                for index in range(10):
                    pixels = np.full((32, 32, 3), 20 * index, np.uint8)
                    frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p")
                    out.mux(video.encode(frame))
                out.mux(video.encode(None))
                for packet in packets():
                    out.mux(packet)
            with av.open(str(path)) as back:
                others = [stream for stream in back.streams if stream.type != "video"]
                data = [bytes(packet) for packet in back.demux(others) if packet.size]
                return bool(others and data)
        except Exception:
            continue
    return False


def _audio(out, codec, rate, layout):
    stream = out.add_stream(codec, rate=rate, options={"strict": "-2"})
    stream.layout = layout

    def packets():
        number, step = av.AudioLayout(layout).nb_channels, rate // 10
        for index in range(10):
            times = np.arange(index * step, (index + 1) * step)
            wave = 8000 * np.sin(times[:, None] * (0.01 + 0.003 * np.arange(number)))
            shape = wave.astype(np.int16).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(shape, "s16", layout)
            frame.sample_rate, frame.pts = rate, index * step
            yield from stream.encode(frame)
        yield from stream.encode(None)

    return packets


def _subtitle(out, codec, rate, layout):
    stream = out.add_stream(codec)
    stream.codec_context.subtitle_header = HEADER
    stream.codec_context.time_base = stream.time_base = MILLISECOND

    def packets():
        for index in range(3):
            text = SubtitleSet.create(b"%d,0,Default,,0,0,0,,line" % index, 0, 80)
            packet = stream.codec_context.encode_subtitle(text)
            yield _timed(packet, stream, 100 * index)

    return packets


def _raw(out, codec, rate, layout):
    stream = out.add_data_stream(codec) if codec in DATA else out.add_mux_stream(codec)
    stream.time_base = MILLISECOND
    return lambda: (
        _timed(av.Packet(bytes([0, 16, *range(14)])), stream, 100 * index) for index in range(3)
    )


def _timed(packet, stream, time):
    packet.stream, packet.time_base = stream, MILLISECOND
    packet.pts, packet.dts, packet.duration = time, time, 80
    return packet


_TRACKS = {"audio": _audio, "subtitle": _subtitle, "bitmap": _raw, "data": _raw}


def run(source: Path, target: Path, encode: EncodeOptions) -> tuple[str, str]:
    """How a run ends: copied, converted, dropped, refused or failed; and what it says."""
    from stsr_cli.upscale import upscale
    from stsr_cli.upscale.listener import Silent

    class Counting(Silent):
        num_frames = 0

        def on_frame(self, num_done: int) -> None:
            self.num_frames = num_done

    listener = Counting()
    model = ModelOptions(spatial="bicubic", temporal="blend", stream="t2s", device="cpu")
    options = UpscaleOptions(
        source, target, scale=1, model=model, encode=encode, segment=Fraction(0), overwrite=True
    )
    try:
        report = upscale(options, listener)
    except StsrError as error:
        return ("failed" if listener.num_frames else "refused"), str(error)
    except Exception as error:
        return "failed", repr(error)
    own = [track for track in report.tracks if track.index is not None and track.kind != "tag"]
    verbs = {"copy": "copied", "convert": "converted", "drop": "dropped", "skip": "dropped"}
    return (verbs[own[0].action], own[0].fate) if own else ("copied", "no track is left to carry")


def encode_for(ending: str) -> EncodeOptions:
    """A quick encoder that a container holds."""
    if ending == "webm":
        return EncodeOptions("libvpx-vp9", preset="8")
    return EncodeOptions(
        "auto" if ending == "apng" else "mpeg4" if ending in ("3gp", "3g2") else "libx264"
    )


def work(chosen: list[list[str]], most_carriers: int) -> None:
    """Run cases, telling each as a line of JSON before and after."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, codec, layout in chosen:
            sources = []
            if kind == "video":
                source = folder / "in.mkv"
                write_source(source, "audio", "aac", "stereo")
                if codec in SIZES:
                    continue
                sources.append(source)
            else:
                for carrier in CARRIERS:
                    source = folder / f"in.{carrier}"
                    if write_source(source, kind, codec, layout):
                        sources.append(source)
                    if len(sources) == most_carriers:
                        break
            for source in sources:
                for ending in TARGETS:
                    key = [kind, codec, layout, source.suffix[1:], ending]
                    print(json.dumps({"begin": key}), flush=True)
                    encode = EncodeOptions(codec) if kind == "video" else encode_for(ending)
                    how, said = run(source, folder / f"out.{ending}", encode)
                    print(json.dumps({"end": key, "how": how, "said": said}), flush=True)
            print(json.dumps({"done": [kind, codec, layout]}), flush=True)


def main() -> None:
    """Run all, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--carriers", type=int, default=2, help="of one codec")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(json.load(sys.stdin), arguments.carriers)
        return
    left = [case for case in cases() if arguments.only in " ".join(case)]
    results: list[dict[str, object]] = []
    while left:
        command = [sys.executable, __file__, "-", "--work", "--carriers", str(arguments.carriers)]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as worker:
            assert worker.stdin and worker.stdout
            json.dump(left, worker.stdin)
            worker.stdin.close()
            begun: list[str] | None = None
            for line in worker.stdout:
                told = json.loads(line) if line.startswith("{") else {}
                begun = told.get("begin", begun)
                if "end" in told:
                    results.append(told)
                    write(arguments.out, results, arguments.carriers)  # as far as it has come
                    begun = None
                if "done" in told:
                    left = [case for case in left if list(case) != told["done"]]
        if worker.returncode and left:  # the rest of this case is lost
            key = begun or [*left[0], "", ""]
            results.append({"end": key, "how": "failed", "said": f"ended: {worker.returncode}"})
            left = left[1:]
        elif left:
            break
    write(arguments.out, results, arguments.carriers)


def write(path: Path, results: list[dict[str, object]], most_carriers: int) -> None:
    """Write the table, and print the failures."""
    failures = [one for one in results if one["how"] == "failed"]
    rows: dict[tuple[str, str], Counter[str]] = {}
    for one in results:
        kind, _, _, _, ending = one["end"]
        rows.setdefault((kind, ending), Counter())[one["how"]] += 1
    versions = ".".join(map(str, av.library_versions["libavformat"]))
    lines = [
        "# Containers, tracks and codecs",
        "",
        f"`python tests/benchmarks/mux_matrix.py`, PyAV {av.__version__}, libavformat {versions}: "
        f"{len(results)} combinations, {len(failures)} failures after the first frame.",
        "",
        f"A source of ten frames with one track, in up to {most_carriers} carriers that hold it (`video`: the output's",
        "encoder), is upscaled into each container. All but a failure is settled and said before a network is loaded.",
        "",
        "| track | container | copied | converted | dropped | refused | failed |",
        "|---|---|---|---|---|---|---|",
    ]
    for (kind, ending), counts in sorted(rows.items()):
        names = ("copied", "converted", "dropped", "refused", "failed")
        numbers = " | ".join(str(counts[name]) for name in names)
        lines.append(f"| {kind} | {ending} | {numbers} |")
    path.write_text("\n".join([*lines, "", *map(json.dumps, failures)]) + "\n")


if __name__ == "__main__":
    main()
