"""What may stand around an answer: thoughts, channels, fences, prose, and what is left of a chat template.

Only what stands outside thoughts counts. Markup inside the texts of a JSON object is text.
"""

from __future__ import annotations

import re

from pydantic import JsonValue

from agent.llm.errors import Unfit
from agent.llm.reading.spellings import read_object, read_text

_TAGS = (
    r"(?:\w+[:_])?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|analysis|scratch_?pad|monologue|cot|"
    r"chain[_-]of[_-]thought|drafts?|plan(?:ning)?)"
)
_CLOSERS = (
    rf"</{_TAGS}\s*> | \[/THINK(?:ING)?\] | ◁/think▷ | <channel\|> | <unused95> | <\|inner_suffix\|>"
    r" | <\|(?:/|end_(?:of_)?)(?:think(?:ing)?|thought)\|>"
)
_MARKS = re.compile(
    rf"""
      (?P<brace>\{{)
    | (?P<channel><\|channel\|>(?P<name>\s*\w*)(?:[^<{{]*(?:<\|constrain\|>[^<{{]*)?<\|message\|>)?)
    | (?P<close>{_CLOSERS})
    | (?P<open><{_TAGS}(?:\s[^<>]{{0,80}})?> | \[THINK(?:ING)?\] | ◁think▷ | <\|channel> | <unused94> | <\|inner_prefix\|>
        | <\|(?:(?:begin|start)_(?:of_)?)?(?:think(?:ing)?|thought)\|>)
    | (?P<final><(?:final_?)?(?:answer|response|solution|conclusion|output|result)> | <final>
        | <\|(?:begin|start)_(?:of_)?(?:solution|response|answer)\|> | \[BEGIN\ FINAL\ RESPONSE\])
    | (?P<turn><\|im_(?:end|start)\|> | </s> | <\|e(?:ot|om)_id\|> | <end_of_turn> | <\|end(?:oftext|_of_text)?\|>
        | <\|return\|> | <｜end▁of▁sentence｜> | \[/?INST\] | <turn\|> | <\|END_OF_TURN_TOKEN\|> | <\|user\|>)
    """,
    re.VERBOSE | re.IGNORECASE,
)
THOUGHT_ENDS = re.compile(_CLOSERS, re.VERBOSE | re.IGNORECASE)
_PLAIN_BRACES = re.compile(r"\{[^{}\"']*\}")
_GRANITE = re.compile(
    r"\A\s*Here(?:'s| is) my thought process:(?P<thought>.*?)(?:Here(?:'s| is) my response:|\Z)", re.DOTALL
)
_BARE_CHANNELS = re.compile(r"\A\s*(?:analysis|commentary).*assistant\s*final", re.DOTALL)
_LIST_BEGINS, _LIST_GOES_ON, _NEAR = re.compile(r"\[\s*\Z"), re.compile(r"\s*,"), 40
_END_OF_TEXT = re.compile(r"[\"']\s*[,:\]}]")
BROKEN = "there is JSON in it that does not parse: broken off, or not JSON throughout"
UNENDED = "it holds a thought that was never ended, and no answer after it"


def object_in(text: str) -> dict[str, JsonValue]:
    """The only object in a reply, outside its thoughts.

    An opening tag may be missing, where the chat template wrote it: what stands before a closing one is thought. What
    follows the mark of a final answer counts alone. Of several objects all must be equal. Braces in prose are passed
    over if they hold neither quotes nor braces; any other brace that begins no object is taken for broken JSON, so that
    a part of a broken object is never read as the whole.

    Raises:
        Unfit: `unparseable`.
    """
    stripped = text.strip("\ufeff\u200b \t\r\n")
    if stripped.startswith('"{'):  # JSON written as a text within JSON
        stripped = _unquoted(stripped)
    scan = _Scan(_without_words_of_thought(stripped))
    return scan.only()


