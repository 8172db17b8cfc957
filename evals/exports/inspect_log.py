"""An Inspect log (`.eval`) of a run, one sample per feature, for `inspect view` and whatever else reads such logs.

    input      the evidence, as text
    messages   what was said, prompts and replies of all steps in order
    events     every step: model calls with the hash of prompt and request, measurements, judgements, failures
    scores     `verdict`: yes, no or undecided, or a rating for each concept; unscored, with the reason, for a failure
    target     people's answers to the same question: one if they agree, all different ones if not, empty without any

The log is built as plain fields and checked and written by Inspect itself.
"""

from __future__ import annotations

import importlib
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agent.errors import RunError
from agent.folder.records import Decision, Manifest, Summary, TranscriptStep
from agent.lines import read_lines
from agent.llm.records import Usage
from evals.exports.conversations import Calls, Fields, as_message, as_usage
from evals.exports.outcomes import describe, say, score_of, target_of
from evals.exports.source import Source, new_output
from evals.exports.timeline import Telling, Timeline
from evals.exports.wording import word_evidence
from tools.errors import first_problem
from tools.proof.floors import reasons_in

SCORER = "verdict"
SUFFIX = ".eval"


def export_inspect(source: Source, out: Path) -> list[str]:
    """Write the log.

    Raises:
        RunError: Inspect is not installed, the file exists, or the run's transcripts or calls are damaged.
    """
    if out.suffix != SUFFIX:
        raise RunError(f"{out}: an Inspect log's name ends in {SUFFIX}")
    try:
        inspect_log: Any = importlib.import_module("inspect_ai.log")
    except ImportError:
        raise RunError("Inspect is not installed: pip install -e '.[inspect]'") from None
    with new_output(out) as fresh:
        log: Any = inspect_log.EvalLog.model_validate(build_log(source))
        inspect_log.write_eval_log(log, fresh, format="eval")
    failed = sum(decision.status == "failed" for decision in source.decisions)
    targets = sum(bool(target_of(source, decision)) for decision in source.decisions)
    return [
        f"{len(source.decisions):,} samples, {failed:,} of them failed, {targets:,} with a target",
        f"next: inspect view start --log-dir {out.parent}",
        *source.caveats,
    ]


def build_log(source: Source) -> Fields:
    """The fields of an `EvalLog`."""
    calls, summary = Calls(source.folder.path / "llm_calls.jsonl"), _read_summary(source)
    samples: list[Fields] = []
    used: dict[str, Usage] = {}
    for decision in source.decisions:
        sample, spent = _sample(source, decision, calls)
        samples.append(sample)
        used |= {model: used.get(model, Usage()) + usage for model, usage in spent.items()}
    return {
        "version": 2,
        "status": "success",
        "eval": _spec(source, summary, [sample["id"] for sample in samples]),
        "plan": {"name": "plan", "steps": [{"solver": source.manifest.config.judge}]},
        "results": _results(source),
        "stats": _stats(source, summary, used),
        "samples": samples,
    }


def _spec(source: Source, summary: Summary | None, keys: list[str]) -> Fields:
    """What was run. Paths of the machine it ran on stay out."""
    manifest = source.manifest
    provenance, config = manifest.provenance, manifest.config
    spec: Fields = {
        "eval_id": manifest.run_id,
        "run_id": manifest.run_id,
        "created": manifest.started,
        "task": f"{source.study}: {manifest.domain}",
        "task_id": manifest.run_id,
        "task_display_name": manifest.study_title,
        "dataset": {"name": source.study, "samples": len(keys), "sample_ids": keys, "shuffled": False},
        "model": source.judge_of(source.decisions[0]),
        "config": {},
        "packages": provenance.packages,
        "scorers": [{"name": SCORER}],
        "metadata": {
            "study": source.study,
            "domain": manifest.domain,
            "parent": manifest.parent,
            "caveats": list(source.caveats),
            "judge": source.decisions[0].judge.model_dump(mode="json", exclude={"self_agreement"}),
            "seed": config.seed,
            "limits": config.limits.model_dump(mode="json"),
            "sha256": provenance.sha256,
            "prompts": {prompt.name: prompt.sha256 for prompt in provenance.prompts},
            "computed": manifest.computed,
            "usage": summary.usage.model_dump(mode="json") if summary else None,
        },
    }
    if provenance.git_commit:
        commit = {"commit": provenance.git_commit, "dirty": provenance.git_dirty}
        spec["revision"] = {"type": "git", "origin": "", **commit}
    return spec


