"""What a command line asks of this machine and this SAE, checked before a run folder is made; a dry run checks it too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.errors import RunError

if TYPE_CHECKING:
    from agent.folder.config import RunConfig
    from tools.bench.arms import ArmHashes
    from tools.study.definition import Study


def check_settings(study: Study, config: RunConfig) -> None:
    """See that the device is there, and that --model is not passed over.

    Raises:
        UnveilError: one is not.
    """
    if config.model is not None and study.arm(config.sae).model != config.model:
        raise RunError(
            f"{config.sae} is an arm of study {study.name}, which names its model: leave out --model, or give the folder "
            f"of an SAE of your own (./{config.sae})"
        )
    if config.device not in ("auto", "cpu"):  # the library that knows the others takes a while to load
        from tools.bench.compute import choose_device

        choose_device(config.device)


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
