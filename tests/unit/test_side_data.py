"""Messages in encoded packets and boxes of immersive video, read back by FFmpeg's own parsers."""

import io
import struct
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.sidedata.sidedata import Type as SideDataType
from PIL import Image, ImageCms

from stsr_cli.video.boxes import TrackDescription, change_index, with_descriptions
from stsr_cli.video.encode.frame_encoder import with_messages
from stsr_cli.video.side_data.bitstream import (
    REGISTERED,
    UNREGISTERED,
    Message,
    caption_messages,
    captions_in,
    find,
    format_message,
)
from stsr_cli.video.side_data.decoded import FrameMessages, messages_of
from stsr_cli.video.side_data.immersive import (
    Immersive,
    Spherical,
    boxes_saying,
    header_saying,
    packing_message,
    read_immersive,
    settle_immersive,
)
from stsr_cli.video.side_data.queue import SideDataQueue

UUID = bytes(range(16))
PLAIN, QUARTER = (0, 0, 0, 0), (1 << 30, 0, 1 << 30, 0)
SHAPES = {
    "side by side": Immersive((1, False)),
    "top and bottom": Immersive((2, False)),
    "all around": Immersive(None, Spherical(0, (30 << 16, -(10 << 16), 5 << 16), PLAIN, 0)),
    "a part, two eyes": Immersive((1, False), Spherical(2, (0, 0, 0), QUARTER, 0)),
    "a cube": Immersive(None, Spherical(1, (0, 0, 0), PLAIN, 8)),
}


def _encoded(
    codec: str,
    format_name: str,
    messages: dict[int, Sequence[Message]],
    options: dict[str, str] | None = None,
    num_frames: int = 6,
) -> io.BytesIO:
    file = io.BytesIO()
    with av.open(file, "w", format=format_name) as out:
        video: Any = out.add_stream(codec, rate=25, options=options)
        video.width, video.height, video.pix_fmt = 128, 64, "yuv420p"
        packets = []
        for index in range(num_frames):
            pixels = np.full((64, 128, 3), 20 * index, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            packets += video.encode(frame)
        for packet in [*packets, *video.encode(None)]:
            out.mux(with_messages(packet, messages.get(packet.pts, ()), video))
    file.seek(0)
    return file


def _triplets(index: int) -> bytes:
    return bytes([0xFC, 0x94, index]) + b"\xfa\x00\x00" * 19


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"bf": "2"}),
        ("libx265", {"x265-params": "log-level=error"}),
        ("libsvtav1", {"preset": "12"}),
        ("mpeg2video", {"bf": "2"}),
    ],
)
@pytest.mark.parametrize("format_name", ["mp4", "matroska"])
def test_a_decoder_finds_captions_at_their_frames(
    codec: str, options: dict[str, str], format_name: str
) -> None:
    messages = {index: caption_messages(_triplets(index))[0] for index in (0, 2, 4)}
    with av.open(_encoded(codec, format_name, messages, options)) as back:
        read = {
            index: messages_of(frame).captions for index, frame in enumerate(back.decode(video=0))
        }
    assert {index: data for index, data in read.items() if data} == {
        index: _triplets(index) for index in (0, 2, 4)
    }


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("format_name", ["mp4", "mpegts"])
def test_any_bytes_survive_as_an_sei_message(codec: str, format_name: str) -> None:
    """Zeros would end a unit, 255 counts sizes."""
    data = UUID + bytes(5) + b"\x01\x00\x00\x03\x00\x00\x02" + b"\xff" * 300 + bytes(600)
    sent = [Message(UNREGISTERED, data), format_message(9)]
    options = {"x265-params": "log-level=error"} if codec == "libx265" else {}
    file = _encoded(codec, format_name, {1: sent}, options)
    with av.open(file) as back:
        frames = [messages_of(frame).others for frame in back.decode(video=0)]
    assert [set(others) for others in frames] == [set(), set(sent), *[set()] * 4]
    file.seek(0)
    with av.open(file) as back:
        coding, extradata = (
            codec.replace("libx", "h"),
            back.streams.video[0].codec_context.extradata,
        )
        coding = {"h264": "h264", "h265": "hevc"}[coding]
        found = [m for p in back.demux() if p.size for m in find(bytes(p), coding, extradata)]
    assert [m for m in found if m in sent] == sent


