"""delphi's results folder: an explanation per latent, and what its label scored on held-out text.

    explanations/MODULE_latentINDEX.txt     a JSON string
    scores/SCORER/MODULE_latentINDEX.txt    a JSON list, one entry a text (delphi's `ClassifierOutput`)

Scores come from `python -m evals.score`. An answer that never came is a `null` prediction, which delphi leaves out. Texts
are stored without their tokens: `str_tokens` has the stretches between marks, and `activations` is empty, not zeros.
SCORER is `detection` or `fuzz`; with `_words` where nobody was asked and words were compared.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import JsonValue, ValidationError

from agent.errors import RunError
from agent.folder.records import Decision
from agent.lines import read_lines
from evals.exports.source import Account, Source, count_random, file_name, list_failures, write_folder
from evals.scoring.records import ItemAnswer, ScoreReport
from tools.errors import first_problem

_TASKS = {"detection": "detection", "fuzzing": "fuzz"}
_NO_NEIGHBOUR = -1.0
"""delphi's distance of silent texts that are not a neighbour's."""
_NOT_SCORED = "no scores: run python -m evals.score first, and export again"
Answers = Mapping[tuple[str, str], list[ItemAnswer]]


def export_delphi(source: Source, out: Path) -> list[str]:
    """Write the folder.

    Raises:
        RunError: it exists, or the run's scores are damaged or another run's.
    """
    features = [decision for decision in source.decisions if decision.feature.kind == "feature"]
    report = _read_report(source)
    answers = _read_answers(source, report) if report else {}
    scored = {one.feature.key: one.label for one in report.features if one.label is not None} if report else {}
    explanations = [
        (f"explanations/{_file(decision)}", json.dumps(label, ensure_ascii=False))
        for decision in features
        if (label := scored.get(decision.feature.key, decision.label)) is not None
    ]
    scores = [
        (f"scores/{scorer}/{_file(decision)}", json.dumps([_entry(item) for item in items], ensure_ascii=False))
        for decision in features
        for scorer, items in _by_scorer(decision, answers)
    ]
    account = Account(
        format="delphi",
        run_id=source.manifest.run_id,
        written={"explanations": len(explanations), "score files": len(scores)},
        left_out={
            "random directions, which are no latents": count_random(source),
            "decided features without a label": sum(d.status == "decided" and d.label is None for d in features),
        },
        failures=list_failures(source),
        remarks=(
            f"labels and scores are those of {report.labelled_by}" if report else _NOT_SCORED,
            *source.caveats,
        ),
    )
    write_folder(out, [*explanations, *scores, ("export.json", account.model_dump_json(indent=1) + "\n")])
    return account.lines()


def _read_report(source: Source) -> ScoreReport | None:
    file = source.folder.path / "evals" / "scores.json"
    if not file.is_file():
        return None
    try:
        report = ScoreReport.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise RunError(f"{file} does not read: {first_problem(error)}; score the run again") from error
    if report.run_id != source.manifest.run_id:
        raise RunError(f"{file} is of the run {report.run_id}: score this one")
    return report


def _read_answers(source: Source, report: ScoreReport) -> Answers:
    """By feature and scorer as delphi names it."""
    words = {scorer.name for scorer in report.scorers if scorer.kind == "words"}
    found: defaultdict[tuple[str, str], list[ItemAnswer]] = defaultdict(list)
    for item in read_lines(source.folder.path / "evals" / "score_items.jsonl", ItemAnswer):
        if task := _TASKS.get(item.task):  # by level is not delphi's
            found[item.feature, task + ("_words" if item.scorer in words else "")].append(item)
    return found


def _by_scorer(decision: Decision, answers: Answers) -> Iterator[tuple[str, list[ItemAnswer]]]:
    for task in _TASKS.values():
        for scorer in (task, f"{task}_words"):
            if items := answers.get((decision.feature.key, scorer)):
                yield scorer, items


def _file(decision: Decision) -> str:
    return f"{file_name(decision.feature.sae)}_latent{decision.feature.index}.txt"


def _entry(item: ItemAnswer) -> dict[str, JsonValue]:
    prediction = None if item.probability is None else item.probability > 0.5
    return {
        "str_tokens": [*_pieces(item)],
        "activations": [],
        "distance": _NO_NEIGHBOUR if item.quantile is None else item.quantile,
        "activating": item.truth,
        "prediction": prediction,
        "probability": item.probability,
        "correct": None if prediction is None else prediction == item.truth,
    }


def _pieces(item: ItemAnswer) -> Iterator[str]:
    """The text, cut where marks begin and end."""
    cuts = [0, *(item.marked or ()), len(item.text)]
    return (item.text[start:stop] for start, stop in zip(cuts, cuts[1:], strict=False) if stop > start)
