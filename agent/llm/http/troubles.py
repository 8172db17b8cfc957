"""What an error means, by its status and by its words: servers differ in both."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, cast

from pydantic import JsonValue

from agent.llm.dialect import names_a_part
from agent.llm.records import FailureType
from tools.border.json_text import read_json

_MOST_CHARACTERS = 1000
_MOST_READ = 10_000
"""Of a message: what is wrong is said at its beginning."""


_CREDIT_CODES = {
    "insufficient_quota",
    "exceeded_current_quota_error",
    "billing_hard_limit_reached",
    "insufficient_credits",
}


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


_CONTEXT = _words(
    r"context.{0,20}(?:length|window|size|limit|overflow)|max_model_len|n_ctx|exceed_context"
    r"|(?:prompt|input|request|message)s? (?:is|are|was) too (?:long|large)|prompt too long|prompt exceeds"
    r"|longer than the (?:maximum )?(?:model|context|sequence)|input.{0,12}tokens?.{0,40}(?:exceed|must be|longer|>|too)"
    r"|too many (?:input |prompt )?tokens|token count.{0,40}exceed|tokens? \+ .?max_new_tokens|model token limit"
    r"|exceeds? the (?:max\w*|model'?s?) .{0,30}(?:tokens|length|context)|must have less than \d+ tokens"
    r"|max\w* (?:prompt|input|sequence) (?:length|tokens)|reduce the (?:length|size) of (?:the|your) (?:messages|prompt|input)"
    r"|range of input length|expected maxlength|string too long|maximum allowed (?:input )?length"
)
_CREDIT = _words(
    r"insufficient.{0,20}(?:credit|quota|balance|funds)|credit balance|(?:out of|no|not enough|requires? more) credits"
    r"|exceeded_current_quota|billing.{0,20}(?:limit|not active|required)|payment required|used all available credits"
    r"|balance is (?:too low|not enough|insufficient)|account.{0,30}(?:arrears|overdue|suspended)"
)
_FILTERED = _words(
    r"content.?filter|content.{0,12}policy|content.?management|responsibleai|data_inspection_failed|content exists risk"
    r"|inappropriate content|flagged by|input was flagged|prohibited_content|safety (?:system|setting)"
)
_LOADING = _words(
    r"(?:is |still )(?:loading|warming|starting)|loading model|model.{0,30}(?:is )?loading|currently loading"
)
_KEY = _words(
    r"(?:invalid|incorrect|missing|no|wrong).{0,12}api.?key|api.?key.{0,12}(?:not valid|invalid|missing|expired|required)"
    r"|unauthori[sz]ed|authenticat|invalid (?:auth\w*|access|bearer) token|invalid credential"
)
_UNKNOWN_MODEL = _words(
    r"model.{0,80}(?:not found|does not exist|not exist|not supported by any provider)|model_not_found|unknown model"
)
_PER_MINUTE = _words(
    r"tokens per (?:minute|day)|\bTP[MD]\b|rate.?limit|too many requests|resource_exhausted|quota exceeded"
)
_ASKED_FOR = _words(r"limit:? (\d+).{0,80}?requested:? (\d+)")
_NOT_MADE = _words(
    r"json_validate_failed|tool_use_failed|failed to (?:generate|validate) json|failed to call a function"
)


_REFUSED = _words(
    r"(?:not|n't) (?:be )?(?:yet )?(?:support|implement|permit|allow)|unsupported|unrecogni[sz]ed|requires? |are supported"
    r"|failed to (?:parse|initialize|compile)|must (?:be|alternate)|invalid (?:json )?schema"
)


class Trouble(NamedTuple):
    """An answer that is no reply."""

    type: FailureType
    message: str
    again: bool
    """Another try may help."""
    wait_s: float | None = None
    """Seconds the server asked to wait before it."""


def trouble_of(status: int, text: str, headers: Mapping[str, str], redacted: Callable[[str], str] = str) -> Trouble:
    """What an error means.

    Tried again: 408, 409, 425, 429, 5xx, a model that is being loaded, and what says nothing. Not tried again: what the
    same request would meet again, whatever its status: an empty account, a prompt too long for the model or for the
    rate limit, a part that the server does not take.

    Args:
        status: of the answer, or the one its body names; 200 for a body that names none.
        text: the body.
        headers: of the answer.
        redacted: takes secrets out of a text, which JSON may have spelt in any way: it sees what was read.
    """
    message, codes = error_in(text)
    message, codes = redacted(message)[:_MOST_READ], tuple(redacted(code)[:_MOST_READ] for code in codes)
    words = f"HTTP {status}: {message}"[:_MOST_CHARACTERS].encode("utf-8", "replace").decode()
    wait_s = retry_after(headers)
    if kind := _type_by_words(status, codes, f"{message} {' '.join(codes)}"):
        alone = (found := _ASKED_FOR.search(message)) is not None and int(found[2]) > int(found[1])
        again = {
            "rate_limited": not alone,
            "server_error": True,
            "insufficient_credit": status == 402 and wait_s is not None,
        }.get(kind, False)
        return Trouble(kind, words, again=again, wait_s=wait_s if again else None)
    if status == 408:
        return Trouble("timeout", words, again=True)
    if status >= 500 or status in (200, 409, 425):
        return Trouble("server_error", words, again=True, wait_s=wait_s)
    by_status: dict[int, FailureType] = {401: "authentication", 403: "authentication", 404: "not_found"}
    return Trouble(by_status.get(status, "bad_request"), words, again=False)


def _type_by_words(status: int, codes: tuple[str, ...], said: str) -> FailureType | None:
    """The failure that an error's code or words name; None where only the status tells."""
    if status == 402 or set(codes) & _CREDIT_CODES or (status != 429 and _CREDIT.search(said)):
        return "insufficient_credit"
    if status == 429 or (_PER_MINUTE.search(said) and status in (200, 400, 413)):
        return "rate_limited"
    if _CONTEXT.search(said) and status != 401:
        return "context_length"
    if _LOADING.search(said) and status not in (401, 403):
        return "server_error"
    if _FILTERED.search(said) and status < 500:
        return "content_filter"
    if status in (200, 400) and _KEY.search(said):
        return "authentication"
    if status in (200, 400) and _UNKNOWN_MODEL.search(said):
        return "not_found"
    if status in (200, 400) and _NOT_MADE.search(said):
        return "unparseable"
    if (status == 200 or status >= 500) and _REFUSED.search(said) and names_a_part(said):
        return "bad_request"
    return None


