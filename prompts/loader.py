"""Prompt files: found by name and version, hashed, rendered strictly.

A prompt is `NAME.vN.md` with a part under `# system` and a part under `# user`. A changed prompt is a new file with the
next number, so that a run's manifest, which lists name and sha256, still explains it.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent
_VARIABLE = re.compile(r"\{\{([a-z_]+)\}\}")
_PARTS = re.compile(r"\A# system\n(?P<system>.*?)\n# user\n(?P<user>.*)\Z", re.DOTALL)


class PromptError(Exception):
    """A prompt is missing, malformed, or was given other variables than it names."""


class Prompt(NamedTuple):
    """One prompt file."""

    name: str
    """With its version: `judge.v1`."""
    sha256: str
    """Of the file's bytes."""
    system: str
    user: str

    def render(self, **variables: str) -> list[dict[str, Any]]:
        """The system and the user message. Values are put in once and never read for variables of their own.

        Raises:
            PromptError: a variable of the prompt has no value, or a value has no variable.
        """
        named = set(_VARIABLE.findall(self.system + self.user))
        if named != variables.keys():
            missing, unused = sorted(named - variables.keys()), sorted(variables.keys() - named)
            raise PromptError(f"prompt {self.name}: missing variables {missing}, unused variables {unused}")
        parts = {"system": self.system, "user": self.user}
        return [{"role": role, "content": _fill(text, variables)} for role, text in parts.items()]


def load_prompt(name: str, version: int | None = None, folder: Path = FOLDER) -> Prompt:
    """The prompt of that name, by default its latest version.

    Raises:
        PromptError: there is no such file, or it is not of the form above.
    """
    found = {int(match[1]): path for path in folder.glob(f"{name}.v*.md") if (match := _version_of(name, path))}
    if not found or (version is not None and version not in found):
        raise PromptError(f"no prompt {name}{'' if version is None else f'.v{version}'} in {folder}")
    path = found[max(found) if version is None else version]
    content = path.read_bytes()
    parts = _PARTS.match(content.decode("utf-8"))
    if parts is None:
        raise PromptError(f"{path} must open with a line '# system' and hold a line '# user'")
    system, user = parts["system"].strip(), parts["user"].strip()
    if re.search(r"\{\{|\}\}", _VARIABLE.sub("", system + user)):
        raise PromptError(f"{path} holds braces that are no variable: write {{{{lower_case_name}}}}")
    return Prompt(path.name.removesuffix(".md"), hashlib.sha256(content).hexdigest(), system, user)


def list_prompts(folder: Path = FOLDER) -> list[str]:
    """Names of all prompts, without their versions."""
    found = (re.fullmatch(r"(.+)\.v\d+\.md", path.name) for path in folder.iterdir())
    return sorted({match[1] for match in found if match})


def hash_prompts(folder: Path = FOLDER) -> dict[str, str]:
    """sha256 of every prompt file in every version, by names such as `judge.v1`."""
    return {
        path.name.removesuffix(".md"): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.v*.md")
    }


def _version_of(name: str, path: Path) -> re.Match[str] | None:
    return re.fullmatch(re.escape(name) + r"\.v(\d+)\.md", path.name)


def _fill(text: str, variables: dict[str, str]) -> str:
    return _VARIABLE.sub(lambda match: variables[match[1]], text)
