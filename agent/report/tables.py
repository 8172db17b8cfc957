"""The summary as text for a terminal and as CSV for a spreadsheet."""

from __future__ import annotations

from collections.abc import Sequence

from agent.folder.records import Decision, SequenceNote, StratumRow, Summary
from agent.report.closing import failure_lines
from tools.display.spreadsheets import to_csv
from tools.display.tables import as_text
from tools.maths import wilson_interval
from tools.proof.floors import ACCEPTED, INSTRUMENTS, Instrument
from tools.records import STRATA, Evidence

VERDICTS = ("yes", "no", "undecided")
DEAD = "dead"
"""In the place of a figure whose instrument measured nothing; a note under the table says why."""
MEASURES = ("coherence", "steering wins [95 %]", "null")
IN_SEQUENCE = ("passes", "nats a token")
"""Where pairs were spent in sequence: directions that they decided for, and how probable both texts are to the model."""


def format_summary(summary: Summary) -> list[str]:
    """Aligned lines: strata by verdict or concepts by rating, failures, and what was measured of it."""
    lines = as_text([header_of(summary), *format_cells(summary)]) + [floor.text for floor in summary.floors]
    if summary.sequence:
        lines += describe_sequence(summary.sequence)
    if summary.concepts:
        counts = [(row.concept, *map(str, row.counts)) for row in summary.concepts]
        lines += ["", *as_text([("concept", *(f"rated {n}" for n in range(5))), *counts])]
    lines += [*failure_lines(summary), *summary.remarks]
    if summary.usage.calls:
        u = summary.usage
        lines.append(f"{u.calls:,} LLM calls, {u.input_tokens:,} + {u.output_tokens:,} tokens, {u.usd:.4f} USD")
    lines.append("seconds: " + ", ".join(f"{stage} {value:.1f}" for stage, value in summary.seconds.items()))
    return lines


def header_of(summary: Summary) -> tuple[str, ...]:
    """Names of the columns: the form of judgement decides the first, what was measured the last."""
    verdicts = ("rated",) if summary.concepts else VERDICTS
    measures = (*MEASURES, *(IN_SEQUENCE if summary.sequence else ())) if _is_measured(summary) else ()
    return ("stratum", "n", *verdicts, "failed", *measures)


def describe_sequence(note: SequenceNote) -> list[str]:
    """What the columns of pairs in sequence mean, and what they can show."""
    return [
        f"steering wins and null are of the first {note.opening} pairs of texts of each direction; "
        f"{note.pairs:,} were written in all, at most {note.most} each, until they decided "
        f"({note.undecided} of {note.directions} directions are still undecided)",
        f"of directions that win {note.win_rate:.0%} where chance wins half, {note.power:.0%} pass; "
        f"of those that win no more than chance, at most {note.alpha:.1%}",
        "nats a token: of unsteered texts → steered ones, to the unsteered model",
    ]


def format_cells(summary: Summary) -> list[tuple[str, ...]]:
    """The table's cells as text, a row per stratum, and the accepted features as a row of their own."""
    rows = [(row.stratum, row) for row in summary.strata]
    if summary.accepted and _is_measured(summary):
        rows.append((ACCEPTED, summary.accepted))
    return [_cells(row, name, summary) for name, row in rows]


def _is_measured(summary: Summary) -> bool:
    measured = any(row.steering_n or row.median_coherence is not None for row in summary.strata)
    return measured or bool({"steering", "coherence"} & {floor.instrument for floor in summary.floors})


def _cells(row: StratumRow, name: str, summary: Summary) -> tuple[str, ...]:
    verdicts = (row.rated,) if summary.concepts else (row.yes, row.no, row.undecided)
    counts = (name, *map(str, (row.n, *verdicts, row.failed)))
    if not _is_measured(summary):
        return counts
    coherence = (
        _absent(row, name, "coherence", summary) if row.median_coherence is None else f"{row.median_coherence:.2f}"
    )
    if not row.steering_n or row.null_win_rate is None:
        columns = 2 + len(IN_SEQUENCE) * (summary.sequence is not None)
        return (*counts, coherence, *columns * (_absent(row, name, "steering", summary),))
    interval = wilson_interval(row.steering_wins, row.steering_n)
    wins = f"{row.steering_wins / row.steering_n:.0%} [{interval.low:.0%}, {interval.high:.0%}]"
    measures = (*counts, coherence, wins, f"{row.null_win_rate:.0%}")
    return (*measures, *_cells_in_sequence(row)) if summary.sequence else measures


