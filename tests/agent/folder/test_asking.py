"""What runs over the tasks that ship ask: two concepts, what is meant by each, a guideline, and words where rules are to rate."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import RunError
from agent.folder.asking import DEFAULT_GUIDELINE, ask_about, describe, open_asked, question_files
from agent.folder.config import RunConfig
from agent.folder.task_files import asks_as_shipped
from agent.judges.rating_rules import read_words
from tools.probes.definition import Concept, find_definition, list_tasks
from tools.study.reading import load_question

SHIPPED = [
    (study, task)
    for study in ("pocket", "smollm2")
    for task in list_tasks(load_question(study))
    if find_definition(task, load_question(study)).attribute is not None
]


@pytest.mark.parametrize(("study", "task"), SHIPPED)
def test_every_task_with_an_attribute_that_ships_can_be_asked_about(study: str, task: str) -> None:
    question = open_asked(RunConfig(study=study, task=task))
    assert question.name == load_question(study).name
    assert question.rating is not None and len(question.rating.concepts) == 2
    assert all(question.rating.concepts.values()), "each concept says what is meant"
    assert question.read_guideline().strip()
    assert all(file.is_file() for file in question_files(question).values())
    assert asks_as_shipped(RunConfig(study=study, task=task))


@pytest.mark.parametrize("study", ["pocket", "smollm2"])
@pytest.mark.parametrize(
    ("task", "concept", "inside", "outside"),
    [
        ("bios", "gender", {"she", "his", "mr", "margaret", "grandson"}, {"they", "ward", "teacher"}),
        ("bios", "profession", {"ward", "pupil", "nurse"}, {"she", "garden", "work"}),
        ("topics", "style", {"dear", "you", "appendix"}, {"she", "patient", "river"}),
        ("topics", "topic", {"patient", "violin", "flour"}, {"you", "appendix"}),
    ],
)
def test_rules_have_words_for_the_embedded_tasks(
    study: str, task: str, concept: str, inside: set[str], outside: set[str]
) -> None:
    words = read_words(open_asked(RunConfig(study=study, task=task)))[concept]
    assert inside <= words and not outside & words


def test_a_task_that_says_nothing_is_asked_about_by_its_classes(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(
        'texts = "own.csv"\ncues = "cues.txt"\n[label]\nname = "trade"\nclasses = { sea_man = 1, cook = 2 }\n'
        '[attribute]\nname = "age"\nclasses = { old = 0, young = 1 }\n'
    )
    question = ask_about(find_definition(str(tmp_path / "own.toml")), load_question("pocket"))
    assert question.rating is not None
    assert question.rating.concepts["trade"].startswith("Whether it is sea man or cook, and everything that goes with")
    assert question.rating.words == {"age": "cues.txt"}, "the cues give the attribute away"
    assert question.guideline == DEFAULT_GUIDELINE.resolve()


def test_three_classes_are_listed_and_none_leave_the_name() -> None:
    listed = Concept(name="colour", classes={"red": ("1",), "green": ("2",), "blue": ("3",)})
    assert describe(listed).startswith("Whether it is red, green or blue, and")
    assert describe(Concept(name="colour")).startswith("Whether it is colour, and")


def test_a_task_without_attribute_is_refused_in_a_line() -> None:
    with pytest.raises(RunError, match="domains has no attribute") as raised:
        open_asked(RunConfig(study="pocket", task="domains"))
    assert "\n" not in str(raised.value)
    assert open_asked(RunConfig(study="pocket")) == load_question("pocket")
