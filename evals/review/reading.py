"""The pages for reading: runs, decisions, features, transcripts, comparisons."""

from __future__ import annotations

from typing import NamedTuple

from fastapi import APIRouter, HTTPException, Request
from fastapi.templating import Jinja2Templates
from pydantic import ValidationError
from starlette.responses import FileResponse, Response

from agent.errors import RunError
from agent.records import Decision
from evals.errors import LabelError
from evals.records import Label
from evals.results import Agreement
from evals.review import beside, overview
from evals.review.decisions import Row, Wanted, cut_page, find_neighbours, select, tabulate
from evals.review.desk import Desk
from evals.review.features import count_wins, line_up, mark_tokens, pile_contexts, warm_tokens
from evals.review.label_store import LabelStore
from evals.review.neuronpedia import find_page
from evals.review.runs import OpenRun
from evals.review.timeline import arrange, total
from evals.tables import confusion_table, headline_table
from tools.records import FeatureRef


class Shelf(NamedTuple):
    """A run with what its pages need again and again."""

    run: OpenRun
    rows: list[Row]
    agreement: Agreement | None
    store: LabelStore
    """Labels written at the desk; of these, pages for reading show only what settles a question."""

    def settled(self, feature: FeatureRef) -> list[Label]:
        """What people settled knowing the machine's answer, the newest last."""
        return [label for labels in self.store.settled().values() for label in labels if label.item.fits(feature)]


def make_router(desk: Desk, templates: Jinja2Templates) -> APIRouter:
    """The pages for reading.

    Raises:
        RunError: what the examiner left beside a run does not read.
    """
    router = APIRouter()
    programs = {label.annotator for label in desk.labels if label.machine}
    shelves = {name: _shelve(desk, run) for name, run in desk.runs.items()}

    def page(request: Request, template: str, **context: object) -> Response:
        return templates.TemplateResponse(request, template, context)

    def find(run: str) -> Shelf:
        if run not in shelves:
            raise HTTPException(404, "No run of that name is open here.")
        return shelves[run]

    def find_feature(run: str, key: str) -> tuple[Shelf, Decision]:
        shelf = find(run)
        if key not in shelf.run.decisions:
            raise HTTPException(404, "This run has no decision on a feature of that name.")
        return shelf, shelf.run.decisions[key]

    @router.get("/")
    def show_runs(request: Request) -> Response:
        return page(request, "runs.html.j2", shelves=list(shelves.values()), overview=overview)

    @router.get("/run/{run}")
    def show_run(request: Request, run: str) -> Response:
        shelf, wanted = find(run), read_wanted(request)
        agreement = shelf.agreement
        return page(
            request,
            "run.html.j2",
            run=shelf.run,
            wanted=wanted,
            listed=cut_page(select(shelf.rows, wanted), wanted.page),
            total=len(shelf.rows),
            shown=_columns(shelf.rows),
            strata=overview.count_strata(shelf.run),
            outcomes=[name for name, count in overview.count_outcomes(shelf.run).items() if count],
            failures=overview.count_failures(shelf.run),
            selected=overview.count_selected(shelf.run),
            spent=overview.sum_cost(shelf.run),
            figures=list(overview.list_figures(shelf.run)),
            tally=overview.tally_people(shelf.rows, programs),
            agreement=agreement,
            tables=(headline_table(agreement), confusion_table(agreement)) if agreement else None,
        )

    @router.get("/run/{run}/agreement")
    def show_agreement(request: Request, run: str) -> Response:
        shelf = find(run)
        try:
            agreement = desk.agreement(shelf.run)
        except LabelError as error:
            raise HTTPException(404, str(error)) from error
        tables = (headline_table(agreement), confusion_table(agreement))
        return page(request, "agreement.html.j2", run=shelf.run, agreement=agreement, tables=tables)

    @router.get("/run/{run}/figures/{name}.png")
    def show_figure(run: str, name: str) -> Response:
        file = overview.list_figures(find(run).run).get(name)
        if file is None:
            raise HTTPException(404, "This run has no figure of that name.")
        return FileResponse(file, media_type="image/png")

    @router.get("/run/{run}/feature/{key}")
    def show_feature(request: Request, run: str, key: str) -> Response:
        shelf, decision = find_feature(run, key)
        wanted = read_wanted(request)
        evidence = shelf.run.evidence(key)
        return page(
            request,
            "feature.html.j2",
            run=shelf.run,
            key=key,
            decision=decision,
            wanted=wanted,
            neighbours=find_neighbours(select(shelf.rows, wanted), key),
            e=evidence,
            labels=desk.labels_on(decision.feature),
            settled=shelf.settled(decision.feature),
            chips=mark_tokens(evidence.projection, evidence.keywords) if evidence and evidence.projection else [],
            piles=pile_contexts(evidence) if evidence else [],
            wins=count_wins(evidence.steering) if evidence and evidence.steering else {},
            warm_tokens=warm_tokens,
            line_up=line_up,
            elsewhere=find_page(decision.feature, shelf.run.manifest.config),
        )

    @router.get("/run/{run}/feature/{key}/transcript")
    def show_transcript(request: Request, run: str, key: str) -> Response:
        shelf, decision = find_feature(run, key)
        try:
            steps = shelf.run.transcript(key)
        except RunError as error:
            raise HTTPException(404, f"The transcript does not read: {error}") from error
        return page(
            request,
            "transcript.html.j2",
            run=shelf.run,
            key=key,
            decision=decision,
            wanted=read_wanted(request),
            entries=arrange(shelf.run, steps),
            total=total(steps),
        )

    @router.get("/run/{run}/call/{sha256}")
    def show_call(run: str, sha256: str) -> Response:
        call = find(run).run.call(sha256)
        if call is None:
            raise HTTPException(404, "This run stores no call under that hash.")
        return Response(call.model_dump_json(indent=1), media_type="application/json")

    @router.get("/compare")
    def show_comparison(
        request: Request, left: str = "", right: str = "", parts: bool = False, number: int = 1
    ) -> Response:
        names = list(shelves)
        one, other = find(left or names[0]), find(right or names[-1])
        if one is other:
            return page(request, "compare.html.j2", left=one.run, right=other.run, coupled=None)
        coupled = beside.couple(one.run, other.run, (one.rows, other.rows))
        kept = [pair for pair in coupled.couples if pair.parts or not parts]
        return page(
            request,
            "compare.html.j2",
            left=one.run,
            right=other.run,
            coupled=coupled,
            crossed=beside.cross(coupled.couples),
            differing=sum(pair.parts for pair in coupled.couples),
            parts=parts,
            listed=cut_page(kept, max(1, number)),
            strata=_join_strata(one.run, other.run),
            spent=(overview.sum_cost(one.run), overview.sum_cost(other.run)),
            settings=beside.list_settings(one.run, other.run),
            comparison=beside.read_comparison(one.run, other.run),
        )

    return router


