"""The strata that make up an SAE, with what is known of each: what shares of the whole SAE rest on."""

from __future__ import annotations

import numpy as np

from evals.agreement.prevalence import FEATURES
from evals.arms.results import StratumCount
from evals.arms.runs import Arm, column, equals


def count_strata(arm: Arm) -> list[StratumCount]:
    """Every stratum; none where the run did not draw from strata of known size."""
    selection = arm.manifest.selection
    if selection is not None and selection.rule is None and selection.strategy is not None:
        return []  # what of the rest would be a candidate does not follow from keyword hits
    sizes = {size.stratum: size for size in selection.sizes} if selection else {}
    drawn = np.array([isinstance(stratum, str) for stratum in arm.table["stratum"]])
    undrawn = (column(arm.table, "alive") > 0) & ~drawn
    candidate = column(arm.table, "hits") >= arm.thresholds.hits
    settled = column(arm.table, "settled") > 0
    found: list[StratumCount] = []
    for stratum in FEATURES:
        size = sizes.get(stratum)
        if size is None or size.population is None:
            return []
        members = equals(arm.table, "stratum", stratum)
        rest = undrawn & (candidate if stratum == FEATURES[0] else ~candidate)
        left = size.population - int(members.sum())
        # Which of the two control strata an undrawn feature is of is not stored: all of them are settled, or none.
        ruled_out = left if settled[rest].all() else int((rest & settled).sum()) if stratum == FEATURES[0] else 0
        yes, undecided, failed = (
            int((members & equals(arm.table, "judged", verdict)).sum()) for verdict in ("yes", "undecided", "failed")
        )
        found.append(
            StratumCount(
                stratum=stratum,
                population=size.population,
                drawn=size.population - left,
                yes=yes,
                undecided=undecided,
                failed=failed,
                ruled_out=min(left, ruled_out),
                weighed=int((members & ~settled).sum()),
            )
        )
    return found
