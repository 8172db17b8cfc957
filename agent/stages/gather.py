"""The stages of a run, in order: survey, select, observe, investigate, summarise. Each leaves its result in the folder."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console

from agent.errors import RunError, Unwritable
from agent.folder.config import RunConfig
from agent.folder.floors import find_floors, floors_of
from agent.folder.records import Decision, SelectedFeature, Summary
from agent.folder.store import RunFolder, write_whole
from agent.investigation.graph import build_graph
from agent.investigation.state import Context, FeatureState
from agent.judges.roster import appoint
from agent.llm.calls import CallStore
from agent.report.closing import remark_on, remark_on_task
from agent.report.page import write_report
from agent.report.summary import summarise
from agent.selection.strategy import Ground, prepare
from agent.stages.recall import Case, read_cases
from agent.stages.recipients import traced
from agent.stages.remarks import count_sinks, describe_hits, describe_selection
from tools.display.progress import Bars, waiting
from tools.machine import describe_load, look
from tools.proof.outcome import Probe, Proof
from tools.records import Evidence
from tools.study.definition import Question, Study
from tools.whole_files import replacing

if TYPE_CHECKING:
    from agent.investigation.assembly import Assembly
    from tools.bench.arms import ArmHashes
    from tools.bench.workbench import Workbench
    from tools.study.corpus import Corpus
    from tools.survey.lexicon import Lexicon


class Stopwatch:
    """Wall seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def time(self, stage: str) -> Generator[None]:
        """Adds the time of the block to the stage."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.monotonic() - began, 3)


class Opened(NamedTuple):
    """A bench, and what is known of it before anything is observed."""

    corpus: Corpus
    bench: Workbench
    probe: Probe
    proof: Proof
    threads: int
    """Of torch."""
    lexicon: Lexicon
    """The study's words, as the model's tokens spell them."""
    watch: Stopwatch
    """It has timed the opening, and goes on to time the run."""

    @property
    def study(self) -> Study:
        """The corpus' own."""
        return self.corpus.study

    @property
    def found(self) -> dict[str, object]:
        """What the manifest says of the bench: device, dtype and source of the weights, threads, probe and proof."""
        read = f", from {self.bench.source}" if self.bench.source else ""
        changed = f"; {self.bench.change}" if self.bench.change else ""
        computed = f"{self.bench.device} in {str(self.bench.dtype).removeprefix('torch.')}{read}{changed}"
        return {"computed": computed, "threads": self.threads, "probe": self.probe, "proof": self.proof}


def open_bench(corpus: Corpus, config: RunConfig, console: Console, hashes: ArmHashes | None = None) -> Opened:
    """Put the run's arm on the bench and have it prove itself; `hashes` are of its files, if they were checked just now.

    Raises:
        UnveilError: it does not load, does not prove itself, or has no room for the study's prompts.
    """
    study, watch = corpus.study, Stopwatch()
    with watch.time("load"), waiting(console, "load         model and SAE"):
        from tools.bench.compute import Compute, count_threads, settle_precision
        from tools.bench.loading import load_arm
        from tools.bench.text_part import describe_unread
        from tools.dictionaries.belonging import probe_reconstruction, probe_rows
        from tools.effects.steering import check_room
        from tools.proof.proof import require_proof
        from tools.survey.features import prepare_survey

        if note := describe_load(look(), count_threads()):
            console.print(note)
        precision = settle_precision(config.precision, study.precision)
        compute = Compute(config.device, precision, int(config.memory_gib * 2**30))
        bench = load_arm(study, config.sae, compute, hashes)
    bench.take_up(corpus)
    check_room(bench, study.steering.prompts, study.steering.new_tokens, study.steering.prompt_form)
    with watch.time("load"), waiting(console, "load         words and their vectors"):
        lexicon = prepare_survey(bench, study)
    if unread := describe_unread(bench.bridge.original_model):
        console.print(f"note: {unread}")
    with watch.time("proof"), waiting(console, "proof        of the bench", lasting=False):
        probe = probe_reconstruction(bench, probe_rows(bench, study))
        proof = require_proof(bench, probe, config.allow_unproved)
    if probe.without_direction:
        console.print(
            f"note: {probe.without_direction:,} of {bench.d_sae:,} features have no direction, for their decoder row is 0: "
            "none of them is selected"
        )
    if probe.sinks:
        console.print(
            f"note: {probe.sinks} of {probe.sinks + probe.n_tokens:,} positions of a short text are attention sinks "
            f"(residual stream over {probe.sink_multiple:g} times the usual {probe.usual_norm:.0f}), and count as no text"
        )
    if probe.doubt:
        console.print(f"warning: the SAE of arm {bench.arm_name} {probe.doubt}")
    for check in proof.failed:
        console.print(f"warning: {proof.explain(check)}")
    console.print(f"proof        {proof.sentence}")
    return Opened(corpus, bench, probe, proof, count_threads(), lexicon, watch)