def read_wanted(request: Request) -> Wanted:
    """What a query asks of the table; empty fields of its form ask nothing.

    Raises:
        HTTPException: 422, a value does not fit.
    """
    try:
        return Wanted.model_validate({name: value for name, value in request.query_params.items() if value})
    except ValidationError as error:
        first = error.errors()[0]
        raise HTTPException(422, f"{first['loc'][0]}: {first['msg']}") from error


def _shelve(desk: Desk, run: OpenRun) -> Shelf:
    def people(decision: Decision) -> list[Label]:
        return [label for label in desk.labels_on(decision.feature) if desk.programs or not label.machine]

    store = LabelStore(run.folder.path / "labels")
    return Shelf(run, tabulate(run.decisions, run.glances, people), overview.read_agreement(run), store)


def _columns(rows: list[Row]) -> dict[str, bool]:
    """Columns that are shown only where some row has a value."""
    return {
        "people": any(row.people for row in rows),
        "repeats": any(row.repeats is not None for row in rows),
        "steering": any(row.glance.steering is not None for row in rows),
        "coherence": any(row.glance.coherence is not None for row in rows),
    }


def _join_strata(left: OpenRun, right: OpenRun) -> list[tuple[str, overview.Counts | None, overview.Counts | None]]:
    """The counts of both runs, a line a stratum."""
    one, other = ({line.stratum: line for line in overview.count_strata(run)} for run in (left, right))
    return [(stratum, one.get(stratum), other.get(stratum)) for stratum in dict.fromkeys([*one, *other])]
