"""Steering runs made by hand: two targets, six arms, a few prompts and samples, texts that say which arm wrote them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.folder.records import Provenance
from agent.folder.steered import (
    Agreement,
    ArmRef,
    ArmResult,
    ChosenFeature,
    Doubt,
    HeldOutLikelihood,
    Interval,
    Judged,
    Results,
    SteerConfig,
    SteeredText,
    SteerManifest,
    TargetFound,
)
from agent.folder.steering_store import SteeringFolder
from agent.folder.store import write_whole
from agent.llm.records import Failure, Usage
from tools.proof.outcome import Probe

WORDS = {"cooking": "butter onion simmer salt pan", "law": "court appeal statute judge plea"}
"""Of each target: what its documents and the texts that are steered toward it consist of."""
PLAIN = "it was a day like any other and they went on"
ARMS = ("unsteered", "reconstruction", "prompt", "swap", "swap, shuffled", "add")
HOOK = "blocks.1.hook_resid_pre"
PROMPTS = ("I think that", "The first of them", "On Monday")


def written(target: str, arm: str, prompt: int, sample: int) -> str:
    """Steered ones hold the target's words; the reconstruction is the unsteered text to the letter."""
    if arm in ("unsteered", "reconstruction"):
        return f" {PLAIN} {prompt} {sample}"
    words = PLAIN[:20] if arm.endswith("shuffled") else WORDS.get(target, target)
    return f" {words} {arm.partition(',')[0][0]} {prompt} {sample}"


def text(target: str, arm: str, prompt: int = 0, sample: int = 0, **changes: Any) -> SteeredText:
    """One continuation with likely measures."""
    said = written(target, arm, prompt, sample)
    tokens = tuple(f" {word}" for word in said.split())
    steered = arm not in ("unsteered", "reconstruction", "prompt")
    shares = tuple(round(0.1 + 0.8 * place / len(tokens), 3) for place in range(len(tokens)))
    fields: dict[str, Any] = {
        "target": target,
        "arm": arm,
        "prompt": prompt,
        "sample": sample,
        "text": said,
        "tokens": tokens,
        "displaced": shares if arm.startswith("swap") else None,
        "moved": shares if steered else None,
        "perplexity": 40.0 if steered else 20.0,
        "repetition": 0.05,
        "kl": 0.5 if steered else 0.0,
        "likeness": {"swap": 0.3, "add": 0.25, "prompt": 0.4}.get(arm, 0.0) + 0.01 * prompt,
    }
    return SteeredText(**fields | changes)


def all_texts(targets: Sequence[str] = tuple(WORDS), prompts: int = 3, samples: int = 2) -> list[SteeredText]:
    """Of every arm."""
    places = [(prompt, sample) for prompt in range(prompts) for sample in range(samples)]
    return [text(target, arm, *place) for target in targets for arm in ARMS for place in places]


def target(name: str, **changes: Any) -> TargetFound:
    """A target with three chosen features, one of them investigated."""
    chosen = tuple(
        ChosenFeature(
            index=10 + place,
            score=3.0 - place,
            other_score=None if place == 2 else 0.5,
            tokens=tuple(f" {word}" for word in WORDS.get(name, "salt pan").split()),
            label="words of the trade" if place == 0 else None,
            interpretable=3 if place == 0 else None,
            investigation="runs/20260101T000000Z-tiny-base-0000/base-000010" if place == 0 else None,
        )
        for place in range(3)
    )
    fields: dict[str, Any] = {
        "name": name,
        "sha256": name.encode().hex().ljust(64, "0"),
        "documents": 12,
        "held_out": 4,
        "tokens": 3000,
        "coverage": 0.9,
        "chosen": chosen,
        "agreement": Agreement(n=40, spearman=0.4, top=20, shared=5, shared_by_chance=0.4),
        "doubt": doubt(0.9),
        "excerpt": f"{WORDS.get(name, name)} and so on.",
    }
    return TargetFound(**fields | changes)


def doubt(auroc: float | None, confidence: float | None = None, **changes: Any) -> Doubt:
    """What is known of a target before anything is written."""
    ends = (None, None) if auroc is None else (max(0.0, auroc - 0.1), min(1.0, auroc + 0.05))
    fields: dict[str, Any] = {"error_ratio": 1.1, "significant": 40, "uninterpretable": 0.2}
    return Doubt(auroc=auroc, auroc_low=ends[0], auroc_high=ends[1], confidence=confidence, **fields | changes)


