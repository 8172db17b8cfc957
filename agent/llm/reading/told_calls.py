"""Tool calls that came as text: from servers that take tools but do not know how their model writes a call."""

from __future__ import annotations

import re
from collections.abc import Collection

from pydantic import JsonValue

from agent.llm.reading.markup import THOUGHT_ENDS
from agent.llm.reading.spellings import read_object

_MARKS = re.compile(r"<tool_call>|\[TOOL_CALLS\]|<\|python_tag\|>|<function=|to=functions\.|\A\s*+(?:\[\s*+)?\{")
_NAMED = re.compile(
    r"(?:<function=(?P<tag>[\w.-]+)>|\[TOOL_CALLS\]\s*(?P<list>[\w.-]+)\s*(?:\[ARGS\])?"
    r"|to=functions\.(?P<channel>[\w.-]+)[^{}]*<\|message\|>)\s*\Z"
)


_LONGEST_MARK = 200


def told_calls(text: str, offered: Collection[str]) -> list[JsonValue]:
    """The calls in a text, in the form a server would have sent them.

    Known are the ways of Hermes and Qwen, Mistral, Llama, gpt-oss, and an object alone. A call of a tool that was not
    offered is none: it may be anything.
    """
    thoughts = [*THOUGHT_ENDS.finditer(text)]
    text = text[thoughts[-1].end() :] if thoughts else text
    if not _MARKS.search(text):
        return []
    calls: list[JsonValue] = []
    start = text.find("{")
    while start != -1:
        try:
            value, end = read_object(text, start)
        except ValueError:
            return []
        named = _NAMED.search(text[max(0, start - _LONGEST_MARK) : start])
        name = next(filter(None, named.groups()), "") if named else value.get("name")
        arguments = value if named else value.get("arguments", value.get("parameters"))
        if isinstance(name, str) and name in offered and isinstance(arguments, (dict, str)):
            calls.append({"function": {"name": name, "arguments": arguments}})
        start = text.find("{", end)
    return calls
