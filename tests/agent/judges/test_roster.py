"""A judge is one class and one line on the roster: one that exists only here goes through whole runs."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

from agent import read
from agent.briefing.generations import Briefing
from agent.folder.config import RunConfig
from agent.folder.records import JudgeRef
from agent.folder.store import RunFolder
from agent.judges import roster
from agent.judges.blind import BlindJudge
from agent.judges.judge import Case, Model, Ruling
from agent.judges.judgement import Judgement
from agent.judges.rating import Rater
from agent.judges.roster import appoint
from agent.judges.rules import Rules
from agent.llm.requests import Message
from agent.llm.settings import LlmChoice
from agent.run import main
from agent.transcript import Notes
from evals.export import main as export
from prompts import loader
from prompts.loader import Prompt, load_prompt
from tests.agent.cases import QUESTION, ScriptedLlm, make_context, make_hypotheses
from tests.agent.investigation.test_graph import investigate
from tests.agent.judges.test_rating import QUESTION as RATINGS
from tests.servers.openai_stub import StubServer, happy, serve
from tools.records import Record
from tools.study.definition import Question

TOY = "# system\nYou toss a coin for {{label}}.\n# user\n{{hypotheses}} hypotheses.\n"


class Toss(Record):
    """What the toy's model answers."""

    side: Literal["yes", "no", "undecided"]


class Toy(NamedTuple):
    """Tosses a coin as often as it is told, and asks for other hypotheses when it lands on its edge."""

    name = "toy"
    needs_hypotheses = True
    model: Model
    prompt: Prompt

    @classmethod
    def of(cls, question: Question, model: Model | None, briefing: Briefing) -> Toy | None:
        return cls(model, prompt_of_toy()) if model and question.domain else None

    @property
    def ref(self) -> JudgeRef:
        return self.model.sign(self.prompt)

    def requests(self, case: Case) -> list[list[Message]]:
        shown = self.prompt.render(label=case.evidence.feature.key, hypotheses=str(len(case.hypotheses)))
        return [shown] * self.model.repeats

    async def judge(self, case: Case, notes: Notes) -> Ruling:
        tosses = await self.model.ask(self.requests(case), self.name, Toss, notes)
        ((side, count),) = Counter(toss.side for _, toss in tosses).most_common(1)
        doubt = "it landed on its edge" if side == "undecided" else None
        return Ruling(Judgement("a coin", side, 0.5, None, None, ()), count / self.model.repeats, doubt, {"side": side})


def prompt_of_toy() -> Prompt:
    return Prompt("toy.v1", "0" * 64, *TOY.removeprefix("# system\n").split("# user\n"))


