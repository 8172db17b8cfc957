"""Every architecture that SAELens can save and load goes through loader, survey and observation; so does GPT-2's size."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from tests.tools.architectures import AUTOENCODERS, CLASSES, D_SAE, TRANSCODERS, load_reference, save_sae
from tools.activity.activations import record_activations
from tools.bench.loading import load_arm
from tools.bench.workbench import Workbench
from tools.observation import observe
from tools.records import Evidence, FeatureRef, Stratum
from tools.study.corpus import TokenRows
from tools.study.definition import Arm, CorpusSource, Study, SurveyDefaults
from tools.study.reading import load_study
from tools.survey.features import Survey, survey_features, tabulate


class Choice(NamedTuple):
    """One selected direction."""

    feature: FeatureRef
    stratum: Stratum


class Run(NamedTuple):
    """What a survey and an observation of one SAE gave."""

    bench: Workbench
    reference: Any
    """The SAE as SAELens itself loads it."""
    study: Study
    survey: Survey
    features: tuple[int, ...]
    evidence: list[Evidence]


def tokenize(bench: Workbench, study: Study) -> TokenRows:
    return bench.read_text(study, "train", bench.context_size)


def choose(indices: tuple[int, ...]) -> list[Choice]:
    features = [FeatureRef(study="tiny", sae="own", index=index) for index in indices]
    control = FeatureRef(study="tiny", sae="own", index=0, kind="random_direction")
    return [*(Choice(feature, "candidates") for feature in features), Choice(control, "random directions")]


def run_study(study: Study, model: Path, sae: Path, n_features: int) -> Run:
    """As a run does it, for the features that are active most often: an SAE of the user's own beside a study."""
    own = Arm(model=str(model), sae=str(sae), hook_name="")
    study = study.model_copy(update={"arms": {**study.arms, str(sae): own}, "hub": True})
    bench = load_arm(study, str(sae))
    survey = survey_features(bench, study, seed=0)
    recording = record_activations(bench, tokenize(bench, study), [], torch.zeros(0, bench.W_U.shape[0]))
    features = tuple(np.argsort(-recording.density, kind="stable")[:n_features].tolist())
    evidence = observe(bench, study, survey, choose(features), seed=0)
    return Run(bench, load_reference(sae), study, survey, features, evidence)


@pytest.fixture(scope="module", params=AUTOENCODERS)
def run(request: pytest.FixtureRequest, study: Study, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The shortest texts will do: steering is given directions, and never asks what SAE they are of."""
    folder = save_sae(request.param, tmp_path_factory.mktemp(request.param))
    few = study.steering.model_copy(update={"prompts": study.steering.prompts[:1], "new_tokens": 2})
    study = study.model_copy(update={"steering": few})
    return run_study(study, study.folder / "base" / "model", folder, 3)


def test_every_registered_architecture_is_tried() -> None:
    from sae_lens.registry import SAE_CLASS_REGISTRY, SAE_TRAINING_CLASS_REGISTRY

    assert set(SAE_CLASS_REGISTRY) | set(SAE_TRAINING_CLASS_REGISTRY) == set(CLASSES)
    assert set(AUTOENCODERS) == set(CLASSES) - set(TRANSCODERS)


def test_survey_has_a_row_for_every_feature(run: Run) -> None:
    table = tabulate(run.survey)
    assert len(table) == D_SAE
    assert np.isfinite(table["std"]).all()
    assert table["alive"].all()


def test_evidence_is_complete(run: Run) -> None:
    assert [item.feature.index for item in run.evidence] == [*run.features, 0]
    for item in run.evidence:
        assert item.projection is not None and item.activations is not None and item.steering is not None
        assert item.activations.top, "it fires"
        assert item.causal is not None
        assert Evidence.model_validate_json(item.model_dump_json()) == item


def test_observed_activations_are_those_of_the_library(run: Run) -> None:
    """Against SAELens alone, each text in a batch of its own."""
    rows = tokenize(run.bench, run.study)
    norms = run.reference.W_dec.detach().norm(dim=1)
    carried = getattr(run.reference.cfg, "rescale_acts_by_decoder_norm", False)
    values = np.zeros((*rows.tokens.shape, D_SAE), np.float32)
    for row, (tokens, real) in enumerate(zip(rows.tokens, rows.real, strict=True)):
        length = int(real.sum()) + 1
        with torch.no_grad():
            coded = run.reference.encode(run.bench.residuals(torch.from_numpy(tokens[None, :length])))[0]
        values[row, 1:length] = (coded if carried else coded * norms)[1:]
    for index, item in zip(run.features, run.evidence, strict=False):
        found = item.activations
        assert found is not None
        assert found.max_activation == pytest.approx(float(values[..., index].max()), rel=1e-4)
        assert found.density == pytest.approx(float((values[..., index][rows.real] > 0).mean()))
        peaks = {name: 0.0 for name in rows.documents}
        for name, peak in zip(rows.documents, values[..., index].max(axis=1), strict=True):
            peaks[name] = max(peaks[name], float(peak))
        highest = sorted(peaks.values(), reverse=True)[: len(found.top)]
        assert [context.max_activation for context in found.top] == pytest.approx(highest, rel=1e-4)


def test_near_misses_are_silent(run: Run) -> None:
    shown = [item.activations.near_misses for item in run.evidence if item.activations]
    assert any(shown)
    for context in (context for contexts in shown for context in contexts):
        assert context.activations is not None
        assert not any(context.activations)


# GPT-2 small's size


def write_large_model(folder: Path, words: list[str]) -> None:
    """GPT-2 small's shapes, two layers of it, with random weights and a tokenizer of whole words."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    end = "<|endoftext|>"
    whole = dict.fromkeys(f"Ġ{word}" for form in (str, str.capitalize, str.upper) for word in map(form, words))
    entries = [end, *pre_tokenizers.ByteLevel.alphabet(), *whole][:50_257]
    made = Tokenizer(models.BPE(vocab={entry: i for i, entry in enumerate(entries)}, merges=[], ignore_merges=True))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    made.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=made, bos_token=end, eos_token=end).save_pretrained(folder)
    torch.manual_seed(0)
    shape = GPT2Config(
        vocab_size=50_257, n_embd=768, n_head=12, n_layer=2, n_positions=64, bos_token_id=0, eos_token_id=0
    )
    GPT2LMHeadModel(shape).save_pretrained(folder)


@pytest.mark.endurance
@pytest.mark.timeout(600)
def test_gpt2_small_in_size_goes_through_survey_and_observation(tmp_path: Path) -> None:
    pocket = load_study("studies/pocket")
    write_large_model(tmp_path / "model", (pocket.folder / "words.txt").read_text("utf-8").split())
    d_in, d_sae = 768, 24_576
    save_sae("standard", tmp_path / "sae", d_in=d_in, d_sae=d_sae)
    steering = pocket.steering.model_copy(update={"prompts": pocket.steering.prompts[:1], "new_tokens": 8})
    corpus = CorpusSource(file=pocket.corpus.file)
    changes = {"steering": steering, "corpus": corpus, "survey": SurveyDefaults()}
    run = run_study(pocket.model_copy(update=changes), tmp_path / "model", tmp_path / "sae", 8)
    assert (run.bench.d_sae, run.bench.W_U.shape) == (d_sae, (d_in, 50_257))
    assert len(tabulate(run.survey)) == d_sae
    for item in run.evidence:
        assert item.activations is not None and item.activations.top
        assert item.steering is not None and item.steering.kl > 0
