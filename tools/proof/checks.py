"""What a bench must do to be believed, each as one check on its own model: a number, and how large it may be.

Differences of logits are given in standard deviations of the logits, so that one bound holds for any model. None of the
checks knows how the libraries underneath do their work; each looks at what an instrument would get.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tools.bench.workbench import Workbench
from tools.effects.intervention import Addition, HookCounter, Intervention
from tools.effects.steering import generate
from tools.proof.outcome import Check, Probe

PUSH = 0.5
"""Length of a test's addition, in norms of the residual stream it is added to."""
REACHED = 1e-3
"""A push that moves no logit by so many standard deviations did not arrive."""
TOLERANCE = {torch.float32: 1e-3}
COARSE = 0.2
"""For models computed in bfloat16 or float16."""
READABLE, COARSE_READABLE = 1e-3, 0.03


class Subject(NamedTuple):
    """What the checks share."""

    bench: Workbench
    rows: Int64[Tensor, "rows positions"]
    """Texts of one length, BOS first."""
    new_tokens: int

    @property
    def tolerance(self) -> float:
        """How far two ways to the same logits may differ."""
        return TOLERANCE.get(self.bench.dtype, COARSE)


class Continued(NamedTuple):
    """One prompt continued with the cache, greedily: two rows left alone, one pushed, one pushed the other way."""

    edit: Addition
    tokens: Int64[Tensor, "4 positions"]
    log_probs: Float[Tensor, "4 new"]
    counter: HookCounter


def continue_prompt(subject: Subject) -> Continued:
    """What the instruments' own generation makes of the first row, with the cache and the hook."""
    bench, rows, new = subject
    prompt = rows[0]
    size = PUSH * bench.residuals(prompt[None])[0, 1:].norm(dim=-1).mean()
    push = _unit_vector(bench.directions.shape[1]).to(bench.device) * size
    edit = Addition(torch.stack([torch.zeros_like(push), push, -push, torch.zeros_like(push)]))
    made = generate(bench, prompt[1:].tolist(), edit, np.zeros((4, new), np.float32), temperature=0.0, top_k=1)
    tokens = torch.cat([prompt.repeat(4, 1), torch.from_numpy(made.tokens)], dim=1)
    return Continued(edit, tokens, torch.from_numpy(made.log_probs), made.counter)


def check_cache(subject: Subject, continued: Continued) -> Check:
    """Every token of the cached continuation is the one that a single uncached pass over the whole text finds likeliest."""
    bench, rows, _ = subject
    logits = bench.logits(continued.tokens, Intervention(continued.edit))[:, rows.shape[1] - 1 : -1].cpu()
    likely = logits.log_softmax(dim=-1)
    chosen = likely.gather(2, continued.tokens[:, rows.shape[1] :, None])[..., 0]
    missed = (likely.amax(dim=-1) - chosen).amax()
    moved = (chosen - continued.log_probs).abs().amax()
    return Check(
        name="cache",
        shows="a continuation with the key-value cache is the one without it",
        measured=_finite(torch.maximum(missed, moved) / logits.std()),
        limit=subject.tolerance,
        unit=_SPREAD,
        rests_on=("transformers", "transformer_lens"),
    )


def check_batch(subject: Subject) -> Check:
    """Rows in a batch get the logits that they get alone."""
    bench, rows, _ = subject
    together = bench.logits(rows).cpu()
    alone = torch.cat([bench.logits(row[None]).cpu() for row in rows])
    return Check(
        name="batch",
        shows="a row in a batch is read as it is alone",
        measured=_difference(together, alone),
        limit=subject.tolerance,
        unit=_SPREAD,
        rests_on=("transformers", "torch"),
    )


def check_hook(subject: Subject, continued: Continued) -> Check:
    """The hook ran once for each step and position, and a push at a position moves that one's logits and no earlier ones."""
    bench, rows, new = subject
    n = rows.shape[1]
    calls, positions = continued.counter
    miscounted = abs(calls - new) + abs(positions - (n + new - 1))
    row = rows[0].repeat(n, 1)
    residual = bench.residuals(rows[:1])[0]  # [positions, d_model]
    sizes = residual.norm(dim=-1, keepdim=True)
    sizes = sizes.clamp_min(float(sizes.median()))  # a padding token's embedding, which may open a row, is all zeros
    push = _unit_vector(residual.shape[1]).to(residual) * PUSH * sizes
    vectors = torch.zeros(n, n, residual.shape[1], device=bench.device)
    vectors[range(n), range(n)] = push  # row i is pushed at position i
    before, after = bench.logits(row).cpu(), bench.logits(row, Intervention(Addition(vectors))).cpu()
    moved = (after - before).abs().amax(dim=-1) / before.std()  # [pushed, looked at]
    unreached = int((moved.diagonal() < REACHED).sum())
    leaked = int((moved.tril(-1) > subject.tolerance).sum())
    return Check(
        name="hook",
        shows="the hook runs at every position, and what it adds acts there and on nothing before",
        measured=miscounted + unreached + leaked,
        limit=0,
        unit="positions where it does not",
        rests_on=("transformer_lens",),
    )


def check_untouched(subject: Subject) -> Check:
    """An addition of nothing leaves the logits as they are."""
    bench, rows, _ = subject
    nothing = Addition(torch.zeros(len(rows), bench.directions.shape[1], device=bench.device))
    return Check(
        name="strength 0",
        shows="steering with strength 0 changes nothing",
        measured=_difference(bench.logits(rows, Intervention(nothing)).cpu(), bench.logits(rows).cpu()),
        limit=1e-6,
        unit=_SPREAD,
        rests_on=("transformer_lens",),
    )


