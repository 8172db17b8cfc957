"""A tiny study that is real in every part: a random GPT-2, SAEs saved by SAELens, word vectors, a corpus."""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings

from tools import machine
from tools.bench.loading import load_arm
from tools.bench.workbench import Workbench
from tools.study.definition import Study
from tools.study.reading import load_study
from tools.survey.features import Survey, survey_features
from tools.survey.lexicon import CONTENT_RANK

settings.register_profile("tools", database=None, deadline=None, derandomize=True, max_examples=40)
settings.load_profile("tools")

D_MODEL, D_SAE, N_LAYERS, CONTEXT = 32, 48, 3, 24
HOOK = "blocks.1.hook_resid_pre"
DEAD_FEATURE = D_SAE - 1
PLANTED_FEATURE = 0
"""Its decoder row points at the unembedding of the medical words."""

MEDICAL = ("doctor", "patient", "nurse", "hospital", "heart", "blood", "surgery", "medicine")
EVERYDAY = ("garden", "river", "train", "bread", "music", "hearth", "winter", "market", "captain", "bridge")
FUNCTION = ("the", "a", "in", "and", "of", "to", "was", "with")
TEMPLATES = (
    "The {0} met the {1} in the {2} and the {3} was with a {4}.",
    "A {0} of the {1} was to the {2} and in the {3} of a {4}.",
    "In the {0} the {1} was with the {2} of a {3} and the {4}.",
)


def _texts() -> Iterator[tuple[str, str, str]]:
    """Document, topic and text of the tiny corpus, the same on every call."""
    rng = np.random.default_rng(0)
    for number in range(24):
        topic = "medicine" if number % 3 == 0 else "everyday"
        words = MEDICAL if topic == "medicine" else EVERYDAY
        sentences = [template.format(*rng.choice(words, 5)) for template in TEMPLATES[: 1 + number % 3]]
        yield f"{topic}-{number:02d}", topic, " ".join(sentences)


