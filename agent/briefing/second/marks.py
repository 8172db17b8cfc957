"""Text with the places marked at which a feature is active, as a model reads it: nothing of it is left to be guessed.

What a reader could not see is spelt out: blanks beyond a single one, line ends, bytes that are no character. Neighbouring
active tokens share one mark, so that dense text stays readable, and activations are whole tenths of the largest one, cut off
by a bar, so that they do not run into the numbers of the text.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence

from prompts.fence import clip, escape
from tools.records import Context

MARKED_SHARE = 0.25
"""Tokens of a context with more than this share of its largest activation are marked."""
LEFT = 3
"""Times as much is shown before a place as behind it: a causal model knows of it what stands before."""
_LONG = 60
"""Most characters of a token."""
_BLANKS = re.compile(" {2,}")
_EDGES = {"text": "[text] ", "row": "[row] "}


def show_context(context: Context, largest: float | None, cap: int) -> str:
    """One context as one line: the stretch around its peak, or around what a silent one shares, with its marks.

    Args:
        context: any; without activations it is the text's beginning, nothing marked.
        largest: activation that counts as ten; None for the context's own.
        cap: most characters of the text, marks aside.
    """
    values = context.activations
    if values is None or not context.tokens:
        return clip(spell("".join(context.tokens)), cap)
    if context.shared is not None:
        centre = context.shared.place
        marks = {centre}
    else:
        peak = max(values)
        centre = values.index(peak)
        floor = MARKED_SHARE * peak if context.max_activation is None else MARKED_SHARE * context.max_activation
        marks = {place for place, value in enumerate(values) if value > max(floor, 0.0)}
    plain = [spell_token(token) for token in context.tokens]
    first, stop = _stretch([len(token) for token in plain], centre, cap)
    begin = _EDGES.get(context.begins or "", "…") if first == 0 else "…"
    shown = "".join(mark(context.tokens[first:stop], values[first:stop], {i - first for i in marks}, largest))
    return f"{begin}{shown}{'…' if stop < len(plain) else ''}"


def mark(
    tokens: Sequence[str], values: Sequence[float], marked: set[int] | frozenset[int], largest: float | None
) -> Iterator[str]:
    """Pieces of a text, its marked tokens between « and », with the tenths behind the strongest one of each run.

    Args:
        tokens: of the text.
        values: activations, one a token.
        marked: which ones, by their places.
        largest: activation that counts as ten; None for the largest of these.
    """
    most = max([*values, 0.0]) if largest is None else largest
    place = 0
    while place < len(tokens):
        stop = place
        while stop in marked:
            stop += 1
        if stop > place:
            yield _mark_run(tokens[place:stop], values[place:stop], most)
        else:
            yield spell_token(tokens[place])
            stop += 1
        place = stop


def _mark_run(tokens: Sequence[str], values: Sequence[float], largest: float) -> str:
    plain = ["␣" * len(token) if token and not token.strip(" ") else spell_token(token) for token in tokens]
    lead = len(plain[0]) - len(plain[0].lstrip(" "))
    strongest = values.index(max(values))
    before, behind = "".join(plain[: strongest + 1])[lead:], "".join(plain[strongest + 1 :])
    return f"{plain[0][:lead]}«{before}|{tenths(values[strongest], largest)}{f'|{behind}' if behind else ''}»"


def tenths(value: float, largest: float) -> int:
    """Of the largest activation; what is active at all has at least one."""
    return 0 if value <= 0 or largest <= 0 else max(1, round(10 * value / largest))


def _stretch(lengths: Sequence[int], centre: int, cap: int) -> tuple[int, int]:
    """The first token and the one behind the last of a stretch around a token, `LEFT` times as long before it."""
    first, stop = centre, centre + 1
    left, right = 0, lengths[centre]
    while first > 0 or stop < len(lengths):
        grow_left = first > 0 and (stop == len(lengths) or left <= LEFT * right)
        step = lengths[first - 1] if grow_left else lengths[stop]
        if left + right + step > cap:
            break
        if grow_left:
            first, left = first - 1, left + step
        else:
            stop, right = stop + 1, right + step
    return first, stop


def quote(token: str) -> str:
    """A token in quotation marks that it does not hold itself, so that its blanks are seen."""
    inner = clip("␣" * len(token) if token and not token.strip(" ") else spell_token(token), 40)
    return f"'{inner}'" if '"' in inner else f'"{inner}"'


def spell(text: str) -> str:
    """The text as one line in which everything can be seen, and whose signs are not taken for marks."""
    plain = text.replace("\t", "⇥").replace("«", "‹").replace("»", "›").replace("|", "¦")
    plain = escape("".join(map(_spell_space, plain)))
    return _BLANKS.sub(lambda found: "␣" * len(found[0]) if len(found[0]) < 5 else f"␣×{len(found[0])} ", plain)


def _spell_space(letter: str) -> str:
    odd = letter == "\ufffd" or (letter != " " and unicodedata.category(letter) == "Zs")
    return f"\\u{{{ord(letter):x}}}" if odd else letter


def spell_token(token: str) -> str:
    """The same of a token, which is cut off where it is long."""
    return _known(token) if len(token) <= _LONG else _plain(token)


def _plain(token: str) -> str:
    return clip(spell(token), _LONG)


_known = functools.lru_cache(maxsize=2**13)(_plain)
"""The same few thousand tokens come again and again."""
