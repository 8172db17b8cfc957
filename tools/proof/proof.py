"""The bench proves itself: on its own model, with the libraries of this machine, before anything is observed.

A release of a library may change what a forward pass, a hook or a cache does without a word; every figure would still
be a number. So each run makes the checks of `tools.proof.checks`, which take a second or two on a small model, and a run
whose bench fails one is refused. A proof is remembered for the same weights, SAE, hook, device, precision, libraries
and instruments, and not made again.
"""

from __future__ import annotations

import hashlib
import os
import platform
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import ValidationError

from tools.bench.reference import POSITIONS, TEXTS, probe_rows
from tools.bench.workbench import Workbench
from tools.border.cache import cache_folder
from tools.errors import LoadError
from tools.proof.checks import (
    Subject,
    check_batch,
    check_cache,
    check_hook,
    check_places,
    check_reconstruction,
    check_source,
    check_token_strings,
    check_unembedding,
    check_untouched,
    continue_prompt,
)
from tools.proof.outcome import Probe, Proof

NEW_TOKENS = 20
PACKAGES = ("torch", "transformers", "transformer_lens", "sae_lens", "tokenizers", "safetensors", "numpy")
"""That a proof holds for."""
INSTRUMENTS = (
    "bench/adapter",
    "bench/autoencoder",
    "bench/checkpoint",
    "bench/dequantised",
    "bench/gguf_file",
    "bench/loading",
    "bench/readout",
    "bench/reference",
    "bench/tokens",
    "bench/untrained",
    "bench/workbench",
    "effects/intervention",
    "effects/steering",
    "proof/checks",
    "proof/proof",
)
"""Modules of ours that it holds for."""


def prove(bench: Workbench, probe: Probe) -> Proof:
    """Make every check.

    Args:
        bench: model and SAE.
        probe: how well the SAE reconstructs, which the study's claim is held against.
    """
    began = time.monotonic()
    positions = min(POSITIONS, bench.context_size // 2)
    rows = probe_rows(bench.tokenizer, bench.bos, bench.W_U.shape[1], positions)
    subject = Subject(bench, rows, min(NEW_TOKENS, bench.context_size - positions))
    continued = continue_prompt(subject)
    checks = (
        check_cache(subject, continued),
        check_batch(subject),
        check_hook(subject, continued),
        check_untouched(subject),
        check_source(subject),
        check_places(subject),
        check_unembedding(subject),
        check_token_strings(subject, TEXTS),
        check_reconstruction(probe, bench.arm.explained_variance),
    )
    return Proof(
        checks=tuple(check for check in checks if check is not None),
        packages=installed_packages(),
        proved=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - began, 3),
    )


def require_proof(bench: Workbench, probe: Probe, allowed: str | None = None, cache: Path | None = None) -> Proof:
    """A proof that stands, made now or remembered.

    Args:
        bench: model and SAE.
        probe: how well the SAE reconstructs.
        allowed: the reason to go on whatever the checks find.
        cache: folder in which proofs are remembered; None for the user's (`proof_folder`).

    Raises:
        LoadError: a check failed, or the SAE explains less than nothing, and nobody gave a reason to go on.
    """
    if probe.refusal is not None and allowed is None:
        raise LoadError(f"the SAE of arm {bench.arm_name} {probe.refusal}, or go on with --allow-unproved REASON")
    file = _file_of(bench, cache or proof_folder())
    remembered = _recall(file)
    if remembered is not None:
        return remembered
    proof = prove(bench, probe)
    if not proof.failed:
        _remember(file, proof)
        return proof
    if allowed is None:
        first, *more = proof.failed
        others = f", and {len(more)} more: {', '.join(check.name for check in more)}" if more else ""
        raise LoadError(
            f"the bench does not prove itself, so nothing that it measures can be believed: {proof.explain(first)}"
            f"{others}; install the versions that were tested (constraints.txt), or go on with --allow-unproved REASON"
        )
    return proof.model_copy(update={"allowed": allowed})


@cache
def installed_packages() -> dict[str, str]:
    """Versions of the libraries that a proof holds for."""
    found: dict[str, str] = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def proof_folder() -> Path:
    """Where this user's proofs are remembered."""
    return cache_folder("proofs")


def _file_of(bench: Workbench, folder: Path) -> Path | None:
    """One file for all that a proof depends on; None for weights that are known by a name only and may change under it."""
    hashes = bench.hashes
    if any(identity.startswith("hub:") for identity in (hashes.model, hashes.sae)):
        return None
    digest = hashlib.sha256()
    known = (
        hashes.model_dump_json(),
        bench.hook_name,
        str(bench.device),
        str(bench.dtype),
        str(bench.arm.explained_variance),
        str(sorted(installed_packages().items())),
        platform.python_version(),
        platform.platform(),
    )
    for part in known:
        digest.update(part.encode() + b"\0")
    for name in INSTRUMENTS:
        digest.update((Path(__file__).parents[1] / f"{name}.py").read_bytes())
    return folder / f"{digest.hexdigest()}.json"


def _recall(file: Path | None) -> Proof | None:
    if file is None:
        return None
    try:
        found = Proof.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
    return None if found.failed else found.model_copy(update={"remembered": True})


def _remember(file: Path | None, proof: Proof) -> None:
    """Write it as a whole; a folder that cannot be written costs a second at the next run, and nothing else."""
    if file is None:
        return
    fresh = file.with_suffix(f".{os.getpid()}.new")
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(proof.model_dump_json(indent=1) + "\n", "utf-8")
        fresh.replace(file)
