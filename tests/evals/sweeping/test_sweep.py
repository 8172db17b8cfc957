"""python -m evals.sweep: settings side by side, and how often the test of wins errs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evals.sweep import list_settings, main, parse_arguments
from evals.sweeping.sweep import HEADER, Setting, share_of_others
from tools.effects.contrast import Contest
from tools.study.definition import SteeringSequence, Study

TEST = SteeringSequence(win_rate=0.75, power=0.8, alpha=0.05)


def contest(null: np.ndarray) -> Contest:
    return Contest((), np.zeros(len(null), dtype=bool), null, np.zeros(len(null)), 0.0, True)


def test_every_combination_is_tried_and_the_studys_own_where_nothing_is_asked(study: Study) -> None:
    own = study.steering
    assert list_settings(study, parse_arguments([])) == [Setting("plain", "all", own.target_kl, own.new_tokens)]
    asked = parse_arguments(["--kl", "0.5, 1", "--forms", "plain,chat", "--new-tokens", "9"])
    assert list_settings(study, asked) == [
        Setting("plain", "all", 0.5, 9),
        Setting("plain", "all", 1.0, 9),
        Setting("chat", "all", 0.5, 9),
        Setting("chat", "all", 1.0, 9),
    ]


@pytest.mark.parametrize("line", [["--kl", "0.5,x"], ["--forms", "song"], ["--kl", ""], ["--policies", "all,none"]])
def test_a_list_with_something_foreign_in_it_is_refused(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_arguments(line)
    assert caught.value.code == 2
    assert line[0] in capsys.readouterr().err


def test_the_table_says_of_features_and_random_directions_what_was_measured(
    study_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["--study", str(study_folder), "--kl", "0.1,0.4", "--directions", "4", "--texts", "2", "--show", "1"]
    assert main(line) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(one.startswith("    steered: ") for one in lines) == 4
    head = next(place for place, one in enumerate(lines) if one.startswith("form  "))
    rows = [dict(zip(HEADER, one.split("   "), strict=False)) for one in lines[head + 1 :]]
    cells = [one.split() for one in lines[head + 1 :]]
    assert [(cell[2], cell[4]) for cell in cells] == [
        ("0.1", "features"), ("0.1", "random"), ("0.4", "features"), ("0.4", "random")
    ]  # fmt: skip
    assert len(rows) == 4
    weak, strong = (float(cells[place][6]) for place in (0, 2))
    assert 0 < weak < strong, "a stronger effect takes a longer vector"
    assert cells[0][10] == cells[2][10], "unsteered texts are the same whatever the strength"


def test_a_chat_form_that_the_tokenizer_lacks_is_one_line(
    study_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--study", str(study_folder), "--forms", "chat", "--directions", "2"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_lists_that_win_alike_do_not_pass_for_each_other() -> None:
    rng = np.random.default_rng(0)
    alike = contest(rng.random((60, 300)) < 0.5)
    assert share_of_others(TEST, alike) <= 0.08
    one_wins = alike.null.copy()
    one_wins[:, 0] = True
    assert share_of_others(TEST, contest(one_wins)) >= share_of_others(TEST, alike) + 0.5 / 300
    assert share_of_others(TEST, contest(np.zeros((5, 0), dtype=bool))) == 0.0


def test_a_kind_of_directions_without_words_has_a_line_without_figures(
    study_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--study", str(study_folder), "--directions", "1", "--texts", "1", "--show", "0"]) == 0
    said = capsys.readouterr().out
    assert "nan" not in said
    cells = [line.split() for line in said.splitlines()[-2:]]
    assert {cell[5] for cell in cells} & {"0"}, "one of them has no words"
    assert all((cell[5] == "0") == (cell[7] == "-") for cell in cells)
