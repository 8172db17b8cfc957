"""What must be equal among runs that are compared, as far as a run folder and the SAE it names show it.

Everything is read from what was used, not from what was asked for: prompts and seeds from the stored texts, hashes from the
manifest, the recipe of the SAE from its own `cfg.json`, and that only if its weights still are those of the run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from agent.folder.entrusted import find_study
from agent.folder.records import Manifest
from evals.arms.runs import Arm as RunArm
from evals.arms.runs import Thresholds
from tools.bench.arms import find_folder, hash_weights
from tools.bench.folders import find_sae
from tools.errors import UnveilError
from tools.records import Evidence, SteeringEvidence
from tools.study.definition import Study

OWN = ("model", "sae", "evidence")
"""Hashes that are an arm's own; all others that a manifest holds must be equal."""


_CHOSEN = {"keywords": "by the survey", "listed": "by hand"}
"""As summaries of before there were other ways have it."""


class Origin(NamedTuple):
    """The study of a run as it stands now, and the configuration of its SAE."""

    study: Study | None
    hook_name: str | None
    """What the arm names."""
    cfg: Mapping[str, Any] | None
    """None where the SAE is not at hand, or is no longer the one of the run."""
    folder: Path | None
    """Of the SAE, if it is the one of the run."""
    recipe_tokens: int | None
    """Token budget of the study's training recipe, for an SAE that lies in a folder of the study."""

    @property
    def thresholds(self) -> Thresholds:
        """Of the study's candidates."""
        if self.study is None:
            return Thresholds()
        return Thresholds(self.study.survey.candidate_hits, self.study.survey.alpha)


def find_origin(manifest: Manifest) -> Origin:
    """Look for the study and the SAE that a run names; nothing of it needs to be there.

    Taken is only what is the run's: a study that ships or says what the run's said, an SAE whose weights have its hash.
    """
    config, digest = manifest.config, manifest.provenance.sha256.get("sae", "")
    study = find_study(manifest)
    if study is None:
        return Origin(None, None, None, None, None)
    arm = study.arms.get(config.sae)
    hook_name = (arm.hook_name if arm else "") or None
    try:
        folder = find_sae(find_folder(study, arm.sae if arm else config.sae)).path
        if hash_weights(folder) != digest:
            return Origin(study, hook_name, None, None, None)
        cfg = json.loads((folder / "cfg.json").read_text("utf-8"))
    except (UnveilError, OSError, ValueError):
        return Origin(study, hook_name, None, None, None)
    return Origin(study, hook_name, cfg, folder, _recipe_tokens(study) if config.model is None else None)


def list_settings(arm: RunArm, origin: Origin) -> dict[str, str | None]:
    """Everything that two runs must have in common, by name; None for what is not shown."""
    config = arm.manifest.config
    judges = {(d.judge.kind, d.judge.model or "-", (d.judge.prompt_sha256 or "-")[:12]) for d in arm.decisions}
    hashes = {f"{role} sha256": digest for role, digest in _hashes(arm.manifest).items()}
    return {
        "study": origin.study.name if origin.study else config.study,
        "domain": arm.manifest.domain,
        **_describe_sae(arm, origin),
        **hashes,
        "corpus given": config.corpus or "the study's",
        "tokens a feature is read by": str(len(arm.survey["top_tokens"].iloc[0])),
        **_describe_steering(arm.evidence),
        "controls": f"{config.controls:g} times the study's",
        "candidate limit": "the study's" if config.limit is None else str(config.limit),
        "features chosen": _CHOSEN.get(config.strategy, config.strategy),
        "seed": str(config.seed),
        "precision": None if arm.manifest.computed is None else precision_of(arm.manifest.computed),
        "judge": "; ".join(sorted(" ".join(judge) for judge in judges)) or None,
    }


def precision_of(computed: str) -> str:
    """Dtype and source of the weights; what was done to them, an adapter merged, is what arms may differ by."""
    return computed.partition(";")[0].rpartition(" in ")[2]


def _hashes(manifest: Manifest) -> dict[str, str]:
    return {role: digest for role, digest in manifest.provenance.sha256.items() if role not in OWN}


def _describe_sae(arm: RunArm, origin: Origin) -> dict[str, str | None]:
    cfg: Mapping[str, Any] = origin.cfg or {}
    metadata: Mapping[str, Any] = cfg.get("metadata") or {}

    def show(*names: str) -> str | None:
        found = (table[name] for name in names for table in (metadata, cfg) if table.get(name) is not None)
        return next((str(value) for value in found), None)

    digest = arm.manifest.provenance.sha256.get("sae", "")
    tokens = show("training_tokens")
    if tokens is None and origin.recipe_tokens is not None:
        tokens = f"{origin.recipe_tokens} by the study's recipe"
    return {
        "hook point": show("hook_name") or origin.hook_name,
        "SAE architecture": show("training_architecture", "architecture"),
        "SAE size": str(len(arm.survey)),
        "SAE k": show("k") if cfg else None,
        "SAE context size": show("context_size"),
        "SAE input normalisation": show("normalize_activations"),
        "SAE token budget": tokens,
        "SAE made": "elsewhere (a hub's)" if digest.startswith("hub:") else "from a folder",
    }


def _describe_steering(evidence: Sequence[Evidence]) -> dict[str, str | None]:
    steered = [record.steering for record in evidence if record.steering]
    names = ("steering prompts", "steering seeds", "steering", "steering metric", "tokens continued", "null lists")
    if not steered:
        return dict.fromkeys(names)
    first = next((one for one in steered if one.sequence), steered[0])
    prompts = dict.fromkeys(pair.prompt for pair in first.opening)
    seeds = dict.fromkeys(pair.seed for pair in first.opening)
    asked = "not recorded" if first.asked is None else f"{first.asked:g}"
    values = (
        " / ".join(prompts),
        ", ".join(map(str, seeds)),
        f"{first.kind} at {first.policy} positions, {first.asked_unit} {asked}{_further(first)}",
        first.metric,
        str(first.hook_calls),
        None if first.null_lists is None else f"about {round(max(s.null_lists or 0 for s in steered), -1)}",
    )
    return dict(zip(names, values, strict=True))


def _further(steering: SteeringEvidence) -> str:
    """Settings that older runs did not have; nothing where they are as they were."""
    chat = ", in a chat template" if steering.prompt_form == "chat" else ""
    test = steering.sequence
    return chat if test is None else f"{chat}, in sequence for {test.win_rate:.0%} at {test.alpha:g}"


def _recipe_tokens(study: Study) -> int | None:
    from tools.training.recipe import load_recipe

    file = study.folder / "study.toml"
    try:
        return load_recipe(file).sae.training_tokens
    except UnveilError:
        return None
