"""Steering runs read together: every target with the figures of each arm, by beginning and by held-out document.

The unit is the target: it is what was drawn, and what another run would have others of. A text that is a target of several
runs is one unit, with the beginnings and documents of all of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from agent.errors import RunError
from agent.folder.judged import Verdicts, count_verdicts, key_of
from agent.folder.steered import SCHEMES, Results, Scheme, SteeredText, SteerManifest, TargetFound
from agent.folder.steering_store import SteeringFolder

UNSTEERED, PROMPT = "unsteered", "prompt"
Spot = tuple[int, int]
"""Number of the run, and place of a beginning or a document in it."""
Values = dict[Spot, float]
Figure = Callable[[SteeredText], float | None]


class Arm(NamedTuple):
    """What one arm made of one target."""

    likeness: Values
    """By beginning, a mean over its samples, like all that follows but the last."""
    encoder: Values
    collapsed: Values
    """Share of the samples."""
    perplexity: Values
    kl: Values
    wins: Values
    """Against unsteered text, by the model that judged."""
    rated: Values
    nats: Values
    """By held-out document."""


class Toward(NamedTuple):
    """One target over all runs."""

    found: TargetFound
    """As the first run that has it found it."""
    arms: Mapping[str, Arm]


class Together(NamedTuple):
    """Several runs."""

    manifests: tuple[SteerManifest, ...]
    arms: tuple[str, ...]
    targets: tuple[Toward, ...]
    refused: frozenset[str]
    """sha256 of targets that a run said it cannot represent."""
    faults: tuple[str, ...]
    """What should be the same in all runs and is not."""

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        """With the target's own scores and with shuffled ones."""
        return tuple(one for one in SCHEMES if {one, shuffled(one)} <= set(self.arms))


def shuffled(scheme: str) -> str:
    """The arm that has the same scores dealt anew."""
    return f"{scheme}, shuffled"


def read_together(paths: Sequence[Path], allowed: bool = False) -> Together:
    """Read finished runs of one model, SAE, hook and scorer.

    Args:
        paths: of run folders, each once.
        allowed: what should be the same may differ.

    Raises:
        RunError: one is no steering run, is not finished or does not read, or they differ and may not.
    """
    folders = [SteeringFolder.open(path) for path in dict.fromkeys(path.resolve() for path in paths)]
    manifests = tuple(folder.manifest() for folder in folders)
    faults = tuple(_list_faults(manifests))
    if faults and not allowed:
        raise RunError(f"{faults[0]}: they are no runs of one kind; say why they may differ with --allow-different")
    arms = list(dict.fromkeys(arm.name for one in manifests for arm in one.arms))
    known: dict[str, TargetFound] = {}
    parts: defaultdict[str, list[dict[str, Arm]]] = defaultdict(list)
    refused: set[str] = set()
    for number, folder in enumerate(folders):
        results, targets = _finished(folder), folder.targets() or ()
        cells = _gather(folder, results, number)
        for target in targets:
            known.setdefault(target.sha256, target)
            parts[target.sha256].append({arm: cells.get((target.name, arm), _empty()) for arm in arms})
            if target.name in results.refused:
                refused.add(target.sha256)
    targets = tuple(Toward(target, _join(parts[sha256], arms)) for sha256, target in known.items())
    return Together(manifests, tuple(arms), targets, frozenset(refused), faults)


def _finished(folder: SteeringFolder) -> Results:
    results = folder.results()
    if results is None or results.most_perplexity is None or results.most_repetition is None:
        raise RunError(f"{folder.path} is not finished: finish it with python -m agent.steer --resume {folder.path}")
    return results


def _list_faults(manifests: Sequence[SteerManifest]) -> Iterable[str]:
    first = manifests[0]
    for other in manifests[1:]:
        for what in ("model", "sae"):
            if first.provenance.sha256.get(what) != other.provenance.sha256.get(what):
                yield f"{first.run_id} and {other.run_id} have another {what}"
        if hook_of(first) != hook_of(other):
            yield f"{first.run_id} and {other.run_id} read the model at other places"
        for name in ("scorer", "keep_error"):
            if getattr(first.config, name) != getattr(other.config, name):
                yield f"{first.run_id} and {other.run_id} have another {name.replace('_', ' ')}"


def hook_of(manifest: SteerManifest) -> str:
    """Where the SAE was read and written; empty where nobody looked."""
    return manifest.probe.hook_name if manifest.probe else (manifest.config.hook or "")


def _gather(folder: SteeringFolder, results: Results, number: int) -> dict[tuple[str, str], Arm]:
    """The figures of one run, by target and arm."""
    groups: defaultdict[tuple[str, str], defaultdict[int, list[SteeredText]]] = defaultdict(lambda: defaultdict(list))
    for text in folder.texts():
        groups[text.target, text.arm][text.prompt].append(text)
    nats: defaultdict[tuple[str, str], Values] = defaultdict(dict)
    for one in folder.likelihoods():
        nats[one.target, one.arm][number, one.document] = one.nats
    verdicts = count_verdicts(folder.judgements())
    return {
        key: _measure({(number, prompt): texts for prompt, texts in spots.items()}, nats[key], verdicts, results)
        for key, spots in groups.items()
    }


def _measure(spots: Mapping[Spot, Sequence[SteeredText]], nats: Values, verdicts: Verdicts, results: Results) -> Arm:
    def collapsed(text: SteeredText) -> float:
        beyond = results.most_perplexity is not None and text.perplexity > results.most_perplexity
        return float(beyond or (results.most_repetition is not None and text.repetition > results.most_repetition))

    return Arm(
        likeness=_means(spots, lambda text: text.likeness),
        encoder=_means(spots, lambda text: text.likeness_encoder),
        collapsed=_means(spots, collapsed),
        perplexity=_means(spots, lambda text: text.perplexity),
        kl=_means(spots, lambda text: text.kl),
        wins=_means(spots, lambda text: verdicts.wins.get(key_of(text))),
        rated=_means(spots, lambda text: verdicts.ratings.get(key_of(text))),
        nats=nats,
    )


def _means(spots: Mapping[Spot, Sequence[SteeredText]], figure: Figure) -> Values:
    found = {spot: [value for text in texts if (value := figure(text)) is not None] for spot, texts in spots.items()}
    return {spot: fmean(values) for spot, values in found.items() if values}


def _empty() -> Arm:
    return Arm(*({} for _ in Arm._fields))


def _join(parts: Sequence[Mapping[str, Arm]], arms: Sequence[str]) -> dict[str, Arm]:
    """One target's figures of all runs; their spots differ by the number of the run."""
    return {
        arm: Arm(
            *(
                {spot: value for part in parts for spot, value in part[arm][place].items()}
                for place in range(len(Arm._fields))
            )
        )
        for arm in arms
    }
