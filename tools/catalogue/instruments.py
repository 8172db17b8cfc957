"""The instruments a language model may use on a feature: plain functions, listed in `TOOLS`, and nothing else.

The first argument is given by us; the others are the model's to choose, and their descriptions here are what it reads.
An instrument that shows no steered text says so with `keeps_blind`; of all others the judge is not told.
Numbers are rounded: a transcript is read by people, and digits beyond the third carry nothing.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tools.catalogue.arguments import check_number, check_range, row_of, scaled, spell_words, word_tokens
from tools.catalogue.blinding import keeps_blind
from tools.catalogue.findings import (
    AblationFound,
    ContextFound,
    ContextsFound,
    Neighbour,
    Neighbours,
    PromotedWords,
    SentenceActivation,
    SentenceActivations,
    SteeredText,
    TokenNumber,
    TokensFound,
    WordChange,
    WordLookup,
    WordsFound,
)
from tools.catalogue.standing import beside_random, rank_of, shift
from tools.catalogue.subject import Subject
from tools.effects.causal import Place, measure_effects
from tools.effects.fluency import MOST_REPETITION, repetition_of
from tools.effects.intervention import Addition
from tools.effects.steering import generate, row_noise
from tools.errors import ToolError

MOST_SENTENCES = 12
MOST_WORDS = 20
MOST_TOKENS = 20
CONTEXT_REACH = 16
"""Tokens shown on either side of a context's peak."""


@keeps_blind
def measure_activations(subject: Subject, sentences: list[str]) -> SentenceActivations:
    """Largest activation of the feature in each of the sentences you write.

    Args:
        subject: one direction on the bench.
        sentences: 1 to 12 short texts.
    """
    check_number(sentences, MOST_SENTENCES, "sentences")
    found = [_measure(subject, sentence) for sentence in sentences]
    largest = float(subject.sample_values.max()) if subject.largest is None else subject.largest
    return SentenceActivations(sentences=tuple(found), largest_in_corpus=_rounded(largest))


@keeps_blind
def promote_words(subject: Subject, words: list[str], strength: float) -> PromotedWords:
    """Change of each word's log-probability when the feature is added, mean over neutral beginnings of sentences.

    Beside it stand its rank among common words about as frequent, and the change that random directions bring about.

    Args:
        subject: one direction on the bench.
        words: 1 to 20 single words.
        strength: length of what is added, in mean lengths of the residual stream, 0.05 to 4.
    """
    check_number(words, MOST_WORDS, "words")
    vector = scaled(subject, strength)
    spelt, refused = spell_words(subject, words)
    written, standing = beside_random(subject, vector), subject.laboratory.common_words
    prompts = [subject.tokenize(prompt) for prompt in subject.study.steering.prompts]
    at_once = [shift(subject, written, prompt) for prompt in prompts]  # [directions, d_vocab] each
    usual = np.mean(at_once, axis=0)
    found: list[WordChange] = []
    for word, (ids, joined) in spelt.items():
        change, *random = usual[:, ids[0]].tolist()
        for prompt, n in itertools.product(prompts, range(1, len(ids))):
            later = shift(subject, written, [*prompt, *ids[:n]])[:, ids[n]] / len(prompts)
            change, *random = (before + float(more) for before, more in zip([change, *random], later, strict=True))
        whole = len(ids) == 1
        rank, of = rank_of(usual[0], ids[0], standing) if whole else (None, None)
        found.append(
            WordChange(
                word=word,
                change=_rounded(change),
                whole=whole,
                joined=joined,
                rank=rank,
                of=of,
                random=_rounded(float(np.mean(random))),
            )
        )
    return PromotedWords(strength=strength, n_prompts=len(prompts), words=tuple(found), refused=refused)


def continue_text(subject: Subject, prompt: str, strength: float) -> SteeredText:
    """How the model continues a beginning of yours, without and with the feature added.

    Args:
        subject: one direction on the bench.
        prompt: the beginning of a text.
        strength: length of what is added, in mean lengths of the residual stream, 0.05 to 4.
    """
    settings = subject.study.steering
    ids = subject.tokenize(prompt, room=settings.new_tokens)
    vector = scaled(subject, strength)
    noise = row_noise(f"{subject.laboratory.seed}|{subject.key}|{prompt}", settings.new_tokens)
    made = generate(
        subject.bench,
        ids,
        Addition(torch.stack([torch.zeros_like(vector), vector])),
        np.stack([noise, noise]),
        temperature=settings.temperature,
        top_k=settings.top_k,
    )
    unsteered, steered = (subject.bench.decode(row) for row in made.tokens.tolist())
    return SteeredText(
        prompt=prompt,
        strength=strength,
        unsteered=unsteered,
        steered=steered,
        repeats_itself=repetition_of(steered) > MOST_REPETITION,
    )


@keeps_blind
def ablate(subject: Subject, sentence: str) -> AblationFound:
    """Which next tokens become less and more likely when the feature is set to zero where a sentence activates it.

    Args:
        subject: one direction on the bench.
        sentence: a text in which the feature is active.
    """
    tokens = row_of(subject, sentence)
    values = subject.activations(subject.bench.residuals(tokens).cpu())
    values[:, 0] = 0  # the first position is the model's own mark, not text
    if not bool((values > 0).any()):
        raise ToolError("the feature is active at no token of this sentence: there is nothing to set to zero")
    ((_, effect),) = measure_effects(subject.bench, [Place(tokens, values, subject.direction)])
    logits = effect.ablated
    return AblationFound(
        n_positions=effect.n_positions,
        lowered=_numbers(subject, logits, logits.topk(8, largest=False).indices),
        raised=_numbers(subject, logits, logits.topk(8).indices),
    )


