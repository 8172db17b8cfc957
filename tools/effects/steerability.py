"""Input and output score: whether a feature reads the tokens it writes, and whether it can make the model write them.

After Arad et al., "SAEs are good for steering, if you select the right features" (arXiv 2505.20063): features that read
well are rarely those that steer well, and steering works on those with a high output score. Both speak of the same twenty
tokens, those that the feature's own direction alone would make likeliest.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tools.activity.activations import Recording
from tools.bench.workbench import Workbench
from tools.effects.intervention import Addition, Intervention
from tools.effects.steering import prompt_rows, rows_per_batch

TOKENS = 20
NEUTRAL_PROMPT = "From my experience,"
AMPLITUDE = 10.0
"""Times the largest activation of any feature at the prompt's last position."""
FEWEST_TEXTS, MOST_TEXTS = 10, 100


def own_tokens(bench: Workbench, directions: Float[Tensor, "n d_model"]) -> Int64[Tensor, "n k"]:
    """The tokens that each direction makes likeliest as a final residual of its own."""
    blocks = directions.split(rows_per_batch(bench, 1))
    return torch.cat([bench.unembed(block).topk(min(TOKENS, bench.W_U.shape[1])).indices.cpu() for block in blocks])


def score_input(recording: Recording, column: int, token_ids: Int64[Tensor, " k"]) -> float | None:
    """Share of a direction's texts, the most active ones, whose most active token is listed; None for fewer than ten."""
    values = torch.from_numpy(recording.activations[..., column])
    peaks, places = values.max(dim=1)
    rows = torch.argsort(peaks, descending=True, stable=True)[:MOST_TEXTS]
    rows = rows[peaks[rows] > 0]
    if len(rows) < FEWEST_TEXTS:
        return None
    tokens = torch.from_numpy(recording.rows.tokens)[rows, places[rows]]
    return float(torch.isin(tokens, token_ids).float().mean())


def score_output(
    bench: Workbench,
    directions: Float[Tensor, "n d_model"],
    token_ids: Int64[Tensor, "n k"],
    prompt: str = NEUTRAL_PROMPT,
    amplitude: float = AMPLITUDE,
) -> Float[Tensor, " n"]:
    """(1 - rank / vocabulary) times probability of each direction's best token, when the direction is added strongly.

    It is added at the last position of a neutral prompt alone, everything else kept. 1: one of its tokens is bound to follow.
    """
    ids = bench.tokenize(prompt)
    row = prompt_rows(bench, ids, 1)
    strongest = float(bench.encode(bench.residuals(row))[0, -1].max())
    found: list[Tensor] = []
    block = rows_per_batch(bench, len(ids) + 1)
    for some, listed in zip(directions.split(block), token_ids.split(block), strict=True):
        vectors = torch.zeros(len(some), len(ids) + 1, some.shape[1], device=some.device)
        vectors[:, -1] = amplitude * strongest * some
        logits = bench.step(row.expand(len(some), -1), None, Intervention(Addition(vectors))).logits.cpu()
        best = logits.gather(1, listed).max(dim=1).values
        rank = (logits > best[:, None]).sum(dim=1)
        found.append((1 - rank / logits.shape[1]) * (best - logits.logsumexp(dim=1)).exp())
    return torch.cat(found)
