"""A comparison as tables: the study's two, what its figures rest on, coverage, regressions, and what became of features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evals.arms.report import notes
from evals.arms.results import ArmSummary, Comparison, Measured, Regression
from evals.reporting.page import Section
from evals.statistics.estimate import format_estimate, format_figures
from tools.display.tables import Table

RELEVANCE = ("hits_direct", "hits", "beyond_null", "relevant", "relevant_or_open", "relevant_random")


def list_sections(found: Comparison) -> Iterator[Section]:
    """All tables, in the order of the page; those without rows are left out."""
    relevance = [one for one in found.measured if one.key in RELEVANCE]
    coherence = [one for one in found.measured if one.key.startswith("coherence")]
    steering = [one for one in found.measured if one not in relevance and one not in coherence]
    yield Section(
        "relevance",
        "Table 1, relevant features",
        notes.RELEVANCE,
        _measured_table(relevance, found.base, found.finetuned),
    )
    yield Section("strata", "What the shares rest on", notes.STRATA, _strata_table((found.base, found.finetuned)))
    yield Section(
        "steering", "Table 1, steering", notes.STEERING, _measured_table(steering, found.base, found.finetuned)
    )
    yield Section("spread", "Table 2, coherence", notes.SPREAD, _spread_table(found))
    yield Section(
        "coherence", "Coherence, tested", notes.COHERENCE, _measured_table(coherence, found.base, found.finetuned)
    )
    if any(one.seeds for one in found.measured):
        yield Section("seeds", "Over SAE seeds", _seeds_note(found), _seeds_table(found.measured))
    if found.changes:
        yield Section("changes", "Which features changed", notes.CHANGES, _changes_table(found))
    if found.transfer:
        yield Section("transfer", "Each SAE on each model", notes.TRANSFER, _transfer_table(found))
    if found.regressions:
        yield Section("regression", "What steering goes with", notes.REGRESSION, _regression_table(found.regressions))
    if found.coverage:
        yield Section("coverage", "Tokens with a word vector", notes.COVERAGE, _coverage_table(found))
    yield Section("settings", "What was held equal", notes.SETTINGS, _settings_table(found.base, found.finetuned))


def _seeds_note(found: Comparison) -> str:
    test = next(one.seeds for one in found.measured if one.seeds)
    n, m = len(test.base), len(test.finetuned)
    return (
        f"{n} SAEs of the base model and {m} of the fine-tuned one. Noise: standard deviation between SAEs of one model, "
        f"pooled. Interval and p by Welch's t; by permutation of SAEs no p can be below {test.least_p:.2g}. One model of each "
        "kind was trained: what another fine-tuning run would give is not in this noise."
    )


def _measured_table(measured: Sequence[Measured], base: ArmSummary, finetuned: ArmSummary) -> Table:
    table: Table = [("", "over", "n", base.arm, finetuned.arm, "difference [95 %]", "p (corrected)", "test", "effect")]
    for one in measured:
        table.append(
            (
                one.name + (" *" if one.claim else ""),
                f"{one.over}, {one.definition}",
                f"{one.n_base:,} / {one.n_finetuned:,}",
                format_estimate(one.base, form_of(one.is_share)),
                format_estimate(one.finetuned, form_of(one.is_share)),
                format_estimate(one.difference, form_of(one.is_share, signed=True)),
                "" if one.p is None or one.p_adjusted is None else f"{one.p:.2g} ({one.p_adjusted:.2g})",
                "" if one.test == "none" else one.test,
                "" if one.effect is None else f"{'h' if one.is_share else 'g'} = {one.effect:+.2f}",
            )
        )
    return table


def form_of(is_share: bool, signed: bool = False) -> str:
    """How figures of a measure are written: shares as `1.2%`, others as `0.412`."""
    return f"{'+' if signed else ''}.{'2%' if is_share else '3f'}"


def _strata_table(arms: Sequence[ArmSummary]) -> Table:
    table: Table = [
        ("arm", "stratum", "features", "drawn", "yes", "undecided", "failed", "ruled out", "unknown", "yes, at most")
    ]
    for arm in arms:
        for one in arm.strata:
            counts = (one.population, one.drawn, one.yes, one.undecided, one.failed, one.ruled_out, one.unknown)
            table.append((arm.arm, one.stratum, *(f"{count:,}" for count in counts), f"{one.yes + one.unknown:,}"))
    return table


def _spread_table(found: Comparison) -> Table:
    table: Table = [
        ("over", "definition", "arm", "n", "mean", "median", "range", "difference of means", "normalised difference")
    ]
    for one in found.spreads:
        for side, arm in enumerate((found.base.arm, found.finetuned.arm)):
            normalised = "" if one.normalised is None else f"{one.normalised:.3f}"
            table.append(
                (
                    one.over,
                    one.definition,
                    arm,
                    f"{one.n[side]:,}",
                    f"{one.mean[side]:.4f}",
                    f"{one.median[side]:.4f}",
                    f"{one.lowest[side]:.4f} to {one.highest[side]:.4f}",
                    f"{one.difference:+.4f}" if side else "",
                    normalised if side else "",
                )
            )
    return table


def _seeds_table(measured: Sequence[Measured]) -> Table:
    head = (
        "",
        "over",
        "base, each SAE",
        "fine-tuned, each SAE",
        "difference of means [95 %]",
        "noise",
        "p",
        "p corrected",
    )
    table: Table = [(*head, "p by permutation")]
    for one in measured:
        test = one.seeds
        if test is None:
            continue
        form = form_of(one.is_share)
        table.append(
            (
                one.name + (" *" if one.claim else ""),
                one.over,
                ", ".join(format(value, form) for value in test.base),
                ", ".join(format(value, form) for value in test.finetuned),
                format_figures(test.difference, test.low, test.high, form_of(one.is_share, signed=True)),
                format(test.noise, form),
                f"{test.p:.2g}",
                "" if test.p_adjusted is None else f"{test.p_adjusted:.2g}",
                f"{test.p_permutation:.2g}",
            )
        )
    return table


def _changes_table(found: Comparison) -> Table:
    table: Table = [
        ("dictionaries", "kept", "shifted", "new", "lost", "kept", "with a partner", "cosine beyond chance")
    ]
    for one in found.changes:
        counts = (f"{one.counts[name]:,}" if name in one.counts else "" for name in ("kept", "shifted", "new", "lost"))
        shares = (
            ("", "") if one.shared is None else (_kept(one.shared.kept, one.kept_range), f"{one.shared.paired:.1%}")
        )
        table.append((one.name, *counts, *shares, "" if one.threshold is None else f"{one.threshold:.2f}"))
    return table


def _kept(share: float, ends: tuple[float, float] | None) -> str:
    return f"{share:.1%}" if ends is None else f"{share:.1%} ({ends[0]:.1%} to {ends[1]:.1%})"


def _transfer_table(found: Comparison) -> Table:
    names = list(dict.fromkeys(name for one in found.transfer for name in one.figures))
    table: Table = [("SAE on model", *names)]
    return table + [
        (one.name, *(f"{one.figures[name]:.3f}" if name in one.figures else "" for name in names))
        for one in found.transfer
    ]


def _regression_table(regressions: Sequence[Regression]) -> Table:
    table: Table = [("outcome", "over", "n", "R²", "predictor", "coefficient [95 %]", "p")]
    for one in regressions:
        for place, row in enumerate(one.coefficients):
            first = (one.outcome, one.over, f"{one.n:,}", f"{one.r_squared:.2f}") if place == 0 else ("",) * 4
            interval = format_figures(row.value, row.low, row.high, "+.3f")
            p = f"{row.p:.2g}, uncorrected" if row.p_adjusted is None else f"{row.p_adjusted:.2g}"
            table.append((*first, row.name, interval, p))
    return table


def _coverage_table(found: Comparison) -> Table:
    table: Table = [("vectors", "arm", "over", "tokens", "with a vector", "different", "with a vector")]
    for one in found.coverage:
        total = f"{one.known / one.tokens:.2%}" if one.tokens else "-"
        unique = f"{one.different_known / one.different:.2%}" if one.different else "-"
        table.append((one.vectors, one.arm, one.over, f"{one.tokens:,}", total, f"{one.different:,}", unique))
    return table


def _settings_table(base: ArmSummary, finetuned: ArmSummary) -> Table:
    table: Table = [("", base.arm, finetuned.arm)]
    table += [("run", base.run_id, finetuned.run_id)]
    table += [("model sha256", base.model_sha256[:12], finetuned.model_sha256[:12])]
    table += [("SAE sha256", base.sae_sha256[:12], finetuned.sae_sha256[:12])]
    for name in dict.fromkeys((*base.settings, *finetuned.settings)):
        values = (base.settings.get(name), finetuned.settings.get(name))
        cells = ("not shown" if value is None else _clip(name, value) for value in values)
        table.append((name, *cells))
    return table


def _clip(name: str, value: str) -> str:
    return value[:12] if name.endswith("sha256") else value
