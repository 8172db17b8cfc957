"""What measurements showed, as whole lines: sentences with every active token marked, lists that end where an item ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic import JsonValue

from agent.briefing.first.evidence import number
from agent.briefing.second.marks import mark
from agent.folder.measurements import Measurement
from prompts.fence import clip, escape, fence
from tools.catalogue.findings import (
    AblationFound,
    ContextsFound,
    Neighbours,
    PromotedWords,
    SentenceActivation,
    SentenceActivations,
    SteeredText,
    TokenNumber,
    TokensFound,
    WordChange,
    WordsFound,
)

RESULT = 2400
"""About as many characters of one result are shown, in whole lines."""
_ERROR, _TEXT, _TOKEN = 400, 400, 40


def brief_result(measurement: Measurement, left: int) -> str:
    """What one measurement showed, for whoever chose it, and how many more may be chosen."""
    more = "1 more measurement" if left == 1 else f"{left} more measurements"
    shown = fence("result", "\n".join(whole_lines(list_result(measurement), RESULT)), 2 * RESULT)
    return f"{shown}\nYou may choose {more}."


def list_result(measurement: Measurement) -> list[str]:
    """The same in lines, each to be fenced; what an instrument of another version returned is listed by its fields."""
    if measurement.status == "error":
        return [f"not measured: {clip(escape(str(measurement.result)), _ERROR)}"]
    tell = _TELL.get(measurement.instrument)
    try:
        return list(tell(measurement.result) if tell else _fields(measurement.result))
    except ValueError:
        return list(_fields(measurement.result))


def whole_lines(lines: Sequence[str], cap: int) -> list[str]:
    """As many lines as the cap takes, at least one; how many are left out is said."""
    kept, length = list[str](), 0
    for line in lines:
        length += len(line) + 1
        if kept and length > cap:
            return [*kept, f"[{len(lines) - len(kept)} more lines are left out]"]
        kept.append(line)
    return kept


def mark_sentence(found: SentenceActivation, largest: float) -> str:
    """The sentence with its largest activation first, every active token marked as in contexts: in tenths of the largest."""
    if not found.max_activation > 0:
        return f"silent: {clip(escape(found.sentence), _TEXT)}"
    if not found.tokens:
        return f"{number(found.max_activation)} at {escape(found.peak)!r} in: {clip(escape(found.sentence), _TEXT)}"
    active = {place for place, value in enumerate(found.activations) if value > 0}
    pieces = mark(found.tokens, found.activations, active, largest if largest > 0 else None)
    return f"{number(found.max_activation)}: {''.join(pieces).strip()}"


def list_words(found: PromotedWords) -> str:
    """Words with their changes; those that were refused by name."""
    words = [
        f'"{clip(escape(w.word), _TOKEN)}"{" (as a piece)" if w.joined else ""} {w.change:+.2f}{_standing(w)}'
        for w in found.words
    ]
    refused = [f'"{clip(escape(w.word), _TOKEN)}" not measured ({w.why})' for w in found.refused]
    return ", ".join([*words, *refused])


def _standing(word: WordChange) -> str:
    """What the change is held against, where it was."""
    if word.random is None:
        return ""
    rank = "" if word.rank is None else f"; rank {word.rank:,} of {word.of:,}"
    return f" ({word.random:+.2f}{rank})"


def _sentences(result: JsonValue) -> Iterable[str]:
    found = SentenceActivations.model_validate(result)
    yield from (mark_sentence(one, found.largest_in_corpus) for one in found.sentences)
    yield f"largest activation in the corpus: {number(found.largest_in_corpus)}"


def _words(result: JsonValue) -> Iterable[str]:
    found = PromotedWords.model_validate(result)
    yield f"change in nats at strength {found.strength:g}: {list_words(found)}"


def _text(result: JsonValue) -> Iterable[str]:
    found = SteeredText.model_validate(result)
    yield f"after: {clip(escape(found.prompt), _TEXT)}"
    yield f"unsteered: {clip(escape(found.unsteered).strip(), _TEXT)}"
    broken = " (it repeats itself)" if found.repeats_itself else ""
    yield f"steered at {found.strength:g}: {clip(escape(found.steered).strip(), _TEXT)}{broken}"


def _ablation(result: JsonValue) -> Iterable[str]:
    found = AblationFound.model_validate(result)
    yield f"set to zero at {found.n_positions} positions; logits that fall: {_tokens(found.lowered)}"
    yield f"logits that rise: {_tokens(found.raised)}"


def _neighbours(result: JsonValue) -> Iterable[str]:
    for one in Neighbours.model_validate(result).neighbours:
        yield f"cosine {one.cosine:.2f}: {', '.join(map(_quoted, one.top_tokens))}"


def _contexts(result: JsonValue) -> Iterable[str]:
    found = ContextsFound.model_validate(result)
    for place, one in enumerate(found.contexts, found.first):
        yield f"{place}. (up to {number(one.max_activation)}) {escape(one.text).strip()}"
    if not found.contexts:
        yield "no further text in which it is active"


def _looked_up(result: JsonValue) -> Iterable[str]:
    found = WordsFound.model_validate(result)
    for one in found.words:
        known = "in" if one.in_domain_vocabulary else "not in"
        begins = "" if one.whole else ", by its first token"
        yield (
            f"{_quoted(one.word)}: {known} the domain's vocabulary; logit weight {number(one.logit_weight)}, rank "
            f"{one.rank:,} of {found.n_tokens:,}{begins}"
        )


def _projected(result: JsonValue) -> Iterable[str]:
    found = TokensFound.model_validate(result)
    yield f"raised most, from rank {found.first}: {_tokens(found.top)}"
    yield f"lowered most, from rank {found.first}: {_tokens(found.bottom)}"


def _fields(result: JsonValue) -> Iterable[str]:
    for name, value in result.items() if isinstance(result, dict) else [("result", result)]:
        for item in value if isinstance(value, list) else [value]:
            yield f"{escape(str(name))}: {escape(json.dumps(item, ensure_ascii=False))}"


def _tokens(tokens: Sequence[TokenNumber]) -> str:
    return ", ".join(f"{_quoted(entry.token)} {entry.value:+.2f}" for entry in tokens)


def _quoted(text: str) -> str:
    return f'"{clip(escape(text), _TOKEN)}"'


_TELL: dict[str, Callable[[Any], Iterable[str]]] = {
    "measure_activations": _sentences,
    "promote_words": _words,
    "continue_text": _text,
    "ablate": _ablation,
    "find_neighbours": _neighbours,
    "show_contexts": _contexts,
    "look_up_words": _looked_up,
    "project_tokens": _projected,
}
