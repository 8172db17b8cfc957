"""The LLM behind an OpenAI-compatible endpoint: the only module that sends anything, and the only place for retries."""

from __future__ import annotations

import asyncio
import itertools
import random
import ssl
from collections.abc import Sequence
from typing import Any, Self, TypeVar

import httpx2
import openai
from pydantic import BaseModel, JsonValue
from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt

from agent import first_version
from agent.answers import Trouble, answer_in, trouble_of
from agent.calls import CallStore
from agent.counts import why_cut
from agent.dialect import RULES, Dialect
from agent.endpoint import LlmSettings, RateWindow
from agent.errors import LlmFailure
from agent.prices import PriceTable
from agent.records import Failure, LlmCall, Usage
from agent.replies import Reply, ToolCall, estimated_tokens, read_reply, reported_tokens
from agent.requests import Message, Request, ToolSpec, ToolsUnsupported, Written
from agent.structured import Unfit, parse, repair, strict_json_schema

__all__ = [
    "CallStore",
    "LlmClient",
    "LlmSettings",
    "Reply",
    "ToolCall",
    "ToolSpec",
    "ToolsUnsupported",
    "strict_json_schema",
]

S = TypeVar("S", bound=BaseModel)

_CONNECT_S = 10.0
_CONNECTIONS_PER_POOL = 16


