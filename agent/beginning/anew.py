"""A new run: of a study's arm, on evidence from elsewhere, or on the evidence of another run."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent.beginning.description import create_folder, describe_run
from agent.beginning.flags import configure, reconfigure
from agent.beginning.greeting import greet, warn, warn_of_vocabulary
from agent.beginning.inputs import check_inputs, check_rater

if TYPE_CHECKING:
    from rich.console import Console

    from agent.folder.config import RunConfig
    from agent.folder.store import RunFolder
    from tools.records import Evidence
    from tools.study.definition import Question


def start(arguments: argparse.Namespace, console: Console, command: Sequence[str]) -> int:
    """A new run: of a study's arm, of an SAE of the user's, or on evidence from elsewhere.

    A dry run goes the same way up to where a folder would be made, but sends nothing: it loads model and SAE and has the
    bench prove itself.
    """
    config = configure(arguments, os.environ)
    if config.evidence is not None:
        return _judge_evidence(arguments, config, console, command)
    from tools.display.progress import waiting

    with waiting(console, "check        libraries and files", lasting=False):
        from agent.beginning.inputs import check_settings
        from agent.beginning.reaching import prepare
        from agent.folder.asking import open_asked, question_files
        from agent.folder.config import open_study
        from agent.folder.provenance import study_files
        from agent.selection.strategy import prepare as prepare_choice
        from tools.study.corpus import Corpus

        corpus = Corpus(study := open_study(config))
        hashes = check_inputs(study, config)
        check_settings(study, config)
        check_rater(question := open_asked(config), config)
        choice = prepare_choice(corpus, config)
    greet(question, config, console)
    for line in choice.lines:
        console.print(line)
    warn_of_vocabulary(study, console)
    reached = prepare(config, arguments, os.environ, console.print)
    known = {**hashes.by_role(), "corpus": corpus.sha256, **choice.hashes}
    with waiting(console, "load         libraries"):
        from agent.stages.conduct import conduct
        from agent.stages.gather import open_bench
    opened = open_bench(corpus, reached.config, console, hashes)  # before there is a folder: much can be wrong here
    choice.check(opened.bench)
    described = describe_run(
        question, reached, arguments, command, known, {**study_files(study), **question_files(question)}
    )
    if arguments.dry_run:
        at_most = choice.most(study, config, opened.bench.d_sae)
        return _estimate(question, config, at_most, (), console, arguments)
    folder = create_folder(arguments.runs, described.model_copy(update=opened.found))
    return conduct(folder, question, reached, console, opened=opened)


def _judge_evidence(arguments: argparse.Namespace, config: RunConfig, console: Console, command: Sequence[str]) -> int:
    from agent.beginning.reaching import prepare
    from agent.stages.conduct import conduct
    from agent.stages.imported import read_evidence, select_imported
    from tools.proof.floors import find_dead
    from tools.study.reading import load_question

    question = load_question(config.study)
    file = Path(config.evidence or "")
    evidence = read_evidence(file, question.name)
    selection = select_imported(evidence, config.features, config.limit)
    keys = {item.feature.key for item in selection.items}
    chosen = [record for record in evidence if record.feature.key in keys]
    files = {"guideline": question.guideline, "evidence": file}
    question.read_guideline()  # before a run is made
    greet(question, config, console)
    reached = prepare(config, arguments, os.environ, console.print)
    found = {"selection": selection, "floors": find_dead(chosen)}
    manifest = describe_run(question, reached, arguments, command, {}, files).model_copy(update=found)
    if arguments.dry_run:
        return _estimate(question, config, len(chosen), chosen, console, arguments)
    folder = create_folder(arguments.runs, manifest, lambda folder: folder.write_evidence(chosen))
    return conduct(folder, question, reached, console)


def rejudge(arguments: argparse.Namespace, console: Console, command: Sequence[str]) -> int:
    """A new run on the evidence of another."""
    from agent.beginning.reaching import prepare
    from agent.folder.asking import question_files
    from agent.folder.entrusted import CHOSEN_BY, INPUTS, check_rejudged, open_question
    from agent.folder.floors import floors_of
    from agent.folder.soundness import check_folder
    from agent.folder.store import RunFolder
    from agent.folder.withheld import say_withheld, withhold
    from agent.stages.conduct import conduct
    from agent.stages.recall import recall_cases, write_cases

    parent = RunFolder.open(arguments.rejudge)
    known, stored = parent.manifest(), parent.finished_evidence()
    config = reconfigure(known.config, arguments, os.environ)
    evidence = withhold(stored, config.without)
    question = open_question(known, reads_guideline=config.llm is not None, anew=True)
    differs = check_rejudged(known, question, arguments.allow_different)
    selection = known.selection
    cases = recall_cases(parent, selection.items if selection else ())
    cases = [case.bare() for case in cases] if config.without else cases
    check_rater(question, config)
    files = {**question_files(question), "evidence": parent.evidence_file}
    greet(question, config, console)
    console.print(f"  judges the evidence of {parent.path} again")
    found_now = check_folder(parent).caveats
    warn((*known.caveats, *found_now), console)
    reached = prepare(config, arguments, os.environ, console.print)
    hashes = {role: known.provenance.sha256[role] for role in (*INPUTS, *CHOSEN_BY) if role in known.provenance.sha256}
    described = describe_run(question, reached, arguments, command, hashes, files)

    def fill(folder: RunFolder) -> None:
        if (survey := parent.path / "features.parquet").is_file():
            shutil.copy(survey, folder.path / survey.name)
        write_cases(folder.path, cases)
        folder.write_evidence(evidence)

    inherited = {
        "selection": selection,
        "parent": known.run_id,
        "proof": known.proof,
        "densities": known.densities,
        "floors": floors_of(parent.path, known, stored),
        "inherited": (
            *differs,
            *say_withheld([kind for kind in config.without if kind not in known.config.without]),
            *(f"of the run judged again: {text}" for text in found_now),
        ),
    }
    manifest = described.model_copy(update=inherited)
    if arguments.dry_run:
        return _estimate(question, config, len(cases), evidence, console, arguments, judged_again=True)
    return conduct(create_folder(arguments.runs, manifest, fill), question, reached, console)


def _estimate(
    question: Question,
    config: RunConfig,
    n_features: int,
    evidence: Sequence[Evidence],
    console: Console,
    arguments: argparse.Namespace,
    judged_again: bool = False,
) -> int:
    if config.llm is not None:
        from agent.beginning.estimate import estimate_run

        found = estimate_run(config, question, n_features, evidence, judged_again)
        for line in found.lines(config.llm, config.limits.budget_usd):
            console.print(line)
        console.print(f"  not tried: whether {config.llm.base_url} answers, knows its models and takes the key")
    console.print(f"dry run: everything needed is there; nothing was done. Run folders go to {arguments.runs}/")
    return 0
