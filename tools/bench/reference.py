"""What the source library's own model says of a fixed text, asked before anything of ours is laid around it.

The bench is held against it (`tools.proof.proof`): a bridge that reads the weights otherwise than their own library does
would be wrong without a sign.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tools.bench.tokens import first_token

TEXTS = (
    "The history of the town begins with a bridge. In 1842 the river was crossed by a ferry, and the first houses",
    'She opened the letter, read it twice, and said: "I don\'t think that we should go back before the winter."',
    "A cell is the smallest unit of life; most animals, plants and fungi are made of many millions of them, and",
    "The match ended 3-1 after extra time. Both teams had played well, but the home side's keeper made two errors",
    "To make the dough, mix 500 g of flour with water and salt, cover it, and leave it in a warm place for an hour",
    "Prices rose by 2.4 % last year, the bank reported on Monday, while wages in the same period hardly changed at",
    "It was raining when the train left the station. Nobody spoke. The old man next to the window had fallen asleep",
    "Patients who took the drug for six weeks slept better than those who were given a placebo, the doctors found in",
)
"""Plain ASCII prose, so that no token is a part of a character."""
POSITIONS = 8
"""Of a row, BOS included: few enough for any model's context with a continuation behind them."""


class Reference(NamedTuple):
    """Logits of the model as its own library runs it, without a hook."""

    tokens: Int64[Tensor, "rows positions"]
    logits: Float[Tensor, "rows positions d_vocab"]
    """In float32, on the processor."""


def probe_rows(tokenizer: Any, bos: int, d_vocab: int, positions: int = POSITIONS) -> Int64[Tensor, "rows positions"]:
    """The texts' first tokens behind BOS, all rows of one length.

    A tokenizer that makes fewer tokens of a text, as one for the moves of a game does, has its rows filled with ids
    drawn from the vocabulary.
    """
    generator = torch.Generator().manual_seed(0)
    rows: list[list[int]] = []
    for text in TEXTS:
        ids = [bos, *tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"][: positions - 1]]
        drawn = torch.randint(d_vocab, (positions - len(ids),), generator=generator).tolist()
        rows.append([*ids, *drawn])
    return torch.tensor(rows, dtype=torch.int64)


@torch.no_grad()
def read_reference(model: Any, tokenizer: Any) -> Reference:
    """Run the model over two of the rows, as its own library would."""
    d_vocab = int(model.config.get_text_config().vocab_size)
    tokens = probe_rows(tokenizer, first_token(tokenizer, model.config, d_vocab), d_vocab)[:2]
    training = model.training
    logits = model.eval()(input_ids=tokens.to(model.device), use_cache=False).logits
    model.train(training)
    return Reference(tokens, logits.float().cpu())
