"""A transcript as text for people: python -m agent.read runs/RUN FEATURE."""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tools.border.egress import guarded
from tools.display.flags import add_shared
from tools.display.terminal import Parser, door, say

if TYPE_CHECKING:
    from agent.folder.records import TranscriptStep
    from agent.folder.store import RunFolder

WIDTH = 116
_SPARE = 60
_FIRST = 40
SHOWN = 600
"""Most characters of one piece of text, unless --whole is given."""


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="python -m agent.read",
        description="Show how one feature was investigated and judged, step by step: what the model was shown and said, "
        "what was measured, and what was recorded.",
    )
    add_shared(parser, "run")
    parser.add_argument("feature", metavar="FEATURE", help="its key, such as base-000123, or its number")
    parser.add_argument("--whole", action="store_true", help="shorten nothing, prompts included")
    return parser.parse_args(argv)


@door("nothing was changed")
@guarded(__name__)
def main(argv: Sequence[str] | None = None) -> int:
    """Print it; 2 when there is no such run or feature."""
    arguments = parse_arguments(argv)
    from agent.folder.soundness import caveats_of
    from agent.folder.store import RunFolder

    folder = RunFolder.open(arguments.run)
    caveats, steps = caveats_of(folder), find_transcript(folder, arguments.feature)
    say(*(f"warning: {caveat}" for caveat in caveats), *show(steps, None if arguments.whole else SHOWN))
    return 0


def find_transcript(folder: RunFolder, feature: str) -> list[TranscriptStep]:
    """The transcript of a feature by its key, or by its number if only one SAE has it.

    Raises:
        RunError: there is no such feature, or the number fits several.
    """
    from agent.errors import RunError

    known = [decision.feature for decision in folder.decisions()]
    chosen = [ref for ref in known if ref.key == feature]
    if not chosen and feature.isdecimal() and len(feature) < 12:
        chosen = [ref for ref in known if ref.index == int(feature) and ref.kind == "feature"]
    if len(chosen) != 1:
        few = ", ".join(ref.key for ref in (chosen or known)[:6])
        raise RunError(
            f"{folder.path} has {'several features' if chosen else 'no decision on a feature'} {feature}: try {few}"
        )
    return folder.transcript(chosen[0])


def show(steps: Iterable[TranscriptStep], cap: int | None) -> Iterable[str]:
    """Lines of text: a heading a step, then what happened in it.

    Args:
        steps: of one transcript, in order.
        cap: most characters of one piece of text, with what stood there before left out; None for everything.
    """
    seen: set[str] = set()
    for step in steps:
        paid = f" · {step.usage.input_tokens:,} + {step.usage.output_tokens:,} tokens" if step.usage else ""
        yield f"── {step.step} {step.node} · {step.kind}{paid} ".ljust(WIDTH, "─")
        if step.kind == "messages":
            yield from _messages(step.content, cap, seen)
        else:
            yield from _SHOW[step.kind](step.content, cap)
        yield ""


def _messages(content: object, cap: int | None, seen: set[str]) -> Iterable[str]:
    for message in _listed(content):
        role, text = message.get("role"), str(message.get("content") or "")
        if role == "system" and cap is not None:
            yield f"{role}: {len(text):,} characters of instructions, left out here"
            continue
        yield f"{role}:"
        yield from _wrapped(text if cap is None else _new_blocks(text, seen), None if cap is None else 8 * cap)
        yield from _calls(message)


def _new_blocks(text: str, seen: set[str]) -> str:
    """The text with blocks that were shown before replaced by their first words."""
    blocks: list[str] = []
    for block in re.split(r"\n\n+", text):
        first = block.split("\n", 1)[0][:_FIRST]
        blocks.append(f"({first} … as shown above)" if block in seen and len(block) > _FIRST else block)
        seen.add(block)
    return "\n\n".join(blocks)


def _reply(content: object, cap: int | None) -> Iterable[str]:
    reply = _mapped(content)
    if "parsed" in reply:
        yield from _structured(reply["parsed"], cap)
    elif reply.get("text"):
        yield from _wrapped(str(reply["text"]), cap)
    yield from _calls(reply)


def _tool(content: object, cap: int | None) -> Iterable[str]:
    observed = _mapped(content)
    found = _mapped(observed.get("measurement"))
    why = observed.get("hypothesis")
    yield f"{found.get('instrument')} {'chosen by the model' if why is None else f'tests hypothesis {why}'}"
    yield from _structured({"arguments": found.get("arguments"), str(found.get("status")): found.get("result")}, cap)


def _judgement(content: object, cap: int | None) -> Iterable[str]:
    """The reply itself, and the reasons taken from it, stand in the step before."""
    judgement = _mapped(content)
    if cap is not None:
        panel = {name: value for name, value in _mapped(judgement.get("panel")).items() if name != "reasons"}
        judgement = {
            name: value for name, value in judgement.items() if name not in ("reply", "pairs", "panel")
        } | panel
    yield from _structured(judgement, cap)


def _any(content: object, cap: int | None) -> Iterable[str]:
    fields = _mapped(content)
    yield from _structured({k: v for k, v in fields.items() if cap is None or v is not None}, cap)


_SHOW = {
    "reply": _reply,
    "tool": _tool,
    "judgement": _judgement,
    "rule": _any,
    "failure": _any,
    "decision": _any,
}


def _calls(message: dict[str, object]) -> Iterable[str]:
    for call in _listed(message.get("tool_calls") or []):
        function = _mapped(call.get("function") or call)
        yield f"calls {function.get('name')} {function.get('arguments')}"


def _structured(value: object, cap: int | None, indent: int = 0) -> Iterable[str]:
    """Nested data as indented lines; what is short enough, and every record in a list of records, on one line."""
    pad = "  " * indent
    entries = value.items() if isinstance(value, dict) else [("-", item) for item in _listed(value)]
    for key, item in entries:
        flat = item if isinstance(item, str) else _flat(item)
        if isinstance(item, dict | list) and item and len(flat) > WIDTH + _SPARE * (key == "-") - len(pad):
            yield f"{pad}{key}:" if key != "-" else f"{pad}-"
            yield from _structured(item, cap, indent + 1)
        else:
            name = key if key == "-" else f"{key}:"
            text = f"{name} {_clipped(flat, cap)}"
            yield from textwrap.wrap(text, WIDTH, initial_indent=pad, subsequent_indent=pad + "  ") or [text]


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_flat(item)}" for key, item in value.items())
    if isinstance(value, list):
        return f"[{', '.join(map(_flat, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _wrapped(text: str, cap: int | None) -> Iterable[str]:
    for line in _clipped(text, cap).split("\n"):
        yield from textwrap.wrap(line, WIDTH, initial_indent="  ", subsequent_indent="    ") or [""]


def _clipped(text: str, cap: int | None) -> str:
    return text if cap is None or len(text) <= cap else f"{text[:cap]} [… {len(text) - cap} more]"


def _mapped(value: object) -> dict[str, object]:
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}


def _listed(value: object) -> list[dict[str, object]]:
    return list(value) if isinstance(value, list) else []


if __name__ == "__main__":
    sys.exit(main())
