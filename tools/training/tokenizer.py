"""Tokenizers of the project's own, in Hugging Face's layout: byte-level BPE of a study's text, words of a world's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tools.training.corpora import read_documents
from tools.training.recipe import TokenizerRecipe

END_OF_TEXT = "<|endoftext|>"
_WORD = r" ?[^\s“”‘’(),.!?:;]+| ?[“‘(]|[”’),.!?:;]"
"""A word or an opening mark with the space before it, or any other mark."""


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
    """One token a word, with the space before it, and one a mark; what is not in the vocabulary is the first token.

    Args:
        vocabulary: text of every token; the first opens and ends texts.
    """
    words = Tokenizer(models.WordLevel({text: token for token, text in enumerate(vocabulary)}, unk_token=vocabulary[0]))
    words.normalizer = normalizers.Sequence([normalizers.Strip(), normalizers.Prepend(" ")])
    words.pre_tokenizer = pre_tokenizers.Split(Regex(_WORD), "isolated")
    words.decoder = decoders.Fuse()
    special = vocabulary[0]
    return PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token=special, eos_token=special, unk_token=special, pad_token=special
    )
