"""What a steering run says on the terminal: of each target what is known of it first, then a table of its arms, then all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent.folder.confidence import ConfidenceModel
from agent.folder.steered import ArmContrast, ArmResult, Doubt, Interval, TargetFound
from tools.display.tables import Table, as_text

_SHOWN = 5
"""Features of a target that are named on the terminal."""
HEADER = ("arm", "nats gained", "likeness gained", "perplexity", "repeats", "collapsed", "KL", "displaced")


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


def lay_out(rows: Sequence[ArmResult]) -> list[str]:
    """The table of one target, or of all."""
    judged, encoded = any(row.wins for row in rows), any(row.encoder_gained for row in rows)
    more = (*(("by encoder",) if encoded else ()), *(("wins", "harmonic", "failed") if judged else ()))
    table: Table = [(*HEADER, *more)]
    table += [(*_cells(row), *_more_cells(row, encoded, judged)) for row in rows]
    return as_text(table)


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


def spell(found: Interval | None) -> str:
    """`+0.12 [0.05, 0.19]`; a dash where there is none."""
    if found is None:
        return "-"
    return f"{found.mean:+.3f}" + ("" if found.low is None else f" [{found.low:+.3f}, {found.high:+.3f}]")


def by_target(rows: Sequence[ArmResult]) -> Iterator[tuple[str | None, list[ArmResult]]]:
    """Each target with its rows, then all."""
    for target in dict.fromkeys(row.target for row in rows):
        yield target, [row for row in rows if row.target == target]


def _cells(row: ArmResult) -> tuple[str, ...]:
    return (
        row.arm,
        spell(row.nats_gained),
        spell(row.likeness_gained),
        f"{row.perplexity:.1f}",
        f"{row.repetition:.2f}",
        f"{row.collapsed:.0%}",
        f"{row.kl:.2f}",
        "-" if row.displaced is None else f"{row.displaced:.0%}",
    )


def _more_cells(row: ArmResult, encoded: bool, judged: bool) -> tuple[str, ...]:
    cells = (spell(row.encoder_gained),) if encoded else ()
    return (*cells, spell(row.wins), spell(row.harmonic), f"{row.failed}") if judged else cells


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
        parts.append(f"error {doubt.error_ratio:.2f} times that on other text")
    if doubt.significant is not None:
        parts.append(f"{doubt.significant:,} features differ")
    if doubt.uninterpretable is not None:
        parts.append(f"{doubt.uninterpretable:.0%} of the score mass cannot be interpreted")
    return "; ".join(parts)
