"""What a run is: two that agree in it make the same segments."""

from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256 as new_digest
from pathlib import Path
from typing import Any

from stsr_cli import __version__
from stsr_cli.files import sha256
from stsr_cli.options import UpscaleOptions
from stsr_cli.segments.grid import Grid
from stsr_cli.upscale.job import Job, Loaded
from stsr_cli.upscale.manifest import plain
from stsr_cli.video.encode.codecs import library_versions
from stsr_cli.video.encode.encoder import EncoderPlan

# Of a run in segments: what else says nothing of its pictures, or says it by the encoder that was settled.
_NOT_OF_PICTURES = frozenset(
    {
        *("audio", "subs", "chapters", "attachments", "is_time_scale_free"),
        *("codec", "crf", "preset", "pix_fmt", "options", "format"),
    }
)
# Options that say where, how fast and how often something is done, and not what comes out.
_NO_MATTER = frozenset(
    {
        *("source", "target", "resume", "keep_work", "work_dir", "report", "overwrite"),
        *("batch_size", "tile", "tile_overlap", "max_memory"),
    }
)
_NO_MATTER_INSIDE = {
    "read": frozenset({"hwaccel", "max_bad_frames", "max_pixels", "on_size_change", "protocols"}),
    "model": frozenset({"weights", "offline", "device", "stream"}),
    "tracks": frozenset({"strict"}),
}
_NUM_SAMPLES = 16
_SAMPLE_BYTES = 1 << 16


def identity(
    job: Job, loaded: Loaded, plan: EncoderPlan, storage: str, grid: Grid
) -> dict[str, Any]:
    """All that decides what is in the segments of a run, as JSON's types.

    The container, other tracks and metadata are no part of it: they come when the segments are joined.
    """
    options = options_that_matter(job.options)
    clock = job.timed.time_base / job.ticks
    return {
        "source": fingerprint(job.options.source, job.source.images),
        "options": {
            **{name: value for name, value in options.items() if name not in _NOT_OF_PICTURES},
            "stream": loaded.stream,
        },
        "weights": {name: sha256(path) for name, path in loaded.weights},
        "encoder": {
            "codec": plan.codec,
            "pix_fmt": plan.coded_pix_fmt,
            "width": plan.width,
            "height": plan.height,
            "pixel_shape": str(plan.sample_aspect_ratio),
            "turn": plan.turn and [*plan.turn],
            "alpha": plan.has_alpha,
            **plan.options,
        },
        "grid": {
            **asdict(grid),
            "storage": storage,
            "clock": str(clock),
        },
        "software": {"stsr": __version__, **library_versions()},
    }


def options_that_matter(options: UpscaleOptions) -> dict[str, Any]:
    """The options that decide what comes out, but for weights and stream, under the names of the command line."""
    kept = {name: value for name, value in asdict(options).items() if name not in _NO_MATTER}
    for name, hidden in _NO_MATTER_INSIDE.items():
        kept[name] = {key: value for key, value in kept[name].items() if key not in hidden}
    return _flat(plain(kept))


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    """Groups of options side by side, under the names that they have on the command line."""
    flat: dict[str, Any] = {}
    for name, value in options.items():
        flat.update(value if isinstance(value, dict) else {name: value})
    return flat


def fingerprint(source: Path, images: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Size and samples of a file, or of the images of a sequence.

    The whole of a film is gigabytes; no two files of one length are equal in samples from all over them but by intent.
    """
    digest, num_bytes = new_digest(), 0
    for path in images or (source,):
        with path.open("rb") as file:
            size = file.seek(0, 2)
            num_samples = 1 if images else _NUM_SAMPLES
            for index in range(num_samples + 1):
                file.seek(max(0, size - _SAMPLE_BYTES) * index // num_samples)
                digest.update(file.read(_SAMPLE_BYTES))
        num_bytes += size
    return {"files": len(images) or 1, "bytes": num_bytes, "samples": digest.hexdigest()[:16]}
