"""What an ablation is made of: cells, each one training run or measurement of one seed, shared between figures."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["spatial", "temporal", "baseline", "joint", "cdca"]


@dataclass(frozen=True)
class Cell:
    """One unit of work; equal cells of several figures are done once.

    Attributes:
        kind: "spatial" and "temporal" train f_S and f_T alone; "baseline" (B) trains nothing and measures the two one
            after the other; "joint" goes on from them with L_R + lambda L_C; "cdca" trains CDCA.
        num_labeled: size of D_L.
        num_unlabeled: size of D_U; of "joint" alone, as all that follows.
        consistency_weight: lambda.
        seed: of the draw of samples, of initialisation and of batches.
    """

    kind: Kind
    num_labeled: int
    num_unlabeled: int = 0
    consistency_weight: float = 0.0
    seed: int = 0

    @property
    def name(self) -> str:
        """For files and people: `joint-l8-u504-c4-s0`."""
        unlabeled = f"-u{self.num_unlabeled}-c{self.consistency_weight:g}"
        middle = unlabeled if self.kind == "joint" else ""
        return f"{self.kind}-l{self.num_labeled}{middle}-s{self.seed}"

    @property
    def needs(self) -> tuple["Cell", ...]:
        """The cells whose weights it starts from."""
        if self.kind not in ("baseline", "joint"):
            return ()
        kinds: tuple[Kind, Kind] = ("spatial", "temporal")
        return tuple(Cell(kind, self.num_labeled, seed=self.seed) for kind in kinds)

    def of_seed(self, seed: int) -> "Cell":
        """The same of another seed."""
        return replace(self, seed=seed)


Point = tuple[str, float]  # method, x


@dataclass(frozen=True)
class Comparison:
    """Two points of a figure of which the paper says that the first is better, and how to call that."""

    label: str
    better: Point
    worse: Point


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper and the comparisons that test it.

    Attributes:
        statement: what the paper says.
        comparisons: all must hold for the claim to be confirmed.
    """

    statement: str
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class Figure:
    """One experiment.

    Attributes:
        name: as on the command line.
        title: what is compared.
        x_label: what the x of a point is; "" of a table, whose points have x = 0.
        x_scale: of the axis.
        lines: method -> x -> cell (of seed 0).
        claims: what the paper says about it.
        paper: what its text states of the numbers; they are in its pictures otherwise, and not readable there.
        paper_values: method -> (PSNR, SSIM) by data set, where the text has them.
        differences: how our experiment differs from the paper's, beyond what all of a scale do.
    """

    name: str
    title: str
    x_label: str
    x_scale: Literal["linear", "log", "symlog"]
    lines: Mapping[str, Mapping[float, Cell]]
    claims: tuple[Claim, ...]
    paper: str
    paper_values: Mapping[str, Mapping[str, tuple[float, float]]]
    differences: tuple[str, ...] = ()

    def points(self) -> Iterable[tuple[str, float, Cell]]:
        """Method, x and cell (of seed 0) of every point."""
        for method, line in self.lines.items():
            for x, cell in line.items():
                yield method, x, cell


def in_order(figures: Iterable[Figure], num_seeds: int) -> list[Cell]:
    """Every cell that the figures need, once, after those it starts from; the seeds one after another."""
    found: dict[Cell, None] = {}
    measured = [cell for figure in figures for _, _, cell in figure.points()]
    for seed in range(num_seeds):
        for cell in (one.of_seed(seed) for one in measured):
            found |= dict.fromkeys((*cell.needs, cell))
    return list(found)
