"""A task's table for tests: balanced, of single words, as large as is asked for."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any


def make_rows(each: int = 80) -> list[dict[str, Any]]:
    """So many texts of every quadrant, no two alike."""
    return [
        {
            "text": f"{'bread' if label == 'cook' else 'river'} {'dear' if attribute == 'old' else 'entry'} word{number}",
            "label": label,
            "attribute": attribute,
        }
        for number in range(each)
        for label in ("cook", "sailor")
        for attribute in ("new", "old")
    ]


def write_jsonl(file: Path, rows: list[dict[str, Any]]) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(file)


def as_csv(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
