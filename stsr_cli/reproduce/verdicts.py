"""What the numbers say about the paper's claims: paired differences over seeds, nothing else. Standard library only."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from stsr_cli.reproduce.plan import Claim, Comparison, Point

Verdict = Literal["confirmed", "not confirmed", "contradicted"]
Values = Mapping[Point, Sequence[float]]  # of every point one value a seed, in the same order

# A mean difference counts when it is larger than this many of its standard errors.
NUM_STANDARD_ERRORS = 2


def mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean and its standard error, which one value alone does not have (None)."""
    if len(values) < 2:
        return values[0], None
    return statistics.fmean(values), statistics.stdev(values) / len(values) ** 0.5


def verdict_of(differences: Sequence[float]) -> Verdict:
    """Judge differences, one a seed, of which the paper says that they are positive."""
    mean, error = mean_and_error(differences)
    if error is None or abs(mean) <= NUM_STANDARD_ERRORS * error:
        return "not confirmed"
    return "confirmed" if mean > 0 else "contradicted"


def compare(comparison: Comparison, values: Values) -> dict[str, Any]:
    """One comparison, seed by seed: two cells of a seed have the same labeled samples, start and batches."""
    pairs = zip(values[comparison.better], values[comparison.worse], strict=True)
    differences = [better - worse for better, worse in pairs]
    mean, error = mean_and_error(differences)
    return {
        "label": comparison.label,
        "difference": mean,
        "standard_error": error,
        "differences": differences,
        "verdict": verdict_of(differences),
    }


def judge(claim: Claim, values: Values) -> dict[str, Any]:
    """A claim and all its comparisons."""
    compared = [compare(one, values) for one in claim.comparisons]
    return {
        "statement": claim.statement,
        "verdict": _overall([one["verdict"] for one in compared]),
        "comparisons": compared,
    }


def _overall(verdicts: Sequence[Verdict]) -> str:
    """One word if all agree; else how many of each."""
    counts = {
        verdict: verdicts.count(verdict)
        for verdict in ("confirmed", "not confirmed", "contradicted")
        if verdict in verdicts
    }
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{verdict} in {count}" for verdict, count in counts.items()) + (
        f" of {len(verdicts)} comparisons"
    )
