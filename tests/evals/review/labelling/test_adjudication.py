"""Settling what is disputed: after the blind pass only, beside the decision, with who, when and why."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from markupsafe import escape

from evals.manual.files import read_label_files
from evals.manual.records import Label
from evals.review.desk import Desk
from evals.review.labelling.adjudication import FAILED, MACHINE, PEOPLE, UNDECIDED, open_docket
from evals.review.labelling.rooms import Room
from evals.review.labelling.store import LabelStore
from evals.review.links import feature_page
from evals.review.text import show_token
from evals.run import examine_run, parse_arguments
from tests.evals.review.label_worlds import FIRST, Labeller, Page, decide_all, make_run, open_client
from tests.evals.review.labelling.test_pages import HOSTILE, check_tags
from tests.evals.worlds import decide, label

QUEUE = "/run/a-run/adjudicate"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Machine's answers: yes, no, undecided, failed."""
    return make_run(tmp_path / "a-run", [decide(n, said) for n, said in enumerate(("yes", "no", "undecided", None))])


@pytest.fixture
def client(run: Path) -> TestClient:
    return open_client(run)


def write(run: Path, name: str, **values: str) -> None:
    """Blind answers by feature: `n0="yes"`."""
    LabelStore(run / "labels").append(name, [label(int(n[1:]), value, name) for n, value in values.items()])


def docket(run: Path, person: str) -> Any:
    room = Room(Desk.open([run]).runs["a-run"])
    return open_docket(room.run, room.store, room.asked, person)


def case(n: int) -> str:
    return f"{QUEUE}/base-{n:06d}"


def settle(client: TestClient, n: int, person: str, value: str, why: str) -> Any:
    page = Page(client.get(case(n), params={"annotator": person}).text)
    _, hidden = page.form(case(n))
    return client.post(case(n), data={**hidden, "answer-0": value, "why": why})


def answer(run: Path, name: str, n: int, input: str | None, output: str | None, relevant: str = "no") -> None:
    """One person's blind answers to a feature and its sides."""
    given = {"relevant": relevant, "input_relevant": input, "output_relevant": output}
    answers = [label(n, value, name, question) for question, value in given.items() if value is not None]
    LabelStore(run / "labels").append(name, answers)


def settle_sides(client: TestClient, key: str, person: str, **answers: str) -> Any:
    """`relevant="yes"`, answered in the place that the page gives the question."""
    page = Page(client.get(key, params={"annotator": person}).text)
    _, hidden = page.form(key)
    places = {"relevant": 0, "input_relevant": 2, "output_relevant": 3}
    fields = {f"answer-{places[question]}": value for question, value in answers.items()}
    offered = {attributes.get("name") for tag, attributes in page.tags if tag == "input"}
    assert fields.keys() <= offered
    return client.post(key, data={**hidden, **fields, "why": "the texts are of wards"})


def settled(run: Path) -> list[Label]:
    text = (run / "labels" / "adjudication.jsonl").read_text("utf-8")
    return [Label.model_validate_json(line) for line in text.split("\n")[:-1]]


def test_the_queue_holds_what_people_and_machine_do_not_agree_on(run: Path) -> None:
    write(run, "ana", n0="yes", n1="yes", n2="no", n3="no")
    assert [(one.decision.feature.index, one.why) for one in docket(run, "ana").cases] == [
        (1, MACHINE),
        (2, UNDECIDED),
        (3, FAILED),
    ]
    write(run, "ben", n0="no", n1="yes", n2="no", n3="yes")
    assert [(one.decision.feature.index, one.why) for one in docket(run, "ben").cases] == [
        (0, PEOPLE),
        (3, PEOPLE),
        (1, MACHINE),
        (2, UNDECIDED),
    ]


def test_nothing_of_a_feature_is_shown_before_the_persons_own_answer(run: Path, client: TestClient) -> None:
    write(run, "ana", n1="yes")
    write(run, "ben", n0="no", n1="no", n2="no", n3="no")
    found = docket(run, "ana")
    assert ([one.decision.feature.index for one in found.cases], found.waiting) == ([1], 3)
    reply = client.get(QUEUE, params={"annotator": "ana"})
    assert "base-000001" in reply.text and "label 1" in reply.text
    for n in (0, 2, 3):
        assert f"base-00000{n}" not in reply.text and f"label {n}" not in reply.text
        refused = client.get(case(n), params={"annotator": "ana"})
        assert refused.status_code == 404 and f"label {n}" not in refused.text
        _, hidden = Page(client.get(case(1), params={"annotator": "ana"}).text).form(case(1))
        assert client.post(case(n), data={**hidden, "answer-0": "yes", "why": "x"}).status_code == 404
    assert not (run / "labels" / "adjudication.jsonl").exists()


