"""Two people's ratings of SAE latents, 0 to 4 for each of several concepts (canrager/sae_eval, experiments/llm_autointerp).

One JSON file a rater, `manual_labels_NAME.json`: items by number, of which neither file has all. An item is matched by its
SAE and `sae_feat_index`, never by its number: the numbers are positions in a sample. A latent sampled for two concepts
occurs twice: equal ratings are one label each, others are reported, and the last one given is kept.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from evals.errors import LabelError
from evals.manual.reading import Collector, Options, read_json
from evals.manual.records import Import, Item, Shown, is_rating

_EXAMPLE = re.compile(r"\s*Example \d+:\s*")
_NAMES = "manual_labels_*.json"
_SAE_PARTS = 3
"""Folders of the SAE's path that tell one SAE from another: sweep, layer, trainer."""


def read_raters(path: Path, options: Options) -> Import:
    """Ratings of a folder of raters' files, or of one.

    Raises:
        LabelError: there is none.
    """
    files = sorted(path.glob(_NAMES)) if path.is_dir() else [path]
    if not files:
        raise LabelError(f"{path} holds no {_NAMES}")
    into, rated = Collector(), dict[tuple[str, str, int], tuple[str, dict[str, Any]]]()
    for file in files:
        items = read_json(file)
        if not isinstance(items, dict):
            raise LabelError(f"{file} is not a JSON object of items")
        name = options.annotator if options.annotator and len(files) == 1 else file.stem.removeprefix("manual_labels_")
        for number, entry in items.items():
            _read_entry(f"{file.name}: item {number}", entry, name, options, into, rated)
    return into.done()


def _read_entry(
    where: str,
    entry: Any,
    annotator: str,
    options: Options,
    into: Collector,
    rated: dict[tuple[str, str, int], tuple[str, dict[str, Any]]],
) -> None:
    try:
        sae = "/".join(str(entry["sae"]).rstrip("/").split("/")[-_SAE_PARTS:])
        item = Item(study=options.study, sae=sae, index=entry["sae_feat_index"])
        ratings = dict(entry["per_class_scores"])
    except (KeyError, TypeError, ValueError) as error:
        into.refuse(where, f"no SAE, latent and ratings in it: {type(error).__name__} {error}".splitlines()[0])
        return
    if all((item.sae, item.index) != place[1:] for place in rated):
        into.show(_shown(item, entry))
    place = (annotator, item.sae, item.index)
    first, before = rated.get(place, (where, {}))
    if before:
        changed = sorted(concept for concept, rating in ratings.items() if before.get(concept) != rating)
        how = f"other ratings of {', '.join(changed)}" if changed else "the same ratings"
        into.remark(where, f"{item.key} again, sampled for {entry.get('class_index')}: {how} as in {first}")
    rated[place] = (where, ratings)
    for concept, rating in ratings.items():
        if before.get(concept) == rating:
            continue
        if not is_rating(rating):
            into.refuse(where, f"{concept}: {rating!r} is not a whole number from 0 to 4")
            continue
        note = str(entry.get("chain_of_thought") or "") or None
        into.add(where, annotator=annotator, item=item, question=str(concept), value=rating, note=note)


def _shown(item: Item, entry: dict[str, Any]) -> Shown:
    """Promoted tokens and marked contexts as the rater saw them."""
    texts = [str(text) for text in entry.get("example_prompts") or ()]
    contexts = [part.strip("\n") for text in texts for part in _EXAMPLE.split(text) if part.strip()]
    tokens = [token for token in str(entry.get("tokens_string") or "").split(",") if token]
    return Shown(feature=item.index, sae=item.sae, top_tokens=tuple(tokens), contexts=tuple(contexts))
