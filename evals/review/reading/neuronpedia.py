"""Where Neuronpedia shows a feature: its SAEs have names of their own, which SAELens' registry of published SAEs gives."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from agent.folder.entrusted import find_study
from agent.folder.records import Manifest
from tools.records import FeatureRef

_SITE = "https://www.neuronpedia.org"


def find_page(feature: FeatureRef, manifest: Manifest) -> str | None:
    """The address of a feature's page; None for a random direction, and for an SAE that has no id there."""
    if feature.kind != "feature":
        return None
    name = name_on_site(_registered(manifest) or feature.sae)
    return None if name is None else f"{_SITE}/{quote(name)}/{feature.index}"


@cache
def name_on_site(sae: str) -> str | None:
    """Neuronpedia's id of the SAE that SAELens knows as `RELEASE/SAE_ID`, such as `gpt2-small/8-res-jb`."""
    release, _, sae_id = sae.partition("/")
    registry = _registry()
    if not sae_id or registry is None:
        return None
    # One release of some hundred is read: the whole file takes seconds.
    block = re.search(rf"^{re.escape(release)}:\n((?:[ \n-].*\n?)+)", registry.read_text("utf-8"), re.MULTILINE)
    entry: Any = yaml.safe_load(block[0])[release] if block else {}
    return next((one.get("neuronpedia") for one in entry.get("saes", ()) if one["id"] == sae_id), None)


def _registry() -> Path | None:
    """SAELens' list of SAEs; found without importing the library, which would load a model's whole machinery."""
    spec = find_spec("sae_lens")
    folders = (spec.submodule_search_locations if spec else None) or []
    return next((file for folder in folders if (file := Path(folder) / "pretrained_saes.yaml").is_file()), None)


def _registered(manifest: Manifest) -> str | None:
    """The registry's name of the run's SAE: its own, or the one that its study gives the arm."""
    if manifest.config.model is not None:
        return manifest.config.sae
    study = find_study(manifest)
    arm = study.arms.get(manifest.config.sae) if study else None
    return arm.sae if arm else None
