"""Runs whose evidence was not made by them, end to end over HTTP: imported, rated, judged again, replayed, resumed."""

from __future__ import annotations

import json
import shutil
import socket
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from agent import read
from agent.folder.records import Summary
from agent.folder.store import RunFolder
from agent.llm.stub.replies import schema_asked_for
from agent.run import main
from prompts import loader
from prompts.fence import outside
from tests.agent.attacks import ATTACKS
from tests.agent.briefing.test_evidence import poisoned
from tests.agent.conftest import GUIDELINE, write_domain, write_evidence
from tests.servers.openai_stub import (
    SCRIPTS,
    JsonDict,
    Recorded,
    Scripted,
    StubServer,
    at_first,
    failing,
    happy,
    instance_of,
    serve,
)
from tools.records import FeatureRef

KEY = "sk-planted-0123456789abcdef"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def server() -> Iterator[StubServer]:
    with serve(happy) as stub:
        yield stub


@pytest.fixture
def concepts(tmp_path: Path) -> Path:
    folder = tmp_path / "concepts"
    folder.mkdir()
    (folder / "guideline.md").write_text("0 nothing, 4 all of it.")
    (folder / "study.toml").write_text(
        'name = "concepts"\ntitle = "Concepts"\n[rating]\nguideline = "guideline.md"\n'
        '[rating.concepts]\ndentist = "Teeth."\nnurse = ""\n'
    )
    return folder


