"""The rules judge: the published study's procedure, automated, each step held against its null. No LLM.

It is what a run without an LLM uses, it says so in every decision, and it is the baseline that an LLM must beat.
Its confidence is a tail probability, not a calibrated one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pydantic import JsonValue

from agent.briefing.generations import Briefing
from agent.folder.records import JudgeRef, SteeringVerdict
from agent.folder.sides import Side, SideClass, Sides
from agent.judges.counting import count_sides
from agent.judges.in_common import explain_common, has_in_common, name_peaks, name_places
from agent.judges.judge import Case, Model, Ruling
from agent.judges.judgement import ALPHA, Judgement, steering_verdict, tail_of_wins
from agent.llm.requests import Message
from agent.transcript import Notes
from tools.maths import binomial_tail, combine_tails
from tools.proof.floors import NOTHING_DEAD, Dead, Instrument, keep_alive, reasons_for, say_dead
from tools.records import (
    ActivationEvidence,
    CausalEvidence,
    CoherenceEvidence,
    Evidence,
    KeywordEvidence,
    PositionEvidence,
    SteeringEvidence,
)
from tools.study.definition import Counts, Question, SurveyDefaults

NEWEST_RULES = 3
ABOUT_IT = 1 / 3
"""Share of the documents it peaks in that a feature about the domain is taken to have a word of the domain near in, at the
least: of 39 features of SmolLM2 that a reader calls so the median has 0.5, the lowest 0.2, which is not few enough to tell."""
COVERED = 0.01
"""Least share of all tokens with a word of the domain near: below it list or text holds too little of the domain for its
absence to tell anything."""


class Rules(NamedTuple):
    """The study's own procedure, without an LLM."""

    name = "apply_rules"
    needs_hypotheses = False
    ref = JudgeRef(kind="rules")
    thresholds: SurveyDefaults
    counts: Counts = "both"
    sided: bool = True
    """Whether both sides' verdicts are kept: runs of the first generation kept the one that follows."""
    version: int = NEWEST_RULES
    """Of the rules: a run is judged by those of its generation."""

    @classmethod
    def of(cls, question: Question, model: Model | None, briefing: Briefing) -> Rules | None:
        """Where there is no model."""
        if model is not None:
            return None
        counts = question.domain.counts if question.domain else "both"
        return cls(question.survey, counts, sided=briefing.generation > 1, version=briefing.rules)

    def requests(self, case: Case) -> list[list[Message]]:
        """None."""
        return []

    async def judge(self, case: Case, notes: Notes) -> Ruling:
        """Apply the rules to the evidence alone."""
        dead = reasons_for(case.floors, case.evidence)
        found = judge_by_rules(case.evidence, self.thresholds, dead, self.counts, self.version)
        found = found if self.sided else found._replace(sides=None)
        reasons: list[JsonValue] = [*found.reasons]
        notes.add("rule", {"relevant": found.relevant, "confidence": found.confidence, "reasons": reasons})
        return Ruling(found)


