"""Measuring, comparing and publishing."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stsr_cli.options.upscale import EncodeOptions


@dataclass(frozen=True)
class PushOptions:
    """One `stsr weights push` run.

    Attributes:
        weights: weights file; it keeps its name.
        repo: OWNER/REPO on the Hub; made if it does not exist.
        branch: where the commit goes, or None for the main branch; made if it does not exist.
        private: make a new repository a private one; refused where a public one exists.
        message: of the commit, or None.
        card: model card to upload, or None: the repository's own, or one that is written.
        licence: of the weights, or None: that of published weights, else unknown.
    """

    weights: Path
    repo: str
    branch: str | None = None
    private: bool = False
    message: str | None = None
    card: Path | None = None
    licence: str | None = None


CompareMode = Literal["side", "split", "difference", "flip"]


@dataclass(frozen=True)
class CompareOptions:
    """One `stsr compare` run: a video, a page, or both.

    Attributes:
        sources: two videos or more, of the same size, frame rate and number of frames.
        target: video to write, or None.
        mode: "side" by side; "split", a strip of the frame from each; "difference" to the first, amplified; "flip", one
            after the other.
        gain: what differences are multiplied by.
        flip_seconds: how long "flip" shows each.
        labels: one a source, or (): the names of the files.
        has_labels: write a bar with the labels above the picture.
        page: HTML page to write, or None.
        num_frames: frames whose pictures the page holds.
        truth: video of the same kind that the page measures all sources against, or None: the first source.
        disagreement: CSV with a frame's index and its mean absolute difference, for a chart of the page, or None.
        overwrite: replace existing outputs.
    """

    sources: tuple[Path, ...]
    target: Path | None = None
    mode: CompareMode = "side"
    gain: float = 4.0
    flip_seconds: float = 1.0
    labels: tuple[str, ...] = ()
    has_labels: bool = True
    page: Path | None = None
    num_frames: int = 8
    truth: Path | None = None
    disagreement: Path | None = None
    overwrite: bool = False
    encode: EncodeOptions = field(default_factory=EncodeOptions)


Protocol = Literal["paper", "stvsr"]


@dataclass(frozen=True)
class EvalOptions:
    """One `stsr eval` run, beside the model that `ModelOptions` describes.

    Attributes:
        systems: what to measure: "streams", "baseline" or "cdca" of the model; a pair F_S+F_T; the name, hf: name
            or path of weights; "ffmpeg". bicubic + blend is always measured first.
        externals: command lines, "[NAME=]CMD {in} {out}".
        external_timeout: seconds that a command line may take for a clip.
        streams: which streams of a pair are measured; "both" gives t2s, s2t and the mean of the two.
        protocol: "paper": interpolated frames alone, RGB first; "stvsr": given ones too, luma first; see `evaluation`.
        measures: names in `metrics.MEASURES`, or (): the protocol's.
        limit: triplets a data set, spread evenly over it, or None: all.
        threads: CPU threads, or None for torch's choice.
    """

    systems: tuple[str, ...] = ("streams",)
    externals: tuple[str, ...] = ()
    external_timeout: float = 1800.0
    streams: Literal["t2s", "s2t", "both"] = "both"
    protocol: Protocol = "paper"
    measures: tuple[str, ...] = ()
    limit: int | None = None
    threads: int | None = None
