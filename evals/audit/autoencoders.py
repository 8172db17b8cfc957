"""Which SAE: what the log, the scripts and the settings in the repository show of the two that were used."""

from __future__ import annotations

import ast
import json
import re
from functools import partial
from typing import Any

from evals.audit.checks import Check, Finding, of_all
from evals.audit.claims import D_SAE
from evals.audit.clone import EXPERIMENTS, EXTRACTION, SAE_CONFIG, Clone, MissingPart, need
from evals.audit.records import Status
from evals.audit.steering import shared_lists
from evals.errors import LabelError

SECTION = "which SAE"
HOOK = "blocks.8.hook_resid_pre"
_SETTINGS = {
    "hook": ("hook_name", HOOK),
    "model": ("model_name", "the fine-tuned model"),
    "dictionary size": ("d_sae", 12_288),
    "batch size in tokens": ("train_batch_size_tokens", 1024),
    "training tokens": ("training_tokens", 30_720_000),
}
"""Of the SAE trained for the fine-tuned arm: the key of its settings, and what is published."""
_LOGGED_ID = re.compile(r"(blocks\.\d+\.\w+)/cfg\.json")
_LOGGED_ROW = re.compile(r"^(\d+) +\d+ +(?:-?[\d.]+(?:e-?\d+)? +){5}(\S.*?)\s*$", re.MULTILINE)
_EXAMPLE = re.compile(r"--feature_id (\d+)")
_STEERED_ID = re.compile(r"sae_id=\"([\w.]+)\"")
_FEWEST_LETTERS = 4


def list_checks(clone: Clone) -> list[Check]:
    """Every line on the two SAEs."""
    steered, read = "SAE that the baseline run steered", "SAE that the baseline's features were read from"
    logged, example = "features in the log of that SAE are Table 2's", "the example feature, of that SAE, is Table 2's"
    layer = "the extraction script loads the layer asked for"
    table = "the fine-tuned features that were steered are Table 2's"
    return [
        Check(SECTION, steered, HOOK, partial(_steered_sae, clone)),
        Check(SECTION, read, HOOK, partial(_logged_sae, clone)),
        Check(SECTION, logged, "none: another layer", partial(_logged_rows, clone)),
        Check(SECTION, example, "no: another layer", partial(_example, clone)),
        Check(SECTION, layer, "yes", partial(_layer_ignored, clone)),
        Check(SECTION, table, "yes", partial(_tables_tokens, clone)),
        *(
            Check(SECTION, f"{what} of the SAE trained", _plain(value), partial(_setting, clone, key, value))
            for what, (key, value) in _SETTINGS.items()
        ),
    ]


def _steered_sae(clone: Clone) -> Finding:
    found = _STEERED_ID.search(clone.text(EXPERIMENTS))
    if found is None:
        raise MissingPart(f"the SAE's name in {EXPERIMENTS}")
    return Finding(f"{found[1]}, by {EXPERIMENTS}", "agrees" if found[1] == HOOK else "differs")


def _logged_sae(clone: Clone) -> Finding:
    found = _LOGGED_ID.search(clone.text("README.md"))
    if found is None:
        raise MissingPart("the log of the extraction in README.md")
    return Finding(f"{found[1]}, by the log in README.md", "agrees" if found[1] == HOOK else "differs")


def _logged_rows(clone: Clone) -> Finding:
    """The log cuts its last token: it is left out."""
    scored = clone.baseline.all_scored()
    logged = {int(index): tokens for index, tokens in _LOGGED_ROW.findall(clone.text("README.md"))}
    both = sorted(set(logged) & set(scored))
    if not both:
        raise MissingPart("features that both README.md and the coherence table show")
    same = sum(_same_start(logged[index].split(), scored[index].tokens) for index in both)
    recorded = f"{same} of {len(both)} have the same first tokens in Table 2's file"
    return Finding(recorded, "differs" if same else "agrees")


def _same_start(logged: list[str], tokens: tuple[str, ...]) -> bool:
    whole = logged[:-1] if logged and logged[-1].endswith("...") else logged
    n = min(len(whole), len(tokens))
    return n > 0 and tuple(whole[:n]) == tokens[:n]


def _example(clone: Clone) -> Finding:
    text, scored = clone.text("README.md"), clone.baseline.all_scored()
    found = _EXAMPLE.search(text)
    if found is None or int(found[1]) not in scored:
        raise MissingPart("the example feature in README.md or in the coherence table")
    words = {re.sub(r"[^a-z]", "", token.lower()) for token in scored[int(found[1])].tokens}
    named = sum(len(word) >= _FEWEST_LETTERS and word in text[found.end() :].lower() for word in words)
    recorded = f"{named} of the {len(words)} words that Table 2's file gives feature {found[1]} are in its steered text"
    return Finding(recorded, "differs" if named else "agrees")


def _layer_ignored(clone: Clone) -> Finding:
    try:
        tree = ast.parse(clone.text(EXTRACTION))
    except SyntaxError as error:
        raise LabelError(f"{EXTRACTION} is not Python: {error}") from None
    for loop in ast.walk(tree):
        if isinstance(loop, ast.For) and isinstance(loop.target, ast.Name):
            calls = [node for node in ast.walk(loop) if isinstance(node, ast.Call)]
            loads = [keyword.value for call in calls for keyword in call.keywords if keyword.arg == "sae_id"]
            fixed = [
                value
                for value in loads
                if loop.target.id not in {n.id for n in ast.walk(value) if isinstance(n, ast.Name)}
            ]
            if fixed:
                recorded = (
                    f"its loop over layers loads the same `{ast.unparse(fixed[0])}` for each and names it by the layer"
                )
                return Finding(recorded, "differs")
    return Finding("no loop over layers that loads one SAE", "agrees")


def _tables_tokens(clone: Clone) -> Finding:
    arm = clone.finetuned
    scored, run = arm.all_scored(), need(arm.run, f"{arm.run_folder}/*/feature_*.txt")
    shared, both = shared_lists(run, scored)
    if not both:
        raise MissingPart(f"features of the run in {arm.scored_file}")
    recorded = f"{shared} of {both} lists share a token with the table's five for that number"
    status: Status = "differs" if shared < both else of_all(len(scored), D_SAE)
    return Finding(recorded, status)


def _setting(clone: Clone, key: str, published: str | int) -> Finding:
    try:
        settings: Any = json.loads(clone.text(SAE_CONFIG))
        value = settings[key]
    except (KeyError, TypeError, ValueError) as error:
        raise LabelError(f"{SAE_CONFIG} does not hold an SAE's settings: {error!r}") from None
    if not isinstance(value, str | int):
        raise LabelError(f"{SAE_CONFIG}: {key} is neither a name nor a number")
    return Finding(_plain(value), "agrees" if value == published else "differs")


def _plain(value: str | int) -> str:
    return value if isinstance(value, str) else f"{value:,}"
