"""A byte-level BPE tokenizer of the study's own, saved in Hugging Face's layout."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
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
