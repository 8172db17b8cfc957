"""The study of a run that exists already: a manifest is data, and opens nothing on its own word.

A study that the command line of now names may point anywhere. One that a manifest names is taken where it ships with the
project, or where it lies where the manifest says and every file of it is the one whose hash the manifest holds: whoever
writes a manifest cannot know the hash of what only its reader has, so nothing of the reader's is put into a prompt. An
input that a run recorded no hash of has to lie in the study's own folder; a guideline has to be recorded.
"""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from agent.errors import RunError
from agent.folder.asking import hash_parts, open_asked
from agent.folder.config import open_study
from agent.folder.provenance import hash_file, study_files
from agent.folder.records import Manifest
from agent.folder.task_files import ROLES, TASK, asks_as_shipped, compare_task, compare_words, find_untrusted
from prompts.loader import hash_prompts
from tools.bench.arms import check_arm_files, is_at_hand
from tools.errors import StudyError, UnveilError
from tools.study.corpus import Corpus, check_corpus
from tools.study.definition import Question, Study
from tools.study.parts import ASKED, is_shipped
from tools.study.reading import load_question
from tools.study.texts import HUB

INPUTS = ("model", "sae", "corpus", "vocabulary", "vectors", "words")
"""Inputs of a run that measures, by their roles in the manifest."""
CHOSEN_BY = ("target", "away", "reference_prompts", "encoder", "known", *ROLES)
"""What features were chosen by, in a run toward a text, over a task, or of what was planted."""
ALLOW = "--allow-different REASON"
ANEW = "restore that, or start a new run"


def open_question(manifest: Manifest, *, reads_guideline: bool = True, anew: bool = False) -> Question:
    """What a run's judges were asked, as it stands now; nothing of it is compared but what may be read at all.

    Of a guideline that has versions it is the run's own.

    Args:
        manifest: of the run.
        reads_guideline: False where nobody is shown it, as the rules are not; they read lists of words instead.
        anew: for another judgement, for which the newest guideline stands where the study ships with the project.

    Raises:
        StudyError: the study is not there, or does not read.
        RunError: it does not ship with the project, and its guideline is not the one the manifest vouches for; or a file
            of a task is not.
    """
    question, shipped = _open_asked(manifest), asks_as_shipped(manifest.config)
    recorded = manifest.provenance.sha256.get("guideline")
    if not (anew and shipped):
        question = _as_recorded(question, recorded)
    if reads_guideline and not shipped and hash_file(question.guideline) != recorded:
        said = "" if recorded else "; the run does not say which it used"
        _refuse([f"the guideline ({question.guideline}{said})"], ANEW)
    if not reads_guideline and not shipped and (different := compare_words(manifest, question)):
        _refuse(different, ANEW)
    return question


def open_recorded_corpus(manifest: Manifest) -> Corpus:
    """The study of a run with its text, for loading its model again.

    Raises:
        UnveilError: it is not there, or a part of it is not the one the run used, or is none that a manifest may name.
    """
    corpus = Corpus(open_study(manifest.config))
    if different := compare_inputs(manifest, corpus):
        listed = " and ".join(different)
        raise RunError(f"{listed} differ from what the run was made with: restore them, or start a new run")
    return corpus


def find_study(manifest: Manifest) -> Study | None:
    """The study of a run, for whoever only reads the run; nothing is downloaded or loaded for it.

    Returns:
        None where it is not at hand, or is not the one the run used: another's word opens no file. Its text is the study's
        own, whatever the run observed.
    """
    config = manifest.config.model_copy(update={"corpus": None})
    try:
        if not names_its_study(manifest):
            return None
        study = open_study(config)
        found = _hash_texts(study)
    except (UnveilError, OSError):
        return None
    return study if all(_is_known(role, digest, manifest, study) for role, digest in found.items()) else None


def names_its_study(manifest: Manifest) -> bool:
    """Whether the study of that name ships with the project, or says what the study of the run said.

    Runs of before parts of a study were hashed tell it by domain and guideline.

    Raises:
        StudyError: it is not there, or does not read.
    """
    if is_shipped(manifest.config.study):
        return True
    if manifest.study_sha256:
        return not _compare_tables(manifest, asked=True) and not _compare_tables(manifest, asked=False)
    question, recorded = load_question(manifest.config.study), manifest.provenance.sha256.get("guideline")
    question = _as_recorded(question, recorded)
    return recorded is not None and question.topic == manifest.domain and hash_file(question.guideline) == recorded