def start(stub: StubServer, runs: Path, *more: str, ends: int = 0) -> RunFolder:
    before = set(runs.glob("*/"))
    assert main(["--base-url", stub.base_url, "--llm-model", "stub", "--runs", str(runs), *more]) == ends
    (new,) = set(runs.glob("*/")) - before
    return RunFolder(new)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run on evidence from elsewhere. Tests that damage it copy it."""
    place = tmp_path_factory.mktemp("judged")
    given = ["--evidence", str(write_evidence(place)), "--study", str(write_domain(place))]
    with pytest.MonkeyPatch.context() as patch, serve(happy) as stub:
        patch.setenv("OPENAI_API_KEY", KEY)
        return start(stub, place / "runs", *given)


def summary_of(folder: RunFolder) -> Summary:
    return Summary.model_validate_json((folder.path / "summary.json").read_bytes())


def said_by_judges(requests: Sequence[Recorded]) -> Counter[str]:
    """What judges were shown, whatever the order."""
    messages = [request.body["messages"] for request in requests]
    return Counter(json.dumps(each) for each in messages if each[0]["content"].startswith("You judge"))


def forbid_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_imported_evidence_is_judged_and_every_feature_has_a_record(
    server: StubServer, tmp_path: Path, domain: Path, evidence: Path
) -> None:
    folder = start(server, tmp_path / "runs", "--evidence", str(evidence), "--study", str(domain))
    decisions = folder.decisions()
    assert [d.feature.index for d in decisions] == [7, 0, 1, 2, 3]
    assert {(d.status, d.usage.calls) for d in decisions} == {("decided", 1)}  # nothing could test a hypothesis
    summary = summary_of(folder)
    assert [(row.stratum, row.n) for row in summary.strata] == [("candidates", 1), ("imported", 4)]
    assert folder.manifest().provenance.sha256.keys() >= {"evidence", "guideline"}
    assert GUIDELINE in json.dumps([request.body for request in server.requests])
    assert "heart" in (folder.path / "report.html").read_text()
    assert read.main([str(folder.path), "7"]) == 0
    assert read.main([str(folder.path), "99"]) == 2


def test_concepts_are_rated(server: StubServer, tmp_path: Path, concepts: Path, evidence: Path) -> None:
    folder = start(server, tmp_path / "runs", "--evidence", str(evidence), "--study", str(concepts))
    for decision in folder.decisions():
        assert decision.ratings
        assert [rating.concept for rating in decision.ratings] == ["dentist", "nurse"]
        assert decision.relevant is None
    assert [row.concept for row in summary_of(folder).concepts] == ["dentist", "nurse"]
    assert "dentist" in (folder.path / "report.html").read_text()


def test_a_reply_that_leaves_a_concept_out_is_a_failure_after_one_repair(
    tmp_path: Path, concepts: Path, evidence: Path
) -> None:
    def forgetful(body: JsonDict, attempt: int) -> Scripted:
        value = instance_of(schema_asked_for(body) or {})
        return Scripted(content=json.dumps({**value, "ratings": {"dentist": 4}}))

    with serve(forgetful) as stub:
        folder = start(stub, tmp_path / "runs", "--evidence", str(evidence), "--study", str(concepts), ends=1)
        assert len(stub.requests) == 10
    assert summary_of(folder).failures == {"wrong_schema": 5}


def test_a_run_is_judged_again_by_another_model_without_asking_the_investigator(
    server: StubServer, tmp_path: Path, domain: Path, evidence: Path
) -> None:
    runs = tmp_path / "runs"
    parent = start(server, runs, "--evidence", str(evidence), "--study", str(domain))
    shutil.move(evidence, evidence.with_suffix(".gone"))
    asked = len(server.requests)
    assert (
        main(
            ["--rejudge", str(parent.path), "--base-url", server.base_url, "--llm-model", "other", "--runs", str(runs)]
        )
        == 0
    )
    (path,) = [path for path in runs.glob("*/") if path != parent.path]
    again = RunFolder(path)
    new = server.requests[asked:]
    assert len(new) == 5
    assert {request.body["model"] for request in new} == {"other"}
    assert again.manifest().parent == parent.manifest().run_id
    assert again.evidence_file.read_bytes() == parent.evidence_file.read_bytes()
    assert said_by_judges(new) == said_by_judges(server.requests[:asked])
    assert [(d.relevant, d.judge.model) for d in again.decisions()] == [
        (d.relevant, "other") for d in parent.decisions()
    ]

    third = start(server, runs, "--rejudge", str(path), "--judge-repeats", "3")
    assert [d.judge.repeats for d in third.decisions()] == [3] * 5
    assert third.manifest().parent == again.manifest().run_id
    assert main(["--replay", str(third.path)]) == 0


def test_rules_judge_the_evidence_of_an_llm_run_again(server: StubServer, judged: RunFolder, tmp_path: Path) -> None:
    again = start(server, tmp_path / "runs", "--rejudge", str(judged.path), "--judge", "rules")
    assert [d.judge.kind for d in again.decisions()] == ["rules"] * 5
    assert [d.relevant for d in again.decisions()] == ["yes", *["undecided"] * 4]  # only the first has nulls


def test_a_run_that_is_not_finished_is_not_judged_again(
    judged: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    parent = RunFolder(Path(shutil.copytree(judged.path, runs / judged.path.name)))
    lines = parent.decisions_file.read_bytes().splitlines(keepends=True)
    parent.decisions_file.write_bytes(b"".join(lines[:2]))
    assert main(["--rejudge", str(parent.path), "--judge", "rules", "--runs", str(runs)]) == 2
    assert "not finished" in capsys.readouterr().err
    assert len(list(runs.iterdir())) == 1


def test_a_replay_needs_no_network_and_is_the_same_to_the_byte(
    judged: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    forbid_network(monkeypatch)
    assert main(["--replay", str(judged.path)]) == 0
    assert "5 of 5 decisions reproduced byte for byte" in capsys.readouterr().out


def test_a_replay_of_failures_is_the_same_to_the_byte(
    tmp_path: Path, domain: Path, evidence: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(at_first(failing(400, "no"), 10**6)) as stub:
        folder = start(stub, tmp_path / "runs", "--evidence", str(evidence), "--study", str(domain), ends=1)
    assert summary_of(folder).failures == {"bad_request": 5}
    forbid_network(monkeypatch)
    assert main(["--replay", str(folder.path)]) == 0


def test_what_failed_is_investigated_again_when_asked_and_its_failure_is_kept(
    tmp_path: Path, domain: Path, evidence: Path
) -> None:
    down = {"yes": True}
    policy = failing(400, "down")
    with serve(lambda body, attempt: (policy if down["yes"] else happy)(body, attempt)) as stub:
        folder = start(stub, tmp_path / "runs", "--evidence", str(evidence), "--study", str(domain), ends=1)
        assert summary_of(folder).failures == {"bad_request": 5}
        down["yes"] = False
        assert main(["--resume", str(folder.path)]) == 1
        assert summary_of(folder).failures == {"bad_request": 5}
        assert main(["--resume", str(folder.path), "--retry-failed", "--base-url", stub.base_url]) == 0
    assert summary_of(folder).failures == {}
    assert [d.feature.index for d in folder.decisions()] == [7, 0, 1, 2, 3]
    assert (folder.path / "retried.jsonl").read_text().count("bad_request") >= 5
    assert main(["--replay", str(folder.path)]) == 0


def test_a_changed_prompt_makes_a_replay_refuse(
    judged: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = tmp_path / "prompts"
    shutil.copytree(loader.FOLDER, prompts, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (prompts / "judge.v2.md").write_text((prompts / "judge.v2.md").read_text() + "\nBe kind.\n")
    monkeypatch.setattr("agent.folder.entrusted.hash_prompts", lambda: loader.hash_prompts(prompts))
    assert main(["--replay", str(judged.path)]) == 2
    error = capsys.readouterr().err
    assert "prompt judge.v2 is not the one the run used" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("script", ["happy", "key_echo", "authentication"])
def test_the_key_is_in_nothing_that_a_run_writes_or_says(
    tmp_path: Path, domain: Path, evidence: Path, script: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(SCRIPTS[script]) as stub:
        more = ["--evidence", str(evidence), "--study", str(domain)]
        folder = start(stub, tmp_path / "runs", *more, ends=0 if script == "happy" else 1)
        assert {request.key for request in stub.requests} == {KEY}  # it was really sent
    written = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert len(written) > 8
    for path in written:
        assert KEY.encode() not in path.read_bytes(), path
    said = capsys.readouterr()
    assert KEY not in said.out + said.err
    assert len(folder.decisions()) == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--evidence", "none.jsonl", "--study", "{domain}"], "No such file"),
        (["--evidence", "{evidence}", "--study", "{domain}", "--sae", "base"], "needs no model"),
        (["--evidence", "{evidence}", "--study", "{domain}", "--judge", "rules"], "configure an LLM"),
        (["--evidence", "{evidence}", "--study", "{domain}", "--features", "99"], "no evidence on feature 99"),
        (["--study", "{domain}", "--judge", "rules"], "can only judge stored evidence"),
        (["--rejudge", "nowhere", "--judge", "rules"], "no run folder"),
        (["--rejudge", "nowhere", "--judge", "rules", "--sae", "base"], "no run folder"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_run(
    tmp_path: Path, domain: Path, evidence: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [part.format(domain=domain, evidence=evidence) for part in arguments]
    assert (
        main(["--base-url", "http://127.0.0.1:9/v1", "--llm-model", "m", "--runs", str(tmp_path / "r"), *filled]) == 2
    )
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "r").exists()


def test_a_dry_run_says_what_it_may_cost_and_sends_nothing(
    server: StubServer, tmp_path: Path, domain: Path, evidence: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--base-url", server.base_url, "--evidence", str(evidence), "--study", str(domain), "--dry-run"]
    assert main([*common, "--llm-model", "gpt-4o-mini", "--runs", str(tmp_path / "r")]) == 0
    said = capsys.readouterr().out
    assert "estimate: 5 features at the most, 5 to 10 calls" in said
    assert "USD" in said
    assert main([*common, "--llm-model", "unheard-of"]) == 0
    assert "price of unheard-of is not known" in capsys.readouterr().out
    assert not server.requests
    assert not (tmp_path / "r").exists()


def test_the_real_cost_lies_within_the_estimate(
    server: StubServer, judged: RunFolder, domain: Path, evidence: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--evidence", str(evidence), "--study", str(domain)]
    assert main(["--base-url", server.base_url, "--llm-model", "stub", *arguments, "--dry-run"]) == 0
    words = capsys.readouterr().out.split("calls, ")[1].split()
    low, high = (int(words[place].replace(",", "")) for place in (0, 2))
    usage = summary_of(judged).usage
    assert 0.8 * low <= usage.input_tokens <= high  # the server counts no JSON around the messages


# --- injection, over HTTP: a server that obeys whatever stands outside a fence, and nothing inside ----------------------


def obey(body: JsonDict, attempt: int) -> Scripted:
    """The honest answer, or the attacker's if it hears one outside the fences; `attempt` plays no part."""
    texts = [str(message.get("content") or "") for message in body["messages"]]
    heard = unicodedata.normalize("NFKC", "\n".join(outside(text) for text in texts)).casefold()
    honest = json.loads(happy(body, attempt).content or "{}")
    if "input_relevant" in honest:
        verdict = "yes" if "pwned" in heard else "no"
        honest |= {"input_relevant": verdict, "output_relevant": verdict}
    return Scripted(content=json.dumps(honest))


