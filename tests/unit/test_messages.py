"""FFmpeg's own messages, while they are listened to for a moment."""

import contextlib
import io
import logging
from pathlib import Path

import av
import numpy as np
import pytest

from stsr_cli.options import SourceOptions
from stsr_cli.video.messages import let_thread, messages_captured, messages_logged
from stsr_cli.video.probe import probe
from stsr_cli.video.reader import read_frames


def damaged() -> bytes:
    """A stream that makes every thread of its decoder complain."""
    file, noise = io.BytesIO(), np.random.default_rng(0)
    with av.open(file, "w", format="mpegts") as output:
        video = output.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        for _ in range(20):
            picture = noise.integers(0, 255, (240, 320, 3), dtype=np.uint8)
            output.mux(video.encode(av.VideoFrame.from_ndarray(picture)))
        output.mux(video.encode())
    data = bytearray(file.getvalue())
    data[3000::997] = bytes(value ^ 0x5A for value in data[3000::997])
    return bytes(data)


def test_a_decoder_whose_threads_complain_can_be_closed(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its threads waited for the interpreter's lock, and closing it for them: 1 in some 20 never ended."""
    data = damaged()
    with caplog.at_level(logging.DEBUG):
        for _ in range(60):
            container = av.open(io.BytesIO(data), format="mpegts")
            video = container.streams.video[0]
            video.codec_context.thread_type, video.codec_context.thread_count = "FRAME", 4
            for number, packet in enumerate(container.demux(video)):
                with contextlib.suppress(av.FFmpegError):
                    packet.decode()
                if number == 12:
                    break
            with messages_captured(av.logging.INFO):
                pass
            container.close()
            del video, packet, container
    assert av.logging.get_level() is None
    assert caplog.text == capfd.readouterr().err == ""


def test_a_decoder_can_be_closed_while_messages_are_logged(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """It has no threads then, which could wait for the interpreter's lock; it speaks all the same."""
    path = tmp_path / "damaged.ts"
    path.write_bytes(damaged())
    with caplog.at_level(logging.DEBUG), messages_logged(stderr_too=False):
        for _ in range(20):
            frames = read_frames(probe(path, SourceOptions()))
            for _, _ in zip(frames, range(12), strict=False):
                pass
            frames.close()
    assert "libav.h264" in caplog.text
    assert av.logging.get_level() is None
    decoder = av.CodecContext.create("h264", "r")
    let_thread(decoder)
    assert decoder.thread_count != 1


def test_what_is_said_in_this_thread_is_collected() -> None:
    with messages_captured(av.logging.ERROR) as messages, pytest.raises(av.FFmpegError):
        av.open(io.BytesIO(b"no video"), format="mp4")
    assert any("moov atom not found" in text for _, _, text in messages)
