"""Names, links and disks: only the file that was named is read, only the one that was named is written."""

import contextlib
import http.server
import os
import shutil
import threading
import unicodedata
from pathlib import Path

import av
import pytest

from stsr_cli.errors import InputError
from stsr_cli.options import SourceOptions
from stsr_cli.video.probe import probe
from stsr_cli.video.reader import read_frames
from tests.corpus.writing import File, Sound, Video, write

FAST = ("--spatial", "bicubic", "--temporal", "blend", "--scale", "1", "--preset", "ultrafast")
USAGE, INPUT = 2, 4
SEEDS = Path(__file__).with_name("seeds")
NAMES = [
    "with space.mp4",
    'it\'s "quoted" `name` $HOME.mp4',
    "two\nlines\t.mp4",
    unicodedata.normalize("NFC", "Ünïcödé 日本.mp4"),
    unicodedata.normalize("NFD", "Ünïcödé 日本.mp4"),
    os.fsdecode(b"bytes \xff\xfe.mp4"),
    "-y.mp4",
    "--help.mp4",
    "100%.mp4",
    "%d %s %06d.mp4",
    "http:x.mp4",
    "concat:a|b.mp4",
    "a" * 251 + ".mp4",
    "\x1b[31mred.mp4",
]


def num_frames(path):
    return sum(1 for _ in read_frames(path))


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:20])
@pytest.mark.parametrize("segment", [0, 0.1], ids=["one go", "segments"])
def test_any_name_is_read_and_written(call, tmp_path, name, segment):
    shutil.copy(SEEDS / "h264-aac.mp4", tmp_path / name)
    target = f"o{name}" if len(name) < 250 else f"o{name[1:]}"
    if segment and len(os.fsencode(name)) > 250:
        target = "o.mp4"  # OUTPUT.stsr needs a name, too
    call("upscale", *FAST, "--segment", segment, "--", name, target)
    assert num_frames(tmp_path / target) == 20
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / name, tmp_path / target])
    call("probe", "--", name)


PLAYLISTS = {
    "in.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:2,\n{0}\n#EXT-X-ENDLIST\n",
    "in.ffconcat": "ffconcat version 1.0\nfile {0}\n",
    "in.mkv": "ffconcat version 1.0\nfile {0}\n",
    "in.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "in.mpd": '<?xml version="1.0"?>\n<MPD type="static"><Period><BaseURL>{0}</BaseURL></Period></MPD>\n',
}


@pytest.mark.parametrize("name", PLAYLISTS)
@pytest.mark.parametrize("command", ["upscale", "probe", "compare"])
def test_a_playlist_opens_nothing(call, tmp_path, name, command):
    shutil.copy(SEEDS / "h264-mp2.ts", tmp_path / "other.ts")
    (tmp_path / name).write_text(PLAYLISTS[name].format("other.ts"))
    arguments = {
        "upscale": ("upscale", *FAST, name, "out.mkv"),
        "probe": ("probe", name),
        "compare": ("compare", name, name, "-o", "out.mkv"),
    }
    said = call(*arguments[command], code=INPUT).stderr
    assert "names other files or addresses" in said
    assert "--allow-protocols" in said
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize("name", ["in.m3u8", "in.ffconcat"])
def test_a_playlist_opens_what_is_allowed(call, tmp_path, name):
    shutil.copy(SEEDS / "h264-mp2.ts", tmp_path / "other.ts")
    (tmp_path / name).write_text(PLAYLISTS[name].format("other.ts"))
    result = call("upscale", *FAST, "--allow-protocols", "file", "--end", 9, name, "out.mkv")
    assert result.exit_code == 0
    assert num_frames(tmp_path / "out.mkv") == 20


def test_a_playlist_through_a_pipe_opens_nothing(call_pipe, tmp_path):
    shutil.copy(SEEDS / "h264-mp2.ts", tmp_path / "other.ts")
    (tmp_path / "in.m3u8").write_text(PLAYLISTS["in.m3u8"].format(tmp_path / "other.ts"))
    result = call_pipe(tmp_path / "in.m3u8", "upscale", *FAST, "-", "out.mkv")
    assert result.returncode == INPUT, result.stderr
    assert not (tmp_path / "out.mkv").exists()