class LlmClient:
    """Asks one model, through a store that remembers every call.

    A call that the store holds is answered from there; equal calls in flight at the same time are sent once. Whether
    the budget is spent is looked at before each call, so it may be exceeded by what is in flight.
    """

    def __init__(self, settings: LlmSettings, store: CallStore, wire: Wire | None = None) -> None:
        self.settings = settings
        self.store = store
        self._wire = wire or Wire(settings)
        self._prices = PriceTable.read(settings.prices)
        self._in_flight: dict[str, asyncio.Task[LlmCall]] = {}
        self._futile: set[tuple[str, str]] = set()
        """Model and dialect where a refusal without a reason met no plainer request that is answered."""

    def __repr__(self) -> str:
        return f"LlmClient({self.settings.model!r}, {self.settings.base_url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Drop what is in flight and close the connections."""
        tasks = list(self._in_flight.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._wire.aclose()

    def with_model(self, model: str) -> LlmClient:
        """A client for another model of the same endpoint, sharing store, connections, limits and budget."""
        return LlmClient(self.settings.model_copy(update={"model": model}), self.store, self._wire)

    @property
    def supports_tools(self) -> bool:
        """False once the server has refused tools."""
        return self.store.dialects(self.settings.model)[-1].tools != "refused"

    @property
    def notes(self) -> dict[str, tuple[str, ...]]:
        """For each model, in sentences, what its server would not take: that replies are unseeded, for one."""
        return self.store.notes()

    @property
    def price_known(self) -> bool:
        """Whether costs are counted; without a price every call costs 0 USD and a budget in USD is never spent."""
        return self._prices.price(self.settings.model) is not None

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        purpose: str,
        schema: type[S] | None = None,
        tools: Sequence[ToolSpec] = (),
        seed: int | None = None,
    ) -> Reply[S]:
        """Ask once, and once more if the reply does not fit the schema.

        Args:
            messages: the conversation.
            purpose: what the call is for, stored beside it.
            schema: what the reply must be, unless it is tool calls.
            tools: what the model may call instead of answering.
            seed: instead of the settings'; requests that differ in nothing else are different calls.

        Raises:
            LlmFailure: there is no usable reply. Its attempts and usage include the repair round's.
            ToolsUnsupported: tools were offered and the server takes none.
        """
        settings = self.settings
        seed = settings.seed if seed is None else seed
        request = Request(
            settings.model, messages, schema, tools, settings.temperature, settings.max_output_tokens, seed
        )
        reply = await self._ask(request, purpose)
        if schema is None or reply.tool_calls:
            return reply
        first = reply.rules < RULES
        try:
            return reply.model_copy(update={"parsed": _read(reply, schema)})
        except Unfit as problem:
            complaint = first_version.repair(problem, schema) if first else repair(problem, schema)
        asked_again = [*messages, reply.message(), {"role": "user", "content": complaint}]
        try:
            second = await self._ask(request._replace(messages=asked_again), f"{purpose} (repair)")
            parsed = None if second.tool_calls else _parsed(second, schema)
        except LlmFailure as failure:
            usage = reply.usage + (failure.usage or Usage())
            raise LlmFailure(failure.type, failure.message, reply.attempts + failure.attempts, usage) from None
        return second.after(reply).model_copy(update={"parsed": parsed})

    async def _ask(self, request: Request, purpose: str) -> Reply[Any]:
        """One reply, in whatever dialect the server turns out to understand."""
        refused: set[str] = set()
        while True:
            found = self.store.find(request)
            if found.call is not None and (found.call.failure is None or self.store.replay_only):
                call, dialect, cached = found.call, found.dialect, True
            else:
                dialect = self.store.dialects(request.model)[-1]
                if request.tools and dialect.tools == "refused":
                    raise ToolsUnsupported
                if self.store.replay_only:
                    raise LlmFailure("replay_missing", f"the stored run never made this call ({purpose})", attempts=0)
                call, cached = await self._call(found.written, purpose)
                if dialect.refusal(call) is not None and call.request_sha256 not in refused:
                    refused.add(call.request_sha256)  # refused once more, it has nothing left to leave out
                    continue
            guesses = dialect.guesses(call)
            if not guesses:
                return read_reply(call, cached=cached)
            return await self._guess(request, call, dialect, guesses, purpose)

    async def _guess(
        self, request: Request, refused: LlmCall, dialect: Dialect, guesses: Sequence[Dialect], purpose: str
    ) -> Reply[Any]:
        """One reply after a refusal without a reason: asked for ever more plainly.

        Raises:
            LlmFailure: no plainer request is answered either; it is the first refusal, or what else went wrong.
        """
        end, tried, attempts, usage = refused, {refused.request_sha256}, refused.attempts, refused.usage
        replaying, doubted = self.store.replay_only, (request.model, dialect.spelling)
        for plainer in guesses if replaying or doubted not in self._futile else ():
            written = request.written(plainer)
            if written.sha256 in tried:
                continue
            tried.add(written.sha256)
            call, cached = self.store.get(written.sha256), True
            if replaying and call is None:
                break
            if call is None or (call.failure is not None and not replaying):
                changed = {name: value for name, value in plainer if value != getattr(dialect, name)}
                call, cached = await self._call(written, purpose, changed)
            if call.failure is None:
                return read_reply(call, cached=cached)
            attempts, usage = attempts + call.attempts, usage + call.usage
            if call.failure.type not in ("bad_request", "not_found"):
                end = call
                break
        else:
            self._futile.add(doubted)
        if end.failure is None:
            raise RuntimeError("only failures are guessed about")
        raise LlmFailure(end.failure.type, end.failure.message, attempts, usage)

    async def _call(
        self, written: Written, purpose: str, guess: dict[str, JsonValue] | None = None
    ) -> tuple[LlmCall, bool]:
        """What comes of a body, and whether it was on its way already."""
        sent = self._in_flight.get(written.sha256)
        return await asyncio.shield(sent or self._start(written, purpose, guess)), sent is not None

    def _start(self, written: Written, purpose: str, guess: dict[str, JsonValue] | None) -> asyncio.Task[LlmCall]:
        """Send in a task of its own: a caller that gives up leaves a reply that is paid for to be stored."""
        task = asyncio.create_task(self._send(written, purpose, guess))
        self._in_flight[written.sha256] = task

        def forget(done: asyncio.Task[LlmCall]) -> None:
            self._in_flight.pop(written.sha256, None)
            if not done.cancelled():
                done.exception()  # seen here, in case every caller has gone

        task.add_done_callback(forget)
        return task

    async def _send(self, written: Written, purpose: str, guess: dict[str, JsonValue] | None) -> LlmCall:
        spent = self.settings.overspent(self.store.spent)
        answer, attempts = (Trouble("budget", spent, again=False), 0) if spent else await self._wire.send(written.data)
        failure = reply = None
        usage = Usage(calls=min(attempts, 1))
        if isinstance(answer, Trouble):
            failure = Failure(type=answer.type, message=answer.message, attempts=attempts)
        else:
            tokens = reported_tokens(answer) or estimated_tokens(written.body, answer)
            usage = self._prices.usage(self.settings.model, *tokens)
            cut = why_cut(written.body, answer, self.store.most_counted(self.settings.model))
            if cut:
                failure = Failure(type="context_length", message=cut, attempts=attempts)
            else:
                reply = answer
        call = LlmCall(
            request_sha256=written.sha256,
            request=written.body,
            reply=reply,
            failure=failure,
            purpose=purpose,
            usage=usage,
            attempts=attempts,
            rules=RULES,
            learnt=guess if reply is not None else None,
        )
        await self.store.put(call)
        return call


