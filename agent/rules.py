"""The rules judge: the published study's procedure, automated, each step held against its null. No LLM.

It is what a run without an LLM uses, it says so in every decision, and it is the baseline that an LLM must beat.
Its confidence is a tail probability, not a calibrated one.
"""

from __future__ import annotations

from typing import NamedTuple

from agent.records import SteeringVerdict, Verdict
from tools.maths import binomial_tail
from tools.records import CoherenceEvidence, Evidence, KeywordEvidence, SteeringEvidence
from tools.studies import Study

STEERING_ALPHA = 0.05
COHERENCE_ALPHA = 0.05


class Judgement(NamedTuple):
    """A verdict before it becomes a decision."""

    label: str
    relevant: Verdict
    confidence: float
    interpretable: int | None
    steering: SteeringVerdict | None
    reasons: tuple[str, ...]


def judge_by_rules(evidence: Evidence, study: Study) -> Judgement:
    """Relevant if keywords, coherence and steering all pass their nulls; not relevant if keywords do not; else undecided.

    A kind of evidence that is missing can neither pass nor fail, so that it leaves a keyword-positive feature undecided.
    """
    keywords, reason_k = _check_keywords(evidence.keywords, study)
    coherent, reason_c = _check_coherence(evidence.coherence)
    steering = steering_verdict(evidence.steering)
    reason_s = _explain_steering(steering)
    reasons = (reason_k, reason_c, reason_s)
    checks = (coherent, None if steering is None else steering.verdict == "passes")
    if keywords is None:
        return Judgement(name_feature(evidence), "undecided", 0.5, None, steering, reasons)
    if not keywords:
        chance = evidence.keywords.null_share if evidence.keywords else 1.0
        return Judgement(name_feature(evidence), "no", min(0.99, max(0.5, chance)), None, steering, reasons)
    if all(check is True for check in checks):
        return Judgement(name_feature(evidence), "yes", _confidence(evidence, steering), None, steering, reasons)
    return Judgement(name_feature(evidence), "undecided", 0.5, None, steering, reasons)


def steering_verdict(evidence: SteeringEvidence | None) -> SteeringVerdict | None:
    """Passes if wins beyond the null are unlikely by chance; fails if wins do not exceed the null; else undecided."""
    if evidence is None:
        return None
    wins = round(evidence.win_rate * evidence.n)
    if binomial_tail(wins, evidence.n, evidence.null_win_rate) <= STEERING_ALPHA:
        verdict = "passes"
    elif evidence.win_rate <= evidence.null_win_rate:
        verdict = "fails"
    else:
        verdict = "undecided"
    return SteeringVerdict(
        verdict=verdict, win_rate=evidence.win_rate, n=evidence.n, null_win_rate=evidence.null_win_rate
    )


def name_feature(evidence: Evidence) -> str:
    """A label of at most eight words: the different words the top tokens stand for, or the tokens themselves."""
    if evidence.projection is None:
        return "unnamed"
    words = dict.fromkeys(entry.word for entry in evidence.projection.top if entry.word)
    pieces = dict.fromkeys(entry.token.strip() for entry in evidence.projection.top)
    return ", ".join(list(words or pieces)[:5])


def _check_keywords(evidence: KeywordEvidence | None, study: Study) -> tuple[bool | None, str]:
    if evidence is None:
        return None, "keywords: no evidence"
    n = len(evidence.hits)
    enough = n >= study.survey.candidate_hits
    beyond = evidence.null_share <= study.survey.alpha
    listed = ", ".join(dict.fromkeys(hit.word for hit in evidence.hits)) or "none"
    text = f"keywords: {n} of {evidence.n_top} top tokens ({listed}); {evidence.null_share:.1%} of random directions have as many"
    return enough and beyond, text


def _check_coherence(evidence: CoherenceEvidence | None) -> tuple[bool | None, str]:
    if evidence is None or evidence.deduplicated is None or evidence.null_share is None:
        return None, "coherence: no value (fewer than two different words with a vector)"
    text = f"coherence: {evidence.deduplicated:.2f} over different words; {evidence.null_share:.1%} of random directions reach it"
    return evidence.null_share <= COHERENCE_ALPHA, text


def _explain_steering(verdict: SteeringVerdict | None) -> str:
    if verdict is None or verdict.win_rate is None or verdict.null_win_rate is None:
        return "steering: no evidence"
    return (
        f"steering {verdict.verdict}: {round(verdict.win_rate * verdict.n)} of {verdict.n} texts won, "
        f"{verdict.null_win_rate:.0%} expected under other features' words"
    )


def _confidence(evidence: Evidence, steering: SteeringVerdict | None) -> float:
    tails = [evidence.keywords.null_share if evidence.keywords else 1.0]
    if evidence.coherence and evidence.coherence.null_share is not None:
        tails.append(evidence.coherence.null_share)
    if steering and steering.win_rate is not None and steering.null_win_rate is not None:
        tails.append(binomial_tail(round(steering.win_rate * steering.n), steering.n, steering.null_win_rate))
    return max(0.5, 1.0 - max(tails))
