"""What a model is asked by level, over HTTP: borders, marks apart from plain texts, simulation, stored replies of before."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from agent.llm.calls import CallStore
from agent.llm.client import LlmClient
from agent.llm.settings import LlmSettings
from evals.scoring.asking import ask_all
from evals.scoring.fuzzing import BORDER
from evals.scoring.inputs import name_inputs, take_input_words
from evals.scoring.levels import draw_by_level
from evals.scoring.prompted import load_prompts
from evals.scoring.records import ItemAnswer, ScoreReport, ScorerRef, Task
from evals.scoring.scorers import Answer, LlmScorer
from evals.scoring.subjects import Subject, find_subjects
from prompts.loader import Prompt
from tests.agent.cases import make_evidence
from tests.evals.scoring.planted import held_out, word
from tests.evals.worlds import decide
from tests.servers.openai_stub import JsonDict, Policy, Scripted, serve
from tests.servers.score_stub import answering, read_prompt, shares_a_word
from tools.activity.heldout import Draw, PartSize
from tools.records import ActivationEvidence, Context


def subject(label: str, index: int = 2) -> Subject:
    """A planted feature whose contexts stand for all levels."""
    part = PartSize(stretches=5, documents=5, documents_through=5)
    drawn = held_out(index)
    active = tuple(c.model_copy(update={"quantile": 1 + n % 3}) for n, c in enumerate(drawn.active))
    graded = drawn.model_copy(update={"active": active, "parts": (part, part, part)})
    decision = decide(index, "yes").model_copy(update={"label": label})
    ((found,), _) = find_subjects([decision], [drawn], 0, [graded])
    return found


def ask(policy: Policy, some: Subject, path: Path, *what: str) -> tuple[dict[Task, list[Answer]], list[JsonDict]]:
    """A model's answers, and the requests in the order in which they came."""
    prompts: dict[Task, Prompt] = {task: prompt for one in what for task, prompt in load_prompts(one).items()}
    with serve(policy) as server:

        async def run() -> dict[Task, list[Answer]]:
            settings = LlmSettings(model="stub", base_url=server.base_url, backoff_s=0.001, max_attempts=2)
            async with LlmClient(settings, CallStore(path)) as client:
                asked = await ask_all(LlmScorer(client, prompts, 5), ScorerRef(name="stub", kind="llm"), [some], [], 0)
                return asked.own[0]

        return asyncio.run(run()), [request.body for request in server.requests]


def system(body: JsonDict) -> str:
    return body["messages"][0]["content"]


def test_nothing_marked_is_asked_before_everything_plain_is_answered(tmp_path: Path) -> None:
    answers, bodies = ask(answering(shares_a_word), subject(word(2)), tmp_path / "calls.jsonl", "any", "levels")
    marked = ["marked <<like this>>" in system(body) for body in bodies]
    assert marked == sorted(marked) and any(marked) and not all(marked)
    assert answers.keys() == {"detection", "fuzzing", "detection by level", "fuzzing by level"}
    for body in bodies:
        texts = [text.replace("<<", "").replace(">>", "") for text in read_prompt(body)[1]]
        version_2 = "¦ stands" in system(body)
        assert len(set(texts)) == len(texts) or not version_2


@pytest.mark.parametrize(("label", "shown"), [(f"the piece of a word {word(2)}", True), (word(2), False)])
def test_borders_are_shown_by_level_to_labels_about_pieces_and_to_no_others(
    tmp_path: Path, label: str, shown: bool
) -> None:
    _, bodies = ask(answering(shares_a_word), subject(label), tmp_path / "calls.jsonl", "any", "levels")
    seen = {
        version: [BORDER in str(read_prompt(b)[1]) for b in bodies if ("¦" in system(b)) == version]
        for version in (0, 1)
    }
    assert not any(seen[0]) and seen[1] and all(found == shown for found in seen[1])


def test_replies_of_before_are_found_again(tmp_path: Path) -> None:
    some = subject(word(2))
    _, before = ask(answering(shares_a_word), some, tmp_path / "calls.jsonl", "any")
    _, after = ask(answering(shares_a_word), some, tmp_path / "calls.jsonl", "any", "levels")
    assert before and not any("¦" not in system(body) for body in after)


def simulate(body: JsonDict, attempt: int) -> Scripted:
    """Full strength at the planted word, and a number that no text has."""
    reply = {}
    for number, text in enumerate(read_prompt(body)[1], 1):
        places = [int(part.split("]")[0]) for part in text.split("[")[1:] if word(2) in part]
        reply[f"text_{number}"] = {"active": [{"token": place, "strength": 10} for place in (*places, 99)]}
    return Scripted(content=json.dumps(reply))


def test_simulation_reads_a_strength_for_each_token(tmp_path: Path) -> None:
    some = subject(word(2))
    answers, _ = ask(simulate, some, tmp_path / "calls.jsonl", "simulation")
    for item, answer in zip(some.items["simulation"], answers["simulation"], strict=True):
        assert answer.probability is None and answer.request_sha256
        assert answer.values == tuple(float(word(2) in token) for token in item.tokens)


def test_records_of_before_are_read() -> None:
    old = {
        "feature": "base-000001", "scorer": "words", "task": "detection", "kind": "active", "quantile": 1, "document": "d",
        "text": "x", "marked": None, "truth": True, "probability": 0.5,
    }  # fmt: skip
    assert ItemAnswer.model_validate(old).simulated is None
    drawn = {"documents": 1, "tokens": 2, "contexts": 3, "quantiles": 5, "context_tokens": 32, "fewest": 5}
    report = {
        "run_id": "r", "labelled_by": "rules", "scorers": [], "drawn": drawn, "seed": 0, "status": {}, "rows": [], "sanity": [],
        "collisions": {"labels": 0, "shared": 0, "groups": []}, "features": [],
    }  # fmt: skip
    found = ScoreReport.model_validate(report)
    assert found.levels == () and found.drawn.share is None


def shown(*contexts: tuple[tuple[str, ...], tuple[float, ...]]) -> list[Context]:
    return [Context(document="d", tokens=tokens, activations=values) for tokens, values in contexts]


def test_input_words_are_those_with_most_of_the_activation_in_the_evidence() -> None:
    contexts = shown(
        ((" the", " har", "bour", " town"), (0.0, 1.0, 7.0, 2.0)),
        ((" a", " Harbour", ","), (0.0, 0.4, 0.6)),
        ((" the", " ship"), (0.1, 9.9)),
    )
    assert name_inputs(contexts) == 'harbour, ship, ",", town'
    assert name_inputs(shown(((" a",), (0.0,)))) is None and name_inputs([]) is None
    many = tuple(f" w{chr(97 + n)}" for n in range(26))
    assert name_inputs(shown((many, (1.0,) * 26))) == "wa", "where none stands out, one has to do"


def test_labels_by_input_are_of_the_runs_own_evidence_and_of_nothing_it_promotes() -> None:
    decisions = [decide(1, "yes"), decide(2, "no")]
    top = shown(((" ship",), (2.0,)))[0]
    evidence = [make_evidence(feature=decisions[0].feature, activations=ActivationEvidence(top=(top,)))]
    found, by = take_input_words(decisions, evidence)
    assert by == "input words" and [one.label for one in found] == ["ship", None]


def test_the_draw_by_level_counts_from_a_tenth_of_the_maximum_on() -> None:
    assert draw_by_level(Draw(contexts=7, seed=3)) == Draw(contexts=7, seed=3, share=0.1, cuts=(0.1, 0.5))
