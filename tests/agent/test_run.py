"""The command line, end to end on a tiny study that is real in every part."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from agent.beginning.flags import configure, parse_arguments
from agent.folder.config import RunConfig, open_study
from agent.folder.floors import find_floors
from agent.folder.records import Manifest, Summary
from agent.folder.store import RunFolder
from agent.run import main
from tests.warm import live
from tools.study.reading import load_study

ROOT = Path(__file__).parent.parent.parent


def run(study: Path, runs: Path, *more: str) -> int:
    return main(["--study", str(study), "--runs", str(runs), *more])


def only_run(runs: Path) -> RunFolder:
    (path,) = [path for path in runs.iterdir() if path.is_dir()]
    return RunFolder(path)


@pytest.fixture(scope="module")
def finished(study_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    runs = tmp_path_factory.mktemp("runs")
    assert run(study_folder, runs) == 0
    return only_run(runs)


def test_a_run_leaves_everything_the_design_names(finished: RunFolder) -> None:
    names = {str(path.relative_to(finished.path)) for path in finished.path.rglob("*") if path.is_file()}
    expected = {"manifest.json", "features.parquet", "evidence.jsonl", "decisions.jsonl", "summary.json", "report.html"}
    assert expected <= names
    assert not [name for name in names if name.endswith(".new")]
    assert len(list(finished.path.glob("transcripts/*.jsonl"))) == len(finished.decisions())


def test_every_selected_feature_has_one_decision_in_order(finished: RunFolder) -> None:
    selection = finished.manifest().selection
    assert selection is not None
    assert [d.feature for d in finished.decisions()] == [item.feature for item in selection.items]


def test_the_summary_adds_up(finished: RunFolder) -> None:
    summary = Summary.model_validate_json((finished.path / "summary.json").read_bytes())
    assert sum(row.n for row in summary.strata) == len(finished.decisions())


def test_the_manifest_says_what_measured_nothing_and_the_summary_the_same(finished: RunFolder) -> None:
    floors = finished.manifest().floors
    assert floors is not None
    found = find_floors(finished.path, finished.finished_evidence())
    assert {floor.text for floor in found} <= {floor.text for floor in floors}  # the survey itself was at hand
    summary = Summary.model_validate_json((finished.path / "summary.json").read_bytes())
    assert summary.floors[: len(floors)] == floors


def test_transcripts_end_with_the_decision_that_was_stored(finished: RunFolder) -> None:
    for decision in finished.decisions():
        last = finished.transcript(decision.feature)[-1]
        assert last.kind == "decision"
        assert last.content == decision.model_dump(mode="json")


def test_two_runs_with_one_seed_differ_only_in_their_id(
    finished: RunFolder, study_folder: Path, tmp_path: Path
) -> None:
    assert run(study_folder, tmp_path) == 0
    again = only_run(tmp_path)
    one, other = (f.decisions_file.read_text().replace(f.path.name, "RUN") for f in (finished, again))
    assert one == other
    assert finished.evidence_file.read_bytes() == again.evidence_file.read_bytes()


@pytest.mark.parametrize(
    "kept", [pytest.param(0, marks=pytest.mark.endurance), 1, pytest.param(5, marks=pytest.mark.endurance)]
)
def test_resume_makes_just_the_missing_decisions(finished: RunFolder, tmp_path: Path, kept: int) -> None:
    import shutil

    copy = Path(shutil.copytree(finished.path, tmp_path / finished.path.name))
    lines = finished.decisions_file.read_bytes().splitlines(keepends=True)
    (copy / "decisions.jsonl").write_bytes(b"".join(lines[:kept]) + lines[kept][:40])  # cut off in the next one
    assert main(["--resume", str(copy)]) == 0
    assert (copy / "decisions.jsonl").read_bytes() == finished.decisions_file.read_bytes()


def test_a_killed_run_resumes_to_the_decisions_of_an_undisturbed_one(
    finished: RunFolder, study_folder: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    with live("agent.run", ["--study", str(study_folder), "--runs", str(runs)], tmp_path / "said.txt") as process:
        deadline = time.monotonic() + 90
        while not list(runs.glob("*/transcripts/*")) and process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        process.join()
    killed = only_run(runs)
    assert main(["--resume", str(killed.path)]) == 0
    one, other = (f.decisions_file.read_text().replace(f.path.name, "RUN") for f in (finished, killed))
    assert one == other


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "vocabulary.txt").write_text("# nothing\n"), "holds no word"),
        (lambda folder: (folder / "base/sae/sae_weights.safetensors").write_bytes(b"\x10" * 300), "corrupt"),
        (lambda folder: (folder / "base/model/model.safetensors").unlink(), "no .safetensors"),
        (lambda folder: (folder / "guideline.md").unlink(), "missing"),
        (lambda folder: (folder / "study.toml").write_text("name = "), "not TOML"),
    ],
    ids=["empty vocabulary", "corrupt SAE", "no model weights", "no guideline", "broken study file"],
)
def test_bad_input_is_one_line_and_leaves_no_run(
    study_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage, said: str
) -> None:
    damage(study_copy)
    runs = tmp_path / "runs"
    assert run(study_copy, runs) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error
    assert error.count("\n") == 1
    assert not runs.exists()


def test_an_unknown_arm_names_those_there_are(
    study_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(study_folder, tmp_path, "--sae", "nosuch") == 2
    assert "base, finetuned" in capsys.readouterr().err


def test_an_unreachable_hub_is_said_within_a_second_of_the_probe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # the discard port: closed
    began = time.monotonic()
    assert run(ROOT / "studies/gpt2-medical", tmp_path) == 2
    assert time.monotonic() - began < 5
    assert "cannot be reached" in capsys.readouterr().err


def test_a_half_written_run_folder_is_refused(
    finished: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "manifest.json").write_text('{"schema_version": 1, "run_')
    assert main(["--resume", str(tmp_path)]) == 2
    assert "damaged" in capsys.readouterr().err


def test_a_dry_run_makes_nothing(study_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(study_folder, tmp_path / "runs", "--dry-run") == 0
    assert "nothing was done" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("arguments", [["--limit", "0"], ["--features", "a,b"], ["--controls", "-1"]])
def test_bad_arguments_are_refused_before_anything_is_loaded(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse_arguments(arguments)
    assert stopped.value.code == 2


def test_the_arms_of_the_shipped_studies_are_named() -> None:
    assert {"base", "finetuned"} <= set(load_study("pocket").arms)
    assert set(load_study("gpt2-medical").arms) == {"base", "control", "finetuned"}


def test_the_number_of_threads_is_kept_in_the_manifest(finished: RunFolder) -> None:
    assert finished.manifest().threads == torch.get_num_threads()
    old = finished.manifest().model_dump(mode="json")
    del old["threads"]
    assert Manifest.model_validate(old).threads is None


# An SAE of the user's own


def own(study_folder: Path, tmp_path: Path, **metadata: object) -> list[str]:
    """Flags for the tiny study's model and a copy of its SAE that says something else of itself."""
    sae = Path(shutil.copytree(study_folder / "base" / "sae", tmp_path / "sae"))
    config = json.loads((sae / "cfg.json").read_text("utf-8"))
    config["metadata"] |= metadata
    (sae / "cfg.json").write_text(json.dumps(config), "utf-8")
    return ["--sae", str(sae), "--model", str(study_folder / "base" / "model")]


