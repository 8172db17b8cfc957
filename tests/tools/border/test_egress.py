"""What leaves the machine while a command is guarded: sockets and programs are real, on loopback and in scratch folders."""

from __future__ import annotations

import ast
import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.listener import listen
from tools.border.egress import Refused, behind_border, guarded, installing, reaching
from tools.border.places import Place, find_proxy
from tools.border.quiet import QUIET

ROOT = Path(__file__).parents[3]
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
NOWHERE = "192.0.2.1"
"""An address of the range kept for documentation."""


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server on loopback that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def connect(host: str, port: int) -> None:
    socket.create_connection((host, port), timeout=5).close()


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_importing_it_watches_nothing_and_is_light() -> None:
    code = (
        "import socket, sys; before = socket.getaddrinfo\n"
        "sys.addaudithook(lambda event, args: print(event) if event == 'sys.addaudithook' else None)\n"
        "import tools.border.egress\n"
        "print(socket.getaddrinfo is before, sorted(set(sys.modules) & {'numpy', 'pydantic', 'asyncio', 'http.client'}))"
    )
    assert python(code).stdout == "True []\n"


def test_an_event_that_is_none_of_its_concern_costs_next_to_nothing() -> None:
    """Some come by the ten thousand: an `id`, a look at a frame. Checked like other functions' arguments it took seconds."""

    def cost(call: Callable[[], object]) -> float:
        began = time.process_time()
        for _ in range(20_000):
            call()
        return time.process_time() - began

    with behind_border():
        assert cost(lambda: sys.audit("unveil.nothing", 1)) < 20 * cost(lambda: str(1))


def test_a_connection_nobody_asked_for_is_refused_and_counted(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    with behind_border():
        for _ in range(2):
            with pytest.raises(Refused, match=rf"the connection to 127\.0\.0\.1:{port} was stopped"):
                connect("127.0.0.1", port)
    assert capsys.readouterr().err == f"stopped: 2 connections to 127.0.0.1:{port}, which nobody asked for\n"


def test_a_command_that_stops_nothing_says_nothing(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    with behind_border(), reaching(f"http://127.0.0.1:{port}/v1"):
        connect("127.0.0.1", port)
    assert capsys.readouterr().err == ""


def test_what_was_opened_is_shut_again_with_its_block(port: int) -> None:
    with behind_border():
        with pytest.raises(ZeroDivisionError), reaching(f"http://127.0.0.1:{port}"):
            raise ZeroDivisionError
        with pytest.raises(Refused):
            connect("127.0.0.1", port)


def test_another_port_of_a_host_is_another_place(port: int) -> None:
    with behind_border(), reaching(f"http://127.0.0.1:{port % 65535 + 1}"), pytest.raises(Refused):
        connect("127.0.0.1", port)


def test_every_way_to_send_is_looked_at(port: int) -> None:
    with behind_border() as guard, socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        for attempt in (
            lambda: stream.connect((NOWHERE, 80)),
            lambda: stream.connect_ex((NOWHERE, 80)),
            lambda: datagrams.connect((NOWHERE, 53)),
            lambda: datagrams.sendto(b"x", (NOWHERE, 53)),
            lambda: datagrams.sendmsg([b"x"], [], 0, (NOWHERE, 53)),
            lambda: stream.connect(("localhost", port)),
        ):
            with pytest.raises(Refused):
                attempt()
    assert guard.connections == {f"{NOWHERE}:80": 2, f"{NOWHERE}:53": 3, f"localhost:{port}": 1}


@pytest.mark.parametrize("look_up", [socket.gethostbyname, socket.gethostbyname_ex, socket.gethostbyaddr])
def test_a_name_is_not_even_looked_up(look_up) -> None:
    name = look_up.__name__
    with behind_border() as guard:
        with pytest.raises(Refused, match=r"the connection to api\.example\.org was stopped"):
            getattr(socket, name)("API.example.org.")
        with pytest.raises(Refused):
            socket.getaddrinfo(b"api.example.org", 443)
    assert guard.connections == {"api.example.org": 2}


def test_an_address_is_no_name_to_look_up() -> None:
    with behind_border():
        assert socket.getaddrinfo("192.0.2.7", 443, type=socket.SOCK_STREAM)[0][4] == ("192.0.2.7", 443)
        assert socket.getaddrinfo(None, 0, flags=socket.AI_PASSIVE)


def test_a_name_that_was_opened_opens_the_addresses_it_leads_to(port: int) -> None:
    with behind_border(), reaching(f"http://LocalHost:{port}"):
        connect("localhost", port)
        (address,) = {entry[4] for entry in socket.getaddrinfo("localhost", port, socket.AF_INET, socket.SOCK_STREAM)}
        connect(address[0], port)
        with pytest.raises(Refused), socket.socket() as bare:
            bare.connect((NOWHERE, port))


def test_an_address_stays_shut_to_a_command_that_opened_no_name_of_it(port: int) -> None:
    with behind_border(), reaching(f"http://localhost:{port}"):
        connect("localhost", port)
    with behind_border(), reaching("http://judge.example"), pytest.raises(Refused):
        connect("127.0.0.1", port)


def test_threads_of_the_command_are_watched(port: int) -> None:
    caught: list[BaseException] = []

    def send() -> None:
        try:
            connect("127.0.0.1", port)
        except OSError as error:
            caught.append(error)

    with behind_border() as guard:
        threads = [threading.Thread(target=send) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [type(error) for error in caught] == [Refused] * 3
    assert guard.connections.total() == 3


def test_asyncio_connects_where_it_may_and_nowhere_else(port: int) -> None:
    async def open_one(host: str) -> None:
        _, writer = await asyncio.open_connection(host, port, happy_eyeballs_delay=0.1)
        writer.close()
        await writer.wait_closed()

    with behind_border(), reaching(f"http://localhost:{port}"):
        asyncio.run(open_one("localhost"))
    with behind_border(), pytest.raises(OSError, match="was stopped"):
        asyncio.run(open_one("localhost"))


def test_a_client_library_says_what_was_stopped(port: int) -> None:
    with behind_border(), pytest.raises(httpx2.ConnectError, match=f"127.0.0.1:{port} was stopped"):
        httpx2.get(f"http://127.0.0.1:{port}/")


def test_an_endpoint_that_sends_a_prompt_on_is_not_followed(capsys: pytest.CaptureFixture[str]) -> None:
    with listen() as elsewhere, listen(redirect_to=elsewhere.url) as endpoint:
        with behind_border(), reaching(endpoint.url), pytest.raises(httpx2.ConnectError, match="was stopped"):
            httpx2.post(f"{endpoint.url}/v1/chat/completions", content=b"prompt", follow_redirects=True)
        assert [body for _, body in endpoint.posts] == [b"prompt"]
        assert elsewhere.posts == []
    assert elsewhere.url.removeprefix("http://") in capsys.readouterr().err


def test_sockets_within_the_machine_are_left_alone(tmp_path: Path) -> None:
    with behind_border(), socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))
        one, other = socket.socketpair()
        one.close()
        other.close()


def test_listening_and_answering_are_no_connections_of_ours(port: int) -> None:
    code = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1]))).sendall(b'hello')"
    with behind_border(), socket.create_server(("127.0.0.1", 0)) as server:
        child = subprocess.Popen([sys.executable, "-c", code, str(server.getsockname()[1])])
        answered, _ = server.accept()
        with answered:
            assert answered.recv(5) == b"hello"
        child.wait()


