"""How well cuts are found, and what is taken for one: stsr's rule beside ffmpeg's scdet and PySceneDetect.

python tests/benchmarks/scenes.py OUT VIDEO... [--whole VIDEO...]

Writes OUT/scenes.json and OUT/scenes.md. Each VIDEO should be a single shot. Excerpts of them are put one after
another, with known transitions between them and known events inside; all detectors see the same frames. Thresholds are
chosen on the VIDEOs whose name hashes to an even number (those published are tried, too), results are of the others.
Needs `pip install scenedetect opencv-python-headless`.
"""

import argparse
import datetime
import hashlib
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import torch
from scenedetect import AdaptiveDetector, ContentDetector, FrameTimecode

from stsr_cli.device import machine_name
from stsr_cli.options import UpscaleOptions
from stsr_cli.video.reader import read_frames
from stsr_cli.video.timing.scenes import CutRule, thumbnail

WIDTH, HEIGHT = 320, 180  # of the material
EXCERPT = 14  # frames
FAR = 60  # frames between the two excerpts of one video that make a jump cut
NUM_ROUNDS = 3  # times each video is used
FADE = 10  # frames
SHORTEST = 10  # frames of a shot, told to PySceneDetect, whose filter against flashes needs that
WHOLE_THRESHOLDS = (7, 8, 9, 10, 12, 16, 24)
CUTS = ("cut", "jump cut")
INNER = ("plain", "flash", "half flash", "pan", "fast", "on twos", "shake")


@dataclass
class Material:
    """Frames, and of each but the first what lies between it and the frame before."""

    frames: list[np.ndarray] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)

    def add(self, frames: Sequence[np.ndarray], first: str, inner: str) -> None:
        """Append frames; `first` is what their first one is to what is there, `inner` the rest."""
        if self.frames:
            self.kinds.append(first)
        self.frames += frames
        self.kinds += [inner] * (len(frames) - 1)


