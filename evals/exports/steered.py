"""A steering run's features in the form in which Neuronpedia is asked to steer: a request for `POST /api/steer` a target.

    steer/NN-TARGET.json

Fields and bounds are those of `apps/webapp/app/api/steer/route.tsx` and `lib/utils/steer.ts`: `layer` is the id of the source,
`strength` a factor on the feature's direction. A swap has no strength, so what stands there is the feature's score over the
target's largest one, times what Neuronpedia gives a new vector; it is where to begin, and `strength_multiplier` scales all.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from pydantic import JsonValue

from agent.errors import RunError
from agent.folder.steered import SteerConfig, TargetFound
from agent.folder.steering_store import SteeringFolder
from evals.exports.source import Account, write_folder

STRENGTH = 10.0
"""Of the feature with the largest score."""
MOST_PROMPT, MOST_TOKENS, MOST_TEMPERATURE, MOST_SEED = 2048, 256, 2.0, 100_000_000
"""What a request may hold."""
METHOD = "SIMPLE_ADDITIVE"


def export_steered(
    folder: SteeringFolder, out: Path, model_id: str | None = None, source_id: str | None = None
) -> list[str]:
    """Write the folder.

    Args:
        folder: of the run.
        out: the new folder.
        model_id: Neuronpedia's name of the model; the run's own if None.
        source_id: its name of the SAE; the run's own if None.

    Raises:
        RunError: the folder exists, the run has no target with a feature yet, or something in it does not read.
    """
    config, targets = folder.manifest().config, folder.targets()
    if not targets:
        raise RunError(f"{folder.path} has scored no target yet: finish it with --resume {folder.path}")
    names = model_id or config.model or Path(config.study).name, source_id or config.sae
    requests = {number: ask_to_steer(config, one, *names) for number, one in enumerate(targets, 1)}
    found = {number: request for number, request in requests.items() if request["features"]}
    if not found:
        raise RunError(f"{folder.path} has no target that a feature stands for: there is nothing to export")
    results = folder.results()
    account = Account(
        format="neuronpedia",
        run_id=folder.manifest().run_id,
        written={"steering requests": len(found), "features": sum(len(one.chosen) for one in targets)},
        left_out={"targets that no feature stands for": len(targets) - len(found)},
        failures=(),
        remarks=(
            f"strengths are scores, the largest of a target as {STRENGTH:g}: a swap has none to hand over",
            *(f"{name} is outside what the SAE can represent" for name in (results.refused if results else ())),
        ),
    )
    files = [
        (
            f"steer/{number:02d}-{_file(targets[number - 1].name)}.json",
            json.dumps(request, indent=1, ensure_ascii=False),
        )
        for number, request in found.items()
    ]
    write_folder(out, [*files, ("export.json", account.model_dump_json(indent=1) + "\n")])
    return account.lines()


def ask_to_steer(config: SteerConfig, target: TargetFound, model: str, source: str) -> dict[str, JsonValue]:
    """The body of a request that continues the run's first prompt toward a target, within what Neuronpedia takes."""
    largest = max((abs(one.score) for one in target.chosen), default=0.0)
    features: list[JsonValue] = [
        {
            "modelId": model,
            "layer": source,
            "index": one.index,
            "strength": round(STRENGTH * one.score / largest, 4) if largest else 0.0,
        }
        for one in target.chosen
    ]
    return {
        "prompt": config.prompts[0][:MOST_PROMPT],
        "modelId": model,
        "features": features,
        "temperature": min(config.temperature, MOST_TEMPERATURE),
        "n_tokens": min(config.new_tokens, MOST_TOKENS),
        "freq_penalty": 0.0,
        "seed": min(config.seed, MOST_SEED),
        "strength_multiplier": 1.0,
        "steer_method": METHOD,
    }


def _file(name: str) -> str:
    """A target's name as a file may have it; the number before it tells those apart that look alike then."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[:60] or "target"
