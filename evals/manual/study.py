"""The published study's repository as cloned (seansica/sae-vector-steering): one person's accept or reject.

A feature in `features/features_medical_ARM.json` was kept: yes. A feature whose top tokens have two or more keyword hits
and that was not kept was rejected: no. Everything else was never looked at, and is unlabelled.

The list before the check is not in the repository, so rejected features are found from what is: the coherence table
shows five of every feature's ten top tokens, the earlier pass some more. The rule asks whether a keyword is part of the
token, so a token is surely a hit if it holds a keyword of the notebook's list, or a token that the kept lists mark as
one. Other hits stay unseen, and their features unlabelled; `features/medical_features_ARM.json` of an earlier commit,
put into place, has them all. The earlier pass used another SAE for the fine-tuned arm; its tokens count only where they
agree with the table's.
"""

from __future__ import annotations

import ast
import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

from tokenizers.decoders import ByteLevel

from evals.errors import LabelError
from evals.manual.reading import Collector, Options, read_json, read_text
from evals.manual.records import RELEVANT, Import, Item, Shown

ARMS = ("baseline", "finetuned")
ANNOTATOR = "study"
FEWEST_HITS = 2
_LIST = re.compile(r"medical_keywords\s*=\s*(\[.*?\])", re.DOTALL)
_REASON = "two or more of its top tokens hit a keyword, and it is not among the features kept"


class _Arm(NamedTuple):
    """What the repository holds of one arm."""

    name: str
    kept: dict[int, list[tuple[str, float]]]
    """Top tokens of the kept features."""
    table: dict[int, tuple[float, tuple[str, ...]]]
    """Coherence and first five tokens of every feature."""
    listed: dict[int, list[tuple[str, float]]]
    """Top tokens of all features before the check; empty where that list is not there."""


def read_study(path: Path, options: Options) -> Import:
    """Labels, tokens and coherence means of a clone.

    Raises:
        LabelError: it is no clone of the study's repository.
    """
    into = Collector()
    hits, misses, keywords = *_known_tokens(path), _read_keywords(path, into)
    earlier = _read_earlier(path)

    believed = [word for word in keywords if not any(word in token.lower() for token in misses)]
    if len(believed) < len(keywords):
        text = f"{len(keywords) - len(believed)} keywords are part of tokens that were not counted as hits: not used"
        into.remark("notebooks/eda.ipynb", text)
    parts = {token.lower() for token in hits}.union(believed)

    def is_hit(token: str) -> bool:
        return any(part in token.lower() for part in parts)

    for name in ARMS:
        arm = _read_arm(path, name, into)
        rejected = _find_rejected(arm, is_hit, earlier.get(name, {}), into)
        source = f"features_medical_{name}.json"
        for index, verdict, where in [
            *((i, "yes", source) for i in sorted(arm.kept)),
            *((i, "no", f"coherence_scores_{name}_features_all.csv") for i in sorted(rejected)),
        ]:
            item = Item(study=options.study, sae=name, index=index)
            note = None if verdict == "yes" else _REASON
            annotator = options.annotator or ANNOTATOR
            if into.add(
                f"{where}: {index}", annotator=annotator, item=item, question=RELEVANT, value=verdict, note=note
            ):
                into.show(Shown(feature=index, sae=item.sae, top_tokens=_tokens(arm, index)))
        into.findings += _describe(arm, rejected)
    return into.done()


def _read_arm(path: Path, name: str, into: Collector) -> _Arm:
    kept = _read_features(path / "features" / f"features_medical_{name}.json", into)
    before = path / "features" / f"medical_features_{name}.json"
    listed = _read_features(before, into) if before.is_file() else {}
    table = _read_table(path / "features" / f"coherence_scores_{name}_features_all.csv", into)
    return _Arm(name, kept, table, listed)


def _read_features(file: Path, into: Collector) -> dict[int, list[tuple[str, float]]]:
    content = read_json(file)
    if not isinstance(content, dict):
        raise LabelError(f"{file} is not a JSON object of features")
    found: dict[int, list[tuple[str, float]]] = {}
    for key, entry in content.items():
        try:
            found[int(key)] = [(str(word["word"]), float(word["activation"])) for word in entry["top_words"]]
        except (KeyError, TypeError, ValueError):
            into.refuse(f"{file.name}: {key}", "no feature number with its top_words")
    return found


