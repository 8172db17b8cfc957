"""Two runs side by side: which features belong together, where the verdicts part, and what was set differently."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import ValidationError

from agent.errors import RunError
from evals.arms.results import Comparison
from evals.review.reading.decisions import OUTCOMES, Outcome, Row
from evals.review.runs import OpenRun
from tools.records import FeatureRef

Means = Literal["the same SAE", "decoder directions", "none"]


class Couple(NamedTuple):
    """Two features that are taken for one; either may not have been investigated."""

    left: Row | None
    right: Row | None
    cosine: float | None = None
    """Of the decoder directions, where the SAEs are different ones."""

    @property
    def parts(self) -> bool:
        """Whether both have a verdict, and not the same."""
        return self.left is not None and self.right is not None and self.left.outcome != self.right.outcome


class Coupled(NamedTuple):
    """How the features of two runs were paired, and the pairs."""

    means: Means
    couples: list[Couple]
    """Those whose verdicts differ first."""
    unpaired: tuple[int, int]
    """Features of each run without a partner that was investigated."""


def couple(left: OpenRun, right: OpenRun, rows: tuple[Sequence[Row], Sequence[Row]]) -> Coupled:
    """Pair the investigated features of two runs.

    Of one SAE, by number. Of two, only as a comparison by `python -m evals.compare` paired them, if there is one: equal
    numbers in two dictionaries mean nothing.

    Raises:
        RunError: the comparison's table does not read.
    """
    if is_same_sae(left, right):
        theirs = {_place(row.decision.feature): row for row in rows[1]}
        same_seed = left.manifest.config.seed == right.manifest.config.seed
        partners = [
            (row, theirs.get(_place(row.decision.feature)), None)
            for row in rows[0]
            if row.decision.feature.kind == "feature" or same_seed
        ]
        means: Means = "the same SAE"
    else:
        known = read_partners(left, right)
        theirs = {row.decision.feature.index: row for row in rows[1] if row.decision.feature.kind == "feature"}
        partners = []
        for row in rows[0] if known else ():
            partner = known.get(row.decision.feature.index) if row.decision.feature.kind == "feature" else None
            if partner is not None:
                partners.append((row, theirs.get(partner[0]), partner[1]))
        means = "decoder directions" if known else "none"
    couples = [Couple(one, other, cosine) for one, other, cosine in partners if other is not None]
    couples.sort(key=lambda pair: not pair.parts)
    return Coupled(means, couples, (len(rows[0]) - len(couples), len(rows[1]) - len(couples)))


def is_same_sae(left: OpenRun, right: OpenRun) -> bool:
    """Whether both runs are about one dictionary: by its hash, or by its name where evidence came from elsewhere."""
    hashes = [run.manifest.provenance.sha256.get("sae") for run in (left, right)]
    if None not in hashes:
        return hashes[0] == hashes[1]
    names = [{(d.feature.study, d.feature.sae) for d in run.decisions.values()} for run in (left, right)]
    return bool(names[0] & names[1])


def read_partners(left: OpenRun, right: OpenRun) -> dict[int, tuple[int, float]]:
    """For features of the left run the partner's number in the right one, with the cosine; empty without a comparison.

    Raises:
        RunError: the table does not read.
    """
    for first, second, columns in ((left, right, ("base", "finetuned")), (right, left, ("finetuned", "base"))):
        file = comparison_folder(first, second) / "features_changed.csv"
        if file.is_file():
            return _read_pairs(file, *columns)
    return {}


def comparison_folder(base: OpenRun, finetuned: OpenRun) -> Path:
    """Where `python -m evals.compare` writes unless told otherwise."""
    return base.folder.path / f"compare-{finetuned.folder.path.name}"


def read_comparison(left: OpenRun, right: OpenRun) -> Comparison | None:
    """What `python -m evals.compare` left of the two, in either order; None if they were not compared.

    Raises:
        RunError: it does not read.
    """
    for first, second in ((left, right), (right, left)):
        file = comparison_folder(first, second) / "comparison.json"
        if file.is_file():
            try:
                return Comparison.model_validate_json(file.read_bytes())
            except ValidationError as error:
                raise RunError(f"{file} is damaged or of another version; compare the runs anew") from error
    return None


def cross(couples: Sequence[Couple]) -> dict[Outcome, dict[Outcome, int]]:
    """Couples by the left verdict and the right one; verdicts that do not occur are left out."""
    counted = Counter((pair.left.outcome, pair.right.outcome) for pair in couples if pair.left and pair.right)
    lines: list[Outcome] = [name for name in OUTCOMES if any(key[0] == name for key in counted)]
    columns: list[Outcome] = [name for name in OUTCOMES if any(key[1] == name for key in counted)]
    return {line: {column: counted[line, column] for column in columns} for line in lines}


def list_settings(left: OpenRun, right: OpenRun) -> list[tuple[str, str, str]]:
    """What the two runs were told, or ran with, and is not the same: name, left, right."""
    one, other = (_flatten(run) for run in (left, right))
    names = dict.fromkeys([*one, *other])
    return [(n, one.get(n, "-"), other.get(n, "-")) for n in names if one.get(n) != other.get(n)]


def _flatten(run: OpenRun) -> dict[str, str]:
    """Every setting under a name of its own, inputs by the beginning of their hash."""
    config = run.manifest.config.model_dump(mode="json")
    nested = {
        f"{group}.{name}": value for group in ("llm", "limits") for name, value in (config.pop(group) or {}).items()
    }
    provenance = run.manifest.provenance
    return {
        **{name: str(value) for name, value in {**config, **nested}.items() if value is not None},
        **{f"sha256 of {name}": value[:12] for name, value in provenance.sha256.items()},
        **{f"prompt {ref.name}": ref.sha256[:12] for ref in provenance.prompts},
        **provenance.packages,
    }


def _place(feature: FeatureRef) -> tuple[int, str]:
    return feature.index, feature.kind


def _read_pairs(file: Path, ours: str, theirs: str) -> dict[int, tuple[int, float]]:
    with file.open(encoding="utf-8", newline="") as lines:
        try:
            return {
                int(line[ours]): (int(line[theirs]), float(line["cosine"]))
                for line in csv.DictReader(lines)
                if line[ours] and line[theirs]
            }
        except (KeyError, ValueError, TypeError) as error:
            raise RunError(f"{file} does not read: {error!r}; compare the runs anew") from error
