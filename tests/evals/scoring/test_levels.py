"""Scores by level have known answers: word lists, noise, strong and weak contexts, weights that stand for what was not drawn."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.scoring.aggregate import figures_of
from evals.scoring.asking import Answers, Asked, ask_all, shuffle_labels
from evals.scoring.detection import Item
from evals.scoring.level_rows import STRONG_LESS_WEAK, rows_by_level
from evals.scoring.levels import PARTS, draw_by_level, level_figures, say_by_level, size_up, weigh
from evals.scoring.measures import average_precision, balance, correlate, measure, measure_weighed
from evals.scoring.records import ALL, Level, LevelRow, ScorerRef, Task
from evals.scoring.scorers import Answer, WordScorer
from evals.scoring.subjects import Subject, find_subjects
from tests.evals.worlds import decide, feature
from tools.activity.activations import Neighbours, Recording
from tools.activity.heldout import Draw, HeldOut, PartSize, draw_contexts
from tools.study.corpus import TokenRows
from tools.survey.coherence import WordVectors, make_vectors

LENGTH, WIDTH, N_ROWS = 8, 33, 500
LISTS = (
    ("ship", "harbour", "sail"),
    ("heart", "blood", "vein"),
    ("bread", "oven", "flour"),
    ("river", "bank", "delta"),
)
FILLER = ("alpha", "beta", "gamma", "omega", "kappa", "sigma", "theta", "lambda")
VOCABULARY = ["<bos>", *(f" {word}" for group in LISTS for word in group), *(f" {word}" for word in FILLER)]
OLD, NEW = Draw(contexts=10, length=LENGTH), draw_by_level(Draw(contexts=10, length=LENGTH))


def write_text(number: int) -> np.ndarray:
    """Token ids of rows in which the words of one list are rare, and no other list's are."""
    rng = np.random.default_rng(number)
    listed, first = sum(map(len, LISTS)), 1 + sum(map(len, LISTS[:number]))
    ids = rng.integers(1 + listed, len(VOCABULARY), (N_ROWS, WIDTH))
    named = rng.random(ids.shape) < 0.02
    ids[named] = rng.integers(first, first + len(LISTS[number]), int(named.sum()))
    ids[:, 0] = 0
    return ids


def record(ids: np.ndarray, number: int, noise: float = 0.0, spread: float = 1.0) -> Recording:
    """A feature active exactly on the words of a list, as strongly as chance has it; noise at a share of the other tokens."""
    first = 1 + sum(map(len, LISTS[:number]))
    rng = np.random.default_rng(number)
    strengths = rng.uniform(2, 10, ids.shape)
    on = (ids >= first) & (ids < first + len(LISTS[number]))
    values = np.where(on, strengths, 0.0)
    noisy = np.random.default_rng(9).random(ids.shape) < spread
    values = np.where(on | ~noisy, values, noise * values.max()).astype(np.float32)
    real = np.ones(ids.shape, bool)
    real[:, 0], values[:, 0] = False, 0
    rows = TokenRows(ids, real, tuple(f"d{row}" for row in range(len(ids))))
    near = Neighbours(np.array([1]), np.zeros((len(ids), 1)), np.zeros((len(ids), 1), dtype=np.int64))
    return Recording(rows, values[..., None], 1.0, np.ones(1), near)


def draw_both(number: int, noise: float = 0.0, spread: float = 1.0) -> tuple[HeldOut, HeldOut]:
    """Where any activation counts, and by level."""
    recording = record(write_text(number), number, noise, spread)
    return (
        draw_contexts(recording, 0, feature(number), VOCABULARY, OLD),
        draw_contexts(recording, 0, feature(number), VOCABULARY, NEW),
    )


def make_subjects(noise: float = 0.0, spread: float = 1.0) -> list[Subject]:
    decisions = [
        decide(number, "yes").model_copy(update={"label": ", ".join(words)}) for number, words in enumerate(LISTS)
    ]
    drawn = [draw_both(number, noise, spread) for number in range(len(LISTS))]
    found, others = find_subjects(decisions, [old for old, _ in drawn], 0, [new for _, new in drawn])
    assert not others
    return found


