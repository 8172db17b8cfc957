"""What others wrote reaches a terminal spelt out; a reader who leaves, and an interruption, end no command in a traceback."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from agent.check import main as check
from agent.folder.records import Decision, TranscriptStep
from agent.folder.store import RunFolder
from agent.read import main as read
from agent.run import main as run_main
from evals.audit_study import main as audit
from evals.compare import main as compare
from evals.export import main as export
from evals.labels import main as labels_main
from evals.manual.own import write_own
from evals.review.__main__ import main as review
from evals.run import main as examine
from evals.score import main as score
from prompts import fence
from prompts.unseen import is_unseen
from tests.agent.cases import make_evidence
from tests.doors import list_doors
from tests.evals.arms.worlds import World, write_arm
from tests.evals.exports.runs import usual_decisions, write_finished
from tests.evals.worlds import label
from tests.warm import live
from tools.display import unseen
from tools.display.console import LineConsole
from tools.display.terminal import complain, say

ROOT = Path(__file__).parents[2]
DOORS = list_doors()
FORGED = "forged line"
HOSTILE = (
    f"\x1b[2J\x1b]0;title\x07\x1b[31m\x9b31m\x9d0;x\x9c\x08\x7f\x85\r{FORGED}\n{FORGED}\x0b\x0c\u2028{FORGED}\u2029"
    "\u202egnp.exe\u202c\u2066\u2069\u200b\u200d\ufeff\u00ad\U000e0041\ufe0f\u3164"
)
"""Escape sequences in 7 and 8 bits, controls, line ends of every kind, overrides, zero widths, tags, selectors, blanks."""
NAMED = "\x1b[31m\u202eb\u200b\n" + FORGED
"""The same as a file may be called."""


def raw_in(text: str) -> set[str]:
    """Characters that must not reach a terminal, by a table of Python's and none of ours."""
    return {
        letter for letter in text
        if letter != "\n" and unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
    }  # fmt: skip


def assert_spelt_out(text: str) -> None:
    assert not raw_in(text)
    assert not [line for line in text.split("\n") if line.startswith(FORGED)]


R = TypeVar("R", bound=BaseModel)


def poison(record: R, text: str) -> R:
    """The record with the text after every text in it that may be any: what only holds certain words is left."""
    for path in list(paths_of(record.model_dump(mode="json"))):
        told = record.model_dump(mode="json")
        inside = told
        for step in path[:-1]:
            inside = inside[step]
        inside[path[-1]] += text
        with suppress(ValidationError):
            record = type(record).model_validate(told)
    return record


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the texts in nested data are."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict | list):
        for step, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths_of(item, (*path, step))


