"""Every command, given anything, does its work, or says one line and ends in 2: no traceback, and nothing left behind.

What is drawn comes from each command's own parser: its flags, and for each a value of its kind or a hostile one. No text
here has a NUL, for no command line can.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.agent.cases import make_evidence
from tests.doors import list_modules, parser_of
from tests.security.test_command_lines import HOSTILE, environments

DRAWN = int(os.environ.get("DRAWN", "10"))
"""Command lines for each door; more of them find more: `make endurance` draws hundreds."""
NUMBERS = (
    "-1",
    "0",
    "1",
    "3",
    "0.5",
    "1e999",
    "-1e300",
    "nan",
    "inf",
    "-inf",
    "9" * 400,
    "1_000",
    "٣",
    "½",
    "0x10",
    "",
)
PATHS = ("{run}", "{measured}", "{folder}", "{file}", "{bytes}", "{evidence}", "{labels}", "{study}", "{missing}", "{pipe}",
         "/dev/null", "{out}/made")  # fmt: skip


class Door(NamedTuple):
    """One command."""

    line: tuple[str, ...]
    """A command line that does something, from which drawn ones start."""
    statuses: frozenset[int] = frozenset({0, 2})
    """How it may end; 1 where the command says what that means."""


FOUND = frozenset({0, 1, 2})
DOORS: dict[str, Door] = {
    "agent.read": Door(("{run}", "base-000007")),
    "agent.show": Door(("{evidence}", "--reader", "judge")),
    "agent.check": Door(("{run}",), FOUND),
    "agent.llm.stub.__main__": Door(("--port", "0")),
    "agent.steer": Door(("--study", "{study}", "--toward", "{prose}", "--dry-run"), FOUND),
    "benchmarks.__main__": Door(("projection", "--scale", "small"), FOUND),
    "evals.audit_study": Door(("{folder}", "--study", "{study}")),
    "evals.compare": Door(("{run}", "{run}"), FOUND),
    "evals.export": Door(("{run}", "--to", "delphi"), FOUND),
    "evals.labels": Door(("own", "{labels}"), FOUND),
    "evals.review.__main__": Door(("{run}", "--port", "0")),
    "evals.run": Door(("{run}", "--labels", "{labels}", "--programs"), FOUND),
    "evals.score": Door(("{run}",), FOUND),
    "evals.shift": Door(("{run}",), FOUND),
    "evals.steered": Door(("{steered}",), FOUND),
    "evals.truth": Door(("{run}",), FOUND),
    "evals.sweep": Door(("--study", "{study}", "--directions", "1", "--texts", "1")),
    "tools.training.__main__": Door(("tokenizer", "--data", "{folder}", "--study", "{study}")),
}


def values_of(action: argparse.Action) -> st.SearchStrategy[str]:
    """What may follow a flag: of its kind, or anything."""
    plausible: Sequence[str] = (*PATHS, *NUMBERS[:4], "m", "http://127.0.0.1:9/v1")
    if action.choices:
        plausible = [str(choice) for choice in action.choices]
    elif action.type is Path:
        plausible = PATHS
    elif action.type is not None:
        plausible = NUMBERS
    return st.sampled_from(plausible) | st.sampled_from(HOSTILE)


@st.composite
def command_lines(draw: st.DrawFn, module: str, actions: Sequence[argparse.Action]) -> list[str]:
    """The usual line with a word of it exchanged or left out, and flags of the parser's behind it."""
    line = list(DOORS[module].line)
    if draw(st.booleans()):
        place = draw(st.integers(0, len(line) - 1))
        line[place : place + 1] = draw(
            st.just([]) | st.sampled_from((*PATHS, *HOSTILE)).map(lambda word: [word]) | st.just([line[place]] * 2)
        )
    for action in draw(st.lists(st.sampled_from(actions), max_size=4)):
        line.append(draw(st.sampled_from(action.option_strings)))
        if action.nargs != 0:
            line += draw(st.lists(values_of(action), min_size=1, max_size=2 if action.nargs == "+" else 1))
    return line


@pytest.fixture(scope="module")
def places(
    study_folder: Path, judged: Path, measured: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """What `{name}` stands for in a drawn command line."""
    from tests.agent.steering.made import write_run
    from tests.evals.worlds import label

    folder = tmp_path_factory.mktemp("doors")
    (folder / "folder").mkdir()
    (folder / "file").write_text("some text\n")
    (folder / "bytes").write_bytes(bytes(range(256)))
    words = ("doctor", "river", "garden", "nurse", "patient", "hospital", "music", "window")
    (folder / "prose").write_text(
        "".join(
            f"The {word} met the {other} in {n} of the rooms.\n\n"
            for n, word in enumerate(words)
            for other in words[:2]
        )
    )
    write_run(folder / "steered")
    (folder / "evidence").write_text(make_evidence().model_dump_json() + "\n")
    given = [label(index, "yes") for index in (7, 8)]
    (folder / "labels").write_text("".join(one.model_dump_json() + "\n" for one in given))
    shutil.copytree(judged, folder / "run")
    shutil.copytree(measured, folder / "measured")
    shutil.copytree(study_folder, folder / "study")
    reads, writes = os.pipe()
    os.close(writes)  # whoever reads meets the end at once
    names = (
        "folder",
        "file",
        "prose",
        "steered",
        "bytes",
        "evidence",
        "labels",
        "run",
        "measured",
        "study",
        "missing",
        "out",
    )
    yield {**{name: str(folder / name) for name in names}, "pipe": f"/dev/fd/{reads}", "": str(folder)}
    os.close(reads)


@pytest.fixture(scope="module", autouse=True)
def idle(places: dict[str, str]) -> Iterator[None]:
    """No endpoint in the environment, nothing served, nothing measured, and a folder of its own to work in."""
    from benchmarks.machine import describe_machine
    from benchmarks.records import Report

    machine = describe_machine(None)

    def measure(*_: object) -> Report:
        return Report(started="-", scale="small", rounds=1, machine=machine, results=(), failed=())

    async def leave(server: asyncio.Server) -> None:
        server.close()

    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("OPENAI_", "LANGSMITH_", "LANGCHAIN_")) or name.lower().endswith("_proxy"):
                patch.delenv(name)
        patch.setattr("asyncio.Server.serve_forever", leave)
        patch.setattr("uvicorn.Server.run", lambda _, sockets: [one.close() for one in sockets])
        patch.setattr("benchmarks.__main__.run_all", measure)
        patch.chdir(places["folder"])
        yield


