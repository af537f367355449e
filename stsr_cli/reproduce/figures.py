"""The five experiments as data, at a given scale; the paper's sentences are quoted or close to it."""

from collections.abc import Callable, Sequence

from stsr_cli.reproduce.plan import Cell, Claim, Comparison, Figure, Point
from stsr_cli.reproduce.scales import Scale

WITH, WITHOUT, B, F, CDCA = "L_R + lambda L_C", "L_R alone", "B", "F", "CDCA"
_NOT_READABLE = "The figure's values are in a picture and not readable from the text."


def _joint(scale: Scale, num_labeled: int, num_unlabeled: int, weight: float | None = None) -> Cell:
    weight = scale.weight if weight is None else weight
    return Cell("joint", num_labeled, num_unlabeled, float(weight))


def _of_pool(scale: Scale, percentage: float, weight: float | None = None) -> Cell:
    """Some of the pool labeled, the rest not."""
    num_labeled = scale.num_labeled(percentage)
    return _joint(scale, num_labeled, scale.pool - num_labeled, weight)


def _percent(percentage: float) -> str:
    return f"{percentage:.3g} %"


def fig4(scale: Scale) -> Figure:
    """With and without L_C over the ratio of labeled samples."""
    percentages = sorted({*scale.more_percentages, *scale.percentages})
    return Figure(
        name="fig4",
        title=f"Fig. 4(e): the consistency loss L_C, lambda = {scale.weight:g}",
        x_label="labeled samples in % of the training set",
        x_scale="log",
        lines={
            WITH: {x: _of_pool(scale, x) for x in percentages},
            WITHOUT: {x: _of_pool(scale, x, 0) for x in percentages},
        },
        claims=(
            Claim(
                '"this loss L_C consistently improves the performance with different amounts of labeled training data"',
                tuple(
                    Comparison(
                        f"with - without L_C, {_percent(x)} labeled", (WITH, x), (WITHOUT, x)
                    )
                    for x in percentages
                ),
            ),
        ),
        paper=f"Ratios from 0.1 % to 100 %; with L_C above without it at all of them. {_NOT_READABLE}",
        paper_values={},
    )


def fig5(scale: Scale) -> Figure:
    """The two-stream network against the baseline over the ratio of labeled samples."""
    percentages = scale.percentages
    fifth = min(percentages, key=lambda x: abs(x - 20))
    return Figure(
        name="fig5",
        title=f"Fig. 5(e): two streams (F, lambda = {scale.weight:g}) and the baseline (B)",
        x_label="labeled samples in % of the training set",
        x_scale="linear",
        lines={
            F: {x: _of_pool(scale, x) for x in percentages},
            B: {x: Cell("baseline", scale.num_labeled(x)) for x in percentages},
        },
        claims=(
            Claim(
                '"our method with two network streams achieves much better performance than the baseline with a single '
                'stream with various ratios"',
                tuple(
                    Comparison(f"F - B, {_percent(x)} labeled", (F, x), (B, x)) for x in percentages
                ),
            ),
            Claim(
                '"our approach can use much less labeled data to reach the same performance by the baseline": 20 % '
                "against 100 %",
                (
                    Comparison(
                        f"F with {_percent(fifth)} - B with {_percent(percentages[-1])} labeled",
                        (F, fifth),
                        (B, percentages[-1]),
                    ),
                ),
            ),
        ),
        paper="2,048 samples, 10 % to 100 % labeled; F above B at all of them, F with 20 % visibly better than B with "
        f"100 %. {_NOT_READABLE} (Table 1, trained on all of Vimeo-90K and tested there: B 28.87 dB, F 29.39 dB.)",
        paper_values={},
        differences=(
            *([] if fifth == 20 else [f"{fifth:g} % labeled where the paper names 20 %."]),
            "B has no steps beyond those of its modules' own training, F has those of the joint stage on top; "
            "`L_R alone` of Fig. 4 has as many as F.",
        ),
    )


