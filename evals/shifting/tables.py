"""The tables of a report on acting on verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from evals.shifting.results import Cell, Classes, Compared, Kept, Ranked, ShiftReport, Side, Way
from evals.shifting.sentences import name_way
from evals.shifting.ways import SIZES
from evals.statistics.estimate import format_estimate
from tools.display.tables import Table

ORDER: tuple[Way, ...] = (
    "judged",
    "published rule",
    "to the point",
    "no judge",
    "SCR",
    "random like judged",
    "random like SCR",
    "tokens",
    "words",
    "words, trained again",
)
THRESHOLDS = ("old", "centred", "trained again")


def list_cells(report: ShiftReport, side: Side) -> Table:
    """SCR of every way at every number, in one direction."""
    own = side.judged
    head = ("taken out", "threshold", *map(str, SIZES), "all", *((f"at {own}",) if own else ()))
    table: Table = [head]
    for way in ORDER:
        for threshold in THRESHOLDS:
            found = {
                one.asked: one
                for one in report.cells
                if (one.way, one.direction, one.threshold) == (way, side.direction, threshold)
            }
            if not found:
                continue
            cells = tuple(_scr(found.get(n)) for n in (*SIZES, None))
            table.append(
                (name_way(way, report, side.direction), threshold, *cells, *((_at(found, own),) if own else ()))
            )
    return table


def _scr(cell: Cell | None, numbered: bool = False) -> str:
    if cell is None:
        return "-"
    said = format_estimate(cell.scr)
    short = cell.asked is None or numbered or cell.taken < cell.asked
    return f"{said} ({cell.taken:.3g})" if short else said


def _at(found: dict[int | None, Cell], own: int) -> str:
    """At the number that was judged; a list that has no more than that stands as it is, with its own number."""
    if own in found:
        return _scr(found[own])
    return _scr(found.get(None), numbered=True) if found.get(None) and found[None].taken <= own else "-"


def list_accuracies(report: ShiftReport) -> Table:
    """Accuracies at the number that was judged, and both ends."""
    table: Table = [("direction", "taken out", "number", "accuracy [95 %]", "worst quadrant [95 %]", *report.quadrants)]
    for side in report.sides:
        about = f"{side.removed} out, {side.kept} read"
        for name, share, worst in (
            ("nothing: the oracle", side.oracle, side.oracle_worst),
            ("nothing: the biased classifier", side.biased, side.biased_worst),
        ):
            table.append((about, name, "0", format_estimate(share), f"{worst:.2f}", *("" for _ in report.quadrants)))
        for way in ORDER:
            own = [
                one
                for one in report.cells
                if (one.way, one.direction, one.threshold) == (way, side.direction, "old")
                and one.asked in (side.judged or None, None)
            ]
            for one in own[:1]:
                table.append(
                    (
                        about,
                        name_way(way, report, side.direction),
                        f"{one.taken:.3g}",
                        format_estimate(one.accuracy),
                        format_estimate(one.worst),
                        *(f"{share:.2f}" for share in one.quadrants),
                    )
                )
    return table


def list_compared(compared: Iterable[Compared], name: Callable[[str, int], str]) -> Table:
    """Differences of SCR."""
    table: Table = [
        ("direction", "threshold", "taken out", "number", "less", "number", "difference [95 %]", "p", "p corrected")
    ]
    for one in compared:
        ps = ("-" if p is None else f"{p:.2g}" for p in (one.p, one.p_corrected))
        table.append(
            (
                str(one.direction),
                one.threshold,
                name(one.way, one.direction),
                f"{one.taken:.3g}",
                name(one.against, one.direction),
                f"{one.against_taken:.3g}",
                format_estimate(one.difference, "+.2f"),
                *ps,
            )
        )
    return table


def list_judges(report: ShiftReport) -> Table:
    """Whoever rated, and what acting on it does."""
    first, second = report.sides
    table: Table = [
        ("judge", "rated", "failed")
        + tuple(
            f"{what} ({side.removed} out)" for side in (first, second) for what in ("beside the point", "SCR [95 %]")
        )
    ]
    for one in report.judges:
        figures = (
            cell for count, scr in zip(one.judged, one.scr, strict=True) for cell in (str(count), format_estimate(scr))
        )
        table.append((one.name, str(one.rated), str(one.failed), *figures))
    return table


def list_kept(kept: Sequence[Kept]) -> Table:
    """Verdict by verdict, what helped most first."""
    concepts = tuple(kept[0].ratings) if kept else ()
    table: Table = [
        ("feature", "label", *concepts, "effect", "SCR lost [95 %]", "lost, centred [95 %]", "it", "transcript")
    ]
    for one in sorted(kept, key=lambda one: -(one.loss.value or 0.0)):
        table.append(
            (
                one.feature,
                one.label or "-",
                *(str(one.ratings[concept]) for concept in concepts),
                f"{one.effect:+.3f}",
                format_estimate(one.loss, "+.3f"),
                format_estimate(one.loss_centred, "+.3f"),
                one.word,
                one.transcript,
            )
        )
    return table


def list_strata(report: ShiftReport) -> Table:
    """False alarms."""
    first, second = report.sides
    table: Table = [
        ("stratum", "rated", "failed")
        + tuple(
            f"{rule} ({side.removed} out) [95 %]"
            for side in (first, second)
            for rule in ("beside the point", "published rule")
        )
    ]
    for one in report.strata:
        shares = (format_estimate(share) for pair in zip(one.beside, one.published, strict=True) for share in pair)
        table.append((one.stratum, str(one.rated), str(one.failed), *shares))
    return table


def list_classes(classes: Classes) -> Table:
    """TPP by number of features."""
    table: Table = [("features a class", "TPP [95 %]", "own lose", "others lose", "random")]
    return table + [
        (str(row.asked), format_estimate(row.score), f"{row.own:.3f}", f"{row.others:.3f}", f"{row.random:.3f}")
        for row in classes.rows
    ]


def list_ranked(ranked: Sequence[Ranked]) -> Table:
    """SAEs, the first one first."""
    table: Table = [
        (
            "run",
            "SAE",
            "features",
            "direction",
            *(f"SCR at {n}" for n in SIZES),
            *(f"TPP at {n}" for n in SIZES),
            "judged",
            "SCR, judged",
            "behind [95 %]",
            "p corrected",
        )
    ]
    for one in ranked:
        table.append(
            (
                one.run,
                one.sae,
                str(one.features),
                str(one.direction),
                *(format_estimate(score) for score in (*one.scr, *one.tpp)),
                str(one.judged),
                format_estimate(one.judged_scr),
                format_estimate(one.behind),
                "-" if one.p_corrected is None else f"{one.p_corrected:.2g}",
            )
        )
    return table