def test_hook_may_be_named_on_the_command_line(
    study_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = own(study_folder, tmp_path, hook_name=None)
    assert run(study_folder, tmp_path / "runs", *flags, "--dry-run") == 2
    assert "name it with --hook" in capsys.readouterr().err
    assert run(study_folder, tmp_path / "runs", *flags, "--hook", "transformer.h.0", "--dry-run") == 0


def test_hook_named_goes_into_the_config_and_the_arm(study_folder: Path, tmp_path: Path) -> None:
    flags = [*own(study_folder, tmp_path, hook_name="blocks.0.hook_mlp_out"), "--study", str(study_folder)]
    config = configure(parse_arguments([*flags, "--hook", "blocks.1.hook_resid_post"]), {})
    assert config.hook == "blocks.1.hook_resid_post"
    arm = open_study(config).arms[config.sae]
    assert (arm.hook_name, arm.hook_overrides) == ("blocks.1.hook_resid_post", True)
    assert configure(parse_arguments(flags), {}).hook is None
    study_arm = ["--study", str(study_folder), "--sae", "base", "--hook", "model.layers.1"]
    assert open_study(configure(parse_arguments(study_arm), {})).arms["base"].hook_overrides


def test_config_of_a_run_before_there_was_a_hook_reads() -> None:
    stored = json.loads(RunConfig().model_dump_json())
    del stored["hook"]
    assert RunConfig.model_validate(stored).hook is None


def spoil_weights(model: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(model / "model.safetensors")
    weights["transformer.ln_f.weight"].fill_(float("inf"))
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})


