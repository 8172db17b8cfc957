"""Two sides' answers compared: every statistic of one table row, with its interval.

Answers are compared feature by feature: a feature's answers, to several concepts or of several annotators, are drawn
again together in the bootstrap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from evals.agreement.pairing import FAILED, UNDECIDED
from evals.agreement.results import Row, RowKind
from evals.statistics.bootstrap import Statistic, Units, gather_units, resample
from evals.statistics.estimate import Estimate, estimate_share, estimate_statistic
from evals.statistics.matrices import (
    Counts,
    accuracy,
    any_relation,
    bias_index,
    cohen_kappa,
    coincidences,
    confusion_cells,
    f1,
    gwet_ac1,
    krippendorff_alpha,
    matthews,
    precision,
    prevalence_index,
    recall,
)

Codes = Int[np.ndarray, " cases"]
Side = tuple[Codes, Codes]
"""What was given and what is compared with it, case by case; below 0 for no category."""
Measure = Callable[[Counts], np.ndarray]


class Compared(NamedTuple):
    """Counts of answers side by side, one matrix a feature and slot, and how many were left out."""

    cells: Float[np.ndarray, "features slots k k"]
    """A slot is one pair of sides; a statistic is the mean over the slots in which it is defined."""
    undecided: int = 0
    failed: int = 0

    @property
    def single(self) -> bool:
        """One answer a feature, so that shares of answers are shares of features."""
        return self.cells.shape[1] == 1 and bool((self.cells.sum((1, 2, 3)) <= 1).all())


def stack_answers(sides: Sequence[Side], owner: Codes, k: int) -> Compared:
    """Counts by feature and pair of sides; answers that are no category on either side are left out.

    Args:
        sides: one a slot.
        owner: the feature each case is about.
        k: number of categories.
    """
    cells = np.zeros((int(owner.max()) + 1 if len(owner) else 0, len(sides), k, k))
    undecided = failed = 0
    for slot, (given, answer) in enumerate(sides):
        asked = given >= 0
        kept = asked & (answer >= 0)
        np.add.at(cells[:, slot], owner[kept], confusion_cells(given[kept], answer[kept], k))
        undecided += int((asked & (answer == UNDECIDED)).sum())
        failed += int((asked & (answer == FAILED)).sum())
    return Compared(cells[cells.any((1, 2, 3))], undecided, failed)


def measure_row(name: str, kind: RowKind, compared: Compared, ordinal: bool, seed: int) -> Row:
    """One row with every statistic and interval.

    Args:
        name: of the row.
        kind: of the row.
        compared: the counts.
        ordinal: whether the categories are ratings.
        seed: of the bootstrap.
    """
    statistics: dict[str, Estimate] = {}
    if len(compared.cells):
        k = compared.cells.shape[-1]
        units = gather_units(compared.cells)
        sums = resample(units, seed)
        shares = _shares(k, ordinal) if compared.single else {}
        for key, measure in measures(k, ordinal).items():
            if key.endswith("_index"):  # a size, never below 0: resampling it says little near 0
                statistics[key] = Estimate(value=float(mean_over_slots(measure)(units.total)))
            elif key in shares:
                statistics[key] = estimate_share(*shares[key](units.total[0]))
            else:
                statistics[key] = estimate(mean_over_slots(measure), units, sums)
    return fill_row(name, kind, compared, statistics)


def fill_row(name: str, kind: RowKind, compared: Compared, statistics: dict[str, Estimate]) -> Row:
    """The row of some counts and their statistics."""
    return Row(
        name=name,
        kind=kind,
        n=round(float(compared.cells.sum())),
        features=len(compared.cells),
        undecided=compared.undecided,
        failed=compared.failed,
        statistics=statistics,
    )


def alpha_row(
    name: str, raters: Int[np.ndarray, "cases raters"], owner: Codes, k: int, ordinal: bool, seed: int
) -> Row:
    """Krippendorff's alpha of any number of raters, missing answers left open; `n` counts cases with two or more."""
    cells = np.zeros((int(owner.max()) + 1, 1, k, k))
    np.add.at(cells[:, 0], owner, coincidences(raters, k))
    cells = cells[cells.any((1, 2, 3))]
    units = gather_units(cells)
    alpha = estimate(mean_over_slots(_alpha(ordinal)), units, resample(units, seed))
    row = fill_row(name, "people", Compared(cells), {"alpha": alpha})
    return row.model_copy(update={"n": int(((raters >= 0).sum(1) > 1).sum())})


