"""What stands once people have settled what was disputed: one answer a question, the settled one or what most gave blind.

Who settles a question knows the machine's answer, so that agreement with what stands is no blind agreement: it has rows of
its own, and nothing else of an examination is changed by it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from evals.agreement.pairing import Case, Matching, find_fitting
from evals.agreement.results import Row
from evals.agreement.rows import compare_side
from evals.manual.records import Label, Value

AS_SETTLED = ", as settled"
"""Behind the name of the row whose blind answers it takes the place of."""
STANDS = "as settled"
"""In the place of an annotator's name."""


class Standing(NamedTuple):
    """One matching, with what stands in the place of everybody's answers."""

    matching: Matching
    settled: int
    """Answers that somebody settled."""


def stand(matching: Matching, outcomes: Sequence[Label]) -> Standing:
    """Put what stands in the place of what was answered; a question without a majority that nobody settled has no answer.

    Args:
        matching: of people's blind answers.
        outcomes: answers that settle a question, one a question.
    """
    by_item: defaultdict[str, list[Label]] = defaultdict(list)
    for label in outcomes:
        by_item[label.item.key].append(label)
    cases, settled = list[Case](), 0
    for case, most in zip(matching.cases, matching.reference, strict=True):
        fitting = [label for label in find_fitting(case.feature, by_item) if label.question == case.question]
        answers: dict[str, Value] = {}
        if fitting:
            answers[STANDS] = fitting[-1].value
        elif most >= 0:
            answers[STANDS] = int(most) if matching.ordinal else matching.categories[most]
        settled += bool(fitting)
        cases.append(case.model_copy(update={"answers": answers}))
    found = Matching(question=matching.question, cases=tuple(cases), annotators=(STANDS,), unmatched=0, machine=0)
    return Standing(found, settled)


def compare_settled(matching: Matching, name: str, outcomes: Sequence[Label], seed: int = 0) -> tuple[Row, ...]:
    """The judge beside what stands, under the name of the row on the blind answers; no row where nothing was settled."""
    found = stand(matching, outcomes)
    return (compare_side(found.matching, name + AS_SETTLED, seed),) if found.settled else ()


def say_settled(matchings: Iterable[Matching], outcomes: Sequence[Label]) -> tuple[str, ...]:
    """How many answers were settled, and where they count; nothing where none was."""
    counts = {matching.question: stand(matching, outcomes).settled for matching in matchings}
    listed = ", ".join(f"{n} to {question}" for question, n in counts.items() if n)
    if not listed:
        return ()
    return (
        f"people who knew the machine's answer settled what stands ({listed}): that counts in the rows 'as settled' alone, "
        "beside what most people answered blind where nothing was settled",
    )
