"""What a run page says before the table: counts by stratum, failures, cost, and agreement with people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from agent.errors import RunError
from agent.folder.records import StratumRow
from agent.llm.records import Usage
from evals.agreement.results import Agreement
from evals.review.reading.decisions import OUTCOMES, Outcome, Row, outcome_of
from evals.review.runs import OpenRun
from tools.proof.floors import Instrument
from tools.records import STRATA, Stratum

_DRAWN: dict[str, Instrument] = {
    "keywords": "keywords",
    "coherence": "coherence",
    "steering": "steering",
    "enrichment": "contexts",
}
"""What each of a run's plots shows."""


class Counts(NamedTuple):
    """Decisions of one stratum."""

    stratum: Stratum
    population: int | None
    n: int
    outcomes: dict[Outcome, int]
    measured: StratumRow | None
    """Medians and win rates, once the run has its summary."""


class Spent(NamedTuple):
    """What a run has cost so far."""

    usage: Usage
    priced: bool
    """Whether the price table knew the model."""


def count_strata(run: OpenRun) -> list[Counts]:
    """A line for each stratum with a decision."""
    sizes = {size.stratum: size.population for size in (run.manifest.selection.sizes if run.manifest.selection else ())}
    rows = {row.stratum: row for row in (run.summary.strata if run.summary else ())}
    counted = Counter((decision.stratum, outcome_of(decision)) for decision in run.decisions.values())
    found: list[Counts] = []
    for stratum in STRATA:
        outcomes: dict[Outcome, int] = {name: counted[stratum, name] for name in OUTCOMES}
        if n := sum(outcomes.values()):
            found.append(Counts(stratum, sizes.get(stratum), n, outcomes, rows.get(stratum)))
    return found


def count_outcomes(run: OpenRun) -> dict[Outcome, int]:
    """Decisions of the whole run."""
    counted = Counter(map(outcome_of, run.decisions.values()))
    return {name: counted[name] for name in OUTCOMES}


def count_failures(run: OpenRun) -> list[tuple[str, int]]:
    """Failed features by type, the commonest first."""
    return Counter(decision.failure.type for decision in run.decisions.values() if decision.failure).most_common()


def count_selected(run: OpenRun) -> int:
    """Features that the run is to decide on; those it has decided on while nothing is selected."""
    return len(run.manifest.selection.items) if run.manifest.selection else len(run.decisions)


def sum_cost(run: OpenRun) -> Spent:
    """Calls, tokens and money. The summary counts a request that several features share once."""
    usage = run.summary.usage if run.summary else sum((decision.usage for decision in run.decisions.values()), Usage())
    return Spent(usage, priced=usage.usd > 0 or usage.calls == 0)


def read_agreement(run: OpenRun) -> Agreement | None:
    """What `python -m evals.run` left beside the run; None if it was not examined.

    Raises:
        RunError: it does not read.
    """
    file = run.folder.path / "evals" / "agreement.json"
    if not file.is_file():
        return None
    try:
        return Agreement.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise RunError(f"{file} is damaged or of another version; make it anew with python -m evals.run") from error


def list_figures(run: OpenRun) -> dict[str, Path]:
    """The run's plots by name, but for those drawn before what they show was found dead."""
    dead = {floor.instrument for floor in run.floors} if run.manifest.floors is None else set[Instrument]()
    files = sorted((run.folder.path / "figures").glob("*.png"))
    return {file.stem: file for file in files if _DRAWN.get(file.stem) not in dead}


class Tally(NamedTuple):
    """The people's answers beside the machine's, in plain counts."""

    features: int
    differing: int
    """Of these, on how many someone answered otherwise than the machine."""
    people: tuple[str, ...]
    """Who answered; programs are called that."""


def tally_people(rows: Sequence[Row], programs: Container[str]) -> Tally:
    """How many features people answered on, and where they differ.

    Args:
        rows: of the table.
        programs: names among the annotators that are a program's.
    """
    answered = [row for row in rows if row.people]
    names = {name for row in answered for name, _ in row.people}
    return Tally(
        features=len(answered),
        differing=sum(bool(row.differing) for row in answered),
        people=tuple(f"{name} (a program)" if name in programs else name for name in sorted(names)),
    )
