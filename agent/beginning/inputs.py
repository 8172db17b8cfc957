"""What a command line asks of this machine and this SAE, checked before a run folder is made; a dry run checks it too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.errors import RunError

if TYPE_CHECKING:
    from agent.folder.config import RunConfig
    from tools.bench.arms import ArmHashes
    from tools.bench.workbench import Workbench
    from tools.study.definition import Study


def check_settings(study: Study, config: RunConfig) -> None:
    """See that the device is there, that --model is not passed over, and that features named are the SAE's, by its header.

    Raises:
        UnveilError: one is not.
    """
    from tools.bench.arms import count_directions

    if config.model is not None and study.arm(config.sae).model != config.model:
        raise RunError(
            f"{config.sae} is an arm of study {study.name}, which names its model: leave out --model, or give the folder "
            f"of an SAE of your own (./{config.sae})"
        )
    if config.device not in ("auto", "cpu"):  # the library that knows the others takes a while to load
        from tools.bench.compute import choose_device

        choose_device(config.device)
    if config.features is not None:
        check_features(config.features, count_directions(study, config.sae))


def check_features(features: tuple[int, ...], d_sae: int | None) -> None:
    """See that features named are the SAE's.

    Args:
        features: their numbers.
        d_sae: how many there are; None where that is not known yet.

    Raises:
        RunError: one is not.
    """
    unknown = [index for index in features if index < 0 or (d_sae is not None and index >= d_sae)]
    if unknown:
        there = "numbers from 0" if d_sae is None else f"features 0 to {d_sae - 1}"
        raise RunError(f"the SAE has {there}, not {unknown[0]}")


def check_directions(features: tuple[int, ...], bench: Workbench) -> None:
    """See that features named are the SAE's, and that there is something to look at.

    Raises:
        RunError: one is not, or has a decoder row of 0.
    """
    check_features(features, bench.d_sae)
    if empty := [index for index in features if bool(bench.autoencoder.empty[index])]:
        raise RunError(f"feature {empty[0]} has no direction, for its decoder row is 0: leave it out of --features")


def check_inputs(study: Study, config: RunConfig) -> ArmHashes:
    """Everything that can be found wrong before a heavy import or a run folder is made; hashes of the weights.

    Raises:
        UnveilError: it was.
    """
    from tools.bench.arms import check_arm_files
    from tools.border.text_files import read_text
    from tools.study.corpus import check_corpus
    from tools.survey.keywords import load_vocabulary

    hashes = check_arm_files(study, config.sae)
    load_vocabulary(study.asset(study.domain.vocabulary))
    study.question.read_guideline()
    if study.vectors.file:
        study.asset(study.vectors.file)
    if study.vectors.words:
        read_text(study.asset(study.vectors.words))
    check_corpus(study)
    return hashes
