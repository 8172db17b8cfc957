"""The one place where a node's failure becomes a feature's failure, so that no feature ends a run."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from langgraph.runtime import Runtime
from langgraph.types import Command

from agent.errors import Unwritable
from agent.investigation.state import Context, FeatureState, FeatureUpdate
from agent.llm.errors import LlmFailure
from agent.llm.records import Failure
from agent.transcript import Abandoned, Notes

N = TypeVar("N", bound=Callable[[FeatureState, Runtime[Context]], Awaitable[Any]])
_TRACEBACK_LINES = 12


def guarded(node: N) -> N:
    """The node, going to `record` with a failure when it raises.

    Two are let through: a run folder that cannot be written, which is no feature's fault and stops the run, and a second
    failure, in recording the first: the one bug that nothing here can record.
    """

    @functools.wraps(node)
    async def run(state: FeatureState, runtime: Runtime[Context]) -> Any:
        try:
            return await node(state, runtime)
        except Unwritable:
            raise
        except Exception as error:
            if state.failure is not None:
                raise
            name = getattr(node, "__name__", "node")
            name = runtime.context.judge.name if name == "judge" else name  # under which its other steps stand
            return Command(update=_explain(error, state, name), goto="record")

    return cast("N", run)


def _explain(error: Exception, state: FeatureState, name: str) -> FeatureUpdate:
    notes = error.notes if isinstance(error, Abandoned) else Notes(len(state.steps), name)
    if isinstance(error, Abandoned):
        failure = error.failure
    elif isinstance(error, LlmFailure):
        failure = notes.add_failure(error)
    else:
        failure = Failure(type="bug", message=f"{type(error).__name__} in {name}: {error}", attempts=0)
        lines = "".join(traceback.format_exception(error)).splitlines()[-_TRACEBACK_LINES:]
        notes.add("failure", {**failure.model_dump(mode="json"), "traceback": list(lines)})
    return {"failure": failure, "steps": notes.steps, "usage": notes.usage, "pending": ()}
