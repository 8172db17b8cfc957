"""Labelling at the desk: blind, in an order of one's own, on disk at once; without JavaScript, as here."""

from __future__ import annotations

import json
import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from markupsafe import escape

from evals.agreement.pairing import match
from evals.agreement.results import Agreement, Confusion, Plan, Proposal
from evals.manual.files import read_label_files
from evals.manual.records import Label
from evals.review.desk import Desk
from evals.review.labelling import forms
from evals.review.labelling import pages as labelling
from evals.review.labelling.rooms import Room
from evals.review.labelling.store import LabelStore
from evals.review.text import show_token
from tests.agent.attacks import ATTACKS
from tests.evals.review.label_worlds import FIRST, Labeller, Page, decide_all, make_run, marks, open_client
from tests.evals.worlds import decide
from tools.records import STRATA

HOSTILE = (
    "<script>alert(1)</script>",
    "</textarea><script>alert(2)</script>",
    '"><img src=x onerror=alert(3)>',
    "' onmouseover='alert(4)",
    "</bdi></span></main><h1>taken</h1>",
    "{{ 7 * 7 }} {% raw %}",
    "javascript:alert(5)",
    "&lt;b&gt; &amp; &#0; <!--",
    "\u202eright to left\u202c \u200f",
    "a" * 10_000,
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "a-run", decide_all(12))


@pytest.fixture
def client(run: Path) -> TestClient:
    return open_client(run)


def read(run: Path, name: str = "ana") -> list[Label]:
    text = (run / "labels" / f"{name}.jsonl").read_text("utf-8")
    return [Label.model_validate_json(line) for line in text.split("\n")[:-1]]


def everything(reply: Any) -> str:
    """All that a browser is told: addresses asked for, headers, text."""
    steps = [*reply.history, reply]
    return "\n".join(f"{step.request.url}\n{step.headers}\n{step.text}" for step in steps)


def test_an_answer_is_in_the_file_before_the_next_feature_is_shown(client: TestClient, run: Path) -> None:
    ana = Labeller(client, "a-run", "ana")
    first = ana.open()
    second = ana.answer(first, **{"answer-0": "yes", "answer-1": "3", "note": " wards and doses "})
    relevant, interpretable = read(run)
    assert (relevant.question, relevant.value, relevant.note) == ("relevant", "yes", "wards and doses")
    assert (interpretable.question, interpretable.value, interpretable.note) == ("interpretable", 3, None)
    assert marks(first.text) == {f"mark{relevant.item.index - FIRST}."}
    assert relevant.item == interpretable.item and relevant.item.study == "tiny"
    assert not marks(first.text) & marks(second.text)


def test_every_feature_is_asked_about_once_and_then_the_pass_is_over(client: TestClient, run: Path) -> None:
    reply = Labeller(client, "a-run", "ana").answer_all("undecided")
    assert "Every feature has your answer" in reply.text
    labels = read(run)
    assert sorted(one.item.index for one in labels) == list(range(FIRST, FIRST + 12))
    assert {one.item.kind for one in labels} == {"feature"}


