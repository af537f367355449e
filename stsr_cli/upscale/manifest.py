"""The report of a run as JSON: what was read, what ran, what became of it, and what was verified (docs/report.md)."""

import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stsr_cli import __version__
from stsr_cli.errors import UsageError
from stsr_cli.files import same_file, sha256, write_atomically
from stsr_cli.hub import licence
from stsr_cli.options import UpscaleOptions
from stsr_cli.upscale.report import UpscaleReport
from stsr_cli.video.describe import describe
from stsr_cli.video.encode.codecs import library_versions
from stsr_cli.video.encode.encoder import EncoderPlan
from stsr_cli.video.probe import SourceInfo, shown
from stsr_cli.video.target import check_target

SCHEMA = 1


def check_manifest(options: UpscaleOptions) -> None:
    """Refuse a report that cannot be written, before anything is computed.

    Raises:
        UsageError: no such folder, an existing file without `overwrite`, or the name of another file of the run.
    """
    path = options.report
    if path is None:
        return
    taken = [options.source, options.target, *options.disagreement]
    if any(same_file(path, other) for other in taken):
        raise UsageError(
            f"--report {shown(path)} is another file of the run; choose another name, such as run.json"
        )
    check_target(path, options.source, overwrite=options.overwrite)


def write_manifest(options: UpscaleOptions, source: SourceInfo, report: UpscaleReport) -> None:
    """Write the report of a finished run, where one is asked for.

    Raises:
        StsrError: the disk is full; the output is there all the same.
    """
    if options.report is None:
        return
    text = json.dumps(manifest(options, source, report), indent=1, ensure_ascii=False)
    write_atomically(options.report, f"{text}\n".encode("utf-8", "surrogateescape"))


def manifest(options: UpscaleOptions, source: SourceInfo, report: UpscaleReport) -> dict[str, Any]:
    """What is known of a run, as JSON's types."""
    return {
        "schema": SCHEMA,
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "software": _software(),
        "options": plain(options),
        "source": {**_file(options.source), "video": describe(source)},
        "target": {
            **_file(options.target),
            "frames": report.frames_out,
            "width": report.width,
            "height": report.height,
            "encoder": _encoder(report.encoder) if report.encoder else None,
        },
        "network": {
            "name": options.model.name,
            "device": report.device,
            "precision": report.precision,
            "tile_side": report.tile_side,
            "stream": report.stream,
            "choice": plain(report.choice),
            "weights": [
                {
                    "name": name,
                    "file": str(path),
                    "sha256": sha256(path),
                    "licence": licence(name, path),
                }
                for name, path in report.weights
            ],
        },
        "tracks": plain(report.tracks),
        "warnings": [*report.warnings],
        "cuts": plain(report.cuts),
        "counts": {
            "frames_in": report.frames_in,
            "frames_out": report.frames_out,
            "frames_resumed": report.frames_resumed,
            **{
                field.name: getattr(report, field.name)
                for field in fields(report)
                if field.name.startswith(("num_", "repaired_"))
            },
            "mean_disagreement": report.mean_disagreement,
        },
        "time": {
            "seconds": report.seconds,
            "frames_per_second": report.frames_per_second,
            "decode_share": report.decode_share,
            "network_share": report.network_share,
            "encode_share": report.encode_share,
        },
        "verification": plain(report.checks),
    }


def _encoder(plan: EncoderPlan) -> dict[str, Any]:
    return {"codec": plan.codec, "pix_fmt": plan.coded_pix_fmt, "options": dict(plan.options)}


def _software() -> dict[str, Any]:
    return {
        "stsr": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        **library_versions(),
    }


def _file(path: Path) -> dict[str, Any]:
    """What tells whether a file is still the same; of images, a folder or a stream, where it is."""
    name = os.fsdecode(path.absolute())
    if not path.is_file():
        return {"path": name}
    status = path.stat()
    return {
        "path": name,
        "bytes": status.st_size,
        "modified": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(status.st_mtime)),
        "sha256": sha256(path),
    }


def plain(value: Any) -> Any:
    """A value as JSON's types: exact numbers as "24000/1001", what is not finite as None."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, Fraction | Path):
        return str(value)
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
