"""The LLM behind an OpenAI-compatible endpoint, asked through a store that remembers every call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

from pydantic import BaseModel, JsonValue

from agent.errors import Unwritable
from agent.llm.calls import CallStore
from agent.llm.dialect import RULES, Dialect
from agent.llm.errors import LlmFailure, Unfit
from agent.llm.http.troubles import Trouble
from agent.llm.http.wire import Wire
from agent.llm.meter import Meter
from agent.llm.prices import SHIPPED, PriceTable
from agent.llm.reading import first_version
from agent.llm.reading.counts import why_cut
from agent.llm.reading.structured import parse, repair
from agent.llm.records import Failure, LlmCall, Usage
from agent.llm.replies import Reply, estimated_tokens, read_reply, reported_tokens
from agent.llm.requests import Message, Request, ToolSpec, ToolsUnsupported, Written
from agent.llm.room import ask_with_room
from agent.llm.settings import LlmSettings

S = TypeVar("S", bound=BaseModel)


class LlmClient:
    """Asks one model, through a store that remembers every call.

    A call that the store holds is answered from there; equal calls in flight at the same time are sent once. Whether
    the budget is spent is looked at when it is a request's turn, so it may be exceeded by what is in flight.
    """

    def __init__(self, settings: LlmSettings, store: CallStore, wire: Wire | None = None) -> None:
        self.settings = settings
        self.store = store
        self._wire = wire or Wire(settings)
        self._prices = PriceTable.read(settings.prices or SHIPPED)
        self._in_flight: dict[str, asyncio.Task[LlmCall]] = {}
        self._thinkers: set[str] = set()
        """Models that have thought longer than there was room."""
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
        other = LlmClient(self.settings.model_copy(update={"model": model}), self.store, self._wire)
        other._thinkers = self._thinkers
        return other

    @property
    def meter(self) -> Meter:
        """What all calls come to so far, those of other models of the endpoint too."""
        return self._wire.meter

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
            settings.model,
            messages,
            schema,
            tools,
            settings.temperature,
            settings.max_output_tokens,
            seed,
            settings.reasoning_effort,
        )
        reply = await self._ask_with_room(request, purpose)
        if schema is None or reply.tool_calls:
            return reply
        first = reply.rules < RULES
        try:
            return reply.model_copy(update={"parsed": _read(reply, schema)})
        except Unfit as problem:
            complaint = first_version.repair(problem, schema) if first else repair(problem, schema)
        asked_again = [*messages, reply.message(), {"role": "user", "content": complaint}]
        try:
            second = await self._ask_with_room(request._replace(messages=asked_again), f"{purpose} (repair)")
            parsed = None if second.tool_calls else _parsed(second, schema)
        except LlmFailure as failure:
            usage = reply.usage + (failure.usage or Usage())
            raise LlmFailure(failure.type, failure.message, reply.attempts + failure.attempts, usage) from None
        return second.after(reply).model_copy(update={"parsed": parsed})

    async def _ask_with_room(self, request: Request, purpose: str) -> Reply[Any]:
        return await ask_with_room(self._ask, self.store, request, purpose, self._thinkers)

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
        sent, began = datetime.now(UTC).isoformat(timespec="milliseconds"), time.monotonic()
        answer, attempts = await self._wire.send(written.data, self._clear)
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
            sent=sent,
            seconds=round(time.monotonic() - began, 3),
            rules=RULES,
            learnt=guess if reply is not None else None,
        )
        self._wire.meter.note(call)
        try:
            await self.store.put(call)
        except Unwritable as error:
            self._wire.stop(error)
            raise
        return call

    async def _clear(self) -> Trouble | None:
        """What stands in the way of a request: looked at when it is its turn, for hundreds may wait for theirs."""
        await self.store.catch_up(self.settings.concurrency)
        spent = self.settings.overspent(self.store.spent)
        return Trouble("budget", spent, again=False) if spent else None


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