def test_random_directions_come_among_the_features_and_nothing_marks_them(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a-run", decide_all(32))
    ana = Labeller(open_client(run), "a-run", "ana")
    ana.answer_all()
    kinds = [one.item.kind for one in read(run)]
    assert kinds.count("random_direction") == 8
    assert kinds != sorted(kinds) and kinds != sorted(kinds, reverse=True)


def test_no_page_says_anything_of_what_the_machine_concluded(client: TestClient, run: Path) -> None:
    ana = Labeller(client, "a-run", "ana")
    told = [everything(client.get("/run/a-run/label"))]
    reply = ana.open()
    for _ in range(12):
        told.append(everything(reply))
        told.append(everything(ana.undo(ana.answer(reply, **{"answer-0": "no", "note": "own words"}))))
        reply = ana.answer(reply, **{"answer-0": "no", "answer-1": "1"})
    told.append(everything(reply))
    assert "Every feature has your answer" in reply.text
    secrets = ["veiled", "0.81", "81 %", "confidence", "timeout", "failed", "random direction", "confirmed", "verdict"]
    secrets += [
        "base-r",
        "base-7",
        "8765432",
        "0.877",
        "9876543",
        "0.988",
        "3456789",
        "win",
        "null",
        "judge",
        "keyword",
        *STRATA,
    ]
    told[0] = told[0].replace("Some of what you see are random directions", "")
    for page in told:
        plain = re.sub(r"[0-9a-f]{20}|\d{10}\.\d{3}", "", page)  # addresses and times have digits by chance
        for secret in secrets:
            assert secret not in plain, secret
        assert not re.search(r"765\d{4}", plain)  # the features' numbers


def test_two_verdicts_on_the_same_evidence_make_the_same_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelling, "clock", lambda: datetime(2026, 1, 31, 12, tzinfo=UTC))
    pages: list[dict[str, str]] = []
    for place, first in enumerate((FIRST, FIRST + 333)):
        decisions = decide_all(16, first)
        shifted = decisions[place * 5 :] + decisions[: place * 5]
        run = make_run(tmp_path / str(place) / "a-run", shifted, marks=[f"mark{n}." for n in range(16)])
        client = open_client(run)
        LabelStore(run / "labels").secret()
        (run / "labels" / ".secret").write_bytes(b"s" * 32)
        found: dict[str, str] = {}
        blind = Room(Desk.open([run]).runs["a-run"]).pass_of("ana")
        for address in (blind.address(key) for key in blind.order):
            reply = client.get(f"/run/a-run/label/{address}", params={"annotator": "ana"})
            (mark,) = marks(reply.text)
            found[mark] = re.sub(r"/label/[0-9a-f]{20}", "/label/ADDRESS", f"{reply.headers}{reply.text}")
        pages.append(found)
    assert len(pages[0]) == 16
    assert pages[0] == pages[1]


def test_each_annotator_has_an_order_that_outlives_the_desk(run: Path) -> None:
    orders: list[list[int]] = []
    for name in ("ana", "ben", "ana"):
        Labeller(open_client(run), "a-run", name).answer_all()
        orders.append([one.item.index for one in read(run, name)])
        (run / "labels" / f"{name}.jsonl").unlink()
    ana, ben, again = orders
    assert ana == again != ben
    assert ana != sorted(ana)


def test_a_page_stays_good_when_the_desk_is_started_anew(run: Path) -> None:
    page = Labeller(open_client(run), "a-run", "ana").open()
    Labeller(open_client(run), "a-run", "ana").answer(page, **{"answer-0": "yes"})
    assert [one.value for one in read(run)] == ["yes"]


def test_what_the_examiner_proposes_comes_first(run: Path) -> None:
    decisions = decide_all(12)
    proposals = tuple(Proposal(feature=decisions[n].feature, stratum="candidates", judged="no") for n in (3, 7, 11))
    plan = Plan(target="kappa", proposals=proposals, error_now=1, error_planned=0.5, error_random=0.7)
    write_examination(run, plan)
    Labeller(open_client(run), "a-run", "ana").answer_all()
    assert sorted(one.item.index - FIRST for one in read(run)[:3]) == [3, 7, 11]


def test_an_examination_that_does_not_read_changes_nothing(client: TestClient, run: Path) -> None:
    ana = Labeller(client, "a-run", "ana")
    before = str(ana.open().url)
    (run / "evals").mkdir()
    for text in ("", "{", "[]", '{"run_id": "run", "plan": 3}', '{"run_id": "run", "plan": {"x": 1}}', "\udc80"):
        (run / "evals" / "agreement.json").write_text(text, "utf-8", "surrogateescape")
        assert str(ana.open().url) == before


def write_examination(run: Path, plan: Plan) -> None:
    report = Agreement(
        run_id="run",
        judge="rules",
        question="relevant",
        ordinal=False,
        annotators={},
        labelled=0,
        failure_rate=None,
        undecided_rate=None,
        people_undecided=0,
        headline="",
        rows=(),
        confusion=Confusion(rows=(), columns=(), counts=()),
        plan=plan,
    )
    (run / "evals").mkdir()
    (run / "evals" / "agreement.json").write_text(report.model_dump_json(), "utf-8")


