"""The desk's border: what it lets in, what it sends along, and what it says when something is wrong."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2 as httpx
import pytest
from starlette.testclient import TestClient

from evals.review.__main__ import main, parse_arguments
from tests.evals.review.folders import Page, few_decisions, open_desk, some_call, some_steps, write_folder

KEY = "base-000001"
PAGES = (
    "/",
    "/run/one",
    f"/run/one/feature/{KEY}",
    f"/run/one/feature/{KEY}/transcript",
    "/compare?left=one&right=two",
    "/no/such/page",
    "/run/other",
    "/run/one?sort=nothing",
)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    folder = tmp_path_factory.mktemp("desk")
    for name in ("one", "two"):
        write_folder(folder / name, few_decisions(), steps={KEY: some_steps()}, calls=[some_call()])
    (folder / "secret.png").write_bytes(b"secret")
    return open_desk(folder / "one", folder / "two")


@pytest.mark.parametrize("page", [*PAGES, "/static/style.css"])
def test_every_answer_forbids_scripts_and_styles_of_others_and_frames(desk: TestClient, page: str) -> None:
    headers = desk.get(page).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize("page", PAGES)
def test_no_page_has_a_script_a_style_or_a_handler_within(desk: TestClient, page: str) -> None:
    found = Page(desk.get(page).text)
    assert all((attrs.get("src") or "").startswith("/static/") for attrs in found.all("script"))
    assert not found.all("style")
    attributes = {name for _, attrs in found.tags for name in attrs}
    assert not {name for name in attributes if name == "style" or name.startswith("on")}


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_fetched_from_elsewhere(desk: TestClient, page: str) -> None:
    found = Page(desk.get(page).text)
    loaded = [a.get("src") for tag in ("script", "img") for a in found.all(tag)] + [
        a["href"] for a in found.all("link")
    ]
    assert loaded and all(re.match(r"/[^/]", address or "") for address in loaded)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:8765"},
        {"sec-fetch-site": "same-site"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_other_sites_write_nothing(desk: TestClient, method: str, headers: dict[str, str]) -> None:
    assert desk.request(method, "/run/one", headers=headers).status_code == 403


def test_its_own_pages_and_plain_tools_may_write(desk: TestClient) -> None:
    own = {"origin": "http://127.0.0.1:8765", "sec-fetch-site": "same-origin"}
    assert desk.post("/run/one", headers=own).status_code == 405
    assert desk.post("/run/one").status_code == 405


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "", "[", "a b"])
def test_a_name_that_someone_else_owns_reads_nothing(desk: TestClient, host: str) -> None:
    answer = desk.get("/", headers={"host": host})
    assert answer.status_code == 400
    assert "one" not in answer.text.split()


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "LOCALHOST", "[::1]:8765", "192.168.0.7"])
def test_addresses_and_localhost_are_its_own(desk: TestClient, host: str) -> None:
    assert desk.get("/", headers={"host": host}).status_code == 200


def test_a_large_body_is_refused(desk: TestClient) -> None:
    assert desk.post("/run/one", content=b"x" * ((1 << 20) + 1)).status_code == 413


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/run/%2e%2e%2fone",
        "/run/one/feature/..%2f..%2fmanifest",
        "/run/one/feature/../../secret",
        "/run/one/feature/%2e%2e/transcript",
        "/run/one/figures/..%2f..%2fsecret.png",
        "/run/one/figures/%2e%2e%2fsecret.png",
        "/run/one/call/..%2f..%2fmanifest",
        "/run/one%00/feature/x",
    ],
)
def test_no_path_leads_out_of_a_run(desk: TestClient, path: str) -> None:
    answer = desk.get(path)
    assert answer.status_code == 404
    assert "secret" not in answer.text and "make_router" not in answer.text


def test_what_is_not_there_is_said_on_a_page_of_its_own(desk: TestClient) -> None:
    missing, feature, write = desk.get("/nowhere"), desk.get("/run/one/feature/zzz"), desk.post("/run/one")
    assert "There is no such page." in Page(missing.text).text
    assert "no decision on a feature of that name" in Page(feature.text).text
    assert (write.status_code, write.headers["allow"]) == (405, "GET")
    assert "for reading only" in Page(write.text).text
    assert desk.get("/nowhere", headers={"accept": "application/json"}).json() == {"detail": "There is no such page."}


def test_a_run_that_is_damaged_while_it_is_open_is_an_error_page(tmp_path: Path) -> None:
    run = write_folder(tmp_path / "one", few_decisions())
    desk = open_desk(run)
    (run / "evidence.jsonl").write_text("x" * 5000 + "\n" + "y" * 50000)
    answer = desk.get(f"/run/one/feature/{KEY}")
    assert answer.status_code == 500
    assert "evidence.jsonl is damaged" in Page(answer.text).text
    assert "Traceback" not in answer.text


def test_it_serves_this_machine_only_unless_told_otherwise() -> None:
    assert parse_arguments(["run"]).host == "127.0.0.1"


def test_the_command_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    run = write_folder(tmp_path / "one", few_decisions())
    command = [sys.executable, "-m", "evals.review", str(run), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as desk:
        assert desk.stdout is not None
        address = desk.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        assert httpx.get(f"{address}run/one").status_code == 200
        desk.send_signal(signal.SIGINT)
        _, said = desk.communicate(timeout=30)
    assert (desk.returncode, said) == (0, "")


def test_bad_run_folders_and_taken_ports_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = write_folder(tmp_path / "good", few_decisions())
    torn = write_folder(tmp_path / "torn", few_decisions())
    (torn / "evidence.jsonl").write_text('{"half": \n')
    odd = write_folder(tmp_path / "odd", few_decisions())
    (odd / "evals").mkdir()
    (odd / "evals" / "agreement.json").write_text("{}")
    unread = tmp_path / "labels.csv"
    unread.write_text("nothing,of,use\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for arguments, said in (
            ([str(tmp_path / "absent")], "no folder"),
            ([str(tmp_path)], "no run folder"),
            ([str(torn)], "is damaged"),
            ([str(odd)], "make it anew with python -m evals.run"),
            ([str(good), "--labels", str(unread)], "the first row names the columns"),
            ([str(good), "--port", port], "try another --port"),
        ):
            assert main(arguments) == 2
            error = capsys.readouterr().err
            assert said in error and error.startswith("error: ") and error.count("\n") == 1


def test_help_is_instant() -> None:
    code = "import sys, evals.review.__main__; print(sorted(set(sys.modules) & {'fastapi', 'numpy', 'pydantic'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_desk_needs_neither_a_model_nor_its_library() -> None:
    code = (
        "import sys, evals.review.app, evals.review.desk;"
        "print(sorted(set(sys.modules) & {'torch', 'sae_lens', 'openai', 'langgraph', 'pandas'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