def check_unchanged(manifest: Manifest) -> Question:
    """See that a run can go on as it began: prompts, study, inputs and weights.

    Raises:
        UnveilError: something is missing, or not what it was; the text names it.
    """
    question = open_question(manifest)
    different = compare_question(manifest, question)
    if manifest.measures:
        study = open_study(manifest.config)
        check_corpus(study)
        different += [
            *_compare_tables(manifest, asked=False),
            *(f"the {role}" for role in compare_inputs(manifest, Corpus(study))),
        ]
    if different:
        _refuse(different, f"{ANEW}: half of this one would be another's")
    return question


def check_rejudged(manifest: Manifest, question: Question, reason: str | None) -> tuple[str, ...]:
    """See that a run is judged again by the question it was judged by, and tell what the new verdicts inherit.

    Args:
        manifest: of the finished run.
        question: of now.
        reason: why something may differ; None if nothing may.

    Returns:
        What is to be said of the new run first: what the old one inherited, and what differed and was allowed to.

    Raises:
        RunError: something differs, and no reason was given.
    """
    different = compare_question(manifest, question, newer=True)
    if different and reason is None:
        _refuse(different, f"restore that, or say why it may differ with {ALLOW}")
    if not different:
        return manifest.inherited
    said = f"judged again although {' and '.join(different)} differed, allowed because: {reason}"
    return (*manifest.inherited, said)


def check_replayable(manifest: Manifest, question: Question) -> None:
    """A replay with other prompts would be another run. The rules are shown neither prompt nor guideline.

    Raises:
        RunError: a prompt, the guideline or the question differs from the run's; the text names it.
    """
    if manifest.config.llm is None:
        different = [*_compare_tables(manifest, question), *compare_words(manifest, question)]
    else:
        different = compare_question(manifest, question)
    if different:
        _refuse(different, f"restore that, or judge anew with --rejudge and {ALLOW} instead of --replay")


def check_choice(manifest: Manifest) -> None:
    """See that what a run chooses its features by is what it began with, before a byte of it is read for anything else.

    Raises:
        UnveilError: it is missing, or another; or would have to be downloaded on the run's word alone.
    """
    config, known = manifest.config, manifest.provenance.sha256
    files = {"target": config.toward, "away": config.away, "reference_prompts": config.reference_prompts}
    different: list[str] = []
    for role, named in files.items():
        if named is not None and (not Path(named).is_file() or hash_file(Path(named)) != known.get(role)):
            different.append(f"the {role.replace('_', ' ')} ({named})")
    if config.encoder is not None:
        from tools.alignment.encoders import check_encoder_folder, find_at_hand, hash_encoder

        if (folder := find_at_hand(config.encoder)) is not None:
            check_encoder_folder(folder, config.encoder)  # of any other folder nothing is read
        if folder is None or hash_encoder(folder) != known.get("encoder"):
            different.append(f"the encoder ({config.encoder})")
    different += compare_task(manifest)
    if different:
        _refuse(different, ANEW)


def compare_question(manifest: Manifest, question: Question, *, newer: bool = False) -> list[str]:
    """What is asked otherwise than the run asked it: prompts, guideline, study text.

    Args:
        manifest: of the run.
        question: of now.
        newer: whether later versions of prompts and guideline may stand for the run's, as when it is judged again: then a
            prompt of the run may be gone, and its guideline has only to be among the versions.
    """
    now = hash_prompts() if manifest.provenance.prompts else {}
    different = [
        f"prompt {ref.name}"
        for ref in manifest.provenance.prompts
        if now.get(ref.name) != ref.sha256 and not (newer and ref.name not in now)
    ]
    guideline, own = manifest.provenance.sha256.get("guideline"), question
    if newer:
        own = _as_recorded(question, guideline)
    if guideline is not None and hash_file(own.guideline) != guideline:
        different.append(f"the guideline ({own.guideline})")
    if manifest.config.llm is None and not newer:
        different += compare_words(manifest, own)
    if question.topic != manifest.domain:
        different.append("the study's domain" if manifest.config.task is None else "what the task asks about")
        return different
    return different + _compare_tables(manifest, question)


def compare_inputs(manifest: Manifest, corpus: Corpus) -> list[str]:
    """Roles of inputs that are not those of the run, or that it did not record though it would have to.

    Raises:
        UnveilError: one is missing, or would have to be downloaded on the run's word alone.
    """
    study = corpus.study
    found = {**_hash_weights(manifest, study), "corpus": corpus.sha256}
    found |= _hash_texts(study)
    known = manifest.provenance.sha256
    return [
        role if role in known else f"{role} (the run does not say which it used)"
        for role in (*INPUTS, *(role for role in found if role not in INPUTS))
        if role in found and not _is_known(role, found[role], manifest, study)
    ]


