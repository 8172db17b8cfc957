"""What all targets of a run share once the model stands: what is usual of it, how texts are told apart, what is asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from rich.console import Console

from agent.errors import RunError
from agent.folder.confidence import ConfidenceModel
from agent.folder.steered import ArmRef, SteerConfig
from agent.stages.gather import Opened
from agent.steering.inputs import Material, topic_of
from tools.alignment.encoders import SentenceEncoder, WordVectorEncoder, find_encoder
from tools.dictionaries.reconstruction import spread_rows
from tools.display.progress import Bars, waiting
from tools.effects.steering import read_prompt
from tools.study.corpus import Corpus
from tools.survey.study_lens import find_lens
from tools.toward.activity import measure_activity
from tools.toward.arms import Manner
from tools.toward.asking import word_request
from tools.toward.support import choose_support

ACTIVITY_ROWS = 400
"""Of the study's text, over which it is counted how often every feature is active."""


class Stage(NamedTuple):
    """The bench with everything that steering needs of it."""

    opened: Opened
    corpus: Corpus
    config: SteerConfig
    material: Material
    words: SentenceEncoder
    """The study's word vectors: of the likeness that is always measured."""
    trained: SentenceEncoder | None
    """The encoder of `--encoder`."""
    lens: Any
    """Of the study: what directions are projected on."""
    manner: Manner
    confidence: ConfidenceModel | None
    asked: dict[str, str]
    """Of each target what the arm `prompt` says before a prompt."""

    @property
    def encoder(self) -> SentenceEncoder:
        """Which scores by reference."""
        return self.trained or self.words


def arms_of(config: SteerConfig) -> tuple[ArmRef, ...]:
    """All arms of a run, in the order of its tables."""
    arms = [ArmRef(kind="unsteered"), ArmRef(kind="reconstruction")]
    for scheme in config.schemes:
        arms += [ArmRef(kind=scheme, whose="target"), ArmRef(kind=scheme, whose="shuffled")]
        if scheme == "add":
            arms.append(ArmRef(kind="add", whose="random"))
    return (*arms, ArmRef(kind="prompt"))


def set_stage(
    opened: Opened,
    corpus: Corpus,
    config: SteerConfig,
    material: Material,
    confidence: ConfidenceModel | None,
    console: Console,
) -> Stage:
    """Measure what is usual and see that everything fits.

    Raises:
        UnveilError: a prompt leaves no room for its continuation, the SAE has nothing to swap, or an encoder does not load.
    """
    bench, study = opened.bench, opened.study
    form = study.steering.prompt_form
    asked = {target.name: word_request(bench, topic_of(target, config), form) for target in material.targets}
    check_lengths(opened, config, asked.values())
    with opened.watch.time("activity"), waiting(console, "measure      how often features are active"):
        activity = measure_activity(bench, spread_rows(bench.read_text(study, "train", bench.row_width), ACTIVITY_ROWS))
        texts = [passage.text for passage in corpus.passages("train")]
        words = WordVectorEncoder(opened.lexicon.vectors, texts, f"study {study.name}")
    with opened.watch.time("lens"), Bars(console, "survey") as progress:
        lens = find_lens(bench, study, progress).matrix
    manner = Manner(
        support=choose_support(bench, activity),
        activity=activity,
        keep_error=config.keep_error,
        target_kl=config.target_kl,
        prompts=[read_prompt(bench, prompt, form) for prompt in config.prompts],
        seed=config.seed,
    )
    trained = find_encoder(config.encoder, corpus, str(bench.device)) if config.encoder else None
    return Stage(opened, corpus, config, material, words, trained, lens, manner, confidence, asked)


def check_lengths(opened: Opened, config: SteerConfig, asked: Iterable[str]) -> None:
    """See that every prompt, behind the longest request, and its continuation fit into the model's context.

    Raises:
        RunError: one does not.
    """
    bench, form = opened.bench, opened.study.steering.prompt_form
    longest = max(len(bench.tokenize(text)) for text in asked)
    for prompt in config.prompts:
        n = 1 + len(read_prompt(bench, prompt, form))
        room = bench.context_size - n - longest
        if room < config.new_tokens:
            raise RunError(
                f"the prompt {prompt[:40]!r} takes {n} positions, and what is asked before it {longest}: that leaves "
                f"{max(0, room)} of the model's {bench.context_size} for a text of {config.new_tokens} tokens (--length)"
            )