def test_a_command_within_a_command_has_a_border_of_its_own(port: int) -> None:
    with behind_border(), reaching(f"http://127.0.0.1:{port}"):
        with behind_border(), pytest.raises(Refused):
            connect("127.0.0.1", port)
        connect("127.0.0.1", port)


def test_nothing_is_watched_when_the_command_has_ended(port: int) -> None:
    with pytest.raises(ZeroDivisionError), behind_border():
        raise ZeroDivisionError
    connect("127.0.0.1", port)
    with reaching("http://nothing.example"):
        connect("127.0.0.1", port)


@pytest.mark.parametrize(("module", "after"), [("__main__", "stopped"), ("agent.run", "sent")])
def test_the_border_of_the_process_itself_stays_for_what_libraries_do_at_its_end(
    port: int, module: str, after: str
) -> None:
    code = (
        "import atexit, socket, sys\n"
        "from tools.border.egress import guarded\n"
        "def late():\n"
        "    try: socket.create_connection(('127.0.0.1', int(sys.argv[1]))); print('sent')\n"
        "    except PermissionError: print('stopped')\n"
        f"@guarded({module!r})\n"
        "def main(): atexit.register(late)\n"
        "main()"
    )
    assert python(code, str(port)).stdout == f"{after}\n"


def test_a_proxy_of_the_environment_is_opened_with_the_host_it_is_for(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:word@127.0.0.1:{port}")
    with behind_border():
        with reaching("https://judge.example/v1"):
            connect("127.0.0.1", port)
        with reaching("http://judge.example/v1"), pytest.raises(Refused):
            connect("127.0.0.1", port)
        monkeypatch.setenv("NO_PROXY", "judge.example")
        with reaching("https://judge.example/v1"), pytest.raises(Refused):
            connect("127.0.0.1", port)


@pytest.mark.parametrize(
    ("proxy", "place"),
    [
        ("socks5://127.0.0.1", Place("127.0.0.1", 1080)),
        ("proxy.example:3128", Place("proxy.example", 3128)),
        ("http://[::1]:8080/", Place("::1", 8080)),
        ("HTTPS://Proxy.Example.", Place("proxy.example", 443)),
    ],
)
def test_proxies_are_read_in_the_forms_in_use(proxy: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    found = find_proxy("https://judge.example")
    assert found is not None
    assert Place.of(found) == place


def test_a_domain_opens_the_names_below_it_only() -> None:
    place = Place.of("https://*.hf.co")
    assert place.covers("cdn-lfs.us.hf.co")
    assert not any(map(place.covers, ("hf.co", "evil-hf.co", "cdn.hf.co.example")))


@given(st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{2,10}){0,3}", fullmatch=True), st.integers(1, 65535))
def test_a_url_names_one_host_and_one_port(host: str, port: int) -> None:
    place = Place.of(f"https://name:word@{host.upper()}:{port}/v1?key=1#x")
    assert place == (host, port)
    assert place.covers(host) and not place.covers(f"a{host}") and not place.covers(f"{host}.example")


@pytest.mark.parametrize("text", ["http://[bad", "http://host:99999", "", "http://"])
def test_what_is_no_url_opens_nothing(text: str, port: int) -> None:
    with behind_border(), reaching(text), pytest.raises(Refused):
        connect("127.0.0.1", port)


def test_an_address_in_another_notation_is_the_same_place(port: int) -> None:
    with behind_border(), reaching(f"http://127.0.0.1:{port}"), socket.socket(socket.AF_INET6) as sixth:
        sixth.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sixth.connect(("::ffff:127.0.0.1", port))


def test_telemetry_is_off_within_a_command_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "0")
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)

    @guarded("agent.run")
    def main() -> dict[str, str]:
        return {name: os.environ[name] for name in QUIET}

    assert main() == QUIET
    assert (os.environ["LANGSMITH_TRACING"], os.environ["HF_HUB_DISABLE_TELEMETRY"]) == ("true", "0")
    assert "DO_NOT_TRACK" not in os.environ


