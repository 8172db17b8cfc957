"""A study file by its parts: which of them a run's question and inputs depend on, and whether they say what they said."""

from __future__ import annotations

import hashlib
import json

from tools.errors import StudyError
from tools.study.reading import STUDIES, find_study_file, read_tables

ASKED = ("domain", "rating", "survey", "task")
"""Parts that decide what a judge is asked, and what the rules hold evidence to; `task` is no table, but the ratings of a task."""
_UNASKED = ("title", "name", "training", "arms", "fetch")


def hash_tables(name: str, arm: str) -> dict[str, str]:
    """sha256 of each part of a study file, whatever its spelling: comments and spaces may change, settings may not.

    Args:
        name: of the study.
        arm: the one that is looked at; others may come and go.

    Raises:
        StudyError: as `load_study`.
    """
    _, table = read_tables(name)
    arms = table.get("arms")
    parts = {key: value for key, value in table.items() if key not in _UNASKED}
    if isinstance(arms, dict) and arm in arms:
        parts["arm"] = arms[arm]
    return {key: _hash_part(value) for key, value in parts.items()}


def is_shipped(name: str) -> bool:
    """Whether a study is one of those under `studies/`, however it is named."""
    try:
        folder = find_study_file(name).resolve().parent
    except (StudyError, OSError, ValueError):
        return False
    return folder.parent == STUDIES.resolve()


def _hash_part(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
