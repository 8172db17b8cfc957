"""The report of a scoring: every row, what the measures are worth, which labels collide, and a line for each answer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from agent.errors import RunError
from agent.folder.records import Manifest
from evals.scoring.aggregate import difference_rows, figures_of, summarise
from evals.scoring.asking import Answers, Asked, ask
from evals.scoring.collisions import Collisions, find_collisions, measure_specificity
from evals.scoring.groups import LIFT, Answered, Group, group_controls, group_labels, pair_with_shuffled
from evals.scoring.level_rows import rows_by_level
from evals.scoring.levels import level_figures, say_by_level, size_up
from evals.scoring.records import ALL, Drawn, FeatureScore, Figures, ItemAnswer, ScoreReport, ScoreRow, Status
from evals.scoring.sanity import check_measures
from evals.scoring.scorers import AlwaysYes, marked_spans
from evals.scoring.subjects import Subject, describe
from evals.statistics.estimate import Estimate
from tools.activity.heldout import SILENT_KINDS
from tools.errors import first_problem
from tools.records import Stratum


async def make_report(
    manifest: Manifest,
    asked: Sequence[Asked],
    subjects: Sequence[Subject],
    others: Sequence[FeatureScore],
    drawn: Drawn,
    labelled_by: str,
    seed: int,
    beside: Sequence[ScoreRow] = (),
) -> ScoreReport:
    """Everything that the answers come to.

    Args:
        manifest: of the run.
        asked: what each scorer answered, the floor first.
        subjects: what was scored.
        others: what was not.
        drawn: where the texts come from.
        labelled_by: who named the features.
        seed: of resamples.
        beside: rows of other runs.
    """
    figures = [
        tuple(figure for one in asked for figure in figures_of(one.scorer.name, subject, one.own[place]))
        for place, subject in enumerate(subjects)
    ]
    scored = [
        describe(subject.decision, subject.held_out, "scored", subject.why).model_copy(
            update={"figures": found, **_describe_levels(subject, [(one.scorer.name, one.own[place]) for one in asked])}
        )
        for place, (subject, found) in enumerate(zip(subjects, figures, strict=True))
    ]
    features = sorted([*scored, *others], key=lambda one: one.feature.key)
    rows = [row for one in asked for row in _rows_of(one, subjects, seed)]
    rows += await _always_yes_rows(subjects, seed)
    rows += [row for one in asked[1:] for row in _gains(one, asked[0], subjects, seed)]
    plain = [subject for subject in subjects if not subject.why]
    truths = [
        tuple(np.array([item.truth for item in subject.items[task]]) for task in ("detection", "fuzzing"))
        for subject in plain
    ]
    shares = [subject.held_out.active_tokens / subject.held_out.tokens for subject in plain]
    report = ScoreReport(
        run_id=manifest.run_id,
        labelled_by=labelled_by,
        scorers=tuple(one.scorer for one in asked),
        seed=seed,
        status=_count_status(features),
        rows=(*rows, *beside),
        levels=tuple(row for one in asked for row in rows_by_level(one, subjects, seed)),
        sanity=tuple(check_measures([(one[0], one[1]) for one in truths], shares, seed)),
        collisions=_collide(asked, features, seed),
        features=tuple(features),
        remarks=(*manifest.caveats, *_remarks(asked, subjects, labelled_by)),
        drawn=drawn,
    )
    return report.model_copy(update={"figures": collect_figures(report)})


def read_beside(run: Path) -> list[ScoreRow]:
    """The labels' rows of another run that was scored, as a control.

    Raises:
        RunError: it was not scored, or its scores do not read.
    """
    file = run / "evals" / "scores.json"
    if not file.is_file():
        raise RunError(f"{run} was not scored yet: python -m evals.score {run}")
    try:
        report = ScoreReport.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise RunError(f"{file} does not read: {first_problem(error)}; score the run again") from error
    update = {"name": f"control: {report.run_id}", "kind": "control"}
    return [row.model_copy(update=update) for row in report.rows if row.name == "labels"]


def list_answers(asked: Sequence[Asked], subjects: Sequence[Subject]) -> Iterator[ItemAnswer]:
    """Every text and what each scorer said of it under the feature's own label."""
    for one in asked:
        for subject, answers in zip(subjects, one.own, strict=True):
            for task, given in answers.items():
                for item, answer in zip(subject.items[task], given, strict=True):
                    spans = marked_spans(item)
                    yield ItemAnswer(
                        feature=subject.key,
                        scorer=one.scorer.name,
                        task=task,
                        kind=item.kind,
                        quantile=item.quantile,
                        document=item.document,
                        text=item.text,
                        marked=None if item.marked is None else tuple(place for span in spans for place in span),
                        truth=item.truth,
                        probability=None if answer.probability is None else round(answer.probability, 6),
                        simulated=answer.values,
                        failure=answer.failure,
                        request_sha256=answer.request_sha256,
                    )


def _gains(one: Asked, floor: Asked, subjects: Sequence[Subject], seed: int) -> Iterator[ScoreRow]:
    """What a scorer gains over the floor, feature by feature."""
    name = one.scorer.name
    pairs = [
        (figures_of(name, subject, given), figures_of(floor.scorer.name, subject, below))
        for subject, given, below in zip(subjects, one.own, floor.own, strict=True)
        if subject.real
    ]
    return difference_rows(f"{name} less {floor.scorer.name}", name, pairs, seed)