class Gathered(NamedTuple):
    """What the observation leaves in memory; all else is in the folder."""

    evidence: list[Evidence]
    lens: Any
    """What directions were projected on, for instruments that project more of them."""


def gather_evidence(folder: RunFolder, config: RunConfig, opened: Opened, console: Console) -> Gathered:
    """Survey, select and observe, with the model on the bench."""
    from tools.observation import observe
    from tools.proof.floors import NullSample
    from tools.survey.features import survey_features, tabulate

    study, watch = opened.study, opened.watch
    with watch.time("survey"), Bars(console, "survey") as progress:
        survey = survey_features(opened.bench, study, config.seed, progress, opened.lexicon)
        table = tabulate(survey)
    console.print(f"survey       {len(table):,} features in {watch.seconds['survey']:.1f} s")
    if survey.report is not None:
        console.print(f"             {survey.report.sentence}")
        if survey.report.note:
            console.print(f"note: {survey.report.note}")
    for line in describe_hits(survey, study):
        console.print(f"             {line}")
    with watch.time("select"), Bars(console, "select") as progress:
        chosen = prepare(opened.corpus, config).choose(Ground(table, study, config, opened.bench, progress))
    with replacing(folder.path / "features.parquet") as fresh:
        table.assign(**chosen.columns).to_parquet(fresh, index=False)
    selection = chosen.selection
    folder.amend(selection=selection, lens=survey.report)
    console.print(f"select       {describe_selection(selection, survey.null.hits, study)}")
    for note in selection.notes:
        console.print(f"{'':13}{note}")
    with watch.time("observe"), Bars(console, "observe") as progress:
        evidence = observe(
            opened.bench,
            study,
            survey,
            selection.items,
            config.seed,
            progress,
            lambda found: folder.amend(densities=found),
        )
    watch.seconds |= progress.seconds()
    sinks = count_sinks(opened.bench, study, evidence)
    if sinks and sinks.positions:
        console.print(f"observe      {sinks.sentence}")
    null = NullSample(survey.null.hits, survey.null.coherence.deduplicated)
    floors = find_floors(folder.path, evidence, null)
    for floor in floors:
        console.print(floor.text)
    folder.amend(floors=floors, sinks=sinks)
    folder.write_evidence(evidence)
    return Gathered(evidence, survey.lens)