def _read_table(file: Path, into: Collector) -> dict[int, tuple[float, tuple[str, ...]]]:
    rows: dict[int, tuple[float, tuple[str, ...]]] = {}
    for number, row in enumerate(csv.DictReader(io.StringIO(read_text(file), newline="")), 2):
        try:
            tokens = tuple(row["top_words"].split(", "))
            rows[int(row["feature_id"])] = (float(row["coherence_score"]), tokens)
        except (KeyError, TypeError, ValueError, AttributeError):
            into.refuse(f"{file.name}:{number}", "no feature_id, coherence_score and top_words")
    return rows


def _known_tokens(path: Path) -> tuple[set[str], set[str]]:
    """Tokens that the kept lists mark as hits, and those they do not: the rule looks at nothing but the token."""
    hits, tokens = set[str](), set[str]()
    for name in ARMS:
        content = read_json(path / "features" / f"features_medical_{name}.json")
        for entry in content.values() if isinstance(content, dict) else ():
            for field, found in (("medical_words", hits), ("top_words", tokens)):
                words = entry.get(field, ()) if isinstance(entry, dict) else ()
                found |= {str(word["word"]) for word in words if isinstance(word, dict) and "word" in word}
    return hits, tokens - hits


def _read_keywords(path: Path, into: Collector) -> tuple[str, ...]:
    """The notebook's list with its missing commas, which join words, as Python reads it."""
    file = path / "notebooks" / "eda.ipynb"
    if not file.is_file():
        return ()
    notebook: Any = read_json(file)
    for cell in notebook.get("cells", ()):
        found = _LIST.search("".join(cell.get("source", ())))
        if found:
            try:
                return tuple(map(str, ast.literal_eval(found[1])))
            except (SyntaxError, ValueError):
                break
    into.remark("notebooks/eda.ipynb", "the keyword list is not where it was: only tokens marked as hits count as hits")
    return ()


def _read_earlier(path: Path) -> dict[str, dict[int, set[str]]]:
    """The earlier pass's words by arm and feature."""
    file = path / "features" / "old" / "parsed_features.json"
    content = read_json(file) if file.is_file() else {}
    return {
        str(arm): {int(index): set(words) for index, words in entries.items() if str(index).isdecimal()}
        for arm, entries in content.items()
        if isinstance(entries, dict)
    }


def _find_rejected(arm: _Arm, is_hit: Callable[[str], bool], earlier: dict[int, set[str]], into: Collector) -> set[int]:
    shown = {index: set(tokens) for index, (_, tokens) in arm.table.items()}
    same = {index for index, words in earlier.items() if words & shown.get(index, set())}
    if len(same) < len(earlier):
        text = f"{len(earlier) - len(same)} of {len(earlier)} features share no token with the five the table shows: not used"
        into.remark(f"features/old/parsed_features.json: {arm.name}", text)
    for index in same:
        shown[index] |= earlier[index]
    found = {index for index, tokens in shown.items() if sum(map(is_hit, tokens)) >= FEWEST_HITS}
    return (found | set(arm.listed)) - set(arm.kept)


def _tokens(arm: _Arm, index: int) -> tuple[str | tuple[str, float], ...]:
    weighted = arm.kept.get(index) or arm.listed.get(index)
    if weighted:
        return tuple((decode_token(token), weight) for token, weight in weighted)
    return tuple(map(decode_token, arm.table[index][1])) if index in arm.table else ()


def _describe(arm: _Arm, rejected: set[int]) -> list[str]:
    """Counts, and the coherence means that the paper gives for the entire feature set."""
    lines = [f"{arm.name}: {len(arm.kept)} kept, {len(rejected)} found rejected, of {len(arm.table):,} features shown"]
    kept = [arm.table[index][0] for index in arm.kept if index in arm.table]
    if kept:
        everything = [score for score, _ in arm.table.values()]
        lines.append(
            f"{arm.name}: coherence of the {len(kept)} kept: mean {fmean(kept):.4f}, median {median(kept):.4f}; of all "
            f"{len(everything):,}: mean {fmean(everything):.4f}. The paper gives the first as the entire feature set's"
        )
    return lines


def decode_token(token: str) -> str:
    """A token of a byte-level vocabulary as text: `Ġ` is a space, other stand-ins are bytes of UTF-8."""
    return ByteLevel().decode([token])
