"""What an SAE tells of the world its model reads, as sections of a report."""

from __future__ import annotations

from collections.abc import Iterator

from evals.reporting.page import Point, Section
from evals.statistics.estimate import format_figures
from evals.truths.results import WorldHeld
from tools.display.tables import Table, as_text
from tools.truth.world_truth import Figure, Told, WorldTruth

MOST_LISTED = 40
"""Features with a true label that a terminal names."""
FIGURES_NOTE = (
    "Coverage is the mean over variables of the F1 of the feature and threshold that tell each best, chosen on training "
    "transcripts and measured on test ones; *where chosen*, as published, has the best of many features by luck as well. "
    "Reconstruction is the F1 of what high-precision features (at least 95 %, fired on ten examples) assert of a position, "
    "averaged over positions, with the threshold chosen on development transcripts. Linear probes on the same residual stream "
    "are the skyline; truths of other transcripts, and a model that was never trained, are the floors. Intervals are 95 %, "
    "over test transcripts."
)
VARIABLES_NOTE = "What may be true, the feature that tells it best, and the F1 of both on test transcripts."
LABELS_NOTE = (
    "Features that mean one variable (F1 of at least 0.9 on the training transcripts) and no other (below 0.6): their labels "
    "are right or wrong."
)


def list_world_sections(held: WorldHeld) -> Iterator[Section]:
    """The answer, the figures it rests on, and every variable."""
    truth = held.truth
    said = list(say_world(held))
    yield Section(title="What do its features tell of the world?", points=[Point(one) for one in said], brief=said)
    table = _figures(held)
    yield Section("world", f"Held against the world {truth.world}", FIGURES_NOTE, table, brief=as_text(table))
    yield Section("true_labels", "Features with a true label", LABELS_NOTE, _labels(truth), brief=name_labels(truth))
    yield Section("variables", "Each variable", VARIABLES_NOTE, _variables(truth))


def say_world(held: WorldHeld) -> Iterator[str]:
    """In sentences."""
    truth = held.truth
    told, floor, probes = truth.features, truth.shuffled, truth.skyline
    for name, own, shuffled, best in (
        ("coverage", told.coverage, floor.coverage, probes.coverage),
        ("reconstruction", told.reconstruction, floor.reconstruction, probes.reconstruction),
    ):
        untrained = ""
        if held.untrained is not None:
            found: Figure = getattr(held.untrained.features, name)
            untrained = f", {_format(found)} for a model that was never trained"
        yield (
            f"{name} {_format(own)} on {truth.transcripts[2]} test transcripts, where probes have {_format(best)}; "
            f"{_format(shuffled)} on the truths of other transcripts{untrained}"
        )
    yield (
        f"L0 {truth.l0:.1f}, explained variance {truth.explained_variance:.3f}, {truth.active} of {truth.d_sae} features "
        "ever active"
    )


def name_labels(truth: WorldTruth) -> list[str]:
    """Which features have a true label, as `--features` takes them."""
    if not truth.labels:
        return ["no feature has a true label"]
    numbers = ",".join(str(label.feature) for label in truth.labels[:MOST_LISTED])
    more = f" and {len(truth.labels) - MOST_LISTED} more" if len(truth.labels) > MOST_LISTED else ""
    return [f"{len(truth.labels)} features have a true label: --features {numbers}{more}"]


def _figures(held: WorldHeld) -> Table:
    truth = held.truth
    table: Table = [
        (
            "",
            "coverage [95 %]",
            "where chosen",
            "one threshold",
            "reconstruction [95 %]",
            "pooled",
            "asserting features",
        )
    ]
    rows: list[tuple[str, Told]] = [("its features", truth.features), ("on exchanged truths", truth.shuffled)]
    if held.untrained is not None:
        rows.append(("never trained", held.untrained.features))
    for name, told in rows:
        chosen, one = f"{told.chosen:.3f}", f"{told.one_threshold:.3f} at {told.threshold:.1f}"
        read, pooled = _format(told.reconstruction), _format(told.pooled)
        table.append((name, _format(told.coverage), chosen, one, read, pooled, str(told.asserting)))
    figures = [
        (f"linear probes{when}", one.skyline) for when, one in (("", truth), (", never trained", held.untrained)) if one
    ]
    table += [
        (name, _format(one.coverage), "", "", _format(one.reconstruction), _format(one.pooled), "")
        for name, one in figures
    ]
    return table


def _labels(truth: WorldTruth) -> Table:
    table: Table = [("feature", "stands for", "in words", "F1", "second best", "its F1")]
    for label in truth.labels:
        second = (label.second or "-", f"{label.second_f1:.3f}")
        table.append((str(label.feature), label.name, label.meaning, f"{label.f1:.3f}", *second))
    return table


def _variables(truth: WorldTruth) -> Table:
    table: Table = [("variable", "how often true", "feature", "threshold", "F1 where chosen", "F1", "probe's F1")]
    for row in truth.variables:
        figures = ("-" if value is None else f"{value:.3f}" for value in (row.chosen, row.f1, row.skyline))
        table.append((row.name, f"{row.prevalence:.3f}", str(row.feature), f"{row.threshold:.1f}", *figures))
    return table


def _format(figure: Figure) -> str:
    return format_figures(figure.value, figure.low, figure.high, ".3f")