def fig6(scale: Scale) -> Figure:
    """Few labeled samples and more and more unlabeled ones."""
    numbers = scale.unlabeled
    none, middle, most = numbers[0], numbers[len(numbers) // 2], numbers[-1]

    def against(more: int, fewer: int) -> Comparison:
        return Comparison(f"{more} - {fewer} unlabeled", (F, more), (F, fewer))

    return Figure(
        name="fig6",
        title=f"Fig. 6(e): unlabeled samples beside {scale.few} labeled ones, lambda = {scale.weight:g}",
        x_label="unlabeled samples",
        x_scale="symlog",
        lines={
            F: {number: _joint(scale, scale.few, number) for number in numbers},
        },
        claims=(
            Claim(
                '"using the proposed cross-stream consistency loss to exploit unlabeled data improves the performance"',
                tuple(against(number, none) for number in numbers[1:]),
            ),
            Claim('"especially when more unlabeled data are provided"', (against(most, middle),)),
        ),
        paper="32 labeled samples and 2^6 to 2^12 unlabeled ones; the curve rises with their number. "
        f"{_NOT_READABLE}",
        paper_values={},
    )


def fig8(scale: Scale) -> Figure:
    """Sensitivity to lambda with few labeled samples."""
    num_unlabeled = scale.sensitivity_pool - scale.few
    moderate = [weight for weight in scale.weights if 0 < weight <= 8]
    largest = scale.weights[-1]

    def against(more: float, less: float) -> Comparison:
        return Comparison(f"lambda {more:g} - lambda {less:g}", (F, more), (F, less))

    return Figure(
        name="fig8",
        title=f"Fig. 8: lambda with {scale.few} labeled and {num_unlabeled} unlabeled samples",
        x_label="lambda",
        x_scale="symlog",
        lines={F: {w: _joint(scale, scale.few, num_unlabeled, w) for w in scale.weights}},
        claims=(
            Claim(
                '"the performance gain by changing lambda from zero to a positive value is significant"',
                tuple(against(weight, 0) for weight in moderate),
            ),
            Claim(
                '"Once the value of lambda is larger than a threshold, say 8-10 in this case, the performance '
                'decreases instead"',
                (against(moderate[-1], largest),),
            ),
        ),
        paper="512 samples, 32 of them labeled; a steep rise from lambda = 0, a broad top, a decrease from about 8-10 "
        f"on, smooth. {_NOT_READABLE}",
        paper_values={},
    )


_TABLE2 = {
    "CDCA": ((25.86, 0.741), (21.51, 0.581), (24.63, 0.678), (21.69, 0.648)),
    "F(V+D)": ((29.39, 0.861), (22.21, 0.663), (25.68, 0.713), (22.43, 0.668)),
    "F(E+D)": ((28.63, 0.832), (22.60, 0.676), (27.42, 0.765), (23.22, 0.707)),
    "F(V+S)": ((28.91, 0.848), (22.94, 0.708), (27.06, 0.769), (22.81, 0.702)),
    "F(E+S)": ((28.42, 0.832), (22.33, 0.667), (26.81, 0.750), (22.77, 0.692)),
    "F(P+A)": ((29.36, 0.870), (22.51, 0.695), (27.18, 0.767), (23.84, 0.740)),
}
_TEST_SETS = ("Vimeo-90K", "Vid4", "Middlebury", "DAVIS")


def table2(scale: Scale) -> Figure:
    """CDCA against the two-stream network, all samples labeled."""
    f, cdca = (F, 0.0), (CDCA, 0.0)
    return Figure(
        name="table2",
        title=f"Table 2: CDCA and F, {scale.pool} labeled samples",
        x_label="",
        x_scale="linear",
        lines={
            CDCA: {0.0: Cell("cdca", scale.pool)},
            B: {0.0: Cell("baseline", scale.pool)},
            F: {0.0: _of_pool(scale, 100)},
        },
        claims=(
            Claim(
                '"our method performs favorably against CDCA"', (Comparison("F - CDCA", f, cdca),)
            ),
        ),
        paper="V VDSR, E ESPCN, P DBPN; D DVF, S Super SloMo, A DAIN; trained on all of Vimeo-90K.",
        paper_values={
            method: dict(zip(_TEST_SETS, values, strict=True)) for method, values in _TABLE2.items()
        },
        differences=(
            "CDCA's layers are ours: the publication that describes it does not give them.",
        ),
    )


FIGURES: dict[str, Callable[[Scale], Figure]] = {
    "fig4": fig4,
    "fig5": fig5,
    "fig6": fig6,
    "fig8": fig8,
    "table2": table2,
}


def points_of(claims: Sequence[Claim]) -> set[Point]:
    """Every point that claims compare."""
    return {
        point for claim in claims for one in claim.comparisons for point in (one.better, one.worse)
    }
