"""What a command line asks of this machine and this SAE, checked before a run folder is made; a dry run checks it too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.errors import RunError

if TYPE_CHECKING:
    from agent.folder.config import RunConfig
    from tools.bench.arms import ArmHashes
    from tools.study.definition import Question, Study


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


def check_rater(question: Question, config: RunConfig) -> None:
    """See that whoever rates concepts has what it takes: a model the guideline, the rules a list of words for each.

    Raises:
        UnveilError: it has not.
    """
    if question.rating is None:
        return
    question.read_guideline()
    if config.llm is not None:
        return
    from agent.judges.rating_rules import read_words

    lacking = [name for name in question.rating.concepts if name not in question.rating.words]
    if lacking:
        raise RunError(
            f"the rules rate by lists of words, and {question.title!r} has none for {' and '.join(lacking)}: name one "
            f"([rating.concepts.{lacking[0]}] words = FILE in the task's .toml), or let a model judge (OPENAI_API_KEY, "
            "OPENAI_BASE_URL or --base-url, and --llm-model)"
        )
    read_words(question)


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
