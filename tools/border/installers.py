"""Which programs install or download: what a library must not start in the user's environment."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

_PYTHON = "pip pip2 pip3 pipx uv uvx conda mamba micromamba poetry pdm pixi rye hatch easy_install ensurepip"
_SYSTEM = "apt apt-get aptitude dpkg dnf yum zypper pacman apk brew port snap flatpak nix nix-env choco winget scoop"
_OTHERS = "npm npx yarn pnpm bun gem cargo playwright"
_DOWNLOADERS = "curl wget aria2c hf huggingface-cli"
INSTALLERS = frozenset(f"{_PYTHON} {_SYSTEM} {_OTHERS} {_DOWNLOADERS}".split())
"""By the name of the executable, or of the module after `python -m`."""
_MODULES = frozenset({"nltk", "spacy", "gensim"})
"""Of Python, whose `-m` commands download."""
_GIT = frozenset({"clone", "fetch", "pull", "lfs", "submodule", "remote-https", "ls-remote"})
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "fish", "cmd", "powershell", "pwsh"})
_WRAPPERS = frozenset({"env", "sudo", "doas", "nice", "nohup", "time", "timeout", "xargs", "setsid", "stdbuf", "exec"})
_IMPORTS_PIP = re.compile(r"\b(import|from)\s+(pip|ensurepip)\b")
_VERSION = re.compile(r"(?<=[a-z])[\d.]+$")


def name_installer(command: str | Sequence[str]) -> str | None:
    """The installer that a command would start; None if it starts none.

    Args:
        command: a line for the shell, or a program and its arguments.
    """
    if isinstance(command, str):
        return next(filter(None, map(name_installer, _split(command))), None)
    if not command:
        return None
    program, arguments = _program(command[0]), command[1:]
    if program in INSTALLERS:
        return program
    if program in _SHELLS:
        return next(filter(None, map(name_installer, arguments)), None)
    if program in _WRAPPERS:
        return next(filter(None, (name_installer(arguments[start:]) for start in range(len(arguments)))), None)
    if program.startswith("python") or program.startswith("pypy") or program == "py":
        return _of_python(arguments)
    if program == "git" and (verbs := _GIT.intersection(arguments)):
        return f"git {min(verbs)}"
    return None


def _split(line: str) -> list[list[str]]:
    """The simple commands in a line for the shell."""
    lexer = shlex.shlex(line.replace("\n", ";"), posix=True, punctuation_chars=";&|()`")
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:  # a quotation that does not end
        words = line.split()
    commands: list[list[str]] = [[]]
    for word in words:
        if word and set(word) <= set(";&|()`$"):
            commands.append([])
        elif commands[-1] or not re.match(r"\w+=", word):  # NAME=value before the program
            commands[-1].append(word)
    return commands


def _program(path: str) -> str:
    """A program's bare name: no folder, no `.exe`, no version."""
    name = re.split(r"[/\\]", path)[-1].lower().removesuffix(".exe")
    return name if name in INSTALLERS else _VERSION.sub("", name)


def _of_python(arguments: Sequence[str]) -> str | None:
    """What `python …` runs as a module, if that installs."""
    words = iter(arguments)
    for word in words:
        if option := re.fullmatch(r"-[a-zA-Z]*?([mcWX])(.*)", word, re.DOTALL):
            value = option[2] or next(words, "")
            if option[1] == "m":
                module = value.partition(".")[0]
                return module if module in INSTALLERS | _MODULES else None
            if option[1] == "c":
                return "pip" if _IMPORTS_PIP.search(value) else None
        elif not word.startswith("-"):
            return _program(word) if _program(word) in INSTALLERS else None
    return None
