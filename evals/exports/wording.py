"""Evidence as plain text for a reader in another tool: whole, one line a statement, nothing cut or left out.

What was not measured has no line. Tokens are quoted as JSON, so that spaces and odd characters show. An empty line stands
before each list and after it: viewers take the text for Markdown, and would run two lists into one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from tools.proof.floors import NOTHING_DEAD, Dead, keep_alive, say_dead
from tools.records import (
    ActivationEvidence,
    CausalEvidence,
    CoherenceEvidence,
    Context,
    Evidence,
    KeywordEvidence,
    SteeringEvidence,
    TokenWeight,
)

MARKED_SHARE = 0.25
"""Tokens with at least this share of their context's largest activation are marked."""
_LINE = "⏎"
"""Stands for a line break inside a text."""


def word_evidence(evidence: Evidence, dead: Dead = NOTHING_DEAD) -> str:
    """The evidence on one feature; of an instrument that measured nothing, that and why."""
    evidence = keep_alive(evidence, dead)
    kind = "random direction" if evidence.feature.kind == "random_direction" else "feature"
    return "\n".join(
        [
            f"{kind} {evidence.feature.key} of study {evidence.feature.study}, drawn from: {evidence.stratum}",
            *(_projection(evidence.projection.top, evidence.projection.bottom) if evidence.projection else ()),
            *(_keywords(evidence.keywords) if evidence.keywords else ()),
            *(_coherence(evidence.coherence) if evidence.coherence else ()),
            *(_activations(evidence.activations) if evidence.activations else ()),
            *(_steering(evidence.steering) if evidence.steering else ()),
            *(_causal(evidence.causal) if evidence.causal else ()),
            *(say_dead(instrument, why) for instrument, why in dead.items()),
        ]
    )


def _projection(top: Sequence[TokenWeight], bottom: Sequence[TokenWeight]) -> Iterator[str]:
    for name, tokens in (("top", top), ("bottom", bottom)):
        if tokens:
            yield f"{name} tokens: {', '.join(map(_token, tokens))}"


def _token(token: TokenWeight) -> str:
    quoted = json.dumps(token.token, ensure_ascii=False)
    return quoted if token.weight is None else f"{quoted} {token.weight:.3g}"


def _keywords(found: KeywordEvidence) -> Iterator[str]:
    words = ", ".join(hit.word for hit in found.hits) or "none"
    yield (
        f"words of the domain among the {found.n_top} top tokens: {len(found.hits)} ({words}); "
        f"{found.null_share:.1%} of random directions have as many"
    )


def _coherence(found: CoherenceEvidence) -> Iterator[str]:
    if found.deduplicated is None:
        yield f"coherence of the top tokens: none, {found.n_valid} of them have a word vector"
        return
    null = "" if found.null_share is None else f"; {found.null_share:.1%} of random directions reach it"
    yield (
        f"coherence of the top tokens: {found.deduplicated:.2f} over different words "
        f"({found.coverage:.0%} have a word vector){null}"
    )


def _activations(found: ActivationEvidence) -> Iterator[str]:
    facts = {
        "active at": None if found.density is None else f"{found.density:.3%} of tokens",
        "largest activation": None if found.max_activation is None else f"{found.max_activation:.3g}",
        "words of the domain near active tokens, over elsewhere": None
        if found.domain_lift is None
        else f"{found.domain_lift:.2f}",
    }
    known = "; ".join(f"{name} {value}" for name, value in facts.items() if value is not None)
    if known:
        yield known
    if found.position is not None:
        yield found.position.sentence
    for name, contexts in (
        ("contexts with the largest activations", found.top),
        ("contexts by falling activation", found.quantiles),
        ("contexts in which it is silent", found.near_misses),
    ):
        if contexts:
            yield from ("", f"{name}:")
            yield from (f"  {number}. {_context(context)}" for number, context in enumerate(contexts, 1))
    yield ""


def _context(context: Context) -> str:
    if not context.activations or max(context.activations) <= 0:
        return _one_line("".join(context.tokens))
    least = MARKED_SHARE * max(context.activations)
    pairs = zip(context.tokens, context.activations, strict=False)
    return _one_line("".join(_mark(token, value) if value >= least else token for token, value in pairs))


def _mark(token: str, value: float) -> str:
    word = token.lstrip(" ")
    return f"{token[: len(token) - len(word)]}«{word} {value:.3g}»"


def _steering(found: SteeringEvidence) -> Iterator[str]:
    yield (
        f"steering ({found.kind} at {found.policy} positions, {found.strength:.3g} residual norms, KL {found.kl:.3g} nats): "
        f"{found.win_rate:.0%} of {found.n} texts won; {found.null_win_rate:.0%} under other features' words"
    )
    for number, pair in enumerate(found.pairs, 1):
        yield f"  {number}. after: {_one_line(pair.prompt)}"
        written = {
            "unsteered": pair.unsteered,
            "steered": pair.steered + (" [collapsed]" if pair.collapsed else ""),
            "along a random direction": pair.random,
            "with the sign turned": pair.flipped,
        }
        yield from (f"     {name}: {_one_line(text)}" for name, text in written.items() if text is not None)
    yield ""


def _causal(found: CausalEvidence) -> Iterator[str]:
    survival = "" if found.survival is None else f"; survival {found.survival:.2f}"
    verdict = "" if found.verdict is None else f"; the top tokens' list: {found.verdict}"
    yield (
        f"ablation at {found.n_contexts} active tokens: the top tokens' logits change by {found.ablation_effect:.3g} "
        f"against all tokens{survival}{verdict}"
    )


def _one_line(text: str) -> str:
    return text.replace("\n", _LINE)
