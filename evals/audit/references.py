"""Reference lists and texts of the recorded steering runs: whose tokens they name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial

from scipy.stats import hypergeom

from evals.audit.checks import CHANCE, Check, Finding, each_arm, of_all
from evals.audit.clone import FIRST_PASS, Arm, Clone, MissingPart
from evals.audit.published import Report, own_lists
from evals.audit.records import Status
from evals.audit.steering import SECTION
from evals.manual.study import decode_token


def list_checks(clone: Clone) -> list[Check]:
    """Lists and texts against the features' own tokens."""
    line = partial(each_arm, clone, SECTION)
    unsteered = "unsteered texts of the fine-tuned arm are more medical"
    return [
        *line("reference lists are the feature's own", "all", _own_lists),
        *line("steered texts that name the feature's own tokens", "more than unsteered", _own_words),
        Check(SECTION, "features in both runs have lists of their own", "yes", partial(_shared_lists, clone)),
        Check(SECTION, unsteered, "yes: it is another model", partial(_unsteered_words, clone)),
    ]


def _own_lists(arm: Arm) -> Finding:
    reports = arm.reports()
    hits, n = own_lists(reports, arm.own())
    if not n:
        raise MissingPart(f"{FIRST_PASS}: features of this run")
    status: Status = "differs" if hits < n else of_all(n, arm.claims.reports)
    return Finding(f"{hits} of {n} hold a token of the feature's own{_of(n, reports)}", status)


def _own_words(arm: Arm) -> Finding:
    own = arm.own()
    reports = arm.reports()
    known = [report for report in reports if report.feature in own]
    if not known:
        raise MissingPart(f"{FIRST_PASS}: features of this run")
    patterns = {report.feature: _any_of(own[report.feature]) for report in known}
    steered = sum(_count(patterns[report.feature], [report.steered]) for report in known)
    unsteered = sum(_count(patterns[report.feature], [report.unsteered]) for report in known)
    recorded = f"{steered} of {len(known)} steered, {unsteered} unsteered{_of(len(known), reports)}"
    shown = _tail(steered, unsteered, len(known), len(known)) < CHANCE
    return Finding(recorded, of_all(len(known), arm.claims.reports) if shown else "not shown")


def _shared_lists(clone: Clone) -> Finding:
    one, other = ({r.feature: r.tokens for r in arm.reports()} for arm in clone.arms)
    shared = set(one) & set(other)
    if not shared:
        return Finding("no feature is in both runs", "not shown")
    same = sum(one[feature] == other[feature] for feature in shared)
    recorded = f"{same} of {len(shared)} have the same list in both, token for token"
    return Finding(recorded, "differs" if same else "agrees")


def _unsteered_words(clone: Clone) -> Finding:
    tokens = frozenset[str]().union(*(words for arm in clone.arms for words in arm.own().values()))
    pattern = _any_of(tokens)
    counts = [(_count(pattern, [r.unsteered for r in arm.reports()]), len(arm.reports())) for arm in clone.arms]
    (base, n_base), (tuned, n_tuned) = counts
    p = _tail(tuned, base, n_tuned, n_base)
    recorded = f"{tuned} of {n_tuned} against {base} of {n_base} name one of {len(tokens)} tokens, p = {p:.2g}"
    return Finding(recorded, "agrees" if p < CHANCE else "not shown")


def _any_of(tokens: Iterable[str]) -> re.Pattern[str]:
    """One of the tokens as a word, or words, of its own."""
    words = {decode_token(token).strip().lower() for token in tokens} - {""}
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(words)))})\b" if words else "(?!)")


def _count(pattern: re.Pattern[str], texts: Iterable[str]) -> int:
    return sum(pattern.search(text.lower()) is not None for text in texts)


def _tail(more: int, fewer: int, n_more: int, n_fewer: int) -> float:
    """Fisher's exact test, one-sided: that the first share is larger."""
    return float(hypergeom.sf(more - 1, n_more + n_fewer, more + fewer, n_more))


def _of(n: int, reports: Sequence[Report]) -> str:
    return "" if n == len(reports) else f" (tokens of {n} of {len(reports)} features are here)"
