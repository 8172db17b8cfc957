"""Calls that the first version stored are found, and read as they were read then.

`stored/first_version.jsonl` was written by it, against a server that answered `talk` at first without JSON, `capitals`
with a word in capitals, and `thought` with a thought that never ends, and that refused a seed in `refused`; the model
`objects` takes no JSON schema.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from pydantic import BaseModel

from agent.briefing.first.forms import Choice, Hypotheses, judge_reply_for, rating_reply_for
from agent.llm.calls import CallStore
from agent.llm.client import LlmClient
from agent.llm.errors import LlmFailure
from agent.llm.reading.first_version import strict_json_schema
from tests.agent.llm.test_client import Verdict, user, with_client
from tests.servers.openai_stub import JsonDict, Scripted, StubServer, failing, happy, serve

STORED = Path(__file__).parents[2] / "stored" / "first_version.jsonl"
FITS = ("stub", "yes", 0.5)
ENDS = {
    "plain": (FITS, False, 1),
    "talk": (FITS, True, 2),
    "capitals": ("wrong_schema", "it does not fit the schema. relevant: Input should be 'yes', 'no' or 'undecided'", 2),
    "thought": (FITS, False, 1),
    "refused": ("bad_request", "HTTP 422: Extra inputs are not permitted: seed (param seed)", 1),
}


async def end_of(client: LlmClient, question: str) -> tuple[object, object, int]:
    try:
        reply = await client.complete(user(question), purpose="test", schema=Verdict, seed=3)
    except LlmFailure as failure:
        return failure.type, failure.message, failure.attempts
    assert reply.parsed is not None
    return tuple(reply.parsed.model_dump().values()), reply.repaired, reply.attempts


@pytest.mark.parametrize("model", ["stub", "objects"])
@pytest.mark.parametrize("question", ENDS)
def test_a_run_of_the_first_version_replays_as_it_went(model: str, question: str) -> None:
    nowhere = StubServer(happy)

    async def work(client: LlmClient) -> tuple[object, object, int]:
        return await end_of(client.with_model(model), question)

    assert with_client(nowhere, STORED, work, replay_only=True, max_output_tokens=1200) == ENDS[question]


def test_a_run_of_the_first_version_resumes_with_no_reply_asked_for_again(tmp_path: Path) -> None:
    calls = tmp_path / "llm_calls.jsonl"
    shutil.copy(STORED, calls)

    async def work(client: LlmClient) -> dict[str, tuple[object, object, int]]:
        return {question: await end_of(client, question) for question in ENDS}

    def policy(body: JsonDict, attempt: int) -> Scripted:
        if "seed" in body:
            return failing(422, "Extra inputs are not permitted: seed", None, "seed")(body, attempt)
        return happy(body, attempt)

    with serve(policy) as server:
        ends = with_client(server, calls, work, max_output_tokens=1200)
    assert ends == {**ENDS, "refused": (FITS, False, 1)}
    asked = [request.body["messages"][0]["content"] for request in server.requests]
    assert asked == ["refused", "refused"], "only what had failed for the server's sake, with a seed and without"


def test_calls_stored_now_carry_the_rules_they_are_read_by(tmp_path: Path) -> None:
    calls = tmp_path / "llm_calls.jsonl"
    with serve(happy) as server:
        with_client(server, calls, lambda client: end_of(client, "new"), max_output_tokens=1200)
    assert '"rules":2' in calls.read_text("utf-8")
    assert CallStore(calls).notes() == {"stub": ()}


SCHEMAS = {
    Hypotheses: "f5513bb8de74c50e",
    Choice: "9fb49bfaa1f903f9",
    judge_reply_for(2): "f424d42a97ce2197",
    judge_reply_for(0): "e36b2e2e66880d67",
    rating_reply_for(("heart disease", "Blood")): "94407a5efdbbb573",
}


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.__name__)
def test_the_schemas_of_the_first_version_read_as_it_wrote_them(schema: type[BaseModel]) -> None:
    spelt = json.dumps(strict_json_schema(schema)).encode()
    assert hashlib.sha256(spelt).hexdigest()[:16] == SCHEMAS[schema], "requests of older runs are no longer found"


def test_instruments_are_offered_in_the_words_of_the_first_version() -> None:
    from agent.toolbox import describe
    from tools.catalogue.instruments import TOOLS

    spelt = json.dumps([describe(tool).spec.model_dump(mode="json") for tool in TOOLS]).encode()
    assert hashlib.sha256(spelt).hexdigest()[:16] == "2b186ded7ea396e3", "they are part of requests that are stored"