def has_its_weights(manifest: Manifest, study: Study) -> bool:
    """Whether model and SAE of a run's arm are still the recorded ones.

    Raises:
        UnveilError: one is missing, or would have to be downloaded on the run's word alone.
    """
    return all(manifest.provenance.sha256.get(role) == found for role, found in _hash_weights(manifest, study).items())


def _as_recorded(question: Question, sha256: str | None) -> Question:
    """The question with that version of its guideline; with the newest where none is that one."""
    for place, file in enumerate(question.guidelines, 1):
        if sha256 is not None and file.is_file() and hash_file(file) == sha256:
            return question.model_copy(update={"guideline_version": place})
    return question


def _hash_weights(manifest: Manifest, study: Study) -> dict[str, str]:
    if not _is_at_hand_or_shipped(manifest, study):
        named = manifest.config.model or study.arm(manifest.config.sae).model
        raise RunError(
            f"the run names a model or SAE that would have to be downloaded ({named}), and its word is not enough for that: "
            "download it first, or start a new run"
        )
    return check_arm_files(study, manifest.config.sae).by_role()


def _hash_texts(study: Study) -> dict[str, str]:
    return {role: _hash_asset(study, path) for role, path in study_files(study).items() if role != "guideline"}


def _hash_asset(study: Study, path: Path) -> str:
    if not path.exists():
        raise StudyError(f"study {study.name}: {path} is missing")
    if not path.is_file():
        raise StudyError(f"study {study.name}: {path} is no plain file")
    return hash_file(path)


def _is_at_hand_or_shipped(manifest: Manifest, study: Study) -> bool:
    """Whether loading the run's arm downloads nothing that the manifest alone names."""
    config = manifest.config
    named_by_project = is_shipped(config.study) and config.model is None and config.sae in study.arms
    return named_by_project or is_at_hand(study, config.sae)


def _is_known(role: str, sha256: str, manifest: Manifest, study: Study) -> bool:
    """Whether an input is the run's; where the run recorded none, whether it is at least no file from elsewhere."""
    recorded = manifest.provenance.sha256.get(role)
    if recorded is not None:
        return recorded == sha256
    named_by_project = is_shipped(manifest.config.study) and manifest.config.model is None
    return (named_by_project and manifest.config.corpus is None) or _lies_inside(role, manifest, study)


def _lies_inside(role: str, manifest: Manifest, study: Study) -> bool:
    """Whether everything a study names for a role lies in its own folder: no other path, no climbing, no link that leaves."""
    arm, corpus, folder = study.arm(manifest.config.sae), study.corpus, study.folder.resolve()
    named: dict[str, tuple[str | None, ...]] = {
        "model": (arm.model, arm.adapter),
        "sae": (arm.sae, *(one.sae for one in arm.also)),
        "corpus": (corpus.file, *(source for source in corpus.texts if not source.startswith(HUB))),
        "vocabulary": (study.domain.vocabulary,),
        "vectors": (study.vectors.file,),
        "words": (study.vectors.words,),
    }
    paths = [study.folder / name for name in named[role.partition(" ")[0]] if name]
    return all(path.exists() and path.resolve().is_relative_to(folder) for path in paths)


def _compare_tables(manifest: Manifest, question: Question | None = None, asked: bool = True) -> list[str]:
    """Parts of the study file that say something else; `asked`: those of the question, or else all others.

    With the question of now, what a task asks in the study's place is looked at too.
    """
    known = manifest.study_sha256
    if not known:
        return []
    now = hash_parts(manifest.config, question)
    if question is None:
        known = {name: sha256 for name, sha256 in known.items() if name != TASK}
    names = [name for name in dict.fromkeys((*known, *now)) if (name in ASKED) == asked]
    told = {name: "what the task asks" if name == TASK else f"the study's [{name}]" for name in names}
    return [told[name] for name in names if known.get(name) != now.get(name)]


def _open_asked(manifest: Manifest) -> Question:
    """The question, if the manifest may have the files opened that ask it.

    Raises:
        StudyError, RunError: as `open_question`.
    """
    if different := find_untrusted(manifest):
        _refuse(different, ANEW)
    return open_asked(manifest.config)


def _refuse(different: list[str], remedy: str) -> NoReturn:
    verb = "is not the one" if len(different) == 1 else "are not those"
    raise RunError(f"{' and '.join(different)} {verb} the run used: {remedy}")
