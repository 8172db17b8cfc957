"""What errors mean, in the words of the servers that send them."""

from __future__ import annotations

import json

import pytest

from agent.llm.http.answers import answer_in
from agent.llm.http.troubles import Trouble, trouble_of

TOO_LONG = [
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
    "This model's maximum context length is 16384 tokens. However, you requested 19591 tokens (9591 in the messages)",
    "The decoder prompt (length 2000) is longer than the maximum model length of 1024.",
    "'max_tokens' or 'max_completion_tokens' is too large: 2000. This model's maximum context length is 4096 tokens",
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens",
    "Input validation error: `inputs` must have less than 4096 tokens. Given: 5000",
    "The input (61709 tokens) is longer than the model's context length (40960 tokens).",
    "Input length (160062 tokens) exceeds the maximum allowed length (59862 tokens).",
    "the request exceeds the available context size. try increasing the context size or enable context shift",
    "request (131168 tokens) exceeds the available context size (131072 tokens), try increasing it",
    "Trying to keep the first 14538 tokens when context the overflows. However, the model is loaded with context length of only",
    "The number of tokens to keep from the initial prompt is greater than the context length (n_keep: 13055>= n_ctx: 4096).",
    "the input length exceeds the context length",
    "prompt too long; exceeded max context length by 12 tokens",
    "The input token count (1594712) exceeds the maximum number of tokens allowed (1048576).",
    "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
    "prompt is too long: 214309 tokens > 200000 maximum",
    "Input is too long for requested model.",
    "Too many input tokens. Max input tokens: 8192, request input token count: 9279",
    "This model's maximum prompt length is 131072 but the request contains 150000 tokens.",
    "Your request exceeded model token limit: 8192",
    "Range of input length should be [1, 30720]",
    "Please reduce the length of the messages or completion.",
]  # fmt: skip


@pytest.mark.parametrize("words", TOO_LONG)
@pytest.mark.parametrize("status", [200, 400, 413, 422, 500])
def test_a_prompt_that_is_too_long_is_one_in_every_wording(words: str, status: int) -> None:
    whole = json.dumps({"error": {"message": words, "type": "invalid_request_error"}})
    trouble = answer_in(whole) if status == 200 else trouble_of(status, whole, {})
    assert isinstance(trouble, Trouble) and (trouble.type, trouble.again) == ("context_length", False)
    bare = trouble_of(status, json.dumps({"object": "error", "message": words, "code": 40303}), {})
    assert bare.type == "context_length"


ERRORS = [
    (402, {"error": {"message": "Insufficient credits. Add more and retry.", "code": 402}}, "insufficient_credit", False),
    (402, {"error": {"message": "Insufficient Balance"}}, "insufficient_credit", False),
    (429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}, "insufficient_credit", False),
    (400, {"error": {"message": "Your credit balance is too low to access the API."}}, "insufficient_credit", False),
    (429, [{"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing details.",
                      "status": "RESOURCE_EXHAUSTED"}}], "rate_limited", True),
    (429, {"error": {"message": "Rate limit reached: Limit 6000, Used 5000, Requested 700."}}, "rate_limited", True),
    (413, {"error": {"message": "tokens per minute (TPM): Limit 6000, Requested 7600", "code": "rate_limit_exceeded"}},
     "rate_limited", False),
    (413, {"error": {"message": "tokens per minute (TPM): Limit 6000, Requested 600"}}, "rate_limited", True),
    (413, {}, "bad_request", False),
    (503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, "server_error", True),
    (400, {"error": "model 'x' is loading"}, "server_error", True),
    (400, [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}], "authentication", False),
    (400, {"error": {"message": "The requested model 'x' does not exist.", "code": "model_not_found"}}, "not_found", False),
    (400, {"error": {"message": "The response was filtered", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
     "content_filter", False),
    (403, {"error": {"message": "openai/gpt requires moderation. Your input was flagged."}}, "content_filter", False),
    (400, {"error": {"message": "Failed to generate JSON.", "code": "json_validate_failed"}}, "unparseable", False),
    (500, {"error": {"code": 500, "message": "tools param requires --jinja flag"}}, "bad_request", False),
    (500, {"error": {"code": 500, "message": "System role not supported"}}, "bad_request", False),
    (500, {"error": "invalid JSON schema in format"}, "bad_request", False),
    (501, {"error": {"message": "seed is not implemented"}}, "bad_request", False),
    (500, {"error": {"message": "The server had an error"}}, "server_error", True),
    (415, {"detail": "Unsupported media type"}, "bad_request", False),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "type", "again"), ERRORS, ids=[json.dumps(row[1])[:60] for row in ERRORS])
def test_an_error_means_what_its_words_say(status: int, body: object, type: str, again: bool) -> None:
    trouble = trouble_of(status, json.dumps(body), {})
    assert (trouble.type, trouble.again) == (type, again)


def test_what_a_gateway_quotes_of_its_provider_is_told_and_what_it_quotes_of_the_request_is_not() -> None:
    raw = '{"error": "seed is not supported"}'
    gateway = {"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": raw}}}
    assert "seed is not supported" in trouble_of(400, json.dumps(gateway), {}).message
    detail = {"detail": [{"loc": ["body", "messages"], "msg": "wrong", "input": {"temperature": 0, "tools": []}}]}
    assert "temperature" not in trouble_of(422, json.dumps(detail), {}).message


def test_a_wait_is_told_with_an_error_that_passes_and_credit_on_its_way_passes() -> None:
    assert trouble_of(503, "{}", {"retry-after": "7"}).wait_s == 7
    assert trouble_of(402, "{}", {"retry-after": "7"}) == Trouble("insufficient_credit", "HTTP 402: {}", True, 7)


CHOICE = {"message": {"role": "assistant", "content": "{}"}, "finish_reason": "stop"}


@pytest.mark.parametrize(
    ("body", "type"),
    [
        ({"choices": [CHOICE], "error": {"message": "provider is overloaded", "code": 503}}, "server_error"),
        ({"choices": [{**CHOICE, "error": {"message": "no money", "code": 402}}]}, "insufficient_credit"),
        ({"choices": [{**CHOICE, "finish_reason": "error"}]}, "server_error"),
        ({"choices": [{**CHOICE, "finish_reason": "abort"}]}, "server_error"),
        ({"error": {"message": "denied", "code": 401}}, "authentication"),
        ({"error": "Invalid API key"}, "authentication"),
        ({"error": "overloaded", "code": "503"}, "server_error"),
        ({"detail": "maximum context length is 2048"}, "context_length"),
        ({"message": "Internal error"}, "server_error"),
        ({"id": "x", "choices": []}, "server_error"),
        ({}, "server_error"),
    ],
)
def test_an_error_in_a_200_or_beside_a_choice_is_no_reply(body: object, type: str) -> None:
    for text in (json.dumps(body), json.dumps([body])):
        trouble = answer_in(text)
        assert isinstance(trouble, Trouble) and trouble.type == type


@pytest.mark.parametrize("error", [None, "", {}])
def test_an_error_that_is_none_stands_beside_a_reply(error: object) -> None:
    assert not isinstance(answer_in(json.dumps({"choices": [CHOICE], "error": error})), Trouble)
