"""Tokens read as text: joined, they are what their tokenizer makes of them in a row, whatever kind it is of."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from tools.bench.tokens import TokenReader, first_token
from tools.errors import LoadError

TEXTS = (
    "The doctor was in the river, and the nurse with him.",
    "A garden of winter music; don't go in!",
    "un garçon naïf  (two spaces)\nand\ta tab",
)
_BYTES = [f"<0x{i:02X}>" for i in range(256)]


def byte_level(**named: Any) -> Any:
    """As GPT-2, Pythia, Llama 3 and Qwen."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    specials = list(named.pop("specials", ["<|endoftext|>"]))
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, **named)


def _sentence_piece(normalised: bool, strips: bool) -> Any:
    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if normalised:
        made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=["<unk>", "<s>", "</s>", *_BYTES], show_progress=False)
    made.train_from_iterator([text.replace("ç", "c").replace("ï", "i") for text in TEXTS], trainer)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    made.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if strips else steps)
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    table = json.loads(made.to_str())  # byte pieces are ordinary entries, and only a trainer takes them for special
    table["added_tokens"] = [entry for entry in table["added_tokens"] if entry["content"] not in _BYTES]
    made = Tokenizer.from_str(json.dumps(table))
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def llama_2() -> Any:
    """A normalizer sets the spaces, and the decoder strips the first; as Llama 2, Mistral and TinyLlama."""
    return _sentence_piece(normalised=True, strips=True)


def gemma() -> Any:
    """The same, and nothing is stripped."""
    return _sentence_piece(normalised=True, strips=False)


def metaspace() -> Any:
    """A pre-tokenizer sets the spaces; as newer SentencePiece conversions."""
    return _sentence_piece(normalised=False, strips=True)


def metaspace_decoder() -> Any:
    """The decoder of that name, which takes the first space away."""
    made = _sentence_piece(normalised=False, strips=False)
    made.backend_tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    return made


