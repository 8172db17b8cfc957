"""Programs for tests of what leaves the machine: a server nobody should call, and a watcher of a command's sockets."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

WATCH = """\
import os, runpy, socket, sys
log = os.open(sys.argv[1], os.O_CREAT | os.O_APPEND | os.O_WRONLY)
def watch(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        if args[0].family != socket.AF_UNIX and args[1]:
            os.write(log, f"{event} {args[1][0]}:{args[1][1]}\\n".encode())
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        try:
            socket.inet_pton(socket.AF_INET6 if ":" in str(args[0]) else socket.AF_INET, args[0])
        except (OSError, TypeError):
            os.write(log, f"{event} {args[0]}\\n".encode())
    elif event in ("subprocess.Popen", "os.system", "os.posix_spawn", "os.exec"):
        os.write(log, f"{event} {args[1] if len(args) > 1 else args[0]}\\n".encode())
sys.addaudithook(watch)
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
"""`python -c WATCH LOG MODULE ARGUMENT…` runs a module as `python -m` does, and writes down every attempt to reach out."""


class Listener(NamedTuple):
    """A server that takes anything, and what it was sent."""

    url: str
    posts: list[tuple[str, bytes]]
    """Path and body."""
    gets: list[str]


@contextlib.contextmanager
def listen(redirect_to: str | None = None) -> Iterator[Listener]:
    """Answer everything with an empty object, or send every post elsewhere."""
    posts: list[tuple[str, bytes]] = []
    gets: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            gets.append(self.path)
            self._answer()

        def do_HEAD(self) -> None:
            gets.append(self.path)
            self._answer()

        def do_POST(self) -> None:
            posts.append((self.path, self.rfile.read(int(self.headers.get("content-length") or 0))))
            self._answer()

        def _answer(self) -> None:
            self.send_response(200 if redirect_to is None else 307)
            if redirect_to is not None:
                self.send_header("location", redirect_to + self.path)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Listener(f"http://127.0.0.1:{server.server_port}", posts, gets)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def attempts(log: Path) -> set[str]:
    """What the watcher saw, each once."""
    return set(log.read_text("utf-8").splitlines())