def _cells_in_sequence(row: StratumRow) -> tuple[str, str]:
    passes = "-" if row.steering_passes is None else str(row.steering_passes)
    if row.nats_unsteered is None or row.nats_steered is None:
        return passes, "-"
    return passes, f"{row.nats_unsteered:.2f} → {row.nats_steered:.2f}"


def _absent(row: StratumRow, name: str, instrument: Instrument, summary: Summary) -> str:
    """In the place of a figure: whether nothing was measured, or what was measured is dead."""
    return DEAD if _is_dead(row, name, instrument, summary) else "-"


def _is_dead(row: StratumRow, name: str, instrument: Instrument, summary: Summary) -> bool:
    has_figure = {"steering": row.steering_n > 0, "coherence": row.median_coherence is not None}
    if has_figure.get(instrument, False):
        return False
    # Accepted features come of several strata: without a figure they are of dead ones alone.
    places = {None, name, *(STRATA if name == ACCEPTED and instrument in has_figure else ())}
    return any(floor.instrument == instrument and floor.stratum in places for floor in summary.floors)


def strata_csv(summary: Summary) -> str:
    """One line a stratum, with counts and the interval of the steering wins; what measured nothing has no numbers."""
    fields = [name for name in StratumRow.model_fields if name != "stratum"]
    table: list[Sequence[object]] = [["stratum", *fields, "win_rate_low", "win_rate_high", DEAD]]
    rows = [(row.stratum, row) for row in summary.strata] + ([(ACCEPTED, summary.accepted)] if summary.accepted else [])
    for name, row in rows:
        interval = wilson_interval(row.steering_wins, row.steering_n)
        cells = {field: getattr(row, field) for field in fields}
        cells |= {"low": f"{interval.low:.4f}", "high": f"{interval.high:.4f}"}
        dead = [one for one in INSTRUMENTS if _is_dead(row, name, one, summary)]
        if "steering" in dead:
            cells |= dict.fromkeys(("steering_wins", "steering_n", "null_win_rate", "steering_passes", "low", "high"))
        table.append([name if name != ACCEPTED else "accepted", *cells.values(), "; ".join(dead)])
    return to_csv(table)


def decisions_csv(decisions: Sequence[Decision], evidence: Sequence[Evidence]) -> str:
    """One line a feature: the verdict beside the numbers it rests on."""
    by_key = {record.feature.key: record for record in evidence}
    table: list[Sequence[object]] = [
        [
            "feature",
            "kind",
            "stratum",
            "status",
            "relevant",
            "ratings",
            "confidence",
            "label",
            "keyword_hits",
            "keyword_null",
            "coherence",
            "density",
            "domain_lift",
            "win_rate",
            "null_win_rate",
            "strength",
            "kl",
            "log_probability_lift",
            "survival_ratio",
            "causal_verdict",
            "auroc",
            "failure",
            "input_relevant",
            "input_label",
            "output_relevant",
            "output_label",
            "sides",
        ]
    ]
    for d in decisions:
        e = by_key[d.feature.key]
        k, c, a, s = e.keywords, e.coherence, e.activations, e.steering
        table.append(
            [
                d.feature.index,
                d.feature.kind,
                d.stratum,
                d.status,
                d.relevant,
                None if d.ratings is None else "; ".join(f"{r.concept} {r.rating}" for r in d.ratings),
                d.confidence,
                d.label,
                *((len(k.hits), k.null_share) if k else (None, None)),
                c.deduplicated if c else None,
                *((a.density, a.domain_lift) if a else (None, None)),
                *((s.win_rate, s.null_win_rate, s.strength, s.kl, s.log_probability_lift) if s else (None,) * 5),
                *((e.causal.survival_ratio, e.causal.verdict, e.causal.auroc) if e.causal else (None,) * 3),
                d.failure.type if d.failure else None,
                *_side_cells(d),
            ]
        )
    return to_csv(table)


def _side_cells(decision: Decision) -> tuple[str | None, ...]:
    """Verdict and label of where a feature is active, and of what it promotes, and which of them has a meaning."""
    if decision.sides is None:
        return (None,) * 5
    both = (decision.sides.input, decision.sides.output)
    return (
        *(cell for side in both for cell in ((side.relevant, side.label) if side else (None, None))),
        decision.sides.kind,
    )
