"""What a steering run reads, refused before a model is loaded: targets, what they are held against, prompts, verdicts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from agent.errors import RunError
from agent.folder.steered import SteerConfig
from agent.folder.store import RunFolder
from tools.alignment.background import Background, find_background
from tools.alignment.targets import Target, read_target
from tools.border.text_files import decode, read_text
from tools.study.corpus import Corpus
from tools.study.definition import Study

MOST_PROMPTS = 2**20
"""Bytes."""
STANDARD_INPUT = "-"


class Verdict(NamedTuple):
    """What an investigation found of a feature."""

    key: str
    label: str | None
    interpretable: int | None


class Investigated(NamedTuple):
    """A finished investigation of the SAE that is steered."""

    run_id: str
    sha256: str
    """Of its decisions."""
    verdicts: dict[int, Verdict]


class Material(NamedTuple):
    """Everything that a run reads beside its study."""

    targets: tuple[Target, ...]
    backgrounds: tuple[Background, ...]
    """Of each target, what it is held against."""
    investigated: Investigated | None = None

    def hashes(self) -> dict[str, str]:
        """By their roles in the manifest."""
        found = {f"target {target.name}": target.sha256 for target in self.targets}
        if (away := self.backgrounds[0].sha256) is not None:
            found["away"] = away
        if self.investigated is not None:
            found["verdicts"] = self.investigated.sha256
        return found


def read_prompts(named: str | None, study: Study) -> tuple[str, ...]:
    """What is continued: a line each of a file, or of standard input; the study's prompts without either.

    Raises:
        RunError: there is none, or standard input is a terminal that nobody pipes into.
    """
    if named is None:
        return study.steering.prompts
    if named == STANDARD_INPUT:
        if sys.stdin is None or sys.stdin.isatty():
            raise RunError("--prompts - reads standard input, which is a terminal: pipe prompts into it, a line each")
        text = decode(sys.stdin.buffer.read(MOST_PROMPTS + 1)[:MOST_PROMPTS], "standard input", RunError)
    else:
        text = read_text(Path(named), RunError, MOST_PROMPTS)
    prompts = [line.strip() for line in text.splitlines()]
    found = tuple(dict.fromkeys(prompt for prompt in prompts if prompt))
    if not found:
        raise RunError(f"{'standard input' if named == STANDARD_INPUT else named} holds no prompt: give one a line")
    return found


def read_material(config: SteerConfig, corpus: Corpus, sae_sha256: str) -> Material:
    """Read and part everything, and see that it can be told apart.

    Args:
        config: the run's.
        corpus: of the study.
        sae_sha256: of the SAE that is steered.

    Raises:
        UnveilError: a text is missing, empty, no text, too little, or what it is held against; or two targets are the same.
    """
    targets = tuple(_read_named(file, config.seed) for file in config.toward)
    _check_apart(targets, config.toward)
    backgrounds = tuple(find_background(corpus, target, config.away, config.seed) for target in targets)
    investigated = None if config.labels is None else read_verdicts(Path(config.labels), sae_sha256)
    return Material(targets, backgrounds, investigated)


def read_verdicts(run: Path, sae_sha256: str) -> Investigated:
    """What a finished investigation found of this SAE's features.

    Raises:
        RunError: there is no such run, it has no decision, or is of another SAE.
    """
    from agent.folder.provenance import hash_file

    folder = RunFolder.open(run)
    manifest, decisions = folder.manifest(), folder.decisions()
    if manifest.provenance.sha256.get("sae") != sae_sha256:
        raise RunError(f"--verdicts {run} is of another SAE ({manifest.config.sae}): its features are not these")
    if not decisions:
        raise RunError(f"--verdicts {run} has no decision yet")
    verdicts = {
        one.feature.index: Verdict(one.feature.key, one.label, one.interpretable)
        for one in decisions
        if one.feature.kind == "feature" and one.status == "decided"
    }
    return Investigated(manifest.run_id, hash_file(folder.decisions_file), verdicts)


def topic_of(target: Target, config: SteerConfig) -> str:
    """What the arm that simply asks asks for."""
    return config.topic or " ".join(target.name.replace("_", " ").replace("-", " ").split())


def _read_named(file: str, seed: int) -> Target:
    target = read_target(file, seed=seed)
    name = target.name.removesuffix(".gz").rpartition(".")[0] or target.name
    return target._replace(name=name.encode("utf-8", "replace").decode())


def _check_apart(targets: Sequence[Target], files: Sequence[str]) -> None:
    """Names tell targets apart in every table, and equal texts are one target."""
    by_name: dict[str, str] = {}
    by_text: dict[tuple[str, ...], str] = {}
    for target, file in zip(targets, files, strict=True):
        text = tuple(sorted((*target.documents, *target.held_out)))
        if text in by_text:
            raise RunError(f"--toward {by_text[text]} and {file} are the same text: give it once")
        if target.name in by_name:
            raise RunError(f"--toward {by_name[target.name]} and {file} have one name: rename one of them")
        by_text[text], by_name[target.name] = file, file
