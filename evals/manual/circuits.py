"""Free-text annotations of SAE features (saprmarks/feature-circuits, annotations/*.jsonl).

The name says which feature is meant (`resid_5/3036`): the other fields that do are at times empty, a number, or missing.
One file has its header as a row; some rows carry a name and no annotation; notes are spelt two ways.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from evals.errors import LabelError
from evals.manual.reading import Collector, Options, read_jsonl
from evals.manual.records import ANNOTATION, Import, Item

_NAME = re.compile(r"(?P<part>[a-z]+)(?:_(?P<layer>\d+))?/(?P<index>\d+)")
ANNOTATOR = "feature-circuits"


def read_circuits(path: Path, options: Options) -> Import:
    """Annotations of a folder of JSONL files, or of one.

    Raises:
        LabelError: there is none.
    """
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise LabelError(f"{path} holds no .jsonl file")
    into = Collector()
    for file in files:
        unlabelled = 0
        for where, row in read_jsonl(file, into):
            if row.get("Name") == "Name":
                into.remark(where, "the header, as a row of data: passed over")
            elif not str(row.get("Annotation") or "").strip():
                unlabelled += 1
            else:
                _read_row(where, row, file.stem, options, into)
        if unlabelled:
            into.remark(file.name, f"{unlabelled} rows name a feature and say nothing of it: unlabelled")
    return into.done()


def _read_row(where: str, row: dict[str, Any], model: str, options: Options, into: Collector) -> None:
    name = str(row.get("Name") or "")
    found = _NAME.fullmatch(name)
    if found is None:
        into.refuse(where, f"{name!r} names no feature: PART_LAYER/INDEX is expected")
        return
    for field, said in (("Component", found["part"]), ("Layer", found["layer"]), ("Feature", found["index"])):
        other = str(row.get(field, "")).strip()
        if other and other != (said or ""):
            into.refuse(where, f"{field} is {other}, but the name is {name}")
            return
    part = name.split("/", 1)[0]
    note = str(row.get("Notes") or row.get("notes") or "").strip() or None
    item = Item(study=options.study, sae=f"{model}/{part}", index=int(found["index"]))
    annotator = options.annotator or ANNOTATOR
    text = str(row["Annotation"]).strip()
    into.add(where, annotator=annotator, item=item, question=ANNOTATION, value=text, note=note)