def test_what_is_no_message_is_left_alone() -> None:
    for packet in (
        b"",
        b"\0\0\1",
        b"\0\0\0\1\x06",
        b"\x00\x00\x00\x09\x06",
        bytes(40),
        b"\xff" * 40,
    ):
        for coding in ("h264", "hevc", "mpeg2video", "av1", "vp9"):
            assert captions_in(find(packet, coding, None)) == b""


def test_padding_makes_room_for_captions() -> None:
    real, padding = b"\xfc\x41\x42", b"\xfa\x00\x00"
    (message,), late = caption_messages(padding * 20 + real * 20)
    assert (captions_in([message]), late) == (real * 20, b"")
    (message,), late = caption_messages(real * 40)
    assert (captions_in([message]), late) == (real * 31, real * 9)


def test_what_lies_beside_a_frame_goes_to_the_next_that_is_shown() -> None:
    queue = SideDataQueue()
    for index in range(6):
        queue.put(Fraction(index), FrameMessages(bytes([0xFC, 65 + index, 0])))
    queue.skip(Fraction(1), inclusive=False)
    assert captions_in(queue.take(Fraction(1))) == b"\xfcB\0"
    assert queue.take(Fraction(3, 2)) == []
    assert captions_in(queue.take(Fraction(7, 2))) == b"\xfcC\0\xfcD\0"
    queue.skip(Fraction(4), inclusive=True)
    assert captions_in(queue.take(Fraction(9))) == b"\xfcF\0"


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_ffmpeg_reads_what_boxes_and_headers_say(shape: str) -> None:
    immersive = SHAPES[shape]
    file = _encoded("libx264", "mov", {}, num_frames=1)

    def change(description: TrackDescription) -> TrackDescription:
        entry = description.entry + boxes_saying(immersive)
        return TrackDescription(
            description.handler, description.header, struct.pack(">I", len(entry)) + entry[4:]
        )

    change_index(file, lambda index: with_descriptions(index, {0: change}))
    file.seek(0)
    with av.open(file) as back:
        assert read_immersive(next(back.decode(video=0))) == immersive
    header = header_saying(immersive, "vp9", 128, 64)
    assert header is not None
    out_file = io.BytesIO()
    source = av.open(_encoded("libvpx-vp9", "webm", {}, num_frames=1))
    template = av.open(io.BytesIO(header))
    with source, template, av.open(out_file, "w", format="webm") as out:
        video = out.add_stream_from_template(template.streams.video[0], opaque=True)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = video
                out.mux(packet)
    out_file.seek(0)
    with av.open(out_file) as back:
        assert read_immersive(next(back.decode(video=0))) == immersive


@pytest.mark.parametrize("stereo", [(1, False), (1, True), (2, False), (2, True)])
def test_h264_says_that_two_eyes_share_a_picture(stereo: tuple[int, bool]) -> None:
    messages = {0: packing_message(Immersive(stereo))}
    with av.open(_encoded("libx264", "mpegts", messages, num_frames=1)) as back:
        frame = next(back.decode(video=0))
    assert read_immersive(frame).stereo == stereo
    assert messages_of(frame).others == tuple(packing_message(Immersive(stereo)))


@pytest.mark.parametrize("kind", [3, 4, 5, 6, 7, 8])
def test_eyes_that_networks_mix_are_said_to_be_lost(kind: int) -> None:
    immersive, lost = settle_immersive(Immersive((kind, False)), is_turned=False)
    assert immersive.stereo is None
    assert len(lost) == 1 and "not stereo" in lost[0]


def test_side_data_of_kinds_that_pyav_cannot_name_is_no_obstacle() -> None:
    assert SideDataType(4711).value == 4711
    assert Message(REGISTERED, b"").kind == 4


def test_a_png_with_a_colour_profile_does_not_end_the_process(tmp_path: Path) -> None:
    """PyAV 18.1 frees the profile's name twice; in a process of its own, since that is what it would cost."""
    path = tmp_path / "profile.png"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("RGB", (32, 32)).save(path, icc_profile=profile)
    program = (
        "import gc, sys, av\n"
        "from stsr_cli.video.side_data.support import found_beside\n"
        "for _ in range(3):\n"
        "    frame = next(av.open(sys.argv[1]).decode(video=0))\n"
        "    print(*found_beside(frame))\n"
        "    del frame\n"
        "    gc.collect()\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == "the colour profile (ICC)\n" * 3
