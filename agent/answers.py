"""What an HTTP answer means: a reply, a failure worth another try, or a failure for good."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, cast

from pydantic import JsonValue

from agent.errors import FailureType

_CONTEXT = re.compile(r"context.{0,20}(length|window|size)|prompt is too long", re.IGNORECASE)
_MOST_CHARACTERS = 500


class Trouble(NamedTuple):
    """An answer that is no reply."""

    type: FailureType
    message: str
    again: bool
    """Another try may help."""
    wait_s: float | None = None
    """Seconds the server asked to wait before it."""


def answer_in(text: str) -> dict[str, JsonValue] | Trouble:
    """What the body of a 200 holds: the first choice's message, finish reason, model and usage, or trouble."""
    try:
        body: object = json.loads(text)
    except (ValueError, RecursionError):
        return Trouble("connection", "the reply's body is not JSON: it broke off in transfer", again=True)
    fields = cast("dict[str, Any]", body if isinstance(body, dict) else {})
    choices = cast("list[Any]", fields.get("choices") if isinstance(fields.get("choices"), list) else [])
    choice = cast("dict[str, Any]", choices[0] if choices and isinstance(choices[0], dict) else {})
    if isinstance(choice.get("message"), dict):
        return _encodable(
            {
                "message": choice["message"],
                "finish_reason": choice.get("finish_reason"),
                "model": fields.get("model"),
                "usage": fields.get("usage"),
            }
        )
    error = fields.get("error")
    code = cast("dict[str, Any]", error).get("code") if isinstance(error, dict) else None
    if isinstance(code, int) and code >= 400:  # gateways pass on a provider's error in a body of their own
        return trouble_of(code, text, {})
    return Trouble("server_error", f"HTTP 200 without a choice: {text[:200]}", again=True)


def trouble_of(status: int, text: str, headers: Mapping[str, str]) -> Trouble:
    """What an error status means. Never tried again: 400, 401, 403, 404, 422, and 429 for an empty account."""
    message, code = _error_in(text)
    words = f"HTTP {status}: {message}"[:_MOST_CHARACTERS].encode("utf-8", "replace").decode()
    if status == 429:
        spent = code == "insufficient_quota"
        return Trouble("rate_limited", words, again=not spent, wait_s=retry_after(headers))
    if status >= 500 or status in (409, 425):
        return Trouble("server_error", words, again=True, wait_s=retry_after(headers))
    if status == 408:
        return Trouble("timeout", words, again=True)
    if status in (401, 403):
        return Trouble("authentication", words, again=False)
    if status == 404:
        return Trouble("not_found", words, again=False)
    if code == "context_length_exceeded" or _CONTEXT.search(message):
        return Trouble("context_length", words, again=False)
    if code in ("content_filter", "content_policy_violation"):
        return Trouble("content_filter", words, again=False)
    return Trouble("bad_request", words, again=False)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from now that the server asked to wait, at least 0; None if it did not ask or cannot be understood."""
    if milliseconds := _number(headers.get("retry-after-ms")):
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and re.fullmatch(r"\d{1,9}(\.\d+)?", text.strip()) else None


def _error_in(text: str) -> tuple[str, str]:
    """Message and code of an error body; servers differ in its form."""
    try:
        body: object = json.loads(text)
    except (ValueError, RecursionError):
        return " ".join(text.split()) or "no text", ""
    fields = cast("dict[str, Any]", body if isinstance(body, dict) else {"message": body})
    error = fields.get("error", fields)
    details = cast("dict[str, Any]", error if isinstance(error, dict) else {"message": error})
    message = details.get("message") or details.get("detail") or details
    words = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)
    code = details.get("code")
    extras = [f"{key} {details[key]}" for key in ("code", "param") if details.get(key) is not None]
    return words + (f" ({', '.join(extras)})" if extras else ""), str(code)


def _encodable(reply: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The reply with half surrogate pairs, which no UTF-8 file can hold, replaced by question marks."""
    spelt = json.dumps(reply, ensure_ascii=False)
    try:
        spelt.encode()
    except UnicodeEncodeError:
        return json.loads(spelt.encode("utf-8", "replace"))
    return reply