def word_piece() -> Any:
    """Inner pieces are marked, beginnings are not; as BERT."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece(cleanup=False)
    made.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=120, special_tokens=["[UNK]", "[CLS]"]))
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]", cls_token="[CLS]")


def with_added_tokens() -> Any:
    made = llama_2()
    made.add_tokens([AddedToken("<|tool|>", special=True), AddedToken("nurse with", normalized=False)])
    return made


KINDS: dict[str, Callable[[], Any]] = {
    made.__name__: made
    for made in (byte_level, llama_2, gemma, metaspace, metaspace_decoder, word_piece, with_added_tokens)
}


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return KINDS[request.param]()


@pytest.fixture(scope="module")
def reader(tokenizer: Any) -> TokenReader:
    return TokenReader(tokenizer, 1000)


def decode(tokenizer: Any, ids: list[int]) -> str:
    return tokenizer.decode(ids, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize("text", TEXTS)
def test_joined_strings_are_the_tokenizers_own_text(tokenizer: Any, reader: TokenReader, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    strings = reader.strings()
    own = decode(tokenizer, ids)
    assert own.strip()
    joined = "".join(strings[i] for i in ids)
    if not any("�" in strings[i] for i in ids):  # else a character is shared by tokens
        assert joined.removeprefix(" ") == own.removeprefix(" ")
    assert reader.text(ids).removeprefix(" ") == own.removeprefix(" ")


@given(words=st.lists(st.sampled_from(" ".join(TEXTS[:2]).split()), min_size=1, max_size=12))
def test_any_row_of_known_words_is_rebuilt(tokenizer: Any, reader: TokenReader, words: list[str]) -> None:
    ids = tokenizer(" ".join(words), add_special_tokens=False)["input_ids"]
    strings = reader.strings()
    assert "".join(strings[i] for i in ids).removeprefix(" ") == decode(tokenizer, ids).removeprefix(" ")


def test_words_keep_the_space_that_opens_them(tokenizer: Any, reader: TokenReader) -> None:
    strings = reader.strings()
    ids = tokenizer("river the river", add_special_tokens=False)["input_ids"]
    assert "".join(strings[i] for i in ids).strip() == "river the river"
    assert sum(string.startswith(" ") for string in strings) > 10


def test_byte_pieces_and_lone_spaces_are_text() -> None:
    made = llama_2()
    strings = TokenReader(made, 1000).strings()
    assert strings[made.convert_tokens_to_ids("<0x0A>")] == "\n"
    assert strings[made.convert_tokens_to_ids("▁")] == " "
    assert strings[made.convert_tokens_to_ids("<0xE2>")] == "�"


def test_special_tokens_are_left_out_of_a_rows_text(tokenizer: Any, reader: TokenReader) -> None:
    special = next(i for i, token in tokenizer.added_tokens_decoder.items() if token.special)
    ids = tokenizer("the river", add_special_tokens=False)["input_ids"]
    assert reader.text([special, *ids, special]).strip() == "the river"


def test_continuation_keeps_its_leading_space() -> None:
    made = llama_2()
    ids = made("the river", add_special_tokens=False)["input_ids"]
    assert TokenReader(made, 1000).text(ids) == " the river"
    inner = [i for i in ids if not made.convert_ids_to_tokens(i).startswith("▁")]
    assert not TokenReader(made, 1000).text(inner[:1]).startswith(" ")


def test_word_inside_a_text_is_its_own_tokens(tokenizer: Any, reader: TokenReader) -> None:
    """Whether or not the tokenizer puts a space before a text by itself."""
    strings = reader.strings()
    assert "".join(strings[i] for i in reader.word("river")) == reader.text(reader.word("river")) == " river"


def test_reading_a_large_vocabulary_takes_seconds() -> None:
    words = {f"▁w{i}": i for i in range(256_000)}
    made = Tokenizer(models.WordLevel({**words, "a": 256_000}, unk_token="a"))
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, unk_token=None)
    began = time.process_time()
    strings = TokenReader(tokenizer, 256_001).strings()
    assert time.process_time() - began < 20
    assert (len(strings), strings[255_999]) == (256_001, " w255999")


# Tokenizers beside their models


def test_padding_of_the_models_is_no_token(reader: TokenReader, tokenizer: Any) -> None:
    assert reader.size == len(tokenizer)
    assert reader.text([*tokenizer("river", add_special_tokens=False)["input_ids"], 999]).strip() == "river"


def test_hole_in_the_vocabulary_reads_as_nothing() -> None:
    made = Tokenizer(models.WordLevel({"a": 0, "river": 1, "doctor": 5}, unk_token="a"))
    found = TokenReader(PreTrainedTokenizerFast(tokenizer_object=made, unk_token="a"), 8)
    assert found.ids == {0, 1, 5}
    strings = found.strings()
    assert len(strings) == 6
    assert not any(string.strip() for string in strings[2:5])


def test_tokenizer_with_more_tokens_than_the_model_is_refused() -> None:
    with pytest.raises(LoadError, match=r"tokens but the model reads 300: .* do not belong together"):
        TokenReader(byte_level(), 300)


def test_special_tokens_that_the_model_was_never_widened_for_are_none_of_its_tokens() -> None:
    made = byte_level()
    rows = len(made)
    made.add_special_tokens({"pad_token": "[PAD]"})
    assert made.pad_token_id == rows
    found = TokenReader(made, rows)
    assert found.size == rows
    assert made.pad_token_id not in found.ids


def test_empty_tokenizer_is_refused() -> None:
    made = Tokenizer(models.BPE(vocab={"<|endoftext|>": 0}, merges=[]))
    with pytest.raises(LoadError, match="tokenizer is empty"):
        TokenReader(PreTrainedTokenizerFast(tokenizer_object=made), 50)


# What opens a row


def no_config(**named: Any) -> Any:
    return SimpleNamespace(**{"bos_token_id": None, **named})


def test_token_that_the_tokenizer_puts_first_opens_a_row() -> None:
    made = llama_2()
    assert first_token(made, no_config(), 1000) == made.bos_token_id == 1


def test_bos_opens_a_row_though_the_tokenizer_adds_none() -> None:
    made = byte_level(bos_token="<|endoftext|>")
    assert first_token(made, no_config(), 1000) == made.bos_token_id == 0


def test_models_own_configuration_comes_before_the_end_of_a_turn() -> None:
    """As in Qwen's instruction models, where the tokenizer names no BOS and its EOS ends a turn."""
    made = byte_level(specials=["<|end|>", "<|start|>", "<|turn|>"], eos_token="<|turn|>")
    assert first_token(made, no_config(bos_token_id=0), 1000) == 0


def test_token_between_documents_opens_a_row_where_nothing_is_named() -> None:
    made = byte_level(specials=["<|turn|>", "<|endoftext|>"], eos_token="<|turn|>")
    assert first_token(made, no_config(), 1000) == made.convert_tokens_to_ids("<|endoftext|>") == 1


def test_padding_opens_a_row_where_nothing_else_is_there() -> None:
    made = byte_level(specials=["<pad>"], pad_token="<pad>")
    assert first_token(made, no_config(bos_token_id=5_000), 1000) == 0, "an id beyond the vocabulary is none"


def test_tokenizer_without_any_such_token_is_refused() -> None:
    with pytest.raises(LoadError, match="no token that opens a text"):
        first_token(byte_level(specials=[]), no_config(), 1000)
