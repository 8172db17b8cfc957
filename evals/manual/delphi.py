"""delphi's results: how well a label tells activating from silent texts, by scorer, and the label itself.

    RESULTS/scores/SCORER/MODULE_latentINDEX.txt     a JSON list, one entry a text: activating, prediction, tokens
    RESULTS/explanations/MODULE_latentINDEX.txt      a JSON string

A score is the balanced accuracy over texts with a prediction, delphi's own figure. An entry without one is a reply that
could not be parsed: it is counted in the note, never scored. All of it is a program's work and is marked so.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from evals.errors import LabelError
from evals.manual.reading import Collector, Options, read_json
from evals.manual.records import ANNOTATION, Import, Item, Shown, ShownContext

_FILE = re.compile(r"(?P<module>.+)_latent(?P<index>\d+)")


def read_delphi(path: Path, options: Options) -> Import:
    """Scores, labels and texts of a results folder, of its `scores` folder, or of one scorer's.

    Raises:
        LabelError: there is no score file in it.
    """
    files = sorted(path.rglob("*_latent*.txt"))
    scores = [file for file in files if file.parent.name != "explanations"]
    if not scores:
        raise LabelError(f"{path} holds no score file of delphi's: MODULE_latentINDEX.txt is expected")
    into, shown = Collector(), set[tuple[str, int]]()
    for file in files:
        found = _FILE.fullmatch(file.stem)
        where = f"{file.parent.name}/{file.name}"
        try:
            content = read_json(file)
        except LabelError as error:
            into.refuse(where, str(error))
            continue
        if found is None:
            into.refuse(where, "its name is not MODULE_latentINDEX.txt")
            continue
        item = Item(study=options.study, sae=found["module"], index=int(found["index"]))
        if file.parent.name == "explanations":
            into.add(where, annotator="delphi", item=item, question=ANNOTATION, value=content, machine=True)
            continue
        _read_scores(where, content, item, file.parent.name, into)
        if (item.sae, item.index) not in shown:
            shown.add((item.sae, item.index))
            into.show(_shown(item, content))
    return into.done()


def _read_scores(where: str, content: Any, item: Item, scorer: str, into: Collector) -> None:
    try:
        outcomes = [(bool(entry["activating"]), entry["prediction"]) for entry in content]
    except (KeyError, TypeError):
        into.refuse(where, "not a list of texts with activating and prediction")
        return
    rates: list[float] = []
    for wanted in (True, False):
        predictions = [bool(p) for truth, p in outcomes if truth is wanted and p is not None]
        if not predictions:
            into.refuse(where, f"no prediction on any {'activating' if wanted else 'silent'} text: there is no score")
            return
        rates.append(sum(p is wanted for p in predictions) / len(predictions))
    failed = sum(p is None for _, p in outcomes)
    note = f"balanced accuracy over {len(outcomes) - failed} texts; {failed} without a prediction"
    into.add(where, annotator="delphi", item=item, question=scorer, value=sum(rates) / 2, note=note, machine=True)


def _shown(item: Item, content: Any) -> Shown:
    """The activating texts, with their activations."""
    contexts: list[ShownContext] = []
    for entry in content if isinstance(content, list) else ():
        if isinstance(entry, dict) and entry.get("activating") and entry.get("str_tokens"):
            tokens, values = tuple(map(str, entry["str_tokens"])), entry.get("activations") or ()
            activations = tuple(map(float, values)) if len(values) == len(tokens) else None
            contexts.append(ShownContext(tokens=tokens, activations=activations))
    return Shown(feature=item.index, sae=item.sae, contexts=tuple(contexts))
