"""The clips that are mutated, a few KiB each: `python -m tests.faults.seeds` writes them into tests/faults/seeds.

They are committed, so that a mutation of a number is the same on every machine, whatever its encoders are.
"""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from tests.corpus.writing import File, Sound, Subs, Video, moving, png, write

SEEDS = Path(__file__).with_name("seeds")
_SMALL = {"width": 48, "height": 32}
_B_FRAMES = {"bf": "2", "g": "6", "threads": "1", "x264-params": "log-level=none"}
_CHAPTERS = [("one", Fraction(0), Fraction(1, 5)), ("two", Fraction(1, 5), Fraction(2, 5))]
_SHORT = {"seconds": 0.4}


def _video(num_frames: int = 10, **more: object) -> Video:
    return Video(num_frames=num_frames, **_SMALL, **more)  # type: ignore[arg-type]


def _x264(num_frames: int = 10, **more: object) -> Video:
    return _video(num_frames, options=_B_FRAMES, **more)


def _tracks() -> list[Video | Sound | Subs | File]:
    return [_x264(), Sound("libopus", **_SHORT), Subs(), File(data=bytes(200))]  # type: ignore[arg-type]


# Name -> how it is written.
CLIPS: dict[str, Callable[[Path], object]] = {
    "h264-aac.mp4": lambda path: write(path, _x264(), Sound(**_SHORT), chapters=_CHAPTERS),
    "faststart.mp4": lambda path: write(
        path, _x264(), Sound("libmp3lame"), options={"movflags": "faststart"}
    ),
    "fragments.mp4": lambda path: write(
        path, _x264(), Sound(), options={"movflags": "frag_keyframe+empty_moov"}
    ),
    "hevc.mp4": lambda path: write(
        path,
        Video(
            8,
            width=64,
            height=64,
            codec="libx265",
            options={"x265-params": "log-level=none:keyint=5"},
        ),
    ),
    "subtitles.mp4": lambda path: write(path, _x264(), Subs("mov_text"), File(is_cover=True)),
    "mpeg4.mp4": lambda path: write(path, _video(codec="mpeg4", options={"bf": "1", "g": "5"})),
    "prores.mov": lambda path: write(
        path, _video(4, codec="prores_ks", pix_fmt="yuv422p10le"), Sound("pcm_s16le", rate=8000)
    ),
    "png.mov": lambda path: write(path, _video(3, codec="png", pix_fmt="rgba")),
    "tracks.mkv": lambda path: write(path, *_tracks(), chapters=_CHAPTERS, metadata={"title": "x"}),
    "ffv1-flac.mkv": lambda path: write(
        path, _video(3, codec="ffv1"), Sound("flac", rate=8000, seconds=0.12)
    ),
    "mpeg2.mkv": lambda path: write(path, _video(codec="mpeg2video", options={"bf": "2"})),
    "av1.mkv": lambda path: write(
        path,
        Video(
            6,
            width=64,
            height=64,
            codec="libsvtav1",
            options={"preset": "12", "svtav1-params": "lp=1"},
        ),
    ),
    "vp9-alpha.webm": lambda path: write(
        path,
        _video(6, codec="libvpx-vp9", pix_fmt="yuva420p", metadata={"alpha_mode": "1"}),
        Sound("libopus"),
    ),
    "vp8.webm": lambda path: write(path, _video(8, codec="libvpx"), Sound("libopus")),
    "mpeg4-mp3.avi": lambda path: write(
        path, _video(codec="mpeg4", options={"bf": "1"}), Sound("libmp3lame")
    ),
    "mjpeg-pcm.avi": lambda path: write(
        path,
        _video(5, codec="mjpeg", pix_fmt="yuvj420p", full=True),
        Sound("pcm_s16le", rate=8000),
    ),
    "h264.avi": lambda path: write(path, _x264()),
    "h264-mp2.ts": lambda path: write(path, _x264(), Sound("mp2")),
    "interlaced.ts": lambda path: write(
        path, _video(codec="mpeg2video", options={"flags": "+ildct+ilme", "top": "1"})
    ),
    "mpeg2-mp2.mpg": lambda path: write(path, _video(codec="mpeg2video"), Sound("mp2")),
    "h264.flv": lambda path: write(path, _x264(), Sound(rate=44100)),
    "wmv2.asf": lambda path: write(path, _video(codec="wmv2")),
    "raw.nut": lambda path: write(
        path, _video(3, codec="rawvideo"), Sound("pcm_s16le", rate=8000, seconds=0.1)
    ),
    "raw.y4m": lambda path: write(path, _video(3, codec="wrapped_avframe")),
    "raw.h264": lambda path: write(path, _x264(), format="h264"),
    "vp9.ivf": lambda path: write(path, _video(6, codec="libvpx-vp9"), format="ivf"),
    "vp8.ogv": lambda path: write(path, _video(6, codec="libvpx"), Sound("libopus")),
    "moves.gif": lambda path: write(path, _video(4, codec="gif", pix_fmt="rgb8")),
    "moves.apng": lambda path: write(path, _video(4, codec="apng", pix_fmt="rgba")),
    "moves.webp": lambda path: _webp(path),
    "still.png": lambda path: path.write_bytes(png(24, 16)),
    "still.jpg": lambda path: write(
        path, _video(1, codec="mjpeg", pix_fmt="yuvj444p", full=True), format="image2"
    ),
    "still.tiff": lambda path: write(
        path, _video(1, codec="tiff", pix_fmt="rgb24"), format="image2"
    ),
    "still.webp": lambda path: write(path, _video(1, codec="libwebp"), format="image2"),
}


def _webp(path: Path) -> None:
    from PIL import Image

    pictures = [Image.fromarray(moving(index, 24, 16)) for index in range(4)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)


def main() -> None:
    """Write every clip anew."""
    SEEDS.mkdir(exist_ok=True)
    for name, build in CLIPS.items():
        build(SEEDS / name)
    sizes = [(SEEDS / name).stat().st_size for name in CLIPS]
    print(f"{len(sizes)} clips, {sum(sizes) / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
