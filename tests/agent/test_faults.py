"""Whole features against a server that misbehaves, held against what it really sent.

Graph, client, toolbox and store are the real ones; only the instruments are straw. The small form belongs to the suite.
The large one, of more than 10,000 HTTP requests, is run by hand and prints its counts: `make endurance`, or

    python -m pytest -m endurance tests/agent/test_faults.py
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from rich.console import Console

from agent.folder.config import RunConfig
from agent.folder.records import Manifest, Provenance, SelectedFeature, Selection, Summary
from agent.folder.store import RunFolder
from agent.investigation.assembly import Assembly
from agent.llm.settings import LlmChoice, Secrets
from agent.llm.stub.replies import schema_asked_for
from agent.report.summary import summarise
from agent.stages.gather import Stopwatch, calls_of, investigate
from tests.agent.cases import INSTRUMENTS, QUESTION, StrawBench, make_evidence
from tests.servers.openai_stub import JsonDict, Policy, Scripted, failing, instance_of, serve
from tools.records import STRATA, Evidence, FeatureRef

SEED = 2
REPEATS = 3
REPAIR = "Your last reply could not be used"
PURPOSES = {"Hypotheses": "hypothesize", "JudgeReply": "judge", "Proposals": "hypothesize", "SidedReply": "judge"}
WORDS = ("yes", "no", "undecided")
VERDICT = {
    "reasons",
    "steered_choices",
    "better_hypothesis",
    "label",
    "relevant",
    "interpretable",
    "steering",
    "confidence",
}


# --- the ways to misbehave --------------------------------------------------------------------------------------------


class Kind(NamedTuple):
    spoil: Callable[[Scripted], Scripted]
    """What is sent in place of the good reply."""
    ends: str | None = None
    """The failure of a call on which it lasts; None if it does no harm."""
    where: tuple[str, ...] = ("hypothesize", "experiment", "judge")


def instead(policy: Policy) -> Callable[[Scripted], Scripted]:
    return lambda good: policy({}, 1)


def damaged(**damage: Any) -> Callable[[Scripted], Scripted]:
    return lambda good: replace(good, **damage)


def rewritten(rewrite: Callable[[str], str]) -> Callable[[Scripted], Scripted]:
    return lambda good: replace(good, content=rewrite(good.content or ""))


def refilled(change: Callable[[JsonDict], JsonDict]) -> Callable[[Scripted], Scripted]:
    return rewritten(lambda content: json.dumps(change(json.loads(content))))


def calling(name: str, arguments: str) -> Callable[[Scripted], Scripted]:
    return lambda good: Scripted(calls=((name, arguments),))


FILLED_IN, MEASURED = ("hypothesize", "judge"), ("experiment",)
TOO_LONG = failing(400, "This model's maximum context length is 8192 tokens.", "context_length_exceeded")
KINDS = {
    "429": Kind(instead(failing(429, "Rate limit reached", "rate_limit_exceeded")), "rate_limited"),
    "429, Retry-After": Kind(instead(failing(429, headers={"Retry-After": "0.05"})), "rate_limited"),
    "500": Kind(instead(failing(500, "The server had an error")), "server_error"),
    "503": Kind(instead(failing(503, "Overloaded")), "server_error"),
    "timeout": Kind(damaged(hang=True), "timeout"),
    "reset in mid-body": Kind(damaged(reset_after=20), "connection"),
    "truncated body": Kind(damaged(raw=b'{"id": "chatcmpl-1", "choices": [{"mess'), "connection"),
    "truncated JSON": Kind(rewritten(lambda content: content[:-2]), "unparseable", FILLED_IN),
    "fenced JSON": Kind(rewritten(lambda content: f"```json\n{content}\n```"), None, FILLED_IN),
    "prose around JSON": Kind(rewritten(lambda content: f"Here it is:\n{content}\nI hope it helps."), None, FILLED_IN),
    "wrong schema": Kind(refilled(lambda fields: dict(list(fields.items())[1:])), "wrong_schema", FILLED_IN),
    "extra field": Kind(refilled(lambda fields: {**fields, "surprise": 1}), "wrong_schema", FILLED_IN),
    "unknown verdict": Kind(refilled(lambda fields: {**fields, "relevant": "perhaps"}), "wrong_schema", ("judge",)),
    "empty content": Kind(instead(lambda body, attempt: Scripted(content="")), "empty"),
    "refusal": Kind(instead(lambda body, attempt: Scripted(refusal="I can't help with that.")), "refusal"),
    "content_filter": Kind(damaged(finish_reason="content_filter"), "content_filter"),
    "length": Kind(damaged(finish_reason="length"), "length"),
    "context length": Kind(instead(TOO_LONG), "context_length"),
    "unknown tool": Kind(calling("launch_rocket", "{}"), None, MEASURED),
    "invalid arguments": Kind(calling("promote_words", '{"words": '), None, MEASURED),
    "tool loop": Kind(calling("continue_text", '{"prompt": "x", "strength": 1.0}'), None, MEASURED),
    "bug in a tool": Kind(calling("explode", "{}"), "bug", MEASURED),
}


class Sent(NamedTuple):
    """One HTTP request and what was sent back."""

    sha256: str
    root: str
    """Hash of the request that a repair round belongs to; its own if it is none."""
    feature: int
    purpose: str
    repeat: int
    kind: str
    """Of misbehaviour; empty for none."""
    lasting: bool
    reply: Scripted


class Fault(NamedTuple):
    kind: str
    lasting: bool


class Mischief:
    """A policy under which every feature meets one misbehaviour in its turn, and others by chance.

    What a request meets follows from feature, purpose, repeat and turn, and from the attempt: a fault that passes spoils
    the first one alone, a lasting one all of them and the repair round too.

    Args:
        seed: of everything drawn.
        share: of requests that meet a fault by chance.
    """

    def __init__(self, seed: int, share: float) -> None:
        self.sent: list[Sent] = []
        self._seed = seed
        self._share = share
        self._faults: dict[str, Fault | None] = {}
        self._turns: Counter[tuple[int, str, int]] = Counter()

    def __call__(self, body: JsonDict, attempt: int) -> Scripted:
        messages: list[JsonDict] = body["messages"]
        is_repair = REPAIR in str(messages[-1]["content"])
        sha256 = hash_of(body)
        root = hash_of({**body, "messages": messages[:-2]}) if is_repair else sha256
        feature = number_in(str(messages[1]["content"]))
        purpose = purpose_of(body)
        where = (feature, purpose, int(body["seed"]) if purpose == "judge" else 0)
        if sha256 not in self._faults:
            first = self._faults.get(root)
            lasting = first if is_repair and first is not None and first.lasting else None
            self._faults[sha256] = lasting or self._draw(where, is_repair)
        fault = self._faults[sha256]
        reply = honest(body, random.Random(f"{self._seed}|{where}|{root}"), WORDS[feature % 3])
        spoilt = fault is not None and (fault.lasting or attempt == 1)
        if fault is not None and spoilt:
            reply = KINDS[fault.kind].spoil(reply)
        kind, lasting = fault if fault is not None and spoilt else ("", False)
        self.sent.append(Sent(sha256, root, *where, kind, lasting, reply))
        return reply

    def _draw(self, where: tuple[int, str, int], is_repair: bool) -> Fault | None:
        feature, purpose, repeat = where
        turn = self._turns[where]
        self._turns[where] += 1
        fated, target, repeats = destiny(self._seed, feature)
        if purpose == target and repeat in repeats and (turn == 0 or fated.lasting):
            return fated
        drawn = random.Random(f"{self._seed}|{where}|{turn}|{is_repair}")
        if drawn.random() >= self._share:
            return None
        kinds = [name for name, kind in KINDS.items() if purpose in kind.where and kind.where != MEASURED]
        return Fault(drawn.choice(kinds), drawn.random() < 0.25)


def destiny(seed: int, feature: int) -> tuple[Fault, str, tuple[int, ...]]:
    """The fault a feature is sure to meet if it lives so long, for which purpose, and in which of the judge's repeats.

    Features below 10,000 are investigated without instruments; the others may meet what happens to instruments.
    """
    measured = feature >= 10_000
    kinds = [name for name, kind in KINDS.items() if measured or kind.where != MEASURED]
    turns, place = divmod(feature % 10_000, len(kinds))
    drawn = random.Random(f"{seed}|{feature}")
    purpose = drawn.choice([purpose for purpose in KINDS[kinds[place]].where if measured or purpose != "experiment"])
    repeats = drawn.choice([(0,), (1,), (2,), (0, 2), (1, 2), (0, 1, 2)]) if purpose == "judge" else (0,)
    return Fault(kinds[place], lasting=turns % 2 == 1), purpose, repeats


def honest(body: JsonDict, drawn: random.Random, leaning: str) -> Scripted:
    """What a good server would reply: hypotheses, up to two turns of measurements, and a verdict that may be any."""
    if purpose_of(body) == "experiment":
        turn = sum(message["role"] == "tool" for message in body["messages"])
        if turn >= 2 or drawn.random() < 0.4:
            return Scripted(content="Nothing more is needed.")
        function = drawn.choice(body["tools"][:3])["function"]
        return Scripted(calls=((function["name"], json.dumps(instance_of(function["parameters"]))),))
    fields = instance_of(schema_asked_for(body) or {})
    for hypothesis in fields.get("hypotheses", ()):
        hypothesis["label"] = f"meaning {drawn.randrange(10**6)}"
    if "relevant" in fields:
        fields |= {
            "relevant": leaning if drawn.random() < 0.7 else drawn.choice(WORDS),
            "better_hypothesis": drawn.choice([1, 1, 2, None]),
            "label": f"verdict {drawn.randrange(10**6)}",
            "confidence": drawn.randrange(101) / 100,
        }
    for side in ("input", "output") if "input_relevant" in fields else ():
        verdict = leaning if drawn.random() < 0.7 else drawn.choice(WORDS)
        fields |= {f"{side}_relevant": verdict, f"{side}_confidence": drawn.randrange(101) / 100}
        fields[f"{side}_label"] = f"verdict {drawn.randrange(10**6)}"
    return Scripted(content=json.dumps(fields))


def purpose_of(body: JsonDict) -> str:
    return PURPOSES.get(body.get("response_format", {}).get("json_schema", {}).get("name", ""), "experiment")


def hash_of(body: JsonDict) -> str:
    return hashlib.sha256(json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def number_in(text: str) -> int:
    """The feature a prompt is about, by a made-up token of its evidence."""
    found = re.search(r"unit(\d+)", text)
    assert found
    return int(found[1])


# --- what must come of it, told from what was sent --------------------------------------------------------------------


class End(NamedTuple):
    """How a feature must end: one of the two is None."""

    relevant: str | None
    failure: str | None
    attempts: int = 0
    """HTTP requests behind the failure."""
    replies: tuple[JsonDict, ...] = ()
    """The verdicts it rests on, as plain JSON."""


def end_of(sent: Sequence[Sent]) -> End:
    """The end of one feature, from its requests and what was sent back, in order."""
    calls: dict[str, list[Sent]] = defaultdict(list)
    for each in sent:
        calls[each.root].append(each)
    for call in calls.values():
        if call[0].purpose != "judge" and (failure := failure_of(call)):
            return End(None, failure, 0 if failure == "bug" else len(call))
    last = {call[0].repeat: call for call in calls.values() if call[0].purpose == "judge"}
    panel = [last[repeat] for repeat in range(REPEATS)]
    replies = [verdict for call in panel if (verdict := verdict_in(call[-1].reply))]
    failed = [call for call in panel if not verdict_in(call[-1].reply)]
    if 2 * len(replies) <= REPEATS:
        return End(None, failure_of(failed[0]), len(failed[0]))
    votes = Counter(reply["relevant"] for reply in replies)
    majority = [word for word, count in votes.items() if 2 * count > REPEATS]
    return End(majority[0] if majority else "undecided", None, 0, tuple(replies))


def failure_of(call: Sequence[Sent]) -> str | None:
    return KINDS[call[-1].kind].ends if call[-1].kind else None


def verdict_in(reply: Scripted) -> JsonDict | None:
    """The verdict in a reply that was sent whole; None if it holds none that may be used."""
    if (reply.status, reply.raw, reply.reset_after, reply.finish_reason, reply.hang) != (200, None, None, None, False):
        return None
    text = reply.content or ""
    try:
        fields = json.loads(text[text.find("{") : text.rfind("}") + 1])
    except ValueError:
        return None
    names = [
        "reasons",
        "steered_choices",
        "better_hypothesis",
        "label",
        "relevant",
        "interpretable",
        "steering",
        "confidence",
    ]
    return fields if sorted(fields) == sorted(names) and fields["relevant"] in WORDS else None


# --- runs -------------------------------------------------------------------------------------------------------------


class Size(NamedTuple):
    bare: int
    """Features that come with evidence alone."""
    measured: int
    """Features that instruments may be used on."""
    share: float
    concurrency: int
    timeout_s: float
    attempts: int


class Ran(NamedTuple):
    """One run and what the server knows of it."""

    folder: RunFolder
    sent: dict[int, list[Sent]]
    """By feature."""
    summary: Summary

    @property
    def decisions(self) -> list[JsonDict]:
        return [json.loads(line) for line in self.folder.decisions_file.read_text("utf-8").splitlines()]

    @property
    def calls(self) -> list[JsonDict]:
        return [json.loads(line) for line in (self.folder.path / "llm_calls.jsonl").read_text("utf-8").splitlines()]


SMALL = Size(bare=36, measured=44, share=0.04, concurrency=96, timeout_s=1.5, attempts=2)
LARGE = Size(bare=1000, measured=900, share=0.10, concurrency=128, timeout_s=8, attempts=3)
BY_HAND = [pytest.mark.endurance, pytest.mark.timeout(530)]


@pytest.fixture(scope="module", params=[SMALL, pytest.param(LARGE, marks=BY_HAND)], ids=["small", "large"])
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Ran]]:
    """A run without instruments and one with them, at the same time against the same server."""
    size, base = request.param, tmp_path_factory.mktemp("faults")
    mischief = Mischief(SEED, size.share)
    with serve(mischief, keep=False) as server, ThreadPoolExecutor(2) as both:
        bare = both.submit(run, base / "bare", range(size.bare), size, server.base_url)
        measured = both.submit(run, base / "measured", range(10_000, 10_000 + size.measured), size, server.base_url)
        ended = [bare.result(), measured.result()]
    sent: dict[int, list[Sent]] = defaultdict(list)
    for each in mischief.sent:
        sent[each.feature].append(each)
    yield [
        Ran(folder, {n: s for n, s in sent.items() if (n >= 10_000) == (folder.path.name == "measured")}, summary)
        for folder, summary in ended
    ]


def run(path: Path, numbers: range, size: Size, base_url: str) -> tuple[RunFolder, Summary]:
    measured = path.name == "measured"
    evidence = [evidence_of(number, measured) for number in numbers]
    choice = LlmChoice(
        model="stub",
        judge_model="stub",
        base_url=base_url,
        concurrency=size.concurrency,
        timeout_seconds=size.timeout_s,
        max_attempts=size.attempts,
    )
    config = RunConfig(judge_repeats=REPEATS, llm=choice)
    items = tuple(SelectedFeature(feature=record.feature, stratum=record.stratum) for record in evidence)
    manifest = Manifest(
        run_id=path.name,
        started="2026-01-01T00:00:00+00:00",
        config=config,
        study_title="A toy",
        domain="medicine",
        provenance=Provenance(command=(), git_commit=None, git_dirty=None, python="3", packages={}, sha256={}),
        selection=Selection(items=items, sizes=()),
    )
    folder = RunFolder.create(path, manifest)
    (path / "guideline.md").write_text("A feature is medical when it is about illness.\n")
    question = QUESTION.model_copy(update={"folder": path})
    bench: Any = StrawBench() if measured else None
    assembly = Assembly(config, choice, question, path, Secrets(), INSTRUMENTS if measured else (), bench)
    decisions = investigate(folder, question, config, evidence, assembly, Console(file=io.StringIO()), Stopwatch())
    return folder, summarise(path.name, decisions, evidence, manifest.selection, None, usage=calls_of(folder).spent)


def evidence_of(number: int, measured: bool) -> Evidence:
    """Evidence in which one token names the feature: equal requests of two features would be sent once."""
    whole = make_evidence()
    assert whole.projection
    marked = whole.projection.top[0].model_copy(update={"token": f" unit{number}"})
    projection = whole.projection.model_copy(update={"top": (marked, *whole.projection.top[1:])})
    feature = FeatureRef(study="toy", sae="base", index=number)
    if not measured and number % 2:
        return Evidence(feature=feature, stratum="imported", projection=projection, activations=whole.activations)
    stratum = STRATA[number % 4] if measured else "imported"
    return make_evidence(feature=feature, stratum=stratum, projection=projection)


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_every_feature_ends_once_decided_or_failed(runs: list[Ran]) -> None:
    for ran in runs:
        selection = ran.folder.manifest().selection
        assert selection
        assert [d["feature"]["index"] for d in ran.decisions] == [item.feature.index for item in selection.items]
        assert {d["status"] for d in ran.decisions} == {"decided", "failed"}
        for decision, item in zip(ran.decisions, selection.items, strict=True):
            assert ran.folder.transcript(item.feature)[-1].content == decision


def test_every_verdict_follows_from_replies_that_were_sent(runs: list[Ran]) -> None:
    decided = [(d, end_of(ran.sent[d["feature"]["index"]])) for ran in runs for d in ran.decisions if d["relevant"]]
    assert {decision["relevant"] for decision, _ in decided} == set(WORDS)
    for decision, end in decided:
        assert decision["relevant"] == end.relevant, decision
        assert decision["label"] in {reply["label"] for reply in end.replies}
        agreeing = [reply["confidence"] for reply in end.replies if reply["relevant"] == end.relevant]
        if 2 * len(agreeing) > REPEATS:
            assert decision["confidence"] == pytest.approx(sum(agreeing) / REPEATS, abs=1e-4)


def test_every_failure_is_what_the_server_did(runs: list[Ran]) -> None:
    failed = [(d, end_of(ran.sent[d["feature"]["index"]])) for ran in runs for d in ran.decisions if d["failure"]]
    assert {d["failure"]["type"] for d, _ in failed} <= {kind.ends for kind in KINDS.values() if kind.ends}
    for decision, end in failed:
        assert decision["status"] == "failed" and decision["relevant"] is decision["confidence"] is None
        assert (decision["failure"]["type"], decision["failure"]["attempts"]) == (end.failure, end.attempts), decision


def test_what_is_stored_is_what_was_sent(runs: list[Ran]) -> None:
    for ran in runs:
        sent: dict[str, list[Sent]] = defaultdict(list)
        for each in (each for requests in ran.sent.values() for each in requests):
            sent[each.sha256].append(each)
        assert {call["request_sha256"]: call["attempts"] for call in ran.calls} == {k: len(v) for k, v in sent.items()}
        for call in ran.calls:
            if call["reply"] is not None:
                content = sent[call["request_sha256"]][-1].reply.content
                assert call["reply"]["message"]["content"] == (content or None)  # a stream of nothing tells no more


def test_the_summary_adds_up(runs: list[Ran]) -> None:
    for ran in runs:
        rows = ran.summary.strata
        counted = Counter(d["relevant"] or "failed" for d in ran.decisions)
        assert sum(row.n for row in rows) == len(ran.decisions) == len(ran.sent)
        assert [row.yes + row.no + row.undecided + row.failed for row in rows] == [row.n for row in rows]
        for word in (*WORDS, "failed"):
            assert sum(getattr(row, word) for row in rows) == counted[word]
        types = Counter(d["failure"]["type"] for d in ran.decisions if d["failure"])
        assert ran.summary.failures == dict(types)
        assert sum(types.values()) == counted["failed"]


def test_usage_is_the_same_in_summary_decisions_and_stored_calls(runs: list[Ran]) -> None:
    for ran in runs:
        for name in ("calls", "input_tokens", "output_tokens", "usd"):
            by_decision = sum(decision["usage"][name] for decision in ran.decisions)
            by_call = sum(call["usage"][name] for call in ran.calls)
            assert getattr(ran.summary.usage, name) == by_decision == by_call


def test_every_misbehaviour_was_met_passing_and_lasting(runs: list[Ran], capsys: pytest.CaptureFixture[str]) -> None:
    sent = [each for ran in runs for requests in ran.sent.values() for each in requests]
    assert {(each.kind, each.lasting) for each in sent} >= {(kind, lasts) for kind in KINDS for lasts in (False, True)}
    if len(sent) >= 10_000:
        with capsys.disabled():
            sys.stdout.write(table(runs))


def table(runs: list[Ran]) -> str:
    """Each misbehaviour, how often it was met, and how the features ended that met it."""
    sent = [each for ran in runs for requests in ran.sent.values() for each in requests]
    ends = {d["feature"]["index"]: (d["failure"] or {}).get("type", "decided") for ran in runs for d in ran.decisions}
    lines = [f"\n{len(sent):,} HTTP requests, {len(ends):,} features\n"]
    lines += [f"{'misbehaviour':<20}{'met':>6}{'lasting':>9}{'features':>10}{'decided':>9}  failed by type\n"]
    for kind in ("", *KINDS):
        met = [each for each in sent if each.kind == kind]
        by_end = Counter(ends[feature] for feature in {each.feature for each in met})
        n_decided = by_end.pop("decided", 0)
        failed = ", ".join(f"{count} {end}" for end, count in by_end.most_common())
        lasting = sum(each.lasting for each in met)
        lines.append(
            f"{kind or 'none':<20}{len(met):>6}{lasting:>9}{n_decided + by_end.total():>10}{n_decided:>9}  {failed}\n"
        )
    return "".join(lines)
