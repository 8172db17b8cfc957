"""What a steering run says on the terminal: of each target what is known of it first, then a table of its arms, then all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from agent.folder.confidence import ConfidenceModel
from agent.folder.steered import ArmContrast, ArmResult, Doubt, Interval, TargetFound
from tools.display.tables import Table, as_text

_SHOWN = 5
"""Features of a target that are named on the terminal."""


class Column(NamedTuple):
    """One figure of an arm."""

    name: str
    meaning: str
    cell: Callable[[ArmResult], str]


def spell(found: Interval | None, form: str = "+.3f") -> str:
    """`+0.120 [+0.050, +0.190]`; a dash where there is none."""
    if found is None:
        return "-"
    ends = "" if found.low is None or found.high is None else f" [{found.low:{form}}, {found.high:{form}}]"
    return f"{found.mean:{form}}{ends}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


COLUMNS = (
    Column("nats gained", "a token of held-out text of the target, against unsteered", lambda r: spell(r.nats_gained)),
    Column(
        "likeness gained", "to held-out text by word vectors, against unsteered", lambda r: spell(r.likeness_gained)
    ),
    Column("by encoder", "the same by the sentence encoder", lambda r: spell(r.encoder_gained)),
    Column("won", "of comparisons with unsteered text, by the model; ties half", lambda r: spell(r.wins, ".0%")),
    Column("rated", "concept, relevance and fluency together, 0 to 2", lambda r: spell(r.harmonic, ".2f")),
    Column("failed", "answers of the model that never came", lambda r: str(r.failed) if r.failed else "-"),
    Column("perplexity", "median, under the unsteered model", lambda r: f"{r.perplexity:.1f}"),
    Column("repeats", "share of pairs of words used before", lambda r: f"{r.repetition:.2f}"),
    Column("collapsed", "texts beyond the bounds of fluency", lambda r: _share(r.collapsed)),
    Column("KL", "nats a token between steered and unsteered", lambda r: f"{r.kl:.2f}"),
    Column("displaced", "share of features that others were put in the place of", lambda r: _share(r.displaced)),
)
"""In the order of the table."""


def tell_target(target: TargetFound, model: ConfidenceModel | None) -> list[str]:
    """What is known of a target before anything is written toward it."""
    agreement = target.agreement
    rho = "no rank correlation" if agreement.spearman is None else f"rank correlation {agreement.spearman:.2f}"
    best = ", ".join(_name(target, place) for place in range(min(_SHOWN, len(target.chosen))))
    return [
        f"{target.name}: {target.documents} passages, {target.held_out} held out; {_say_doubt(target.doubt, model)}",
        f"  features: {best or 'none'}",
        f"  the two scorers: {rho}; {agreement.shared} of the best {agreement.top} are the same, "
        f"{agreement.shared_by_chance:.1f} by chance",
    ]


def tell_outside(target: TargetFound) -> str:
    """The first that is said of a target that the SAE cannot represent."""
    return (
        f"{target.name} is outside what this SAE can represent: steering toward it is not to be relied on "
        f"({_say_parts(target.doubt)})"
    )


def tabulate_rows(rows: Sequence[ArmResult], columns: Sequence[Column] | None = None) -> Table:
    """The table of one target, or of all: head and lines, with the columns in which some row has a figure."""
    shown = used_columns(rows) if columns is None else columns
    return [("arm", *(column.name for column in shown)), *((row.arm, *(c.cell(row) for c in shown)) for row in rows)]


def used_columns(rows: Sequence[ArmResult]) -> list[Column]:
    """Those in which some row has a figure."""
    return [column for column in COLUMNS if any(column.cell(row) != "-" for row in rows)]


def lay_out_contrasts(contrasts: Sequence[ArmContrast]) -> list[str]:
    """Arms against their controls."""
    table: Table = [("arm", "against", "nats", "likeness")]
    table += [(one.arm, one.against, spell(one.nats), spell(one.likeness)) for one in contrasts]
    return as_text(table)


def count_intervals(rows: Sequence[ArmResult], contrasts: Sequence[ArmContrast]) -> str:
    """What so many intervals are worth together."""
    names = ("nats_gained", "likeness_gained", "encoder_gained", "wins", "harmonic")
    found = [getattr(row, name) for row in rows for name in names]
    found += [part for one in contrasts for part in (one.nats, one.likeness)]
    n = sum(one is not None and one.low is not None for one in found)
    return (
        f"each of the {n} intervals is a 95 % one by itself: about {round(n / 20)} of them would miss what they are about "
        "by chance"
    )


def by_target(rows: Sequence[ArmResult]) -> Iterator[tuple[str | None, list[ArmResult]]]:
    """Each target with its rows, then all."""
    for target in dict.fromkeys(row.target for row in rows):
        yield target, [row for row in rows if row.target == target]


def _name(target: TargetFound, place: int) -> str:
    feature = target.chosen[place]
    said = feature.label or "".join(feature.tokens[:3]).strip()
    return f"{feature.index} ({said[:40]})"


def _say_doubt(doubt: Doubt, model: ConfidenceModel | None) -> str:
    confidence = "" if doubt.confidence is None else f"confidence {doubt.confidence:.2f}; "
    unknown = "" if model else "; no confidence, for the study has no fitted file"
    return f"{confidence}{_say_parts(doubt)}{unknown}"


def _say_parts(doubt: Doubt) -> str:
    parts: list[str] = []
    if doubt.auroc is not None:
        parts.append(
            f"its features tell it from other text: AUROC {doubt.auroc:.2f} [{doubt.auroc_low:.2f}, {doubt.auroc_high:.2f}]"
        )
    if doubt.error_ratio is not None:
        rare = "" if doubt.as_unexplained is None else f", as bad as on {doubt.as_unexplained:.0%} of other documents"
        parts.append(f"error {doubt.error_ratio:.2f} times that on other text{rare}")
    if doubt.significant is not None:
        parts.append(f"{doubt.significant:,} features differ")
    if doubt.uninterpretable is not None:
        parts.append(f"{doubt.uninterpretable:.0%} of the score mass cannot be interpreted")
    return "; ".join(parts)