@pytest.fixture
def server():
    """A server of the seeds, and the paths that were asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(SEEDS))

        def do_GET(self):
            asked.append(self.path)
            with contextlib.suppress(ConnectionError):
                super().do_GET()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}", asked
        httpd.shutdown()


def test_an_address_is_opened_if_its_protocol_is_allowed(call, tmp_path, server):
    address, asked = server
    url = f"{address}/h264-aac.mp4"
    said = call("upscale", *FAST, url, "no.mkv", code=INPUT).stderr
    assert "--allow-protocols http" in said
    said = call("upscale", *FAST, "--allow-protocols", "file", url, "no.mkv", code=INPUT).stderr
    assert "no such file" in said
    assert asked == []
    allowed = ("--allow-protocols", "http,tcp")
    call("upscale", *FAST, *allowed, "--segment", 0.1, url, "out.mkv")
    assert num_frames(tmp_path / "out.mkv") == 20
    assert asked
    (tmp_path / "in.m3u8").write_text(PLAYLISTS["in.m3u8"].format(f"{address}/h264-mp2.ts"))
    asked.clear()
    call("upscale", *FAST, "in.m3u8", "no.mkv", code=INPUT)
    call("upscale", *FAST, "--allow-protocols", "file", "in.m3u8", "no.mkv", code=INPUT)
    assert asked == []


@pytest.mark.parametrize(
    "name",
    [
        *("http://127.0.0.1:9/x.mp4", "concat:a.ts|b.ts", "data:video/mp4;base64,AAAA", "pipe:0"),
        *("subfile,,start,0,end,9,,:in.mp4", "crypto:in.mp4", "file:gone.mp4", "tcp://127.0.0.1:9"),
    ],
)
def test_an_address_is_no_file(call, name):
    assert "no such file" in call("upscale", *FAST, name, "out.mkv", code=INPUT).stderr


@pytest.mark.parametrize("value", ["", "http,", "a b", "http;tcp"])
def test_a_list_of_protocols_is_checked(call, value):
    said = call("upscale", *FAST, "--allow-protocols", value, "a", "b.mkv", code=USAGE).stderr
    assert "is no name of a protocol" in said


def test_links_lead_to_files(call, tmp_path):
    (tmp_path / "disk").mkdir()
    shutil.copy(SEEDS / "h264-aac.mp4", tmp_path / "real.mp4")
    (tmp_path / "in.mp4").symlink_to("real.mp4")
    (tmp_path / "out.mkv").symlink_to("disk/film.mkv")
    call("upscale", *FAST, "in.mp4", "out.mkv")
    assert (tmp_path / "out.mkv").is_symlink()
    assert num_frames(tmp_path / "disk" / "film.mkv") == 20
    content = (tmp_path / "disk" / "film.mkv").read_bytes()
    assert "exists" in call("upscale", *FAST, "in.mp4", "out.mkv", code=USAGE).stderr
    assert (tmp_path / "disk" / "film.mkv").read_bytes() == content
    call("upscale", *FAST, "in.mp4", "out.mkv", "-y", "--time-scale", 1)
    assert (tmp_path / "out.mkv").is_symlink()
    assert num_frames(tmp_path / "disk" / "film.mkv") == 10
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["film.mkv"]


def test_links_that_lead_nowhere(call, tmp_path):
    shutil.copy(SEEDS / "h264-aac.mp4", tmp_path / "real.mp4")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "dangling.mp4").symlink_to("gone.mp4")
    (tmp_path / "far.mkv").symlink_to("gone/out.mkv")
    assert "no such file" in call("upscale", *FAST, "loop.mp4", "a.mkv", code=INPUT).stderr
    assert "no such file" in call("upscale", *FAST, "dangling.mp4", "a.mkv", code=INPUT).stderr
    call("upscale", *FAST, "real.mp4", "loop.mp4", code=USAGE)
    assert "does not exist" in call("upscale", *FAST, "real.mp4", "far.mkv", code=USAGE).stderr
    assert (tmp_path / "loop.mp4").is_symlink()
    assert not (tmp_path / "a.mkv").exists()


@pytest.mark.parametrize("overwrite", [(), ("-y",)], ids=["", "y"])
def test_an_output_that_is_no_plain_file_stays(call, tmp_path, overwrite):
    shutil.copy(SEEDS / "h264-aac.mp4", tmp_path / "in.mp4")
    os.mkfifo(tmp_path / "out.mkv")
    call("upscale", *FAST, "in.mp4", "out.mkv", *overwrite, code=USAGE)
    assert (tmp_path / "out.mkv").is_fifo()
    said = call("upscale", *FAST, "in.mp4", "/dev/null", *overwrite, code=USAGE).stderr
    assert "is no plain file" in said
    assert Path("/dev/null").is_char_device()


def test_a_source_that_vanishes_or_grows_while_it_is_read(call, make_clip, tmp_path, monkeypatch):
    from stsr_cli.upscale import segment_task as engine

    clip = make_clip("in.mkv", num_frames=30)
    call("upscale", *FAST, "in.mkv", "whole.mkv")
    pump = engine.pump

    def vanish(*arguments):
        clip.unlink()
        return pump(*arguments)

    monkeypatch.setattr(engine, "pump", vanish)
    said = call("upscale", *FAST, "in.mkv", "out.mkv", code=INPUT).stderr
    assert "no such file" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["whole.mkv"]
    clip = make_clip("in.mkv", num_frames=30)

    def grow(*arguments):
        with clip.open("ab") as file:
            file.write(bytes(10_000))
        return pump(*arguments)

    monkeypatch.setattr(engine, "pump", grow)
    call("upscale", *FAST, "in.mkv", "out.mkv")
    assert num_frames(tmp_path / "out.mkv") == 60


def test_huge_frames_are_refused_before_they_are_decoded(call, tmp_path):
    (tmp_path / "in.y4m").write_bytes(b"YUV4MPEG2 W16000 H16000 F25:1 C420\nFRAME\n" + bytes(99))
    said = call("upscale", *FAST, "in.y4m", "out.mkv", code=INPUT).stderr
    assert "16000x16000" in said
    assert "--max-pixels 256000000" in said
    said = call("upscale", *FAST, "--max-pixels", 1000, SEEDS / "h264-aac.mp4", "out.mkv", code=4)
    assert "48x32, and a frame may have 1000 pixels" in said.stderr
    call("upscale", *FAST, "--max-pixels", 64 * 32, SEEDS / "h264-aac.mp4", "out.mkv")


def test_a_picture_that_would_be_gigabytes(call, tmp_path):
    """16000x16000 in a GIF, a PNG, a TIFF and WebPs of a few hundred bytes."""
    size = (16000).to_bytes(2, "little")
    gif = bytearray((SEEDS / "moves.gif").read_bytes())
    gif[6:10] = size + size
    png = bytearray((SEEDS / "still.png").read_bytes())
    png[16:24] = 2 * (16000).to_bytes(4, "big")
    moving = bytearray((SEEDS / "moves.webp").read_bytes())
    moving[24:30] = 2 * (15999).to_bytes(3, "little")
    still = bytearray((SEEDS / "still.webp").read_bytes())
    place = still.index(b"\x9d\x01\x2a")
    still[place + 3 : place + 7] = size + size
    files = {"a.gif": gif, "b.png": png, "c.webp": moving, "d.webp": still}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        said = call("upscale", *FAST, name, "out.mkv", code=INPUT).stderr
        assert "16000x16000" in said or "256000000 pixels" in said, said
    assert not (tmp_path / "out.mkv").exists()


def test_a_size_that_grows_on_the_way_is_refused_before_it_is_decoded(make_clip, tmp_path):
    parts = [make_clip(f"{width}.ts", width=width, num_frames=6) for width in (64, 640)]
    (tmp_path / "in.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    source = probe(tmp_path / "in.ts", SourceOptions(max_bad_frames=3, max_pixels=64 * 48))
    with pytest.raises(InputError, match="more than 3 damaged frames"):
        list(read_frames(source))


@pytest.mark.parametrize(
    ("name", "atom", "place", "value"),
    [
        ("tkhd.mp4", b"tkhd", 76, 0),
        ("tkhd-size.mp4", b"tkhd", 76, 0x7FFF0000),
        ("mdhd-duration.mp4", b"mdhd", 16, 0x7FFFFFFF),
        ("mvhd-duration.mp4", b"mvhd", 16, 0),
        ("sample-size.mp4", b"avc1", 24, 0x40004000),
    ],
)
def test_headers_that_lie_do_not_matter(call, tmp_path, name, atom, place, value):
    content = bytearray((SEEDS / "h264-aac.mp4").read_bytes())
    at = content.index(atom) + 4 + place
    content[at : at + 4] = value.to_bytes(4, "big")
    (tmp_path / name).write_bytes(content)
    call("upscale", *FAST, "-q", name, "out.mkv")
    assert num_frames(tmp_path / "out.mkv") == 20


@pytest.mark.parametrize("value", [0, 1, 10**8, 2**31 - 1, 2**32 - 1])
@pytest.mark.parametrize("atom", [b"stsz", b"stts", b"stsc", b"stco", b"ctts"])
def test_counts_that_lie_cost_no_memory(call, tmp_path, atom, value):
    content = bytearray((SEEDS / "h264-aac.mp4").read_bytes())
    at = content.index(atom) + 4 + (8 if atom == b"stsz" else 4)
    content[at : at + 4] = value.to_bytes(4, "big")
    (tmp_path / "in.mp4").write_bytes(content)
    resource = pytest.importorskip("resource")  # not on Windows
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.suppress(InputError):
        list(read_frames(probe(tmp_path / "in.mp4", SourceOptions())))
    more_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert more_kib < 200_000


def test_what_a_file_says_of_itself_does_not_move_the_cursor(call, tmp_path):
    title = "\x1b]0;owned\x07\x1b[2J\nstsr: fine"
    parts = [Video(num_frames=4), Sound(metadata={"title": title}), File(name=f"{title}.ttf")]
    write(tmp_path / "in.mkv", *parts, metadata={"title": title})
    said = call("upscale", *FAST, "in.mkv", "out.mp4").stderr
    said += call("probe", "in.mkv", "other.mp4", "--no-trial").stderr
    assert "ttf" in said
    assert "\x1b" not in said
    assert not [line for line in said.splitlines() if line.startswith("stsr: ")]


def test_sound_that_is_longer_and_shorter_than_the_pictures(call, tmp_path):
    for seconds in (0.05, 3.0):
        write(tmp_path / "in.mkv", Video(num_frames=10), Sound(seconds=seconds))
        call("upscale", *FAST, "-y", "in.mkv", "out.mkv")
        with av.open(str(tmp_path / "out.mkv")) as container:
            ends = {
                packet.stream.type: float((packet.pts + packet.duration) * packet.time_base)
                for packet in container.demux()
                if packet.size
            }
        assert abs(ends["audio"] - seconds) < 0.05
        assert abs(ends["video"] - 0.4) < 0.01
