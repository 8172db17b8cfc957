"""What is known of a run's features, found beside the SAE that the run was made with."""

from __future__ import annotations

from agent.errors import RunError
from agent.folder.config import open_study
from agent.folder.entrusted import has_its_weights
from agent.folder.records import Manifest
from tools.bench.arms import locate
from tools.study.reading import read_tables
from tools.truth.known import FILE, KnownFeatures, read_known
from tools.worlds.catalogue import WORLDS


def find_planted(manifest: Manifest) -> KnownFeatures:
    """What `find_known` finds.

    Raises:
        UnveilError: there is nothing, or it or the SAE is not the run's.
    """
    if (known := find_known(manifest)) is None:
        raise RunError(
            f"of the features of {manifest.config.sae} nothing is known (there is no {FILE} beside its weights): "
            "python -m tools.training plant makes an SAE some of whose features are"
        )
    return known


def find_known(manifest: Manifest) -> KnownFeatures | None:
    """What is written beside the SAE of a run; None where there is nothing.

    Raises:
        UnveilError: it or the SAE is not the run's, or the run chose its features by what is no longer there.
    """
    if manifest.config.evidence is not None:
        raise RunError("its evidence comes from elsewhere: of its features nothing is known here")
    study = open_study(manifest.config)
    if not has_its_weights(manifest, study):
        raise RunError("model or SAE are not those that the run was made with: restore them, or start a new run")
    folder = locate(study, study.arm(manifest.config.sae).sae)
    known = None if isinstance(folder, str) else read_known(folder)
    if known is None or isinstance(folder, str):
        return None
    known.check(folder)
    if manifest.provenance.sha256.get("known", known.sha256) != known.sha256:
        raise RunError(f"{folder / FILE} is not what the run chose its features by: restore it, or start a new run")
    return known


def find_world(manifest: Manifest) -> str | None:
    """The world that a run's study is about, by its name; None where it is about none.

    Raises:
        StudyError: the study is not there, or does not read.
    """
    if manifest.config.evidence is not None:
        return None
    _, table = read_tables(manifest.config.study)
    for key in ("training", "world", "name"):
        table = table.get(key) if isinstance(table, dict) else None
    return table if isinstance(table, str) and table in WORLDS else None
