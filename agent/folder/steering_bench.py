"""A steering run as an investigation of the same arm: what opens a bench, asks an endpoint or vouches for a study reads that."""

from __future__ import annotations

from agent.folder.config import Limits, RunConfig
from agent.folder.records import Manifest
from agent.folder.steered import SteerConfig, SteerManifest

_SHARED = ("study", "sae", "model", "hook", "llm", "seed", "device", "precision", "memory_gib", "allow_unproved")
"""Fields that mean the same in either config."""


def as_run(config: SteerConfig) -> RunConfig:
    """The config of an investigation on the same bench, which asks the same endpoint within the same budget."""
    shared = {name: getattr(config, name) for name in _SHARED}
    return RunConfig(**shared, limits=Limits(**config.limits.model_dump()))


def as_investigation(manifest: SteerManifest) -> Manifest:
    """What an investigation that began like this would have written of itself."""
    return Manifest(
        run_id=manifest.run_id,
        started=manifest.started,
        config=as_run(manifest.config),
        study_title=manifest.study_title,
        domain=manifest.domain,
        provenance=manifest.provenance,
        computed=manifest.computed,
        threads=manifest.threads,
        probe=manifest.probe,
        proof=manifest.proof,
        changes=manifest.changes,
        study_sha256=manifest.study_sha256,
    )
