"""A run's figures in the form in which SAEBench keeps its own (`scr` and `tpp`), so that its readers show them beside others.

The names of fields are its; so are the numbers of features and which of the two directions makes the metric. What was measured
on is ours: the task, its probes, and their thresholds as they were trained. Where there is no way to go it writes 0, and so
does this file. Nothing of it was run here: its libraries do not go with ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from agent.folder.records import Manifest
from evals.shifting.examining import find_cell
from evals.shifting.ranking import choose_direction
from evals.shifting.results import ShiftReport, Side
from evals.shifting.ways import PUBLISHED, SIZES
from tools.probes.scr import removal_score

NUMBERS = (*SIZES, PUBLISHED)


def to_saebench(report: ShiftReport, manifest: Manifest) -> dict[str, dict[str, Any]]:
    """One file for each evaluation, by its type: `scr`, and `tpp` where a task of several classes was measured.

    Args:
        report: of a run.
        manifest: of the same run.
    """
    found: dict[str, dict[str, Any]] = {"scr": _wrap(report, manifest, "scr", dict(_list_scr(report)), report.task)}
    if report.classes is not None:
        found["tpp"] = _wrap(report, manifest, "tpp", dict(_list_tpp(report)), report.classes.task)
    return found


def _list_scr(report: ShiftReport) -> Iterator[tuple[str, float | None]]:
    metric = choose_direction(report)
    for n in NUMBERS:
        by_direction = {side.direction: _score(report, n, side) for side in report.sides}
        for direction, score in by_direction.items():
            yield f"scr_dir{direction}_threshold_{n}", score
        yield f"scr_metric_threshold_{n}", by_direction[1 if metric == 1 else 2]


def _score(report: ShiftReport, n: int, side: Side) -> float | None:
    """Of the accuracies alone: SAEBench does not ask whether the way can be told from none."""
    cell = find_cell(report, "SCR", n, side.direction)
    known = [one.value for one in (cell and cell.accuracy, side.biased, side.oracle) if one is not None]
    accuracies = [value for value in known if value is not None]
    return removal_score(*accuracies) or 0.0 if len(accuracies) == 3 else None


def _list_tpp(report: ShiftReport) -> Iterator[tuple[str, float | None]]:
    rows = {row.asked: row for row in report.classes.rows} if report.classes else {}
    for n in NUMBERS:
        row = rows.get(n)
        yield f"tpp_threshold_{n}_total_metric", row and row.score.value
        yield f"tpp_threshold_{n}_intended_diff_only", row and row.own
        yield f"tpp_threshold_{n}_unintended_diff_only", row and row.others


def _wrap(
    report: ShiftReport, manifest: Manifest, kind: str, figures: Mapping[str, float | None], task: str
) -> dict[str, Any]:
    digest = report.sae_sha256 or "unknown"
    return {
        "eval_type_id": kind,
        "eval_config": {
            "random_seed": report.seeds[0],
            "dataset_names": [task],
            "perform_scr": kind == "scr",
            "model_name": manifest.config.model_name or f"{report.study} ({(report.model_sha256 or 'unknown')[:12]})",
            "n_values": list(NUMBERS),
        }
        | ({"column1_vals_lookup": {task: [_classes_of(report)]}} if kind == "scr" else {}),
        "eval_id": str(uuid5(NAMESPACE_URL, f"{report.run} {report.task_sha256} {kind} {report.seeds}")),
        "datetime_epoch_millis": int(datetime.fromisoformat(manifest.started).timestamp() * 1000),
        "eval_result_metrics": {f"{kind}_metrics": dict(figures)},
        "eval_result_details": [{"dataset_name": f"{task}_results", **figures}],
        "sae_bench_commit_hash": "none: written by Unveil",
        "sae_lens_id": f"{report.sae} ({digest[:12]})",
        "sae_lens_release_id": report.study,
        "sae_lens_version": manifest.provenance.packages.get("sae-lens"),
        "sae_cfg_dict": None,
        "eval_result_unstructured": None,
    }


def _classes_of(report: ShiftReport) -> list[str]:
    """The two classes, as the quadrants name them."""
    return list(dict.fromkeys(name.rpartition(" and ")[0] for name in report.quadrants))
