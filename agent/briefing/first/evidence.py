"""Evidence as the fenced text an LLM reads. What was not measured is left out; nothing stands in for it.

The judge's version says nothing of who proposed what, of which stratum a feature was drawn from, of the steering score
or of the rules' verdict, and carries no name by which a feature could be recognised.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

from prompts.fence import clip, escape, fence
from tools.proof.floors import NOTHING_DEAD, Dead, keep_alive, say_dead
from tools.records import (
    ActivationEvidence,
    CausalEvidence,
    Context,
    Evidence,
    KeywordEvidence,
    SteeredPair,
    SteeringEvidence,
    TokenChange,
    TokenWeight,
)

_CAUSAL_WORDS = {
    "confirmed": "the list is confirmed",
    "projection only": "the list is a claim of the weights only, without such an effect",
    "reversed": "the effect is the reverse of the list",
}
_LONG = 60
"""Most characters of a token in a context."""
MARKED_SHARE = 0.25
"""Tokens of a context with more than this share of its largest activation are marked."""
TEXT = 140
"""Most characters of one continuation."""
_CAPS = {"investigator": 9000, "judge": 4400, "rater": 6500}


def brief_investigator(evidence: Evidence, dead: Dead = NOTHING_DEAD) -> str:
    """All the evidence, steering with its score. Of an instrument that measured nothing it says that, and no number."""
    alive = keep_alive(evidence, dead)
    lines = [*_weights(alive), *_effects(alive, 8, 4, 260), *_steering(alive.steering)]
    return _fenced([*_nothing(dead), *lines], "investigator")


def brief_judge(evidence: Evidence, dead: Dead = NOTHING_DEAD) -> str:
    """The evidence without steering: its texts are shown as blind pairs, its score not at all."""
    alive = keep_alive(evidence, dead)
    return _fenced([*_nothing(dead), *_weights(alive), *_effects(alive, 6, 3, 220)], "judge")


def brief_rater(evidence: Evidence, dead: Dead = NOTHING_DEAD) -> str:
    """The same with more contexts and more of each: people who rate concepts are shown ten."""
    alive = keep_alive(evidence, dead)
    return _fenced([*_nothing(dead), *_weights(alive), *_effects(alive, 10, 4, 400)], "rater")


def brief_pairs(pairs: Sequence[SteeredPair], steered_is_a: Sequence[bool]) -> str:
    """Pairs of continuations as A and B, in the order given."""
    if not pairs:
        return "There are no pairs."
    lines: list[str] = []
    for number, (pair, is_a) in enumerate(zip(pairs, steered_is_a, strict=True), 1):
        a, b = (pair.steered, pair.unsteered) if is_a else (pair.unsteered, pair.steered)
        lines += [
            f"pair {number}: {clip(escape(pair.prompt), TEXT)}",
            f"  A: {_continuation(a)}",
            f"  B: {_continuation(b)}",
        ]
    return fence("pairs", "\n".join(lines), 4400)


def show_context(context: Context, cap: int) -> str:
    """One context as one line: the stretch around its peak, «strong tokens with their activation» marked.

    Without activations it is the text's beginning, nothing marked.
    """
    if not context.tokens:
        return ""
    values = context.activations
    if values is None:
        return clip(escape("".join(context.tokens)), cap)
    peak = max(range(len(values)), key=values.__getitem__)
    floor = MARKED_SHARE * values[peak] if context.max_activation is None else MARKED_SHARE * context.max_activation
    pieces = [_mark(token, value, floor) for token, value in zip(context.tokens, values, strict=True)]
    first, stop = peak, peak + 1
    length = len(pieces[peak])
    while first > 0 or stop < len(pieces):
        grow_left = first > 0 and (stop == len(pieces) or peak - first <= stop - 1 - peak)
        length += len(pieces[first - 1] if grow_left else pieces[stop])
        if length > cap:
            break
        first, stop = (first - 1, stop) if grow_left else (first, stop + 1)
    return ("…" if first else "") + "".join(pieces[first:stop]) + ("…" if stop < len(pieces) else "")


def number(value: float) -> str:
    """Three digits: more would carry nothing."""
    return f"{value:.3g}"


def _fenced(lines: Sequence[str], reader: str) -> str:
    return fence("evidence", "\n".join(lines), _CAPS[reader]) if lines else "Nothing was measured."


def _nothing(dead: Dead) -> Iterable[str]:
    """First of all lines, so that no cap cuts them off."""
    return (say_dead(instrument, why) for instrument, why in dead.items())


def _weights(evidence: Evidence) -> Iterable[str]:
    if evidence.projection:
        top, bottom = evidence.projection.top, evidence.projection.bottom
        weighed = ", with the logit a unit step adds" if any(entry.weight is not None for entry in top) else ""
        yield f"top tokens{weighed}: {_tokens(top)}"
        if bottom:
            yield f"bottom tokens: {_tokens(bottom)}"
    if evidence.keywords:
        yield _keywords(evidence.keywords)
    coherence = evidence.coherence
    if coherence and coherence.deduplicated is not None:
        null = "" if coherence.null_share is None else f"; {coherence.null_share:.1%} of random directions reach that"
        yield (
            f"mean cosine of the top tokens' words: {coherence.deduplicated:.2f} "
            f"({coherence.coverage:.0%} of the tokens have a word vector){null}"
        )


def _effects(evidence: Evidence, n_top: int, n_quantiles: int, cap: int) -> Iterable[str]:
    if evidence.activations:
        yield from _activations(evidence.activations, n_top, n_quantiles, cap)
    if evidence.causal:
        yield from _causal(evidence.causal)


def _keywords(keywords: KeywordEvidence) -> str:
    words = ", ".join(dict.fromkeys(escape(hit.word) for hit in keywords.hits)) or "none"
    return (
        f"words of the domain's vocabulary among the {keywords.n_top} top tokens: {len(keywords.hits)} ({words}); "
        f"{keywords.null_share:.1%} of random directions have as many"
    )


def _activations(found: ActivationEvidence, n_top: int, n_quantiles: int, cap: int) -> Iterable[str]:
    known = [
        None if found.density is None else f"active at {found.density:.3%} of {_count(found.n_tokens)}tokens",
        None if found.max_activation is None else f"largest activation {number(found.max_activation)}",
        None
        if found.domain_lift is None
        else f"words of the domain stand near active tokens {number(found.domain_lift)} times as often as elsewhere",
    ]
    if any(known):
        yield "; ".join(filter(None, known))
    if found.position is not None:
        yield found.position.sentence
    ranked = found.max_activation is not None
    for title, contexts in (
        ("contexts with the largest activations" if ranked else "contexts at which it is active", found.top[:n_top]),
        ("contexts drawn from the rest, by falling activation", found.quantiles[:n_quantiles]),
    ):
        if contexts:
            yield f"{title}:"
        for place, context in enumerate(contexts, 1):
            peak = "" if context.max_activation is None else f"(up to {number(context.max_activation)}) "
            yield f"  {place}. {peak}{show_context(context, cap)}"
    if found.near_misses:
        yield "contexts in which it is silent, although a word it is most active at, or the feature most like it, is there:"
        yield from (
            f"  {place}. {show_context(context, cap // 2)}" for place, context in enumerate(found.near_misses[:3], 1)
        )


def _count(n: int | None) -> str:
    return "" if n is None else f"{n} "


def _causal(causal: CausalEvidence) -> Iterable[str]:
    survival = "" if causal.survival_ratio is None else f"; survival {number(causal.survival_ratio)}"
    yield (
        f"ablation at {causal.n_contexts} active tokens: the top tokens' logits change by "
        f"{number(causal.ablation_effect)} against all tokens{survival}"
    )
    if causal.verdict is not None and causal.auroc is not None:
        yield (
            f"where it is active, the top tokens are moved up more than {causal.auroc:.0%} of tokens as frequent: "
            f"{_CAUSAL_WORDS[causal.verdict]}"
        )
    if causal.raised:
        yield f"it really raises most: {_changes(causal.raised[:6])}; lowers most: {_changes(causal.lowered[:3])}"


def _changes(changes: Sequence[TokenChange]) -> str:
    return ", ".join(f'"{clip(escape(entry.token), 40)}" {entry.change:+.2f}' for entry in changes)


def _steering(steering: SteeringEvidence | None) -> Iterable[str]:
    if steering is None:
        return
    yield (
        f"steering at {number(steering.strength)} mean residual norms (KL {number(steering.kl)} nats): "
        f"{steering.win_rate:.0%} of {steering.n} steered texts are more like the top tokens' words than their "
        f"unsteered twins; {steering.null_win_rate:.0%} under other features' words; log-probability of the top "
        f"tokens {steering.log_probability_lift:+.2f} nats"
    )
    step = max(1, len(steering.pairs) // 4)
    for pair in steering.pairs[::step][:4]:
        yield f"  after: {clip(escape(pair.prompt), TEXT)}"
        yield f"    unsteered: {_continuation(pair.unsteered)}"
        yield f"    steered: {_continuation(pair.steered)}"


def _continuation(text: str) -> str:
    return clip(escape(text).strip(), TEXT)


def _tokens(tokens: Sequence[TokenWeight]) -> str:
    return ", ".join(map(_weighed, tokens[:20]))


def _weighed(entry: TokenWeight) -> str:
    quoted = f'"{clip(escape(entry.token), 40)}"'
    return quoted if entry.weight is None else f"{quoted} {entry.weight:.2f}"


def _mark(token: str, value: float, floor: float) -> str:
    plain = _known(token) if len(token) <= _LONG else _plain(token)
    if value <= max(floor, 0.0):
        return plain
    word = plain.lstrip(" ")
    return f"{plain[: len(plain) - len(word)]}«{word} {number(value)}»"


def _plain(token: str) -> str:
    return clip(escape(token), _LONG).replace("«", "‹").replace("»", "›")


_known = functools.lru_cache(maxsize=2**13)(_plain)
"""The same few thousand tokens come again and again."""
