"""Kept features: how many, by which rule, and what their tokens weigh."""

from __future__ import annotations

import re
from functools import partial

import numpy as np
from scipy.stats import hypergeom

from evals.audit.checks import CHANCE, Check, Finding, each_arm, of_all
from evals.audit.claims import D_SAE
from evals.audit.clone import KEYWORD_NOTEBOOK, Arm, Clone, MissingPart
from evals.audit.fitting import fit_statistic, rounds_to
from evals.audit.records import Status
from evals.manual.study import FEWEST_HITS

SECTION = "features"
_TOTAL = re.compile(r"^Total .*features.*: (\d+)\s*$", re.MULTILINE)


def list_checks(clone: Clone) -> list[Check]:
    """Every line on kept features."""
    line, hits = partial(each_arm, clone, SECTION), f"{FEWEST_HITS} or more each"
    higher, same = "the mean weight is higher in the fine-tuned arm", "a number names the same feature in both arms"
    return [
        *line("features with two keyword hits", lambda arm: str(arm.claims.keyword_hits), partial(_hits, clone)),
        *line("features kept", lambda arm: str(arm.claims.kept), _kept),
        *line(f"their share of {D_SAE:,}", lambda arm: f"{arm.claims.share:.2f}%", _share),
        *line("keyword hits of the features kept", hits, _rule),
        *line("keyword hits of the features in the run", hits, _first_rule),
        *line("logit weights of medical tokens", _published_weights, _weights),
        Check(SECTION, higher, "yes", partial(_higher, clone.arms)),
        *line("tokens with a word vector", lambda arm: f"{arm.claims.coverage:.2f}%", _coverage),
        Check(SECTION, same, "yes, in looking up lists", partial(_overlap, clone.arms)),
    ]


def _published_weights(arm: Arm) -> str:
    return f"mean {arm.claims.weight_mean:.3f}, variance {arm.claims.weight_variance:.3f}"


def _hits(clone: Clone, arm: Arm) -> Finding:
    cells = clone.cells(KEYWORD_NOTEBOOK)
    name = f"medical_features_{arm.claims.arm}.json"
    for cell in cells:
        total = _TOTAL.search(cell.output)
        if name in cell.source and total:
            same = int(total[1]) == arm.claims.keyword_hits
            return Finding(f"{total[1]}, printed by {KEYWORD_NOTEBOOK}", "agrees" if same else "differs")
    raise MissingPart(f"the printed total in {KEYWORD_NOTEBOOK}")


def _kept(arm: Arm) -> Finding:
    n, claimed = len(arm.kept_features()), arm.claims.kept
    table = len(arm.scored or ())
    if n == claimed:
        return Finding(str(n), "agrees")
    recorded = f"{n} (coherence table: {table:,} of {D_SAE:,} features)"
    return Finding(recorded, "differs" if n > claimed or table >= D_SAE else "fits so far")


def _share(arm: Arm) -> Finding:
    claims = arm.claims
    share = 100 * claims.kept / D_SAE
    same = rounds_to(share, claims.share, 2)
    return Finding(f"{claims.kept} / {D_SAE:,} = {share:.2f}%", "agrees" if same else "differs")


def _rule(arm: Arm) -> Finding:
    kept = arm.kept_features()
    enough = sum(len(feature.medical) >= FEWEST_HITS for feature in kept.values())
    return _all_of(enough, len(kept), arm.claims.kept)


def _first_rule(arm: Arm) -> Finding:
    own = arm.own()
    return _all_of(sum(len(words) >= FEWEST_HITS for words in own.values()), len(own), arm.claims.reports)


def _all_of(enough: int, n: int, whole: int) -> Finding:
    status: Status = "differs" if enough < n else of_all(n, whole)
    return Finding(f"{enough} of {n} have them" + ("" if n >= whole else f" (of {whole})"), status)


def _medical_weights(arm: Arm) -> list[list[float]]:
    weights = [list(feature.medical.values()) for feature in arm.kept_features().values() if feature.medical]
    if not weights:
        raise MissingPart(f"medical_words in {arm.kept_file}")
    return weights


def _weights(arm: Arm) -> Finding:
    claims, groups = arm.claims, [_medical_weights(arm)]
    mean = fit_statistic(np.mean, groups, [claims.kept], claims.weight_mean, 3)
    definitions = (np.var, partial(np.var, ddof=1))  # of the population or of a sample: which is not said
    variances = [fit_statistic(of, groups, [claims.kept], claims.weight_variance, 3) for of in definitions]
    variance = next((one for one in variances if one.status != "differs"), variances[0])
    recorded = f"mean {mean.recorded.split()[0]}, variance {variance.recorded}"
    return Finding(recorded, variance.status if mean.status != "differs" else "differs")


def _higher(arms: tuple[Arm, Arm]) -> Finding:
    base, tuned = (float(np.mean(np.concatenate(_medical_weights(arm)))) for arm in arms)
    return Finding(f"{tuned:.3f} against {base:.3f}", "agrees" if tuned > base else "differs")


def _coverage(arm: Arm) -> Finding:
    """The vectors are not in the repository; of how many words a share can be that rounds to the figure, can be said."""
    kept, claims = arm.kept_features(), arm.claims
    words = [word for feature in kept.values() for token in feature.top if (word := _cleaned(token))]
    counts = {"words": len(words), "different words": len(set(words))}
    given = ", ".join(f"{n:,} {what}" for what, n in counts.items())
    if len(kept) < claims.kept:
        raise MissingPart(f"the word vectors, and kept features (here: {given})")
    fits = [what for what, n in counts.items() if _is_share(claims.coverage, n)]
    raise MissingPart(f"the word vectors (of {given}, it can be a share of the {' or the '.join(fits) or 'neither'})")


def _is_share(percent: float, n: int) -> bool:
    return n > 0 and rounds_to(100 * round(n * percent / 100) / n, percent, 2)


def _cleaned(token: str) -> str:
    return re.sub(r"[^a-z]", "", token.removeprefix("Ġ").lower())


def _overlap(arms: tuple[Arm, Arm]) -> Finding:
    one, other = ({report.feature for report in arm.reports()} for arm in arms)
    both, by_chance = len(one & other), len(one) * len(other) / D_SAE
    recorded = f"{both} of {len(one)} and {len(other)} in the runs are in both, {by_chance:.1f} by chance"
    kept = [set(arm.kept) for arm in arms if arm.kept]
    if len(kept) == len(arms):
        recorded += f"; {len(kept[0] & kept[1])} of {len(kept[0])} and {len(kept[1])} kept"
    p = float(hypergeom.sf(both - 1, D_SAE, len(one), len(other)))
    return Finding(recorded, "agrees" if p < CHANCE else "not shown")
