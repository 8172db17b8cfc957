"""Why two runs must not be compared: each way in which the published study's comparison went wrong is looked for.

Its fine-tuned weights were never loaded; its base arm was steered against the fine-tuned arm's reference lists; its SAE of
layer 0 stood for layer 8. What can be seen of such mistakes in a run folder is seen here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from evals.arms.results import ArmSummary
from evals.arms.runs import Arm
from evals.arms.settings import Origin
from tools.bench.hooks import hook_of, same_place
from tools.errors import UnveilError
from tools.records import Evidence

LONGEST = 60
"""Characters of a setting that a message shows."""
CLOSE = 1e-5
"""Relative difference of two perplexities of the same model: what rounding in other batches leaves."""


class ComparisonError(UnveilError):
    """Runs cannot be compared with each other, or not as asked."""


class Faults(NamedTuple):
    """What stands against a comparison, and what could not be looked at."""

    found: list[str]
    unchecked: list[str]


def refuse(faults: Iterable[str], reason: str | None) -> None:
    """Stop where there is a fault and no reason was given to go on.

    Raises:
        ComparisonError: in one line, with every fault.
    """
    listed = list(faults)
    if listed and reason is None:
        raise ComparisonError(
            f"these runs cannot be compared: {'; '.join(listed)}. Mend that, or say why it is meant: "
            "--allow-different REASON"
        )


def find_faults(base: Arm, finetuned: Arm, summaries: tuple[ArmSummary, ArmSummary]) -> Faults:
    """Every fault that the two run folders show."""
    differing = compare_settings(*summaries)
    found = [
        *differing.found,
        *_same_weights(base, finetuned, *summaries),
        *check_lists(base, finetuned),
        *check_lists(finetuned, base),
        *check_judged(base, finetuned),
        *check_judged(finetuned, base),
    ]
    return Faults(found, differing.unchecked)


def compare_settings(left: ArmSummary, right: ArmSummary) -> Faults:
    """What must be equal and is not, and what one of the two does not show."""
    found: list[str] = []
    unchecked: list[str] = []
    for name in dict.fromkeys((*left.settings, *right.settings)):
        one, other = left.settings.get(name), right.settings.get(name)
        if one is None or other is None:
            unchecked.append(name)
        elif one != other:
            found.append(f"{name} differs ({left.arm}: {_short(one)}, {right.arm}: {_short(other)})")
    return Faults(found, unchecked)


def check_hook(arm: Arm, origin: Origin) -> list[str]:
    """The SAE of one layer under the name of another: what its own file says, against what the arm says."""
    trained_at = hook_of(origin.cfg or {})
    chosen = origin.study.arms.get(arm.manifest.config.sae) if origin.study else None
    insisted = chosen is not None and chosen.hook_overrides
    if insisted or not (trained_at and origin.hook_name) or same_place(trained_at, origin.hook_name):
        return []
    return [f"arm {arm.name} reads {origin.hook_name}, but its SAE was trained at {trained_at}"]


def _same_weights(base: Arm, finetuned: Arm, left: ArmSummary, right: ArmSummary) -> list[str]:
    """Equal hashes; or models that behave as one, whatever their files say, because the weights of one were not loaded."""
    found: list[str] = []
    if left.model_sha256 == right.model_sha256:
        found.append("both arms ran the same model weights")
    elif same_yardstick(base.evidence, finetuned.evidence):
        found.append(
            "both arms' unsteered texts are equally perplexing to the last digit: one model wrote both, whatever its "
            "files say, so the weights of one arm were not loaded"
        )
    if left.sae_sha256 == right.sae_sha256:
        found.append("both arms ran the same SAE weights")
    elif _surveys(base) == _surveys(finetuned):
        found.append("both surveys list the same tokens for every feature: one arm's SAE or model was not loaded")
    return found


def same_yardstick(left: Iterable[Evidence], right: Iterable[Evidence]) -> bool:
    """Whether the perplexity that unsteered texts seldom exceed is the same in both runs.

    It is measured on texts that the model writes from the same prompts and seeds in every arm, whatever its SAE, so that two
    models agree in it only if they are one.
    """
    ours, theirs = _perplexity_bounds(left), _perplexity_bounds(right)
    return any(math.isclose(one, other, rel_tol=CLOSE) for one in ours for other in theirs)


def check_lists(arm: Arm, other: Arm) -> list[str]:
    """Features investigated by tokens that their own survey does not list for them."""
    own, foreign = _surveys(arm), _surveys(other)
    listed = {
        record.feature.index: tuple(entry.token for entry in record.projection.top)
        for record in arm.evidence
        if record.feature.kind == "feature" and record.projection
    }
    wrong = [index for index, tokens in listed.items() if index >= len(own) or own[index] != tokens]
    if not wrong:
        return []
    theirs = sum(index < len(foreign) and foreign[index] == listed[index] for index in wrong)
    whose = f"; {theirs} of these lists are arm {other.name}'s" if theirs else ""
    return [
        f"arm {arm.name}: {len(wrong)} of {len(listed)} investigated features have reference tokens that are not those "
        f"of its survey{whose}"
    ]


def check_judged(arm: Arm, other: Arm) -> list[str]:
    """Decisions about another arm's features, or about evidence that is not in the run."""
    foreign = sum(
        record.feature.sae != arm.manifest.config.sae for part in (arm.evidence, arm.decisions) for record in part
    )
    if foreign:
        return [f"arm {arm.name}: {foreign} records are about features of another SAE"]
    wrong = [d for d in arm.decisions if arm.evidence_sha256.get(d.feature.key) != d.evidence_sha256]
    if not wrong:
        return []
    theirs = set(other.evidence_sha256.values())
    n = sum(decision.evidence_sha256 in theirs for decision in wrong)
    whose = f"; {n} of them judge arm {other.name}'s evidence" if n else ""
    return [f"arm {arm.name}: {len(wrong)} decisions do not judge the evidence stored beside them{whose}"]


def _surveys(arm: Arm) -> list[tuple[str, ...]]:
    return [tuple(tokens) for tokens in arm.survey["top_tokens"]]


def _perplexity_bounds(evidence: Iterable[Evidence]) -> set[float]:
    bounds = {record.steering.perplexity_bound for record in evidence if record.steering}
    return {bound for bound in bounds if bound is not None}


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}…{text[-LONGEST // 3 :]}"
