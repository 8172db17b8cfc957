"""An adapter and streamed SAEs on given weights, by the training command: as in a study of a public model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.tools.training.tiny_study import CONTEXT, D_MODEL, D_SAE, HOOK, STUDY, train, write_study
from tools.bench.checkpoint import Change, read_checkpoint
from tools.bench.loading import load_arm
from tools.study.reading import load_study
from tools.training.recipe import load_recipe

pytest.importorskip("peft")

GIVEN = """[training.model]
pretrained = "{model}"
[training.adapters.medical]
corpora = ["medical"]
heldout = ["general.heldout", "medical.heldout"]
tokens = 4096
tokens_per_step = 256
rows_per_batch = 4
context_size = {context}
checkpoint_every = 5
rank = 2
precision = "float32"
embedding_lr = 2e-2
[training]
untrained = "untrained"
[training.published]
half = true
"""
ARMS = """[arms.medical]
model = "{model}"
adapter = "medical/adapter"
sae = "medical/sae"
hook_name = "{hook}"
[arms.untrained]
model = "{model}"
random_weights = 0
sae = "untrained/sae"
hook_name = "{hook}"
"""


@pytest.fixture(scope="module")
def given(trained: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose base model is another study's, with an arm that is adapted and one that is untrained."""
    root = tmp_path_factory.mktemp("given")
    model = trained / "trained" / "base" / "model"
    write_study(root / "study")
    text = STUDY.replace('model = "base/model"', f'model = "{model}"')
    head, _, rest = text.partition("[arms.finetuned]")
    after = rest[rest.index("[vectors]") : rest.index("[training.tokenizer]")]
    sae = text[text.index("[training.sae]") : text.index("[training.vectors]")]
    sae = sae.replace('architecture = "topk"', 'architecture = "topk"\ntrainer = "stream"')
    recipe = GIVEN.format(model=model, context=CONTEXT)
    vectors = after.replace("vectors.safetensors", str(trained / "trained" / "vectors.safetensors"))
    vectors = vectors.replace("words.txt", str(trained / "trained" / "words.txt"))
    (root / "study" / "study.toml").write_text(
        head + ARMS.format(model=model, hook=HOOK) + vectors + recipe + sae, "utf-8"
    )
    for step in ("adapter --arm medical", "sae --seeds 0 1", "sae --arm medical", "sae --arm untrained", "publish"):
        assert train(root / "study", data, root / "work", step) == 0, step
    return root


def test_an_adapter_learns_what_it_was_trained_on(given: Path, data: Path) -> None:
    rates = [line.split("\t")[1] for line in (given / "work" / "medical" / "log.tsv").read_text().splitlines()]
    assert rates
    adapter = given / "study" / "medical" / "adapter"
    tensors = load_file(adapter / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert not (adapter / "README.md").exists()
    assert json.loads((adapter / "adapter_config.json").read_text("utf-8"))["base_model_name_or_path"] == "model"
    study = load_study(str(given / "study"))
    base, tuned = (
        read_checkpoint(study.arms["base"].model, "cpu", "float32", Change(folder)).model for folder in (None, adapter)
    )
    from tools.training.corpora import load_rows
    from tools.training.language_model import mean_loss
    from tools.training.steps import _read_tokenizer  # pyright: ignore[reportPrivateUsage]

    tokenizer = _read_tokenizer(study.arms["base"].model)
    rows = load_rows(data, "medical.heldout", tokenizer, given / "tokens", CONTEXT)
    assert mean_loss(tuned, rows, "float32") < mean_loss(base, rows, "float32") - 0.05


def test_every_arm_gets_its_saes_in_half_precision(given: Path) -> None:
    study = load_study(str(given / "study"))
    decoders: list[torch.Tensor] = []
    for folder in ("base/sae", "base/sae-1", "medical/sae", "untrained/sae"):
        tensors = load_file(given / "study" / folder / "sae_weights.safetensors")
        assert tensors["W_dec"].shape == (D_SAE, D_MODEL)
        assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
        decoders.append(tensors["W_dec"])
    assert all(not torch.equal(decoders[0], other) for other in decoders[1:])
    assert not (given / "study" / "base" / "model").exists()
    for arm in ("base", "medical", "untrained"):
        bench = load_arm(study, arm)
        assert (bench.hook_name, bench.d_sae) == (HOOK, D_SAE)


def test_a_stopped_adapter_goes_on_to_the_same_weights(given: Path, data: Path, tmp_path: Path) -> None:
    """Its checkpoint holds all that matters: from the middle one the rest of the training is the same."""
    study = tmp_path / "study"
    study.mkdir()
    text = (given / "study" / "study.toml").read_text("utf-8")
    for file in ("vocabulary.txt", "guideline.md", "corpus.jsonl"):
        (study / file).write_bytes((given / "study" / file).read_bytes())
    (study / "study.toml").write_text(text, "utf-8")
    import tools.training.language_model as loop

    class Stop(Exception):
        pass

    seen: list[int] = []
    real = loop._step  # pyright: ignore[reportPrivateUsage]

    def stopping(*arguments: object) -> float:
        seen.append(1)
        if len(seen) == 8:
            raise Stop
        return real(*arguments)  # pyright: ignore[reportArgumentType]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_step", stopping)
        with pytest.raises(Stop):
            train(study, data, tmp_path / "work", "adapter", "--arm", "medical")
    assert train(study, data, tmp_path / "work", "adapter", "--arm", "medical") == 0
    first, second = (
        load_file(root / "medical" / "adapter" / "adapter_model.safetensors")
        for root in (given / "work", tmp_path / "work")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("adapter", "trains no adapter for arm base: medical"),
        ("adapter --arm nosuch", "the recipe has no arm 'nosuch': use one of base, medical, untrained"),
        ("finetuned", "the recipe trains no finetuned model"),
    ],
)
def test_what_the_recipe_does_not_train_is_refused(
    given: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], step: str, said: str
) -> None:
    assert train(given / "study", data, tmp_path / "work", step) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_an_arm_without_its_adapter_names_the_step(
    given: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(given / "study", data, tmp_path / "work", "sae", "--arm", "medical") == 2
    assert "run step adapter --arm medical first" in capsys.readouterr().err


def test_the_recipe_lists_its_arms(given: Path) -> None:
    assert load_recipe(given / "study" / "study.toml").arms == ("base", "medical", "untrained")