def shrink(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> (HEIGHT, WIDTH, 3) uint8, by ffmpeg's area filter."""
    pixels = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    return frame.reformat(WIDTH, HEIGHT, interpolation="AREA").to_ndarray()


def excerpts_of(video: Path) -> tuple[list[np.ndarray], list[np.ndarray]] | None:
    """Frames of the beginning, enough to take every fourth of them; and some far behind."""
    num_frames = FAR + EXCERPT
    frames = [shrink(frame.pixels) for frame in itertools.islice(read_frames(video), num_frames)]
    return (frames[:FAR], frames[FAR:]) if len(frames) == num_frames else None


def white(frame: np.ndarray, share: float) -> np.ndarray:
    return np.rint(frame * (1 - share) + 255 * share).astype(np.uint8)


def event(begin: list[np.ndarray], inner: str, rng: np.random.Generator) -> list[np.ndarray]:
    """An excerpt in which something happens that is no cut."""
    frames = list(begin[:EXCERPT])
    if inner in ("flash", "half flash"):
        place = int(rng.integers(3, EXCERPT - 3))
        frames[place] = white(frames[place], 1.0 if inner == "flash" else 0.5)
    elif inner == "fast":
        frames = begin[::4][:EXCERPT]
    elif inner == "on twos":
        frames = [frame for frame in begin[::4][: EXCERPT // 2] for _ in range(2)]
    elif inner in ("pan", "shake"):
        wide = np.concatenate((begin[0], begin[0][:, ::-1]), axis=1)
        speed = int(rng.integers(WIDTH // 40, WIDTH // 12))
        starts = np.clip(np.arange(EXCERPT) - 4, 0, 5) * speed  # it stands, moves, stands
        if inner == "shake":
            starts = rng.integers(0, WIDTH // 20, EXCERPT)
        frames = [wide[:, start : start + WIDTH] for start in starts]
    return frames


def make_material(videos: Sequence[tuple[list, list]], seed: int) -> Material:
    """All videos in random order, NUM_ROUNDS times over."""
    rng = np.random.default_rng(seed)
    material = Material()
    order = [index for _ in range(NUM_ROUNDS) for index in rng.permutation(len(videos))]
    for number, index in enumerate(order):
        begin, end = videos[index]
        inner = INNER[number % len(INNER)]
        frames = event(begin, inner, rng)
        how = ("cut", "cut", "cut", "cross-fade", "fade through black")[number % 5]
        if how == "cut" or not material.frames:
            material.add(frames, "cut", inner)
        else:
            last = material.frames[-1].astype(np.float32)
            fade = [*fade_between(last, frames[0], how)]
            material.add(fade, how, how)
            material.add(frames, how, inner)
        if number % 3 == 0:
            material.add(end, "jump cut", "plain")
    return material


def fade_between(last: np.ndarray, first: np.ndarray, how: str) -> Iterator[np.ndarray]:
    for step in np.arange(1, FADE + 1) / (FADE + 1):
        if how == "cross-fade":
            mixed = last * (1 - step) + first * step
        else:
            mixed = last * max(1 - 2 * step, 0) + first * max(2 * step - 1, 0)
        yield np.rint(mixed).astype(np.uint8)


Scores = np.ndarray  # of each pair, or whether it is a cut


def by_stsr(frames: Sequence[np.ndarray], threshold: float) -> Scores:
    rule = CutRule(threshold)
    found = [rule.push(None if frame is None else thumbnail(frame)) for frame in (*frames, None)]
    return np.array(found[2:])


def by_scdet(frames: Sequence[np.ndarray], threshold: float) -> Scores:
    graph = av.filter.Graph()
    source = graph.add_buffer(width=WIDTH, height=HEIGHT, format="rgb24", time_base="1/25")
    scdet, sink = graph.add("scdet", f"threshold={threshold}"), graph.add("buffersink")
    source.link_to(scdet)
    scdet.link_to(sink)
    graph.configure()
    found = []
    for index, pixels in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame.pts = index
        source.push(frame)
        found.append("lavfi.scd.time" in sink.pull().metadata)
    return np.array(found[1:])


def by_scenedetect(make: Callable[[float], ContentDetector]) -> Callable[..., Scores]:
    def find(frames: Sequence[np.ndarray], threshold: float) -> Scores:
        detector, cuts = make(threshold), []
        for index, pixels in enumerate(frames):
            time_code = FrameTimecode(index, 25.0)
            cuts += detector.process_frame(time_code, np.ascontiguousarray(pixels[..., ::-1]))
        cuts += detector.post_process(FrameTimecode(len(frames) - 1, 25.0))
        indexes = {cut.frame_num for cut in cuts}
        return np.array([index in indexes for index in range(1, len(frames))])

    return find


# Name: how, the published threshold, and those that are tried.
DETECTORS: dict[str, tuple[Callable[..., Scores], float, Sequence[float]]] = {
    "stsr": (by_stsr, UpscaleOptions.scene_threshold, (4, 5, 6, 7, 8, 9, 10, 12, 16)),
    "ffmpeg scdet": (by_scdet, 10, (4, 6, 8, 10, 12, 14, 17, 20, 25)),
    "PySceneDetect ContentDetector": (
        by_scenedetect(lambda threshold: ContentDetector(threshold, min_scene_len=1)),
        27,
        (15, 20, 24, 27, 30, 34, 38, 44, 50, 60, 70),
    ),
    f"ContentDetector, shots of {SHORTEST} frames or more": (
        by_scenedetect(lambda threshold: ContentDetector(threshold, min_scene_len=SHORTEST)),
        27,
        (20, 24, 27, 30, 38, 50),
    ),
    f"AdaptiveDetector, shots of {SHORTEST} frames or more": (
        by_scenedetect(lambda threshold: AdaptiveDetector(threshold, min_scene_len=SHORTEST)),
        3,
        (2, 2.5, 3, 3.5, 4, 5),
    ),
    "PySceneDetect AdaptiveDetector": (
        by_scenedetect(lambda threshold: AdaptiveDetector(threshold, min_scene_len=1)),
        3,
        (1.5, 2, 2.5, 3, 3.5, 4, 5, 6),
    ),
}


def score(found: Scores, kinds: Sequence[str]) -> dict:
    """Precision, recall and F1; recall of each kind of cut; how many of what else were taken for cuts."""
    is_cut = np.array([kind in CUTS for kind in kinds])
    hits = int((found & is_cut).sum())
    per_kind = Counter(kinds)
    right = Counter(kind for kind, one in zip(kinds, found, strict=True) if one and kind in CUTS)
    false = Counter(k for k, one in zip(kinds, found, strict=True) if one and k not in CUTS)
    return {
        "precision": hits / max(int(found.sum()), 1),
        "recall": hits / int(is_cut.sum()),
        "f1": 2 * hits / int(found.sum() + is_cut.sum()),
        "recall_of": {kind: right[kind] / per_kind[kind] for kind in CUTS},
        "false": dict(false),
    }


def measure(name: str, chosen_on: Material, tested_on: Material) -> list[dict]:
    """One row with the published threshold and one with that of the best F1 on the first material."""
    find, published, candidates = DETECTORS[name]
    tried = {t: score(find(chosen_on.frames, t), chosen_on.kinds)["f1"] for t in candidates}
    best = max(tried, key=lambda threshold: (tried[threshold], threshold))
    print(name, tried, file=sys.stderr)
    rows = []
    for threshold in dict.fromkeys((published, best)):
        begin = time.process_time()
        found = find(tested_on.frames, threshold)
        milliseconds = 1000 * (time.process_time() - begin) / len(tested_on.frames)
        rows.append(
            {
                "detector": name,
                "threshold": threshold,
                "is_published": threshold == published,
                "is_best_of_choice": threshold == best,
                "f1_of_choice": tried[threshold],
                "milliseconds_per_frame": milliseconds,
                **score(found, tested_on.kinds),
            }
        )
    return rows


def cost_of_1080p() -> float:
    """Milliseconds of processor time that stsr's rule takes for a frame of 1920x1080, the median of five runs."""
    frames = np.random.default_rng(0).integers(0, 256, (8, 1080, 1920, 3), dtype=np.uint8)
    times = []
    for _ in range(5):
        begin = time.process_time()
        by_stsr(frames, UpscaleOptions.scene_threshold)
        times.append(1000 * (time.process_time() - begin) / len(frames))
    return sorted(times)[2]


def in_whole_videos(videos: Sequence[Path]) -> tuple[int, dict[str, dict[int, float]]]:
    """The number of frames, and of each video with any the cuts and the highest threshold that finds each."""
    num_frames, found = 0, {}
    for video in videos:
        thumbnails = [thumbnail(frame.pixels) for frame in read_frames(video)]
        num_frames += len(thumbnails)
        places: dict[int, float] = {}
        for threshold in WHOLE_THRESHOLDS:
            rule = CutRule(threshold)
            for index, one in enumerate((*thumbnails, None)):
                if rule.push(one):
                    places[index - 1] = threshold
        if places:
            found[video.name] = places
    return num_frames, found


def markdown(rows: Sequence[dict], content: dict, command: str) -> str:
    lines = [
        "# Cuts found, and what is taken for one",
        "",
        f"`{command}`,",
        f"{datetime.date.today()}, {machine_name(torch.device('cpu'))}.",
        "",
        f"Excerpts of {EXCERPT} frames of single-shot videos, shrunk to {WIDTH}x{HEIGHT}, one after another: cuts to "
        "another video, jump cuts within one (the hardest: often the same room), cross-fades and fades through black, "
        "and inside the shots single white frames (all white, half white), fast pans that start and stop at once, a "
        "shaking camera, every fourth frame only (fast), and that with each frame twice (on twos). The frames are not "
        "encoded again. Thresholds are chosen on one half of the videos by name "
        f"({content['num_videos'][0]} videos, {content['num_pairs'][0]} pairs of neighbours, "
        f"{content['num_cuts'][0]} cuts); the numbers are of the other half "
        f"({content['num_videos'][1]} videos, {content['num_pairs'][1]} pairs, {content['num_cuts'][1]} cuts).",
        "",
        "| detector | threshold | precision | recall | F1 | recall: cuts / jump cuts | taken for cuts | ms a frame |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        names = {"is_published": "default", "is_best_of_choice": "best"}
        marks = [name for key, name in names.items() if row[key]]
        recalls = " / ".join(f"{row['recall_of'][kind]:.3f}" for kind in CUTS)
        false = ", ".join(f"{number} {kind}" for kind, number in sorted(row["false"].items()))
        lines.append(
            f"| {row['detector']} | {row['threshold']:g} ({', '.join(marks)}) | {row['precision']:.3f} "
            f"| {row['recall']:.3f} | {row['f1']:.3f} | {recalls} | {false or '-'} "
            f"| {row['milliseconds_per_frame']:.2f} |"
        )
    lines += [
        "",
        "best: of those tried on the first half (PySceneDetect: min_scene_len=1 unless another is named). Milliseconds "
        "are of processor time at this size. stsr's rule takes "
        f"{content['milliseconds_per_1080p_frame']:.2f} ms for a frame of 1920x1080.",
    ]
    if content["num_whole_frames"]:
        lines += [
            "",
            f"Where stsr's rule finds cuts in {content['num_whole_frames']} frames of whole videos, as they are: the "
            "first frame of the shot, and the highest of the thresholds "
            f"{', '.join(f'{t:g}' for t in WHOLE_THRESHOLDS)} that finds it. Look at each to tell which are real.",
            "",
            "| video | found at |",
            "|---|---|",
            *(
                f"| {name} | {', '.join(f'frame {i} (to {t:g})' for i, t in places.items())} |"
                for name, places in content["whole"].items()
            ),
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument("--whole", type=Path, nargs="+", default=[], help="videos of any shots")
    arguments = parser.parse_args()
    halves: tuple[list, list] = ([], [])
    for video in sorted(arguments.videos, key=lambda path: path.name):
        if (excerpts := excerpts_of(video)) is None:
            print(f"{video.name}: too short, left out", file=sys.stderr)
            continue
        halves[hashlib.sha256(video.name.encode()).digest()[0] % 2].append(excerpts)
    materials = [make_material(half, seed) for seed, half in enumerate(halves)]
    rows = [row for name in DETECTORS for row in measure(name, *materials)]
    num_whole_frames, whole = in_whole_videos(arguments.whole)
    content = {
        "num_whole_frames": num_whole_frames,
        "whole": whole,
        "num_videos": [len(half) for half in halves],
        "num_pairs": [len(material.kinds) for material in materials],
        "num_cuts": [sum(kind in CUTS for kind in material.kinds) for material in materials],
        "milliseconds_per_1080p_frame": cost_of_1080p(),
        "rows": rows,
    }
    more = f" --whole ({len(arguments.whole)} videos)" if arguments.whole else ""
    command = (
        f"python tests/benchmarks/scenes.py {arguments.out} ({len(arguments.videos)} videos){more}"
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "scenes.json").write_text(json.dumps(content, indent=1) + "\n")
    text = markdown(rows, content, command)
    (arguments.out / "scenes.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