def spoil_tokenizer(model: Path) -> None:
    (model / "tokenizer.json").write_text("{}", "utf-8")


def drop_tokenizer(model: Path) -> None:
    for file in model.glob("token*"):
        file.unlink()


@pytest.mark.parametrize("damage", [spoil_weights, spoil_tokenizer, drop_tokenizer])
def test_model_that_does_not_load_leaves_no_run(
    study_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    damage(study_copy / "base" / "model")
    assert run(study_copy, tmp_path / "runs") == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: ")
    assert "\n" not in said
    assert not list((tmp_path / "runs").glob("*"))


def test_entries_of_a_vocabulary_that_match_nothing_are_named_once(
    study_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (study_copy / "vocabulary.txt").write_text("Heart\nblood pressure\nx-ray\n", "utf-8")
    assert run(study_copy, tmp_path, "--dry-run") == 0
    (warning,) = [line for line in capsys.readouterr().out.splitlines() if "never matched" in line]
    assert warning.endswith("never matched: blood pressure, x-ray")


@pytest.mark.parametrize("name", ["vocabulary.txt", "guideline.md", "words.txt", "study.toml", "corpus.jsonl"])
def test_file_of_another_encoding_is_refused_before_a_run_is_made(
    study_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    file = study_copy / name
    file.write_text(file.read_text("utf-8"), "utf-16")
    assert run(study_copy, tmp_path / "runs") == 2
    assert f"{name} is not UTF-8" in capsys.readouterr().err
    assert not list((tmp_path / "runs").glob("*"))


# A model of the user's


@pytest.fixture
def own_files(study_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a model and its SAE, as a user may have them."""
    shutil.copytree(study_folder / "base" / "model", tmp_path / "work" / "models" / "my-llama" / "merged")
    shutil.copytree(study_folder / "base" / "sae", tmp_path / "work" / "saes" / "mine")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def test_a_users_model_is_named_in_banner_folder_and_report(
    study_folder: Path, own_files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = ("--model", "models/my-llama/merged", "--sae", "saes/mine", "--limit", "1", "--controls", "0")
    assert run(study_folder, own_files / "runs", *named) == 0
    banner = capsys.readouterr().out.splitlines()[0]
    assert banner.startswith("unveil · model models/my-llama/merged · SAE saes/mine · asked about medicine")
    folder = only_run(own_files / "runs")
    assert folder.path.name.split("Z-")[1].startswith("my-llama-merged-saes_mine-")
    assert "Medicine in my-llama-merged" in (folder.path / "report.html").read_text("utf-8")
    assert "A tiny study" not in (folder.path / "report.html").read_text("utf-8")
    assert main(["--replay", str(folder.path)]) == 0


@pytest.mark.parametrize(
    ("model", "sae", "said"),
    [
        (
            "models/my-lama/merged",
            "saes/mine",
            "there is no model models/my-lama/merged: no folder or file is called so",
        ),
        ("./nosuch", "saes/mine", "there is no model ./nosuch"),
        ("my.gguf", "saes/mine", "there is no model my.gguf"),
        ("models/my-llama/merged", "saes/mien", "there is no SAE saes/mien"),
        ("models/my-llama/merged", "base", "base is an arm of study tiny, which names its model"),
    ],
)
def test_a_mistyped_folder_is_missing_and_not_sought_on_the_hub(
    study_folder: Path, own_files: Path, capsys: pytest.CaptureFixture[str], model: str, sae: str, said: str
) -> None:
    assert run(study_folder, own_files / "runs", "--model", model, "--sae", sae) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert "hub" not in line
    assert not (own_files / "runs").exists()


def test_a_name_that_may_be_the_hubs_is_also_said_to_be_no_folder(
    study_folder: Path, own_files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert run(study_folder, own_files / "runs", "--model", "modles/mine", "--sae", "saes/mine") == 2
    assert "no folder modles/mine is here, and study tiny needs 'modles/mine' from the" in capsys.readouterr().err


# Arms that are made of one model when they are loaded


def write_adapter(folder: Path, seed: int = 0) -> Path:
    """A LoRA adapter of the tiny model's first attention, as PEFT lays one out."""
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(seed)
    folder.mkdir(exist_ok=True)
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["h.0.attn.c_attn"]}
    (folder / "adapter_config.json").write_text(json.dumps(settings), "utf-8")
    name = "base_model.model.transformer.h.0.attn.c_attn.lora_{}.weight"
    halves = {"A": (2, 32), "B": (96, 2)}
    tensors = {name.format(half): torch.randn(shape, generator=generator) * 0.1 for half, shape in halves.items()}
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


@pytest.fixture
def made(study_copy: Path) -> Path:
    """The tiny study with an adapted and an untrained arm."""
    write_adapter(study_copy / "adapter")
    more = "".join(
        f'[arms.{name}]\nmodel = "base/model"\nsae = "base/sae"\nhook_name = ""\n{setting}\n'
        for name, setting in (("medical", 'adapter = "adapter"'), ("untrained", "random_weights = 3"))
    )
    file = study_copy / "study.toml"
    file.write_text(file.read_text("utf-8").replace("[vectors]", f"{more}[vectors]"), "utf-8")
    return study_copy


FEW = ("--limit", "1", "--controls", "0", "--allow-unproved", "the SAE is another model's")


@pytest.mark.parametrize(
    ("arm", "said"),
    [("medical", "; LoRA adapter of rank 2 merged"), ("untrained", "; weights drawn anew, seed 3")],
)
def test_what_was_done_to_the_model_is_in_the_manifest(
    finished: RunFolder, made: Path, tmp_path: Path, arm: str, said: str
) -> None:
    assert run(made, tmp_path / "runs", "--sae", arm, *FEW) == 0
    manifest = only_run(tmp_path / "runs").manifest()
    assert manifest.computed == f"cpu in float32{said}"
    base = finished.manifest().provenance.sha256
    assert manifest.provenance.sha256["model"] != base["model"]
    assert manifest.provenance.sha256["sae"] == base["sae"]


@pytest.mark.parametrize(
    ("arm", "change", "said"),
    [
        ("medical", lambda folder: write_adapter(folder / "adapter", seed=1), "the model"),
        ("untrained", lambda folder: edit(folder, "random_weights = 3", "random_weights = 4"), "the study's [arm]"),
    ],
)
def test_a_run_goes_on_with_the_model_that_it_was_made_with_only(
    made: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arm: str,
    change: Callable[[Path], object],
    said: str,
) -> None:
    assert run(made, tmp_path / "runs", "--sae", arm, *FEW) == 0
    folder = only_run(tmp_path / "runs").path
    assert main(["--resume", str(folder)]) == 0
    capsys.readouterr()
    change(made)
    assert main(["--resume", str(folder)]) == 2
    assert said in capsys.readouterr().err


def edit(folder: Path, old: str, new: str) -> None:
    file = folder / "study.toml"
    file.write_text(file.read_text("utf-8").replace(old, new), "utf-8")
