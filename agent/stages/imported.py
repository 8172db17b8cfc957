"""Evidence that comes from elsewhere: a JSONL file, one feature per line, in either of two forms.

The plain form is for other tools' output. Only `feature` and one kind of evidence are needed:

    {"feature": 3844, "sae": "pythia-70m/resid_3", "top_tokens": [["enamel", 2.1], "caries"], "bottom_tokens": ["tax"],
     "contexts": ["a << dental>>(4) office", {"tokens": ["a", " dental"], "activations": [0, 4.0]}], "density": 0.001}

In a context that is text, `<<marked>>` stretches are the active ones, with their activation in brackets if it is known:
the form of automated-interpretability prompts. The other form is a line of a run's `evidence.jsonl`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field, ValidationError

from agent.errors import RunError
from agent.folder.records import SelectedFeature, Selection, StratumSize
from agent.lines import strict_json
from tools.border.json_text import DEEPEST, is_deep
from tools.border.text_files import read_text
from tools.errors import first_problem
from tools.records import (
    LARGEST_INDEX,
    ActivationEvidence,
    Context,
    Evidence,
    FeatureRef,
    Projection,
    Record,
    TokenWeight,
)

_NUMBER = re.compile(r"\((-?\d{1,30}(?:\.\d{1,30})?)\)")
"""Of an activation, after a mark."""
_WORD = re.compile(r"\s*\S+|\s+\Z")
_NAMED = 3
"""Bad lines named in an error; the rest are counted."""

LONGEST_LINE = 16 * 2**20
"""Most characters of a line."""
LONGEST_TEXT = 200_000
"""Most characters of one piece of text: a context is a few hundred."""

Name = Annotated[str, Field(min_length=1, max_length=400)]
Weight = Annotated[float, Field(allow_inf_nan=False)]


Tokens = Annotated[tuple[str | tuple[str, Weight], ...], Field(max_length=1_000)]


class MarkedContext(Record):
    """A context whose tokens are told apart."""

    tokens: Annotated[tuple[str, ...], Field(min_length=1, max_length=20_000)]
    activations: tuple[Weight, ...] | None = None


class ImportedFeature(Record):
    """One line of the plain form."""

    feature: Annotated[int, Field(ge=0, le=LARGEST_INDEX)]
    sae: Name = "imported"
    top_tokens: Tokens = ()
    bottom_tokens: Tokens = ()
    contexts: Annotated[tuple[str | MarkedContext, ...], Field(max_length=1_000)] = ()
    density: Annotated[float, Field(ge=0, le=1)] | None = None

    def evidence(self, study: str) -> Evidence:
        """The same as evidence; kinds that are missing stay missing.

        Raises:
            ValueError: there is nothing to judge, or a context does not fit itself.
        """
        if not (self.top_tokens or self.contexts):
            raise ValueError("it has neither top_tokens nor contexts: there is nothing to judge")
        projection = None
        if self.top_tokens or self.bottom_tokens:
            projection = Projection(
                top=tuple(map(_token, self.top_tokens)), bottom=tuple(map(_token, self.bottom_tokens))
            )
        contexts = tuple(_context(entry, place) for place, entry in enumerate(self.contexts))
        peaks = [context.max_activation for context in contexts if context.max_activation is not None]
        activations = ActivationEvidence(top=contexts, density=self.density, max_activation=max(peaks, default=None))
        return Evidence(
            feature=FeatureRef(study=study, sae=self.sae, index=self.feature),
            stratum="imported",
            projection=projection,
            activations=activations if contexts else None,
        )


def read_evidence(file: Path, study: str) -> list[Evidence]:
    """All evidence of a file, in its order.

    Args:
        file: JSONL in either form.
        study: name of the study that the features are judged for.

    Raises:
        RunError: the file is missing, not UTF-8 or empty, a line does not fit, or two lines are the same feature.
            Lines are named; nothing is left out in silence.
    """
    lines = read_text(file, RunError).split("\n")
    found: list[Evidence] = []
    problems: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(_read_line(line, study))
        except ValidationError as error:
            problems.append(f"line {number}: {first_problem(error)}")
        except ValueError as error:
            problems.append(f"line {number}: {error}")
    if problems:
        more = f" (and {len(problems) - _NAMED} more bad lines)" if len(problems) > _NAMED else ""
        raise RunError(f"{file}: {'; '.join(problems[:_NAMED])}{more}")
    if not found:
        raise RunError(f"{file} holds no evidence")
    counts = Counter((record.feature.sae, record.feature.index, record.feature.kind) for record in found)
    (sae, index, kind), count = counts.most_common(1)[0]
    if count > 1:
        what = f"{kind.replace('_', ' ')} {index} of SAE {sae}"
        raise RunError(f"{file}: {what} is there {count} times: keep one, or name the SAEs apart")
    return found


def select_imported(evidence: Sequence[Evidence], features: Sequence[int] | None, limit: int | None) -> Selection:
    """All of the evidence, or just the features named, or the first few. A random direction is named by no number.

    Raises:
        RunError: a feature named has no evidence.
    """
    named = {record.feature.index for record in evidence if record.feature.kind == "feature"}
    unknown = set(features or ()) - named
    if unknown:
        raise RunError(f"there is no evidence on feature {min(unknown)}")
    wanted = [record for record in evidence if features is None or _is_named(record.feature, features)][:limit]
    sizes: dict[str, StratumSize] = {}
    for record in wanted:
        size = sizes.get(record.stratum) or StratumSize(stratum=record.stratum, population=None, drawn=0)
        sizes[record.stratum] = size.model_copy(update={"drawn": size.drawn + 1})
    items = tuple(SelectedFeature(feature=record.feature, stratum=record.stratum) for record in wanted)
    return Selection(items=items, sizes=tuple(sizes.values()))


def _is_named(feature: FeatureRef, numbers: Sequence[int]) -> bool:
    return feature.kind == "feature" and feature.index in numbers


def _read_line(line: str, study: str) -> Evidence:
    if len(line) > LONGEST_LINE:
        raise ValueError(f"it has more than {LONGEST_LINE:,} characters")
    try:
        if is_deep(line):
            raise ValueError(f"it is nested deeper than {DEEPEST} levels")
        value = strict_json(line)
        _check_lengths(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    if "schema_version" in value:
        return Evidence.model_validate_json(line)
    return ImportedFeature.model_validate_json(line).evidence(study)


def _check_lengths(value: object) -> None:
    """See that no text is longer than a page of a book would hold many times over.

    Raises:
        ValueError: one is.
    """
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        raise ValueError(f"it holds a text of {len(value):,} characters: {LONGEST_TEXT:,} is the most")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        if isinstance(one, str | dict | list):
            _check_lengths(one)


def _token(entry: str | tuple[str, float]) -> TokenWeight:
    token, weight = (entry, None) if isinstance(entry, str) else entry
    return TokenWeight(token=token, weight=weight)


def _context(entry: str | MarkedContext, place: int) -> Context:
    if isinstance(entry, str):
        return _read_marked(entry, place)
    values = entry.activations
    if values is not None and len(values) != len(entry.tokens):
        raise ValueError(f"contexts.{place}: {len(entry.tokens)} tokens but {len(values)} activations")
    peak = None if values is None else max(values)
    return Context(document=f"context {place + 1}", tokens=entry.tokens, activations=values, max_activation=peak)


class _Mark(NamedTuple):
    """One marked stretch, and where it stands with its marks and its number."""

    start: int
    end: int
    text: str
    value: str | None


def _find_marks(text: str) -> list[_Mark]:
    """Every `<<stretch>>(number)`, each from the first opening to the nearest close; the text is gone through once."""
    found, at = list[_Mark](), 0
    while (start := text.find("<<", at)) >= 0 and (close := text.find(">>", start + 3)) >= 0:
        number = _NUMBER.match(text, close + 2)
        at = number.end() if number else close + 2
        found.append(_Mark(start, at, text[start + 2 : close], number[1] if number else None))
    return found


def _read_marked(text: str, place: int) -> Context:
    """`a << dental>>(4) office`: words between marks are silent, marked stretches carry the number in brackets.

    Marks without numbers stay in the text as they are: an activation is not made up.
    """
    marks = _find_marks(text)
    if not marks or any(mark.value is None for mark in marks):
        return Context(document=f"context {place + 1}", tokens=(text,))
    tokens, values, end = list[str](), list[float](), 0
    for mark in marks:
        silent = _WORD.findall(text[end : mark.start])
        tokens += [*silent, mark.text]
        values += [0.0] * len(silent) + [float(mark.value or 0)]
        end = mark.end
    silent = _WORD.findall(text[end:])
    return Context(
        document=f"context {place + 1}",
        tokens=(*tokens, *silent),
        activations=(*values, *[0.0] * len(silent)),
        max_activation=max(values),
    )