def _read(reply: Reply[Any], schema: type[S]) -> S:
    """The record in a reply, by the rules of its time.

    Raises:
        Unfit: it cannot be used.
    """
    return first_version.parse(reply.text, schema) if reply.rules < RULES else parse(reply.text, schema)


def _parsed(reply: Reply[Any], schema: type[S]) -> S:
    try:
        return _read(reply, schema)
    except Unfit as unfit:
        raise LlmFailure(unfit.type, unfit.message, reply.attempts, reply.usage) from None


class Wire:
    """Sends bodies: bounded in flight and in rate, and tried again where that can help."""

    def __init__(self, settings: LlmSettings) -> None:
        self._settings = settings
        self._gate = asyncio.Semaphore(settings.max_in_flight)
        self._rate = RateWindow(settings.requests_per_minute)
        self._jitter = random.Random(0)
        self._pools: list[openai.AsyncOpenAI] = []
        self._turns = itertools.count()

    async def send(self, data: bytes) -> tuple[dict[str, JsonValue] | Trouble, int]:
        """The answer to a body, after at most `max_attempts` HTTP requests, and how many it took."""
        retrying = AsyncRetrying(
            stop=stop_after_attempt(self._settings.max_attempts),
            wait=self._pause,
            retry=retry_if_result(lambda answer: isinstance(answer, Trouble) and answer.again),
            retry_error_callback=_last_answer,
        )
        answer = await retrying(self._try, data)
        return answer, retrying.statistics["attempt_number"]

    async def aclose(self) -> None:
        """Close the connections."""
        await asyncio.gather(*(pool.close() for pool in self._pools))
        self._pools.clear()

    async def _try(self, data: bytes) -> dict[str, JsonValue] | Trouble:
        """One HTTP request. What goes wrong is a value: an exception would carry the headers, and so the key, along."""
        async with self._gate:
            await self._rate.turn()
            try:
                async with asyncio.timeout(self._settings.timeout_s):
                    response = await self._pool().post(
                        "/chat/completions",
                        content=data,
                        cast_to=httpx2.Response,
                        options={"headers": {"Content-Type": "application/json"}},
                    )
            except (openai.APITimeoutError, TimeoutError):
                return Trouble("timeout", f"no answer within {self._settings.timeout_s:g} s", again=True)
            except openai.APIStatusError as error:
                return trouble_of(
                    error.status_code, self._settings.redacted(error.response.text), error.response.headers
                )
            except openai.APIConnectionError as error:
                cause = error.__cause__ or error
                return Trouble("connection", self._settings.redacted(f"{type(cause).__name__}: {cause}"), again=True)
        return answer_in(self._settings.redacted(response.text))

    def _pause(self, state: RetryCallState) -> float:
        answer = _last_answer(state)
        asked = answer.wait_s if isinstance(answer, Trouble) else None
        return self._settings.wait_s(state.attempt_number, asked, self._jitter.random())

    def _pool(self) -> openai.AsyncOpenAI:
        """The next of several small pools: one large pool looks through all its connections for every request."""
        if not self._pools:
            certificates = httpx2.create_ssl_context()  # slow to make, so there is one
            count = -(-self._settings.max_in_flight // _CONNECTIONS_PER_POOL)
            self._pools = [self._connect(certificates) for _ in range(count)]
        return self._pools[next(self._turns) % len(self._pools)]

    def _connect(self, certificates: ssl.SSLContext) -> openai.AsyncOpenAI:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=2 * _CONNECTIONS_PER_POOL)
        timeout = httpx2.Timeout(None, connect=_CONNECT_S)
        return openai.AsyncOpenAI(
            api_key=self._settings.key or "none",
            base_url=self._settings.base_url,
            max_retries=0,
            timeout=timeout,
            http_client=openai.DefaultAsyncHttpxClient(verify=certificates, limits=limits, timeout=timeout),
        )


def _last_answer(state: RetryCallState) -> dict[str, JsonValue] | Trouble:
    if state.outcome is None:
        raise RuntimeError("asked for an outcome before the first attempt")
    return state.outcome.result()
