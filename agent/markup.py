"""What may stand around an answer: thoughts, channels, fences, prose, and what is left of a chat template.

Only what stands outside thoughts counts. Markup inside the texts of a JSON object is text.
"""

from __future__ import annotations

import re

from pydantic import JsonValue

from agent.errors import Unfit
from agent.spellings import read_object, read_text

_TAGS = (
    r"(?:\w+[:_])?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|analysis|scratch_?pad|monologue|cot|"
    r"chain[_-]of[_-]thought|drafts?|plan(?:ning)?)"
)
_MARKS = re.compile(
    rf"""
      (?P<brace>\{{)
    | (?P<channel><\|channel\|>(?P<name>\s*\w*)[^<]*(?:<\|constrain\|>[^<]*)?(?:<\|message\|>)?)
    | (?P<close></{_TAGS}\s*> | \[/THINK(?:ING)?\] | ◁/think▷ | <channel\|> | <unused95> | <\|inner_suffix\|>
        | <\|(?:/|end_(?:of_)?)(?:think(?:ing)?|thought)\|>)
    | (?P<open><{_TAGS}(?:\s[^<>]{{0,80}})?> | \[THINK(?:ING)?\] | ◁think▷ | <\|channel> | <unused94> | <\|inner_prefix\|>
        | <\|(?:(?:begin|start)_(?:of_)?)?(?:think(?:ing)?|thought)\|>)
    | (?P<final><(?:final_?)?(?:answer|response|solution|conclusion|output|result)> | <final>
        | <\|(?:begin|start)_(?:of_)?(?:solution|response|answer)\|> | \[BEGIN\ FINAL\ RESPONSE\])
    | (?P<turn><\|im_(?:end|start)\|> | </s> | <\|e(?:ot|om)_id\|> | <end_of_turn> | <\|end(?:oftext|_of_text)?\|>
        | <\|return\|> | <｜end▁of▁sentence｜> | \[/?INST\] | <turn\|> | <\|END_OF_TURN_TOKEN\|> | <\|user\|>)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_PLAIN_BRACES = re.compile(r"\{[^{}\"']*\}")
_GRANITE = re.compile(
    r"\A\s*Here(?:'s| is) my thought process:(?P<thought>.*?)(?:Here(?:'s| is) my response:|\Z)", re.DOTALL
)
_BARE_CHANNELS = re.compile(r"\A\s*(?:analysis|commentary).*assistant\s*final", re.DOTALL)
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
        self._found: list[dict[str, JsonValue]] = []
        self._broken = False
        self._over = False
        """The model's turn has ended: what follows is another's, unless a final answer is marked."""
        self._run()

    def only(self) -> dict[str, JsonValue]:
        """The one object that was found."""
        if self._broken:
            raise Unfit("unparseable", BROKEN)
        if not self._found:
            raise Unfit("unparseable", "there is no JSON object in it")
        if any(value != self._found[0] for value in self._found):
            number = len(self._found)
            raise Unfit("unparseable", f"there are {number} different JSON objects in it where one was asked for")
        return self._found[0]

    def _run(self) -> None:
        at = 0
        while mark := _MARKS.search(self._text, at):
            at = mark.end()
            if mark.lastgroup == "brace":
                at = self._take(mark.start())
            elif mark["open"]:
                at = self._end_of_thought(at)
            elif mark["close"] or mark["final"] or (mark["name"] or "").strip().lower() == "final":
                self._forget()
            elif mark["channel"]:
                at = self._next_channel(at)
            elif self._found:
                self._over = True

    def _forget(self) -> None:
        self._found, self._broken, self._over = [], False, False

    def _take(self, start: int) -> int:
        if self._broken or self._over:
            return start + 1
        try:
            value, end = read_object(self._text, start)
        except ValueError:
            plain = _PLAIN_BRACES.match(self._text, start)
            self._broken = plain is None
            return plain.end() if plain else start + 1
        before, after = self._text[:start].rstrip(), self._text[end:].lstrip()
        if before.endswith("[") and after.startswith(","):
            raise Unfit("unparseable", "it holds a list where one JSON object was asked for")
        self._found.append(value)
        return end

    def _end_of_thought(self, at: int) -> int:
        while mark := _MARKS.search(self._text, at):
            at = mark.end()
            if mark["close"]:
                return at
        raise Unfit("unparseable", UNENDED)

    def _next_channel(self, at: int) -> int:
        following = self._text.find("<|channel|>", at)
        if following == -1:
            raise Unfit("unparseable", UNENDED)
        return following


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
