"""Wrong settings are found before anything is paid or measured: one line, and no run."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.errors import RunError
from agent.llm import preflight
from agent.llm.preflight import check_machine, reach
from agent.llm.settings import LlmChoice, Secrets
from agent.run import main
from tests.servers.openai_stub import (
    JsonDict,
    Policy,
    Scripted,
    StubServer,
    failing,
    happy,
    saying,
    serve,
)

KEY = "sk-planted-0123456789abcdef"


def choose(server: StubServer, **rest: Any) -> LlmChoice:
    return LlmChoice(model="stub", base_url=rest.pop("base_url", server.base_url), **rest)


def found(server: StubServer, key: str | None = KEY, **rest: Any) -> tuple[preflight.Reached, list[str]]:
    told: list[str] = []
    return reach(choose(server, **rest), Secrets(key), told.append, backoff_s=0.001), told


def refusal(server: StubServer, **rest: Any) -> str:
    with pytest.raises(RunError) as caught:
        found(server, **rest)
    assert "\n" not in str(caught.value) and KEY not in str(caught.value)
    return str(caught.value)


# --- what is fine -----------------------------------------------------------------------------------------------------


def test_one_small_request_is_sent_and_the_models_are_asked_for_once() -> None:
    with serve(happy, models=["stub"]) as server:
        reached, told = found(server)
    assert (reached.choice, told) == (choose(server), [])
    assert server.listed == 1 and not server.requests
    (probe,) = server.probes
    assert probe.body["max_tokens"] <= 16 and probe.key == KEY


def test_the_judges_model_is_asked_too_if_it_is_another() -> None:
    with serve(happy) as server:
        found(server, judge_model="judge")
    assert [probe.body["model"] for probe in server.probes] == ["stub", "judge"]


@pytest.mark.parametrize("refused", [400, 422])
def test_a_server_that_refuses_the_question_for_what_may_be_left_out_is_there(refused: int) -> None:
    words = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    with serve(happy, probing=failing(refused, words)) as server:
        assert found(server)[0].framing == "with usage"


@pytest.mark.parametrize(("streaming", "framing"), [("no", "whole"), ("no usage", "streamed"), ("yes", "with usage")])
def test_how_a_server_takes_to_be_asked_is_found_out_before_anything_is_paid(streaming: str, framing: str) -> None:
    with serve(happy, streaming=streaming) as server:
        assert found(server)[0].framing == framing


def test_a_refusal_of_streaming_without_a_word_is_found_out_too() -> None:
    """The server says no more than that the request is invalid."""
    seen: list[bool] = []

    class Terse(StubServer):
        def _reply(self, method: str, path: str, data: bytes, headers: Any) -> Scripted:
            seen.append(b'"stream":true' in data)
            if seen[-1]:
                return Scripted(status=400, raw=b'{"error": {"message": "Request contains an invalid argument."}}')
            return super()._reply(method, path, data, headers)

    with serve(happy, kind=Terse) as server:
        assert found(server)[0].framing == "whole"


def test_a_server_that_is_not_ready_yet_is_waited_for() -> None:
    turns = iter([failing(503, "loading model"), failing(429, "slow down"), saying("OK")])
    with serve(happy, probing=lambda body, attempt: next(turns)(body, attempt)) as server:
        found(server)
    assert len(server.probes) == 3


def test_waiting_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "FIRST_WORD_S", 0.1)
    with serve(happy, probing=saying("OK", delay=0.4)) as server:
        told = found(server)[1]
    assert told == [f"  waiting for the first words of stub at {server.base_url}"]


def test_another_model_that_answers_is_told_of() -> None:
    raw = b'{"choices": [{"message": {"content": "OK"}, "finish_reason": "stop"}], "model": "tiny.gguf"}'
    with serve(happy, probing=saying(raw=raw)) as server:
        assert found(server)[1] == ["  stub was asked for, and tiny.gguf answers"]


# --- addresses --------------------------------------------------------------------------------------------------------


def test_a_missing_version_is_tried_and_said() -> None:
    with serve(happy) as server:
        root = server.base_url.removesuffix("/v1")
        reached, told = found(server, base_url=root)
    assert reached.choice.base_url == server.base_url
    assert told == [f"  {root} answers at {root}/v1, which is used"]


def test_a_server_at_another_path_is_left_there() -> None:
    with serve(happy, root="/api") as server:
        assert found(server)[0].choice.base_url == server.base_url


def test_a_page_in_place_of_an_endpoint_is_told_from_one() -> None:
    with serve(happy, probing=saying(raw=b"<html>Welcome</html>")) as server:
        said = refusal(server)
    assert "not as an OpenAI-compatible endpoint" in said and "Welcome" in said


def test_a_closed_port_is_told_of_at_once() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        server = StubServer(happy)
        server.port = unused.getsockname()[1]
        said = refusal(server)
    assert server.base_url in said and "cannot be reached" in said


def test_a_host_that_is_none_is_told_of() -> None:
    assert "cannot be reached" in refusal(StubServer(happy), base_url="http://no-such-host.invalid/v1")


def test_a_server_that_sends_on_is_told_of_and_not_followed() -> None:
    with serve(happy, probing=saying(status=307, raw=b"", headers={"Location": "https://other.example/v1"})) as server:
        assert "sends on to other.example" in refusal(server)


def test_a_server_that_takes_the_connection_and_says_nothing_is_given_up_after_the_time_out() -> None:
    with serve(happy, probing=saying(hang=True)) as server:
        said = refusal(server, timeout_seconds=0.2)
    assert "no word from the server for 0.2 s" in said and "--timeout" in said


# --- keys, credit and models ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (failing(401, "Incorrect API key provided: {key}", "invalid_api_key"), "the key in OPENAI_API_KEY is refused"),
        (failing(403, "Project may not use this"), "the key in OPENAI_API_KEY is refused"),
        (failing(402, "Insufficient credits. Add more and retry."), "no credit"),
        (failing(429, "You exceeded your current quota", "insufficient_quota"), "no credit"),
        (failing(404, "The model does not exist", "model_not_found"), "has no model stub"),
        (failing(400, "Invalid model: stub"), "has no model stub"),
        (failing(400, "model 'stub' not found, try pulling it first"), "has no model stub"),
        (failing(500, "The server had an error"), "is not ready"),
    ],
)
def test_what_would_fail_every_feature_ends_the_run_before_it_begins(policy: Policy, said: str) -> None:
    with serve(happy, probing=policy) as server:
        assert said in refusal(server)


def test_an_effort_the_model_does_not_know_is_found_before_it_fails_every_feature() -> None:
    words = "Unsupported parameter: 'reasoning_effort' is not supported with this model."
    with serve(happy, probing=lambda body, attempt: failing(400, words)(body, attempt)) as server:
        assert "takes no --reasoning-effort high for stub" in refusal(server, reasoning_effort="high")
        assert server.probes[0].body["reasoning_effort"] == "high"


def test_a_key_that_is_wanted_and_missing_is_named() -> None:
    with serve(happy, probing=failing(401, "No auth credentials found")) as server:
        assert "a key is wanted: set OPENAI_API_KEY" in refusal(server, key=None)


def test_a_name_the_server_does_not_list_is_refused_with_the_nearest_and_nothing_is_asked() -> None:
    with serve(happy, models=["qwen-coder", "stubb", "other"]) as server:
        said = refusal(server)
    assert "lists no model stub: it has stubb" in said and not server.probes


@pytest.mark.parametrize("models", [[], ["models/stub"], ["stub:latest"], ["/data/stub.gguf"], ["a", "st*"]])
def test_a_list_that_is_empty_or_writes_the_name_otherwise_is_fine(models: list[str]) -> None:
    with serve(happy, models=models) as server:
        found(server)


# --- the machine ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1080", "a SOCKS proxy is configured (ALL_PROXY)"),
        ("all_proxy", "socks5h://127.0.0.1:1080", "a SOCKS proxy is configured (ALL_PROXY)"),
        ("HTTPS_PROXY", "socks4://127.0.0.1:1080", "proxy that is configured (HTTPS_PROXY) cannot be used"),
        ("HTTP_PROXY", "http://host:port", "proxy that is configured (HTTP_PROXY) cannot be used"),
        ("SSL_CERT_FILE", "/nowhere/ca.pem", "SSL_CERT_FILE=/nowhere/ca.pem cannot be read"),
        ("SSL_CERT_FILE", __file__, "cannot be read"),
    ],
)
def test_a_setting_of_the_machine_that_cannot_work_is_named(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(RunError) as caught:
        check_machine(LlmChoice(model="stub"), Secrets())
    assert said in str(caught.value)
    with serve(happy) as server:
        assert said in refusal(server)
        assert not server.probes


# --- whole commands ---------------------------------------------------------------------------------------------------


@pytest.fixture
def begin(domain: Path, evidence: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)

    def run(*more: str) -> int:
        common = ["--evidence", str(evidence), "--study", str(domain), "--runs", str(tmp_path / "r")]
        return main([*common, *more])

    return run


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--temperature", "2.1"], "--temperature 2.1: should be less than or equal to 2"),
        (["--temperature", "nan"], "--temperature nan"),
        (["--timeout", "0"], "--timeout 0.0: should be greater than 0"),
        (["--timeout", "inf"], "--timeout inf"),
        (["--max-output-tokens", "0"], "--max-output-tokens 0"),
        (["--concurrency", "0"], "--concurrency 0"),
        (["--concurrency", "100000"], "--concurrency 100000"),
        (["--requests-per-minute", "-1"], "--requests-per-minute -1"),
        (["--budget-usd", "-3"], "--budget-usd -3"),
        (["--budget-usd", "nan"], "--budget-usd nan"),
        (["--budget-tokens", "-1"], "--budget-tokens -1"),
        (["--reasoning-effort", "very much"], "--reasoning-effort"),
        (["--prices", "nowhere.toml"], "nowhere.toml cannot be read"),
        (["--header", f"X-Team: {KEY}"], "--header: a header is written as NAME=VALUE"),
        (["--retry-failed"], "--retry-failed goes with --resume"),
        (["--base-url", "localhost:8000/v1"], "give http://localhost:8000/v1"),
        (["--base-url", f"http://me:{KEY}@127.0.0.1:9/v1"], "carries a user or a password"),
        (["--base-url", f"http://127.0.0.1:9/v1?key={KEY}"], "carries a query"),
    ],
)
@pytest.mark.parametrize("dry", [True, False])
def test_a_bad_flag_ends_in_one_line_and_leaves_no_run(
    begin: Callable[..., int],
    flags: list[str],
    said: str,
    dry: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    where = [] if "--base-url" in flags else ["--base-url", "http://127.0.0.1:9/v1"]
    assert begin("--llm-model", "m", *where, *flags, *(["--dry-run"] if dry else [])) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: ") and said in told.err and told.err.count("\n") == 1
    assert KEY not in told.out + told.err
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("seed", ["-1", str(2**31), "1.5", "x"])
def test_a_seed_is_a_whole_number_that_every_server_takes(begin: Callable[..., int], seed: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        begin("--seed", seed)
    assert stopped.value.code == 2


def test_a_dry_run_sends_nothing_and_says_what_was_not_tried(
    begin: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(happy) as server:
        assert begin("--llm-model", "m", "--base-url", server.base_url, "--dry-run") == 0
        assert not server.listed and not server.probes and not server.requests
    assert f"not tried: whether {server.base_url} answers" in capsys.readouterr().out


def test_flags_reach_the_request_and_the_manifest_but_a_headers_value_reaches_only_the_server(
    begin: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = "--temperature 0.5 --max-output-tokens 900 --reasoning-effort low --timeout 33 --requests-per-minute 6000"
    with serve(happy) as server:
        header = ["--header", f"X-Team={KEY}", "--header=X-Org=reading-room"]
        assert begin("--llm-model", "m", "--base-url", server.base_url, *flags.split(), *header) == 0
    body: JsonDict = server.requests[0].body
    assert (body["temperature"], body["max_tokens"], body["reasoning_effort"]) == (0.5, 900, "low")
    assert {request.headers["x-team"] for request in (*server.requests, *server.probes)} == {KEY}
    manifest = next((tmp_path / "r").glob("*/manifest.json")).read_text()
    assert '"timeout_seconds": 33.0' in manifest and '"X-Team=[secret]"' in manifest
    for file in (tmp_path / "r").rglob("*"):
        assert not file.is_file() or (
            KEY.encode() not in file.read_bytes() and b"reading-room" not in file.read_bytes()
        )
    assert KEY not in "".join(capsys.readouterr())


def test_without_flags_nothing_is_sent_that_was_not_sent_before(begin: Callable[..., int]) -> None:
    with serve(happy) as server:
        assert begin("--llm-model", "m", "--base-url", server.base_url) == 0
    assert not {"reasoning_effort", "stream", "stream_options"} & server.requests[0].body.keys()


def test_a_server_is_asked_before_the_survey(
    study_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--study", str(study_folder), "--runs", str(tmp_path / "r"), "--llm-model", "m"]
    assert main([*arguments, "--base-url", "http://127.0.0.1:9/v1"]) == 2
    told = capsys.readouterr()
    assert "cannot be reached" in told.err and "survey" not in told.out
    assert not (tmp_path / "r").exists()


def test_a_malformed_address_in_the_environment_stops_no_run_by_rules(
    study_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "OPENAI_BASE_URL", "nonsense")
    arguments = ["--study", str(study_folder), "--runs", str(tmp_path / "r"), "--dry-run"]
    assert main([*arguments, "--judge", "rules"]) == 0
    assert main([*arguments, "--llm-model", "m"]) == 2
