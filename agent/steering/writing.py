"""Texts and likelihoods of every target in every arm, appended as they are made; what is there is not made again.

A batch is one prompt of one target in all arms, or one target's held-out text in one arm. What it holds depends on nothing
else, and a batch of which a kill left a part is made again as a whole: so a run that was resumed has the texts of one that
was not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float
from rich.console import Console

from agent.folder.steered import ArmRef, HeldOutLikelihood, SteeredText
from agent.folder.steering_store import SteeringFolder
from agent.steering.likeness import Likeness
from agent.steering.scoring import Steered, part_background
from agent.steering.stage import Stage
from tools.display.progress import Bars
from tools.effects.fluency import repetition_of
from tools.effects.intervention import Change
from tools.toward.arms import WEIGHED, Kind, make_steering
from tools.toward.heldout import lay_out, score_held_out
from tools.toward.writing import WritingArm, WrittenTexts, write_texts


class Changes:
    """What the arms of one target do, made when first asked for: an addition is calibrated, which takes a while."""

    def __init__(self, stage: Stage, arms: Sequence[ArmRef], target: str, steered: Steered) -> None:
        self._stage, self._arms, self._target, self._steered = stage, arms, target, steered
        self._made: dict[str, Change | None] = {}

    def get(self, arm: ArmRef) -> Change | None:
        """Of one row; None for an arm that changes nothing in the model."""
        if arm.name not in self._made:
            self._made[arm.name] = self._make(arm)
        return self._made[arm.name]

    def _make(self, arm: ArmRef) -> Change | None:
        kinds: dict[str, Kind] = {kind: kind for kind in ("reconstruction", "swap", "weight", "clamp", "add")}
        if arm.kind not in kinds:
            return None
        stage = self._stage
        kind, (scores, weights) = kinds[arm.kind], self._steered
        chosen = weights if kind in WEIGHED else scores
        return make_steering(stage.opened.bench, kind, arm.whose, chosen, stage.manner, self._target)

    def writing(self, ahead: str) -> dict[str, WritingArm]:
        """All arms, by name."""
        return {arm.name: WritingArm(self.get(arm), ahead if arm.kind == "prompt" else "") for arm in self._arms}


def open_changes(stage: Stage, arms: Sequence[ArmRef], scores: Mapping[str, Steered]) -> dict[str, Changes]:
    """Of every target."""
    return {target.name: Changes(stage, arms, target.name, scores[target.name]) for target in stage.material.targets}


def write_all(
    folder: SteeringFolder, stage: Stage, arms: Sequence[ArmRef], changes: Mapping[str, Changes], console: Console
) -> None:
    """Continue every prompt toward every target in all arms."""
    config, targets = stage.config, stage.material.targets
    each = len(arms) * config.samples
    known = {_place(text) for text in folder.texts()}
    total = len(targets) * len(config.prompts) * each
    if len(known) == total:
        return
    with stage.opened.watch.time("write"), Bars(console, "write") as progress:
        task = progress.add_task("write        texts", total=total, completed=len(known))
        for target, background in zip(targets, stage.material.backgrounds, strict=True):
            likeness = Likeness.of(stage, target.held_out, part_background(background, config.seed).held_out)
            for place, prompt in enumerate(config.prompts):
                if (
                    sum((target.name, arm.name, place, s) in known for arm in arms for s in range(config.samples))
                    == each
                ):
                    continue
                progress.update(task, description=f"write        {target.name[:14]}")
                written = _write(stage, prompt, changes[target.name].writing(stage.asked[target.name]))
                fresh = [
                    text for text in _read(stage, written, target.name, place, likeness) if _place(text) not in known
                ]
                folder.append(*fresh)
                progress.update(task, advance=len(fresh))


def score_all(
    folder: SteeringFolder, stage: Stage, arms: Sequence[ArmRef], changes: Mapping[str, Changes], console: Console
) -> None:
    """Measure how likely every target's held-out text is in all arms."""
    targets, bench = stage.material.targets, stage.opened.bench
    known = {(one.target, one.arm, one.document) for one in folder.likelihoods()}
    with stage.opened.watch.time("likelihood"), Bars(console, "measure") as progress:
        task = progress.add_task("measure      held-out text", total=len(targets) * len(arms))
        for target in targets:
            held_out = lay_out(bench, target.held_out, stage.asked[target.name])
            documents = set(held_out.documents.tolist())
            for arm in arms:
                progress.update(task, advance=1)
                if all((target.name, arm.name, document) in known for document in documents):
                    continue
                found = score_held_out(bench, held_out, changes[target.name].get(arm), arm.kind == "prompt")
                lines = [
                    HeldOutLikelihood(
                        target=target.name, arm=arm.name, document=int(d), tokens=int(n), nats=float(nats)
                    )
                    for d, n, nats in zip(*found, strict=True)
                    if (target.name, arm.name, int(d)) not in known
                ]
                folder.append(*lines)


def _place(text: SteeredText) -> tuple[str, str, int, int]:
    return text.target, text.arm, text.prompt, text.sample


def _write(stage: Stage, prompt: str, arms: Mapping[str, WritingArm]) -> WrittenTexts:
    config, settings = stage.config, stage.opened.study.steering
    return write_texts(
        stage.opened.bench,
        [prompt],
        arms,
        samples=config.samples,
        new_tokens=config.new_tokens,
        temperature=config.temperature,
        top_k=config.top_k,
        seed=config.seed,
        form=settings.prompt_form,
    )


def _read(stage: Stage, written: WrittenTexts, target: str, place: int, likeness: Likeness) -> Iterator[SteeredText]:
    strings = stage.opened.bench.token_strings
    for number, arm in enumerate(written.arms):
        for sample in range(stage.config.samples):
            at = number, 0, sample
            text = str(written.texts[at])
            words, trained = likeness.of_text(text)
            yield SteeredText(
                target=target,
                arm=arm,
                prompt=place,
                sample=sample,
                text=text,
                tokens=tuple(strings[i] for i in written.tokens[at].tolist()),
                displaced=_numbers(written.displaced[at]),
                moved=_numbers(written.moved[at]),
                perplexity=float(written.perplexity[at]),
                repetition=repetition_of(text),
                kl=float(written.kl[at]),
                likeness=words,
                likeness_encoder=trained,
            )


def _numbers(values: Float[np.ndarray, " new"]) -> tuple[float, ...] | None:
    """None where the arm moves no activation."""
    return None if np.isnan(values).any() else tuple(round(float(value), 4) for value in values)
