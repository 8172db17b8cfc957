"""Bodies on their way: bounded in flight and in rate, streamed, and tried again where that can help.

That a reply is streamed is a matter of transport: what is stored and hashed is the body without it, and the reply as if
it had come whole.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable

from pydantic import JsonValue
from tenacity import AsyncRetrying, RetryCallState, retry_if_result

from agent.llm.http.answers import answer_of
from agent.llm.http.connection import Connection, Received, Silence, TooLong, Unreachable
from agent.llm.http.pacing import Gate, RateWindow
from agent.llm.http.streams import ReplyStream
from agent.llm.http.troubles import Trouble, trouble_of
from agent.llm.meter import Meter
from agent.llm.settings import Framing, LlmSettings

Answer = dict[str, JsonValue] | Trouble
Clearance = Callable[[], Awaitable[Trouble | None]]
"""Asked before each HTTP request, when it is its turn: what stands in the way of it, if anything does."""

CHAT = "/chat/completions"
_FRAMES: dict[Framing, bytes] = {
    "with usage": b',"stream":true,"stream_options":{"include_usage":true}}',
    "streamed": b',"stream":true}',
    "whole": b"}",
}
_WEAKER: dict[Framing, Framing] = {"with usage": "streamed", "streamed": "whole"}
_STREAM_WORDS = re.compile(r"stream", re.IGNORECASE)


class Wire:
    """Sends bodies to one endpoint.

    Args:
        settings: of the endpoint.
        tell: gets a line when something is done differently from now on.
        most_silences: attempts that end in silence before a request is given up: each has taken the whole time-out.
    """

    def __init__(
        self,
        settings: LlmSettings,
        tell: Callable[[str], object] = lambda line: None,
        most_silences: int = 3,
    ) -> None:
        self.meter = Meter()
        self.framing: Framing = settings.framing
        """How replies are asked for now; weaker once the server has refused it."""
        self._most_silences = most_silences
        self._settings = settings
        self._tell = tell
        self._gate = Gate(settings.concurrency)
        self._rate = RateWindow(settings.requests_per_minute)
        self._jitter = random.Random(0)
        self._connection = Connection(settings)
        self._stopped: Exception | None = None

    def stop(self, reason: Exception) -> None:
        """Send nothing further, for answers can no longer be kept: whoever waits for a turn gets the reason instead."""
        self._stopped = reason

    async def send(self, data: bytes, clearance: Clearance | None = None) -> tuple[Answer, int]:
        """The answer to a body, after at most `max_attempts` HTTP requests, and how many it took.

        Raises:
            Exception: what the wire was stopped for.
        """
        attempts = silences = 0

        def is_enough(state: RetryCallState) -> bool:
            return attempts >= self._settings.max_attempts or silences >= self._most_silences

        async def attempt() -> Answer:
            nonlocal attempts, silences
            while True:
                framing = self.framing
                answer, sent = await self._try(data, framing, clearance)
                attempts += sent
                if not self._learn(answer, framing):
                    silences += isinstance(answer, Trouble) and answer.type == "timeout"
                    return answer

        answer = await attempt()
        if not _is_passing(answer):
            return answer, attempts
        known = [answer]

        async def attempt_again() -> Answer:
            return known.pop() if known else await attempt()

        retrying = AsyncRetrying(
            stop=is_enough,
            wait=self._pause,
            retry=retry_if_result(_is_passing),
            retry_error_callback=_last_answer,
        )
        return await retrying(attempt_again), attempts

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connection.aclose()

    def weaken(self, framing: Framing) -> bool:
        """Ask for less than this framing from now on; False if nothing less is left."""
        if self.framing == framing and framing in _WEAKER:
            self.framing = _WEAKER[framing]
        return framing != "whole"

    async def _try(self, data: bytes, framing: Framing, clearance: Clearance | None) -> tuple[Answer, bool]:
        """One HTTP request, or none, and which of the two.

        What goes wrong is a value: an exception would carry the headers, and so the key, along.
        """
        entry = await self._gate.enter()
        try:
            if clearance is not None and (obstacle := await clearance()) is not None:
                return obstacle, False
            await self._rate.turn()
            if self._stopped is not None:
                raise self._stopped
            answer = await self._exchange(data[:-1] + _FRAMES[framing])
        finally:
            self._gate.leave()
        if not isinstance(answer, Trouble):
            self._gate.went_well()
        elif answer.type == "timeout" and self._gate.was_silent(entry):
            self._tell(f"{answer.message}: at most {self._gate.limit} at once from now on")
        return answer, True

    async def _exchange(self, body: bytes) -> Answer:
        settings, stream, seen = self._settings, ReplyStream(), 0

        def take(chunk: bytes) -> None:
            nonlocal seen
            stream.feed(chunk)
            self.meter.arrive(stream.pieces - seen)
            seen = stream.pieces

        self.meter.begin()
        try:
            async with asyncio.timeout(settings.total_s):
                received = await self._connection.post(CHAT, body, take)
        except Silence:
            return Trouble("timeout", f"no word from the server for {settings.timeout_seconds:g} s", again=True)
        except TimeoutError:
            return Trouble("timeout", f"no whole reply within {settings.total_s:g} s", again=True)
        except Unreachable as error:
            return Trouble("connection", str(error), again=True)
        except TooLong as error:
            return Trouble("server_error", f"no reply is so long: {error}", again=False)
        finally:
            self.meter.arrive(-seen)
            self.meter.end()
        return self._read(received, stream)

    def _read(self, received: Received, stream: ReplyStream) -> Answer:
        redacted = self._settings.redacted
        if 300 <= received.status < 400:
            return Trouble("not_found", redacted(told_redirect(received)), again=False)
        if received.status >= 400:
            return trouble_of(received.status, received.text, received.headers, redacted)
        if received.data.lstrip().startswith(b"<"):
            words = " ".join(redacted(received.text).split())[:200]
            return Trouble("server_error", f"HTTP 200 with a page for people: {words}", again=True)
        stream.close()
        return answer_of(stream, redacted)

    def _learn(self, answer: Answer, framing: Framing) -> bool:
        """Whether the server refused how it was asked, so that another way is to be tried at once."""
        if not isinstance(answer, Trouble) or answer.type not in ("bad_request", "not_found"):
            return False
        return bool(_STREAM_WORDS.search(answer.message)) and self.weaken(framing)

    def _pause(self, state: RetryCallState) -> float:
        answer = _last_answer(state)
        asked = answer.wait_s if isinstance(answer, Trouble) else None
        return self._settings.wait_s(state.attempt_number, asked, self._jitter.random())


def told_redirect(received: Received) -> str:
    """A redirect in words: it is not followed, for the key would go along."""
    target = re.match(r"(?:https?://(?:[^/@]*@)?)?([^/?#\s]+)", received.headers.get("location", ""))
    where = target[1] if target else "another path"
    return f"HTTP {received.status}: the server sends on to {where}, which is not followed; name it with --base-url"


def _is_passing(answer: Answer) -> bool:
    return isinstance(answer, Trouble) and answer.again


def _last_answer(state: RetryCallState) -> Answer:
    if state.outcome is None:
        raise RuntimeError("asked for an outcome before the first attempt")
    return state.outcome.result()
