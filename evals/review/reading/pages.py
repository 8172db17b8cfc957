"""The pages for reading: runs, decisions, features, transcripts, comparisons."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from fastapi import APIRouter, HTTPException, Request
from fastapi.templating import Jinja2Templates
from pydantic import ValidationError
from starlette.responses import FileResponse, Response

from agent.errors import RunError
from agent.folder.records import Decision
from evals.agreement.results import Agreement
from evals.agreement.tables import confusion_table, headline_table
from evals.errors import LabelError
from evals.manual.records import Label
from evals.review.desk import Desk
from evals.review.labelling.store import LabelStore
from evals.review.reading import beside, overview
from evals.review.reading.decisions import Row, Wanted, cut_page, find_neighbours, select, tabulate
from evals.review.reading.features import count_wins, line_up, mark_tokens, pile_contexts, warm_tokens
from evals.review.reading.neuronpedia import find_page
from evals.review.reading.steered import SteeredPages
from evals.review.reading.timeline import arrange, total
from evals.review.runs import OpenRun
from tools.errors import first_problem
from tools.proof.floors import keep_alive, reasons_in, say_dead
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


class Pages:
    """The pages for reading, a method each."""

    def __init__(self, desk: Desk, templates: Jinja2Templates) -> None:
        """Read what the examiner left beside each run.

        Raises:
            RunError: something of it does not read.
        """
        self.desk, self.templates = desk, templates
        self.programs = {label.annotator for label in desk.labels if label.machine}
        self.shelves = {name: _shelve(desk, run) for name, run in desk.runs.items()}

    def _page(self, request: Request, template: str, **context: object) -> Response:
        return self.templates.TemplateResponse(request, template, context)

    def _find(self, run: str) -> Shelf:
        if run not in self.shelves:
            raise HTTPException(404, "No run of that name is open here.")
        return self.shelves[run]

    def _find_feature(self, run: str, key: str) -> tuple[Shelf, Decision]:
        shelf = self._find(run)
        if key not in shelf.run.decisions:
            raise HTTPException(404, "This run has no decision on a feature of that name.")
        return shelf, shelf.run.decisions[key]

    def show_runs(self, request: Request) -> Response:
        """Runs that are open."""
        return self._page(request, "runs.html.j2", shelves=list(self.shelves.values()), overview=overview)

    def show_run(self, request: Request, run: str) -> Response:
        """A run: what is in it, and the table of its decisions."""
        shelf, wanted = self._find(run), read_wanted(request)
        agreement = shelf.agreement
        return self._page(
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
            tally=overview.tally_people(shelf.rows, self.programs),
            agreement=agreement,
            tables=(headline_table(agreement), confusion_table(agreement)) if agreement else None,
        )

    def show_agreement(self, request: Request, run: str) -> Response:
        """How far a run agrees with the labels that were given."""
        shelf = self._find(run)
        try:
            agreement = self.desk.agreement(shelf.run)
        except LabelError as error:
            raise HTTPException(404, str(error)) from error
        tables = (headline_table(agreement), confusion_table(agreement))
        return self._page(request, "agreement.html.j2", run=shelf.run, agreement=agreement, tables=tables)

    def show_figure(self, run: str, name: str) -> Response:
        """A plot of the run."""
        file = overview.list_figures(self._find(run).run).get(name)
        if file is None:
            raise HTTPException(404, "This run has no figure of that name.")
        return FileResponse(file, media_type="image/png")

    def show_feature(self, request: Request, run: str, key: str) -> Response:
        """Everything about one feature."""
        shelf, decision = self._find_feature(run, key)
        wanted = read_wanted(request)
        whole = shelf.run.evidence(key)
        dead = reasons_in(shelf.run.floors, decision.stratum)
        evidence = whole and keep_alive(whole, dead)
        return self._page(
            request,
            "feature.html.j2",
            run=shelf.run,
            key=key,
            decision=decision,
            wanted=wanted,
            neighbours=find_neighbours(select(shelf.rows, wanted), key),
            e=evidence,
            dead=[say_dead(instrument, why) for instrument, why in dead.items()],
            steered=whole.steering if whole else None,
            labels=self.desk.labels_on(decision.feature),
            settled=shelf.settled(decision.feature),
            chips=mark_tokens(evidence.projection, evidence.keywords) if evidence and evidence.projection else [],
            piles=pile_contexts(evidence) if evidence else [],
            wins=count_wins(evidence.steering) if evidence and evidence.steering else {},
            warm_tokens=warm_tokens,
            line_up=line_up,
            elsewhere=find_page(decision.feature, shelf.run.manifest),
        )

    def show_transcript(self, request: Request, run: str, key: str) -> Response:
        """How a feature was investigated, step by step."""
        shelf, decision = self._find_feature(run, key)
        try:
            steps = shelf.run.transcript(key)
        except RunError as error:
            raise HTTPException(404, f"The transcript does not read: {error}") from error
        return self._page(
            request,
            "transcript.html.j2",
            run=shelf.run,
            key=key,
            decision=decision,
            wanted=read_wanted(request),
            entries=arrange(shelf.run, steps),
            total=total(steps),
        )

    def show_call(self, run: str, sha256: str) -> Response:
        """A stored request and its reply."""
        call = self._find(run).run.call(sha256)
        if call is None:
            raise HTTPException(404, "This run stores no call under that hash.")
        return Response(call.model_dump_json(indent=1), media_type="application/json")

    def show_comparison(
        self, request: Request, left: str = "", right: str = "", parts: bool = False, number: int = 1
    ) -> Response:
        """Two runs side by side."""
        names = list(self.shelves)
        if not names:
            raise HTTPException(404, "No run is open that could be compared.")
        one, other = self._find(left or names[0]), self._find(right or names[-1])
        if one is other:
            return self._page(request, "compare.html.j2", left=one.run, right=other.run, coupled=None)
        coupled = beside.couple(one.run, other.run, (one.rows, other.rows))
        kept = [pair for pair in coupled.couples if pair.parts or not parts]
        return self._page(
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


def make_router(desk: Desk, templates: Jinja2Templates) -> APIRouter:
    """The pages for reading, by their addresses.

    Raises:
        RunError: what the examiner left beside a run does not read.
    """
    pages, steered, router = Pages(desk, templates), SteeredPages(desk, templates), APIRouter()
    routes: dict[str, Callable[..., Response]] = {
        "/": pages.show_runs,
        "/run/{run}": pages.show_run,
        "/run/{run}/agreement": pages.show_agreement,
        "/run/{run}/figures/{name}.png": pages.show_figure,
        "/run/{run}/feature/{key}": pages.show_feature,
        "/run/{run}/feature/{key}/transcript": pages.show_transcript,
        "/run/{run}/call/{sha256}": pages.show_call,
        "/compare": pages.show_comparison,
        "/steered/{run}": steered.show_run,
        "/steered/{run}/frontier.png": steered.show_frontier,
        "/steered.css": steered.show_style,
    }
    for path, show in routes.items():
        router.add_api_route(path, show, methods=["GET"], response_class=Response)
    return router


def read_wanted(request: Request) -> Wanted:
    """What a query asks of the table; empty fields of its form ask nothing.

    Raises:
        HTTPException: 422, a value does not fit.
    """
    try:
        return Wanted.model_validate({name: value for name, value in request.query_params.items() if value})
    except ValidationError as error:
        raise HTTPException(422, first_problem(error)) from error


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
    """The counts of both runs, a line per stratum."""
    one, other = ({line.stratum: line for line in overview.count_strata(run)} for run in (left, right))
    return [(stratum, one.get(stratum), other.get(stratum)) for stratum in dict.fromkeys([*one, *other])]