@keeps_blind
def find_neighbours(subject: Subject, n: int) -> Neighbours:
    """The features whose directions are nearest to this one's by cosine, with their top tokens.

    Args:
        subject: one direction on the bench.
        n: how many, 1 to 10.
    """
    check_range(n, 1, 10, "n")
    directions = subject.bench.directions
    cosines = directions @ subject.direction  # [d_sae]
    if subject.row is not None:
        cosines[subject.row] = -2
    nearest = cosines.topk(min(n, len(cosines) - 1))
    tops = (directions[nearest.indices] @ subject.laboratory.lens).topk(8, dim=1).indices  # [n, 8]
    found = [
        Neighbour(cosine=_rounded(float(cosine)), top_tokens=tuple(subject.bench.token_strings[i] for i in ids))
        for cosine, ids in zip(nearest.values, tops.tolist(), strict=True)
    ]
    return Neighbours(neighbours=tuple(found))


@keeps_blind
def show_contexts(subject: Subject, first: int, n: int) -> ContextsFound:
    """More text in which the feature is active, by falling activation, from documents not shown before.

    Args:
        subject: one direction on the bench.
        first: place of the first one shown, from 1; go on with `first + n`.
        n: how many, 1 to 8.
    """
    check_range(first, 1, 1000, "first")
    check_range(n, 1, 8, "n")
    values = subject.sample_values
    largest = values.max(dim=1).values.numpy()
    rows = subject.sample.rows
    order = [
        int(row)
        for row in np.argsort(-largest, kind="stable")
        if largest[row] > 0 and rows.documents[row] not in subject.seen
    ]
    return ContextsFound(
        first=first, contexts=tuple(_context(subject, row, values[row]) for row in order[first - 1 : first - 1 + n])
    )


@keeps_blind
def look_up_words(subject: Subject, words: list[str]) -> WordsFound:
    """Whether words belong to the domain's vocabulary, and their logit weight and rank in the feature's projection.

    Args:
        subject: one direction on the bench.
        words: 1 to 20 single words.
    """
    check_number(words, MOST_WORDS, "words")
    weights = (subject.direction @ subject.laboratory.lens).cpu()
    found: list[WordLookup] = []
    for word in words:
        ids = word_tokens(subject, word)
        weight = weights[ids[0]]
        found.append(
            WordLookup(
                word=word,
                in_domain_vocabulary=word.strip().lower() in subject.laboratory.lexicon.vocabulary,
                logit_weight=_rounded(float(weight)),
                rank=int((weights > weight).sum()) + 1,
                whole=len(ids) == 1,
            )
        )
    return WordsFound(n_tokens=len(weights), words=tuple(found))


@keeps_blind
def project_tokens(subject: Subject, first: int, k: int) -> TokensFound:
    """The tokens whose logits the feature's weights raise and lower most, from a rank of your choice on.

    Args:
        subject: one direction on the bench.
        first: rank of the first one shown, from 1.
        k: how many of each, 1 to 20.
    """
    weights = (subject.direction @ subject.laboratory.lens).cpu()
    check_range(k, 1, MOST_TOKENS, "k")
    check_range(first, 1, len(weights) - k, "first")
    order = weights.argsort(descending=True, stable=True)
    return TokensFound(
        first=first,
        top=_numbers(subject, weights, order[first - 1 : first - 1 + k]),
        bottom=_numbers(subject, weights, order.flip(0)[first - 1 : first - 1 + k]),
    )


TOOLS = (
    measure_activations,
    promote_words,
    continue_text,
    ablate,
    find_neighbours,
    show_contexts,
    look_up_words,
    project_tokens,
)
"""Everything a language model may call."""


def _measure(subject: Subject, sentence: str) -> SentenceActivation:
    tokens = row_of(subject, sentence)
    values = subject.activations(subject.bench.residuals(tokens).cpu())[0, 1:]  # [positions]
    peak = int(values.argmax())
    active = float(values[peak]) > 0
    return SentenceActivation(
        sentence=sentence,
        max_activation=_rounded(float(values[peak])),
        peak=subject.bench.token_strings[int(tokens[0, 1 + peak])] if active else "",
        n_active=int((values > 0).sum()),
        n_tokens=len(values),
        tokens=tuple(subject.bench.token_strings[i] for i in tokens[0, 1:].tolist()) if active else (),
        activations=tuple(_rounded(max(0.0, value)) for value in values.tolist()) if active else (),
    )


def _context(subject: Subject, row: int, values: Float[Tensor, " width"]) -> ContextFound:
    rows = subject.sample.rows
    peak = int(values.argmax())
    real = np.flatnonzero(rows.real[row])
    window = range(max(int(real[0]), peak - CONTEXT_REACH), min(int(real[-1]), peak + CONTEXT_REACH) + 1)
    strings = [subject.bench.token_strings[rows.tokens[row, place]] for place in window]
    clean = [string.replace("«", "‹").replace("»", "›") for string in strings]
    floor = float(values[peak]) / 4
    marked = [f"«{s}»" if float(values[place]) > floor else s for place, s in zip(window, clean, strict=True)]
    return ContextFound(text="".join(marked), max_activation=_rounded(float(values[peak])))


def _numbers(subject: Subject, values: Float[Tensor, " d_vocab"], ids: Int64[Tensor, " k"]) -> tuple[TokenNumber, ...]:
    return tuple(
        TokenNumber(token=subject.bench.token_strings[i], value=_rounded(float(values[i]))) for i in ids.tolist()
    )


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