def test_taking_back_brings_the_feature_again_with_its_note(client: TestClient, run: Path) -> None:
    ana = Labeller(client, "a-run", "ana")
    first = ana.open()
    second = ana.answer(first, **{"answer-0": "yes", "note": "doses"})
    back = ana.undo(second)
    assert marks(back.text) == marks(first.text)
    assert Page(back.text).form("")[1]["note"] == "doses" or "doses" in back.text
    assert "checked" not in [name for _, given in Page(back.text).tags for name in given]
    third = ana.answer(back, **{"answer-0": "no", "note": "doses"})
    assert marks(third.text) == marks(second.text)
    assert [(one.value, one.withdrawn) for one in read(run)] == [("yes", False), ("yes", True), ("no", False)]
    assert [one.value for one in read_label_files([run / "labels" / "ana.jsonl"])[0]] == ["no"]


def test_two_tabs_lose_nothing_and_take_back_what_they_show(client: TestClient, run: Path) -> None:
    ana = Labeller(client, "a-run", "ana")
    one, other = ana.open(), ana.open()
    later = ana.answer(one, **{"answer-0": "yes"})
    ana.answer(other, **{"answer-0": "no"})
    assert [label.value for label in read(run)] == ["yes", "no"]
    ana.answer(ana.open(), **{"answer-0": "undecided"})
    ana.undo(later)  # its last answer was the first feature
    standing = LabelStore(run / "labels").standing("ana")
    assert [label.value for label in standing.values()] == ["undecided"]


def test_a_form_that_is_sent_twice_counts_once(client: TestClient, run: Path) -> None:
    ana = Labeller(client, "a-run", "ana")
    page = ana.open()
    for _ in range(2):
        ana.answer(page, **{"answer-0": "yes", "answer-1": "2", "note": "x"})
    assert len(read(run)) == 2


def test_a_feature_that_was_answered_can_be_opened_again_and_changed(client: TestClient, run: Path) -> None:
    ana = Labeller(client, "a-run", "ana")
    page = ana.open()
    ana.answer(page, **{"answer-0": "yes", "answer-1": "2", "note": "x"})
    again = client.get(str(page.url))
    checked = [given["value"] for tag, given in Page(again.text).tags if tag == "input" and "checked" in given]
    assert checked == ["yes", "2"]
    ana.answer(again, **{"answer-0": "yes", "answer-1": "4", "note": "x"})
    assert [(one.question, one.value) for one in read(run)][2:] == [("interpretable", 4)]


def test_two_annotators_at_once_lose_nothing(run: Path) -> None:
    names = ("ana", "ben", "eve")
    client = open_client(run)
    problems: list[BaseException] = []

    def work(name: str) -> None:
        try:
            Labeller(client, "a-run", name).answer_all("yes" if name == "ana" else "no")
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    for name in names:
        labels = read(run, name)
        assert len({one.item.index for one in labels}) == len(labels) == 12
        assert {one.value for one in labels} == {"yes" if name == "ana" else "no"}


