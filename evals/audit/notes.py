"""Which model, and what else notebooks, scripts and notes of the repository show of how the study was run."""

from __future__ import annotations

import re
from functools import partial

from evals.audit.checks import Check, Finding
from evals.audit.clone import (
    COHERENCE_NOTEBOOK,
    EXPERIMENTS,
    INTERPRETATION,
    STEERING_NOTEBOOK,
    Clone,
    MissingPart,
)

MODEL, OTHER = "which model", "other notes"
_LOADS = re.compile(r"load_state_dict\((.*)")
_RENAMED = re.compile(r"^\s*custom_model\s*=\s*model\b", re.MULTILINE)


def list_checks(clone: Clone) -> list[Check]:
    """Every line on models and on what else was written down."""
    lines = {
        (MODEL, "the fine-tuned weights are loaded", "yes"): _loads,
        (MODEL, "coherence is computed on the fine-tuned model", "yes"): _renamed,
        (MODEL, "the fine-tuned model is Med_GPT2", "yes"): _med_gpt2,
        (OTHER, "reference tokens come from the run's own SAE", "yes"): _foreign_lists,
        (OTHER, "similarity is regressed on coherence", "planned"): _regression,
        (OTHER, "an LLM interprets the medical features", "yes"): _llm,
        (OTHER, "parsing_baseline is of the fine-tuned model", "yes"): _swapped,
        (OTHER, "README.md describes this study", "yes"): _title,
        (OTHER, "temperature sets the strength of steering", "yes"): _temperature,
    }
    return [Check(*head, partial(measure, clone)) for head, measure in lines.items()]


def _loads(clone: Clone) -> Finding:
    """Names of the two libraries' weights have no name in common: whatever is not loaded strictly is not loaded."""
    sources = [*clone.texts.values(), *(cell.source for cells in clone.notebooks.values() for cell in cells)]
    calls = [call for text in sources for call in _LOADS.findall(text)]
    if not calls:
        raise MissingPart("notebooks")
    loose = sum("strict=False" in call.replace(" ", "") for call in calls)
    recorded = f"{loose} of {len(calls)} calls that load weights pass over names that do not fit (strict=False)"
    return Finding(recorded, "not shown" if loose else "agrees")


def _renamed(clone: Clone) -> Finding:
    cells = clone.cells(COHERENCE_NOTEBOOK)
    named = sum(len(_RENAMED.findall(cell.source)) for cell in cells)
    if named:
        return Finding("the name of the fine-tuned model is given to the base model", "differs")
    return Finding("the base model is not given the fine-tuned model's name", "not shown")


def _med_gpt2(clone: Clone) -> Finding:
    text = clone.text(EXPERIMENTS)
    named = "med_gpt2" in text.lower()
    return Finding(f"{'named' if named else 'not named'} in {EXPERIMENTS}", "agrees" if named else "differs")


def _foreign_lists(clone: Clone) -> Finding:
    cells = clone.cells(STEERING_NOTEBOOK)
    body = "\n".join(cell.source for cell in cells if "def run_experiment" in cell.source)
    foreign = body.count("finetuned_feature_summaries[")
    if not body:
        raise MissingPart(f"the experiment in {STEERING_NOTEBOOK}")
    recorded = "whatever the arm, from the fine-tuned arm's table" if foreign else "from the table it is given"
    return Finding(recorded, "differs" if foreign else "agrees")


def _regression(clone: Clone) -> Finding:
    cells = clone.cells(STEERING_NOTEBOOK)
    planned = [cell for cell in cells if "perform_regression(" in cell.source]
    run = sum(cell.executed for cell in planned)
    recorded = f"{run} of {len(planned)} cells that do it were run"
    return Finding(recorded, "agrees" if planned and run == len(planned) else "differs")


def _llm(clone: Clone) -> Finding:
    script = clone.text(INTERPRETATION).lower()
    medical = "medic" in script
    recorded = "its prompt asks for medical features" if medical else "its prompt asks for another subject"
    return Finding(recorded, "not shown" if medical else "differs")


def _swapped(clone: Clone) -> Finding:
    """The first pass by its arm against the run of the same arm: who is who does not depend on the note."""
    arm, text = clone.baseline, clone.text("features/README.md")
    line = next((line for line in text.splitlines() if "(./parsing_baseline" in line), None)
    if line is None:
        raise MissingPart("parsing_baseline in features/README.md")
    if "fine-tuned" not in line:
        return Finding("the note does not say so", "agrees")
    own = arm.own()
    shared = len(set(own) & {report.feature for report in arm.reports()})
    recorded = f"{shared} of {len(own)} of its features are those of the baseline run"
    return Finding(recorded, "differs" if shared > len(own) / 2 else "agrees")


def _title(clone: Clone) -> Finding:
    medical = "medic" in clone.text("README.md").lower()
    return Finding(f"it {'speaks' if medical else 'does not speak'} of medicine", "agrees" if medical else "differs")


def _temperature(clone: Clone) -> Finding:
    settings = [arm.run.settings for arm in clone.arms if arm.run and arm.run.settings]
    if not settings:
        raise MissingPart("experiments/*/*/cfg.json")
    sampling = settings[0].get("sampling_kwargs")
    if isinstance(sampling, dict) and "temperature" in sampling:
        return Finding(f"it is a setting of sampling; the strength is coeff {settings[0].get('coeff')}", "differs")
    return Finding("it is no setting of sampling", "agrees")
