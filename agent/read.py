"""A transcript as text for people: python -m agent.read runs/RUN FEATURE."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from agent.errors import RunError
from agent.records import TranscriptStep
from agent.store import RunFolder, read_lines
from tools.errors import UnveilError

WIDTH = 116
SHOWN = 600
"""Most characters of one piece of text, unless --whole is given."""


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m agent.read",
        description="Show how one feature was investigated and judged, step by step: what the model was shown and said, "
        "what was measured, and what was recorded.",
    )
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("feature", help="its key, such as base-000123, or its number")
    parser.add_argument("--whole", action="store_true", help="shorten nothing, prompts included")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Print it; 2 when there is no such run or feature."""
    arguments = parse_arguments(argv)
    try:
        lines = list(show(find_transcript(arguments.run, arguments.feature), None if arguments.whole else SHOWN))
    except UnveilError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def find_transcript(run: Path, feature: str) -> list[TranscriptStep]:
    """The transcript of a feature by its key, or by its number if only one SAE has it.

    Raises:
        RunError: there is no such run or feature, or the number fits several.
    """
    known = [decision.feature for decision in RunFolder.open(run).decisions()]
    chosen = [ref for ref in known if ref.key == feature]
    if not chosen and feature.isdigit():
        chosen = [ref for ref in known if ref.index == int(feature) and ref.kind == "feature"]
    if len(chosen) != 1:
        few = ", ".join(ref.key for ref in (chosen or known)[:6])
        raise RunError(f"{run} has {'several features' if chosen else 'no decision on a feature'} {feature}: try {few}")
    return list(read_lines(run / "transcripts" / f"{chosen[0].key}.jsonl", TranscriptStep))


def show(steps: Iterable[TranscriptStep], cap: int | None) -> Iterable[str]:
    """Lines of text: a heading a step, then what happened in it.

    Args:
        steps: of one transcript, in order.
        cap: most characters of one piece of text; None for all.
    """
    for step in steps:
        paid = f" · {step.usage.input_tokens:,} + {step.usage.output_tokens:,} tokens" if step.usage else ""
        yield f"── {step.step} {step.node} · {step.kind}{paid} ".ljust(WIDTH, "─")
        yield from _SHOW[step.kind](step.content, cap)
        yield ""


def _messages(content: object, cap: int | None) -> Iterable[str]:
    for message in _listed(content):
        role, text = message.get("role"), str(message.get("content") or "")
        if role == "system" and cap is not None:
            yield f"{role}: {len(text):,} characters of instructions, left out here"
            continue
        yield f"{role}:"
        yield from _wrapped(text, None if cap is None else 4 * cap)
        yield from _calls(message)


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


def _any(content: object, cap: int | None) -> Iterable[str]:
    yield from _structured(content, cap)


_SHOW = {
    "messages": _messages,
    "reply": _reply,
    "tool": _tool,
    "judgement": _any,
    "rule": _any,
    "failure": _any,
    "decision": _any,
}


def _calls(message: dict[str, object]) -> Iterable[str]:
    for call in _listed(message.get("tool_calls") or []):
        function = _mapped(call.get("function") or call)
        yield f"calls {function.get('name')} {function.get('arguments')}"


def _structured(value: object, cap: int | None, indent: int = 0) -> Iterable[str]:
    """Nested data as indented lines; short lists and objects on one line."""
    pad = "  " * indent
    entries = value.items() if isinstance(value, dict) else [("-", item) for item in _listed(value)]
    for key, item in entries:
        flat = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
        if isinstance(item, dict | list) and item and len(flat) > WIDTH - len(pad) - len(str(key)) - 2:
            yield f"{pad}{key}:"
            yield from _structured(item, cap, indent + 1)
        else:
            name = key if key == "-" else f"{key}:"
            yield from textwrap.wrap(
                f"{name} {_clipped(flat, cap)}", WIDTH, initial_indent=pad, subsequent_indent=pad + "  "
            )


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
