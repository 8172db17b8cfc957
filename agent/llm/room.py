"""Room for models that think before they answer: their thoughts count as output, and may use up all there is."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, cast

from agent.llm.calls import CallStore
from agent.llm.errors import LlmFailure
from agent.llm.records import LlmCall, Usage
from agent.llm.replies import Reply
from agent.llm.requests import Request

Ask = Callable[[Request, str], Awaitable[Reply[Any]]]

MORE = 4
"""Times as many tokens as before, for a reply that was cut in its thoughts."""
_FIELDS = ("reasoning_content", "reasoning", "thinking")
_OPENED = re.compile(r"<(think|thinking|thought|reasoning)>|\[THINK\]|<\|channel\|>", re.IGNORECASE)


async def ask_with_room(ask: Ask, store: CallStore, request: Request, purpose: str, thinkers: set[str]) -> Reply[Any]:
    """One reply; asked for once more, with more room, if it was cut in its thoughts.

    A model of which that is known has the room at once. What is stored decides, so that a replay takes the same path,
    and a run from before there was more room replays as it ended.

    Args:
        ask: sends a request for a purpose, or finds what came of it.
        store: of all calls.
        request: as it is without more room.
        purpose: stored beside it.
        thinkers: models known to need the room; grows.

    Raises:
        LlmFailure: there is no usable reply. Its attempts and usage include those of the first request.
        ToolsUnsupported: tools were offered and the server takes none.
    """
    roomy = request._replace(max_output_tokens=MORE * request.max_output_tokens)
    first = store.find(request).call
    later = store.find(roomy).call if store.had_room(roomy.max_output_tokens) else None
    if (first is None or first.failure is not None) and (later is not None or request.model in thinkers):
        return await ask(roomy, purpose)
    try:
        return await ask(request, purpose)
    except LlmFailure as failure:
        cut, (call, _, written) = failure, store.find(request)
    is_thinking = cut.type == "length" and call is not None and was_cut_thinking(call)
    is_same = store.find(roomy).written.sha256 == written.sha256  # the server takes no limit at all
    if not is_thinking or is_same or (store.replay_only and later is None):
        raise cut from None
    thinkers.add(request.model)
    usage = cut.usage or Usage()
    try:
        reply = await ask(roomy, f"{purpose} (more room)")
    except LlmFailure as failure:
        again = store.find(roomy).call if failure.type == "length" else None
        words = describe_cut(again, roomy.max_output_tokens) if again else failure.message
        usage += failure.usage or Usage()
        raise LlmFailure(failure.type, words, cut.attempts + failure.attempts, usage) from None
    return reply.model_copy(update={"usage": usage + reply.usage, "attempts": cut.attempts + reply.attempts})


def was_cut_thinking(call: LlmCall) -> bool:
    """Whether a reply ended at its limit because of thoughts.

    An answer that is cut has run away, and would with any room: only where thoughts show, or nothing does, is there a
    reason to ask again.
    """
    reply = call.reply or {}
    message = cast("dict[str, Any]", reply["message"] if isinstance(reply.get("message"), dict) else {})
    if reply.get("finish_reason") != "length" or message.get("tool_calls"):
        return False
    content = message.get("content")
    shown = any(message.get(field) for field in _FIELDS)
    opened = isinstance(content, str) and _OPENED.search(content) is not None
    return shown or opened or not content or thought_tokens(call) > 0


def thought_tokens(call: LlmCall) -> int:
    """Tokens of thought as the server counted them; 0 if it did not."""
    usage = (call.reply or {}).get("usage")
    details = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    count = details.get("reasoning_tokens") if isinstance(details, dict) else None
    return count if isinstance(count, int) and count > 0 else 0


def describe_cut(call: LlmCall, limit: int) -> str:
    """Why there is no answer even with more room, and what to do about it.

    Args:
        call: that was cut.
        limit: its tokens.
    """
    counted = thought_tokens(call)
    thoughts = f"{counted:,} of them thoughts" if counted else "which its thoughts used up"
    return (
        f"the reply was cut at its limit of {limit:,} tokens, {thoughts}: "
        f"give --max-output-tokens {MORE * limit}, or think less with --reasoning-effort low"
    )