def _read_summary(source: Source) -> Summary | None:
    """None for a run that was stopped between its last decision and its tables."""
    file = source.folder.path / "summary.json"
    if not file.is_file():
        return None
    try:
        return Summary.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise RunError(f"{file} is damaged: {first_problem(error)}") from None


def _stats(source: Source, summary: Summary | None, used: dict[str, Usage]) -> Fields:
    """Times and usage. `usage` in the log's metadata is less where features asked the same, which is sent once."""
    started = source.manifest.started
    seconds = sum(summary.seconds.values()) if summary else 0.0
    return {
        "started_at": started,
        "completed_at": (datetime.fromisoformat(started) + timedelta(seconds=seconds)).isoformat(),
        "model_usage": {model: as_usage(usage) for model, usage in used.items()},
    }


def _results(source: Source) -> Fields:
    counts = Counter(_outcome(decision) for decision in source.decisions)
    scored = len(source.decisions) - counts["failed"]
    metrics = {name: {"name": name, "group": "features", "value": count} for name, count in counts.items()}
    score = {
        "name": SCORER,
        "scorer": SCORER,
        "scored_samples": scored,
        "unscored_samples": counts["failed"],
        "metrics": metrics,
    }
    return {"total_samples": len(source.decisions), "completed_samples": scored, "scores": [score]}


def _outcome(decision: Decision) -> str:
    return "failed" if decision.status == "failed" else decision.relevant or "rated"


def _sample(source: Source, decision: Decision, calls: Calls) -> tuple[Fields, dict[str, Usage]]:
    """The fields of an `EvalSample`, and the usage of each model."""
    manifest, key = source.manifest, decision.feature.key
    evidence = word_evidence(source.evidence[key], reasons_in(source.floors, decision.stratum))
    target, score = target_of(source, decision), score_of(decision)
    timeline = Timeline(f"{manifest.run_id} {key}", manifest.started)
    about = describe(source, decision)
    begun = {"input": evidence, "target": target, "id": key, "metadata": about}
    timeline.add({"event": "sample_init", "sample": begun})
    telling = Telling(
        timeline, calls, {ref.name.partition(".")[0]: ref for ref in manifest.provenance.prompts}, _models(manifest)
    )
    telling.tell(list(read_lines(source.folder.path / "transcripts" / f"{key}.jsonl", TranscriptStep)))
    sample: Fields = {**begun, "epoch": 1, "uuid": timeline.name_id("sample"), "scores": {SCORER: score}}
    model = source.judge_of(decision)
    if decision.failure:
        text = f"{decision.failure.type}: {decision.failure.message} ({decision.failure.attempts} attempts)"
        sample["error"] = {"message": text, "traceback": "", "traceback_ansi": ""}
        sample["output"] = {"model": model, "choices": [], "error": text}
        timeline.add({"event": "error", "error": sample["error"]})
    else:
        said = as_message({"role": "assistant", "content": say(decision)}, model)
        sample["output"] = {"model": model, "choices": [{"message": said, "stop_reason": "stop"}]}
        if not telling.messages:  # judged by rules, which say nothing by themselves
            question = {"role": "user", "content": evidence, "id": timeline.name_id("question")}
            telling.messages += [question, said]
    timeline.add({"event": "score", "score": score, "target": target, "scorer": SCORER})
    sample |= {
        "messages": telling.messages,
        "events": timeline.events,
        "model_usage": {model: as_usage(usage) for model, usage in telling.usage.items()},
    }
    return sample, telling.usage


def _models(manifest: Manifest) -> tuple[str, str]:
    llm = manifest.config.llm
    return (llm.model, llm.judge_model) if llm else ("rules", "rules")