@pytest.fixture
def appointed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line."""
    monkeypatch.setattr(roster, "JUDGES", [Toy.of, *roster.JUDGES])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-toy")
    with serve(happy) as stub:
        yield stub


@pytest.fixture
def prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Prompts as they would ship with the toy's among them."""
    folder = tmp_path / "prompts"
    shutil.copytree(loader.FOLDER, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (folder / "toy.v1.md").write_text(TOY)
    monkeypatch.setattr("agent.folder.entrusted.hash_prompts", functools.partial(loader.hash_prompts, folder))
    monkeypatch.setattr(f"{__name__}.prompt_of_toy", lambda: load_prompt("toy", folder=folder))
    return folder


@pytest.mark.usefixtures("appointed")
def test_a_new_judge_takes_part_in_a_whole_run(
    server: StubServer,
    prompts: Path,
    tmp_path: Path,
    domain: Path,
    evidence: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["--evidence", str(evidence), "--study", str(domain), "--judge-repeats", "2", "--llm-model", "stub"]
    command = [*asked, "--base-url", server.base_url, "--judge-model", "coin", "--runs", str(tmp_path / "runs")]
    assert main([*command, "--dry-run"]) == 0
    assert (
        "5 features at the most, 10 to 20 calls" in capsys.readouterr().out
    )  # two tosses each: nothing could test hypotheses
    assert main(command) == 0
    (path,) = (tmp_path / "runs").iterdir()
    folder = RunFolder(path)
    decisions, toy = folder.decisions(), load_prompt("toy", folder=prompts)
    signed = JudgeRef(
        kind="llm", model="coin", prompt="toy.v1", prompt_sha256=toy.sha256, repeats=2, self_agreement=1.0
    )
    assert [(d.status, d.relevant, d.label, d.judge, d.usage.calls) for d in decisions] == [
        ("decided", "yes", "a coin", signed, 2)
    ] * 5
    assert {r.body["model"] for r in server.requests if "coin for" in str(r.body["messages"])} == {"coin"}
    listed = [ref.name for ref in folder.manifest().provenance.prompts]
    assert listed == ["toy.v1"]
    kinds = [step.kind for step in folder.transcript(decisions[0].feature) if step.node == "toy"]
    assert kinds == ["messages", "reply", "messages", "reply", "judgement"]
    assert read.main([str(path), "7"]) == 0
    assert "recorded because" in capsys.readouterr().out
    assert export([str(path), "--to", "inspect"]) == 0
    assert main(["--replay", str(path)]) == 0
    assert "5 of 5 decisions reproduced byte for byte" in capsys.readouterr().out
    (prompts / "toy.v1.md").write_text(TOY.replace("coin", "die"))
    assert main(["--replay", str(path)]) == 2
    assert "prompt toy.v1 is not the one the run used" in capsys.readouterr().err


def test_a_new_judge_in_doubt_sends_the_investigator_back(tmp_path: Path) -> None:
    llm = ScriptedLlm(make_hypotheses(), "enough", make_hypotheses(), "enough")
    context = make_context(tmp_path, llm)
    coin = ScriptedLlm(Toss(side="undecided"), Toss(side="no"))
    toy = Toy(Model("coin", 1, coin), prompt_of_toy())
    final = investigate(dataclasses.replace(context, judge=toy))
    assert "a judge found: it landed on its edge" in llm.asked[2].text
    assert final.decision
    assert (final.round, final.decision.relevant, final.decision.judge) == (2, "no", toy.ref)
    closing = [step.content for step in final.steps if step.node == "toy" and step.kind == "judgement"]
    assert closing == [
        {"side": "undecided", "recorded because": None},
        {"side": "no", "recorded because": "settled"},
    ]


def test_a_new_judge_that_fails_signs_the_failure(tmp_path: Path) -> None:
    context = make_context(tmp_path, ScriptedLlm(make_hypotheses(), "enough"))
    toy = Toy(Model("coin", 1, None), prompt_of_toy())
    decision = investigate(dataclasses.replace(context, judge=toy)).decision
    assert decision and decision.failure
    assert (decision.status, decision.judge) == ("failed", toy.ref)
    assert decision.failure.message == "TypeError in toy: coin has no client, and was to be asked"


@pytest.mark.parametrize(
    ("question", "asks", "kind"),
    [(QUESTION, False, Rules), (RATINGS, False, Rules), (QUESTION, True, BlindJudge), (RATINGS, True, Rater)],
)
def test_who_judges_follows_from_the_question_and_from_whether_there_is_a_model(
    tmp_path: Path, question: Question, asks: bool, kind: type
) -> None:
    (tmp_path / "guideline.md").write_text("Illness counts.")
    choice = LlmChoice(model="m", judge_model="j") if asks else None
    judge = appoint(RunConfig(llm=choice, judge_repeats=3), question.model_copy(update={"folder": tmp_path}))
    assert type(judge) is kind
    assert judge.ref.model_dump(include={"kind", "model", "repeats"}) == (
        {"kind": "llm", "model": "j", "repeats": 3} if asks else {"kind": "rules", "model": None, "repeats": 1}
    )
