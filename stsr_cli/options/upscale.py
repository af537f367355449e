"""What runs, how it is encoded, and one `stsr upscale` run."""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

Stream = Literal["t2s", "s2t"]
StreamChoice = Literal["t2s", "s2t", "both", "auto"]
System = Literal["streams", "baseline", "cdca"]
HdrAction = Literal["keep", "tonemap"]
PipeFormat = Literal["nut", "y4m", "matroska"]
Precision = Literal["auto", "fp32", "fp16", "bf16"]

DEFAULT_SPATIAL = "span"
DEFAULT_TEMPORAL = "rife"
DEFAULT_IMAGE_RATE = 24
DEFAULT_IMAGE_NAME = "%06d.png"


Deinterlace = Literal["auto", "off", "bwdif", "fields"]
SizeAction = Literal["stop", "fit"]


@dataclass(frozen=True)
class SourceOptions:
    """What of a file is read, and how.

    Attributes:
        video_index: of the video stream in the file, or None: the one that FFmpeg takes for the best.
        deinterlace: which frames are made progressive: those that are flagged as interlaced (auto), none (off), all
            (bwdif), or all and one for each field, twice as many (fields).
        rate: images per second of an image sequence, or None: DEFAULT_IMAGE_RATE; a video has times of its own.
        hwaccel: where it is decoded: "off": in software; "auto": on a device if one can; or FFmpeg's name of a kind of
            device, e.g. "cuda".
        start, end: in seconds from the file's start, or None: nothing is cut off there.
        keep_start: whether times stay as the file's clock has them; else the earliest track starts at 0.
        max_bad_frames: damaged frames above which reading ends with an error, 0: at the first that cannot be decoded.
            The default is four seconds of a film: scattered damage passes, what is mostly broken ends early.
        on_size_change: what becomes of pictures whose size is not the first one's: an error (stop), or they are scaled
            into it, with black bars where their shape differs (fit).
        max_pixels: of a frame, above which it is refused; the default is 8192x8192, twice the pixels of 8K.
        protocols: by which the file may be an address, and may name others, as FFmpeg spells them; none: it is a plain
            file, and opens no other.
    """

    video_index: int | None = None
    deinterlace: Deinterlace = "auto"
    rate: Fraction | None = None
    hwaccel: str = "off"
    start: Fraction | None = None
    end: Fraction | None = None
    keep_start: bool = False
    max_bad_frames: int = 100
    on_size_change: SizeAction = "stop"
    max_pixels: int = 8192 * 8192
    protocols: tuple[str, ...] = ()


@dataclass(frozen=True)
class EncodeOptions:
    """How the output video is encoded.

    Attributes:
        codec: name of an encoder, e.g. libx264, ffv1, or of a coding, e.g. hevc; "auto": libx264, or what the container
            can hold.
        crf: constant quality on the encoder's own scale, smaller is better, or None: its default
            (video/encode/codecs.py).
        preset: speed on the encoder's own scale, or None: its default.
        pix_fmt: pixel format of the output, or "auto": the source's family at a depth the encoder takes.
        options: of the encoder, (key, value); these win over crf and preset.
        hdr: what becomes of PQ and HLG: "keep" (in 10 bits or more) or "tonemap" (to BT.709 SDR, before the networks).
        format: container on the standard output.
    """

    codec: str = "auto"
    crf: int | None = None
    preset: str | None = None
    pix_fmt: str = "auto"
    options: tuple[tuple[str, str], ...] = ()
    hdr: HdrAction = "keep"
    format: PipeFormat = "nut"


@dataclass(frozen=True)
class ModelOptions:
    """Which networks run, with which weights, and where.

    Attributes:
        spatial: name of f_S.
        temporal: name of f_T.
        weights: published names, paths of .safetensors files, or hf:OWNER/REPO[@REVISION]:FILE.safetensors; a later one
            that holds a module wins, and what none of them holds comes from what is published.
        system: "streams" (the paper's network), "baseline" (its B: f_S and f_T trained apart, run one after the other)
            or "cdca" (coupled auto-encoders, which have no modules and no streams).
        offline: fetch no weights, as HF_HUB_OFFLINE=1; what ships or is cached is used.
        stream: t2s (Eq. 4, first line) or s2t (second line); of `stsr upscale` also "both" (the mean of the two) or
            "auto" (the one that does better on pairs sampled from the source).
        device: "auto" (cuda, then mps, then cpu), or a torch device such as "cuda:1".
        precision: "auto" (fp16 on CUDA, else fp32), "fp32", "fp16" or "bf16".
    """

    spatial: str = DEFAULT_SPATIAL
    temporal: str = DEFAULT_TEMPORAL
    weights: tuple[str, ...] = ()
    system: System = "streams"
    offline: bool = False
    stream: StreamChoice = "s2t"
    device: str = "auto"
    precision: Precision = "auto"

    @property
    def name(self) -> str:
        """What runs, for tables and programs: `span+rife`, `span+rife-separate`, `cdca`."""
        if self.system == "cdca":
            return "cdca"
        return f"{self.spatial}+{self.temporal}{'-separate' if self.system == 'baseline' else ''}"

    @property
    def title(self) -> str:
        """What runs, for a reader."""
        if self.system == "cdca":
            return "CDCA"
        apart = ", trained apart" if self.system == "baseline" else ""
        stream = "the mean of both streams" if self.stream == "both" else self.stream
        return f"{self.spatial} + {self.temporal} ({stream}{apart})"


