"""A path in a manifest opens no file by its word alone: not by any command that is given the run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import check, read
from agent.folder.entrusted import find_study
from agent.folder.store import RunFolder
from agent.run import main
from evals import compare, export
from evals import run as examine
from evals.arms.settings import find_origin
from evals.review.reading.neuronpedia import find_page
from tests.security.damage import lines_of
from tests.servers.openai_stub import happy, serve
from tools.records import FeatureRef

_watched: list[tuple[str, list[str]]] = []


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if _watched and event == "open" and isinstance(arguments[0], str | bytes | Path):
        named, seen = _watched[-1]
        if str(arguments[0] if not isinstance(arguments[0], bytes) else arguments[0].decode()).startswith(named):
            seen.append(str(arguments[0]))


@pytest.fixture(scope="session")
def listening() -> None:
    """An interpreter's hook stays for its life; this one does nothing while no test watches."""
    sys.addaudithook(_listen)


@pytest.fixture
def secret(listening: None, tmp_path: Path) -> Iterator[Path]:
    """A folder of the reader's, whose files a test sees opened."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "prices.toml").write_text("[models]\nstub = { input = 1000.0, output = 1000.0 }\n")
    (folder / "evidence.jsonl").write_text("{}\n")
    yield folder


class Watch:
    """What was opened below a folder while the block ran."""

    def __init__(self, folder: Path) -> None:
        self.opened: list[str] = []
        self._folder = str(folder)

    def __enter__(self) -> list[str]:
        _watched.append((self._folder, self.opened))
        return self.opened

    def __exit__(self, *_: object) -> None:
        _watched.pop()


def edit(run: Path, change: Callable[[Any], object]) -> None:
    told = json.loads((run / "manifest.json").read_bytes())
    change(told)
    (run / "manifest.json").write_text(json.dumps(told))


def stop_early(run: Path) -> None:
    """As if it had been killed after its first decision."""
    (run / "decisions.jsonl").write_bytes(lines_of(run / "decisions.jsonl")[0])
    for file in (run / "llm_calls.jsonl", run / "summary.json", *(run / "transcripts").iterdir()):
        file.unlink()


NAMED: dict[str, Callable[[Any, Path], object]] = {
    "prices": lambda told, home: told["config"]["llm"].update(prices=str(home / "prices.toml")),
    "evidence": lambda told, home: told["config"].update(evidence=str(home / "evidence.jsonl")),
    "parent": lambda told, home: told.update(parent=str(home)),
    "climbing parent": lambda told, home: told.update(parent=f"../../{home.name}"),
}
READERS: dict[str, Callable[[Path, Path], int]] = {
    "check": lambda run, _: check.main([str(run)]),
    "read": lambda run, _: read.main([str(run), "base-000007"]),
    "replay": lambda run, _: main(["--replay", str(run)]),
    "resume": lambda run, _: main(["--resume", str(run)]),
    "rejudge by rules": lambda run, labels: main(
        ["--rejudge", str(run), "--judge", "rules", "--runs", f"{labels}.runs"]
    ),
    "examine": lambda run, labels: examine.main([str(run), "--labels", str(labels)]),
    "export": lambda run, labels: export.main([str(run), "--to", "delphi", "--out", f"{labels}.out"]),
    "compare": lambda run, labels: compare.main([str(run), str(run), "--out", f"{labels}.compared"]),
}


@pytest.mark.parametrize(
    ("field", "command"),
    [
        pytest.param(field, command, marks=() if (place + number) % 2 == 0 else pytest.mark.endurance)
        for place, field in enumerate(NAMED)
        for number, command in enumerate(READERS)
    ],
)  # every field and every command belongs to the suite, every other pair to endurance
def test_no_command_opens_what_only_a_manifest_names(
    field: str, command: str, judged: Path, copy_of: Callable[[Path], Path], labels: Path, secret: Path
) -> None:
    run = copy_of(judged)
    edit(run, lambda told: NAMED[field](told, secret))
    with Watch(secret) as opened:
        assert READERS[command](run, labels) in (0, 1, 2)
        (secret / "evidence.jsonl").read_bytes()
    assert opened == [str(secret / "evidence.jsonl")], (
        "nothing but the test's own look, which shows that looks are seen"
    )


def test_a_run_with_prices_of_its_own_goes_on_when_they_are_named_again(
    judged: Path, copy_of: Callable[[Path], Path], secret: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, prices = copy_of(judged), str(secret / "prices.toml")
    stop_early(run)
    with serve(happy) as server:
        edit(run, lambda told: told["config"]["llm"].update(prices=prices, base_url=server.base_url))
        line = ["--resume", str(run), "--base-url", server.base_url]
        with Watch(secret) as opened:
            assert main(line) == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1 and "give --prices FILE again" in told
        assert not opened and not server.requests
        before = sum(decision.usage.usd for decision in RunFolder.open(run).decisions())
        assert main([*line, "--prices", prices]) == 0
    after = RunFolder.open(run).decisions()
    assert len(after) == 3 and sum(decision.usage.usd for decision in after) > before
    main(["--replay", str(run)])  # what was paid is stored, and no table is needed
    assert "2 of 3 decisions reproduced" in capsys.readouterr().out


# --- the study of a run -------------------------------------------------------------------------------------------------


def of(run: Path) -> Any:
    return RunFolder.open(run).manifest()


def test_the_study_of_a_run_is_found_where_it_is_the_runs(measured: Path, study_folder: Path) -> None:
    study, origin = find_study(of(measured)), find_origin(of(measured))
    assert study is not None and study.folder == study_folder
    assert origin.study is not None and origin.cfg is not None and origin.folder == study_folder / "base" / "sae"


FORGED: dict[str, Callable[[Any, Path], object]] = {
    "a study of the reader's": lambda told, study: told.update(study_sha256={}),
    "another study's hashes": lambda told, study: told["study_sha256"].update(survey="0" * 64),
    "a guideline that nobody vouches for": lambda told, study: (
        told.update(study_sha256={}),
        told["provenance"]["sha256"].pop("guideline"),
    ),
    "another vocabulary": lambda told, study: told["provenance"]["sha256"].update(vocabulary="0" * 64),
    "another word list": lambda told, study: told["provenance"]["sha256"].update(words="0" * 64),
    "no study": lambda told, study: told["config"].update(study="/nosuch"),
    "a file that is none": lambda told, study: told["config"].update(study="/etc/hostname"),
    "a device": lambda told, study: told["config"].update(study="/dev/zero"),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_study_that_is_not_the_runs_is_not_taken(
    what: str, measured: Path, copy_of: Callable[[Path], Path], study_copy: Path
) -> None:
    run = copy_of(measured)
    if what == "a study of the reader's":  # of before parts were hashed: the guideline tells it
        (study_copy / "guideline.md").write_text("Another guideline.\n")
        edit(run, lambda told: told["config"].update(study=str(study_copy)))
    edit(run, lambda told: FORGED[what](told, study_copy))
    assert find_study(of(run)) is None
    origin = find_origin(of(run))
    assert (origin.study, origin.cfg, origin.folder) == (None, None, None)


def test_an_old_run_finds_its_study_by_its_guideline(measured: Path, copy_of: Callable[[Path], Path]) -> None:
    run = copy_of(measured)
    edit(run, lambda told: told.update(study_sha256={}))
    assert find_study(of(run)) is not None


def test_an_sae_that_is_not_the_runs_is_not_read(
    measured: Path, copy_of: Callable[[Path], Path], tmp_path: Path, listening: None
) -> None:
    run = copy_of(measured)
    edit(run, lambda told: told["provenance"]["sha256"].update(sae="0" * 64))
    sae = find_study(of(measured))
    assert sae is not None
    with Watch(sae.folder / "base" / "sae" / "cfg.json") as opened:
        assert find_origin(of(run)).cfg is None
    assert not opened


def test_a_page_elsewhere_is_found_by_the_runs_study_alone(
    measured: Path, copy_of: Callable[[Path], Path], study_copy: Path
) -> None:
    file, named = study_copy / "study.toml", "gpt2-small-res-jb/blocks.8.hook_resid_pre"
    file.write_text(file.read_text().replace('"base/sae"', f'"{named}"'))
    run = copy_of(measured)
    edit(run, lambda told: told["config"].update(study=str(study_copy)))
    feature = FeatureRef(study="tiny", sae="base", index=3)
    assert find_page(feature, of(run)) is None
    own = of(run).model_copy(update={"config": of(run).config.model_copy(update={"sae": named, "model": "gpt2"})})
    assert find_page(feature, own) == "https://www.neuronpedia.org/gpt2-small/8-res-jb/3"


def test_comparing_downloads_nothing_on_a_manifests_word(
    measured: Path, copy_of: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was fetched")

    monkeypatch.setattr("tools.border.hub.require_hub", refuse)
    monkeypatch.setattr("tools.bench.arms.require_hub", refuse)
    run = copy_of(measured)

    def name(told: Any) -> None:
        told["config"].update(model="someone/model", sae="someone/sae")
        told["provenance"]["sha256"].update(model="hub:someone/model", sae="hub:someone/sae")

    edit(run, name)
    assert compare.main([str(run), str(run), "--allow-different", "a test"]) in (0, 2)
    assert "Traceback" not in capsys.readouterr().err
