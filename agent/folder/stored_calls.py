"""What a stored call has to agree with: the hash it stands under, and the transcript that tells its reply."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from pydantic import JsonValue

from agent.llm.errors import LlmFailure
from agent.llm.records import LlmCall
from agent.llm.replies import Reply, read_reply
from tools.border.json_text import canonical_json

SEEDS = 64
"""Seeds beyond the run's own that repeats of a judgement are looked for under, where a server takes none."""
_FIELDS = ("text", "finish_reason", "tool_calls")
"""Of a reply in a transcript, those that follow from the call alone."""


def addresses_of(stored: Any, seed: int) -> Iterator[str]:
    """Under which hashes a stored request may stand: its own, or, where the server takes no seed, with the seed it had."""
    request = stored["request"]
    data = json.dumps(request, separators=(",", ":"), ensure_ascii=False).encode()
    yield hashlib.sha256(data).hexdigest()
    if "seed" not in request:
        yield from (hashlib.sha256(data + f"\n{seed + more}".encode()).hexdigest() for more in range(SEEDS))


def said_in_call(call: LlmCall) -> str | None:
    """A digest of what a stored call says; None where it says nothing that a transcript would tell as a reply."""
    if call.failure is not None:
        return None
    try:
        reply = read_reply(call, cached=True)
    except (LlmFailure, KeyError, TypeError, AttributeError, ValueError):  # it may be of any form
        return None
    return digest_of(reply_content(reply))


def digest_of(content: JsonValue) -> str:
    """The same for a transcript's reply."""
    fields = {name: content[name] for name in _FIELDS if name in content} if isinstance(content, dict) else {}
    return hashlib.sha256(canonical_json(fields).encode()).hexdigest()


def reply_content(reply: Reply[Any]) -> dict[str, JsonValue]:
    """A reply as a transcript tells it."""
    content: dict[str, JsonValue] = {"text": reply.text, "finish_reason": reply.finish_reason}
    if reply.parsed is not None:
        content["parsed"] = reply.parsed.model_dump(mode="json")
    if reply.tool_calls:
        content["tool_calls"] = [{"name": call.name, "arguments": call.arguments} for call in reply.tool_calls]
    if reply.repaired:
        content["repaired"] = True
    return content
