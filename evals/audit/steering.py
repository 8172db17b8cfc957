"""Table 1 and the appendix: wins and similarities of the recorded steering runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from statistics import fmean

import numpy as np

from evals.audit.checks import CHANCE, Check, Finding, each_arm, of_all
from evals.audit.clone import Arm, Clone, MissingPart, need
from evals.audit.fitting import fit_statistic, rounds_to
from evals.audit.parts import Scored
from evals.audit.published import Likeness, RecordedRun, Report, judge_run, own_lists, tally_wins
from evals.audit.records import Status
from tools.maths import binomial_tail

SECTION = "steering"


def list_checks(clone: Clone, likeness: Likeness | None) -> list[Check]:
    """Wins and similarities.

    Args:
        clone: what is recorded.
        likeness: of texts to lists of words, for the null; None without word vectors.
    """
    line = partial(each_arm, clone, SECTION)
    return [
        *line("kept features whose steered text wins", _published_wins, _kept_wins),
        *line("the pass rate that this is", _published_rate, _rate),
        *line("their mean similarity, steered against unsteered", _published_means, _means),
        *line("wins of the run in the appendix", _published_run, _all_wins),
        *line("the run's own summary", _summary, _own_summary),
        *line("more wins than a coin", "yes", _beyond_coin),
        *line("more wins than under other features' lists", "yes", partial(_null, likeness)),
        *line("the features steered are those kept", "all", _kept_tested),
    ]


def _published_wins(arm: Arm) -> str:
    return f"{arm.claims.wins} of {arm.claims.kept} ({arm.claims.pass_rate:.1f}%)"


def _published_rate(arm: Arm) -> str:
    return f"{arm.claims.pass_rate:.1f}%"


def _published_run(arm: Arm) -> str:
    return f"{arm.claims.tested_wins} of {arm.claims.tested} ({arm.claims.tested_rate:.0f}%)"


def _published_means(arm: Arm) -> str:
    return f"{arm.claims.steered:.4f} against {arm.claims.unsteered:.4f}"


def _kept_wins(arm: Arm) -> Finding:
    """At most so many losses are published; a part of the features can show more."""
    claims = arm.claims
    wins, n, *_ = tally_wins(_kept_reports(arm))
    recorded = f"{wins} of the {n} kept features in the recorded run ({wins / n:.1%})"
    if n - wins > claims.kept - claims.wins or wins > claims.wins:
        return Finding(recorded, "differs")
    return Finding(recorded, of_all(n, claims.kept))


def _kept_reports(arm: Arm) -> list[Report]:
    kept = arm.kept_features()
    if _is_another_sae(arm):
        raise MissingPart("a run of these features (the recorded one has another SAE's)")
    reports = [report for report in arm.reports() if report.feature in kept]
    if not reports:
        raise MissingPart("a recorded run of the kept features")
    return reports


def _is_another_sae(arm: Arm) -> bool:
    """The lists are the steered features' own, and not those of Table 2's features with the same numbers."""
    if arm.scored is None or arm.run is None or arm.first_pass is None:
        return False
    hits, n = own_lists(arm.run.reports, arm.first_pass)
    shared, both = shared_lists(arm.run, arm.scored)
    return 0 < n == hits and shared < both / 2


def shared_lists(run: RecordedRun, scored: Mapping[int, Scored]) -> tuple[int, int]:
    """Lists that share a token with the coherence table's five for the same number, and how many could."""
    pairs = [(set(one.tokens), set(scored[one.feature].tokens)) for one in run.reports if one.feature in scored]
    return sum(bool(tokens & others) for tokens, others in pairs), len(pairs)


def _rate(arm: Arm) -> Finding:
    claims = arm.claims
    rate = 100 * claims.wins / claims.kept
    agrees = rounds_to(rate, claims.pass_rate, 1)
    return Finding(f"{claims.wins} / {claims.kept} = {rate:.1f}%", "agrees" if agrees else "differs")


def _all_wins(arm: Arm) -> Finding:
    claims, tally = arm.claims, tally_wins(arm.reports())
    recorded = f"{tally.wins} of {tally.n} ({tally.wins / tally.n:.1%})"
    losses = tally.n - tally.wins
    if tally.wins > claims.tested_wins or losses > claims.tested - claims.tested_wins or tally.n > claims.tested:
        return Finding(recorded, "differs")
    return Finding(recorded, of_all(tally.n, claims.tested))


def _summary(arm: Arm) -> str:
    claimed = arm.run.claimed_wins if arm.run else None
    return "-" if claimed is None else f"{claimed} wins"


def _own_summary(arm: Arm) -> Finding:
    run = need(arm.run, arm.run_folder)
    claimed = need(run.claimed_wins, f"{arm.run_folder}/*/cfg.json")
    wins, n, *_ = tally_wins(run.reports)
    missing = max(0, arm.claims.reports - n)
    status: Status = of_all(n, arm.claims.reports) if wins <= claimed <= wins + missing else "differs"
    steered, unsteered = (
        fmean(scores) for scores in zip(*((r.steered_score, r.unsteered_score) for r in run.reports), strict=True)
    )
    return Finding(f"{wins} wins in {n} reports, mean similarity {steered:.4f} against {unsteered:.4f}", status)


def _beyond_coin(arm: Arm) -> Finding:
    tally = tally_wins(arm.reports())
    low, high = tally.interval
    recorded = f"{tally.wins / tally.n:.1%} [{low:.1%}, {high:.1%}], p = {tally.p_value:.2g}"
    return Finding(recorded, of_all(tally.n, arm.claims.reports) if low > 0.5 else "not shown")


def _null(likeness: Likeness | None, arm: Arm) -> Finding:
    if len(arm.reports()) < 2:
        raise MissingPart(f"a second report in {arm.run_folder}")
    verdict = judge_run(need(arm.run, arm.run_folder), need(likeness, "word vectors"))
    own, swapped, n = verdict.own_rate, verdict.swapped_rate, verdict.compared
    if not n or math.isnan(swapped):
        raise MissingPart("reports whose words have vectors")
    shown = binomial_tail(round(own * n), n, swapped) < CHANCE
    recorded = f"by word vectors {own:.1%} of {n} under the own lists, {swapped:.1%} under others'"
    return Finding(recorded, of_all(verdict.tally.n, arm.claims.reports) if shown else "not shown")


def _means(arm: Arm) -> Finding:
    claims, reports = arm.claims, _kept_reports(arm)
    scores = ([[report.steered_score] for report in reports], [[report.unsteered_score] for report in reports])
    published = (claims.steered, claims.unsteered)
    steered, unsteered = (
        fit_statistic(np.mean, [groups], [claims.kept], value, 4)
        for groups, value in zip(scores, published, strict=True)
    )
    status = unsteered.status if steered.status == unsteered.status else "differs"
    return Finding(f"{steered.recorded.split()[0]} against {unsteered.recorded}", status)


def _kept_tested(arm: Arm) -> Finding:
    kept = arm.kept_features()
    tested = {report.feature for report in arm.reports()}
    both, to_come = len(tested & set(kept)), arm.claims.reports - len(tested)
    all_in = of_all(len(kept), arm.claims.kept) if both == len(kept) else "fits so far"
    status: Status = "differs" if len(kept) - both > to_come else all_in
    other = "; the run's lists are another SAE's" if _is_another_sae(arm) else ""
    return Finding(f"{both} of {len(kept)} kept are in the run of {len(tested)}{other}", status)
