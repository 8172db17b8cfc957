"""Labels scored on text that nobody labelled from: `python -m evals.score RUN`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent.llm.flags import add_llm_flags
from tools.border.egress import guarded, reaching
from tools.display.flags import add_shared, whole
from tools.display.gates import read_requirement
from tools.display.terminal import Parser, door, say
from tools.machine import describe_load, look, settle_threads

if TYPE_CHECKING:
    from rich.progress import Progress

    from agent.folder.store import RunFolder
    from agent.llm.settings import LlmSettings
    from evals.scoring.asking import Asked
    from evals.scoring.records import ItemAnswer, ScoreReport, Task
    from evals.scoring.subjects import Labelled, Subject
    from prompts.loader import Prompt
    from tools.study.definition import Study

SHUFFLED = 40
TOKENS = 1_000_000
ASKS = ("any", "levels", "simulation")
CALLS = "score_calls.jsonl"
"""Every request and reply, in the run's folder evals/: a scoring that is made again asks nothing twice."""
OUTPUT_TOKENS, TOKENS_PER_TEXT = 1000, 40
"""Of a reply; models that think first need the room."""
TOKENS_SIMULATED = 400
"""The same of a text whose activations are guessed."""


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="python -m evals.score",
        description="Do a run's labels tell held-out texts in which their features are active from others (detection), "
        "and rightly from wrongly marked tokens (fuzzing)? Without --llm-model only words are compared. "
        "Exit status 1: a requirement is not met; 2: bad input.",
    )
    add_shared(parser, "run", "--features")
    parser.add_argument(
        "--contexts",
        type=whole(1, 10_000),
        default=10,
        metavar="N",
        help="texts of each kind per feature (default: 10)",
    )
    _add_texts(parser)
    _add_labels(parser)
    _add_model(parser)
    how = parser.add_argument_group("how")
    how.add_argument(
        "--beside",
        type=Path,
        action="append",
        default=[],
        metavar="RUN",
        help="another run that was scored, such as one on an untrained model's SAE: its figures become a control",
    )
    add_shared(
        how,
        "--require",
        type=read_requirement,
        help="exit with 1 unless it holds, such as 'detection_f1_low>=0.6'; may be given again",
    )
    add_shared(how, "--seed", "--allow-unproved", "--device", "--threads")
    return parser.parse_args(argv)


def _add_texts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--corpus",
        metavar="TEXTS",
        help="score on this instead of the study's held-out split: a file (.txt, .jsonl, .parquet; .txt.gz with a line <|doc|> "
        "between documents), a folder of such files, or hub:NAME; what copies text that labels were made from is left out",
    )
    parser.add_argument(
        "--tokens",
        type=whole(1000, 10**9),
        default=TOKENS,
        metavar="N",
        help="read so many of --corpus (default: %(default)s)",
    )


def _add_labels(parser: argparse.ArgumentParser) -> None:
    whose = parser.add_mutually_exclusive_group()
    add_shared(whose, "--labels", help="score the annotations in these labels files instead of the run's own labels")
    whose.add_argument(
        "--input-words",
        action="store_true",
        help="score, instead of the run's labels, the words at which its evidence shows each feature most active",
    )
    add_shared(parser, "--annotator", help="whose, where several people gave annotations")


def _add_model(parser: argparse.ArgumentParser) -> None:
    llm = parser.add_argument_group("a model that answers, beside the comparison of words; key in OPENAI_API_KEY")
    add_llm_flags(llm, without="default: none, only words are compared")
    batch = llm.add_mutually_exclusive_group()
    batch.add_argument("--batch", type=whole(1, 1000), default=5, metavar="N", help="texts per prompt (default: 5)")
    batch.add_argument("--one-per-prompt", action="store_const", const=1, dest="batch", help="the same as --batch 1")
    llm.add_argument(
        "--ask",
        nargs="+",
        choices=ASKS,
        default=["any", "levels"],
        metavar="WHAT",
        help="what the model is asked: any (any activation counts, for comparison with delphi), levels, simulation (which tokens, "
        "and how strongly) (default: any levels)",
    )
    llm.add_argument(
        "--shuffled",
        type=whole(0, 1_000_000),
        default=SHUFFLED,
        metavar="N",
        help="features of the model's shuffled control (default: %(default)s)",
    )


@door("what a model answered is kept; the same command goes on from there")
@guarded(__name__)
def main(argv: Sequence[str] | None = None) -> int:
    """Score, print and write; the exit status says whether every requirement is met."""
    arguments = parse_arguments(argv)
    settle_threads(arguments.threads)  # before numpy and torch are loaded
    from evals.reporting.page import as_lines
    from evals.scoring.report import lay_out, write_scores
    from tools.display.gates import judge_figures

    report, answers = score_run(arguments)
    files = write_scores(arguments.run / "evals", report, answers)
    say(*as_lines(lay_out(report)), "", str(files[0]))
    return judge_figures(arguments.require, report.figures)


