"""The files of a study's arms, identified and checked before anything heavy is imported."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from tools.bench.adapter import read_adapter
from tools.bench.folders import GGUF, check_header, check_model_path, find_sae, read_sae_config
from tools.bench.hooks import choose_hook, hook_of
from tools.bench.sparsify_format import place_of
from tools.border.hub import is_model_cached, is_sae_cached, require_hub
from tools.errors import LoadError, StudyError
from tools.records import Record
from tools.study.definition import Arm, Study

_BLOCK = 2**22


class ArmHashes(Record):
    """Identity of what was loaded: sha256 of the weight files, or the hub's name where there is no file."""

    model: str
    """Of a model that is changed when it is loaded, by an adapter or to fresh weights: sha256 over its and the change's."""
    sae: str
    also: tuple[str, ...] = ()
    """Of the arm's further SAEs."""

    def by_role(self) -> dict[str, str]:
        """As a manifest has them: `model`, `sae` and, of an arm with further SAEs, `sae 2` and so on."""
        further = {f"sae {number}": sha256 for number, sha256 in enumerate(self.also, 2)}
        return {"model": self.model, "sae": self.sae, **further}


def check_arm_files(study: Study, arm_name: str) -> ArmHashes:
    """Everything about an arm that can be found wrong without a heavy import: files, their headers, the hub's reach.

    Raises:
        StudyError: there is no such arm, or one of its folders is missing.
        LoadError: weights are corrupt or unreachable, or two arms are the same model.
    """
    arm = study.arm(arm_name)
    is_own = arm_name == arm.sae
    for what, name in (("model", arm.model), ("SAE", arm.sae)) if is_own else ():
        if not (_is_on_hub(study, name) or _is_here(study, name)):
            raise StudyError(f"there is no {what} {name}: no folder or file is called so")
    if not _is_on_hub(study, arm.model):
        check_model_path(find_folder(study, arm.model))
    if arm.adapter:
        read_adapter(find_folder(study, arm.adapter))
    saes = [arm, *(arm.model_copy(update={**dict(one), "hook_overrides": False}) for one in arm.also)]
    for one in saes:
        if not _is_on_hub(study, one.sae):
            check_sae_path(find_folder(study, one.sae), one)
    files: dict[str, str] = {}
    model = _identify_model(study, arm, files)
    sae, *also = (_identify(study, one.sae, is_sae_cached) for one in saes)
    hashes = ArmHashes(model=model, sae=sae, also=tuple(also))
    if is_own:
        return hashes  # an SAE of the user's, called by where it lies: it may be for the model of any arm
    for other_name, other in study.arms.items():
        if other.has_model_of(arm) or not all(_is_here(study, name) for name in (other.model, other.adapter) if name):
            continue  # by the same name it is meant to be the same model, with another SAE; or it is still to be trained
        if _identify_model(study, other, files) == hashes.model:
            raise LoadError(f"arms {arm_name} and {other_name} of study {study.name} are the same model weights")
    return hashes


def is_at_hand(study: Study, arm_name: str) -> bool:
    """All of an arm lies in folders or in the hub's cache: nothing has to be downloaded."""
    arm = study.arm(arm_name)
    saes = (arm.sae, *(one.sae for one in arm.also))
    return (not _is_on_hub(study, arm.model) or is_model_cached(arm.model)) and all(
        not _is_on_hub(study, sae) or is_sae_cached(sae) for sae in saes
    )


def locate(study: Study, name: str) -> Path | str:
    """The folder that an arm's model or SAE lies in, or its name on the hub.

    Raises:
        StudyError: it is neither here nor may it come from a hub.
    """
    return name if _is_on_hub(study, name) else find_folder(study, name)


def find_folder(study: Study, name: str) -> Path:
    """A folder named relative to the study, or, as on a command line, to the working directory.

    Raises:
        StudyError: there is none.
    """
    if not (study.folder / name).exists() and Path(name).exists():
        return Path(name)
    return study.asset(name)


def hash_weights(path: Path) -> str:
    """sha256 over the weight files of a folder, or of a file.

    Raises:
        LoadError: it holds none, or one of them is corrupt.
    """
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
    if not files:
        raise LoadError(
            f"{path} holds no .safetensors weights: restore them (git checkout) or train them (python -m tools.training)"
        )
    digest = hashlib.sha256()
    for file in files:
        if file.suffix == ".safetensors":
            check_header(file)
        with file.open("rb") as opened:
            while block := opened.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def count_directions(study: Study, arm_name: str) -> int | None:
    """How many features an arm's SAE has, by the header of its file; None where it lies on a hub, or does not say.

    Raises:
        StudyError, LoadError: as `find_folder` and `find_sae`.
    """
    from safetensors import safe_open

    arm = study.arm(arm_name)
    if _is_on_hub(study, arm.sae):
        return None
    with safe_open(find_sae(find_folder(study, arm.sae)).weights, framework="np") as opened:
        return int(opened.get_slice("W_dec").get_shape()[0]) if "W_dec" in opened.keys() else None  # noqa: SIM118


def check_sae_path(path: Path, arm: Arm) -> None:
    """Find out early what would keep an SAE from being loaded, or from being put anywhere in the model.

    Raises:
        LoadError, StudyError: as `find_sae`, `read_sae_config` and `choose_hook`.
    """
    found = find_sae(path)
    config = read_sae_config(found)
    named = place_of(found.path) if found.form == "sparsify" else hook_of(config)
    choose_hook(arm.hook_name, named, arm.hook_overrides)


def _identify_model(study: Study, arm: Arm, known: dict[str, str]) -> str:
    """The identity of an arm's model, changed as the arm says; `known` keeps each file's, so that it is read once."""

    def identify(name: str) -> str:
        if name not in known:
            known[name] = _identify(study, name, is_model_cached)
        return known[name]

    base, change = identify(arm.model), ""
    if arm.adapter:
        change = f"adapter {read_adapter(find_folder(study, arm.adapter)).sha256}"
    elif arm.random_weights is not None:
        change = f"random weights {arm.random_weights}"
    if not change:
        return base
    whole = f"{base} with {change}"
    return whole if base.startswith("hub:") else hashlib.sha256(whole.encode()).hexdigest()


def _identify(study: Study, name: str, is_cached: Callable[[str], bool]) -> str:
    if not _is_on_hub(study, name):
        found = find_folder(study, name)
        return hash_weights(find_sae(found).path if is_cached is is_sae_cached else found)
    if not is_cached(name):
        remedy = "connect once to download it, or use --study pocket, which needs no network"
        require_hub(f"no folder {name} is here, and study {study.name}", name, remedy)
    return f"hub:{name}"


def _is_on_hub(study: Study, name: str) -> bool:
    """Whether a name that is no folder here may be one on the hub, rather than a folder's that was mistyped."""
    return study.hub and not _is_here(study, name) and not _is_path(study, name)


def _is_path(study: Study, name: str) -> bool:
    if name.startswith((".", "/", "~")) or name.lower().endswith(("/", GGUF)) or "\\" in name:
        return True
    first = name.partition("/")[0]  # `modles/mine` may be on the hub, `models/mien` beside a folder `models` is not
    return "/" in name and ((study.folder / first).is_dir() or Path(first).is_dir())


def _is_here(study: Study, name: str) -> bool:
    return (study.folder / name).exists() or Path(name).exists()
