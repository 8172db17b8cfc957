"""Neuronpedia's export layout: explanations, features and activations, one JSON object per line, 1,024 features a file.

    v1/MODEL/SOURCE/{explanations,features,activations}/batch-N.jsonl

Fields are those of `utils/neuronpedia-utils/neuronpedia_utils/db_models` (`Explanation`, `Feature`, `Activation`); what a
run does not know has the default it has there. There is no field for a verdict: it stands in an explanation's `notes`, with
people's answers. People's annotations become explanations of their own, under the annotator's name.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from agent.errors import RunError
from evals.exports.rows import Names, count_plain, describe_feature, list_activations, list_explanations
from evals.exports.source import (
    Account,
    Source,
    as_line,
    batches,
    count_random,
    list_failures,
    write_folder,
)

BATCH = 1024


def export_neuronpedia(
    source: Source, out: Path, model_id: str | None = None, source_id: str | None = None
) -> list[str]:
    """Write the folder.

    Args:
        source: the run.
        out: the new folder.
        model_id: Neuronpedia's name of the model; the run's own if None.
        source_id: its name of the SAE; the run's own if None.

    Raises:
        RunError: the folder exists, or one name is given to several SAEs.
    """
    features = [decision for decision in source.decisions if decision.feature.kind == "feature"]
    saes = list(dict.fromkeys(decision.feature.sae for decision in features))
    if source_id is not None and len(saes) > 1:
        raise RunError(f"the run has features of {len(saes)} SAEs: they cannot all be {source_id}")
    model = model_id or source.manifest.config.model or source.study
    written = {"features": len(features), "explanations": 0, "activations": 0}
    files: list[tuple[str, str]] = []
    for sae in saes:
        names = Names(model, source_id or sae)
        folder = f"v1/{_folder(names.model)}/{_folder(names.source)}"
        for number, batch in batches([d for d in features if d.feature.sae == sae], BATCH):
            kinds = {
                "features": [describe_feature(source, decision, names) for decision in batch],
                "explanations": [row for decision in batch for row in list_explanations(source, decision, names)],
                "activations": [row for decision in batch for row in list_activations(source, decision, names)],
            }
            for kind, rows in kinds.items():
                files.append((f"{folder}/{kind}/batch-{number}.jsonl", "".join(map(as_line, rows))))
            written["explanations"] += len(kinds["explanations"])
            written["activations"] += len(kinds["activations"])
    account = Account(
        format="neuronpedia",
        run_id=source.manifest.run_id,
        written=written,
        left_out={
            "random directions, which are no features of the SAE": count_random(source),
            "decided features without a label": sum(d.status == "decided" and d.label is None for d in features),
            "contexts without activations": sum(count_plain(source.evidence[d.feature.key]) for d in features),
        },
        failures=list_failures(source),
        remarks=source.caveats,
    )
    write_folder(out, [*files, ("export.json", account.model_dump_json(indent=1) + "\n")])
    return account.lines()


def _folder(name: str) -> str:
    """Their ids as they are; what would be another folder's path, as in a URL."""
    quoted = quote(name, safe=" ")
    return quoted if quoted.strip(".") else quoted.replace(".", "%2E")