def score_run(arguments: argparse.Namespace) -> tuple[ScoreReport, list[ItemAnswer]]:
    """The scoring that a command line asks for, and every answer it rests on.

    Raises:
        UnveilError: the run cannot be read, scored or restaged, or no model can be asked.
    """
    import asyncio

    from agent.folder.soundness import check_folder
    from agent.folder.store import RunFolder
    from agent.llm.named import reach_named
    from evals.scoring.drawing import describe_draw, draw_twice, read_text
    from evals.scoring.restaging import restage
    from evals.scoring.scorecard import list_answers, make_report, read_beside
    from evals.scoring.subjects import find_subjects
    from tools.activity.heldout import Draw
    from tools.bench.compute import count_threads
    from tools.display.console import LineConsole
    from tools.display.progress import Bars, waiting
    from tools.study.texts import check_texts

    console = LineConsole(stderr=True)
    folder = RunFolder.open(arguments.run)
    manifest = folder.manifest()
    decisions, labelled_by = take_labels(arguments, folder)
    if arguments.corpus is not None:
        check_texts(arguments.corpus, Path())
    beside = [row for other in arguments.beside for row in read_beside(other)]
    settings = reach_named(arguments, os.environ, console.print, room_for(arguments))
    with waiting(console, "load         model and SAE"):
        if note := describe_load(look(), count_threads()):
            console.print(note)
        stage = restage(manifest, arguments.device, arguments.allow_unproved)
    length = stage.study.observation.context_tokens
    draw = Draw(contexts=arguments.contexts, length=length, seed=arguments.seed)
    labelled = [decision.feature for decision in decisions if decision.label is not None]
    with Bars(console, "score") as progress:
        text = read_text(stage, arguments, progress)
        everyone = [decision.feature for decision in folder.decisions()]
        found = draw_twice(
            stage.bench,
            text,
            everyone,
            labelled,
            draw,
            manifest.config.seed,
            progress,
            at_median=manifest.densities is None,
        )
        subjects, others = find_subjects(decisions, found.any, arguments.seed, found.levels)
        asked = asyncio.run(ask_scorers(arguments, folder, stage.study, settings, subjects, progress))
    drawn = describe_draw(text, found, draw, [] if arguments.corpus is None else [Path(arguments.corpus).name])
    report = asyncio.run(make_report(manifest, asked, subjects, others, drawn, labelled_by, arguments.seed, beside))
    unproved = tuple(f"scored on a bench that FAILED its proof: {stage.proof.explain(c)}" for c in stage.proof.failed)
    report = report.model_copy(update={"remarks": (*unproved, *check_folder(folder).caveats, *report.remarks)})
    return report, list(list_answers(asked, subjects))


def take_labels(arguments: argparse.Namespace, folder: RunFolder) -> Labelled:
    """The labels that are scored: the run's own, somebody else's, or the words of its evidence.

    Raises:
        UnveilError: there are none, or it does not say whose.
    """
    from evals.manual.files import read_label_files
    from evals.scoring.inputs import take_input_words
    from evals.scoring.subjects import choose_decisions, take_annotations, take_own_labels

    chosen = choose_decisions(folder.decisions(), arguments.features)
    if arguments.labels:
        labels, _ = read_label_files(arguments.labels)
        return take_annotations(chosen, labels, arguments.annotator)
    return take_input_words(chosen, folder.finished_evidence()) if arguments.input_words else take_own_labels(chosen)


async def ask_scorers(
    arguments: argparse.Namespace,
    folder: RunFolder,
    study: Study,
    settings: LlmSettings | None,
    subjects: Sequence[Subject],
    progress: Progress,
) -> list[Asked]:
    """The comparison of words, then the model if there is one; its calls are remembered beside the run."""
    from agent.folder.records import PromptRef
    from agent.llm.calls import CallStore
    from agent.llm.client import LlmClient
    from evals.scoring.asking import PHASES, ask_all, shuffle_labels
    from evals.scoring.prompted import load_prompts
    from evals.scoring.records import ScorerRef
    from evals.scoring.scorers import LlmScorer, WordScorer, count_prompts
    from tools.survey.lexicon import load_study_vectors

    words, everyone = WordScorer(load_study_vectors(study)), shuffle_labels(subjects, None, arguments.seed)
    floor = await ask_all(words, ScorerRef(name=words.name, kind="words"), subjects, everyone, arguments.seed)
    if settings is None:
        return [floor]
    prompts: dict[Task, Prompt] = {
        task: prompt for what in arguments.ask for task, prompt in load_prompts(what).items()
    }
    pairs = shuffle_labels(subjects, arguments.shuffled, arguments.seed)
    n = [count_prompts(some, arguments.batch, prompts) for some in (subjects, [subject for subject, _ in pairs])]
    progress.console.print(f"{settings.model} is asked {n[0]:,} prompts, and {n[1]:,} with shuffled labels")
    task = progress.add_task(f"score        {settings.model}", total=len(PHASES) * (len(subjects) + len(pairs)))
    ref = ScorerRef(
        name=settings.model,
        kind="llm",
        base_url=settings.base_url,
        batch=arguments.batch,
        prompts=tuple(PromptRef(name=one.name, sha256=one.sha256) for one in dict.fromkeys(prompts.values())),
    )
    with folder.claimed(), reaching(settings.base_url):
        async with LlmClient(settings, CallStore(folder.path / "evals" / CALLS)) as client:
            scorer = LlmScorer(client, prompts, arguments.batch)
            found = await ask_all(scorer, ref, subjects, pairs, arguments.seed, lambda: progress.advance(task))
            used = client.store.spent
    return [floor, found._replace(scorer=ref.model_copy(update={"usage": used}))]


def room_for(arguments: argparse.Namespace) -> int:
    """Tokens of a reply about a batch of texts."""
    each = TOKENS_SIMULATED if "simulation" in arguments.ask else TOKENS_PER_TEXT
    return OUTPUT_TOKENS + each * arguments.batch


if __name__ == "__main__":
    sys.exit(main())