class Ended(NamedTuple):
    status: object
    out: str
    err: str


def enter(module: str, line: Sequence[str], environment: dict[str, str]) -> Ended:
    """The command, in this process."""
    main: Callable[[Sequence[str]], int] = import_module(module).main
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            status: object = main(line)
        except SystemExit as leaving:
            status = leaving.code
    return Ended(status, out.getvalue(), err.getvalue())


def snapshot(folder: Path) -> dict[Path, bytes | None]:
    """Everything below a folder; None for a folder."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*") if path.name != ".lock"}


def put_back(before: dict[Path, bytes | None], after: dict[Path, bytes | None]) -> None:
    """Take away what has come, and restore what was written over."""
    for path in sorted(set(after) - set(before), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    for path, data in before.items():
        if data is not None and after.get(path) != data:
            path.write_bytes(data)


def assert_ended_well(module: str, ended: Ended) -> None:
    assert ended.status in DOORS[module].statuses, ended
    assert "Traceback" not in ended.out + ended.err
    errors = [line for line in ended.err.split("\n") if line.startswith("error: ")]
    if ended.status != 2:
        assert not errors, ended.err
    elif module != "agent.check":  # which goes on to the next folder
        assert len(errors) == 1, ended.err
    assert not any(line.rstrip(": ").endswith("error") for line in errors), "an error that says nothing"


@pytest.mark.parametrize("module", DOORS)
def test_every_door_ends_in_one_of_its_ways_and_leaves_nothing_when_it_refuses(
    module: str, places: dict[str, str]
) -> None:
    folder = Path(places[""])
    actions = [action for action in parser_of(module)._actions if action.option_strings]

    @given(command_lines(module, actions), environments())
    @example(list(DOORS[module].line), {})
    @settings(max_examples=DRAWN, suppress_health_check=list(HealthCheck))
    def draw(line: list[str], environment: dict[str, str]) -> None:
        def fill(text: str) -> str:
            for name, place in places.items():
                text = text.replace("{" + name + "}", place) if name else text
            return text

        before, words = snapshot(folder), list(map(fill, line))
        ended = enter(module, words, {name: fill(value) for name, value in environment.items()})
        after = snapshot(folder)
        try:
            assert_ended_well(module, ended)
            changed = [str(path) for path, data in before.items() if after.get(path) != data]
            assert not changed or (ended.status != 2 and set(changed) <= set(words)), (
                "only what was named is written over"
            )
            assert ended.status != 2 or after == before, "what refuses leaves nothing"
        finally:
            put_back(before, after)

    draw()


CHECKED_LATER = {
    *("timeout", "concurrency", "requests_per_minute", "max_output_tokens"),
    *("temperature", "budget_usd", "budget_tokens"),
}
"""Numbers whose bounds stand elsewhere, with tests of their own: in the record of a choice."""


@pytest.mark.parametrize("module", [*DOORS, "agent.beginning.flags"])
def test_every_number_on_a_command_line_has_bounds(module: str) -> None:
    bare = {action.dest for action in parser_of(module)._actions if action.type in (int, float, complex)}
    assert bare <= CHECKED_LATER


@pytest.mark.parametrize(
    ("module", "flags"),
    [
        ("agent.llm.stub.__main__", ["--port", "65536"]),
        ("agent.llm.stub.__main__", ["--delay", "nan"]),
        ("evals.run", ["--seed", "-1"]),
        ("evals.run", ["--seed", "9" * 5000]),
        ("evals.run", ["--epsilon", "nan"]),
        ("evals.run", ["--epsilon", "1e999"]),
        ("evals.run", ["--next", "-1"]),
        ("evals.compare", ["--seed", "-1"]),
        ("evals.score", ["--contexts", "9" * 11]),
        ("evals.score", ["--seed", "²"]),
        ("benchmarks.__main__", ["--rounds", "9" * 30]),
        ("tools.training.__main__", ["--rows", "-3"]),
        ("agent.beginning.flags", ["--memory-gib", "nan"]),
        ("agent.beginning.flags", ["--limit", "9" * 5000]),
    ],
)
def test_numbers_out_of_bounds_are_refused_by_the_flag(
    module: str, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        import_module(module).parse_arguments([*(DOORS[module].line if module in DOORS else ()), *flags])
    said = capsys.readouterr().err
    assert left.value.code == 2 and said.count("\n") == 1 and f"argument {flags[0]}" in said


def test_every_command_of_the_project_is_a_door_that_is_tried() -> None:
    assert set(list_modules()) - {"agent.run"} == set(DOORS), "agent.run has tests of its own"
