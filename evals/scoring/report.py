"""A scoring as a page, and as the files beside a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from evals.reporting.page import Page, Point, Section, to_markdown, write_files
from evals.scoring.level_tables import (
    level_rows_table,
    levels_table,
    short_table,
    strong_and_weak_table,
    thin_table,
    yeses_table,
)
from evals.scoring.level_words import describe_levels, say_levels
from evals.scoring.records import ItemAnswer, ScoreReport
from evals.scoring.tables import (
    features_table,
    headline_table,
    kinds_table,
    rows_table,
    sanity_table,
    shared_table,
    specificity_table,
    status_table,
    unscored_table,
    worst_table,
)
from evals.statistics.estimate import format_estimate
from tools.display.spreadsheets import to_csv
from tools.display.tables import as_text


def write_scores(folder: Path, report: ScoreReport, answers: Iterable[ItemAnswer]) -> list[Path]:
    """Write the report's files into a folder and return their paths, the page first."""
    from evals.scoring.figures import draw_scores

    folder.mkdir(parents=True, exist_ok=True)
    figure = draw_scores(folder / "scores.png", report)
    texts = {
        "scores.md": to_markdown(lay_out(report, [figure])),
        "scores.json": report.model_dump_json(indent=1) + "\n",
        "scores.csv": to_csv(rows_table(report)),
        "score_levels.csv": to_csv(level_rows_table(report)),
        "score_features.csv": to_csv(features_table(report)),
        "score_items.jsonl": "".join(answer.model_dump_json() + "\n" for answer in answers),
    }
    return [*write_files(folder, texts), figure]


def lay_out(report: ScoreReport, figures: Sequence[Path] = ()) -> Page:
    """The whole scoring."""
    sentences = list(_sentences(report))
    by_level = {
        "Detection by level (balanced accuracy, features)": levels_table(report, "detection by level"),
        "Fuzzing by level (balanced accuracy, features)": levels_table(report, "fuzzing by level"),
        "Simulation by level (correlation over tokens, features)": levels_table(report, "simulation"),
        "How often labels say yes": yeses_table(report),
        "Right of the strong and wrong of the weak": strong_and_weak_table(report),
        "Too little text": thin_table(report),
    }
    any_activation = Section(
        title="Where any activation counts",
        note="As others score, for comparison; how noise moves it is told in `docs/scoring.md`.",
        table=headline_table(report, strata=True),
        brief=["", "where any activation counts, as others score:", *as_text(headline_table(report))],
    )
    tables = {
        "Balanced accuracy, by what the texts are told from": kinds_table(report, "balanced_accuracy"),
        "F1": kinds_table(report, "f1"),
        "AUPRC": kinds_table(report, "auprc"),
        "Matthews' correlation": kinds_table(report, "mcc"),
        "Failures": worst_table(report),
        "Which measures notice damaged labels": sanity_table(report),
        "How specific labels are": specificity_table(report),
        "Shared labels": shared_table(report),
        "Features": status_table(report),
        "Not scored": unscored_table(report),
    }
    return Page(
        title=f"Labels on held-out text: {report.run_id}",
        heading=_heading(report),
        sections=[
            Section(title="Scores", table=short_table(report, strata=True), brief=as_text(short_table(report))),
            any_activation,
            Section(title="In short", points=list(map(Point, sentences)), brief=sentences),
            *(Section(title=title, table=table) for title, table in by_level.items()),
            *(Section(title=title, table=table) for title, table in tables.items()),
        ],
        remarks=report.remarks,
        standing=list(_standing(report)),
        figures=figures,
    )


def _heading(report: ScoreReport) -> str:
    scorers = ", ".join(
        one.name if one.batch is None else f"{one.name} ({_texts(one.batch)} a prompt)" for one in report.scorers
    )
    scored = sum(found.get("scored", 0) for found in report.status.values())
    named = f" of {', '.join(report.drawn.source)}" if report.drawn.source else ""
    return (
        f"labels by {report.labelled_by} on {report.drawn.tokens:,} held-out tokens of {report.drawn.documents} documents{named} · "
        f"{scored} of {len(report.features)} features scored · answered by: {scorers}"
    )


def _texts(batch: int) -> str:
    return "one text" if batch == 1 else f"{batch} texts"


def _sentences(report: ScoreReport) -> Iterator[str]:
    """What the other tables say, in a line each."""
    unscored = [one for one in report.features if one.status != "scored"]
    if unscored:
        short = sum(one.status == "not scorable" for one in unscored)
        yield (
            f"not scored: {len(unscored)} features; {short} not scorable (fewer than {report.drawn.fewest} active held-out "
            f"contexts, or no silent ones), {len(unscored) - short} failed or without a label"
        )
    yield from say_levels(report)
    found = report.collisions
    if found.labels:
        yield f"{found.shared} of {found.labels} features share their label with another feature"
    for one in found.specificity:
        if one.labels:
            yield (
                f"labels say yes ({one.scorer}) to {format_estimate(one.own)} of their own features' active contexts, and "
                f"to {format_estimate(one.others)} of other features'"
            )
    passing = [check for check in report.sanity if check.passes]
    failing = [f"{check.measure} on {check.on}" for check in report.sanity if not check.passes]
    yield (
        f"{len(passing)} of {len(report.sanity)} measures notice labels that miss half or cover twice as much"
        + (f"; not {', '.join(failing)}" if failing else "").replace("_", " ")
    )
    for scorer in report.scorers:
        if scorer.usage.calls:
            used = scorer.usage
            yield (
                f"{scorer.name}: {used.calls:,} calls, {used.input_tokens:,} + {used.output_tokens:,} tokens, "
                f"{used.usd:.2f} USD in all scorings of this run"
            )


def _standing(report: ScoreReport) -> Iterator[str]:
    yield (
        f"Every feature is asked about up to {report.drawn.contexts} active texts of {report.drawn.context_tokens} tokens, from "
        f"{report.drawn.quantiles} quantiles of its active stretches, and as many of each kind of silent text; its figures are "
        "means over features with 95 % BCa bootstrap intervals over features."
    )
    yield from describe_levels(report.drawn)
    yield (
        "Kinds of silent text: random; near miss (a word is there at which the feature is most active elsewhere); neighbour "
        "(the feature with the most similar decoder row is active). Wrong marks: elsewhere in another active text, or in a "
        "silent text."
    )
    yield (
        "Chance is worth 0.5 in balanced accuracy (BA), the share of yeses due in AUPRC, and 0 in Matthews' correlation and in the "
        "composite, which is the mean of it over detection and fuzzing; F1 is to be held against always saying yes."
    )
    yield (
        "A damaged label counts as noticed where a measure falls by 0.1 or more on 90 % of the features; on all tokens, "
        "where yeses are rare, balanced accuracy hardly notices labels that are too wide."
    )
    yield (
        "words: compares the label's words, by spelling and by word vectors, with those of the text or under the marks; the "
        "floor that a model has to beat. Shuffled labels: every feature is given another one's; the difference is taken feature by "
        "feature. Random directions: labels of what is no feature."
    )
