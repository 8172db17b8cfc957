"""Whether the server read the whole prompt: its own count of tokens against the fewest the prompt can have.

Some servers drop the front of a prompt that does not fit their context and answer the rest. Only the count tells.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from pydantic import JsonValue

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Scripts without spaces between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""
_RUN = re.compile(rf"[^\W\d_{_UNSPACED}]+|\d+|[{_UNSPACED}]+")
_SIGNS = ("Mn", "Mc", "Me", "Cf")
_UNSPACED_PER_TOKEN = 4
_SHARE = 0.8
"""Of the fewest tokens, for tokenizers that join words."""
_SMALLEST = 256
"""No context is smaller. Smaller counts come from servers that do not count what they find in their cache."""
_SAME = 0.9
"""A prompt cut to fit is about as long as the longest that was not cut, or longer."""


def fewest_tokens(body: Mapping[str, JsonValue]) -> int:
    """The fewest tokens a request's messages can have for any tokenizer that keeps words apart.

    Each run of letters and each of digits is at least one. Template, tools and schema are left out: whether they count
    is the server's affair.
    """
    messages = body.get("messages")
    texts = (
        [message.get("content") for message in messages if isinstance(message, dict)]
        if isinstance(messages, list)
        else []
    )
    return sum(_fewest(text) for text in texts if isinstance(text, str))


def counted_tokens(reply: Mapping[str, JsonValue]) -> int | None:
    """The prompt's tokens as the server counted them, with those it reports apart because they were in its cache."""
    usage = reply.get("usage")
    if not isinstance(usage, dict):
        return None
    counted, details = usage.get("prompt_tokens"), usage.get("prompt_tokens_details")
    if type(counted) is not int:
        return None
    cached = [
        details.get("cached_tokens") if isinstance(details, dict) else None,
        *(usage.get(name) for name in ("cache_read_input_tokens", "prompt_cache_hit_tokens")),
    ]
    # Most servers count them in already; then the sum is too large, which makes no prompt look cut.
    return counted + max([0, *(count for count in cached if type(count) is int)])


def why_cut(body: Mapping[str, JsonValue], reply: Mapping[str, JsonValue], most_counted: int) -> str | None:
    """Why the prompt must have been cut in silence; None if nothing shows that it was.

    Args:
        body: the request.
        reply: with the server's count.
        most_counted: the most the server counted in a prompt before. One that counted as much, or much more than now,
            has the room and leaves out what is in its cache.
    """
    counted, fewest = counted_tokens(reply), fewest_tokens(body)
    if counted is None or counted < _SMALLEST or counted >= _SHARE * fewest:
        return None
    if most_counted >= fewest or counted < _SAME * most_counted:
        return None
    return (
        f"the prompt was cut in silence: the server counted {counted} tokens where at least {fewest} were sent. Give it a "
        "larger context (Ollama: num_ctx or OLLAMA_CONTEXT_LENGTH; llama.cpp: --ctx-size; LM Studio: context length; "
        "vLLM: --max-model-len)"
    )


def _fewest(text: str) -> int:
    if not text.isascii():  # signs on and within letters would part them
        text = "".join(sign for sign in text if unicodedata.category(sign) not in _SIGNS)
    runs = _RUN.findall(text)
    unspaced = [run for run in runs if re.match(f"[{_UNSPACED}]", run)]
    return len(runs) - len(unspaced) + sum(-(-len(run) // _UNSPACED_PER_TOKEN) for run in unspaced)
