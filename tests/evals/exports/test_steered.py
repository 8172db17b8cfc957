"""A steering run for Neuronpedia: requests as its API takes them, and one line for what cannot be exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evals.export import main
from evals.exports.steered import STRENGTH
from tests.agent.steering.made import PROMPTS, manifest, target, write_run


def export(run: Path, *more: str) -> int:
    return main([str(run), "--to", "neuronpedia", *more])


def requests_in(out: Path) -> dict[str, dict[str, Any]]:
    return {file.name: json.loads(file.read_text("utf-8")) for file in sorted((out / "steer").iterdir())}


def test_every_target_is_a_request_with_its_features(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run").path
    assert export(run, "--model-id", "gpt2-small", "--source-id", "8-res-jb") == 0
    found = requests_in(run / "exports" / "neuronpedia")
    assert list(found) == ["01-cooking.json", "02-law.json"]
    body = found["02-law.json"]
    assert body.keys() == {
        *("prompt", "modelId", "features", "temperature", "n_tokens", "freq_penalty", "seed"),
        *("strength_multiplier", "steer_method"),
    }
    assert body["modelId"] == "gpt2-small" and body["prompt"] == PROMPTS[0]
    assert body["features"][0] == {"modelId": "gpt2-small", "layer": "8-res-jb", "index": 10, "strength": STRENGTH}
    assert [one["strength"] for one in body["features"]] == [
        10.0,
        pytest.approx(20 / 3, abs=1e-3),
        pytest.approx(10 / 3, abs=1e-3),
    ]
    assert "2 steering requests, 6 features" in capsys.readouterr().out


def test_without_names_the_runs_own_stand_there_and_no_path(tmp_path: Path) -> None:
    asked = manifest().config.model_copy(update={"study": "/home/ana/studies/tiny"})
    run = write_run(tmp_path / "run", config=asked).path
    assert export(run) == 0
    (body, _) = requests_in(run / "exports" / "neuronpedia").values()
    assert (body["modelId"], body["features"][0]["layer"]) == ("tiny", "base")


def test_what_neuronpedia_bounds_is_within_its_bounds(tmp_path: Path) -> None:
    asked = manifest().config.model_copy(
        update={"prompts": ("x" * 9000,), "new_tokens": 5000, "temperature": 9.0, "seed": 2**31 - 1}
    )
    run = write_run(tmp_path / "run", config=asked).path
    assert export(run) == 0
    body = next(iter(requests_in(run / "exports" / "neuronpedia").values()))
    assert (len(body["prompt"]), body["n_tokens"], body["temperature"], body["seed"]) == (2048, 256, 2.0, 100_000_000)


def test_names_of_targets_make_no_path(tmp_path: Path) -> None:
    named = ["../../etc/passwd", "a/b", "...", "漢字"]
    run = write_run(tmp_path / "run", [target(name) for name in named], texts=[]).path
    assert export(run) == 0
    assert list(requests_in(run / "exports" / "neuronpedia")) == [
        "01-etc_passwd.json", "02-a_b.json", "03-target.json", "04-target.json"
    ]  # fmt: skip


def test_a_refused_target_is_exported_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "run")
    done = folder.results()
    assert done is not None
    folder.write_results(done.model_copy(update={"refused": ("law",)}))
    assert export(folder.path) == 0
    assert "law is outside what the SAE can represent" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--to", "delphi"], "is a steering run, for which there is no --to delphi"),
        (["--to", "inspect"], "no --to inspect"),
        (["--to", "neuronpedia", "--labels", "x.csv"], "no --labels"),
    ],
)
def test_what_is_about_investigations_is_refused_in_one_line(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run").path
    assert main([str(run), *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1 and said in told.err
    assert not (run / "exports").exists()


def test_nothing_to_export_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = write_run(tmp_path / "bare", [target("law", chosen=())], texts=[]).path
    unscored = write_run(tmp_path / "unscored", finished=False).path
    (unscored / "targets.json").unlink()
    assert (export(bare), export(unscored)) == (2, 2)
    said = capsys.readouterr().err
    assert "no target that a feature stands for" in said and "has scored no target yet" in said


def test_what_is_there_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run").path
    assert (export(run), export(run)) == (0, 2)
    assert "exists already" in capsys.readouterr().err
