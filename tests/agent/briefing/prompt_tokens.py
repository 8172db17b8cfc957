"""What requests of either generation consist of, in tokens: the table of docs/judging.md.

python -m tests.agent.briefing.prompt_tokens studies/smollm2/model/SmolLM2-135M-Instruct.Q4_1.gguf
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from agent.briefing.generations import GENERATIONS, Briefing
from agent.folder.store import RunFolder
from agent.investigation.experiments import word_proposal
from agent.judges.blind import BlindJudge
from agent.judges.judge import Case, Model
from agent.judges.two_sided import TwoSided
from tools.records import Evidence
from tools.study.definition import Question
from tools.study.reading import load_question

STORED = Path(__file__).parents[1] / "stored" / "rules"
Count = Callable[[str], int]


class Part(NamedTuple):
    """One part of a request, mean over features."""

    request: str
    part: str
    tokens: float
    shared: bool
    """The same for every feature, and before anything that is not."""


def weigh(generation: int, count: Count) -> list[Part]:
    """The requests that open a feature's investigation and judgement, in parts, over the evidence of a stored run."""
    briefing, question = (
        GENERATIONS[generation],
        load_question("pocket").model_copy(update={"guideline_version": generation}),
    )
    evidence = RunFolder(STORED).evidence() or []
    return [*_weigh_proposal(briefing, question, evidence, count), *_weigh_case(briefing, question, evidence, count)]


def _weigh_proposal(briefing: Briefing, question: Question, evidence: list[Evidence], count: Count) -> Iterator[Part]:
    assert question.domain
    whole = [word_proposal(briefing, question.domain, record) for record in evidence]
    shown = fmean(count(briefing.investigator(record, {})) for record in evidence)
    yield Part("hypothesize", "instructions", fmean(count(_text(m, 0)) for m in whole), True)
    yield Part("hypothesize", "evidence", shown, False)
    yield Part("hypothesize", "task", fmean(count(_text(m, 1)) for m in whole) - shown, False)


def _weigh_case(briefing: Briefing, question: Question, evidence: list[Evidence], count: Count) -> Iterator[Part]:
    assert question.domain
    kind = BlindJudge if briefing.generation == 1 else TwoSided
    judge = kind(Model("m"), briefing, question.domain, question.read_guideline())
    whole = [judge.requests(Case(record))[0] for record in evidence]
    guideline, shown = count(judge.guideline), fmean(count(briefing.judge(record, {})) for record in evidence)
    in_system = judge.guideline.strip() in _text(whole[0], 0)
    system, user = (fmean(count(_text(m, place)) for m in whole) for place in (0, 1))
    yield Part("judge", "instructions", system - guideline * in_system, True)
    yield Part("judge", "guideline", guideline, in_system)
    yield Part("judge", "evidence", shown, False)
    yield Part("judge", "pairs and the rest", user - shown - guideline * (not in_system), False)


def _text(messages: list[dict[str, Any]], place: int) -> str:
    return str(messages[place]["content"])


def tabulate(count: Count) -> list[str]:
    """Both generations side by side, as Markdown."""
    first, second = weigh(1, count), weigh(2, count)
    lines = ["| request | part | first | second | the same for every feature |", "|---|---|---|---|---|"]
    for old, new in zip(first, second, strict=True):
        lines.append(
            f"| {old.request} | {old.part} | {old.tokens:.0f} | {new.tokens:.0f} | {'yes' if new.shared else ''} |"
        )
    for request in dict.fromkeys(part.request for part in first):
        sums = [sum(p.tokens for p in parts if p.request == request) for parts in (first, second)]
        shared = [sum(p.tokens for p in parts if p.request == request and p.shared) for parts in (first, second)]
        lines.append(
            f"| {request} | **all** | {sums[0]:.0f} | {sums[1]:.0f} | {shared[1]:.0f} (first: {shared[0]:.0f}) |"
        )
    return lines


def main() -> int:
    """Print the table, counted by the tokenizer of a GGUF file."""
    from transformers import AutoTokenizer

    file = Path(sys.argv[1])
    tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
    sys.stdout.write(
        "\n".join(tabulate(lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"]))) + "\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