def judge_by_rules(
    evidence: Evidence,
    thresholds: SurveyDefaults,
    dead: Dead = NOTHING_DEAD,
    counts: Counts = "both",
    version: int = NEWEST_RULES,
) -> Judgement:
    """Contexts decide on where a feature is active; keywords, coherence and steering on what it promotes.

    The input side is relevant if the feature is most active near words of the domain more often than chance, and not
    relevant if they are near so seldom that a feature with a third of its peaks among them would hardly show so few;
    else, or if both hold, it is undecided. The first version of the rules knew no such no. Where the places at which
    it is active have nothing in common (`agent.judges.in_common`; from the third version) it is called so, and is not
    relevant, or undecided where it would be relevant. The output side is not relevant with too few keyword hits, or
    no more than random directions have; it is relevant if besides steering wins more often than its null, and the two
    tail probabilities, of coherence and of the wins, combined by Fisher's method stay below 5 %; else undecided.
    Evidence that is missing can neither pass nor fail and leaves its side undecided; so does evidence that measured
    nothing. A feature that answers to a place in a row of text has no meaning: neither side is relevant, whatever
    words it promotes.

    Args:
        evidence: of one feature.
        thresholds: of the study.
        dead: instruments that measured nothing, and why.
        counts: which sides make the verdict.
        version: of the rules.
    """
    evidence = keep_alive(evidence, dead)
    steering = steering_verdict(evidence.steering)
    combined = _combined_tail(evidence.coherence, evidence.steering)
    contexts = _contexts_tail(evidence.activations)
    scarce = _scarcity_tail(evidence.activations) if version > 1 else None
    in_common = has_in_common(evidence.activations, contexts) if version > 2 else None
    explained: dict[Instrument, Iterable[str]] = {
        "keywords": (_explain_keywords(evidence.keywords),),
        "contexts": (
            *_explain_contexts(evidence.activations, contexts, scarce),
            *explain_common(evidence.activations, in_common),
        ),
        "coherence": (_explain_coherence(evidence.coherence),),
        "steering": (_explain_steering(steering, combined),),
        "causal check": _explain_effect(evidence.causal),
    }
    reasons = tuple(
        reason
        for instrument, living in explained.items()
        for reason in ((say_dead(instrument, dead[instrument]),) if instrument in dead else living)
    )
    wins_more = steering is not None and steering.verdict != "fails"
    label = name_places(evidence.activations, in_common) if version > 2 else name_peaks(evidence.activations)
    input = _judge_input(evidence, contexts, scarce, label, in_common)
    output = _judge_output(evidence, combined if wins_more else None, thresholds)
    sides = Sides(
        input=input, output=output, kind=_KINDS[input.relevant == "yes", output.relevant == "yes"], counts=counts
    )
    whole = count_sides(counts, input, output)
    return Judgement(name_feature(evidence), whole.relevant, whole.confidence, None, steering, reasons, sides=sides)


_KINDS: dict[tuple[bool, bool], SideClass] = {
    (True, True): "both",
    (True, False): "input",
    (False, True): "output",
    (False, False): "neither",
}
"""By which sides are relevant: the rules know no meaning but the domain."""


def _judge_input(
    evidence: Evidence, tail: float | None, scarce: float | None, label: str, in_common: bool | None
) -> Side:
    """`tail` is of so many peaks near the domain by chance, `scarce` of so few in a feature about it."""
    if (place := _place_of(evidence)) is not None:
        return Side(relevant="no", confidence=min(0.99, place.share), label=name_feature(evidence))
    near = 1 - tail if tail is not None and tail <= ALPHA else None
    far = 1 - scarce if scarce is not None and scarce <= ALPHA else None
    if in_common is False and near is None:
        return Side(relevant="no", confidence=min(0.99, far or 0.5), label=label)
    if near is not None and far is None and in_common is not False:
        return Side(relevant="yes", confidence=near, label=label)
    if far is not None and near is None:
        return Side(relevant="no", confidence=min(0.99, far), label=label)
    return Side(relevant="undecided", confidence=0.5, label=label)


def _judge_output(evidence: Evidence, tail: float | None, thresholds: SurveyDefaults) -> Side:
    """`tail` is of coherence and wins together; None where they are missing, or do not win."""
    label, keywords = name_feature(evidence), evidence.keywords
    if (place := _place_of(evidence)) is not None:
        return Side(relevant="no", confidence=min(0.99, place.share), label=label)
    if keywords is None:
        return Side(relevant="undecided", confidence=0.5, label=label)
    if len(keywords.hits) < thresholds.candidate_hits or keywords.null_share > thresholds.alpha:
        return Side(relevant="no", confidence=min(0.99, max(0.5, keywords.null_share)), label=label)
    if tail is not None and tail <= ALPHA:
        return Side(relevant="yes", confidence=1 - max(keywords.null_share, tail), label=label)
    return Side(relevant="undecided", confidence=0.5, label=label)


