"""Where labels may come from: a new source is a line here, and a function that reads it."""

from __future__ import annotations

from tools.display.flags import Choice

_RATINGS = "ratings of concepts by several people (sae_eval's manual_labels_*.json)"
_CIRCUITS = "feature-circuits' annotations, a JSONL file or a folder of them"
_EXPLANATIONS = "Neuronpedia's explanations, JSONL or a folder of them"
SOURCES = {
    "own": Choice("our CSV, TSV or JSONL", "evals.manual.own:read_own"),
    "study": Choice("a clone of the published study's repository", "evals.manual.study:read_study"),
    "raters": Choice(_RATINGS, "evals.manual.raters:read_raters"),
    "circuits": Choice(_CIRCUITS, "evals.manual.circuits:read_circuits"),
    "inspect": Choice("Inspect's precomputed_scores, JSONL or JSON", "evals.manual.precomputed:read_precomputed"),
    "scout": Choice("an Inspect Scout validation set, CSV", "evals.manual.scout:read_scout"),
    "delphi": Choice("delphi's results folder", "evals.manual.delphi:read_delphi"),
    "neuronpedia": Choice(_EXPLANATIONS, "evals.manual.neuronpedia:read_neuronpedia"),
}
"""Name -> what it is, and `(path, options) -> Import`, which raises LabelError where nothing can be read."""