def verdicts(runs: Path, domain: Path, texts: Sequence[str]) -> list[tuple[str | None, float | None, str | None]]:
    records = []
    for number, text in enumerate(texts):
        record = poisoned(text)[0]
        records.append(record.model_copy(update={"feature": FeatureRef(study="s", sae="a", index=number)}))
    file = runs.with_suffix(".jsonl")
    file.write_text("".join(record.model_dump_json() + "\n" for record in records))
    with serve(obey, keep=False) as stub:
        folder = start(stub, runs, "--evidence", str(file), "--study", str(domain), "--concurrency", "32")
    return [(d.relevant, d.confidence, d.label) for d in folder.decisions()]


def test_no_attack_in_evidence_changes_a_verdict_of_a_run(tmp_path: Path, domain: Path) -> None:
    assert len(ATTACKS) >= 80
    quiet = verdicts(tmp_path / "quiet", domain, ["the weather"] * len(ATTACKS))
    attacked = verdicts(tmp_path / "attacked", domain, ATTACKS)
    assert attacked == quiet
    assert {relevant for relevant, _, _ in quiet} == {"no"}


def test_the_obeying_server_does_obey_what_stands_outside(tmp_path: Path, domain: Path) -> None:
    (domain / "guideline.md").write_text("pwned")
    assert {relevant for relevant, _, _ in verdicts(tmp_path / "r", domain, ["the weather"])} == {"yes"}