def investigate(
    folder: RunFolder,
    question: Question,
    config: RunConfig,
    evidence: Sequence[Evidence],
    assembly: Assembly | None,
    console: Console,
    watch: Stopwatch,
) -> list[Decision]:
    """Run the graph for every feature that has no decision yet, many at once, and store each as it ends.

    Args:
        folder: of the run; cases stored in it go straight to the judge.
        question: what is asked of every feature.
        config: the run's.
        evidence: of all selected features.
        assembly: what an LLM needs to investigate and judge; None for the rules judge.
        console: for progress.
        watch: for the time taken.

    Raises:
        Unwritable: a result could not be stored. What was finished is.
    """
    manifest = folder.manifest()
    if manifest.selection is None:
        raise RunError(f"{folder.path} has evidence but no selection: start a new run")
    done = {decision.feature.key for decision in folder.decisions()}
    cases = read_cases(folder.path)
    todo = [_open_case(item, cases) for item in manifest.selection.items if item.feature.key not in done]
    by_key = {record.feature.key: record for record in evidence}
    with watch.time("investigate"), Bars(console, "investigate") as progress:
        total = len(manifest.selection.items)
        status = (lambda: assembly.status) if assembly else ""
        task = progress.add_task("investigate  features", total=total, completed=len(done), status=status)

        async def work() -> None:
            async with assembly or nullcontext() as investigator:
                judge = assembly.judge if assembly else appoint(config, question)
                context = Context(manifest.run_id, judge, by_key, investigator, manifest.floors)
                at_once = config.llm.concurrency if config.llm else 1
                await _investigate_all(folder, todo, context, at_once, lambda: progress.update(task, advance=1))

        try:
            with traced(config.traced):
                asyncio.run(work())
        except ExceptionGroup as several:  # the others were cancelled: nothing more is asked
            if (unwritable := several.subgroup(Unwritable)) is None:
                raise
            raise first_of(unwritable) from None
    folder.sort_decisions([item.feature for item in manifest.selection.items])
    return folder.decisions()


def first_of(group: BaseExceptionGroup[Unwritable]) -> Unwritable:
    """The first error in a group of several."""
    error = group.exceptions[0]
    return first_of(error) if isinstance(error, BaseExceptionGroup) else error


def _open_case(item: SelectedFeature, cases: Mapping[str, Case]) -> FeatureState:
    case = cases.get(item.feature.key)
    return FeatureState(item=item) if case is None else case.state(item)


async def _investigate_all(
    folder: RunFolder, todo: Sequence[FeatureState], context: Context, at_once: int, advance: Callable[[], None]
) -> None:
    graph = build_graph()
    slots = asyncio.Semaphore(at_once)

    async def investigate_one(state: FeatureState) -> None:
        async with slots:
            result = await graph.ainvoke(state, context=context)
        feature, final = state.item.feature, FeatureState.model_validate(result)
        if final.decision is None:
            raise RunError(f"the graph ended without a decision on {feature.key}: this is a bug")
        folder.write_transcript(feature, final.steps)
        folder.append_decision(final.decision)
        advance()

    async with asyncio.TaskGroup() as group:
        for state in todo:
            group.create_task(investigate_one(state))


def calls_of(folder: RunFolder) -> CallStore:
    """All stored calls of a run, to be read: what equal requests of several features consumed counts once there."""
    return CallStore(folder.path / "llm_calls.jsonl", replay_only=True)


def conclude(
    folder: RunFolder,
    question: Question,
    evidence: Sequence[Evidence],
    decisions: Sequence[Decision],
    d_sae: int | None,
    watch: Stopwatch,
) -> Summary:
    """Write `summary.json`, tables, figures and the report."""
    manifest = folder.manifest()
    with watch.time("report"):
        concepts, calls = tuple(question.rating.concepts) if question.rating else (), calls_of(folder)
        summary = summarise(
            manifest.run_id,
            decisions,
            evidence,
            manifest.selection,
            d_sae,
            usage=calls.spent,
            concepts=concepts,
            floors=floors_of(folder.path, manifest, evidence),
            remarks=(*remark_on(calls), *remark_on_task(manifest.selection, decisions)),
        )
        own = manifest.config.model_name
        title = f"{question.topic.capitalize()} in {own}" if own else question.title
        write_report(folder, title, summary, evidence, decisions)
    summary = summary.model_copy(update={"seconds": dict(watch.seconds)})
    write_whole(folder.path / "summary.json", summary.model_dump_json(indent=1) + "\n")
    return summary
