"""Whether the server read the whole prompt: its own count of tokens against the fewest the prompt can have.

Some servers drop the front of a prompt that does not fit their context and answer the rest. Only the count tells.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping

from pydantic import JsonValue

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Scripts without spaces between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""
_RUN = re.compile(rf"[^\W\d_{_UNSPACED}]+|\d+|[{_UNSPACED}]+")
_KINDS = (
    bytes(b"a"[0] if chr(b).isalpha() else b"0"[0] if chr(b).isdigit() else b" "[0] for b in range(128)) + b" " * 128
)
"""Letters of ASCII as one, digits as one, and everything else."""
_BEGINNINGS = (b" a", b"0a", b" 0", b"a0")
_BEGINS_UNSPACED = re.compile(f"[{_UNSPACED}]")
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
    counted = counted_tokens(reply)
    if counted is None or counted < _SMALLEST or counted < _SAME * most_counted:
        return None
    fewest = fewest_tokens(body)
    if counted >= _SHARE * fewest or most_counted >= fewest:
        return None
    return (
        f"the prompt was cut in silence: the server counted {counted} tokens where at least {fewest} were sent. Give it a "
        "larger context (Ollama: num_ctx or OLLAMA_CONTEXT_LENGTH; llama.cpp: --ctx-size; LM Studio: context length; "
        "vLLM: --max-model-len)"
    )


@functools.lru_cache(maxsize=16)  # the system's text is the same in call after call
def _fewest(text: str) -> int:
    letters = set() if text.isascii() else {letter for letter in set(text) if not letter.isascii()}
    if signs := [letter for letter in letters if unicodedata.category(letter) in _SIGNS]:
        text = text.translate(dict.fromkeys(map(ord, signs)))  # on and within letters they would part them
        letters.difference_update(signs)
    if not any(letter.isalnum() or _BEGINS_UNSPACED.match(letter) for letter in letters):
        kinds = b" " + text.encode("ascii", "replace").translate(_KINDS)  # most prompts, and many times as fast
        return sum(map(kinds.count, _BEGINNINGS))
    runs = _RUN.findall(text)
    unspaced = [run for run in runs if _BEGINS_UNSPACED.match(run)]
    return len(runs) - len(unspaced) + sum(-(-len(run) // _UNSPACED_PER_TOKEN) for run in unspaced)