def vectors() -> WordVectors:
    """No two words alike; the frequent ones come first and are none of them."""
    words = [f"zz{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(150)]
    words += [*(word for group in LISTS for word in group), *FILLER]
    return make_vectors(words, np.eye(len(words), dtype=np.float32))


def ask_words(some: Sequence[Subject]) -> Asked:
    scorer = WordScorer(vectors())
    return asyncio.run(ask_all(scorer, ScorerRef(name="words", kind="words"), some, shuffle_labels(some, None, 0), 0))


def value(rows: Sequence[LevelRow], name: str, task: Task, level: Level, of: str) -> float:
    (row,) = (r for r in rows if (r.name, r.task, r.level, r.against) == (name, task, level, ALL))
    found = row.statistics[of].value
    assert found is not None
    return found


@pytest.fixture(scope="module")
def clean() -> list[LevelRow]:
    some = make_subjects()
    return list(rows_by_level(ask_words(some), some, 0))


@pytest.mark.parametrize("level", PARTS)
@pytest.mark.parametrize("task", ["detection by level", "fuzzing by level"])
def test_feature_active_exactly_on_a_word_list_scores_1_under_it_and_half_under_another(
    clean: list[LevelRow], task: Task, level: Level
) -> None:
    assert value(clean, "labels", task, level, "balanced_accuracy") == pytest.approx(1)
    assert value(clean, "control: shuffled labels", task, level, "balanced_accuracy") == pytest.approx(0.5)


@pytest.mark.parametrize("level", PARTS)
def test_words_simulate_where_a_listed_word_is_and_not_how_strong_it_is(clean: list[LevelRow], level: Level) -> None:
    assert value(clean, "labels", "simulation", level, "correlation") > 0.9
    assert abs(value(clean, "control: shuffled labels", "simulation", level, "correlation")) < 0.1


class Reader:
    """Says yes where a word of the label stands in the text, or under its marks."""

    name = "reader"
    tasks: tuple[Task, ...] = ("detection", "detection by level")

    async def answer(self, label: str, items: Sequence[Item], task: Task) -> list[Answer]:
        return [Answer(float(any(word in item.text for word in label.split(", ")))) for item in items]


@pytest.mark.parametrize("spread", [0.02, 0.1, 1.0])
def test_noise_below_a_tenth_of_the_maximum_moves_the_old_figure_and_not_the_new_one(spread: float) -> None:
    old, new = list[list[float]](), list[list[LevelRow]]()
    for some in (make_subjects(), make_subjects(0.0999, spread)):
        asked = asyncio.run(ask_all(Reader(), ScorerRef(name="reader", kind="llm"), some, [], 0))
        found = [one for s, given in zip(some, asked.own, strict=True) for one in figures_of("reader", s, given)]
        old.append(
            [one.measures["balanced_accuracy"] for one in found if (one.task, one.against) == ("detection", ALL)]
        )
        new.append(list(rows_by_level(asked, some, 0)))
    assert new[0] == new[1] and value(new[0], "labels", "detection by level", "by mass", "balanced_accuracy") == 1
    assert old[0] == [1] * len(LISTS)
    assert max(old[1], default=0) < 0.9, "with noise in every text there is none that is silent, and no figure"


def test_noise_leaves_nothing_silent_where_any_activation_counts() -> None:
    old, new = draw_both(0, 0.09)
    assert (old.active_stretches, old.random) == (old.stretches, ())
    assert new.active_stretches < new.stretches / 2 and len(new.random) == 10
    assert new == draw_both(0)[1]


def test_levels_are_the_top_tenth_the_upper_half_with_it_and_the_lower_half() -> None:
    new = draw_both(1)[1]
    n = new.active_stretches
    assert [part.stretches for part in new.parts] == [-(-n // 10), -(-n // 2) - -(-n // 10), n // 2]
    sizes = {size.level: size.contexts for size in size_up(new)}
    assert sizes["upper half"] + sizes["lower half"] == sizes["by mass"] == n
    peaks = {number: [c.max_activation or 0 for c in new.active if c.quantile == number] for number in (1, 2, 3)}
    assert [len(found) for found in peaks.values()] == [10, 10, 10]
    assert min(peaks[1]) >= max(peaks[2]) and min(peaks[2]) >= max(peaks[3])


def test_too_few_contexts_or_documents_of_a_level_are_not_scorable() -> None:
    (subject, *_) = make_subjects()
    assert subject.graded is not None
    few = PartSize(stretches=4, documents=4, documents_through=4)
    alike = PartSize(stretches=30, documents=2, documents_through=5)
    thin = subject.graded.model_copy(update={"parts": (few, alike, alike)})
    whys = {size.level: size.why for size in size_up(thin)}
    assert whys["top tenth"] == "4 contexts of 4 documents: 5 of 3 are needed"
    assert whys["lower half"] == "30 contexts of 2 documents: 5 of 3 are needed"
    assert whys["upper half"] is None and whys["by mass"] is None
    answers = ask_words([subject]).own[0]
    levels = {figures.level for figures in level_figures("words", subject._replace(graded=thin), answers)}
    assert levels == {"upper half", "by mass"}


def test_label_that_is_right_of_the_strong_and_wrong_of_the_weak_is_said_to_be() -> None:
    (subject, *_) = make_subjects()
    task: Task = "detection by level"
    given: Answers = {task: [Answer(float(item.quantile == 1)) for item in subject.items[task]]}
    (said,) = say_by_level("m", subject, given)
    assert said.startswith("right of the strong and wrong of the weak (m): yes to 10 of 10") and "0 of 10" in said
    asked = Asked(ScorerRef(name="m", kind="llm"), [given], [], [])
    rows = list(rows_by_level(asked, [subject], 0))
    assert value(rows, "labels", task, "by mass", STRONG_LESS_WEAK) == pytest.approx(1)
    assert value(rows, "labels", task, "top tenth", "recall") == pytest.approx(1)
    everything: Answers = {task: [Answer(float(item.truth)) for item in subject.items[task]]}
    nothing: Answers = {task: [Answer(0.0) for _ in subject.items[task]]}
    assert not list(say_by_level("m", subject, everything)) and not list(say_by_level("m", subject, nothing))


def test_texts_stand_for_the_stretches_of_their_part_and_by_mass_for_the_activation_in_them() -> None:
    items = [
        Item("active", 1, "a", (" x", " y"), activations=(4.0, 2.0)),
        Item("active", 2, "b", (" x", " y"), activations=(1.0, 0.0)),
        Item("active", 2, "c", (" x", " y"), activations=(0.0, 3.0)),
        Item("random", None, "d", (" x", " y"), activations=(0.0, 0.0)),
    ]
    parts = [PartSize(stretches=n, documents=1, documents_through=1) for n in (5, 40)]
    assert weigh(items, parts, by_mass=False).tolist() == [5, 20, 20, 1]
    assert weigh(items, parts, by_mass=True).tolist() == [30, 20, 60, 1]


def test_weight_is_worth_what_copies_of_a_text_would_be() -> None:
    truth, said = np.array([True, True, False, False]), np.array([0.9, 0.2, 0.6, 0.1])
    copies = np.array([3, 1, 2, 2])
    alone = measure(np.repeat(truth, copies), np.repeat(said, copies))
    found = measure_weighed(truth, said, copies.astype(float))
    assert {of: found[of] for of in alone} == pytest.approx(alone)
    assert (found["recall"], found["false_alarms"]) == pytest.approx((0.75, 0.5))


@given(st.integers(0, 10_000))
def test_equal_weights_change_no_area_under_the_curve(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, said = np.arange(20) < rng.integers(1, 19), rng.integers(0, 5, 20) / 4
    assert average_precision(truth, said, np.full(20, 0.3)) == pytest.approx(average_precision(truth, said))
    shares = balance(truth, rng.random(20) + 0.1)
    assert shares[truth].sum() == pytest.approx(0.5) and shares.sum() == pytest.approx(1)


@given(st.integers(0, 10_000), st.floats(0.1, 10), st.floats(-5, 5))
def test_correlation_is_1_for_the_truth_whatever_its_scale_and_0_for_a_constant(
    seed: int, scale: float, shift: float
) -> None:
    rng = np.random.default_rng(seed)
    actual, weights = rng.random(30), rng.random(30) + 0.1
    assert correlate(actual, scale * actual + shift, weights) == pytest.approx(1)
    assert correlate(actual, np.full(30, shift), weights) == 0
    even = correlate(actual, actual**2, np.ones(30))
    assert even == pytest.approx(float(np.corrcoef(actual, actual**2)[0, 1]))


def test_simulation_with_the_true_activations_is_perfect_at_every_level() -> None:
    some = make_subjects()
    given: list[Answers] = [
        {"simulation": [Answer(None, values=item.activations) for item in one.items["simulation"]]} for one in some
    ]
    rows = list(rows_by_level(Asked(ScorerRef(name="m", kind="llm"), given, [], []), some, 0))
    assert {row.level for row in rows} == set(PARTS)
    assert all(row.statistics["correlation"].value == pytest.approx(1) for row in rows)


def test_failures_are_in_no_figure_but_the_worst_case() -> None:
    (subject, *_) = make_subjects()
    task: Task = "detection by level"
    given = [Answer(float(item.truth)) for item in subject.items[task]]
    place = next(number for number, item in enumerate(subject.items[task]) if item.quantile == 1)
    given[place] = Answer(None, "timeout")
    figures = next(f for f in level_figures("m", subject, {task: given}) if (f.level, f.against) == ("top tenth", ALL))
    assert (figures.failed, figures.measures["recall"]) == (1, pytest.approx(1))
    assert figures.worst["recall"] == pytest.approx(0.9)
