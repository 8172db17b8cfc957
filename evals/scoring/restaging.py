"""The model, SAE and text of a run, on the bench again, and nothing else under their names."""

from __future__ import annotations

from typing import NamedTuple

from agent.errors import RunError
from agent.folder.entrusted import open_recorded_corpus
from agent.folder.records import Manifest
from tools.bench.compute import Compute, settle_precision
from tools.bench.loading import load_arm
from tools.bench.workbench import Workbench
from tools.dictionaries.belonging import probe_reconstruction, probe_rows
from tools.proof.outcome import Proof
from tools.proof.proof import require_proof
from tools.study.definition import Study
from tools.study.texts import Passage


class Stage(NamedTuple):
    """What a run looked at."""

    bench: Workbench
    study: Study
    held_out: list[Passage]
    labelled_from: list[Passage]
    """The other split, whose contexts labels were made from."""
    proof: Proof
    """That the bench does today what it did for the run."""


def restage(manifest: Manifest, device: str, allow_unproved: str | None = None) -> Stage:
    """Load what the run was made with, and have the bench prove itself on this machine's libraries.

    Raises:
        UnveilError: the run judged evidence from elsewhere; a part is missing, or is not what it was; the bench does not
            prove itself and nobody gave a reason to go on.
    """
    config = manifest.config
    if config.evidence is not None:
        raise RunError(
            "the run judged evidence from elsewhere and has no model: there is no held-out text to score its labels on"
        )
    corpus = open_recorded_corpus(manifest)
    study, held_out, others = corpus.study, corpus.passages("held_out"), corpus.passages("train")
    precision = settle_precision(config.precision, study.precision)
    compute = Compute(device, precision, int(config.memory_gib * 2**30))
    bench = load_arm(study, config.sae, compute)
    bench.take_up(corpus)
    proof = require_proof(bench, probe_reconstruction(bench, probe_rows(bench, study)), allow_unproved)
    return Stage(bench, study, held_out, others, proof)