def test_the_time_that_an_answer_took_is_kept(client: TestClient, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    ana = Labeller(client, "a-run", "ana")
    times = iter([0.0, 12.34, 12.34, 20.0, 20.0, 20.0 + forms.LONGEST_LOOK + 1, 0.0])
    monkeypatch.setattr(labelling, "clock", lambda: noon + timedelta(seconds=next(times)))
    reply = ana.answer(ana.open(), **{"answer-0": "yes", "answer-1": "1"})
    assert "12 s each" in reply.text
    reply = ana.answer(reply, **{"answer-0": "no"})
    assert "10 s each" in reply.text
    ana.answer(reply, **{"answer-0": "no"})
    assert [one.seconds for one in read(run)] == [12.3, None, 7.7, None]


def test_a_time_that_cannot_be_is_left_out(client: TestClient, run: Path) -> None:
    ana = Labeller(client, "a-run", "ana")
    for shown in ("", "soon", "-1", "nan", "inf", "1e400"):
        assert ana.answer(ana.open(), **{"answer-0": "yes", "shown": shown}).status_code == 200
        assert read(run)[-1].seconds is None, shown


def test_progress_is_counted_from_the_file(client: TestClient, run: Path) -> None:
    ana = Labeller(client, "a-run", "ana")
    reply = ana.answer(ana.open(), **{"answer-0": "yes"})
    assert "1 of 12" in Page(reply.text).text
    (run / "labels" / "ana.jsonl").unlink()
    assert "0 of 12" in Page(ana.open().text).text


def test_a_form_that_this_desk_did_not_make_writes_nothing(client: TestClient, run: Path) -> None:
    ana = Labeller(client, "a-run", "ana")
    page = ana.open()
    for given in ("", "0" * 20, "é"):
        reply = ana.answer(page, **{"answer-0": "yes", "form": given})
        assert reply.status_code == 403
    assert ana.answer(page, **{"answer-0": "yes", "annotator": "ben"}).status_code == 403
    action, hidden = Page(page.text).forms[0]
    for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert client.post(action, data={**hidden, "answer-0": "yes"}, headers=headers).status_code == 403
    assert not (run / "labels" / "ana.jsonl").exists()


def test_what_is_no_answer_is_refused_and_nothing_of_it_kept(client: TestClient, run: Path) -> None:
    ana = Labeller(client, "a-run", "ana")
    page = ana.open()
    refused: list[dict[str, str]] = [
        {},
        {"answer-1": "3"},
        {"answer-0": "maybe"},
        {"answer-0": "5"},
        {"answer-0": "yes", "answer-1": "5"},
        {"answer-0": "yes", "answer-1": "yes"},
        {"answer-0": "yes", "note": "x" * (forms.LONGEST_NOTE + 1)},
    ]
    for fields in refused:
        reply = ana.answer(page, **fields)
        assert reply.status_code == 422 and "not saved" in reply.text, fields
    assert not (run / "labels" / "ana.jsonl").exists()


def test_a_name_that_is_none_is_refused(client: TestClient, run: Path) -> None:
    for name in ("../../x", "a/b", "..", "<script>", "adjudication", "a" * 41, "%00", ""):
        reply = client.get("/run/a-run/label", params={"annotator": name})
        assert reply.status_code == 400, name
        assert "<script>" not in reply.text
    assert sorted(path.name for path in run.parent.iterdir()) == ["a-run"]
    assert not (run / "labels").exists()


def test_unknown_runs_and_addresses_are_no_pages(client: TestClient) -> None:
    assert client.get("/run/other/label", params={"annotator": "ana"}).status_code == 404
    assert client.get("/run/..%2Fa-run/label", params={"annotator": "ana"}).status_code == 404
    ana = Labeller(client, "a-run", "ana")
    page = ana.open()
    unknown = client.get("/run/a-run/label/" + "0" * 20, params={"annotator": "ana"})
    assert str(unknown.url) == str(page.url)
    _, hidden = Page(page.text).forms[0]
    assert client.post("/run/a-run/label/" + "0" * 20, data={**hidden, "answer-0": "yes"}).status_code == 404


def test_an_address_of_one_annotator_is_none_of_anothers(client: TestClient) -> None:
    ana = Labeller(client, "a-run", "ana").open()
    address = str(ana.url).split("/label/")[1].split("?")[0]
    ben = client.get(f"/run/a-run/label/{address}", params={"annotator": "ben"})
    assert address not in str(ben.url)


@pytest.mark.parametrize("texts", [HOSTILE, ATTACKS], ids=["of a page", "of a prompt"])
def test_hostile_text_is_shown_as_text(tmp_path: Path, texts: tuple[str, ...]) -> None:
    run = make_run(tmp_path / "a-run", decide_all(1), texts)
    ana = Labeller(open_client(run), "a-run", "ana")
    reply = ana.open()
    page = Page(reply.text)
    plain = [text for text in texts if show_token(text) == escape(text)]
    assert len(plain) > 5
    for text in plain:
        assert page.text.count(text) >= 3, text
    check_tags(page)
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200e\u200f\u200b\x00-\x08]", reply.text)