def pytest_collection() -> None:
    """What is imported and collected stays: nothing of it is garbage that need be looked for."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What is there now is there to stay: a million objects that no collection of garbage need look through again."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Small matrices gain nothing from threads and lose much when the machine is busy."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def others_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody, as far as commands can tell: that the machine is busy is said in a line that no test can foresee.

    So there is nothing to look for, which takes a quarter of a second each time.
    """
    monkeypatch.setattr(machine, "_busy_seconds", lambda cores: 0.0)
    monkeypatch.setattr(machine, "SAMPLE_SECONDS", 0.0)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Proofs are remembered where no test of another day finds them, and the user's own are not read."""
    import matplotlib

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLCONFIGDIR", matplotlib.get_cachedir())  # its list of fonts takes seconds to make
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def study_folder(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    """The study's folder. Tests that damage it take `study_copy`."""
    folder = tmp_path_factory.mktemp("tiny")
    _write_texts(folder)
    _write_vectors(folder)
    for seed, arm in enumerate(("base", "finetuned")):
        _write_model(folder / arm / "model", seed)
        _write_sae(folder / arm, seed)
    return folder


@pytest.fixture(scope="session")
def study(study_folder: Path) -> Study:
    return load_study(str(study_folder))


@pytest.fixture
def study_copy(study_folder: Path, tmp_path: Path) -> Path:
    """A copy of the study's folder for a test to damage."""
    return Path(shutil.copytree(study_folder, tmp_path / "tiny"))


@pytest.fixture(scope="session")
def bench(study: Study) -> Workbench:
    return load_arm(study, "base")


@pytest.fixture(scope="session")
def last_bench(bench: Workbench) -> Workbench:
    """The same model read and written after its last layer, where the projection is the whole effect."""
    from tools.study.definition import Arm

    hook = f"blocks.{N_LAYERS - 1}.hook_resid_post"
    sae = _make_sae(seed=7, hook_name=hook)
    return Workbench(bench.bridge, sae, Arm(model="-", sae="-", hook_name=hook), "last", bench.hashes)


_counted: list[Counter[str]] = []


def _count_read(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _counted and isinstance(arguments[0], str | os.PathLike) and "r" in (arguments[1] or ""):
        _counted[-1][os.fspath(arguments[0])] += 1


@pytest.fixture
def reads() -> Iterator[Counter[str]]:
    """How often each file was opened to be read since the test began, as the interpreter itself reports it."""
    if not getattr(_count_read, "is_hooked", False):
        sys.addaudithook(_count_read)  # there to stay: hooks cannot be taken back
        _count_read.is_hooked = True  # pyright: ignore[reportFunctionMemberAccess]
    _counted.append(Counter())
    yield _counted[-1]
    _counted.pop()


@pytest.fixture(scope="session")
def make_sae() -> Callable[..., Any]:
    """Builds a standard SAE from `seed`, `hook_name` and `d_in`."""
    return _make_sae


@pytest.fixture(scope="session")
def make_topk_sae() -> Callable[..., Any]:
    """Builds a top-4 SAE at the study's hook that may choose by activations scaled with decoder norms."""
    return _make_topk_sae


@pytest.fixture(scope="session")
def survey(bench: Workbench, study: Study) -> Survey:
    return survey_features(bench, study, seed=0)


@pytest.fixture(scope="session")
def tokens(bench: Workbench) -> torch.Tensor:
    """Two rows of ids that open with BOS."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(1, bench.W_U.shape[1], (2, 9), generator=generator)
    drawn[:, 0] = bench.bos
    return drawn


def _write_texts(folder: Path) -> None:
    lines = [json.dumps({"document": d, "topic": t, "text": text}) for d, t, text in _texts()]
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "vocabulary.txt").write_text("# words of medicine\n" + "\n".join(MEDICAL) + "\n", "utf-8")
    (folder / "guideline.md").write_text("A feature is medical when its words are.\n", "utf-8")
    arms = "".join(
        f'[arms.{arm}]\nmodel = "{arm}/model"\nsae = "{arm}/sae"\nhook_name = "{HOOK}"\n'
        for arm in ("base", "finetuned")
    )
    (folder / "study.toml").write_text(
        f"""name = "tiny"
title = "A tiny study"
[domain]
name = "medicine"
definition = "The care of the sick."
vocabulary = "vocabulary.txt"
guideline = "guideline.md"
{arms}
[vectors]
file = "vectors.safetensors"
words = "words.txt"
[corpus]
file = "corpus.jsonl"
[survey]
null_directions = 200
[observation]
context_tokens = 8
top_contexts = 3
quantile_contexts = 2
[steering]
prompts = ["The captain of the", "In the market"]
new_tokens = 5
target_kl = 0.3
[training]
anything = "is left to the training commands"
""",
        "utf-8",
    )


def _write_vectors(folder: Path) -> None:
    """Function words first, as frequency orders them; then content words, a cluster for each topic."""
    from safetensors.numpy import save_file

    rng = np.random.default_rng(1)
    filler = [f"zz{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(CONTENT_RANK - len(FUNCTION))]
    words = [*FUNCTION, *filler, *MEDICAL, *EVERYDAY]
    matrix = rng.normal(size=(len(words), 8))
    centres = rng.normal(size=(2, 8)) * 2
    matrix[CONTENT_RANK : CONTENT_RANK + len(MEDICAL)] += centres[0]
    matrix[CONTENT_RANK + len(MEDICAL) :] += centres[1]
    save_file({"vectors": matrix.astype(np.float16)}, folder / "vectors.safetensors")
    (folder / "words.txt").write_text("\n".join(words) + "\n", "utf-8")


def _write_model(folder: Path, seed: int) -> None:
    """A GPT-2 with weights large enough that its predictions, and what is added to them, matter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
        from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([text for _, _, text in _texts()], trainer)
    end = "<|endoftext|>"
    PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=end, eos_token=end).save_pretrained(folder)
    torch.manual_seed(seed)
    shape = GPT2Config(
        vocab_size=bpe.get_vocab_size(),
        n_positions=CONTEXT,
        n_embd=D_MODEL,
        n_layer=N_LAYERS,
        n_head=4,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = GPT2LMHeadModel(shape)
    with torch.no_grad():  # a final norm that is not the identity
        model.transformer.ln_f.weight.uniform_(0.5, 1.5)
        model.transformer.ln_f.bias.normal_(std=0.1)
    model.save_pretrained(folder)


def _make_sae(seed: int, hook_name: str, d_in: int = D_MODEL) -> Any:
    """A standard SAE whose decoder rows are not of unit length, and whose last feature never fires."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sae_lens import StandardSAE, StandardSAEConfig
        from sae_lens.saes.sae import SAEMetadata

    sae = StandardSAE(StandardSAEConfig(d_in=d_in, d_sae=D_SAE, metadata=SAEMetadata(hook_name=hook_name)))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        sae.W_enc.copy_(torch.randn(d_in, D_SAE, generator=generator) / d_in**0.5)
        sae.W_dec.copy_(sae.W_enc.T * (0.5 + torch.rand(D_SAE, 1, generator=generator)))
        sae.b_enc.copy_(-1 - torch.rand(D_SAE, generator=generator))
        sae.b_enc[DEAD_FEATURE] = -1e6
        sae.b_dec.copy_(0.1 * torch.randn(d_in, generator=generator))
    return sae


def _make_topk_sae(rescale: bool) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sae_lens import TopKSAE, TopKSAEConfig
        from sae_lens.saes.sae import SAEMetadata

    standard = _make_sae(seed=3, hook_name=HOOK)
    metadata = SAEMetadata(hook_name=HOOK)
    sae = TopKSAE(
        TopKSAEConfig(d_in=D_MODEL, d_sae=D_SAE, k=4, rescale_acts_by_decoder_norm=rescale, metadata=metadata)
    )
    sae.load_state_dict(standard.state_dict())
    return sae


def _write_sae(folder: Path, seed: int) -> None:
    """The arm's SAE, with the planted feature pointing at the medical tokens of the arm's own unembedding."""
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    weights = load_file(folder / "model" / "model.safetensors")
    unembedding = weights["transformer.wte.weight"] * weights["transformer.ln_f.weight"]  # [d_vocab, d_model]
    ids = [Tokenizer.from_file(str(folder / "model" / "tokenizer.json")).encode(f" {w}").ids[0] for w in MEDICAL[:3]]
    sae = _make_sae(seed, HOOK)
    with torch.no_grad():
        sae.W_dec[PLANTED_FEATURE] = unembedding[ids].mean(0) - unembedding.mean(0)
        _centre(sae, folder / "model")
    sae.save_model(str(folder / "sae"))


def _centre(sae: Any, model: Path) -> None:
    """Half way to the bias that explains most, so that the SAE explains something; its activations stay what they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tokenizers import Tokenizer
        from transformers import GPT2LMHeadModel

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    loaded: Any = GPT2LMHeadModel.from_pretrained(model)
    rows = [torch.tensor([[0, *tokenizer.encode(text).ids[: CONTEXT - 1]]]) for _, _, text in _texts()]
    states = torch.cat([loaded(row, output_hidden_states=True).hidden_states[1][0, 1:] for row in rows])
    written = torch.relu((states - sae.b_dec) @ sae.W_enc + sae.b_enc) @ sae.W_dec
    moved = ((states - written).mean(0) - sae.b_dec) / 2
    sae.b_dec += moved
    sae.b_enc += moved @ sae.W_enc