@dataclass(frozen=True)
class TrackOptions:
    """What else of the source goes into the output.

    Attributes:
        audio, subs, chapters, attachments: whether they do; cover art is an attachment.
        strict: whether it is an error if the container cannot hold a track, not even converted.
    """

    audio: bool = True
    subs: bool = True
    chapters: bool = True
    attachments: bool = True
    strict: bool = False


NO_TRACKS = TrackOptions(audio=False, subs=False, chapters=False, attachments=False)


DoubtAction = Literal["hold", "blend"]
CutAction = Literal["hold", "blend", "off"]
VariableRate = Literal["keep", "cfr"]


@dataclass(frozen=True)
class OnDoubt:
    """What is shown instead of a new frame on which the two streams disagree too much.

    Attributes:
        action: "hold" shows the given frame before it again, "blend" fades from that to the one after it.
        threshold: mean absolute difference of the streams, in levels of 255, above which a frame is replaced. The
            default lies above that of all uncut footage that was measured, and below that of most cuts
            (docs/results/disagreement.md).
    """

    action: DoubtAction
    threshold: float = 9.0


@dataclass(frozen=True)
class UpscaleOptions:
    """One `stsr upscale` run.

    Attributes:
        source: video file to read; or a folder of images, or their pattern (`frames/%06d.png`); or `-`, the standard
            input.
        target: video file to write; or a pattern or an empty folder for images; or `-`, the standard output.
        scale: spatial factor, a power of the module's (1, 4, 16); 1 leaves the size alone.
        time_scale: frame-rate factor, a power of two; 1 leaves the rate alone.
        is_time_scale_free: with `fps`, take the smallest `time_scale` that it needs instead.
        vfr: every frame keeps its time (keep), or a constant rate by choosing a frame for each of its ticks (cfr).
        fps: frames a second of the output, or None; chosen likewise, from what the networks made.
        batch_size: frame pairs per network call, or None: 1 on a CPU, 4 on a GPU.
        tile: side in source pixels of the tiles that frames are cut into for the networks, without what neighbours
            share; 0: they are not cut; None: where memory asks for it.
        tile_overlap: what neighbouring tiles share, in pixels of a network's input, or None: what it needs.
        max_memory: bytes that the networks may take at a time, or None: most of what is free.
        disagreement: files that say where the streams differ: tables (.csv) and heat-map videos. Both streams run.
        on_doubt: what replaces a new frame on which they differ too much, or None. Both streams run.
        cut: what stands between the two frames around a cut: the one before (hold), a fade (blend), or whatever the
            networks make of them (off; cuts are not looked for).
        scene_threshold: how far the change at a cut rises above the motion around it, in levels of 255. From 4 to 16
            little changes on concatenated excerpts; the default lies above all false ones of the whole videos that
            were looked at (docs/results/scenes.md).
        size: (width, height) of the output as shown, reached by Lanczos after the network, or None: what the network
            makes. A width of None follows from the picture's shape.
        dedup: replace frames that repeat the one before, as animation on twos and threes has them, by new ones.
        segment: length in seconds of the parts that a longer video is made in, each of which is done once and for all;
            0: in one go.
        resume: go on with the segments of an earlier run; else they are made anew.
        work_dir: folder for the segments, or None: the target's.
        keep_work: leave the segments where they are when the output is complete.
        report: file that says what was done, as JSON (docs/report.md), or None.
        overwrite: replace existing files: target, disagreement or report.
        read: what of the source is read.
        model: the networks.
        encode: how the target is encoded.
        tracks: what else of the source goes into it.
    """

    source: Path
    target: Path
    scale: int = 4
    time_scale: int = 2
    is_time_scale_free: bool = False
    vfr: VariableRate = "keep"
    fps: Fraction | None = None
    batch_size: int | None = None
    tile: int | None = None
    tile_overlap: int | None = None
    max_memory: int | None = None
    disagreement: tuple[Path, ...] = ()
    on_doubt: OnDoubt | None = None
    cut: CutAction = "hold"
    scene_threshold: float = 10.0
    size: tuple[int | None, int] | None = None
    dedup: bool = False
    segment: Fraction = Fraction(20)
    resume: bool = True
    work_dir: Path | None = None
    keep_work: bool = False
    report: Path | None = None
    overwrite: bool = False
    read: SourceOptions = field(default_factory=SourceOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    tracks: TrackOptions = field(default_factory=TrackOptions)
