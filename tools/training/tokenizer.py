"""Tokenizers of the project's own, in Hugging Face's layout: byte-level BPE of a study's text, words of a world's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tools.training.corpora import read_documents
from tools.training.recipe import TokenizerRecipe

END_OF_TEXT = "<|endoftext|>"


def train_tokenizer(data: Path, corpora: list[str], recipe: TokenizerRecipe, out: Path) -> None:
    """Learn the merges from the first documents of each corpus and write `tokenizer.json` into `out`."""
    sample = [text for corpus in corpora for text in read_documents(data, corpus)[: recipe.sample_documents]]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    bpe.train_from_iterator(sample, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=END_OF_TEXT, eos_token=END_OF_TEXT, unk_token=END_OF_TEXT, pad_token=END_OF_TEXT
    )
    fast.save_pretrained(out)


def word_tokenizer(vocabulary: Sequence[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words and marks; what else a text holds is passed over.

    Args:
        vocabulary: text of every token, with the space before it where it has one; the first opens and ends texts. A word
            without a space stands after an opening mark.
    """
    special = vocabulary[0]
    words = Tokenizer(models.WordLevel({text: token for token, text in enumerate(vocabulary)}, unk_token=special))
    words.normalizer = normalizers.Sequence([normalizers.Strip(), normalizers.Prepend(" ")])
    longest_first = sorted(vocabulary[1:], key=len, reverse=True)
    words.pre_tokenizer = pre_tokenizers.Split(Regex("|".join(map(_pattern, longest_first))), "removed", invert=True)
    words.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token=special, eos_token=special, unk_token=special, pad_token=special
    )


def _pattern(text: str) -> str:
    """Where a token stands by itself, and is no part of a longer word."""
    before = "" if not text[0].isalnum() else r"(?<![\w\s])"
    after = r"(?!\w)" if text[-1].isalnum() else ""
    return f"{before}{re.escape(text)}{after}"
