"""Room for models that think before they answer: their thoughts count as output, and may use up all there is."""

from __future__ import annotations

import re
from typing import Any, cast

from agent.records import LlmCall

MORE = 4
"""Times as many tokens as before, for a reply that was cut in its thoughts."""
_FIELDS = ("reasoning_content", "reasoning", "thinking")
_OPENED = re.compile(r"<(think|thinking|thought|reasoning)>|\[THINK\]|<\|channel\|>", re.IGNORECASE)


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