def name_feature(evidence: Evidence) -> str:
    """A label of at most eight words: the different words the top tokens stand for, or the tokens themselves.

    Of a feature that answers to a place, the place.
    """
    if _place_of(evidence) is not None:
        return "start of a row of text"
    if evidence.projection is None:
        return "unnamed"
    words = dict.fromkeys(entry.word for entry in evidence.projection.top if entry.word)
    pieces = dict.fromkeys(entry.token.strip() for entry in evidence.projection.top)
    return ", ".join(list(words or pieces)[:5])


def _explain_keywords(evidence: KeywordEvidence | None) -> str:
    if evidence is None:
        return "keywords: no evidence"
    listed = ", ".join(dict.fromkeys(hit.word for hit in evidence.hits)) or "none"
    share = f"{evidence.null_share:.1%} of random directions have as many"
    return f"keywords: {len(evidence.hits)} of {evidence.n_top} top tokens ({listed}); {share}"


def _place_of(evidence: Evidence) -> PositionEvidence | None:
    found = evidence.activations and evidence.activations.position
    return found if found and found.is_artefact else None


def _explain_contexts(evidence: ActivationEvidence | None, tail: float | None, scarce: float | None) -> tuple[str, ...]:
    if evidence is None or evidence.domain_share is None:
        return ("contexts: no evidence",)
    if tail is None:
        return ("contexts: never active in the corpus",)
    near = (
        f"contexts: in {evidence.domain_peaks} of the {evidence.peak_documents} documents it is most active in, a word of "
        f"the domain stands near; {evidence.domain_share:.0%} of all tokens have one near, by chance {tail:.1%}"
    )
    if scarce is not None and scarce <= ALPHA:
        near = f"{near}; were it near in a third of them, so few would be seen in {scarce:.1%} of cases"
    return (near,) if evidence.position is None else (near, f"contexts: {evidence.position.sentence}")


def _explain_coherence(evidence: CoherenceEvidence | None) -> str:
    if evidence is None or evidence.deduplicated is None or evidence.null_share is None:
        return "coherence: no value (fewer than two different words with a vector)"
    share = f"{evidence.null_share:.1%} of random directions reach it"
    return f"coherence: {evidence.deduplicated:.2f} over different words; {share}"


def _explain_steering(verdict: SteeringVerdict | None, combined: float | None) -> str:
    if verdict is None or verdict.win_rate is None or verdict.null_win_rate is None:
        return "steering: no evidence"
    text = (
        f"steering {verdict.verdict}: {round(verdict.win_rate * verdict.n)} of {verdict.n} texts won, "
        f"{verdict.null_win_rate:.0%} expected under other features' words"
    )
    return text if combined is None else f"{text}; with coherence, by chance {combined:.1%}"


def _explain_effect(evidence: CausalEvidence | None) -> tuple[str, ...]:
    """Not judged by: a word of caution, since the keywords are read from weights."""
    if evidence is None or evidence.verdict is None or evidence.promise_ratio is None:
        return ()
    return (f"causal check: {evidence.verdict}, {evidence.promise_ratio:.2f} of what the projection promises",)


def _contexts_tail(evidence: ActivationEvidence | None) -> float | None:
    """How often tokens anywhere would be near the domain in so many documents; None for a feature that is never active."""
    if (
        evidence is None
        or not evidence.peak_documents
        or evidence.domain_peaks is None
        or evidence.domain_share is None
    ):
        return None
    return binomial_tail(evidence.domain_peaks, evidence.peak_documents, evidence.domain_share)


def _scarcity_tail(evidence: ActivationEvidence | None) -> float | None:
    """How often a feature with the domain near a third of its peaks would show so few; None where silence tells nothing."""
    if (
        evidence is None
        or not evidence.peak_documents
        or evidence.domain_peaks is None
        or (evidence.domain_share or 0) < COVERED
    ):
        return None
    return 1 - binomial_tail(evidence.domain_peaks + 1, evidence.peak_documents, ABOUT_IT)


def _combined_tail(coherence: CoherenceEvidence | None, steering: SteeringEvidence | None) -> float | None:
    if coherence is None or coherence.null_share is None or steering is None or not steering.n:
        return None
    return combine_tails(coherence.null_share, tail_of_wins(steering))
