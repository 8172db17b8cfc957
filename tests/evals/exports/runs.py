"""Finished runs made by hand, with evidence and transcripts, and one judged over HTTP by a scripted model."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.folder.config import RunConfig
from agent.folder.records import Decision, JudgeRef, TranscriptStep
from agent.folder.store import RunFolder, write_whole
from agent.llm.records import LlmCall, Usage
from agent.llm.settings import LlmChoice
from agent.run import main as run_main
from evals.scoring.collisions import Collisions
from evals.scoring.records import Drawn, FeatureScore, ItemAnswer, ScoreReport, ScorerRef
from tests.agent.cases import make_evidence
from tests.evals.worlds import decide, feature, manifest
from tests.servers.openai_stub import Policy, serve
from tools.records import Evidence, FeatureRef

HOSTILE = (
    "<script>alert(1)</script>",
    "a \"quoted\" \\ and 'single'",
    "\u202eright to left\u202c \u200b",
    "line\nbreak\r\ttab\x00nul\u2028separator",
    "x" * 10_000,
    "](javascript:alert(1)) ![](http://127.0.0.1:9/x.png)",
    "attachment://0123456789abcdef",
    "data:image/png;base64,AAAA",
    "漢字 🩺 é",
    "../../etc/passwd",
)


def evidence_on(decision: Decision, **changes: Any) -> Evidence:
    return make_evidence(feature=decision.feature, stratum=decision.stratum, **changes)


def usual_decisions() -> list[Decision]:
    """A yes, a no, a failure and a random direction."""
    return [
        decide(1, "yes"),
        decide(2, "no", stratum="near controls"),
        decide(3, None),
        decide(0, "no", stratum="random directions"),
    ]


def rule_steps(decision: Decision) -> list[TranscriptStep]:
    verdict = {"relevant": decision.relevant, "confidence": decision.confidence, "reasons": list(decision.reasons)}
    return [
        TranscriptStep(step=0, kind="rule", node="apply_rules", content=verdict),
        TranscriptStep(step=1, kind="decision", node="record", content=decision.model_dump(mode="json")),
    ]


def write_finished(
    path: Path,
    decisions: Sequence[Decision],
    evidence: Sequence[Evidence] | None = None,
    steps: Callable[[Decision], list[TranscriptStep]] = rule_steps,
    calls: Sequence[LlmCall] = (),
) -> Path:
    """A run as it stands when all is done; by rules unless there are calls."""
    described = manifest(decisions=decisions)
    if calls:
        llm = LlmChoice(model="m", judge_model="j")
        described = described.model_copy(update={"config": RunConfig(study="tiny", sae="base", llm=llm)})
    run = RunFolder.create(path, described)
    run.write_evidence([evidence_on(decision) for decision in decisions] if evidence is None else evidence)
    write_whole(run.decisions_file, "".join(decision.model_dump_json() + "\n" for decision in decisions))
    for decision in decisions:
        run.write_transcript(decision.feature, steps(decision))
    if calls:
        lines = "".join(call.model_dump_json() + "\n" for call in calls)
        (path / "llm_calls.jsonl").write_text(lines, "utf-8")
    return path


def judged_by_llm(decision: Decision) -> Decision:
    judge = JudgeRef(kind="llm", model="j", prompt="judge.v1", prompt_sha256="5" * 64)
    return decision.model_copy(update={"judge": judge})


def make_call(
    sha256: str,
    messages: list[dict[str, Any]],
    content: str = "",
    purpose: str = "judge",
    attempts: int = 1,
    **more: Any,
) -> LlmCall:
    """A stored call; `more` has other fields of the request."""
    return LlmCall(
        request_sha256=sha256,
        request={"model": "j", "temperature": 0.0, "seed": 0, "max_tokens": 100, **more, "messages": messages},  # type: ignore[dict-item]
        reply={"message": {"role": "assistant", "content": content}, "finish_reason": "stop"},
        purpose=purpose,
        usage=Usage(calls=1, input_tokens=10, output_tokens=2, usd=0.25),
        attempts=attempts,
    )


def write_scores(
    path: Path, items: Sequence[ItemAnswer], labels: dict[int, str], run_id: str = "run", labelled_by: str = "rules"
) -> None:
    """What evals.score leaves: just enough of it."""
    report = ScoreReport(
        run_id=run_id,
        labelled_by=labelled_by,
        scorers=(ScorerRef(name="words", kind="words"), ScorerRef(name="m", kind="llm")),
        drawn=Drawn(documents=1, tokens=1, contexts=1, quantiles=1, context_tokens=32, fewest=1),
        seed=0,
        status={},
        rows=(),
        sanity=(),
        collisions=Collisions(labels=0, shared=0, groups=()),
        features=tuple(
            FeatureScore(feature=feature(index), stratum="candidates", relevant="yes", label=text, status="scored")
            for index, text in labels.items()
        ),
    )
    (path / "evals").mkdir()
    (path / "evals" / "scores.json").write_text(report.model_dump_json(), "utf-8")
    lines = "".join(item.model_dump_json() + "\n" for item in items)
    (path / "evals" / "score_items.jsonl").write_text(lines, "utf-8")


def judge_over_http(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: Policy, *more: str, rating: bool = False
) -> Path:
    """A run on three imported features, judged by a server that does what the policy says."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-0123456789abcdef")
    study = tmp_path / "study"
    study.mkdir()
    (study / "guideline.md").write_text("Illness and its cure count.")
    asks = (
        '[rating]\nguideline = "guideline.md"\n[rating.concepts]\ndentist = "Teeth."\nnurse = ""\n'
        if rating
        else '[domain]\nname = "medicine"\ndefinition = "Care."\nguideline = "guideline.md"\n'
    )
    (study / "study.toml").write_text('name = "medicine"\ntitle = "Medicine"\n' + asks)
    file = tmp_path / "evidence.jsonl"
    whole = make_evidence(feature=FeatureRef(study="toy", sae="base", index=7))
    plain = [
        {"feature": n, "top_tokens": ["heart", f"valve{n}"], "contexts": ["a <<heart>>(3) beat"]} for n in range(2)
    ]
    file.write_text(whole.model_dump_json() + "\n" + "\n".join(map(json.dumps, plain)) + "\n")
    with serve(policy) as stub:
        arguments = ["--base-url", stub.base_url, "--llm-model", "stub", "--runs", str(tmp_path / "runs")]
        ended = run_main([*arguments, "--evidence", str(file), "--study", str(study), *more])
    assert ended in (0, 1), "1 is that of a run whose every feature failed"
    (run,) = (tmp_path / "runs").glob("*/")
    return run
