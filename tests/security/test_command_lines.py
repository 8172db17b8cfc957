"""No flag, environment, study or SAE file ends otherwise than in work, in one line and status 2, or in an interruption.

Command lines, environments and files are drawn, plausible parts and hostile ones together, and run to the point where a
survey would begin.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.run import main
from tests.agent.cases import make_evidence
from tests.evals.exports.runs import usual_decisions, write_finished

DRAWN = int(os.environ.get("DRAWN", "12"))
"""Command lines and study files each; more of them find more: `make endurance` draws hundreds."""
HOSTILE = (
    "", " ", "-1", "0", "1", "2.5", "1e999", "nan", "inf", "-inf", "9" * 400, "9" * 5000,
    "1_000", "٣", "²", "½", "0x10", "true", "null",
    "\x1b[31m", "a\nb", "\u202e", "\udcff", "é", "a" * 5000, ".", "..", "/", "/dev/null", "~", "%s", "{0}", "$HOME", "a=b", "a,b",
    "--", "hub:", "hub:x", "x/y", "http://", "[", "'", "\\",
)  # fmt: skip
PLAUSIBLE: dict[str, tuple[str, ...]] = {
    "--study": ("{study}", "{study}/study.toml", "pocket", "nosuch", "{folder}", "{file}", "{bytes}"),
    "--sae": ("base", "finetuned", "{study}/base/sae", "nosuch", "{folder}"),
    "--corpus": ("{study}/corpus.jsonl", "{folder}", "{bytes}", "nosuch"),
    "--model": ("{study}/base/model", "{folder}", "{file}", "nosuch"),
    "--hook": ("blocks.1.hook_resid_pre", "blocks.99.hook_resid_pre", "blocks.1.hook_z"),
    "--evidence": ("{evidence}", "{file}", "{bytes}", "{folder}"),
    "--rejudge": ("{run}", "{folder}", "{file}"),
    "--resume": ("{run}", "{folder}", "{file}"),
    "--replay": ("{folder}", "{file}", "nosuch"),
    "--retry-failed": (),
    "--features": ("1,2", "1,1", "47", "48", "-3", "99999999999"),
    "--task": ("nosuch", "bios", "places", "{study}/corpus.jsonl", "{folder}", "{file}", "{bytes}", "{study}/study.toml"),
    "--choose": ("effect", "keywords", "text", "nosuch"),
    "--limit": ("1", "5", "1000000000000"),
    "--controls": ("0", "0.5", "100", "101"),
    "--judge": ("rules", "llm"),
    "--judge-model": ("m",),
    "--judge-repeats": ("1", "3", "1000000"),
    "--llm-model": ("m",),
    "--base-url": ("http://127.0.0.1:9/v1", "http://127.0.0.1:99999/v1", "http://user:pass@127.0.0.1/v1", "ftp://x"),
    "--header": ("X-A=b", "X A=b", "X-A=b\r\nX-B: c"),
    "--timeout": ("5", "0.001"),
    "--concurrency": ("1", "100000"),
    "--requests-per-minute": ("10",),
    "--max-output-tokens": ("100",),
    "--temperature": ("0", "1", "3"),
    "--reasoning-effort": ("low",),
    "--budget-usd": ("0", "1.5"),
    "--budget-tokens": ("10",),
    "--prices": ("{file}", "{bytes}", "{folder}"),
    "--seed": ("0", "7", "99999999999999999999"),
    "--device": ("auto", "cpu", "cuda", "cuda:99", "mps", "cuda:-1", "cpu:1"),
    "--threads": ("1", "100000"),
    "--precision": ("auto", "float32", "bfloat16", "int8"),
    "--memory-gib": ("1", "0.001"),
    "--runs": ("{runs}", "{file}", "{file}/below", "/proc/none"),
    "--allow-unproved": ("a reason",),
    "--nosuch": (),
}  # fmt: skip
ENVIRONMENT: dict[str, tuple[str, ...]] = {
    "OPENAI_API_KEY": ("sk-0123456789", "with space", "with\nline", "é"),
    "OPENAI_BASE_URL": ("http://127.0.0.1:9/v1", "http://127.0.0.1:9", "127.0.0.1", "http://user:pass@127.0.0.1/v1"),
    "OPENAI_MODEL": ("m",),
    "HTTPS_PROXY": ("http://127.0.0.1:9", "://"),
    "HF_HUB_OFFLINE": ("1",),
    "OMP_NUM_THREADS": ("1", "x"),
    "COLUMNS": ("1", "x"),
    "XDG_CACHE_HOME": ("{file}", "/proc/none"),
    "NO_COLOR": ("1",),
}


class Ended(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture(scope="module")
def places(study_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `{name}` stands for in a drawn command line."""
    folder = tmp_path_factory.mktemp("places")
    (folder / "empty").mkdir()
    (folder / "file.txt").write_text("some text\n")
    (folder / "bytes.bin").write_bytes(bytes(range(256)))
    (folder / "evidence.jsonl").write_text(make_evidence().model_dump_json() + "\n")
    run = write_finished(folder / "run", usual_decisions())
    named = {"folder": "empty", "file": "file.txt", "bytes": "bytes.bin", "evidence": "evidence.jsonl", "runs": "runs"}
    return {"study": str(study_folder), "run": str(run), **{name: str(folder / at) for name, at in named.items()}}


