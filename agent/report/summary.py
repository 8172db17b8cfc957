"""Counts of a run's decisions by stratum: the table a run ends with."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import NamedTuple

from agent.folder.floors import keep_living_row
from agent.folder.records import ConceptRow, Decision, Selection, SequenceNote, StratumRow, StratumSize, Summary
from agent.llm.records import Usage
from agent.report.closing import first_messages
from tools.proof.floors import ACCEPTED, DeadFloor, keep_alive, reasons_in, steering_reason
from tools.records import STRATA, Evidence, SteeringEvidence, Stratum


def summarise(
    run_id: str,
    decisions: Sequence[Decision],
    evidence: Sequence[Evidence],
    selection: Selection | None,
    d_sae: int | None,
    *,
    usage: Usage,
    concepts: Sequence[str] = (),
    floors: Sequence[DeadFloor] = (),
    remarks: Sequence[str] = (),
) -> Summary:
    """Every decision is counted once: yes, no, undecided, rated or failed. What measured nothing has no figure.

    Args:
        run_id: of the run.
        decisions: all of them.
        evidence: of the same features.
        selection: with the sizes of the strata.
        d_sae: number of features; None where no SAE was surveyed.
        usage: of the run. Decisions sum to more where features asked the same, which is sent once.
        concepts: that were rated.
        floors: instruments that measured nothing.
        remarks: on the server, and on a task.
    """
    by_key = {r.feature.key: keep_alive(r, reasons_in(floors, r.stratum)) for r in evidence}
    sizes: dict[str, StratumSize] = {size.stratum: size for size in selection.sizes} if selection else {}
    rows = [
        _row(
            stratum,
            [d for d in decisions if d.stratum == stratum],
            by_key,
            sizes[stratum].population if stratum in sizes else None,
        )
        for stratum in STRATA
        if any(d.stratum == stratum for d in decisions)
    ]
    accepted = [d for d in decisions if d.relevant == "yes" and d.feature.kind == "feature"]
    found = (*floors, *_floors_of_accepted([by_key[d.feature.key] for d in accepted if d.feature.key in by_key]))
    return Summary(
        run_id=run_id,
        d_sae=d_sae,
        candidates=sizes["candidates"].population if "candidates" in sizes else None,
        strata=tuple(rows),
        accepted=keep_living_row(_row("candidates", accepted, by_key, None), found, ACCEPTED) if accepted else None,
        floors=found,
        sequence=note_sequence(by_key.values()),
        concepts=count_ratings(decisions, concepts),
        failures=dict(sorted(Counter(d.failure.type for d in decisions if d.failure).items())),
        examples=first_messages(decisions),
        remarks=tuple(remarks),
        usage=usage,
        seconds={},
    )


def _floors_of_accepted(evidence: Sequence[Evidence]) -> list[DeadFloor]:
    """They are a group of their own, with texts of their own."""
    why = steering_reason(evidence)
    return [DeadFloor(instrument="steering", stratum=ACCEPTED, why=why)] if why else []


def count_ratings(decisions: Sequence[Decision], concepts: Sequence[str]) -> tuple[ConceptRow, ...]:
    """How often each concept was given each rating; nothing for a study that asks about a domain."""
    counts = {name: [0, 0, 0, 0, 0] for name in concepts}
    for decision in decisions:
        for rating in decision.ratings or ():
            counts[rating.concept][rating.rating] += 1
    return tuple(ConceptRow(concept=name, counts=(a, b, c, d, e)) for name, (a, b, c, d, e) in counts.items())


def _row(
    stratum: Stratum, decisions: Sequence[Decision], evidence: dict[str, Evidence], population: int | None
) -> StratumRow:
    verdicts = Counter(d.relevant for d in decisions if d.status == "decided")
    found = [evidence[d.feature.key] for d in decisions if d.feature.key in evidence]
    scores = [e.coherence.deduplicated for e in found if e.coherence and e.coherence.deduplicated is not None]
    steering = [e.steering for e in found if e.steering]
    counted = [_count_opening(s) for s in steering]
    n = sum(each.n for each in counted)
    pairs = [pair for s in steering for pair in s.pairs]
    tested = [s.sequence for s in steering if s.sequence]
    return StratumRow(
        stratum=stratum,
        population=population,
        n=len(decisions),
        yes=verdicts["yes"],
        no=verdicts["no"],
        undecided=verdicts["undecided"],
        rated=sum(d.ratings is not None for d in decisions),
        failed=sum(d.status == "failed" for d in decisions),
        median_coherence=median(scores) if scores else None,
        steering_wins=sum(each.wins for each in counted),
        steering_n=n,
        null_win_rate=sum(each.null * each.n for each in counted) / n if n else None,
        steering_passes=sum(test.verdict == "passes" for test in tested) if tested else None,
        nats_unsteered=_mean_nats(pair.perplexity_unsteered for pair in pairs),
        nats_steered=_mean_nats(pair.perplexity_steered for pair in pairs),
        collapsed=fmean(pair.collapsed for pair in pairs) if pairs else None,
    )


class Counted(NamedTuple):
    """Pairs of one direction: those that every direction was given."""

    wins: int
    n: int
    null: float


def _count_opening(steering: SteeringEvidence) -> Counted:
    win_rate, null = steering.opening_rates
    n = len(steering.opening) if steering.sequence else steering.n
    return Counted(round(win_rate * n), n, null)


def _mean_nats(perplexities: Iterable[float | None]) -> float | None:
    known = [math.log(value) for value in perplexities if value]
    return fmean(known) if known else None


def note_sequence(evidence: Iterable[Evidence]) -> SequenceNote | None:
    """How many pairs were spent on what; None where every direction was given the same number."""
    found = [(test, record.steering.n) for record in evidence if record.steering and (test := record.steering.sequence)]
    if not found:
        return None
    test = found[0][0]
    return SequenceNote(
        win_rate=test.win_rate,
        alpha=test.alpha,
        power=test.power,
        opening=test.opening,
        most=test.most,
        pairs=sum(n for _, n in found),
        directions=len(found),
        undecided=sum(one.verdict == "undecided" for one, _ in found),
    )