class _Scan:
    """One pass over a text from mark to mark."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._found: list[tuple[dict[str, JsonValue], int, int]] = []
        """Objects, each with where it begins and ends."""
        self._broken = False
        self._over = False
        """The model's turn has ended: what follows is another's, unless a final answer is marked."""
        self._doubt: int | None = None
        """Where a mark ends that came after broken JSON: it may stand in a text of that, and all that follows too."""
        self._run()

    def only(self) -> dict[str, JsonValue]:
        """The one object that was found."""
        if self._broken or self._is_inside():
            raise Unfit("unparseable", BROKEN)
        if not self._found:
            raise Unfit("unparseable", "there is no JSON object in it")
        first, *others = [value for value, _, _ in self._found]
        if any(other != first for other in others):
            number = len(self._found)
            raise Unfit("unparseable", f"there are {number} different JSON objects in it where one was asked for")
        return first

    def _run(self) -> None:
        at = 0
        while mark := _MARKS.search(self._text, at):
            at = mark.end()
            if mark.lastgroup == "brace":
                at = self._take(mark.start())
            elif mark["open"]:
                self._broken |= self._doubt is not None and bool(
                    _END_OF_TEXT.search(self._text, self._doubt, mark.start())
                )
                at = self._end_of_thought(at)
            elif mark["close"] or mark["final"] or (mark["name"] or "").strip().lower() == "final":
                self._forget(at)
            elif mark["channel"]:
                at = self._next_channel(at)
            elif self._found:
                self._over = True

    def _forget(self, at: int) -> None:
        """What came before a mark was no answer."""
        self._doubt = at if self._broken or self._doubt is not None else None
        self._found, self._broken, self._over = [], False, False

    def _is_inside(self) -> bool:
        """Whether the end of a JSON text stands outside the objects found: then they are parts of a broken one."""
        if self._doubt is None:
            return False
        places = [(start, end) for _, start, end in self._found if start >= self._doubt]
        ends, starts = [self._doubt, *(end for _, end in places)], [*(start for start, _ in places), len(self._text)]
        outside = (self._text[end:start] for end, start in zip(ends, starts, strict=True))
        return any(map(_END_OF_TEXT.search, outside)) or any(not value for value, _, _ in self._found)

    def _take(self, start: int) -> int:
        if self._broken or self._over:
            return start + 1
        read = _object_at(self._text, start)
        if isinstance(read, int):
            self._broken = read == start + 1
            return read
        value, end = read
        if _LIST_BEGINS.search(self._text, max(0, start - _NEAR), start) and _LIST_GOES_ON.match(self._text, end):
            raise Unfit("unparseable", "it holds a list where one JSON object was asked for")
        self._found.append((value, start, end))
        return end

    def _end_of_thought(self, at: int) -> int:
        """Where the thought ends that begins here; a closing tag in a draft's text does not end it."""
        broken = False
        while mark := _MARKS.search(self._text, at):
            at = mark.end()
            if mark["close"]:
                self._doubt = at if broken or self._doubt is not None else None
                return at
            if mark["brace"] and not broken:
                read = _object_at(self._text, mark.start())
                broken = read == mark.start() + 1
                at = read if isinstance(read, int) else read[1]
        raise Unfit("unparseable", UNENDED)

    def _next_channel(self, at: int) -> int:
        following = self._text.find("<|channel|>", at)
        if following == -1:
            raise Unfit("unparseable", UNENDED)
        return following


def _object_at(text: str, start: int) -> tuple[dict[str, JsonValue], int] | int:
    """The object at a brace and its end; or where to go on: after braces in prose, or one further if it is broken."""
    try:
        return read_object(text, start)
    except ValueError:
        plain = _PLAIN_BRACES.match(text, start)
        return plain.end() if plain else start + 1


def _unquoted(text: str) -> str:
    try:
        value = read_text(text)
    except ValueError:
        return text
    return value if isinstance(value, str) else text


def _without_words_of_thought(text: str) -> str:
    """The text without thoughts that words set apart: Granite's, and gpt-oss's where its markup was left out."""
    if granite := _GRANITE.match(text):
        if granite.end() == len(text):
            raise Unfit("unparseable", UNENDED)
        return text[granite.end() :]
    if bare := _BARE_CHANNELS.match(text):
        return text[bare.end() :]
    return text