@pytest.fixture(scope="module")
def nothing_else(study_folder: Path) -> Iterator[None]:
    """The environment of the tests, without what names an endpoint."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("OPENAI_", "LANGSMITH_", "LANGCHAIN_")) or name.lower().endswith("_proxy"):
                patch.delenv(name)
        yield


def run(arguments: list[str], environment: dict[str, str] | None = None) -> Ended:
    """The command, in this process."""
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name, value in (environment or {}).items():
            patch.setenv(name, value)
        try:
            status = main(arguments)
        except SystemExit as leaving:
            status = leaving.code
    assert isinstance(status, int)
    return Ended(status, out.getvalue(), err.getvalue())


def assert_ended_well(ended: Ended) -> None:
    assert ended.status in (0, 2)
    said = [line for line in ended.err.split("\n") if line and not line.startswith(("warning: ", "stopped: "))]
    assert len(said) == (1 if ended.status else 0), ended.err
    assert all(line.startswith("error: ") for line in said), ended.err
    assert "Traceback" not in ended.out + ended.err
    assert not any(line.rstrip(": ").endswith("error") for line in said), "an error that says nothing"


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    chosen = draw(st.lists(st.sampled_from(sorted(PLAUSIBLE)), max_size=5, unique=True))
    line: list[str] = []
    for flag in chosen:
        values = PLAUSIBLE[flag]
        line.append(flag)
        if values:
            line.append(draw(st.sampled_from(values) | st.sampled_from(HOSTILE)))
    return line


def environments() -> st.SearchStrategy[dict[str, str]]:
    hostile = st.sampled_from([one for one in HOSTILE if one != "\udcff"])
    values = {name: st.sampled_from(some) | hostile for name, some in ENVIRONMENT.items()}
    # Libraries make folders where this one says, and any text is a folder's name.
    values["XDG_CACHE_HOME"] = st.sampled_from(ENVIRONMENT["XDG_CACHE_HOME"])
    return st.fixed_dictionaries({}, optional=values)


@given(command_lines(), environments())
@settings(max_examples=DRAWN, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_command_line_ends_in_one_of_three_ways(
    places: dict[str, str], nothing_else: None, line: list[str], environment: dict[str, str]
) -> None:
    def fill(text: str) -> str:
        for name, place in places.items():
            text = text.replace("{" + name + "}", place)
        return text

    line = list(map(fill, line))
    if "--study" not in line:
        line += ["--study", places["study"]]
    if "--runs" not in line:
        line += ["--runs", places["runs"]]
    if "--resume" not in line:  # of a finished run it says what is there, and asks nothing
        line.append("--dry-run")
    assert_ended_well(run(line, {name: fill(value) for name, value in environment.items()}))
    assert not Path(places["runs"]).exists()


ANYTHING = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        1,
        2,
        10**7,
        10**30,
        -0.5,
        0.5,
        1e300,
        float("nan"),
        float("inf"),
        "",
        "x",
        "nosuch.txt",
        "..",
        "/",
        "/etc",
    ]
    + ["a" * 5000, "\x00", "\x1b[31m", "\n", "\u202e", [], ["x"], [""], [0], {}, {"a": 1}, [[[]]]]
)


def toml_value(value: Any) -> str | None:
    """A value as TOML spells it; None for what it cannot."""
    if value is None:
        return None
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(str(toml_value(item)) for item in value) + "]"
    return {"NaN": "nan", "Infinity": "inf"}.get(spelt := json.dumps(value), spelt)


STUDY_FIELDS = {
    "": ("name", "title", "candidate_limit", "hub"),
    "domain": ("name", "definition", "vocabulary", "guideline"),
    "arms.base": ("model", "sae", "hook_name", "explained_variance", "hook_overrides"),
    "vectors": ("file", "words", "gensim"),
    "corpus": ("file", "texts", "documents", "held_out_share", "gensim_test_data"),
    "survey": (
        *("lens", "lens_rows", "lens_width", "lens_skip", "lens_tolerance", "lens_agreement", "lens_folder", "lens_file"),
        *("top_k", "candidate_hits", "candidates", "null_directions", "alpha"),
    ),
    "observation": ("context_tokens", "top_contexts", "quantile_contexts", "sink_multiple"),
    "steering": (
        *("prompts", "new_tokens", "seeds", "temperature", "top_k", "kind", "policy", "unit", "target_kl", "strength"),
        *("max_strength", "fluency_factor"),
    ),
    "controls": ("near", "unrelated", "random_directions"),
    "nosuch": ("field",),
}  # fmt: skip
FIELDS = [(table, field) for table, fields in STUDY_FIELDS.items() for field in fields]


def change_study(folder: Path, changes: dict[tuple[str, str], Any]) -> None:
    """Set fields of a study file, and leave the rest."""
    import tomllib

    told = tomllib.loads((folder / "study.toml").read_text("utf-8"))
    told.pop("training", None)
    for (table, field), value in changes.items():
        inside = told
        for part in filter(None, table.split(".")):
            inside = inside.setdefault(part, {})
        inside.pop(field, None)
        if value is not None:
            inside[field] = value
    lines = [f"{key} = {toml_value(value)}" for key, value in told.items() if not isinstance(value, dict)]
    for table, fields in told.items():
        if not isinstance(fields, dict):
            continue
        below = {key: value for key, value in fields.items() if table == "arms" and isinstance(value, dict)}
        lines += [f"[{table}]", *(f"{k} = {toml_value(v)}" for k, v in fields.items() if k not in below)]
        for arm, values in below.items():
            lines += [f"[{table}.{arm}]", *(f"{k} = {toml_value(v)}" for k, v in values.items())]
    (folder / "study.toml").write_text("\n".join(lines) + "\n", "utf-8")


@pytest.fixture(scope="module")
def own_study(study_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tiny study, whose texts are changed and put back."""
    return Path(shutil.copytree(study_folder, tmp_path_factory.mktemp("own") / "tiny"))