def check_source(subject: Subject) -> Check:
    """The logits are those of the model as its own library ran it before anything was laid around it."""
    bench = subject.bench
    reference, measured = bench.reference, None
    if reference is not None:
        measured = _difference(bench.logits(reference.tokens).cpu(), reference.logits[..., : bench.n_tokens])
    return Check(
        name="source",
        shows="the logits are those of the model run by its own library",
        measured=measured,
        limit=subject.tolerance,
        unit=_SPREAD,
        rests_on=("transformers", "transformer_lens"),
    )


def check_places(subject: Subject) -> Check:
    """The residual stream read by a stopped pass is the one the hook sees, and the last one unembeds to the logits."""
    bench, rows, _ = subject
    seen: list[Tensor] = []

    def look(residual: Tensor) -> Tensor:
        seen.append(residual.detach().clone())
        return residual

    logits = bench.logits(rows, look).cpu()
    read = bench.residuals(rows)
    stopped = _finite((read - seen[0]).abs().amax() / read.std()) if seen else None
    rebuilt = _difference(bench.unembed(bench.final_residual(rows)).cpu(), logits)
    return Check(
        name="residual stream",
        shows="what is read is what the hook sees, and the last of it gives the model's logits",
        measured=None if stopped is None or rebuilt is None else max(stopped, rebuilt),
        limit=subject.tolerance,
        unit=_SPREAD,
        rests_on=("transformer_lens",),
    )


def check_unembedding(subject: Subject) -> Check:
    """The matrix that directions are projected on gives the model's logits from its normed final residual.

    Up to a constant a token (a bias) and one a position (softmax does not see it): both are taken out.
    """
    bench, rows, _ = subject
    final = bench.final_residual(rows[:, 1:])
    wanted = _centred(bench.readout.step.undo_cap(bench.unembed(final)))
    candidates = [_centred(normed @ bench.W_U.to(normed)) for normed in _normed(final)]
    missed = torch.stack([(found - wanted).norm() for found in candidates]).amin() / wanted.norm().clamp_min(1e-12)
    return Check(
        name="unembedding",
        shows="the matrix that directions are projected on reproduces the model's own logits",
        measured=_finite(missed),
        limit=READABLE if bench.dtype == torch.float32 else COARSE_READABLE,
        unit="of the logits' size missed",
        rests_on=("transformer_lens",),
    )


def check_token_strings(subject: Subject, texts: tuple[str, ...]) -> Check:
    """The strings shown for tokens, joined, are the text that the tokenizer makes of them.

    A space at the beginning does not count: many tokenizers take away the one that they put there.
    """
    bench = subject.bench
    wrong = 0
    for text in texts:
        ids = bench.tokenize(text)
        joined, whole = "".join(bench.token_strings[i] for i in ids), bench.decode(ids)
        wrong += joined.removeprefix(" ") != whole.removeprefix(" ")
    return Check(
        name="token strings",
        shows="token strings joined are the tokenizer's text",
        measured=wrong,
        limit=0,
        unit=f"of {len(texts)} texts that differ",
        rests_on=("transformers", "tokenizers"),
    )


def check_reconstruction(probe: Probe, claimed: tuple[float, float] | None) -> Check | None:
    """The SAE explains as much variance as its own figures say; None if the study states none for it."""
    if claimed is None:
        return None
    low, high = claimed
    found = probe.explained_variance
    return Check(
        name="reconstruction",
        shows=f"the SAE explains the {low:.0%} to {high:.0%} of the variance that its figures claim, here {found:.0%}",
        measured=_finite(torch.tensor(max(low - found, found - high, 0.0))),
        limit=0,
        unit="of the variance outside of that",
        rests_on=("sae_lens", "transformer_lens"),
    )


_SPREAD = "standard deviations of the logits"


def _difference(ours: Float[Tensor, "*ours"], theirs: Float[Tensor, "*theirs"]) -> float | None:
    """Largest difference once each position's mean is taken out, in standard deviations; None where shapes differ."""
    if ours.shape != theirs.shape:
        return None
    apart = (ours - ours.mean(dim=-1, keepdim=True)) - (theirs - theirs.mean(dim=-1, keepdim=True))
    return _finite(apart.abs().amax() / theirs.std().clamp_min(1e-12))


def _finite(value: Tensor) -> float | None:
    return float(value) if bool(torch.isfinite(value)) else None


def _centred(logits: Float[Tensor, "rows positions d_vocab"]) -> Float[Tensor, "rows positions d_vocab"]:
    over_tokens = logits - logits.mean(dim=-1, keepdim=True)
    return over_tokens - over_tokens.mean(dim=(0, 1), keepdim=True)


def _normed(final: Float[Tensor, "rows positions d_model"]) -> list[Float[Tensor, "rows positions d_model"]]:
    """The final residual under each norm a model may end with, without its weights: RMS, LayerNorm, none."""
    centred = final - final.mean(dim=-1, keepdim=True)
    rms = final.pow(2).mean(dim=-1, keepdim=True).sqrt().clamp_min(1e-12)
    return [final / rms, centred / centred.pow(2).mean(dim=-1, keepdim=True).sqrt().clamp_min(1e-12), final]


def _unit_vector(d_model: int) -> Float[Tensor, " d_model"]:
    drawn = torch.randn(d_model, generator=torch.Generator().manual_seed(0))
    return drawn / drawn.norm()
