"""One direction, ready for the instruments of the catalogue: what they share is measured once and kept here.

A random direction is given to them exactly like a feature: it has no encoder, so it counts as active where its component
of the residual stream exceeds the level at which it is as dense as the observation found it (`tools.activity.activations`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tools.activity.activations import ROWS_PER_BATCH
from tools.bench.workbench import Workbench
from tools.catalogue.common_words import CommonWords, find_common_words
from tools.effects.promise import order_by_frequency
from tools.errors import ToolError
from tools.records import Evidence
from tools.study.corpus import TokenRows
from tools.study.definition import Study
from tools.survey.lexicon import Lexicon, build_lexicon
from tools.survey.projection import draw_random_stratum
from tools.survey.study_lens import find_lens

SAMPLE_ROWS = 256
SAMPLE_WIDTH = 128
ENCODED_ROWS = 16
SUBJECTS_KEPT = 32
"""With their activations in the sample; features are investigated side by side."""
DEFAULT_DENSITY = 0.01
"""Of a random direction for which no observation says otherwise."""


class Sample(NamedTuple):
    """A part of the `train` split whose residual stream is kept at hand."""

    rows: TokenRows
    """Attention sinks are no real tokens in it."""
    residuals: Float[Tensor, "rows width d_model"]
    residual_norm: float
    """Mean length at real tokens, the unit of steering strength."""


@dataclass(frozen=True, eq=False)
class Subject:
    """One direction on the bench."""

    laboratory: Laboratory
    key: str
    row: int | None
    """Row of the decoder; None for a random direction."""
    direction: Float[Tensor, " d_model"]
    level: float
    """Component above which a random direction is active."""
    seen: frozenset[str]
    """Documents the evidence has shown already."""
    largest: float | None = None
    """Activation in the whole corpus, as the observation recorded it: what own sentences are compared with."""

    @property
    def bench(self) -> Workbench:
        """Model and SAE."""
        return self.laboratory.bench

    @property
    def study(self) -> Study:
        """What is looked for."""
        return self.laboratory.study

    @property
    def sample(self) -> Sample:
        """The part of the corpus at hand."""
        return self.laboratory.sample

    def activations(self, residuals: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch"]:
        """Activation of the direction at each position."""
        if self.row is None:
            return (residuals @ self.direction - self.level).clamp_min(0)
        return self.bench.encode(residuals, torch.tensor([self.row]))[..., 0]

    @cached_property
    def sample_values(self) -> Float[Tensor, "rows width"]:
        """Activations in the corpus sample, 0 at BOS and padding; encoded in parts, for every feature comes along."""
        parts = self.sample.residuals.split(ENCODED_ROWS)
        values = torch.cat([self.activations(part) for part in parts])
        return values.masked_fill(~torch.from_numpy(self.sample.rows.real), 0.0)

    def tokenize(self, text: str, room: int = 0) -> list[int]:
        """Ids of a text that leaves `room` positions of the model's context free.

        Raises:
            ToolError: the text is empty or too long.
        """
        ids = self.bench.tokenize(text)
        most = min(self.bench.context_size, SAMPLE_WIDTH) - 1 - room
        if not 0 < len(ids) <= most:
            raise ToolError(f"a text has 1 to {most} tokens, this one {len(ids)}: {text[:60]!r}")
        return ids


class Laboratory:
    """A workbench with the study's lexicon and a sample of its corpus, from which subjects are taken."""

    def __init__(
        self, bench: Workbench, study: Study, seed: int, lens: Float[Tensor, "d_model d_vocab"] | None = None
    ) -> None:
        """Give the survey's `lens` where there is one: the effect lens takes seconds to make again."""
        self.bench = bench
        self.study = study
        self.seed = seed
        self._lens = lens
        self._subjects: dict[str, Subject] = {}

    def subject(self, evidence: Evidence) -> Subject:
        """The direction that the evidence is about, of which there is one for each feature; the last few are kept."""
        key = evidence.feature.key
        subject = self._subjects.pop(key, None) or self._prepare(evidence)
        self._subjects[key] = subject
        if len(self._subjects) > SUBJECTS_KEPT:
            del self._subjects[next(iter(self._subjects))]
        return subject

    def _prepare(self, evidence: Evidence) -> Subject:
        feature = evidence.feature
        shown = evidence.activations
        contexts = (*shown.top, *shown.quantiles) if shown else ()
        density = shown.density if shown else None
        real = feature.kind == "feature"
        if real:
            direction = self.bench.directions[feature.index]
        else:
            direction = draw_random_stratum(self.bench, self.seed, feature.index + 1)[feature.index]
        return Subject(
            laboratory=self,
            key=feature.key,
            row=feature.index if real else None,
            direction=direction,
            level=0.0 if real else self._level(direction, DEFAULT_DENSITY if density is None else density),
            seen=frozenset(context.document for context in contexts),
            largest=shown.max_activation if shown else None,
        )

    @cached_property
    def lexicon(self) -> Lexicon:
        """What the model's tokens mean to the study."""
        return build_lexicon(self.bench.token_strings, self.study)

    @cached_property
    def lens(self) -> Float[Tensor, "d_model d_vocab"]:
        """What directions are projected on (`tools.survey.lens`), made at its first use if it was not given."""
        return find_lens(self.bench, self.study).matrix if self._lens is None else self._lens

    @cached_property
    def sample(self) -> Sample:
        """Rows spread evenly over the `train` split; made at the first use."""
        rows = self.bench.read_text(self.study, "train", min(self.bench.row_width, SAMPLE_WIDTH))
        kept = np.unique(np.linspace(0, len(rows.tokens) - 1, SAMPLE_ROWS).round().astype(int))
        rows = TokenRows(rows.tokens[kept], rows.real[kept], tuple(rows.documents[row] for row in kept))
        tokens = torch.from_numpy(rows.tokens)
        residuals = torch.cat([self.bench.residuals(batch).cpu() for batch in tokens.split(ROWS_PER_BATCH)])
        text = self.bench.is_text(residuals, torch.from_numpy(rows.real))
        norm = float(residuals[text].norm(dim=-1).mean())
        return Sample(rows._replace(real=text.numpy()), residuals, norm)

    @cached_property
    def common_words(self) -> CommonWords:
        """Words that others are compared with, by their frequency in the part of the corpus at hand."""
        rows = self.sample.rows
        return find_common_words(
            self.lexicon, order_by_frequency(rows.tokens, rows.real, self.bench.W_U.shape[1], self.seed)
        )

    def _level(self, direction: Float[Tensor, " d_model"], density: float) -> float:
        component = (self.sample.residuals @ direction)[torch.from_numpy(self.sample.rows.real)]
        return float(np.quantile(component.numpy(), 1 - min(max(density, 1e-6), 1.0)))
