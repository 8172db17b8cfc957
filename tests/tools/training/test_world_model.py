"""A model of a world, trained in seconds: the study it leaves, and how its figures are made."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tools.bench.loading import load_model
from tools.bench.tokens import TokenReader
from tools.study.reading import load_study
from tools.study.texts import read_jsonl
from tools.training.__main__ import main
from tools.training.world_model import TEST_SEED, Fidelity, load_world_recipe, measure_fidelity
from tools.worlds.catalogue import WORLDS, load_world
from tools.worlds.world import split_of

NAMES = sorted(WORLDS)


def train(world: str, work: Path, *more: str) -> int:
    where = ["--world", world, "--work", str(work), "--device", "cpu", "--no-compile"]
    return main(["world", *where, *more])


@pytest.fixture(scope="module", params=NAMES)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    work = tmp_path_factory.mktemp(f"small-{request.param}")
    assert train(request.param, work, "--smallest") == 0
    return request.param, work


def test_a_world_leaves_a_study_that_loads_and_a_model_that_the_bench_reads(trained: tuple[str, Path]) -> None:
    name, work = trained
    world, study = load_world(name), load_study(str(work / "study"))
    shipped = load_study(WORLDS[name].study)
    assert study == shipped.model_copy(update={"folder": study.folder, "vectors": study.vectors})
    for own, theirs in zip(study.vectors, shipped.vectors, strict=True):
        assert own == theirs or study.asset(str(own[1])).samefile(shipped.asset(str(theirs[1])))
    assert study.question.read_guideline() == load_study(WORLDS[name].study).question.read_guideline()
    assert not study.domain.vocabulary or study.asset(study.domain.vocabulary)
    loaded = load_model(str(study.asset("base/model")), "cpu", "float32")
    row = world.rows("test", 1, 0)[0]
    ids = row[row > 0].tolist()
    reader = TokenReader(loaded.bridge.tokenizer, len(world.vocabulary))
    assert reader.strings()[1:] == list(world.vocabulary[1:])
    assert reader.encode(world.text(row)) == ids
    assert reader.text(ids).strip() == world.text(row)
    assert loaded.bridge(torch.tensor(row.astype(np.int64))[None]).shape == (1, len(row), len(world.vocabulary))


def test_its_corpus_is_development_transcripts_and_no_others(trained: tuple[str, Path]) -> None:
    name, work = trained
    world = load_world(name)
    token_of = {text.strip(): token for token, text in enumerate(world.vocabulary)}
    passages = list(read_jsonl(work / "study" / "corpus.jsonl"))
    assert len({passage.text for passage in passages}) == 40
    for passage in passages if name != "text" else ():
        ids = [0, *(token_of[move] for move in passage.text.split())]
        row = np.array(ids + [0] * (world.context_size - len(ids)), dtype=np.int16)
        assert split_of(row) == "development"


def test_it_has_learnt_something_and_cannot_know_more_than_there_is_to_know(trained: tuple[str, Path]) -> None:
    name, work = trained
    figures = Fidelity(**json.loads((work / "study" / "figures.json").read_text("utf-8"))["model"])
    assert figures.entropy < figures.loss < 0.95 * math.log(len(load_world(name).vocabulary))
    assert 0 < figures.legal_mass < 1
    assert figures.transcripts == 40


def test_finished_training_is_not_begun_again(trained: tuple[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    name, work = trained
    log, weights = work / "log.tsv", work / "study" / "base" / "model" / "model.safetensors"
    before, figures = load_file(weights), (work / "study" / "figures.json").read_text("utf-8")
    lines = log.read_text("utf-8")
    assert train(name, work, "--smallest") == 0
    assert log.read_text("utf-8") == lines
    after = load_file(weights)
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert after["transformer.wte.weight"].dtype == torch.float16
    assert (work / "study" / "figures.json").read_text("utf-8") == figures
    assert "legal-move rate" in capsys.readouterr().out


def fidelity_of(answer: object, n: int = 60) -> Fidelity:
    """Of a made-up model of Othello that gives these logits, as a function of tokens."""
    world = load_world("othello")

    def respond(input_ids: torch.Tensor, use_cache: bool) -> SimpleNamespace:
        return SimpleNamespace(logits=answer(world, input_ids.numpy()))

    respond.device = torch.device("cpu")
    return measure_fidelity(respond, world, world.rows("test", n, TEST_SEED))


def test_whoever_knows_the_rules_is_faultless_and_loses_the_entropy() -> None:
    known = fidelity_of(lambda world, tokens: torch.from_numpy(np.log(np.maximum(world.chances(tokens), 1e-30))))
    assert (known.legal_rate, known.faultless) == (1.0, 1.0)
    assert known.legal_mass == pytest.approx(1, abs=1e-5)
    assert known.loss == pytest.approx(known.entropy, abs=0.05)  # one is of the moves drawn, the other their mean


def test_whoever_knows_nothing_loses_the_log_of_the_vocabulary() -> None:
    blind = fidelity_of(lambda world, tokens: torch.zeros(*tokens.shape, len(world.vocabulary)))
    assert blind.loss == pytest.approx(math.log(34), rel=1e-5)
    assert blind.legal_rate < 0.1  # the first token, which only ends games
    assert blind.faultless == 0


def test_what_fills_a_row_counts_for_nothing() -> None:
    """A model that knows the rules but answers nonsense after the end has the same figures."""

    def spoilt(world: object, tokens: np.ndarray) -> torch.Tensor:
        logits = torch.from_numpy(np.log(np.maximum(world.chances(tokens), 1e-30)))
        ended = torch.from_numpy((tokens == 0) & (np.arange(tokens.shape[1]) > 0))
        logits[ended] = torch.eye(34)[5] * 100
        return logits

    known = fidelity_of(lambda world, tokens: torch.from_numpy(np.log(np.maximum(world.chances(tokens), 1e-30))))
    assert fidelity_of(spoilt) == known
    lengths = [int((row > 0).sum()) for row in load_world("othello").rows("test", 60, TEST_SEED)]
    assert known.tokens == sum(min(length + 1, 37) for length in lengths)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["world"], "name it with --world NAME, one of othello, maze, text"),
        (["world", "--world", "chess"], "invalid choice: 'chess'"),
        (["world", "--world", "othello", "--study", "pocket"], "no [training.world] table: it is no world's study"),
        (["world", "--world", "othello", "--study", "textworld"], "is about the world text, and not othello"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_line(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main(arguments)
    except SystemExit as left:
        status = left.code
    assert status == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert complaint in last


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_recipe_fits_its_world(name: str) -> None:
    folder, recipe = load_world_recipe(WORLDS[name].study, name)
    assert folder == Path("studies") / WORLDS[name].study
    assert recipe.model.context_size == load_world(name).context_size
    assert recipe.smallest.base.tokens < recipe.base.tokens