def test_the_switches_are_those_the_libraries_read() -> None:
    """In a process that starts with them set the other way round."""
    code = (
        "from tools.border.egress import behind_border\n"
        "with behind_border():\n"
        "    import huggingface_hub.constants as hub, datasets.config as data\n"
        "    from langsmith.utils import tracing_is_enabled\n"
        "    from opentelemetry.sdk.trace import TracerProvider\n"
        "    from opentelemetry.trace import NoOpTracer\n"
        "    from transformers.integrations import hub_kernels\n"
        "    from huggingface_hub.utils import build_hf_headers\n"
        "    build_hf_headers()  # with telemetry on it asks the hub who calls\n"
        "    print(hub.HF_HUB_DISABLE_TELEMETRY, data.HF_UPDATE_DOWNLOAD_COUNTS, tracing_is_enabled(),\n"
        "          isinstance(TracerProvider().get_tracer('x'), NoOpTracer), hub_kernels._kernels_enabled)\n"
    )
    other = {"true": "false", "false": "true", "1": "0", "0": "1", "disabled": "online"}
    environment = {**os.environ, **{name: other[value] for name, value in QUIET.items()}}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True False False True False\n", "")


def test_every_door_of_the_project_is_guarded() -> None:
    doors = [
        file
        for package in ("agent", "tools", "prompts", "evals", "benchmarks")
        for file in (ROOT / package).rglob("*.py")
        if '__name__ == "__main__"' in file.read_text("utf-8")
    ]
    assert len(doors) >= 11
    for file in doors:
        functions = [node for node in ast.parse(file.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)]
        (main,) = [node for node in functions if node.name == "main"]
        opened, guarded = [ast.unparse(each) for each in main.decorator_list]
        assert opened.startswith("door(") and guarded == "guarded(__name__)", file


def test_installer_is_started_where_it_was_asked_for_and_nowhere_else(capfd: pytest.CaptureFixture[str]) -> None:
    pip = [sys.executable, "-m", "pip", "--version"]
    with behind_border() as guard:
        with installing("pip"):
            assert subprocess.run(pip, capture_output=True, check=False).returncode == 0
            with pytest.raises(Refused):
                subprocess.run(["uv", "--version"], capture_output=True, check=False)
        with pytest.raises(Refused):
            subprocess.run(pip, capture_output=True, check=False)
        assert dict(guard.starts) == {"uv": 1, "pip": 1}
    assert "1 start of uv, 1 start of pip" in capfd.readouterr().err
