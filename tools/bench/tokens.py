"""A tokenizer as the instruments use it: the text of every token with its spaces, and the token that opens a row.

A token's text is read beside a neighbour. Alone, many tokenizers strip it (SentencePiece with a final Strip: Llama 2,
Mistral, Gemma) or join it to nothing (WordPiece's `##`), so that " doctor" would be told from "doctor" by nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tools.errors import LoadError

_NEIGHBOURS = ("a", "0", ".", "the", "x")
"""Texts whose last token may stand before the one that is read."""
_PROBE = "the"
_BEFORE = "a"
_OPENING_TOKENS = ("<|endoftext|>", "<|begin_of_text|>", "<s>", "<bos>", "[BOS]")
"""What opens a text in tokenizers that name nothing for it; the first that is there."""
_BATCH = 16_384
_REPLACEMENT = "�"


class TokenReader:
    """Reads tokens as text. What is joined of single tokens is what the tokenizer itself makes of them in a row.

    Up to one leading space, which tokenizers strip from a text's beginning; and except for characters that several
    tokens share: each of these reads as U+FFFD alone.
    """

    def __init__(self, tokenizer: Any, rows: int) -> None:
        """`rows` are the model's: tokens that it cannot read are none.

        Raises:
            LoadError: tokenizer and model do not belong together.
        """
        self.tokenizer = tokenizer
        self.ids: frozenset[int] = frozenset(int(i) for i in tokenizer.get_vocab().values() if int(i) < rows)
        """Ids that stand for something; a model's vocabulary may be padded, and have holes."""
        _check_fit(tokenizer, rows)
        self.size = 1 + max(self.ids)
        """Ids from here on are padding of the model's."""
        added = tokenizer.added_tokens_decoder.items()
        self._special = frozenset([*tokenizer.all_special_ids, *(int(i) for i, token in added if token.special)])
        self._neighbour = self._find_neighbour()
        self._prefix = self._raw([self._neighbour]) if self._neighbour is not None else ""

    def strings(self) -> list[str]:
        """Text of every id below `size`, empty where an id stands for nothing."""
        found: list[str] = []
        for start in range(0, self.size, _BATCH):
            found += self._read_each(range(start, min(start + _BATCH, self.size)))
        return found

    def text(self, ids: Iterable[int]) -> str:
        """Text of a row's tokens, its leading space kept; special tokens are left out."""
        kept = [i for i in ids if i in self.ids and i not in self._special]
        if self._neighbour is not None:
            read = self._raw([self._neighbour, *kept])
            if read.startswith(self._prefix):
                return read[len(self._prefix) :]
        return self._raw(kept)

    def word(self, word: str) -> list[int]:
        """Ids of a word as it stands inside a text, one space before it; some tokenizers put a space before any text."""
        before, whole = self._encode(_BEFORE), self._encode(f"{_BEFORE} {word}")
        return whole[len(before) :] if whole[: len(before)] == before else self._encode(f" {word}")

    def encode(self, text: str) -> list[int]:
        """Ids of a text, nothing added; special tokens that the model has no row for are left out."""
        return [i for i in self._encode(text) if i < self.size]

    def _encode(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    def _read_each(self, ids: Sequence[int]) -> list[str]:
        if self._neighbour is None:
            return self._raw_batch([[i] for i in ids])
        beside = self._raw_batch([[self._neighbour, i] for i in ids])
        return [
            text[len(self._prefix) :] if text.startswith(self._prefix) else self._raw([i])
            for i, text in zip(ids, beside, strict=True)
        ]

    def _find_neighbour(self) -> int | None:
        """A token that reads the same whatever comes after it; None where every token stands alone anyway."""
        for text in _NEIGHBOURS:
            encoded = self._encode(text)
            if not encoded or encoded[-1] in self._special or encoded[-1] not in self.ids:
                continue
            alone = self._raw(encoded[-1:])
            if alone.strip() and _REPLACEMENT not in alone and self._raw(encoded[-1:] * 2).startswith(alone):
                return encoded[-1]
        return None

    def _raw(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(
            list(ids),
            skip_special_tokens=False,
            clean_up_tokenization_spaces=False,
            spaces_between_special_tokens=False,
        )

    def _raw_batch(self, rows: list[list[int]]) -> list[str]:
        if getattr(self.tokenizer, "is_fast", False):  # three times as fast as one by one
            return self.tokenizer.backend_tokenizer.decode_batch(rows, skip_special_tokens=False)
        return [self._raw(row) for row in rows]


def first_token(tokenizer: Any, config: Any, rows: int) -> int:
    """Id that opens a row: what the tokenizer itself puts there, else its BOS, else what the model's family uses.

    Models that were trained without one (Qwen, Pythia) have a token between documents, which does its work: the first
    position is left out of everything that is measured, whatever stands there.

    Args:
        tokenizer: the model's.
        config: the model's configuration.
        rows: of the model's embedding.

    Raises:
        LoadError: the tokenizer has no such token.
    """
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    candidates = [
        _added_first(tokenizer),
        tokenizer.bos_token_id,
        getattr(config, "bos_token_id", None),
        *(vocabulary.get(token) for token in _OPENING_TOKENS),
        tokenizer.eos_token_id,
        tokenizer.pad_token_id,
    ]
    known = set(vocabulary.values())
    for found in candidates:
        if isinstance(found, int) and 0 <= found < rows and found in known:
            return found
    raise LoadError(
        "the model's tokenizer has no token that opens a text (BOS), ends one (EOS) or pads: name one "
        "(tokenizer.bos_token = …) and save it again"
    )


def _added_first(tokenizer: Any) -> int | None:
    """The special token that the tokenizer puts before a text by itself."""
    bare: list[int] = tokenizer(_PROBE, add_special_tokens=False, verbose=False)["input_ids"]
    full: list[int] = tokenizer(_PROBE, verbose=False)["input_ids"]
    first = full[0] if len(full) > len(bare) else None
    return first if first in tokenizer.all_special_ids else None


def _check_fit(tokenizer: Any, rows: int) -> None:
    """A tokenizer may know special tokens that the model has no row for, as many fine-tuned ones do, but no others."""
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    if len(vocabulary) < 2:
        raise LoadError("the model's tokenizer is empty: its folder lacks the tokenizer's files")
    added = {int(i) for i in tokenizer.added_tokens_decoder}
    beyond = [token for token, i in vocabulary.items() if i >= rows and int(i) not in added]
    if beyond:
        raise LoadError(
            f"the tokenizer has {len(vocabulary):,} tokens but the model reads {rows:,}: {beyond[0]!r} is none of them, "
            "so that they do not belong together"
        )