def _describe_levels(subject: Subject, given: Sequence[tuple[str, Answers]]) -> dict[str, object]:
    """What a feature's record holds beside the figures of before."""
    return {
        "sizes": size_up(subject.graded),
        "levels": tuple(one for name, answers in given for one in level_figures(name, subject, answers)),
        "said": tuple(text for name, answers in given for text in say_by_level(name, subject, answers)),
    }


def _rows_of(asked: Asked, subjects: Sequence[Subject], seed: int) -> Iterator[ScoreRow]:
    """The labels' rows, those of each stratum, and the controls', for one scorer."""
    name = asked.scorer.name

    def figures(one: Answered) -> tuple[Figures, ...]:
        return figures_of(name, *one)

    def rows(group: Group) -> Iterator[ScoreRow]:
        return summarise(group.name, group.kind, name, [figures(one) for one in group.members], seed)

    for group in group_labels(asked, subjects):
        yield from rows(group)
    pairs = [(figures(own), figures(other)) for own, other in pair_with_shuffled(asked, subjects)]
    yield from difference_rows(LIFT, name, pairs, seed)
    for group in group_controls(asked, subjects):
        yield from rows(group)


async def _always_yes_rows(subjects: Sequence[Subject], seed: int) -> list[ScoreRow]:
    """What saying yes to everything is worth on the same texts."""
    scorer = AlwaysYes()
    real = [subject for subject in subjects if subject.real]
    given = [await ask(scorer, subject, subject.label, scorer.tasks, lambda: None) for subject in real]
    figures = [figures_of(scorer.name, subject, answers) for subject, answers in zip(real, given, strict=True)]
    return list(summarise("control: always yes", "control", scorer.name, figures, seed)) if figures else []


def collect_figures(report: ScoreReport) -> dict[str, float]:
    """Figures under names that a requirement can use, such as `detection_near_miss_f1_low` or `shuffled_detection_auprc`.

    By level they are called `detection_by_mass_balanced_accuracy` or `simulation_top_tenth_correlation`.

    Those without a prefix are of the last scorer, the model if there is one; `words_` are the floor's
    beside a model; `lift_` and `gain_` are what is gained over shuffled labels, and over the floor.
    """
    main, floor = report.scorers[-1].name, report.scorers[0].name
    prefixes = {
        ("labels", main): "",
        (LIFT, main): "lift_",
        ("control: shuffled labels", main): "shuffled_",
        ("control: random directions", main): "random_",
        ("control: always yes", "always yes"): "always_yes_",
    }
    if main != floor:
        prefixes["labels", floor] = "words_"
        prefixes[f"{main} less {floor}", main] = "gain_"
    found: dict[str, float] = {}
    for row in report.rows:
        prefix = prefixes.get((row.name, row.scorer))
        if prefix is None:
            continue
        task = "" if row.task == "both" else f"{row.task}_"
        against = "" if row.against == ALL else f"{row.against.replace(' ', '_')}_"
        for of, estimate in row.statistics.items():
            found |= _bounds(f"{prefix}{task}{against}{of}", estimate)
        if row.task == "both" and row.kind != "difference":
            found[f"{prefix}features"] = row.features
            found[f"{prefix}failure_rate"] = row.failed / row.answers if row.answers else 0.0
    for row in report.levels:
        if (prefix := prefixes.get((row.name, row.scorer))) is not None:
            place = (row.task.removesuffix(" by level"), row.level, *([row.against] if row.against != ALL else []))
            for of, estimate in row.statistics.items():
                found |= _bounds(f"{prefix}{'_'.join(place).replace(' ', '_')}_{of}", estimate)
    labels = report.collisions.labels
    return {**found, "shared_label_rate": report.collisions.shared / labels if labels else 0.0}


def _bounds(name: str, estimate: Estimate) -> dict[str, float]:
    ends = {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return {key: value for key, value in ends.items() if value is not None}


def _collide(asked: Sequence[Asked], features: Sequence[FeatureScore], seed: int) -> Collisions:
    labels = {one.feature.key: one.label for one in features if one.label and one.feature.kind == "feature"}
    return find_collisions(labels, [measure_specificity(one.scorer.name, one.shares, seed) for one in asked])


def _count_status(features: Iterable[FeatureScore]) -> dict[Stratum, dict[Status, int]]:
    counts: defaultdict[Stratum, Counter[Status]] = defaultdict(Counter)
    for one in features:
        counts[one.stratum][one.status] += 1
    return {stratum: dict(found) for stratum, found in counts.items()}


def _remarks(asked: Sequence[Asked], subjects: Sequence[Subject], labelled_by: str) -> Iterator[str]:
    for one in asked:
        failures = Counter(
            answer.failure
            for answers in [*one.own, *(given for _, _, given in one.shuffled)]
            for part in answers.values()
            for answer in part
            if answer.failure is not None
        )
        if failures:
            listed = ", ".join(f"{count} {type}" for type, count in failures.most_common())
            yield f"answers of {one.scorer.name} that never came: {listed}; they are in no figure but the worst case"
    for kind in SILENT_KINDS:
        most = max((len(subject.held_out.active) for subject in subjects), default=0)
        short = sum(len(subject.held_out.silent(kind)) < most for subject in subjects)
        if short:
            yield f"fewer than {most} {kind} texts there are of {short} of the features scored"
    if labelled_by == "rules":
        yield (
            "the rules judge names features by the words that they promote, not by the text in which they are active: "
            "low scores say that the two differ"
        )
