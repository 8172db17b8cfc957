"""What is shown of a feature's output side: what its weights claim and what adding it does, each number beside its null."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.briefing.second.marks import quote
from prompts.fence import clip, escape
from tools.records import (
    CausalEvidence,
    CoherenceEvidence,
    Evidence,
    KeywordEvidence,
    MovedToken,
    Projection,
    PromotionEvidence,
    Rise,
    SteeredPair,
    SteeredWords,
    SteeringEvidence,
)
from tools.survey.keywords import words_of

TEXT = 120
"""Most characters of one continuation."""
LISTED, LISTED_LOW = 20, 5
MOVED, MOVED_LOW = 5, 1
RISING = 5
PAIRS = 1
"""Of continuations that the investigator is shown: statistics over all of them say more."""


def show_weights(evidence: Evidence) -> Iterable[str]:
    """What the weights claim, and how much of that random directions claim as well."""
    if evidence.projection:
        yield from _projection(evidence, evidence.projection)
    if evidence.keywords:
        yield _keywords(evidence.keywords)
    if evidence.coherence:
        yield from _coherence(evidence.coherence)


def show_effects(evidence: Evidence) -> Iterable[str]:
    """What adding the direction does to the next token, and what is missing without it."""
    if evidence.promotion:
        yield from _promotion(evidence.promotion)
    if evidence.causal:
        yield from _survival(evidence.causal)


def show_steering(steering: SteeringEvidence | None) -> Iterable[str]:
    """How often steered texts win, which words rise in them, and one pair to see what they are like."""
    if steering is None:
        return
    yield _wins(steering)
    if steering.words is not None:
        yield from _rises(steering.words)
    for pair in _telling(steering)[:PAIRS]:
        yield f"for example, after: {_continuation(pair.prompt)}"
        yield f"  unsteered: {_continuation(pair.unsteered)}"
        yield f"  steered: {_continuation(pair.steered)}"


def show_pairs(pairs: Sequence[SteeredPair], steered_is_a: Sequence[bool]) -> Iterable[str]:
    """Pairs as A and B, in the order given; a beginning that several in a row share is said once."""
    before: str | None = None
    for number, (pair, is_a) in enumerate(zip(pairs, steered_is_a, strict=True), 1):
        if pair.prompt != before:
            yield f"after: {_continuation(pair.prompt)}"
        before = pair.prompt
        a, b = (pair.steered, pair.unsteered) if is_a else (pair.unsteered, pair.steered)
        yield f"{number} A: {_continuation(a)}"
        yield f"{number} B: {_continuation(b)}"


def _projection(evidence: Evidence, projection: Projection) -> Iterable[str]:
    """Its other end only where nothing was measured: what really falls stands among what the direction moves."""
    yield f"top tokens: {', '.join(quote(entry.token) for entry in projection.top[:LISTED])}"
    if projection.bottom and evidence.promotion is None:
        yield f"bottom tokens: {', '.join(quote(entry.token) for entry in projection.bottom[:LISTED_LOW])}"


def _keywords(keywords: KeywordEvidence) -> str:
    listed = f"domain words among {keywords.n_top} top tokens"
    if not keywords.hits:
        return f"{listed}: none"
    words = ", ".join(dict.fromkeys(escape(hit.word) for hit in keywords.hits))
    return f"{listed}: {len(keywords.hits)} ({words}); {keywords.null_share:.1%} of random directions have as many"


def _coherence(coherence: CoherenceEvidence) -> Iterable[str]:
    """Without what random directions reach a cosine says nothing."""
    if coherence.deduplicated is not None and coherence.null_share is not None:
        yield (
            f"cosine of the top tokens' words: {coherence.deduplicated:.2f}; "
            f"{coherence.null_share:.1%} of random directions reach that"
        )


def _promotion(found: PromotionEvidence) -> Iterable[str]:
    yield (
        f"added: top tokens {found.change:+.1f} nats (random directions' own {found.null_change:+.1f}; "
        f"{found.null_share:.0%} of them as far)"
    )
    raised, lowered = found.raised[:MOVED], found.lowered[:MOVED_LOW]
    usual = sorted(entry.random for entry in (*raised, *lowered))
    if usual:
        yield (
            f"moves most: up {_moved(raised)}; down {_moved(lowered)}; "
            f"random directions move these by {usual[0]:+.1f} to {usual[-1]:+.1f}"
        )


def _moved(tokens: Sequence[MovedToken]) -> str:
    return ", ".join(f"{quote(entry.token)} {entry.change:+.1f}" for entry in tokens)


def _survival(causal: CausalEvidence) -> Iterable[str]:
    """Only where enough was promised for a share of it to mean anything."""
    if causal.survival is not None:
        yield (
            f"removed where it is active: top tokens {causal.ablation_effect:+.2f} logits; "
            f"the weights promise {causal.promised:+.2f}"
        )


def _wins(steering: SteeringEvidence) -> str:
    at = f"steered ({steering.strength:.2g} residual norms, {steering.kl:.2g} nats)"
    if not steering.n:
        return f"{at}: none of the top tokens is a word that texts could be compared with"
    if steering.pairs and all(pair.collapsed for pair in steering.pairs):
        return f"{at}: no text was fluent enough to count"
    return (
        f"{at}: {steering.win_rate:.0%} of {steering.n} texts are more like the top tokens' words than their twins; "
        f"{steering.null_win_rate:.0%} under other features' words"
    )


def _rises(words: SteeredWords) -> Iterable[str]:
    """Words, then tokens that are none of them, where the first rises beyond chance; else that none does."""
    risen = words.words[:RISING] if _beyond(words.words, words.chance_words) else ()
    known = {entry.text for entry in risen}
    pieces = [entry for entry in words.tokens if entry.text.strip().lower() not in known]
    pieces = pieces[:RISING] if _beyond(pieces, words.chance_tokens) else []
    if not risen and not pieces:
        yield f"no word or token rises in the {words.n} steered texts beyond chance"
    if risen:
        yield f"words that rise: {', '.join(f'{escape(clip(entry.text, 40))} {_counts(entry)}' for entry in risen)}"
    if pieces:
        yield f"tokens that rise: {', '.join(f'{quote(entry.text)} {_counts(entry)}' for entry in pieces)}"


def _beyond(rises: Sequence[Rise], chance: float) -> bool:
    return bool(rises) and rises[0].z > chance


def _counts(entry: Rise) -> str:
    random = "" if entry.random is None else f"/{entry.random}"
    return f"{entry.steered}/{entry.unsteered}{random}"


def _telling(steering: SteeringEvidence) -> list[SteeredPair]:
    """Fluent pairs, those first whose steered text has most of the words that rise."""
    words = steering.words
    risen = (
        {entry.text for entry in words.words[:RISING]} if words and _beyond(words.words, words.chance_words) else set()
    )
    fluent = [pair for pair in steering.pairs if not pair.collapsed]
    return sorted(fluent, key=lambda pair: -len(risen & {*words_of(pair.steered)}))


def _continuation(text: str) -> str:
    return clip(escape(text).strip(), TEXT)
