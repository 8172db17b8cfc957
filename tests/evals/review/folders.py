"""Run folders for the desk: decisions, evidence, transcripts and stored calls made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from agent.folder.records import Decision, PromptRef, TranscriptStep
from agent.folder.store import RunFolder, write_whole
from agent.llm.records import LlmCall, Usage
from evals.manual.records import Label
from evals.review.app import create_app
from evals.review.desk import Desk
from evals.review.runs import OpenRun
from tests.agent.cases import make_evidence
from tests.evals.worlds import decide, manifest
from tools.records import Evidence, Stratum

ADDRESS = "http://127.0.0.1:8765"
CALL = "ab" * 32
SIZES: tuple[tuple[Stratum, int | None, int], ...] = (("candidates", 40, 3), ("near controls", 160, 2))


def show_evidence(decision: Decision, **changes: Any) -> Evidence:
    """Evidence on a decision's feature."""
    return make_evidence(feature=decision.feature, stratum=decision.stratum, **changes)


def write_folder(
    path: Path,
    decisions: Sequence[Decision],
    evidence: Sequence[Evidence] | None = None,
    steps: Mapping[str, Sequence[TranscriptStep]] | None = None,
    calls: Sequence[LlmCall] = (),
    **changes: Any,
) -> Path:
    """A run folder; `changes` are made to its manifest."""
    made = manifest(SIZES, decisions).model_copy(update={"run_id": path.name, **changes})
    run = RunFolder.create(path, made)
    write_whole(run.decisions_file, "".join(d.model_dump_json() + "\n" for d in decisions), flush=False)
    run.write_evidence([show_evidence(d) for d in decisions] if evidence is None else evidence)
    for decision in decisions:
        run.write_transcript(decision.feature, (steps or {}).get(decision.feature.key, ()))
    if calls:
        write_whole(path / "llm_calls.jsonl", "".join(call.model_dump_json() + "\n" for call in calls))
    return path


def few_decisions() -> list[Decision]:
    """Three candidates, two controls, a random direction; one of the controls failed."""
    return [
        decide(1, "yes", 0.95),
        decide(2, "no", 0.6),
        decide(30, "undecided", 0.5),
        decide(4, "no", 0.99, "near controls"),
        decide(5, None, stratum="near controls"),
        decide(6, "no", 0.8, "random directions"),
    ]


def open_desk(*paths: Path, labels: Sequence[Label] = (), **more: Any) -> TestClient:
    """A browser in front of the desk, without the browser."""
    desk = Desk([OpenRun(path.name, path) for path in paths], labels, **more)
    return TestClient(create_app(desk), base_url=ADDRESS)


def some_steps(text: str = "a plain text") -> list[TranscriptStep]:
    """A transcript with every kind of step, its words from outside replaced by `text`."""
    contents: list[tuple[str, str, Any]] = [
        ("messages", "judge", [{"role": "system", "content": text}, {"role": "user", "content": text * 2}]),
        ("reply", "judge", {"text": text, "finish_reason": "length", "repaired": True}),
        (
            "messages",
            "experiment",
            [{"role": "assistant", "content": None, "tool_calls": [{"function": {"name": text, "arguments": text}}]}],
        ),
        (
            "reply",
            "experiment",
            {"text": None, "finish_reason": "stop", "parsed": {"reasons": [text], "pairs": [1, 2]}},
        ),
        ("tool", "measure", _measured("ok", {"sentences": [{"sentence": text, "max_activation": 13.5}]}, text, 1)),
        ("tool", "measure", _measured("error", text, text, None)),
        ("judgement", "judge", {"round": 1, "panel": {"relevant": "yes", "reasons": [text]}}),
        ("rule", "experiment", {"experiments end": text}),
        ("failure", "judge", {"type": "timeout", "message": text, "attempts": 6}),
        ("decision", "record", {"label": text, "relevant": "yes"}),
    ]
    usage = Usage(calls=1, input_tokens=1200, output_tokens=34, usd=0.0125)
    return [
        TranscriptStep.model_validate(
            {
                "step": number,
                "kind": kind,
                "node": node,
                "content": content,
                "request_sha256": CALL if kind == "reply" else None,
                "usage": usage if kind == "reply" else None,
            }
        )
        for number, (kind, node, content) in enumerate(contents)
    ]


def _measured(status: str, result: Any, arguments: str, hypothesis: int | None) -> dict[str, Any]:
    found = {"instrument": "activate", "status": status, "arguments": {"sentences": [arguments]}, "result": result}
    return {"round": 1, "call_id": "c", "hypothesis": hypothesis, "measurement": found}


def some_call(**changes: Any) -> LlmCall:
    """A stored call that took three tries."""
    fields: dict[str, Any] = {
        "request_sha256": CALL,
        "request": {"model": "m"},
        "reply": {"message": {"content": "kept as it came"}},
        "purpose": "judge",
        "usage": Usage(calls=1),
        "attempts": 3,
    }
    return LlmCall(**{**fields, **changes})


PROMPTS = (PromptRef(name="judge.v1", sha256="cd" * 32), PromptRef(name="rate.v1", sha256="ef" * 32))


_APART = {"td", "th", "li", "dt", "dd", "div", "p", "small"}
"""Tags that a browser sets apart from what stands before them."""


class Page(HTMLParser):
    """A page as a browser would take it apart: its tags with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in _APART:
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        """All text, with runs of blanks as one."""
        return " ".join("".join(self.words).split())

    def all(self, tag: str, **having: str) -> list[dict[str, str | None]]:
        """Attributes of the tags of that name with these attributes (`class_` for class)."""
        wanted = {name.rstrip("_"): value for name, value in having.items()}
        return [attrs for name, attrs in self.tags if name == tag and all(attrs.get(k) == v for k, v in wanted.items())]