def manifest(targets: Sequence[str] = tuple(WORDS), run_id: str = "steered", **changes: Any) -> SteerManifest:
    """Of a run on the tiny study."""
    arms = [ArmRef(kind="unsteered"), ArmRef(kind="reconstruction"), ArmRef(kind="prompt")]
    arms += [ArmRef(kind="swap", whose="target"), ArmRef(kind="swap", whose="shuffled")]
    arms += [ArmRef(kind="add", whose="target")]
    config = SteerConfig(study="tiny", toward=tuple(f"{name}.txt" for name in targets), prompts=PROMPTS)
    hashes = {"model": "a" * 64, "sae": "b" * 64}
    fields: dict[str, Any] = {
        "run_id": run_id,
        "started": "2026-01-31T10:00:00+00:00",
        "config": config,
        "study_title": "A tiny study",
        "arms": tuple(arms),
        "support": 8,
        "support_rule": "the SAE's own k",
        "probe": Probe(hook_name=HOOK, n_tokens=100, explained_variance=0.9, elsewhere={}, lowest=0.1, margin=0.05),
        "provenance": Provenance(
            command=(), git_commit=None, git_dirty=None, python="3", packages={}, sha256=hashes
        ),
    }  # fmt: skip
    return SteerManifest(**fields | changes)


def interval(mean: float, half: float = 0.05, n: int = 6) -> Interval:
    return Interval(mean=mean, low=mean - half, high=mean + half, n=n)


def row(name: str | None, arm: str, gained: float, **changes: Any) -> ArmResult:
    """One line of the table."""
    steered = arm not in ("unsteered", "reconstruction", "prompt")
    fields: dict[str, Any] = {
        "target": name,
        "arm": arm,
        "nats_gained": None if arm == "prompt" else interval(gained / 2),
        "likeness_gained": interval(gained),
        "perplexity": 30.0 if steered else 20.0,
        "repetition": 0.05,
        "collapsed": 0.0,
        "kl": 0.5 if steered else 0.0,
        "displaced": 0.4 if arm.startswith("swap") else None,
        "wins": None if arm == "unsteered" else interval(0.5 + gained, 0.1),
        "harmonic": interval(3 * gained, 0.1),
        "failed": int(arm == "add"),
    }
    return ArmResult(**fields | changes)


GAINS = {"unsteered": 0.0, "reconstruction": 0.0, "prompt": 0.4, "swap": 0.3, "swap, shuffled": 0.02, "add": 0.25}


def results(targets: Sequence[str] = tuple(WORDS), run_id: str = "steered", **changes: Any) -> Results:
    """The table of a finished run."""
    rows = tuple(row(name, arm, gain) for name in (None, *targets) for arm, gain in GAINS.items())
    fields: dict[str, Any] = {
        "run_id": run_id,
        "rows": rows,
        "refused": (),
        "usage": Usage(),
        "seconds": {"write": 2.0},
    }
    fields |= {"most_perplexity": 100.0, "most_repetition": 0.5}
    return Results(**fields | changes)


def likelihoods(targets: Sequence[str] = tuple(WORDS), documents: int = 4) -> list[HeldOutLikelihood]:
    """Held-out texts under each arm; steering makes them likelier by what `GAINS` says."""
    return [
        HeldOutLikelihood(target=name, arm=arm, document=n, tokens=100, nats=3.0 + 0.1 * n - GAINS[arm] / 2)
        for name in targets
        for arm in ARMS
        if arm != "prompt"
        for n in range(documents)
    ]


def judgements(texts: Sequence[SteeredText]) -> list[Judged]:
    """A model that prefers what is steered toward the target, rates it, and fails once."""
    found: list[Judged] = []
    for number, one in enumerate(texts):
        known: dict[str, Any] = {"target": one.target, "arm": one.arm, "prompt": one.prompt, "sample": one.sample}
        known |= {"request_sha256": "cd" * 32}
        own = one.arm in ("swap", "add", "prompt")
        if one.arm != "unsteered":
            found.append(Judged(**known, task="more alike", swapped=bool(number % 2), prefers_arm=own))
        found.append(Judged(**known, task="rating", concept=2 if own else 0, relevance=1, fluency=2))
    if not found:
        return found
    broken = found[-1].model_copy(
        update={"concept": None, "relevance": None, "fluency": None}
        | {"failure": Failure(type="unparseable", message="no JSON", attempts=2)}
    )
    return [*found[:-1], broken]


def write_run(
    path: Path,
    targets: Sequence[TargetFound] | None = None,
    texts: Sequence[SteeredText] | None = None,
    judged: bool = True,
    finished: bool = True,
    **changes: Any,
) -> SteeringFolder:
    """A steering run on disk; `changes` are made to its manifest."""
    found = [target(name) for name in WORDS] if targets is None else targets
    names = [one.name for one in found]
    written = all_texts(names) if texts is None else texts
    folder = SteeringFolder.create(path, manifest(names, **{"run_id": path.name} | changes))
    folder.write_targets(found)
    lines = {"texts": written, "likelihoods": likelihoods(names), "judgements": judgements(written) if judged else []}
    for name, records in lines.items():
        write_whole(path / f"{name}.jsonl", "".join(one.model_dump_json() + "\n" for one in records), flush=False)
    if finished:
        folder.write_results(results(names, run_id=path.name))
    return folder
