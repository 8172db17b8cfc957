"""What may leave this machine while a command runs: nothing but what its command line or environment named.

Every command's `main` is `guarded`. Within it a connection, the lookup of a name and the start of an installer raise
`Refused` and are counted, and the command says at its end what was stopped. What the user did ask for is opened for as
long as it is needed, by `reaching`, and by `installing` for the one command that fetches with pip. Python's audit events
are what is looked at: native code that opens sockets of its own, and the children that a process starts, are not seen
(docs/machine.md).
"""

from __future__ import annotations

import os
import socket
import sys
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

from tools.border.installers import name_installer
from tools.border.places import Place, canonical, find_proxy, host_text, is_address
from tools.border.quiet import quietly
from tools.display.terminal import complain

P = ParamSpec("P")
T = TypeVar("T")


class Refused(PermissionError):
    """Something would have left this machine, or been installed on it, that nobody asked for."""


class Guard:
    """One command's border: what is open now, and what was stopped."""

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.installers: list[str] = []
        self.names: dict[str, set[str]] = {}
        """Addresses -> the permitted names that were looked up and led there."""
        self.connections: Counter[str] = Counter()
        self.starts: Counter[str] = Counter()

    def check_name(self, host: object) -> None:
        """Whether a name may be looked up; an address is none, and no host is this machine.

        Raises:
            Refused: nothing is open there.
        """
        name = host_text(host)
        if not name or is_address(name) or any(place.covers(name) for place in self.places):
            return
        self._refuse(name)

    def check_address(self, address: object) -> None:
        """Whether a connection may be opened, or a datagram sent.

        Raises:
            Refused: no place that is open has this address and port.
        """
        if not isinstance(address, tuple) or len(address) < 2:  # none, for a socket that is connected already
            return
        host, port = host_text(address[0]), address[1]
        names = self.names.get(host) or {host}
        if any(place.port == port and place.covers(name) for place in self.places for name in {host, *names}):
            return
        name = min(names)
        self._refuse(f"[{name}]:{port}" if ":" in name else f"{name}:{port}")

    def check_start(self, command: str | Sequence[str]) -> None:
        """Whether a program may be started.

        Raises:
            Refused: it installs or downloads, and nobody asked for that (`installing`).
        """
        if (installer := name_installer(command)) and installer not in self.installers:
            self.starts[installer] += 1
            raise Refused(f"{installer} was stopped: nothing is installed or downloaded unless you ask for it")

    def told(self) -> str | None:
        """One line on what was stopped; None for nothing."""
        parts = [f"{_count(n, 'connection')} to {host}" for host, n in self.connections.items()]
        parts += [f"{_count(n, 'start')} of {program}" for program, n in self.starts.items()]
        return f"stopped: {', '.join(parts)}, which nobody asked for" if parts else None

    def _refuse(self, host: str) -> None:
        self.connections[host] += 1
        raise Refused(f"the connection to {host} was stopped: nobody asked for it")


_GUARDS: list[Guard] = []
"""Of the commands that run in this process. The newest decides: it belongs to the command, not to one of its threads."""