def status_in(body: Mapping[str, Any]) -> int:
    """The HTTP status that a body itself names, as gateways pass on a provider's error; 200 for none."""
    error = body.get("error")
    places = [cast("dict[str, Any]", error), body] if isinstance(error, dict) else [body]
    for place in places:
        for name in ("code", "status", "status_code"):
            value = place.get(name)
            if isinstance(value, str) and value.isdecimal():
                value = int(value)
            if isinstance(value, int) and 400 <= value < 600:
                return value
    return 200


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


def error_in(text: str) -> tuple[str, tuple[str, ...]]:
    """The message of an error body, and its code and type where it has them; servers differ in its form.

    What a gateway quotes of the provider behind it is part of the message: the reason stands there. What a server
    quotes of the request is not: its words would be taken for the server's.
    """
    try:
        body: object = read_json(text)
    except (ValueError, RecursionError):
        return " ".join(text.split()) or "no text", ()
    if isinstance(body, list) and len(cast("list[object]", body)) == 1 and isinstance(body[0], dict):
        body = body[0]
    fields = cast("dict[str, Any]", body if isinstance(body, dict) else {"message": body})
    error = fields.get("error") or fields
    details = cast("dict[str, Any]", error if isinstance(error, dict) else {"message": error})
    named = (
        place.get(name) for place in (details, fields) for name in ("message", "detail", "Message", "msg", "errors")
    )
    message = next(filter(None, named), details)
    words = message if isinstance(message, str) else json.dumps(_without_input(message), ensure_ascii=False)
    extras = [f"{key} {details[key]}" for key in ("code", "param") if details.get(key) is not None]
    for name, key in (("metadata", "raw"), ("innererror", "code")):
        quoted = details.get(name)
        if isinstance(quoted, dict) and cast("dict[str, Any]", quoted).get(key):
            extras.append(f"{name} {cast('dict[str, Any]', quoted)[key]}")
    codes = tuple(str(details[key]) for key in ("code", "type") if details.get(key) is not None)
    return words + (f" ({', '.join(extras)})" if extras else ""), codes


def _without_input(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {key: _without_input(inner) for key, inner in value.items() if key != "input"}
    return [_without_input(inner) for inner in value] if isinstance(value, list) else value
