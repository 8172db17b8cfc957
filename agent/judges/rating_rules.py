"""Ratings of concepts by lists of words, where no model rates: how much of a feature's activation falls on words of a list.

It is what a run over a task uses without an LLM, and the baseline that one must beat. It reads words and no meaning: a
feature that is active at all words of texts about a concept, or tells senses of a word apart, gets less than it deserves.
Its confidence is how far a share is from the next threshold, and nothing calibrated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from agent.briefing.generations import Briefing
from agent.folder.records import ConceptRating, JudgeRef
from agent.judges.in_common import name_peaks
from agent.judges.judge import Case, Model, Ruling
from agent.judges.judgement import Judgement
from agent.judges.rules import name_feature
from agent.llm.requests import Message
from agent.transcript import Notes
from tools.probes.cues import find_words, read_cues
from tools.records import ActivationEvidence, Context, Evidence, Projection
from tools.study.definition import Question

THRESHOLDS = (0.05, 0.15, 0.5, 0.75)
"""The least shares for 1 to 4, beyond what chance has: the judge by LLM is told that 1 is faint, 2 up to a half, 3 most."""
LEAST_ACTIVE = 10
"""Tokens at which a feature is active; the shares of fewer say nothing."""
MOST_PROMOTED, FEWEST_PROMOTED = 0.5, 3
"""Share of the different words promoted, and how many, that make a 1 by themselves: what weights promise is no more."""
_NAMED = 4


class Share(NamedTuple):
    """How much of a feature's activation is at words of a list."""

    found: float
    chance: float
    """The same share of the tokens beside, at which the feature is silent."""
    words: tuple[str, ...]
    """Those with the most."""

    @property
    def excess(self) -> float:
        """0 by chance, 1 for all of the activation; below 0 where there is less than by chance."""
        return (self.found - self.chance) / (1 - self.chance) if self.chance < 1 else 0.0


class RatingRules(NamedTuple):
    """Lists of words, and nothing else."""

    name = "apply_rules"
    needs_hypotheses = False
    ref = JudgeRef(kind="rules")
    words: Mapping[str, frozenset[str]]
    """Of every concept, in lower case."""

    @classmethod
    def of(cls, question: Question, model: Model | None, briefing: Briefing) -> RatingRules | None:
        """Where there is no model, and a list for every concept that is rated."""
        rating = question.rating
        if model is not None or rating is None or rating.words.keys() != rating.concepts.keys():
            return None
        return cls(read_words(question))

    def requests(self, case: Case) -> list[list[Message]]:
        """None."""
        return []

    async def judge(self, case: Case, notes: Notes) -> Ruling:
        """Apply the rules to the evidence alone."""
        found = rate_by_rules(case.evidence, self.words)
        ratings = {rating.concept: rating.rating for rating in found.ratings or ()}
        notes.add("rule", {"ratings": {**ratings}, "confidence": found.confidence, "reasons": [*found.reasons]})
        return Ruling(found)


def read_words(question: Question) -> dict[str, frozenset[str]]:
    """The lists of a question's concepts.

    Raises:
        StudyError: one is missing, or no list of words.
    """
    rating = question.rating
    concepts = rating.concepts if rating else ()
    return {
        name: frozenset(read_cues(question.folder / rating.words[name])) for name in concepts if rating and rating.words
    }


def rate_by_rules(evidence: Evidence, words: Mapping[str, Collection[str]]) -> Judgement:
    """Each concept by the share of the activation at its words, beyond the share of the tokens beside that are such words.

    A feature that is active at fewer than `LEAST_ACTIVE` tokens, or answers to a place in a row of text, is rated 0.

    Args:
        evidence: of one feature.
        words: concept -> its words in lower case.
    """
    activations = evidence.activations
    silenced = _why_nothing(activations)
    ratings, reasons, sure = list[ConceptRating](), list[str](), [0.99]
    for concept, listed in words.items():
        promoted, of = count_promoted(evidence.projection, listed)
        share = None if silenced or activations is None else share_at_words(activations, listed)
        rating, confidence = rate_share(share.excess) if share else (0, 0.9)
        if not silenced and not rating and promoted >= max(FEWEST_PROMOTED, MOST_PROMOTED * of):
            rating, confidence = 1, 0.5
        ratings.append(ConceptRating(concept=concept, rating=rating))
        sure.append(confidence)
        read = describe_share(share) if share else str(silenced)
        said = f"{promoted} of the {of} words that it promotes are listed" if of else "it promotes no whole word"
        reasons.append(f"{concept} {rating}: {read}; {said}")
    return Judgement(
        label=_label(evidence),
        relevant=None,
        confidence=round(min(sure), 4),
        interpretable=None,
        steering=None,
        reasons=tuple(reasons),
        ratings=tuple(ratings),
    )


def rate_share(excess: float) -> tuple[int, float]:
    """Rating and confidence of a share beyond chance; 0.5 at a threshold, 0.95 as far from all of them as can be."""
    rating = sum(excess >= threshold for threshold in THRESHOLDS)
    if rating == 0:
        far = 1 - excess / THRESHOLDS[0]
    elif rating == len(THRESHOLDS):
        far = (excess - THRESHOLDS[-1]) / (1 - THRESHOLDS[-1])
    else:
        below, above = THRESHOLDS[rating - 1 : rating + 1]
        far = 2 * min(excess - below, above - excess) / (above - below)
    return rating, 0.5 + 0.45 * min(1.0, far)


