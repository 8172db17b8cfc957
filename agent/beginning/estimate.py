"""What a run by LLM may cost, said before anything is spent: a lower and an upper bound, no guess between them.

The lower bound is one call for hypotheses and one for each judgement, with the prompts as they would be sent where the
evidence exists already, and with empty evidence where it does not. The upper bound is what the run's limits allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from agent.briefing.generations import briefing_of
from agent.folder.config import RunConfig
from agent.investigation.experiments import word_proposal
from agent.investigation.limits import MOST_STEP_TOKENS, estimate_tokens
from agent.judges.judge import Case
from agent.judges.roster import appoint
from agent.llm.prices import SHIPPED, PriceTable
from agent.llm.requests import Message
from agent.llm.settings import LlmChoice
from tools.records import Evidence, FeatureRef
from tools.study.definition import Question

LEAST_OUTPUT = 100
"""Tokens: a short verdict with one reason."""


class Bounds(NamedTuple):
    """Of all features together."""

    calls: int
    input_tokens: int
    output_tokens: int


class Estimate(NamedTuple):
    """What a run consumes: more than `least` and about `most` at the most."""

    n_features: int
    least: Bounds
    most: Bounds

    def lines(self, choice: LlmChoice, budget_usd: float | None) -> list[str]:
        """For the terminal, with the cost if the models' prices are known."""
        low, high = self.least, self.most
        said = (
            f"estimate: {self.n_features:,} features at the most, {low.calls:,} to {high.calls:,} calls, "
            f"{low.input_tokens:,} to {high.input_tokens:,} input and {low.output_tokens:,} to {high.output_tokens:,} "
            "output tokens"
        )
        table = PriceTable.read(SHIPPED if choice.prices is None else Path(choice.prices))
        models = {choice.model, choice.judge_model}
        unknown = sorted(model for model in models if table.price(model) is None)
        if unknown:
            return [said, f"  the price of {', '.join(unknown)} is not known: give --prices FILE to see the cost"]
        cheapest, dearest = (
            pick(table.usage(model, bounds.input_tokens, bounds.output_tokens).usd for model in models)
            for pick, bounds in ((min, low), (max, high))
        )
        budget = "" if budget_usd is None else f"; --budget-usd stops it at {budget_usd:.2f}"
        return [said, f"  {cheapest:.2f} to {dearest:.2f} USD{budget}"]


def estimate_run(
    config: RunConfig,
    question: Question,
    n_features: int,
    evidence: Sequence[Evidence] = (),
    judged_again: bool = False,
) -> Estimate:
    """Bounds on a run.

    Args:
        config: the run's.
        question: with its guideline.
        n_features: most that will be investigated.
        evidence: of those features, if it exists.
        judged_again: whether the hypotheses are another run's.
    """
    judge, briefing = appoint(config, question), briefing_of(config.generation)
    proposes = judge.needs_hypotheses and not judged_again and (briefing.untested or config.evidence is None)
    sent: list[list[Sequence[Message]]] = []
    for record in evidence or [_nothing(question)]:
        first = [word_proposal(briefing, question.domain, record)] if proposes and question.domain else []
        sent.append([*first, *judge.requests(Case(record))])
    least_calls = len(sent[0])
    tokens = fmean(sum(map(estimate_tokens, conversations)) for conversations in sent)
    # Every reply may be asked for once more, when it does not fit; with instruments, the limits end it before that.
    measures = judge.needs_hypotheses and config.evidence is None and not judged_again
    most_calls = max(config.limits.calls_per_feature, 2 * least_calls) if measures else 2 * least_calls
    most_output = config.llm.max_output_tokens if config.llm else 0
    most_input = min(most_calls * MOST_STEP_TOKENS, config.limits.tokens_per_feature)
    return Estimate(
        n_features,
        Bounds(n_features * least_calls, round(n_features * tokens), n_features * least_calls * LEAST_OUTPUT),
        Bounds(n_features * most_calls, n_features * most_input, n_features * most_calls * most_output),
    )


def _nothing(question: Question) -> Evidence:
    return Evidence(feature=FeatureRef(study=question.name, sae="none", index=0), stratum="imported")