def measures(k: int, ordinal: bool) -> dict[str, Measure]:
    """Statistics of a confusion matrix by name, for verdicts or for ratings."""
    found: dict[str, Measure] = {"accuracy": accuracy, "kappa": cohen_kappa}
    if ordinal:
        found |= {
            "kappa_linear": lambda c: cohen_kappa(c, "linear"),
            "kappa_quadratic": lambda c: cohen_kappa(c, "quadratic"),
        }
    found |= {"alpha": lambda c: _alpha(ordinal)(c + np.swapaxes(c, -1, -2)), "ac1": gwet_ac1, "mcc": matthews}
    if ordinal:
        found |= {
            "accuracy_any": lambda c: accuracy(any_relation(c)),
            "kappa_any": lambda c: cohen_kappa(any_relation(c)),
            "ac1_any": lambda c: gwet_ac1(any_relation(c)),
        }
    found |= {
        "prevalence_index": lambda c: prevalence_index(any_relation(c)),
        "bias_index": lambda c: bias_index(any_relation(c)),
    }
    for number, label in enumerate(_names(k, ordinal)):
        found |= {
            f"precision_{label}": lambda c, n=number: precision(c, n),
            f"recall_{label}": lambda c, n=number: recall(c, n),
            f"f1_{label}": lambda c, n=number: f1(c, n),
        }
    return found


def mean_over_slots(measure: Measure) -> Statistic:
    """The statistic's mean over the slots in which it is defined."""

    def mean(sums: np.ndarray) -> np.ndarray:
        values = measure(sums)
        known = ~np.isnan(values)
        total = np.where(known, values, 0).sum(-1)
        return np.where(known.any(-1), total / np.maximum(known.sum(-1), 1), np.nan)

    return mean


def estimate(statistic: Statistic, units: Units, sums: np.ndarray) -> Estimate:
    """A figure with its BCa interval, or with an exact bound where the sample shows no disagreement to resample.

    Args:
        statistic: of summed counts.
        units: of the sample.
        sums: of its resamples.
    """
    total = units.total
    agree = not (total * (1 - np.eye(total.shape[-1]))).any()
    return estimate_statistic(
        statistic, units, sums, _with_disagreement(total, int(units.sizes.sum())) if agree else None
    )


def _with_disagreement(total: Counts, features: int) -> Counts:
    """Perfect agreement, less the largest share of disagreement that so many features may hide (97.5 %, one-sided)."""
    hidden = 1 - 0.025 ** (1 / features)
    used = total.sum(-1)
    off = used[..., :, None] * used[..., None, :] * (1 - np.eye(total.shape[-1]))
    all_off = off.sum((-2, -1), keepdims=True)
    spread = np.where(all_off > 0, off / np.where(all_off > 0, all_off, 1), 0) * total.sum((-2, -1), keepdims=True)
    return (1 - hidden) * total + hidden * spread


def _shares(k: int, ordinal: bool) -> dict[str, Callable[[Counts], tuple[float, float]]]:
    """Statistics that are a share of answers: how many, and of how many."""
    found: dict[str, Callable[[Counts], tuple[float, float]]] = {"accuracy": lambda c: (np.trace(c), c.sum())}
    for number, label in enumerate(_names(k, ordinal)):
        found[f"precision_{label}"] = lambda c, n=number: (c[n, n], c[:, n].sum())
        found[f"recall_{label}"] = lambda c, n=number: (c[n, n], c[n, :].sum())
    return found


def _alpha(ordinal: bool) -> Measure:
    return lambda c: krippendorff_alpha(c, "ordinal" if ordinal else "nominal")


def _names(k: int, ordinal: bool) -> Iterable[str]:
    return [str(category) for category in range(k)] if ordinal else ["no", "yes"]
