"""Steering runs on the desk: beside investigations, with the same content as their report, whatever a folder holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from agent.errors import RunError
from agent.folder.steering_store import SteeringFolder
from agent.steering.page import write_report
from evals.review.__main__ import main
from evals.review.app import create_app
from evals.review.desk import Desk
from tests.agent.attacks import ATTACKS
from tests.agent.steering.made import ARMS, WORDS, target, text, write_run
from tests.evals.review.folders import ADDRESS, Page, few_decisions, write_folder

INVESTIGATION = "20260101T000000Z-tiny-base-0000"
PAGES = ("/", "/steered/one", "/steered/one?target=law", "/steered/nowhere", "/steered/one?target=nobody")


def open_paths(*paths: Path) -> TestClient:
    return TestClient(create_app(Desk.open(list(paths))), base_url=ADDRESS)


def finished(path: Path) -> SteeringFolder:
    folder = write_run(path)
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    folder = tmp_path_factory.mktemp("desk")
    finished(folder / "one")
    write_folder(folder / "investigated", few_decisions())
    return open_paths(folder / "one", folder / "investigated")


def test_a_steering_run_is_listed_beside_investigations(desk: TestClient) -> None:
    page = Page(desk.get("/").text)
    links = {attrs.get("href") for attrs in page.all("a")}
    assert {"/steered/one", "/run/investigated"} <= links
    assert "Steering" in page.text and "finished" in page.text


def test_its_page_says_what_its_report_says(tmp_path: Path) -> None:
    folder = finished(tmp_path / "one")
    report, page = (folder.path / "report.html").read_text("utf-8"), open_paths(folder.path).get("/steered/one").text
    inside = report.partition("<main>")[2].partition("</main>")[0]
    before, _, behind = inside.partition("<figure>")  # the picture alone has another address
    assert before.strip() in page and behind.partition("</figure>")[2].strip() in page
    for said in (*ARMS, *WORDS, "words of the trade"):
        assert said in page


def test_one_target_shows_every_beginning_and_sample(desk: TestClient) -> None:
    whole, one = (Page(desk.get(f"/steered/one{query}").text).text for query in ("", "?target=law"))
    assert whole.count("sample 1") == 0 and whole.count("sample 0") == 6
    assert one.count("sample 0") == one.count("sample 1") == 3
    assert "butter onion" in whole and "butter onion" not in one


def test_the_frontier_and_the_style_are_served(desk: TestClient) -> None:
    page = Page(desk.get("/steered/one").text)
    (image,) = page.all("img")
    assert desk.get(image["src"] or "").content.startswith(b"\x89PNG")
    assert ".shade-9" in desk.get("/steered.css").text and desk.get("/steered.css").headers["content-type"].startswith(
        "text/css"
    )


@pytest.mark.parametrize("page", PAGES)
def test_the_desks_border_holds_here_too(desk: TestClient, page: str) -> None:
    answer = desk.get(page)
    assert "unsafe" not in answer.headers["content-security-policy"]
    found = Page(answer.text)
    assert not found.all("style") and not found.all("script")
    attributes = {name for _, attrs in found.tags for name in attrs}
    assert not {name for name in attributes if name == "style" or name.startswith("on")}
    assert answer.status_code == (404 if page.endswith(("nowhere", "nobody")) else 200)


def test_a_feature_links_to_its_investigation_where_that_is_open(tmp_path: Path) -> None:
    run = finished(tmp_path / "one").path
    chosen = target("law").chosen[0].model_copy(update={"investigation": f"runs/{INVESTIGATION}/base-000001"})
    SteeringFolder.open(run).write_targets([target("law", chosen=(chosen,))])
    investigated = write_folder(tmp_path / INVESTIGATION, few_decisions())
    alone, beside = open_paths(run).get("/steered/one").text, open_paths(run, investigated).get("/steered/one").text
    link = f'href="/run/{INVESTIGATION}/feature/base-000001"'
    assert link in beside and link not in alone


@pytest.mark.parametrize(
    "attack", [ATTACKS[0], "<script>alert(1)</script>", "{{ 7 * 7 }}", "../../etc/passwd", "x" * 5000]
)
def test_hostile_text_is_shown_and_does_nothing(attack: str, tmp_path: Path) -> None:
    name = f"law {attack}"
    texts = [text(name, arm, tokens=(attack,), displaced=(0.5,), moved=None) for arm in ARMS]
    desk = open_paths(write_run(tmp_path / "one", [target(name, excerpt=attack)], texts, study_title=attack).path)
    for page in ("/", "/steered/one"):
        answer = desk.get(page)
        assert answer.status_code == 200
        assert not Page(answer.text).all("script") and "49" not in Page(answer.text).text.split("Steering")[0]
    assert desk.get("/steered/one", params={"target": name}).status_code == 200


@pytest.mark.parametrize("name", ["steering.json", "targets.json", "results.json"])
def test_a_damaged_folder_is_not_opened(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "one").path
    (run / name).write_text('{"a": 1}')
    with pytest.raises(RunError, match=name):
        Desk.open([run])
    assert main([str(run)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1 and name in said


def test_texts_that_do_not_read_any_more_are_a_page_that_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "one").path
    desk = open_paths(run)
    (run / "texts.jsonl").write_text("no json\n")
    answer = desk.get("/steered/one")
    assert answer.status_code == 500 and "texts.jsonl:1" in Page(answer.text).text


def test_a_link_in_the_folder_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "one").path
    (run / "texts.jsonl").unlink()
    (run / "texts.jsonl").symlink_to("/etc/passwd")
    with pytest.raises(RunError, match="is a link"):
        Desk.open([run])


def test_a_figure_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    run = finished(tmp_path / "one").path
    desk = open_paths(run)
    (run / "figures" / "frontier.png").unlink()
    (run / "figures" / "frontier.png").symlink_to("/etc/passwd")
    assert desk.get("/steered/one/frontier.png").status_code == 404


def test_a_run_under_way_is_shown_as_far_as_it_is(tmp_path: Path) -> None:
    run = write_run(tmp_path / "one", finished=False).path
    (run / "targets.json").unlink()
    desk = open_paths(run)
    assert "not finished" in Page(desk.get("/").text).text
    assert "Not finished" in Page(desk.get("/steered/one").text).text


def test_with_steering_runs_alone_there_is_nothing_to_compare_and_the_desk_says_so(tmp_path: Path) -> None:
    assert open_paths(write_run(tmp_path / "one").path).get("/compare").status_code == 404