def guarded(module: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Put a command behind its border, with all telemetry off.

    Args:
        module: the command's `__name__`. If it is the process's own (`__main__`), the border stays closed after the
            command has returned, for what libraries do when the process ends.
    """

    def decorate(command: Callable[P, T]) -> Callable[P, T]:
        @wraps(command)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            with behind_border(to_the_end=module == "__main__"):
                return command(*args, **kwargs)

        return run

    return decorate


@contextmanager
def behind_border(to_the_end: bool = False) -> Generator[Guard]:
    """Within the block nothing leaves this process but what `reaching` opens; `to_the_end` leaves it so afterwards.

    The line on what was stopped goes to stderr.
    """
    _install()
    guard = Guard()
    _GUARDS.append(guard)
    try:
        with quietly(to_the_end):
            yield guard
    finally:
        if line := guard.told():
            complain(line)
        if not to_the_end:
            _GUARDS.remove(guard)


@contextmanager
def reaching(*urls: str) -> Generator[None]:
    """Within the block the hosts of these URLs may be reached, and the proxies that the environment names for them.

    Outside any command nothing is guarded, and this does nothing.

    Args:
        urls: of which scheme, host and port count; the host may be `*.DOMAIN`.
    """
    guard = _GUARDS[-1] if _GUARDS else Guard()
    places = [Place.of(url) for url in (*urls, *filter(None, map(find_proxy, urls)))]
    guard.places += places
    try:
        yield
    finally:
        for place in places:
            guard.places.remove(place)


@contextmanager
def installing(program: str) -> Generator[None]:
    """Within the block one installer may be started: by whoever typed a command that says so.

    Where it goes is up to its own configuration, and is not seen from here.

    Args:
        program: as `name_installer` names it.
    """
    guard = _GUARDS[-1] if _GUARDS else Guard()
    guard.installers.append(program)
    try:
        yield
    finally:
        guard.installers.remove(program)


@cache
def _install() -> None:
    """Once in a process, and not before a command is guarded: audit hooks cannot be taken away again."""
    # Called for every event of the interpreter, some of which come by the ten thousand: it leaves at once, and is a lambda
    # because the tests check the arguments of functions, which takes a hundred times as long.
    sys.addaudithook(lambda event, args: _CHECKS[event](_GUARDS[-1], args) if event in _CHECKS and _GUARDS else None)
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
        setattr(socket, name, _remembering(getattr(socket, name)))


def _remembering(look_up: Callable[P, T]) -> Callable[P, T]:
    """The lookup, with the addresses it gave kept beside the name: a connection shows the address alone."""

    @wraps(look_up)
    def remember(*args: P.args, **kwargs: P.kwargs) -> T:
        found = look_up(*args, **kwargs)
        name = host_text(args[0] if args else kwargs.get("host"))
        if _GUARDS and name and not is_address(name):
            for address in _addresses(found):
                _GUARDS[-1].names.setdefault(canonical(address), set()).add(name)
        return found

    return remember


def _addresses(found: object) -> list[str]:
    """The addresses in what one of the three lookups returns."""
    if isinstance(found, str):
        return [found]
    if isinstance(found, tuple):
        return [str(address) for address in found[2]]
    return [str(entry[4][0]) for entry in found] if isinstance(found, list) else []


def _check_socket(guard: Guard, args: tuple[Any, ...]) -> None:
    if args[0].family in (socket.AF_INET, socket.AF_INET6):
        guard.check_address(args[1])


def _check_program(guard: Guard, args: tuple[Any, ...]) -> None:
    """Path and arguments; the first argument is the program's name again."""
    path, arguments = args[0], args[1]
    if isinstance(arguments, str | bytes | os.PathLike):
        guard.check_start([os.fsdecode(arguments)])
        return
    words = [os.fsdecode(word) for word in arguments]
    guard.check_start(words)
    if path is not None:
        guard.check_start([os.fsdecode(path), *words[1:]])


_CHECKS: dict[str, Callable[[Guard, tuple[Any, ...]], None]] = {
    "socket.getaddrinfo": lambda guard, args: guard.check_name(args[0]),
    "socket.gethostbyname": lambda guard, args: guard.check_name(args[0]),
    "socket.gethostbyaddr": lambda guard, args: guard.check_name(args[0]),
    "socket.connect": _check_socket,
    "socket.sendto": _check_socket,
    "socket.sendmsg": _check_socket,
    "subprocess.Popen": _check_program,
    "os.exec": _check_program,
    "os.posix_spawn": _check_program,
    "os.spawn": lambda guard, args: _check_program(guard, args[1:]),
    "os.system": lambda guard, args: guard.check_start(os.fsdecode(args[0])),
    "pty.spawn": lambda guard, args: _check_program(guard, (None, args[0])),
}


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
