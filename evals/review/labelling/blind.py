"""What a labeller may see, and in which order: evidence without anything that a machine concluded from it.

A `Sheet` is made of evidence alone, and of those parts that are no judgement: no keyword hits, coherence, win rates,
causal verdicts, names of documents, stratum or number. Two features that differ in nothing else make the same sheet. Nor how
often it is active, or which texts are from its weaker moments: that tells a random direction from a feature at a glance.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from tools.records import ActivationEvidence, Context, Evidence, Record, SteeringEvidence, TokenChange

MOST_PAIRS, MOST_RAISED = 10, 10
HEATS = 9
"""Steps of heat above none."""
_LETTERS = 20


class Weighed(Record):
    """A token with its logit weight, or its change in logit."""

    text: str
    value: float | None


class Warm(Record):
    """A token of a context."""

    text: str
    heat: int
    """0 silent, `HEATS` the largest activation shown."""


class Passage(Record):
    """One stretch of text."""

    kind: Literal["active", "silent"]
    tokens: tuple[Warm, ...]


class Continuation(Record):
    """One prompt, continued without the feature and with it."""

    prompt: str
    unsteered: str
    steered: str


class Sheet(Record):
    """Everything that is shown of one feature."""

    top_tokens: tuple[Weighed, ...] = ()
    passages: tuple[Passage, ...] = ()
    continuations: tuple[Continuation, ...] = ()
    collapsed: int = 0
    """Continuations left out because the steered text fell apart."""
    raised: tuple[Weighed, ...] = ()
    raised_where: Literal["active", "steered"] = "active"
    """Whether `raised` was measured where the feature is active, or by steering with it."""

    @property
    def empty(self) -> bool:
        """Nothing is known of the feature."""
        return not (self.top_tokens or self.passages or self.continuations or self.raised)


def show(evidence: Evidence | None) -> Sheet:
    """The sheet of one feature; empty where nothing was stored of it."""
    if evidence is None:
        return Sheet()
    top = evidence.projection.top if evidence.projection else ()
    steering = evidence.steering
    pairs, collapsed = _continuations(steering)
    by_activity = evidence.causal.raised if evidence.causal else ()
    by_steering = steering.raised if steering else ()
    return Sheet(
        top_tokens=tuple(Weighed(text=token.token, value=token.weight) for token in top),
        passages=_passages(evidence.activations) if evidence.activations else (),
        continuations=pairs,
        collapsed=collapsed,
        raised=_raised(by_activity or by_steering),
        raised_where="active" if by_activity or not by_steering else "steered",
    )


def order_features(keys: Iterable[str], planned: Sequence[str], decoys: Sequence[str], seed: str) -> list[str]:
    """Features in an order of one's own: the planned ones first, with their share of random directions among them.

    The order follows from the seed alone: it is the same tomorrow, and stays when more features are added. Within the plan
    it is shuffled too, since a plan takes its features from one cell of verdicts after another.

    Args:
        keys: of all features.
        planned: those that the examiner proposes to label next.
        decoys: the random directions among `keys`.
        seed: names annotator and run.
    """
    order = sorted(keys, key=lambda key: hashlib.sha256(f"{seed}|{key}".encode()).digest())
    first, false = frozenset(planned) & frozenset(order), frozenset(decoys)
    mixed = [key for key in order if key in false and key not in first]
    real = len(order) - len(mixed)
    share = round(len(first) * len(mixed) / real) if real else 0
    ahead = first | frozenset(mixed[:share])
    return [key for key in order if key in ahead] + [key for key in order if key not in ahead]


def address(secret: bytes, annotator: str, key: str) -> str:
    """A feature's address in an annotator's pages: it says nothing, and nobody without the secret can make it."""
    return _sign(secret, f"feature|{annotator}|{key}")


def read_addresses(secret: bytes, annotator: str, keys: Iterable[str]) -> Mapping[str, str]:
    """Which feature each address means."""
    return {address(secret, annotator, key): key for key in keys}


def form_secret(secret: bytes, annotator: str) -> str:
    """What a form must carry to be believed: pages of other sites cannot read it."""
    return _sign(secret, f"form|{annotator}")


def _passages(activations: ActivationEvidence) -> tuple[Passage, ...]:
    found: list[tuple[Literal["active", "silent"], Context]] = [
        *(("active", context) for context in (*activations.top, *activations.quantiles)),
        *(("silent", context) for context in activations.near_misses),
    ]
    largest = max((value for _, context in found for value in context.activations or ()), default=0.0)
    return tuple(Passage(kind=kind, tokens=_warm(context, largest)) for kind, context in found)


def _warm(context: Context, largest: float) -> tuple[Warm, ...]:
    values = context.activations or (0.0,) * len(context.tokens)
    return tuple(
        Warm(text=token, heat=_heat(value, largest)) for token, value in zip(context.tokens, values, strict=False)
    )


def _heat(value: float, largest: float) -> int:
    """A share of the largest activation in steps; the smallest activation is still told from none."""
    return 0 if value <= 0 or largest <= 0 else max(1, round(HEATS * min(1.0, value / largest)))


def _continuations(steering: SteeringEvidence | None) -> tuple[tuple[Continuation, ...], int]:
    """Pairs whose steered text has not collapsed, spread over the prompts: those a judge is shown."""
    pairs = steering.pairs if steering else ()
    usable = [pair for pair in pairs if not pair.collapsed]
    if len(usable) > MOST_PAIRS:
        usable = [usable[place * len(usable) // MOST_PAIRS] for place in range(MOST_PAIRS)]
    shown = tuple(Continuation(prompt=p.prompt, unsteered=p.unsteered, steered=p.steered) for p in usable)
    return shown, sum(pair.collapsed for pair in pairs)


def _raised(changes: Sequence[TokenChange]) -> tuple[Weighed, ...]:
    return tuple(Weighed(text=change.token, value=change.change) for change in changes[:MOST_RAISED])


def _sign(secret: bytes, text: str) -> str:
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()[:_LETTERS]
