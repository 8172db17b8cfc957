"""What produced a run: command, commit, versions and hashes of every input."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from agent.folder.records import PromptRef, Provenance
from tools.study.definition import Study

PACKAGES = (
    "torch",
    "transformers",
    "transformer_lens",
    "sae_lens",
    "gensim",
    "numpy",
    "httpx2",
    "langgraph",
    "pydantic",
)


def collect_provenance(
    command: Sequence[str], hashes: Mapping[str, str], files: Mapping[str, Path], prompts: Sequence[PromptRef] = ()
) -> Provenance:
    """Read git, the installed packages and the files. No network, no environment variables.

    Args:
        command: the command line.
        hashes: of inputs that are known already.
        files: further inputs by their role; those that are not there are left out.
        prompts: that may be used.
    """
    commit = _git("rev-parse", "HEAD")
    status = _git("status", "--porcelain", "--untracked-files=no")
    return Provenance(
        command=tuple(command),
        git_commit=commit,
        git_dirty=None if status is None else bool(status),
        python=platform.python_version(),
        packages={name: _version(name) for name in PACKAGES},
        sha256={**hashes, **{role: hash_file(path) for role, path in files.items() if path.is_file()}},
        prompts=tuple(prompts),
    )


def study_files(study: Study) -> dict[str, Path]:
    """The study's files by what they are for."""
    names = {
        "vocabulary": study.domain.vocabulary,
        "vectors": study.vectors.file,
        "words": study.vectors.words,
    }
    return {"guideline": study.question.guidelines[-1], **{r: study.folder / name for r, name in names.items() if name}}


def hash_file(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *arguments], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