def share_at_words(activations: ActivationEvidence, words: Collection[str]) -> Share:
    """How much of the activation is at listed words.

    Statistics say how much falls on each of the commonest tokens; whether a token is a listed word, or a piece of one,
    is read off the contexts that it is active in, and off itself where it is in none. What falls on other tokens is
    shared out as it is among the others of the contexts.
    """
    seen = tally(activations, words)
    known = {one.token: one.mass for one in activations.statistics.tokens} if activations.statistics else {}
    others = sum(weight for token, weight in seen.active.items() if token not in known)
    left = max(0.0, 1 - sum(known.values())) / others if others else 0.0
    told: dict[str, float] = defaultdict(float)
    for token, mass in known.items():
        if active := seen.active.get(token):
            told[seen.names.get(token, "")] += mass * seen.listed[token] / active
        elif _opens_word(token) and is_listed(token, words):
            told[token.strip()] += mass
    for token in seen.active.keys() - known.keys():
        told[seen.names.get(token, "")] += left * seen.listed[token]
    first = [word for word in sorted(told, key=lambda word: (-told[word], word)) if told[word] > 0]
    return Share(min(1.0, sum(told.values())), seen.silent_share, tuple(first[:_NAMED]))


class Tally(NamedTuple):
    """Contexts counted: by token the activation, and the activation within listed words."""

    active: dict[str, float]
    listed: dict[str, float]
    names: dict[str, str]
    """The first listed word that a token was a part of."""
    silent_share: float
    """Of the tokens at which the feature is silent, those within listed words; 0 without such tokens."""


def tally(activations: ActivationEvidence, words: Collection[str]) -> Tally:
    """Count the contexts in which a feature is active."""
    active, listed = defaultdict[str, float](float), defaultdict[str, float](float)
    names = dict[str, str]()
    silent = within = 0
    for context in (*activations.top, *activations.quantiles):
        marks = mark_words(context.tokens, words)
        for token, strength, word in zip(context.tokens, context.activations or (), marks, strict=False):
            if strength > 0:
                active[token] += strength
                listed[token] += strength * bool(word)
                if word:
                    names.setdefault(token, word)
            elif token.strip():
                silent, within = silent + 1, within + bool(word)
    return Tally(active, listed, names, within / silent if silent else 0.0)


def mark_words(tokens: Sequence[str], words: Collection[str]) -> list[str | None]:
    """Of each token the listed word that it is a part of, however many tokens that takes; None for the others.

    An apostrophe ends a word: what follows it has nothing to do with it.
    """
    marks: list[str | None] = [None] * len(tokens)
    begins = [0, *accumulate(map(len, tokens))]
    for start, _, found in find_words("".join(tokens)):
        word = _before_apostrophe(found)
        if not is_listed(word, words):
            continue
        for place, token in enumerate(tokens):
            first, last = begins[place] + len(token) - len(token.lstrip()), begins[place] + len(token.rstrip())
            if first < start + len(word) and last > start and token.strip():
                marks[place] = word
    return marks


def is_listed(word: str, words: Collection[str]) -> bool:
    """Whether a word is on a list, or what stands before its apostrophe is."""
    plain = word.strip().lower()
    return plain in words or _before_apostrophe(plain) in words


def _before_apostrophe(word: str) -> str:
    return word.replace("’", "'").partition("'")[0]


def count_promoted(projection: Projection | None, words: Collection[str]) -> tuple[int, int]:
    """Listed ones of the different words among the tokens that a direction promotes most, and how many these are."""
    promoted = dict.fromkeys(one.word for one in (projection.top if projection else ()) if one.word)
    return sum(is_listed(word, words) for word in promoted), len(promoted)


def describe_share(share: Share) -> str:
    """In words."""
    named = f" ({', '.join(share.words)})" if share.words else ""
    return f"{share.found:.0%} of its activation is at listed words{named}, and {share.chance:.0%} of the tokens beside are"


def _opens_word(token: str) -> bool:
    """Whether a token stands by itself for the beginning of a word, as far as its text says."""
    return token[:1].isspace() or token[:1].isupper()


def _why_nothing(activations: ActivationEvidence | None) -> str | None:
    """Why no share is read; None where one is."""
    if activations is None:
        return "where it is active was not looked at"
    if activations.position is not None and activations.position.is_artefact:
        return activations.position.sentence
    counted = activations.statistics.n_active if activations.statistics else sum(map(_count_active, activations.top))
    if not counted:
        return "never active in the corpus"
    return f"active at {counted} tokens alone, which is too few" if counted < LEAST_ACTIVE else None


def _count_active(context: Context) -> int:
    return sum(strength > 0 for strength in context.activations or ())


def _label(evidence: Evidence) -> str:
    active = evidence.activations and evidence.activations.max_activation
    return name_peaks(evidence.activations) if active else name_feature(evidence)
