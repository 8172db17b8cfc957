"""What can be found wrong with an endpoint before anything is paid or measured: looked at, then asked one small thing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from pydantic import JsonValue

from agent.errors import RunError
from agent.llm.http.address import has_version
from agent.llm.http.connection import Connection, Silence, TooLong, Unreachable, open_client, read_certificates
from agent.llm.http.troubles import Trouble
from agent.llm.http.wire import Wire, told_redirect
from agent.llm.names import is_listed, is_same_model, nearest
from agent.llm.settings import Framing, LlmChoice, LlmSettings, Secrets
from tools.border.egress import reaching

Tell = Callable[[str], object]

LIST_S = 15.0
"""Seconds a server has to list its models; one that is busy need not."""
FIRST_WORD_S, NEXT_WORD_S = 10.0, 60.0
"""Seconds of waiting until it is said, and until it is said again."""
ATTEMPTS = 4
"""At a server that is not ready, or busy: the waits between them double."""
MOST_TOKENS = 16
MOST_NAMES, LONGEST_NAME = 5000, 200
"""Models of a list that are looked at, and characters of their names."""
QUESTION = "Reply with OK."
_STATUS = re.compile(r"HTTP (\d{3})")
_NO_MODEL = re.compile(
    r"\b(invalid|unknown|no such|unrecognized) model\b"
    r"|\bmodel\b.{0,80}?\b(not found|not exist|not available|not loaded|unknown|no longer)\b",
    re.IGNORECASE,
)
_EFFORT = re.compile(r"reasoning.?effort", re.IGNORECASE)
_ANY_NAME = re.compile(r"\.azure\.com$")
"""Hosts at which models go by the names of their deployments, which are listed nowhere."""


class Reached(NamedTuple):
    """An endpoint that answers."""

    choice: LlmChoice
    """With the base URL at which it does."""
    framing: Framing
    """How it takes to be asked for a reply."""


def check_machine(choice: LlmChoice, secrets: Secrets) -> None:
    """What the machine is set to, as far as it can be told without sending anything.

    Raises:
        RunError: a proxy or certificates are configured that cannot be used.
    """
    open_client(LlmSettings.of(choice, secrets), read_certificates())


def reach(choice: LlmChoice, secrets: Secrets, tell: Tell, backoff_s: float = 1.0) -> Reached:
    """Ask the endpoint for its models, and each of the run's models for one word.

    Args:
        choice: of the run.
        secrets: for its endpoint.
        tell: gets lines for whoever waits.
        backoff_s: the first wait before a server that is not ready is asked again.

    Raises:
        RunError: the run could not be made with it. The text says what to mend.
    """
    settings = LlmSettings.of(choice, secrets).model_copy(update={"backoff_s": backoff_s, "max_attempts": ATTEMPTS})
    with reaching(choice.base_url):
        return asyncio.run(_reach(choice, settings, tell))


async def _reach(choice: LlmChoice, settings: LlmSettings, tell: Tell) -> Reached:
    given = settings.base_url
    tried = [given] if has_version(given) else [given, f"{given}/v1"]
    address, names = await _find_list(settings, tried)
    if names and not _ANY_NAME.search(urlsplit(given).hostname or ""):
        for model in dict.fromkeys((choice.model, choice.judge_model)):
            _check_name(model, names, address)
    framing: Framing = "with usage"
    for model in dict.fromkeys((choice.model, choice.judge_model)):
        address, framing = await _ask(settings, model, tried[tried.index(address) :], tell)
    if address != given:
        tell(f"  {given} answers at {address}, which is used")
    return Reached(choice.model_copy(update={"base_url": address}), framing)


async def _find_list(settings: LlmSettings, addresses: Sequence[str]) -> tuple[str, list[str]]:
    """The first address that lists models, and their names; the first of all, and none, if no one does."""
    for address in addresses:
        names = await _list_models(settings.model_copy(update={"base_url": address}))
        if names is not None:
            return address, names
    return addresses[0], []


async def _list_models(settings: LlmSettings) -> list[str] | None:
    """The names a server lists; None if it lists nothing that can be read as such."""
    connection = Connection(settings)
    try:
        async with asyncio.timeout(LIST_S):
            received = await connection.get("/models")
    except Unreachable as error:
        raise RunError(_told_unreachable(settings.base_url, str(error))) from None
    except (Silence, TooLong, TimeoutError):
        return None
    finally:
        await connection.aclose()
    if 300 <= received.status < 400:
        raise RunError(f"{settings.base_url}: {settings.redacted(told_redirect(received))}")
    try:
        body: object = json.loads(received.text) if received.status == 200 else None
    except (ValueError, RecursionError):
        return None
    entries = cast("dict[str, Any]", body).get("data") if isinstance(body, dict) else None
    if not isinstance(entries, list):
        return None
    found = (cast("dict[str, Any]", entry).get("id") for entry in cast("list[Any]", entries) if isinstance(entry, dict))
    return [settings.redacted(name) for name in found if isinstance(name, str) and len(name) <= LONGEST_NAME][
        :MOST_NAMES
    ]


def _check_name(model: str, names: Sequence[str], address: str) -> None:
    if not is_listed(model, names):
        alike = ", ".join(nearest(model, names))
        raise RunError(f"{address} lists no model {model}: it has {alike}{' …' if len(names) > 5 else ''}")


async def _ask(settings: LlmSettings, model: str, addresses: Sequence[str], tell: Tell) -> tuple[str, Framing]:
    """Ask for one word; the address that answers, and how it was asked.

    Raises:
        RunError: none does, for a reason that will last.
    """
    for address in addresses:
        is_last = address == addresses[-1]
        here = settings.model_copy(update={"model": model, "base_url": address})
        answer, framing = await _ask_at(here if is_last else here.model_copy(update={"max_attempts": 1}), tell)
        if isinstance(answer, Trouble) and not is_last:
            if _is_elsewhere(answer):
                continue
            if answer.again:
                answer, framing = await _ask_at(here, tell)
        if not isinstance(answer, Trouble):
            answered = answer.get("model")
            if isinstance(answered, str) and answered and not is_same_model(model, answered):
                tell(f"  {model} was asked for, and {answered} answers")
            return address, framing
        if (reason := _why_not(answer, here)) is not None:
            raise RunError(reason)
        return address, framing
    raise AssertionError("the last address either answers or does not")


async def _ask_at(settings: LlmSettings, tell: Tell) -> tuple[dict[str, JsonValue] | Trouble, Framing]:
    """The answer at one address. A refusal that gives no reason may be of the streaming: it is tried without."""
    wire = Wire(settings, tell, most_silences=1)
    messages: list[JsonValue] = [{"role": "user", "content": QUESTION}]
    effort = {} if settings.reasoning_effort is None else {"reasoning_effort": settings.reasoning_effort}
    body = json.dumps({"model": settings.model, "max_tokens": MOST_TOKENS, **effort, "messages": messages}).encode()
    try:
        async with _company(f"  waiting for the first words of {settings.model} at {settings.base_url}", tell):
            first, _ = await wire.send(body)
            answer = first
            while isinstance(answer, Trouble) and answer.type == "bad_request" and wire.weaken(wire.framing):
                answer, _ = await wire.send(body)
    finally:
        await wire.aclose()
    return (first, "with usage") if isinstance(answer, Trouble) else (answer, wire.framing)


@contextlib.asynccontextmanager
async def _company(line: str, tell: Tell) -> AsyncGenerator[None]:
    """Says a line while the block takes long."""

    async def speak() -> None:
        await asyncio.sleep(FIRST_WORD_S)
        while True:
            tell(line)
            await asyncio.sleep(NEXT_WORD_S)

    speaking = asyncio.create_task(speak())
    try:
        yield
    finally:
        speaking.cancel()


def _is_elsewhere(trouble: Trouble) -> bool:
    """Whether it may be the path that is wrong."""
    return _status(trouble) in (404, 405, 200) or "JSON" in trouble.message or trouble.type == "not_found"


def _why_not(trouble: Trouble, settings: LlmSettings) -> str | None:
    """Why no run can be made after such an answer, in a line; None if one can: what is refused may be left out."""
    where, status, said = settings.base_url, _status(trouble), trouble.message
    if status in (401, 403):
        key = "the key in OPENAI_API_KEY is refused" if settings.key else "a key is wanted: set OPENAI_API_KEY"
        return f"{where}: {key} ({said})"
    if trouble.type == "insufficient_credit":
        return f"{where}: the account has no credit ({said})"
    if 300 <= status < 400:
        return f"{where}: {said}"
    if status in (404, 405) or trouble.type == "not_found":
        ending = "" if has_version(where) else ", and does the base URL end in /v1?"
        return f"{where}/chat/completions has no model {settings.model} ({said}): is that its name{ending or '?'}"
    if trouble.type == "timeout":
        return f"{where}: {said}: give more with --timeout, or look whether the server is at work"
    if trouble.type == "connection" and status == 0:
        return _told_unreachable(where, said)
    if status == 200 or trouble.type == "connection":
        return f"{where} answers, but not as an OpenAI-compatible endpoint ({said}): does its base URL end in /v1?"
    if trouble.type == "server_error":
        return f"{where} is not ready ({said})"
    if settings.reasoning_effort is not None and _EFFORT.search(said):
        return f"{where} takes no --reasoning-effort {settings.reasoning_effort} for {settings.model} ({said})"
    if _NO_MODEL.search(said):
        return f"{where} has no model {settings.model} ({said})"
    return None


def _told_unreachable(address: str, reason: str) -> str:
    return f"{address} cannot be reached ({reason}): is the server running, and is that its address?"


def _status(trouble: Trouble) -> int:
    found = _STATUS.match(trouble.message)
    return int(found[1]) if found else 0
