"""A stand-in model that answers detection and fuzzing prompts, in front of `openai_stub`.

    python -m tests.servers.score_stub --port 8001
    python -m evals.score RUN --llm-model words-stub --base-url http://127.0.0.1:8001/v1

It reads label and texts out of the prompt as a model would see them, and says yes where a word of the label stands in the
text or under its marks. That shows the procedure, not how well a model does it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import sys
from collections.abc import Callable

from tests.servers.openai_stub import JsonDict, Policy, Scripted, StubServer

Say = Callable[[str, str], bool]
"""Label and text, with its marks -> whether the feature is active."""


def read_prompt(body: JsonDict) -> tuple[str, list[str]]:
    """The label and the texts of a prompt."""
    user = next(message["content"] for message in body["messages"] if message["role"] == "user")
    (label,) = re.findall(r"<<<label\n\| (.*)\nlabel>>>", user)
    (fenced,) = re.findall(r"<<<texts\n(.*)\ntexts>>>", user, flags=re.DOTALL)
    lines = [re.fullmatch(r"\| text (\d+): (.*)", line) for line in fenced.split("\n")]
    assert all(line is not None and int(line[1]) == number for number, line in enumerate(lines, 1)), fenced
    return label, [line[2] for line in lines if line is not None]


def answering(say: Say, confidence: float = 0.9) -> Policy:
    """The obedient reply of a model that thinks what `say` says."""

    def policy(body: JsonDict, attempt: int) -> Scripted:
        label, texts = read_prompt(body)
        reply = {
            f"text_{number}": {"active": say(label, text), "confidence": confidence}
            for number, text in enumerate(texts, 1)
        }
        return Scripted(content=json.dumps(reply))

    return policy


def shares_a_word(label: str, text: str) -> bool:
    """Whether a word of four letters or more of the label stands in the text, or under its marks if it has any."""
    seen = " ".join(re.findall(r"<<(.*?)>>", text)) or text
    return bool(_words(label) & _words(seen))


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"[a-z]+", text.lower()) if len(word) > 3}


def main() -> None:
    """Serve by hand until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers.score_stub", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    stub = StubServer(answering(shares_a_word), keep=False)
    port = parser.parse_args().port

    async def run() -> None:
        server = await stub.start(port)
        sys.stdout.write(f"{stub.base_url} answers; stop it with Ctrl-C\n")
        sys.stdout.flush()
        await server.serve_forever()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())


if __name__ == "__main__":
    main()
