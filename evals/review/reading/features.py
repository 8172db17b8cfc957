"""One feature's evidence arranged for the eye: what was counted, what was left out, how warm each token is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tools.records import Context, Evidence, KeywordEvidence, Projection, SteeredPair, SteeringEvidence, TokenWeight

WARMEST = 9
"""Of the classes `heat-0` to `heat-9`."""


class Chip(NamedTuple):
    """A top token, and what the keyword filter and the coherence score made of it."""

    token: TokenWeight
    matched: str | None
    """The vocabulary word it is, or begins."""
    joined: bool
    """It is only the beginning of that word."""
    left_out: str | None
    """Why the corrected coherence does not count it, as far as the record says."""


class Warm(NamedTuple):
    """A token in a context."""

    token: str
    level: int
    """0 for silent, 9 for the strongest the context knows of."""
    activation: float | None


class Pile(NamedTuple):
    """Contexts of one kind."""

    title: str
    note: str
    contexts: Sequence[Context]


class Continuation(NamedTuple):
    """One of a pair's texts, and how it did against the unsteered one."""

    name: str
    text: str
    score: float | None
    wins: bool | None
    """None for the unsteered text, which nothing can win against itself."""


def mark_tokens(projection: Projection, keywords: KeywordEvidence | None) -> list[Chip]:
    """The top tokens, heaviest first."""
    hits = {hit.token: hit for hit in keywords.hits} if keywords else {}
    chips, seen = list[Chip](), set[str]()
    for token in projection.top:
        hit = hits.get(token.token)
        left_out = "no word" if token.word is None else "the same word again" if token.word in seen else None
        chips.append(Chip(token, hit.word if hit else None, bool(hit and hit.joined), left_out))
        seen.add(token.word or "")
    return chips


def warm_tokens(context: Context) -> list[Warm]:
    """Tokens with the class of their activation; all silent where activations are not known."""
    if context.activations is None:
        return [Warm(token, 0, None) for token in context.tokens]
    top = max([context.max_activation or 0.0, *context.activations, 1e-9])
    return [
        Warm(token, warmth(value / top), value)
        for token, value in zip(context.tokens, context.activations, strict=False)
    ]


def warmth(share: float) -> int:
    """0 for nothing, else 1 to 9."""
    return 0 if share <= 0 else min(WARMEST, 1 + int(share * WARMEST))


def pile_contexts(evidence: Evidence) -> list[Pile]:
    """Contexts by kind, the strongest first; kinds without any are left out."""
    found = evidence.activations
    if found is None:
        return []
    strata = sorted({context.quantile for context in found.quantiles if context.quantile is not None})
    piles = [
        Pile("Most active", "", found.top),
        *(
            Pile(
                f"Stratum {number} of its activations",
                "the strongest of the strata that were sampled" if number == strata[0] else "",
                [context for context in found.quantiles if context.quantile == number],
            )
            for number in strata
        ),
        Pile("Other examples", "", [context for context in found.quantiles if context.quantile is None]),
        Pile(
            "Near misses",
            "silent here, although a word it is most active at is there, or the feature most like it is active",
            found.near_misses,
        ),
    ]
    return [pile for pile in piles if pile.contexts]


def line_up(pair: SteeredPair) -> list[Continuation]:
    """The continuations of one prompt and seed: four, or two where it was written without controls."""
    controls = (
        ("random direction", pair.random, pair.score_random),
        ("sign flipped", pair.flipped, pair.score_flipped),
    )
    return [
        Continuation("unsteered", pair.unsteered, pair.score_unsteered, None),
        Continuation("steered", pair.steered, pair.score_steered, pair.win),
        *(Continuation(name, text, score, _beats(score, pair)) for name, text, score in controls if text is not None),
    ]


def count_wins(steering: SteeringEvidence) -> dict[str, int]:
    """Pairs won against the unsteered text, of those with controls: by the steered one and by each control."""
    counts: dict[str, int] = {}
    for pair in (pair for pair in steering.pairs if pair.random is not None):
        for text in line_up(pair):
            if text.wins is not None:
                counts[text.name] = counts.get(text.name, 0) + text.wins
    return counts


def _beats(score: float | None, pair: SteeredPair) -> bool:
    return score is not None and pair.score_unsteered is not None and score > pair.score_unsteered
