"""The pages for reading: every figure on them is one of the run's, whatever text stands beside it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from agent.folder.records import Provenance
from evals.labels import main as import_labels
from evals.review.reading.decisions import Wanted, cut_page, find_neighbours, select, tabulate
from evals.review.reading.features import line_up, mark_tokens, warm_tokens, warmth
from evals.review.reading.timeline import columns_of, is_short_list
from evals.review.runs import Glance
from evals.review.text import show_text, show_token
from evals.run import main as examine
from tests.agent.attacks import ATTACKS
from tests.agent.cases import make_evidence
from tests.evals.review.folders import (
    CALL,
    PROMPTS,
    Page,
    few_decisions,
    open_desk,
    show_evidence,
    some_call,
    some_steps,
    write_folder,
)
from tests.evals.worlds import decide, label, simulate_run, write_run
from tools.records import Context, KeywordEvidence, KeywordHit, Projection, SteeredPair, TokenWeight

HOSTILE = (
    *ATTACKS,
    "<script>alert(1)</script>",
    "</p></bdi><img src=x onerror=alert(1)>",
    "\" onmouseover='alert(1)' x=\"",
    "&lt;b&gt; &amp; &#x3c;script&#x3e;",
    "javascript:alert(1)",
    "{{ 7 * 7 }} {% for x in y %}",
    "\u200fשלום\u202e gnihton\u202c",
    "x" * 10_000,
    "word " * 2_000,
)


# --- the table --------------------------------------------------------------------------------------------------------


def rows_of(**glances: Glance) -> Any:
    decisions = {d.feature.key: d for d in few_decisions()}
    given = {"base-000001": Glance((" ward", " nurse"), 0.7, 0.4), "base-000002": Glance((" river",), 0.2, -0.1)}
    answers = {1: "no", 2: "no", 5: "yes"}

    def people(decision: Any) -> list[Any]:
        index = decision.feature.index
        return [label(index, answers[index])] if index in answers else []

    return tabulate(decisions, given | glances, people)


def keys(**asked: Any) -> list[int]:
    return [row.decision.feature.index for row in select(rows_of(), Wanted.model_validate(asked))]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, [1, 2, 30, 4, 5, 6]),
        ({"stratum": "near controls"}, [4, 5]),
        ({"outcome": "failed"}, [5]),
        ({"outcome": "no", "stratum": "candidates"}, [2]),
        ({"confidence_from": 0.8}, [1, 4, 6]),
        ({"confidence_from": 0.55, "confidence_to": 0.8}, [2, 6]),
        ({"coherence_from": 0.3}, [1]),
        ({"steering": "not measured"}, [1, 2, 30, 4, 5, 6]),
        ({"steering": "passes"}, []),
        ({"disputed": "people"}, [1, 5]),
        ({"disputed": "none"}, [2]),
        ({"disputed": "repeats"}, []),
        ({"q": "NURSE"}, [1]),
        ({"q": "label river"}, [2]),
        ({"q": "r000006"}, [6]),
        ({"q": "3"}, [30]),
        ({"q": "30"}, [30]),
        ({"sort": "confidence"}, [30, 2, 6, 1, 4, 5]),
        ({"sort": "confidence", "down": True}, [4, 1, 6, 2, 30, 5]),
        ({"sort": "coherence", "down": True}, [1, 2, 30, 4, 5, 6]),
        ({"sort": "steering"}, [2, 1, 30, 4, 5, 6]),
        ({"sort": "outcome"}, [1, 2, 4, 6, 30, 5]),
        ({"sort": "place", "down": True}, [6, 5, 4, 30, 2, 1]),
    ],
)
def test_the_table_holds_what_was_asked_for_in_order(asked: dict[str, Any], found: list[int]) -> None:
    assert keys(**asked) == found


def test_pages_cut_the_table_without_loss_or_repetition() -> None:
    rows = select(rows_of(), Wanted())
    pages = [cut_page(rows, number, size=4) for number in (1, 2, 3)]
    assert [len(page.rows) for page in pages] == [4, 2, 2]  # beyond the last one is the last one
    assert [*pages[0].rows, *pages[1].rows] == rows
    assert (pages[0].found, pages[0].pages, pages[2].page) == (6, 2, 2)
    assert cut_page([], 1).pages == 1


def test_neighbours_are_those_of_the_table_the_reader_came_from() -> None:
    rows = select(rows_of(), Wanted(outcome="no", sort="confidence"))
    found = find_neighbours(rows, "base-r000006")
    assert found is not None
    assert (found.place, found.of, found.before, found.after) == (2, 3, "base-000002", "base-000004")
    assert find_neighbours(rows, "base-000001") is None


def test_an_address_keeps_the_filter_and_goes_back_to_the_first_page() -> None:
    wanted = Wanted(q="a&b", outcome="no", down=True, page=3)
    assert wanted.address() == "?q=a%26b&outcome=no&down=1"
    assert wanted.address(page=4) == "?q=a%26b&outcome=no&down=1&page=4"
    assert Wanted().address() == ""


# --- runs -------------------------------------------------------------------------------------------------------------


def test_the_overview_counts_every_decision_once(tmp_path: Path) -> None:
    desk = open_desk(write_folder(tmp_path / "one", few_decisions()))
    page = Page(desk.get("/run/one").text).text
    assert "candidates 40 3 1 1 1 0" in page
    assert "near controls 160 2 0 1 0 1" in page
    assert "random directions – 1 0 1 0 0" in page
    assert "failed 1 timeout" in page
    assert "6 decisions" in page
    assert "6 of 6" in Page(desk.get("/").text).text


def test_a_run_that_is_not_finished_says_so(tmp_path: Path) -> None:
    run = write_folder(tmp_path / "one", few_decisions())
    lines = (run / "decisions.jsonl").read_text().splitlines(keepends=True)
    (run / "decisions.jsonl").write_text("".join(lines[:2]) + lines[2][:50])
    page = Page(open_desk(run).get("/run/one").text).text
    assert "2 of 6 features are decided" in page
    assert "2 decisions" in page


def test_a_run_without_any_decision_opens(tmp_path: Path) -> None:
    desk = open_desk(write_folder(tmp_path / "one", []))
    assert [desk.get(address).status_code for address in ("/", "/run/one")] == [200, 200]


def test_filters_reach_the_page_and_nonsense_is_refused(tmp_path: Path) -> None:
    desk = open_desk(write_folder(tmp_path / "one", few_decisions()))
    page = Page(desk.get("/run/one?outcome=no&stratum=&confidence_from=0.7&sort=confidence").text)
    assert "2 of 6 decisions" in page.text
    assert page.text.index("base-r000006") < page.text.index("base-000004")
    for nonsense in ("sort=nothing", "outcome=maybe", "confidence_from=high", "page=0", "colour=red", "q=" + "x" * 501):
        assert desk.get(f"/run/one?{nonsense}").status_code == 422


def test_what_the_examiner_left_is_shown(tmp_path: Path) -> None:
    decisions, labels, sizes = simulate_run(seed=1, labelled=0.5, annotators=("ana", "ben"))
    run, file = write_run(tmp_path / "run", decisions, sizes), tmp_path / "labels.jsonl"
    file.write_text("".join(one.model_dump_json() + "\n" for one in labels))
    assert examine([str(run), "--labels", str(file)]) == 0
    page = Page(open_desk(run).get("/run/run").text)
    assert "Agreement with 2 annotators" in page.text
    assert "judge and people" in page.text and "control: shuffled labels" in page.text
    assert "people \\ judge" in page.text


def test_agreement_with_labels_given_to_the_desk_is_worked_out_when_asked(tmp_path: Path) -> None:
    decisions, labels, sizes = simulate_run(seed=1, labelled=0.5, annotators=("ana", "ben"))
    run = write_run(tmp_path / "run", decisions, sizes)
    desk, without = open_desk(run, labels=labels), open_desk(run)
    page = Page(desk.get("/run/run/agreement").text).text
    assert "Agreement with 2 annotators" in page and "control: shuffled labels" in page
    assert without.get("/run/run/agreement").status_code == 404


def test_labels_stand_beside_the_verdicts_and_programs_count_only_when_told_to(tmp_path: Path) -> None:
    run = write_folder(tmp_path / "one", few_decisions())
    labels = [label(1, "no", note="<i>wards</i>"), label(2, "no"), label(4, "yes", "bot", machine=True)]
    people, all_of_them = open_desk(run, labels=labels), open_desk(run, labels=labels, programs=True)
    assert "ana: 2 features, 1 seen otherwise by someone" in Page(people.get("/run/one").text).text
    assert (
        "ana, bot (a program): 3 features, 2 seen otherwise by someone" in Page(all_of_them.get("/run/one").text).text
    )
    assert "ana : relevant no · <i>wards</i>" in Page(people.get("/run/one/feature/base-000001").text).text.replace(
        "ana:", "ana :"
    )
    assert "bot (a program): relevant yes" in Page(people.get("/run/one/feature/base-000004").text).text


def test_what_a_person_settled_stands_beside_the_verdict_and_not_in_its_place(tmp_path: Path) -> None:
    run = write_folder(tmp_path / "one", few_decisions())
    beside = {"judged": "undecided", "evidence_sha256": "0"}
    settled = label(30, "yes", time="2026-01-31T10:00:00+00:00", note="wards", settles=beside)
    (run / "labels").mkdir()
    (run / "labels" / "adjudication.jsonl").write_text(settled.model_dump_json() + "\n")
    page = Page(open_desk(run).get("/run/one/feature/base-000030").text).text
    assert "Settled by a person relevant yes, ana 2026-01-31 10:00 · wards" in page
    assert "undecided confidence 0.50" in page


def test_the_embedded_labels_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from evals.review.desk import Desk

    assert import_labels(["own", "studies/pocket/labels.csv"]) == 0
    desk = Desk.open([write_folder(tmp_path / "one", few_decisions())], [Path("studies/pocket/labels.csv")])
    assert len(desk.labels) == 922 and desk.remarks == ()


# --- a feature --------------------------------------------------------------------------------------------------------


def test_activations_become_ten_classes_of_warmth() -> None:
    assert [warmth(share) for share in (-1, 0, 1e-9, 0.111, 0.5, 0.999, 1)] == [0, 0, 1, 1, 5, 9, 9]
    context = Context(document="d", tokens=("a", "b", "c"), activations=(0.0, 2.0, 4.0), max_activation=4.0)
    assert [warm.level for warm in warm_tokens(context)] == [0, 5, 9]
    assert [warm.level for warm in warm_tokens(Context(document="d", tokens=("a", "b")))] == [0, 0]


def test_what_the_filters_left_out_is_named() -> None:
    tokens = [(" heart", "heart"), (" Heart", "heart"), ("opathy", None), (" river", "river")]
    projection = Projection(top=tuple(TokenWeight(token=token, word=word) for token, word in tokens))
    hits = (KeywordHit(token=" heart", word="heart", joined=False), KeywordHit(token="opathy", word="x", joined=True))
    chips = mark_tokens(projection, KeywordEvidence(hits=hits, n_top=4, substring_hits=2, null_share=0.1))
    assert [(chip.matched, chip.joined, chip.left_out) for chip in chips] == [
        ("heart", False, None),
        (None, False, "the same word again"),
        ("x", True, "no word"),
        (None, False, None),
    ]


def test_controls_are_held_to_the_same_unsteered_text() -> None:
    scores: dict[str, Any] = {"score_unsteered": 0.4, "score_steered": 0.6, "score_random": 0.5, "score_flipped": None}
    texts = {"prompt": "p", "unsteered": "u", "steered": "s", "random": "r", "flipped": "f"}
    pair = SteeredPair(seed=0, collapsed=True, **texts, **scores)
    assert [(text.name, text.wins) for text in line_up(pair)] == [
        ("unsteered", None),
        ("steered", False),  # it collapsed
        ("random direction", True),
        ("sign flipped", False),
    ]


def test_a_feature_page_shows_everything_the_judge_could_see(tmp_path: Path) -> None:
    desk = open_desk(write_folder(tmp_path / "one", few_decisions()))
    page = Page(desk.get("/run/one/feature/base-000001").text)
    assert "5 of 10 top tokens are words of the domain. 0.4 % of random directions have as many." in page.text
    assert "0.46 over different words. 1.0 % of random directions reach it." in page.text
    assert "At 0.40 % of 52,000 tokens · strongest 12.30" in page.text
    assert "100 % of 10 texts won; 50 % expected under other features' words." in page.text
    assert "0.41 mean residual norms" in page.text and "hook ran 24 times over 31 positions" in page.text
    assert len(page.all("mark", class_="heat-9")) == 12  # once in each of twelve contexts
    assert len(page.all("div", class_="text control")) == 20
    assert len(page.all("li", class_="hit")) == 5


def test_a_feature_without_evidence_and_one_that_failed_are_shown_as_that(tmp_path: Path) -> None:
    decisions = few_decisions()
    desk = open_desk(write_folder(tmp_path / "one", decisions, [show_evidence(decisions[0])]))
    failed = Page(desk.get("/run/one/feature/base-000005").text).text
    assert "timeout after 6 tries: no reply" in failed
    assert "No evidence is stored for this feature." in failed


def test_evidence_of_another_tool_shows_what_there_is(tmp_path: Path) -> None:
    missing = {name: None for name in ("keywords", "coherence", "activations", "steering", "causal")}
    evidence = make_evidence(projection=Projection(top=(TokenWeight(token=" tooth"),)), **missing)
    decision = few_decisions()[0]
    evidence = evidence.model_copy(update={"feature": decision.feature})
    page = open_desk(write_folder(tmp_path / "one", [decision], [evidence])).get("/run/one/feature/base-000001")
    assert page.status_code == 200
    assert "tooth" in Page(page.text).text


def test_ratings_of_concepts_are_shown_instead_of_a_verdict(tmp_path: Path) -> None:
    rated = decide(1, None, ratings={"dentist": 4, "nurse": 0})
    desk = open_desk(write_folder(tmp_path / "one", [rated]), labels=[label(1, 3, question="dentist")])
    row = Page(desk.get("/run/one").text).text
    assert "dentist 4" in row and "nurse" not in row.replace("label, token", "")
    assert "1 seen otherwise by someone" in row


def test_published_saes_are_linked_to_their_dashboards(tmp_path: Path) -> None:
    decision = decide(1311, "yes")
    decision = decision.model_copy(
        update={"feature": decision.feature.model_copy(update={"sae": "gpt2-small-res-jb/blocks.8.hook_resid_pre"})}
    )
    random = decision.model_copy(update={"feature": decision.feature.model_copy(update={"kind": "random_direction"})})
    desk = open_desk(write_folder(tmp_path / "one", [decision, random]))
    ours, drawn = (desk.get(f"/run/one/feature/{d.feature.key}").text for d in (decision, random))
    assert "https://www.neuronpedia.org/gpt2-small/8-res-jb/1311" in ours
    assert "neuronpedia" not in drawn
    plain = open_desk(write_folder(tmp_path / "two", few_decisions()))
    assert "neuronpedia" not in plain.get("/run/two/feature/base-000001").text


# --- a transcript -----------------------------------------------------------------------------------------------------


@pytest.fixture
def investigated(tmp_path: Path) -> TestClient:
    provenance = Provenance(
        command=(), git_commit=None, git_dirty=None, python="3", packages={}, sha256={}, prompts=PROMPTS
    )
    decisions = few_decisions()
    run = write_folder(
        tmp_path / "one",
        decisions,
        steps={"base-000001": some_steps()},
        calls=[
            some_call(attempts=1, reply=None, failure={"type": "timeout", "message": "", "attempts": 1}),
            some_call(),
        ],
        provenance=provenance,
    )
    return open_desk(run)


def test_every_step_stands_in_the_timeline_with_what_it_cost(investigated: TestClient) -> None:
    page = Page(investigated.get("/run/one/feature/base-000001/transcript").text)
    assert sum(attrs.get("class", "").startswith("step ") for attrs in page.all("li") if attrs.get("class")) == 10
    assert "10 steps · 2 calls, 2,400 + 68 tokens, 0.0250 USD" in page.text
    assert page.text.count("1,200 + 34 tokens · 0.01250 USD") == 2
    assert "system · prompt judge.v1 cdcdcdcdcdcd 12 characters" in page.text
    assert "chosen by the model" in page.text and "tests hypothesis 1" in page.text


def test_tries_repairs_errors_and_failures_are_visible(investigated: TestClient) -> None:
    page = Page(investigated.get("/run/one/feature/base-000001/transcript").text)
    marks = [index for index, (_, attrs) in enumerate(page.tags) if attrs.get("class") == "mark"]
    assert len(marks) == 5  # three of the first reply, one of the second, one of the tool that failed
    for words in ("answered at try 3", "did not fit its schema", "ended by length", "error", "timeout"):
        assert words in page.text


def test_the_stored_call_can_be_read_and_the_last_one_counts(investigated: TestClient) -> None:
    stored = investigated.get(f"/run/one/call/{CALL}").json()
    assert stored["reply"]["message"]["content"] == "kept as it came"
    assert investigated.get(f"/run/one/call/{'0' * 64}").status_code == 404


def test_lists_become_lines_tables_or_entries() -> None:
    assert is_short_list([1, 2.5, "B"]) and not is_short_list(["x" * 25]) and not is_short_list([[1]])
    assert columns_of([{"word": "a", "change": 1}, {"word": "b", "change": None}]) == ["word", "change"]
    for no_table in ([{"a": 1}, {"b": 1}], [{"a": [1]}], [{"a": 1}, "b"], [{}]):
        assert columns_of(no_table) is None


def test_a_missing_transcript_is_said(tmp_path: Path) -> None:
    run = write_folder(tmp_path / "one", few_decisions())
    (run / "transcripts" / "base-000001.jsonl").unlink()
    answer = open_desk(run).get("/run/one/feature/base-000001/transcript")
    assert answer.status_code == 404 and "is missing" in Page(answer.text).text


# --- hostile text -----------------------------------------------------------------------------------------------------


def test_unseen_letters_are_spelt_out_and_others_left_alone() -> None:
    assert show_text("a<b>\n\tשלום") == "a&lt;b&gt;\n\tשלום"
    assert show_text("a\u202eb") == 'a<span class="unseen">U+202E</span>b'
    assert show_token("a\n") == 'a<span class="unseen" title="line feed">⏎</span>'
    assert show_text(3.5) == "3.5"


def test_no_text_becomes_markup(tmp_path: Path) -> None:
    """Whatever the text, a page has the tags of a page about plain words."""
    texts = ("short words", "words of more than one line's length", *HOSTILE)
    decisions, evidence, steps = [], [], {}
    for number, text in enumerate(texts):
        decision = decide(number, "yes").model_copy(update={"label": text, "reasons": (text, text)})
        token = TokenWeight(token=text, word=text, weight=1.0)
        context = Context(document=text, tokens=(text, text), activations=(0.0, 1.0))
        pair = (
            make_evidence()
            .steering.pairs[0]
            .model_copy(update={"prompt": text, "steered": text, "unsteered": text, "random": text, "flipped": text})
        )
        base = show_evidence(decision)
        decisions.append(decision)
        evidence.append(
            base.model_copy(
                update={
                    "projection": Projection(top=(token,), bottom=(token,)),
                    "keywords": base.keywords.model_copy(update={"hits": ()}),
                    "activations": base.activations.model_copy(update={"top": (context,), "quantiles": ()}),
                    "steering": base.steering.model_copy(update={"pairs": (pair,)}),
                }
            )
        )
        steps[decision.feature.key] = [s for s in some_steps(text) if s.node != "experiment"]
    labels = [label(number, "no", text, note=text) for number, text in enumerate(texts)]
    desk = open_desk(write_folder(tmp_path / "one", decisions, evidence, steps), labels=labels)
    for kind in ("", "/transcript"):
        pages = [Page(desk.get(f"/run/one/feature/{decision.feature.key}{kind}").text) for decision in decisions]
        skeletons = [after_heading(page) for page in pages]
        for text, page, skeleton in zip(texts, pages, skeletons, strict=True):
            assert not page.all("script")
            assert skeleton == skeletons[0 if is_short_list([text]) else 1], text
    table = Page(desk.get("/run/one").text)
    assert [attrs.get("src") for attrs in table.all("script")] == ["/static/table.js"]
    assert not table.all("img") and not table.all("i")
    assert "<script>alert(1)</script>" in Page(desk.get("/run/one?page=2").text).text


def after_heading(page: Page) -> list[str]:
    """Tags from the heading on, without the marks of unseen letters: the first feature has no link to one before it."""
    tags = [tag for tag, attrs in page.tags if attrs.get("class") != "unseen"]
    return tags[tags.index("h1") :]


def test_runs_and_keys_with_odd_names_are_linked_and_found(tmp_path: Path) -> None:
    name = "a run & <b>more<b> 100% ünï#?"
    decision = decide(1, "yes")
    decision = decision.model_copy(update={"feature": decision.feature.model_copy(update={"sae": "re/lease <x> & y"})})
    desk = open_desk(write_folder(tmp_path / name, [decision]))
    home = next(a["href"] for a in Page(desk.get("/").text).all("a") if (a["href"] or "").startswith("/run/"))
    page = desk.get(home or "")
    assert page.status_code == 200 and name in Page(page.text).text
    feature = next(a["href"] for a in Page(page.text).all("a") if "/feature/" in (a["href"] or ""))
    assert desk.get(feature or "").status_code == 200


def test_two_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    from evals.review.desk import Desk

    paths = [write_folder(tmp_path / place / "run", few_decisions()) for place in ("a", "b")]
    assert list(Desk.open([*paths, paths[0]]).runs) == ["run", "run~2"]


# --- many rows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "most_s"), [(1_000, 0.4), pytest.param(5_000, 1.0, marks=pytest.mark.endurance)])
def test_thousands_of_decisions_are_listed_and_filtered_at_once(tmp_path: Path, count: int, most_s: float) -> None:
    """Measured on 5,000: 60 ms and 30 ms. The bounds are what a reader would still call fast, on a machine that is busy."""
    decision = decide(1234567, "yes")
    run = write_folder(tmp_path / "one", [decision], [show_evidence(decision)])
    for file in (run / "decisions.jsonl", run / "evidence.jsonl"):
        line = file.read_text()
        file.write_text("".join(line.replace("1234567", str(number)) for number in range(count)))
    desk = open_desk(run)

    def fastest(address: str) -> float:
        def once() -> float:
            began = time.perf_counter()
            assert desk.get(address).status_code == 200
            return time.perf_counter() - began

        return min(once() for _ in range(3))

    assert f"{count:,} decisions" in Page(desk.get("/run/one").text).text
    assert fastest("/run/one") < most_s
    assert fastest("/run/one?q=heart&sort=confidence&down=1&page=7") < most_s / 2
    assert fastest("/run/one?q=999") < most_s / 2
    assert f"1 of {count:,} decision " in Page(desk.get("/run/one?q=base-000999").text).text