def test_nothing_is_shown_at_all_before_anyone_has_answered(client: TestClient) -> None:
    reply = client.get(QUEUE, params={"annotator": "eve"})
    assert "Nothing to settle" in reply.text and "4 features have no answer yet" in reply.text
    assert client.get(case(3), params={"annotator": "eve"}).status_code == 404


def test_an_answer_that_was_taken_back_closes_the_feature_again(run: Path) -> None:
    write(run, "ana", n2="no")
    assert len(docket(run, "ana").cases) == 1
    LabelStore(run / "labels").take_back("ana", "base-000002")
    assert docket(run, "ana").cases == ()


def test_what_a_person_settles_stands_beside_the_decision_with_who_when_and_why(run: Path, client: TestClient) -> None:
    write(run, "ana", n1="yes", n2="no")
    write(run, "ben", n1="no")
    before = {name: (run / name).read_bytes() for name in ("decisions.jsonl", "labels/ana.jsonl", "labels/ben.jsonl")}
    reply = settle(client, 1, "ana", "yes", "the texts are of wards")
    assert reply.status_code == 200
    (one,) = settled(run)
    assert (one.annotator, one.question, one.value, one.note) == ("ana", "relevant", "yes", "the texts are of wards")
    assert one.time is not None and one.time.endswith("+00:00")
    assert one.settles is not None
    assert (one.settles.judged, one.settles.label, one.settles.confidence) == ("no", "label 1", 0.9)
    assert one.settles.answers == {"ana": "yes", "ben": "no"}
    assert {name: (run / name).read_bytes() for name in before} == before
    assert "base-000002" in str(reply.url), "the next open case follows"


def test_a_failed_feature_is_settled_with_the_failure_beside_it(run: Path, client: TestClient) -> None:
    write(run, "ana", n3="undecided")
    settle(client, 3, "ana", "no", "numbers only")
    (one,) = settled(run)
    assert one.settles is not None
    assert (one.settles.judged, one.settles.failure) == (None, "timeout")


def test_settling_again_adds_and_the_newest_stands(run: Path, client: TestClient) -> None:
    write(run, "ana", n2="no")
    settle(client, 2, "ana", "no", "first thought")
    settle(client, 2, "eve", "yes", "second thought")
    assert [(one.annotator, one.value) for one in settled(run)] == [("ana", "no"), ("eve", "yes")]
    (found,) = docket(run, "eve").cases
    assert found.outcome is not None and found.outcome.value == "yes"
    text = Page(client.get(case(2), params={"annotator": "eve"}).text).text
    assert "first thought" in text and "second thought" in text


def test_the_examiner_never_counts_a_settled_answer_as_a_label(run: Path, client: TestClient) -> None:
    write(run, "ana", n2="no")
    settle(client, 2, "ana", "yes", "on reflection")
    labels, _ = read_label_files(sorted((run / "labels").glob("*.jsonl")))
    assert [(one.annotator, one.value) for one in labels] == [("ana", "no")]


def test_who_settled_a_feature_is_not_asked_about_it_blind(run: Path, client: TestClient) -> None:
    write(run, "ana", n0="yes", n1="yes", n2="no", n3="no")
    for n in (1, 3):
        settle(client, n, "eve", "no", "x")
    Labeller(client, "a-run", "eve").answer_all()
    text = (run / "labels" / "eve.jsonl").read_text("utf-8")
    found = [Label.model_validate_json(line).item.index for line in text.split("\n")[:-1]]
    assert sorted(found) == [0, 2]


def test_an_answer_without_a_reason_is_refused(run: Path, client: TestClient) -> None:
    write(run, "ana", n2="no")
    for value, why in (("yes", " "), ("", "because"), ("maybe", "because")):
        assert settle(client, 2, "ana", value, why).status_code == 422
    assert not (run / "labels" / "adjudication.jsonl").exists()