def test_hostile_notes_come_back_as_they_were(client: TestClient, run: Path) -> None:
    ana = Labeller(client, "a-run", "ana")
    page = ana.open()
    for text in HOSTILE[:-1]:
        ana.answer(page, **{"answer-0": "yes", "note": text})
        assert read(run)[-1].note == text.strip()
        again = Page(client.get(str(page.url)).text)
        assert again.forms[0][1]["note"] == text.strip()
        check_tags(again)


def check_tags(page: Page) -> None:
    scripts = [given for tag, given in page.tags if tag == "script"]
    assert all(set(given) == {"src", "defer"} for given in scripts)
    assert not [tag for tag, _ in page.tags if tag in ("img", "iframe", "style", "object")]
    assert not [name for _, given in page.tags for name in given if name.startswith("on") or name == "style"]
    assert [tag for tag, _ in page.tags].count("h1") == 1


def test_concepts_are_rated_where_the_run_was_asked_for_ratings(tmp_path: Path) -> None:
    decisions = [decide(n, None, ratings={"dentist": 4, "<nurse>": 0}) for n in range(3)]
    run = make_run(tmp_path / "a-run", decisions)
    ana = Labeller(open_client(run), "a-run", "ana")
    page = ana.open()
    assert "<nurse>" in Page(page.text).text and "<nurse>" not in page.text
    assert ana.answer(page, **{"answer-0": "3"}).status_code == 422
    ana.answer(page, **{"answer-0": "3", "answer-1": "0", "note": "x"})
    assert {(one.question, one.value) for one in read(run)} == {("<nurse>", 3), ("dentist", 0)}
    ana.answer_all("1", limit=0)
    assert "1 of 3" in Page(ana.open().text).text


def test_whose_name_the_desk_knows_is_not_asked_for_it(run: Path) -> None:
    assert "annotator=eve" in str(open_client(run, "eve").get("/run/a-run/label").url)
    assert "Your name" in open_client(run).get("/run/a-run/label").text


def test_features_of_which_nothing_is_stored_are_asked_about_all_the_same(run: Path) -> None:
    (run / "evidence.jsonl").unlink()
    reply = Labeller(open_client(run), "a-run", "ana").open()
    assert "Nothing is known of this direction" in reply.text


def test_the_guideline_is_beside_the_evidence(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text("utf-8"))
    manifest["config"]["study"] = "pocket"
    (run / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    text = Page(Labeller(open_client(run), "a-run", "ana").open().text).text
    assert "What counts as relevant to medicine" in text
    assert "parts of the body in everyday use" in text
    assert "Is it about medicine?" in text


def test_labels_made_here_are_what_the_examiner_compares(tmp_path: Path) -> None:
    decisions = decide_all(16)
    run = make_run(tmp_path / "a-run", decisions)
    client = open_client(run)
    for name in ("ana", "ben"):
        Labeller(client, "a-run", name).answer_all("no" if name == "ana" else "yes")
    files = sorted((run / "labels").glob("*.jsonl"))
    found = match(decisions, read_label_files(files)[0], "relevant")
    assert (len(found.cases), found.annotators, found.unmatched) == (16, ("ana", "ben"), 0)


def test_a_folder_in_which_nobody_can_write_says_so(run: Path) -> None:
    (run / "labels").write_text("in the way")
    reply = Labeller(open_client(run), "a-run", "ana").open()
    assert reply.status_code == 500 and "nobody can label this run" in reply.text


def test_either_side_may_be_answered_and_need_not_be(client: TestClient, run: Path) -> None:
    ana = Labeller(client, "a-run", "ana")
    first = ana.open()
    assert "where it is active alone" in first.text and "what it promotes alone" in first.text
    second = ana.answer(first, **{"answer-0": "undecided", "answer-2": "no", "answer-3": "yes"})
    assert {one.question: one.value for one in read(run)} == {
        "relevant": "undecided",
        "input_relevant": "no",
        "output_relevant": "yes",
    }
    ana.answer(second, **{"answer-0": "no"})
    assert [one.question for one in read(run)][3:] == ["relevant"]
