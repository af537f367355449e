"""The figures that the paper prints in its Tables 1 and 2, to be shown beside what was measured here."""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

NOTE = (
    "paper: its own figures, Tables 1 and 2, from its own cuts of the sets, colour space and SSIM, none of which it "
    "states: for orientation. Avg.: of the figures of both streams, as in the paper."
)
_STREAMS = ("t2s", "s2t", "average")
Figures = Mapping[str, Sequence[float]]


@cache
def paper_figures() -> Mapping[str, Mapping[str, Figures]]:
    """Return [PSNR, SSIM] by data set ("vid4"), method ("F(E+D)", "CDCA") and stream ("t2s", "s2t", "average")."""
    path = Path(__file__).with_name("paper_tables.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def beside_paper(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Set one data set's rows of an `evaluate` run (PSNR and SSIM in RGB) and the paper's in one table.

    Returns:
        Lines of strings: who, system, and PSNR and SSIM of T->S, S->T and the average of both figures; empty where the
        paper has no such data set.
    """
    printed = paper_figures().get(rows[0]["layout"]) if rows else None
    if printed is None:
        return []
    ours: dict[str, dict[str, Sequence[float]]] = {}
    for row in rows:
        if row["error"] is None:
            stream = "average" if row["stream"] == "-" else row["stream"]
            figures = ours.setdefault(row["system"], {})
            figures[stream] = (row["psnr_rgb"], row["ssim_rgb"])
            if row["system"] == "bicubic+blend":  # measured once, since its streams are equal
                figures["s2t"] = figures[stream]
    for figures in ours.values():
        if {"t2s", "s2t"} <= figures.keys():
            pair = zip(figures["t2s"], figures["s2t"], strict=True)
            figures["average"] = [sum(both) / 2 for both in pair]
    return [
        [who, method, *_cells(figures)]
        for who, table in (("here", ours), ("paper", printed))
        for method, figures in table.items()
    ]


def _cells(figures: Figures) -> list[str]:
    cells = []
    for stream in _STREAMS:
        found = figures.get(stream)
        cells += ["", ""] if found is None else [f"{found[0]:.2f}", f"{found[1]:.3f}"]
    return cells