def test_a_form_that_this_desk_did_not_make_settles_nothing(run: Path, client: TestClient) -> None:
    write(run, "ana", n2="no")
    fields = {"annotator": "ana", "answer-0": "yes", "why": "x"}
    assert client.post(case(2), data=fields).status_code == 403
    _, hidden = Page(client.get(case(2), params={"annotator": "ana"}).text).form(case(2))
    reply = client.post(case(2), data={**hidden, **fields}, headers={"origin": "http://evil.example"})
    assert reply.status_code == 403
    assert not (run / "labels" / "adjudication.jsonl").exists()


def test_people_who_settle_at_once_lose_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a-run", [decide(n, "undecided") for n in range(20)])
    LabelStore(run / "labels").append("ana", [label(n, "no") for n in range(20)])
    client = open_client(run)
    names = ("eve", "joe")
    threads = [
        threading.Thread(target=lambda who=who: [settle(client, n, who, "no", "x") for n in range(20)]) for who in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {(one.annotator, one.item.index) for one in settled(run)} == {(who, n) for who in names for n in range(20)}


def test_labels_of_programs_are_no_blind_pass(run: Path) -> None:
    LabelStore(run / "labels").append("bot", [label(2, "no", "bot", machine=True)])
    assert docket(run, "eve").cases == ()


def test_ratings_are_settled_concept_by_concept(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a-run", [decide(1, None, ratings={"dentist": 4, "nurse": 0})])
    answers = [label(1, 1, question="dentist"), label(1, 0, question="nurse")]
    LabelStore(run / "labels").append("ana", answers)
    client = open_client(run)
    assert [(one.question, one.why) for one in docket(run, "ana").cases] == [("dentist", MACHINE)]
    assert settle(client, 1, "ana", "2", "teeth").status_code == 200
    assert [(one.question, one.value) for one in settled(run)] == [("dentist", 2)]


@pytest.fixture
def sided(tmp_path: Path) -> Path:
    """The machine's answers about the sides of three features; of the second it was asked about the input alone."""
    sides = (("yes", "no"), ("undecided", None), None)
    return make_run(tmp_path / "a-run", [decide(n, "no", sides=said) for n, said in enumerate(sides)])


def test_each_side_that_is_disputed_is_in_the_queue_by_itself(sided: Path) -> None:
    for name, output in (("ana", "yes"), ("ben", "no")):
        answer(sided, name, 0, "no", output)
        answer(sided, name, 1, "no", output)
        answer(sided, name, 2, "yes", None)
    assert [(one.decision.feature.index, one.question, one.why, one.said) for one in docket(sided, "ana").cases] == [
        (1, "output_relevant", PEOPLE, "not asked"),
        (0, "output_relevant", PEOPLE, "no"),
        (0, "input_relevant", MACHINE, "yes"),
        (1, "input_relevant", UNDECIDED, "undecided"),
    ]


def test_people_who_differ_about_the_whole_may_be_settled_side_by_side(sided: Path) -> None:
    write(sided, "ana", n0="yes")
    write(sided, "ben", n0="no")
    client = open_client(sided)
    assert [one.question for one in docket(sided, "ana").cases] == ["relevant"]
    given = {"relevant": "undecided", "input_relevant": "yes", "output_relevant": "no"}
    assert settle_sides(client, case(0), "ana", **given).status_code == 200
    assert {one.question: one.value for one in settled(sided)} == given
    beside = {one.question: one.settles for one in settled(sided)}
    assert {name: one and (one.judged, one.label, one.confidence) for name, one in beside.items()} == {
        "relevant": ("no", "label 0", 0.9),
        "input_relevant": ("yes", "wards", 0.7),
        "output_relevant": ("no", "drugs", 0.6),
    }
    assert all(one.outcome is not None for one in docket(sided, "ana").of("base-000000"))
    text = client.get(feature_page("a-run", "base-000000")).text
    assert "input_relevant <strong>" in text


def test_a_side_can_be_settled_alone_and_the_rest_of_its_feature_stays_open(sided: Path) -> None:
    answer(sided, "ana", 0, "no", None, relevant="yes")
    client = open_client(sided)
    assert settle_sides(client, case(0), "ana", input_relevant="no").status_code == 200
    assert [(one.question, one.outcome is None) for one in docket(sided, "ana").cases] == [
        ("relevant", True),
        ("input_relevant", False),
    ]


def test_an_answer_keeps_its_question_when_what_is_disputed_changes_meanwhile(sided: Path) -> None:
    answer(sided, "ana", 0, None, "yes", relevant="yes")
    client = open_client(sided)
    page = Page(client.get(case(0), params={"annotator": "ana"}).text)
    _, hidden = page.form(case(0))
    settle_sides(client, case(0), "eve", relevant="no")
    answer(sided, "ben", 0, "no", "yes", relevant="yes")
    client.post(case(0), data={**hidden, "answer-3": "yes", "why": "drugs"})
    assert [(one.annotator, one.question, one.value) for one in settled(sided)] == [
        ("eve", "relevant", "no"),
        ("ana", "output_relevant", "yes"),
    ]


def test_what_is_not_disputed_need_not_be_answered(sided: Path) -> None:
    answer(sided, "ana", 0, "no", "no")
    page = Page(open_client(sided).get(case(0), params={"annotator": "ana"}).text)
    radios = [attributes for tag, attributes in page.tags if tag == "input" and attributes.get("type") == "radio"]
    assert {one["name"] for one in radios} == {"answer-0", "answer-2", "answer-3"}
    assert {one["name"] for one in radios if "required" in one} == {"answer-2"}


def test_the_examiner_reads_the_settled_sides_beside_the_blind_answers(sided: Path) -> None:
    for name, said in (("ana", "yes"), ("ben", "no")):
        answer(sided, name, 0, said, said, relevant=said)
    client = open_client(sided)
    settle_sides(client, case(0), "ana", relevant="no", input_relevant="yes", output_relevant="no")
    files = sorted((sided / "labels").glob("*.jsonl"))
    blind = examine_run(parse_arguments([str(sided), "--labels", *map(str, files[1:])]))[0]
    found = examine_run(parse_arguments([str(sided), "--labels", *map(str, files)]))[0]
    rows = {row.name: row for row in (*found.rows, *found.sides)}
    names = ("judge and people, as settled", "input side, as settled", "output side, as settled")
    assert [(rows[name].n, rows[name].statistics["accuracy"].value) for name in names] == [(1, 1.0)] * 3
    assert [row for name, row in rows.items() if name not in names] == [*blind.rows, *blind.sides]
    assert found.figures["settled_input_accuracy"] == 1
    (said,) = [remark for remark in found.remarks if "as settled" in remark]
    assert "1 to relevant, 1 to input_relevant, 1 to output_relevant" in said
    assert not any("as settled" in text for text in (*blind.remarks, *(row.name for row in blind.rows)))


def test_files_that_settle_the_whole_alone_read_as_before(sided: Path) -> None:
    write(sided, "ana", n0="yes")
    settle_sides(open_client(sided), case(0), "ana", relevant="no")
    found = examine_run(parse_arguments([str(sided), "--labels", *map(str, (sided / "labels").glob("*.jsonl"))]))[0]
    assert [row.name for row in found.sides] == ["input side", "output side"]
    (row,) = [row for row in found.rows if row.name == "judge and people, as settled"]
    assert (row.n, row.statistics["accuracy"].value) == (1, 1.0)


def test_hostile_text_is_shown_as_text_to_whoever_settles(tmp_path: Path) -> None:
    texts = [text for text in HOSTILE if show_token(text) == escape(text)]
    (plain,) = decide_all(3)[2:]
    decision = plain.model_copy(update={"label": texts[0], "reasons": tuple(texts)})
    run = make_run(tmp_path / "a-run", [decision], texts)
    store = LabelStore(run / "labels")
    for n, text in enumerate(texts):
        store.append(f"p{n}", [label(FIRST + 2, "no", f"p{n}", note=text)])
    client = open_client(run)
    path = f"{QUEUE}/{decision.feature.key}"
    page = Page(client.get(path, params={"annotator": "eve"}).text)
    _, hidden = page.form(path)
    client.post(path, data={**hidden, "answer-0": "no", "why": texts[1]})
    for address in (QUEUE, path):
        page = Page(client.get(address, params={"annotator": "eve"}).text)
        check_tags(page)
        assert texts[0] in page.text
    for text in texts:
        assert page.text.count(text) >= 5, text
