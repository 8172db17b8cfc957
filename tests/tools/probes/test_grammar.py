"""A grammar writes the same texts on any machine, and no two of them share a sentence."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from tools.errors import StudyError
from tools.probes.cues import delete_cues, read_cues
from tools.probes.grammar import list_cues, read_grammar, write_texts
from tools.probes.reading import load_task
from tools.study.reading import load_study
from tools.training.__main__ import main

TASKS = Path("studies/pocket/tasks")
TINY = """
seed = 1
texts = 8
plan = ["line", "line"]
alike = ["name"]
[common]
line = ["{name} saw {thing}", "{thing} fell on {name}", "{name} took {thing} from {thing}"]
thing = ["a ladder", "a boat", "the lamp", "an oar"]
[label.x]
[label.y]
[attribute.he]
name = ["Al", "Bo"]
[attribute.she]
name = ["Cy", "Di"]
"""


def tiny(folder: Path, *change: str) -> Path:
    (folder / "g.toml").write_text(TINY.replace(*change) if change else TINY, "utf-8")
    return folder / "g.toml"


@pytest.mark.parametrize("name", ["bios", "topics"])
def test_shipped_texts_are_what_their_grammar_writes(name: str) -> None:
    grammar = read_grammar(TASKS / f"{name}.grammar.toml")
    assert write_texts(grammar, name).encode() == (TASKS / f"{name}.jsonl").read_bytes()
    assert list_cues(grammar) == list(read_cues(TASKS / f"{name}.cues.txt"))


@pytest.mark.parametrize(("name", "least"), [("bios", 800), ("topics", 500)])
def test_no_two_shipped_texts_share_a_sentence(name: str, least: int) -> None:
    texts = [json.loads(line)["text"] for line in (TASKS / f"{name}.jsonl").read_text("utf-8").splitlines()]
    assert len(texts) >= least
    owners = Counter(sentence for text in texts for sentence in set(re.split(r"(?<=[.?!]) (?=[A-Z])", text)))
    repeated = {sentence for sentence, n in owners.items() if n > 1}
    assert {s for s in repeated if not s.startswith(("Mr.", "Judgment", "Dr."))} == set()


def test_sentences_of_biographies_differ_in_more_than_who_they_are_about() -> None:
    cues = read_cues(TASKS / "bios.cues.txt")
    names = set(read_grammar(TASKS / "bios.grammar.toml").common["last"])
    seen: Counter[str] = Counter()
    for line in (TASKS / "bios.jsonl").read_text("utf-8").splitlines():
        bare = " ".join(word for word in delete_cues(json.loads(line)["text"], cues).split() if word not in names)
        seen.update(set(bare.split(". ")))
    assert max(seen.values()) == 1


@pytest.mark.parametrize("name", ["bios", "topics"])
def test_shipped_tasks_lose_nothing_to_copies_and_are_balanced(name: str) -> None:
    task = load_task(name, load_study("pocket"))
    assert task.notes == ()
    counts = Counter(task.quadrants.tolist())
    assert len(set(counts.values())) == 1


def test_no_biography_names_its_profession() -> None:
    text = (TASKS / "bios.jsonl").read_text("utf-8")
    told = [json.loads(line)["text"].lower() for line in text.splitlines()]
    assert not [words for words in told if re.search(r"\b(nurs(e|es|ing)|teachers?|teaching)\b", words)]


def test_texts_are_as_many_of_each_kind_and_repeat_no_sentence(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in write_texts(read_grammar(tiny(tmp_path)), "t").splitlines()]
    assert Counter((row["label"], row["attribute"]) for row in rows) == dict.fromkeys(
        [("x", "he"), ("x", "she"), ("y", "he"), ("y", "she")], 2
    )
    masked = [re.sub(r"\b(Al|Bo|Cy|Di)\b", "_", s) for row in rows for s in row["text"].split(". ")]
    assert len({sentence.rstrip(".").lower() for sentence in masked}) == 16
    assert [row["document"] for row in rows[:2]] == ["t-0001", "t-0002"]


def test_the_command_writes_texts_and_cues_into_the_study(study_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study_copy / "tasks").mkdir()
    tiny(study_copy / "tasks").rename(study_copy / "tasks" / "tiny.grammar.toml")
    assert main(["task", "--study", str(study_copy), "--task", "tiny"]) == 0
    grammar = read_grammar(study_copy / "tasks" / "tiny.grammar.toml")
    assert (study_copy / "tasks" / "tiny.jsonl").read_text("utf-8") == write_texts(grammar, "tiny")
    assert (study_copy / "tasks" / "tiny.cues.txt").read_text("utf-8").split() == list_cues(grammar)
    assert main(["task", "--study", str(study_copy), "--task", "nix"]) == 2
    assert "nix.grammar.toml cannot be read" in capsys.readouterr().err


def test_passages_run_out_together_and_keep_their_documents(tmp_path: Path) -> None:
    passages = [
        {"document": f"{topic}{n}", "topic": topic, "text": f"One of {topic}{n}. Two of {topic}{n}. Three."}
        for topic, count in (("x", 4), ("y", 3))
        for n in range(count)
    ]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in passages), "utf-8")
    cuts = 'plan = ["line", "passage"]\n[passages]\nfile = "p.jsonl"\nsentences = 2\ntopics = { x = ["x"], y = ["y"] }'
    text = TINY.replace('plan = ["line", "line"]', cuts.split("\n")[0]).replace(
        "[common]", cuts.split("\n", 1)[1] + "\n[common]"
    )
    (tmp_path / "g.toml").write_text(text, "utf-8")
    rows = [json.loads(line) for line in write_texts(read_grammar(tmp_path / "g.toml"), "t").splitlines()]
    assert Counter(row["label"] for row in rows) == {"x": 2, "y": 2}
    assert rows[0]["document"] == "x0"
    assert rows[0]["text"].endswith("One of x0. Two of x0.")


def test_cues_are_what_one_attribute_says_and_the_other_does_not(tmp_path: Path) -> None:
    assert list_cues(read_grammar(tiny(tmp_path))) == ["al", "bo", "cy", "di"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("texts = 8", "texts = 400"), "no 1000 sentences of 'line' left"),
        (("from {thing}", "from {nothing}"), "no forms of 'nothing'"),
        (('name = ["Al", "Bo"]', 'name = ["{name}"]'), "leads back to itself"),
        (("seed = 1", ""), "seed: Field required"),
        (("seed = 1", "seed ="), "is not TOML"),
    ],
)
def test_a_grammar_that_cannot_write_says_why(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    file = tiny(tmp_path, *change)
    with pytest.raises(StudyError, match=said):
        write_texts(read_grammar(file), "t")