@given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING, min_size=1, max_size=3))
@settings(max_examples=DRAWN, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_study_file_ends_in_one_of_three_ways(
    own_study: Path, nothing_else: None, tmp_path_factory: pytest.TempPathFactory, changes: dict[tuple[str, str], Any]
) -> None:
    whole = (own_study / "study.toml").read_text("utf-8")
    try:
        change_study(own_study, changes)
        assert_ended_well(run(["--study", str(own_study), "--runs", str(own_study / "runs"), "--dry-run"]))
    finally:
        (own_study / "study.toml").write_text(whole, "utf-8")
    assert not (own_study / "runs").exists()


CFG_FIELDS = (
    *("architecture", "d_in", "d_sae", "dtype", "device", "apply_b_dec_to_input", "normalize_activations", "metadata"),
    *("reshape_activations", "hook_name", "k", "activation_fn", "model_name", "prepend_bos", "context_size", "nosuch"),
)
CFG_VALUES = st.sampled_from(
    [
        "standard",
        "jumprelu",
        "topk",
        "gated",
        "transcoder",
        "batchtopk",
        "float32",
        "int8",
        "cpu",
        "cuda",
        "layer_norm",
        "none",
    ]
    + ["blocks.1.hook_resid_pre", "blocks.99.hook_resid_pre", {"hook_name": "x"}, {"hook_name": 3}, 32, 48, 4]
)


@pytest.fixture
def cut_short(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Everything is done as ever, but where the survey would begin."""
    begun: list[str] = []

    def conduct(*_: object, **__: object) -> int:
        begun.append("here")
        return 0

    monkeypatch.setattr("agent.stages.conduct.conduct", conduct)
    yield begun


@given(
    st.dictionaries(st.sampled_from(CFG_FIELDS), ANYTHING | CFG_VALUES, min_size=1, max_size=2),
    st.sampled_from(["", "{", "[]", "null", "\ufeff{}", "[" * 5000, '{"a": 1', "\x00"]) | st.none() | st.none(),
)
@settings(max_examples=DRAWN, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_sae_file_ends_in_one_of_three_ways(
    own_study: Path, nothing_else: None, cut_short: list[str], changes: dict[str, Any], instead: str | None
) -> None:
    file = own_study / "base" / "sae" / "cfg.json"
    whole = file.read_text("utf-8")
    try:
        told = json.loads(whole)
        told |= changes
        file.write_text(json.dumps(told) if instead is None else instead, "utf-8")
        line = ["--study", str(own_study), "--runs", str(own_study / "runs")]
        dry = run([*line, "--dry-run"])
        assert_ended_well(dry)
        if dry.status == 0:
            ended = run(line)
            assert_ended_well(ended)
            assert ended.status == 0, "a dry run has checked all that a run checks"
            assert (own_study / "runs").exists() and cut_short
    finally:
        file.write_text(whole, "utf-8")
        shutil.rmtree(own_study / "runs", ignore_errors=True)
        cut_short.clear()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["--features", "48"], "features 0 to 47, not 48"),
        (["--features", "-3"], "not a list of features"),
        (["--features", "7,finetuned-000007"], "no feature of base"),
        (["--features", "base-r000007"], "no feature of base"),
        (["--features", ","], "not a list of features"),
        (["--device", "toaster"], "no device is called"),
        (["--device", "cuda:99"], "not available"),
        (["--runs", "{file}"], "cannot be written"),
        (["--runs", "{file}/below"], "cannot be written"),
    ],
)
@pytest.mark.parametrize("dry", [True, False])
def test_what_a_run_would_refuse_a_dry_run_refuses_too(
    line: list[str], said: str, dry: bool, places: dict[str, str], nothing_else: None
) -> None:
    filled = [part.replace("{file}", places["file"]) for part in line]
    more = [] if "--runs" in line else ["--runs", places["runs"]]
    ended = run(["--study", places["study"], *filled, *more, *(["--dry-run"] if dry else [])])
    assert ended.status == 2 and said in ended.err
    assert_ended_well(ended)
    assert not Path(places["runs"]).exists()


def test_an_interruption_is_the_third_way(places: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> Callable[..., Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr("agent.beginning.anew.check_inputs", stop)
    ended = run(["--study", places["study"], "--runs", places["runs"], "--dry-run"])
    assert (ended.status, ended.err.count("\n")) == (130, 1)
    assert ended.err.startswith("interrupted: ")


EXTREMES: tuple[dict[tuple[str, str], Any], ...] = (
    {("survey", "top_k"): 363, ("survey", "candidate_hits"): 11, ("survey", "null_directions"): 1, ("survey", "alpha"): 1e-300},
    {("survey", "top_k"): 1, ("observation", "context_tokens"): 10**6, ("observation", "top_contexts"): 1000},
    {("observation", "context_tokens"): 2, ("observation", "top_contexts"): 1, ("observation", "quantile_contexts"): 0},
    {("steering", "top_k"): 10**9, ("steering", "temperature"): 0, ("steering", "seeds"): [2**63 - 1]},
    {("steering", "temperature"): 1e-300, ("steering", "target_kl"): 1e300, ("steering", "max_strength"): 1e6},
    {("steering", "temperature"): 100, ("steering", "target_kl"): 1e-300, ("steering", "fluency_factor"): 1e6},
    {("steering", "unit"): "residual_norm", ("steering", "strength"): 1e6, ("steering", "fluency_factor"): 1e-300},
    {("controls", "near"): 0, ("controls", "unrelated"): 0, ("controls", "random_directions"): 0, ("", "candidate_limit"): 0},
    {("steering", "prompts"): ["\x00"], ("corpus", "held_out_share"): 0.999},
    {("survey", "lens"): "jacobian", ("survey", "lens_skip"): 1, ("survey", "lens_width"): 3, ("survey", "candidates"): "null"},
    {("survey", "lens"): "effect", ("survey", "lens_rows"): 100_000, ("survey", "lens_tolerance"): 1e-300},
    {("survey", "lens"): "effect", ("survey", "lens_skip"): 10**6, ("observation", "sink_multiple"): 1.001},
)  # fmt: skip


IN_THE_SUITE = (3,)
"""Of these, each of which is a whole run; the others belong to endurance."""


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(number, marks=() if number in IN_THE_SUITE else pytest.mark.endurance)
        for number in range(len(EXTREMES))
    ],
)
def test_settings_at_their_bounds_run_to_the_end(
    number: int, study_copy: Path, tmp_path: Path, nothing_else: None
) -> None:
    change_study(study_copy, EXTREMES[number])
    line = ["--study", str(study_copy), "--runs", str(tmp_path / "runs"), "--controls", "0.05", "--limit", "1"]
    ended = run(line)
    assert_ended_well(ended)
    assert (tmp_path / "runs").exists() == (ended.status == 0)
    if ended.status == 0:
        (made,) = (tmp_path / "runs").iterdir()
        assert (made / "report.html").is_file()


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:50])


DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "vectors cut off": ("vectors.safetensors", _cut),
    "fewer words than vectors": ("words.txt", lambda file: file.write_text("one\n")),
    "vectors of other words": ("vocabulary.txt", lambda file: file.write_text("qqqq\n")),
    "no vocabulary": ("vocabulary.txt", lambda file: file.write_text("")),
    "no corpus": ("corpus.jsonl", lambda file: file.write_text("")),
    "another corpus": ("corpus.jsonl", lambda file: file.write_text("{}\n")),
    "lists longer than the vocabulary": ("study.toml", lambda file: change_study(file.parent, {("survey", "top_k"): 999})),
    "longer texts than the model reads": ("study.toml", lambda file: change_study(file.parent, {("steering", "new_tokens"): 99})),
    "no vectors": (
        "study.toml",
        lambda file: change_study(file.parent, {("vectors", "file"): None, ("vectors", "words"): None}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGES)
def test_a_study_that_cannot_be_run_leaves_no_run(
    what: str, study_copy: Path, tmp_path: Path, nothing_else: None
) -> None:
    name, how = DAMAGES[what]
    how(study_copy / name)
    ended = run(["--study", str(study_copy), "--runs", str(tmp_path / "runs")])
    assert ended.status == 2
    assert_ended_well(ended)
    assert not (tmp_path / "runs").exists()