def hostile_steps(decision: Decision) -> list[TranscriptStep]:
    said = {"role": "user" + HOSTILE, "content": HOSTILE, "tool_calls": [{"name": HOSTILE, "arguments": HOSTILE}]}
    contents = {
        "messages": [said],
        "reply": {"text": HOSTILE, **said},
        "tool": {"hypothesis": None, "measurement": {"instrument": HOSTILE, "arguments": {HOSTILE: HOSTILE}, "status": HOSTILE}},
        "judgement": {"panel": {HOSTILE: [HOSTILE]}, "label": HOSTILE, "reply": HOSTILE},
        "rule": {HOSTILE: {HOSTILE: [HOSTILE, {HOSTILE: HOSTILE * 9}]}},
        "failure": {"type": HOSTILE, "message": HOSTILE},
        "decision": decision.model_dump(mode="json"),
    }  # fmt: skip
    parsed = TranscriptStep(step=9, kind="reply", node=HOSTILE, content={"parsed": {HOSTILE: [HOSTILE]}})
    steps = [
        TranscriptStep.model_validate({"step": n, "kind": kind, "node": f"node{HOSTILE}", "content": content})
        for n, (kind, content) in enumerate(contents.items())
    ]
    return [*steps, parsed]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run in whose every free text there is one that would take a terminal over, in a folder called like it."""
    path = tmp_path_factory.mktemp("hostile") / NAMED
    decisions = [poison(one, HOSTILE) for one in usual_decisions()]
    evidence = [
        poison(make_evidence(stratum=d.stratum), HOSTILE).model_copy(update={"feature": d.feature}) for d in decisions
    ]
    write_finished(path, decisions, evidence, hostile_steps)
    run = RunFolder(path)
    told = run.manifest()
    changed = {
        "study_title": HOSTILE,
        "domain": HOSTILE,
        "config": told.config.model_copy(update={"allow_unproved": HOSTILE}),
    }
    run.write_manifest(told.model_copy(update=changed))
    return path


@pytest.fixture(scope="module")
def hostile_labels(hostile: Path) -> Path:
    file = hostile.parent / f"{NAMED}.jsonl"
    decisions = RunFolder(hostile).decisions()
    given = [
        label(d.feature.index, value, f"{who}{HOSTILE}", note=HOSTILE, item={**d.feature.model_dump()})
        for d in decisions
        for who, value in (("ana", "yes"), ("ben", "no"), ("ana", "no"))
    ]
    given += [
        label(1, HOSTILE, f"ana{HOSTILE}", "annotation"),
        label(1, 0.5, "ana", HOSTILE),
        label(1, 3, "x", HOSTILE),
    ]
    write_own(file, [one.model_copy(update={"source": f"here{HOSTILE}"}) for one in given])
    return file


def test_every_character_is_seen_or_spelt_out_like_in_prompts_and_pages() -> None:
    dense = [*range(0x3100), *range(0xD7F0, 0xE010), *range(0xF8F0, 0x10000), *range(0xE0000, 0xE0200)]
    for letter in map(chr, [*dense, *range(0x3100, sys.maxunicode + 1, 997)]):
        shown = unseen.spell_out(letter)
        assert not any(map(is_unseen, shown)) and "\n" not in shown
        if letter not in "\n\r\t":
            assert (shown != letter) == fence.escape(letter).startswith("\\u{"), hex(ord(letter))


@given(st.text(st.characters(codec=None)))
def test_any_text_is_one_line_and_says_what_it_was(text: str) -> None:
    shown = unseen.spell_out(text)
    assert not raw_in(shown) and "\n" not in shown
    back = re.sub(r"\\u\{([0-9a-f]+)\}", lambda found: chr(int(found[1], 16)), shown)
    if not re.search(r"\\u\{|[⏎␍\t\n\r]", text):
        assert back == text


@pytest.mark.parametrize("more", [(), ("--whole",)])
def test_a_transcript_is_spelt_out(hostile: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]) -> None:
    for decision in RunFolder(hostile).decisions():
        assert read([str(hostile), decision.feature.key, *more]) == 0
        out, err = capsys.readouterr()
        assert "\\u{1b}[2J" in out and "warning: " in out
        assert_spelt_out(out + err)


def test_an_examination_is_spelt_out(hostile: Path, hostile_labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert examine([str(hostile), "--labels", str(hostile_labels), "--require", "kappa_low>=0.99"]) == 1
    out, err = capsys.readouterr()
    assert "\\u{1b}[2J" in out and "not met" in err
    assert_spelt_out(out + err)
    for table in (hostile / "evals").glob("*.md"):
        assert not raw_in(table.read_text("utf-8"))


def test_labels_are_spelt_out(hostile_labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert labels_main(["own", str(hostile_labels), "--all"]) == 0
    out, err = capsys.readouterr()
    assert "\\u{1b}[2J" in out
    assert_spelt_out(out + err)
    bad = hostile_labels.with_name(f"{NAMED}.csv")
    bad.write_text(f'annotator,sae,index,question,value\nana,base,1,relevant,"{HOSTILE}"\nana,base,1,x,1\n', "utf-8")
    assert labels_main(["own", str(bad)]) == 1
    assert_spelt_out("".join(capsys.readouterr()))


@pytest.mark.parametrize("kind", ["neuronpedia", "delphi", "inspect"])
def test_an_export_is_spelt_out(
    hostile: Path, hostile_labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    more = [] if kind == "delphi" else ["--labels", str(hostile_labels)]
    assert export([str(hostile), "--to", kind, "--out", str(tmp_path / NAMED), *more]) in (0, 2)
    assert_spelt_out("".join(capsys.readouterr()))


@pytest.mark.filterwarnings("ignore:Glyph")  # no font has all letters
def test_a_comparison_is_spelt_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = write_arm(tmp_path / f"base{NAMED}", World(name=f"base{HOSTILE}", prompts=(HOSTILE, "A")))
    tuned = write_arm(
        tmp_path / f"tuned{NAMED}",
        World(name=f"tuned{HOSTILE}", seed=5, relevant=4, perplexity_bound=140.0, prompts=(HOSTILE, "A")),
    )
    assert compare([str(base), str(tuned), "--no-weights", "--out", str(tmp_path / NAMED)]) == 0
    out, err = capsys.readouterr()
    assert "\\u{1b}[2J" in out
    assert_spelt_out(out + err)


REFUSED: dict[str, tuple[Callable[[list[str]], int], list[str]]] = {
    "no run to read": (read, [NAMED, "12"]),
    "no run to check": (check, [NAMED]),
    "no feature to read": (read, ["{run}", HOSTILE]),
    "no run to go on with": (run_main, ["--resume", NAMED]),
    "no run to replay": (run_main, ["--replay", NAMED]),
    "a run that is not as it was": (run_main, ["--replay", "{run}"]),
    "no study": (run_main, ["--study", NAMED]),
    "no arm": (run_main, ["--sae", HOSTILE]),
    "no evidence": (run_main, ["--evidence", NAMED, "--base-url", "http://127.0.0.1:9", "--llm-model", HOSTILE]),
    "no labels": (labels_main, ["own", NAMED]),
    "no run to examine": (examine, [NAMED, "--labels", NAMED]),
    "no bound": (examine, ["{run}", "--labels", "x", "--require", HOSTILE]),
    "no run to score": (score, [NAMED]),
    "no study to score on": (score, ["{run}"]),
    "no run to export": (export, [NAMED, "--to", "delphi"]),
    "no format": (export, ["{run}", "--to", HOSTILE]),
    "no runs to compare": (compare, [NAMED, NAMED]),
    "no clone": (audit, [NAMED]),
    "no runs to serve": (review, [NAMED]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_one_line_spelt_out(case: str, hostile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main, arguments = REFUSED[case]
    with suppress(SystemExit):  # what the command line itself shows to be wrong
        assert main([argument.replace("{run}", str(hostile)) for argument in arguments]) == 2
    err = capsys.readouterr().err
    assert_spelt_out(err)
    assert [line for line in err.splitlines() if line.startswith("error: ")] == err.splitlines()[-1:]


@pytest.mark.parametrize("door", DOORS)
def test_a_flag_that_is_none_is_one_line_spelt_out(door: str) -> None:
    flag = "--nosuch\x1b[31m\u202e\n" + FORGED.replace(" ", "")
    done = subprocess.run([sys.executable, "-m", door, flag], capture_output=True, cwd=ROOT, encoding="utf-8")
    assert done.returncode == 2, done.stderr
    assert_spelt_out(done.stderr)
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: ")


def test_a_terminal_of_another_encoding_gets_code_points(hostile: Path) -> None:
    key = RunFolder(hostile).decisions()[0].feature.key
    done = subprocess.run(
        [sys.executable, "-m", "agent.read", str(hostile), key],
        capture_output=True, cwd=ROOT, env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"\\u2500" in done.stdout


def test_what_is_said_by_console_or_line_is_spelt_out(capsys: pytest.CaptureFixture[str]) -> None:
    LineConsole().print(HOSTILE)
    LineConsole(stderr=True).print(HOSTILE)
    say(HOSTILE, HOSTILE)
    complain(HOSTILE)
    out, err = capsys.readouterr()
    assert_spelt_out(out + err)
    assert out.count("\n") == 3 and err.count("\n") == 2


def test_nothing_writes_to_a_terminal_by_another_way() -> None:
    ways = re.compile(r"(?<![.\w])print\(|sys\.std(out|err)\.write|\bConsole\(|\bArgumentParser\(")
    allowed = {"tools/display/terminal.py", "tools/display/console.py"}
    found = [
        f"{file.relative_to(ROOT)}: {line.strip()}"
        for room in ("agent", "evals", "tools", "prompts")
        for file in sorted((ROOT / room).rglob("*.py"))
        if str(file.relative_to(ROOT)) not in allowed
        for line in file.read_text("utf-8").splitlines()
        if ways.search(line)
    ]
    assert not found


@pytest.mark.parametrize("door", DOORS)
def test_help_may_go_unread(door: str) -> None:
    begun = subprocess.Popen(
        [sys.executable, "-m", door, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    assert begun.stdout and begun.stderr
    begun.stdout.close()
    with begun.stderr:
        assert begun.stderr.read() == b""
    assert begun.wait() == 0


def gone_after(folder: Path, module: str, *arguments: str) -> tuple[int | None, str]:
    """Status and complaints of a command whose reader leaves before it takes a line."""
    pipe, errors = folder / f"{module}.pipe", folder / f"{module}.txt"
    os.mkfifo(pipe)
    with live(module, arguments, pipe, errors=errors) as process:
        os.close(os.open(pipe, os.O_RDONLY))
        process.join(100)
        return process.exitcode, errors.read_text("utf-8")


def test_a_reader_who_leaves_costs_no_report(
    hostile: Path, hostile_labels: Path, study_copy: Path, tmp_path: Path
) -> None:
    key = RunFolder(hostile).decisions()[0].feature.key
    assert gone_after(tmp_path, "agent.read", str(hostile), key, "--whole")[0] == 0
    judged = write_finished(tmp_path / "run", usual_decisions())
    named = tmp_path / "labels.jsonl"
    write_own(named, [label(1, "yes"), label(2, "no")])
    assert gone_after(tmp_path, "evals.run", str(judged), "--labels", str(named)) == (0, "")
    assert (judged / "evals" / "agreement.md").is_file()
    few = ("--limit", "1", "--controls", "0.05")
    assert gone_after(tmp_path, "agent.run", "--study", str(study_copy), "--runs", str(tmp_path / "runs"), *few)[0] == 0
    (made,) = (tmp_path / "runs").iterdir()
    assert (made / "report.html").is_file() and (made / "summary.json").is_file()


@pytest.fixture
def stopping(tmp_path: Path) -> Iterator[Callable[[str], dict[str, str]]]:
    """An environment in which Ctrl-C is pressed at the moment a module is first looked for, whatever started the tests."""

    def press(module: str) -> dict[str, str]:
        (tmp_path / "sitecustomize.py").write_text(
            "import os, signal, sys\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "class Press:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            f"        if name == {module!r}:\n"
            "            sys.meta_path.remove(self)\n"
            "            os.kill(os.getpid(), signal.SIGINT)\n"
            "sys.meta_path.insert(0, Press())\n"
        )
        return os.environ | {"PYTHONPATH": str(tmp_path)}

    yield press


FIRST_MODULES = {  # the last of each door belongs to the suite, the others to endurance: each is a start of Python
    "agent.run": ("pydantic", "rich", "torch", "transformer_lens"),
    "agent.read": ("pydantic", "agent.folder.records"),
    "agent.show": ("pydantic", "agent.lines"),
    "agent.check": ("pydantic", "agent.folder.soundness"),
    "agent.llm.stub": ("asyncio", "pydantic"),
    "agent.steer": ("numpy", "pydantic"),
    "evals.run": ("pydantic", "numpy", "evals.agreement.report"),
    "evals.score": ("pydantic", "numpy", "rich"),
    "evals.shift": ("numpy", "pydantic"),
    "evals.steered": ("numpy", "pydantic"),
    "evals.sweep": ("numpy", "torch"),
    "evals.truth": ("pydantic", "numpy"),
    "evals.compare": ("rich", "numpy"),
    "evals.labels": ("pydantic", "evals.errors"),
    "evals.export": ("pydantic", "agent.errors"),
    "evals.audit_study": ("pydantic", "numpy"),
    "evals.review": ("pydantic", "fastapi"),
    "tools.training": ("torch", "tools.bench.compute"),
    "benchmarks": ("rich", "benchmarks.records"),
}
LAST = {"agent.run": "torch"}
"""Where the last one comes after seconds."""
GIVEN = {
    "agent.run": ["--study", "{study}", "--runs", "{runs}"],
    "agent.read": ["{run}", "1"],
    "agent.show": ["{run}"],
    "agent.check": ["{run}"],
    "agent.llm.stub": ["--port", "0"],
    "agent.steer": ["--study", "{study}", "--toward", "{run}"],
    "evals.run": ["{run}", "--labels", "{run}"],
    "evals.score": ["{run}"],
    "evals.shift": ["{run}"],
    "evals.steered": ["{run}"],
    "evals.sweep": ["--study", "{study}"],
    "evals.truth": ["{run}"],
    "evals.compare": ["{run}", "{run}"],
    "evals.labels": ["own", "{run}"],
    "evals.export": ["{run}", "--to", "delphi"],
    "evals.audit_study": ["{run}"],
    "evals.review": ["{run}", "--port", "0"],
    "tools.training": ["base", "--data", "{run}"],
    "benchmarks": ["projection"],
}


@pytest.mark.parametrize(
    ("door", "module"),
    [
        pytest.param(door, name, marks=() if name == LAST.get(door, FIRST_MODULES[door][-1]) else pytest.mark.endurance)
        for door in DOORS
        for name in FIRST_MODULES[door]
    ],
)
def test_an_interruption_while_modules_load_is_one_line(
    door: str, module: str, stopping: Callable[[str], dict[str, str]], study_copy: Path, hostile: Path, tmp_path: Path
) -> None:
    places = {"{run}": str(hostile), "{study}": str(study_copy), "{runs}": str(tmp_path / "runs")}
    arguments = [places.get(argument, argument) for argument in GIVEN[door]]
    done = subprocess.run(
        [sys.executable, "-m", door, *arguments], capture_output=True, cwd=ROOT, env=stopping(module), encoding="utf-8"
    )
    assert (done.returncode, done.stderr.count("\n")) == (130, 1), done.stderr
    assert re.match(r"interrupted: \w+", done.stderr), "it says what is kept"
    assert not (tmp_path / "runs").exists()


def test_a_console_whose_reader_left_goes_on_in_silence() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    console = LineConsole()
    console.file = Gone()
    console.print("first")
    console.print("second")
    assert console.quiet
    assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN
