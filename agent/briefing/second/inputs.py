"""What is shown of a feature's input side: at which tokens and places of text it is active, each number beside its null."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from agent.briefing.second.marks import quote, show_context
from tools.records import ActivationEvidence, Context, PositionEvidence, Shared, TokenShare

LISTED, LISTED_BEFORE, FEWEST = 6, 3, 2
"""Tokens listed at most; and at least, of those at which it is active."""
WORTH_LISTING, WORTH_LISTING_BEFORE = 0.02, 0.05
"""Least share of the activation."""
AT_A_PLACE = 2
"""Contexts of a feature that answers to a place: they would only show one place after the other."""


class Amount(NamedTuple):
    """How many contexts a reader is shown, and how much of each."""

    top: int
    quantiles: int
    silent: int
    cap: int
    """Characters."""


def show_inputs(found: ActivationEvidence, amount: Amount) -> Iterable[str]:
    """All of it, as lines."""
    yield from _how_often(found)
    if found.statistics is not None:
        yield _tokens(found.statistics.tokens, found.statistics.different)
        yield _before(found.statistics.before, found.statistics.different_before)
    if found.position is not None:
        yield show_position(found.position)
    yield from _domain(found)
    placed = found.position is not None and found.position.is_artefact
    top = found.top[: AT_A_PLACE if placed else amount.top]
    largest = largest_of(found)
    yield from _list(
        "strongest contexts:" if found.max_activation is not None else "contexts:", top, largest, amount.cap
    )
    if not placed:
        quantiles = found.quantiles[: amount.quantiles]
        yield from _list("contexts drawn from the rest:", quantiles, largest, amount.cap)
        yield from _silent(found, amount)


def largest_of(found: ActivationEvidence) -> float | None:
    """The activation that counts as ten: the largest in the corpus, or of the contexts where that is not known."""
    shown = [value for context in (*found.top, *found.quantiles) for value in context.activations or ()]
    largest = max(shown, default=0.0) if found.max_activation is None else found.max_activation
    return largest if largest > 0 else None


def show_position(found: PositionEvidence) -> str:
    """How much of its activity is where rows begin, and what would be there anyway."""
    of = "" if found.occurrences is None else f"{found.occurrences:.0%} of its activations, "
    line = (
        f"position 1-{found.first} of a row: {of}{found.share:.0%} of its activation mass; "
        f"{found.token_share:.1%} of all tokens stand there"
    )
    if found.opening_share is not None and found.opening_token_share is not None:
        line = f"{line}. Where a text begins: {found.opening_share:.0%} of the mass, {found.opening_token_share:.1%} of all"
    return f"{line}. It answers to the place" if found.is_artefact else line


def _how_often(found: ActivationEvidence) -> Iterable[str]:
    if found.density == 0:
        yield f"dead: active at none of {found.n_tokens or 0:,} tokens"
        return
    usual = "" if found.usual_density is None else f" (median feature {_percent(found.usual_density)})"
    of = "tokens" if found.n_tokens is None else f"{found.n_tokens:,} tokens"
    known = [
        None if found.density is None else f"active at {_percent(found.density)} of {of}{usual}",
        None if found.max_activation is None else f"largest activation {found.max_activation:.3g}",
    ]
    if any(known):
        yield "; ".join(filter(None, known))


def _percent(share: float) -> str:
    """Two digits, however small it is."""
    return f"{100 * share:.2g} %"


def _tokens(tokens: Sequence[TokenShare], different: int) -> str:
    listed = [t for i, t in enumerate(tokens) if i < FEWEST or t.mass >= WORTH_LISTING][:LISTED]
    return f"active tokens, {different} different: {', '.join(map(_share, listed))}"


def _before(before: Sequence[TokenShare], different: int) -> str:
    listed = [t for t in before if t.mass >= WORTH_LISTING_BEFORE][:LISTED_BEFORE]
    if listed:
        return f"tokens before these, {different} different: {', '.join(map(_share, listed))}"
    return f"tokens before these: {different} different, none with {WORTH_LISTING_BEFORE:.0%} of the activation"


def _share(entry: TokenShare) -> str:
    name = quote(entry.token) if entry.token else "[row]"
    return f"{name} {100 * entry.mass:.0f}/{100 * entry.occurrences:.0f}/{100 * entry.active_share:.0f}"


def _domain(found: ActivationEvidence) -> Iterable[str]:
    """Against the same passages: a grammatical feature of a clinical text is near its words as any token there is."""
    if found.domain_near is not None and found.passage_share is not None and found.domain_share is not None:
        yield (
            f"domain words near: {found.domain_near:.0%} of active tokens (of all of the same passages "
            f"{found.passage_share:.0%}, of the corpus {found.domain_share:.0%})"
        )
    elif found.domain_lift is not None and found.domain_share is not None:
        near = found.domain_lift * found.domain_share
        yield f"domain words near: {near:.0%} of active tokens (of all of the corpus {found.domain_share:.0%})"
    elif found.domain_lift is not None:
        yield f"domain words near active tokens: {found.domain_lift:.3g} times as often as elsewhere"


def _list(title: str, contexts: Sequence[Context], largest: float | None, cap: int) -> Iterable[str]:
    """Each text once, with how often it was found."""
    shown = Counter(show_context(context, largest, cap) for context in contexts)
    if shown:
        yield title
    yield from (f"-{f' ({times} times)' if times > 1 else ''} {text}" for text, times in shown.items())


def _silent(found: ActivationEvidence, amount: Amount) -> Iterable[str]:
    for context in found.near_misses[: amount.silent]:
        searched = _find_shared(context, found.top)
        at_word = searched.shared is not None and searched.shared.kind == "word"
        why = "at a token of its peaks" if at_word else "where the feature most like it is active"
        yield f"silent {why}: {show_context(searched, None, amount.cap)}"


def _find_shared(context: Context, top: Sequence[Context]) -> Context:
    """Of a record that does not say what is shared: the first token at which a top example peaks, if there is one."""
    if context.shared is not None or context.activations is None:
        return context
    peaks = {_peak(one) for one in top} - {""}
    for place, token in enumerate(context.tokens):
        if token.strip().lower() in peaks:
            return context.model_copy(update={"shared": Shared(kind="word", place=place)})
    return context


def _peak(context: Context) -> str:
    values = context.activations
    return context.tokens[values.index(max(values))].strip().lower() if values else ""
