"""Texts under one setting of steering after the other, on the instruments that a run uses itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from tools.bench.compute import Compute, Precision, settle_precision
from tools.bench.loading import load_arm
from tools.bench.workbench import Workbench
from tools.dictionaries.belonging import probe_reconstruction, probe_rows
from tools.effects.continuations import STEERED, UNSTEERED, SteeredTexts, Targets, steer
from tools.effects.contrast import Contest, draw_panel, score_pairs
from tools.effects.fluency import draw_bounds
from tools.effects.sequence import follow
from tools.effects.steering import check_room
from tools.effects.stock import write_usual_texts
from tools.effects.trial import draw_targets, mean_residual_norm
from tools.proof.proof import require_proof
from tools.records import Policy, PromptForm, SteeredPair
from tools.study.corpus import Corpus
from tools.study.definition import SteeringDefaults, SteeringSequence, Study
from tools.survey.features import Survey, prepare_survey, survey_features

HEADER: tuple[str, ...] = (
    "form", "policy", "KL", "tokens", "directions", "n", "strength", "wins", "null", "lift", "nats plain", "nats steered",
    "collapsed", "pass", "others pass",
)  # fmt: skip


class Setting(NamedTuple):
    """What is tried."""

    form: PromptForm
    policy: Policy
    kl: float
    new_tokens: int


class Stage(NamedTuple):
    """What every setting is tried on."""

    bench: Workbench
    study: Study
    survey: Survey
    residual_norm: float
    targets: Targets
    seed: int


class Swept(NamedTuple):
    """What came of one setting, for features or random directions."""

    setting: Setting
    kind: str
    n: int
    """Directions with words that texts can be compared with; where there is none, what rests on them is NaN."""
    strength: float
    """Median, in mean residual norms."""
    wins: float
    null: float
    lift: float
    """Nats, of the log-probability of a direction's tokens."""
    nats: tuple[float, float]
    """A token, of unsteered and of steered texts, to the unsteered model."""
    collapsed: float
    passing: float
    """Share of directions that pass the study's sequential test, were all pairs written."""
    others: float
    """The same under the words of other features: how often the test errs."""
    shown: tuple[str, ...]
    """Texts to be read."""


def open_stage(study: Study, arm: str, precision: Precision, device: str, n: int, seed: int) -> Stage:
    """The bench, proved, with its survey and the directions: live features and random ones.

    Raises:
        UnveilError: it does not load, or does not prove itself.
    """
    corpus = Corpus(study)
    bench = load_arm(study, arm, Compute(device, settle_precision(precision, study.precision)))
    bench.take_up(corpus)
    lexicon = prepare_survey(bench, study)
    require_proof(bench, probe_reconstruction(bench, probe_rows(bench, study)), None)
    survey = survey_features(bench, study, seed, lexicon=lexicon)
    targets = draw_targets(bench, study, survey, n, seed)
    return Stage(bench, study, survey, mean_residual_norm(bench, study), targets, seed)


def sweep(stage: Stage, setting: Setting, seeds: int, show: int) -> list[Swept]:
    """One setting, for features and for random directions.

    Raises:
        StudyError: the prompts have no room, or cannot be put in that form.
    """
    asked = {
        "prompt_form": setting.form,
        "policy": setting.policy,
        "unit": "kl",
        "target_kl": setting.kl,
        "strength": None,
        "new_tokens": setting.new_tokens,
        "seeds": tuple(range(seeds)),
    }
    steering = SteeringDefaults.model_validate({**stage.study.steering.model_dump(), **asked})
    study = stage.study.model_copy(update={"steering": steering})
    check_room(stage.bench, steering.prompts, steering.new_tokens, steering.prompt_form)
    texts = steer(stage.bench, study, stage.targets, stage.residual_norm, stage.seed, arms=STEERED + 1)
    bounds = draw_bounds(write_usual_texts(stage.bench, study, stage.seed), steering.fluency_factor)
    owners = stage.targets.readers.features.tolist()
    ids, panel = stage.targets.token_ids.numpy(), draw_panel(stage.survey, stage.seed)
    contests = score_pairs(study, texts, stage.survey.lexicon, ids, owners, panel, bounds)
    test = steering.sequence or SteeringSequence()
    kinds = {"features": [i for i, own in enumerate(owners) if own >= 0]}
    kinds["random"] = [i for i, own in enumerate(owners) if own < 0]
    return [_sum_up(setting, kind, places, texts, contests, test, show) for kind, places in kinds.items() if places]


def _sum_up(
    setting: Setting,
    kind: str,
    places: Sequence[int],
    texts: SteeredTexts,
    contests: Sequence[Contest],
    test: SteeringSequence,
    show: int,
) -> Swept:
    nats = np.log(texts.perplexity[places]).mean(axis=(0, 1)).tolist()
    own = [contest for i in places if (contest := contests[i]).measurable]
    return Swept(
        setting=setting,
        kind=kind,
        n=len(own),
        strength=float(np.median(texts.strengths[places])),
        wins=_mean(contest.wins.mean() for contest in own),
        null=_mean(contest.chance.mean() for contest in own),
        lift=_mean(contest.lift.mean() for contest in own),
        nats=(nats[UNSTEERED], nats[STEERED]),
        collapsed=_mean(pair.collapsed for contest in own for pair in contest.pairs),
        passing=_mean(follow(test, contest.wins, contest.chance)[0] == "passes" for contest in own),
        others=_mean(share_of_others(test, contest) for contest in own),
        shown=tuple(line for i in places[:show] for line in _spell(contests[i].pairs[0])),
    )


def _mean(values: Iterable[float]) -> float:
    """NaN where no direction has words that texts could be compared with."""
    known = list(values)
    return float(np.mean(known)) if known else math.nan


def share_of_others(test: SteeringSequence, contest: Contest) -> float:
    """Of the panel's lists, the share that would pass for the direction's own, each against all the others."""
    n = contest.null.shape[1]
    everyone = contest.null.sum(axis=1)
    passes = [
        follow(test, contest.null[:, other], (everyone - contest.null[:, other]) / max(1, n - 1))[0] == "passes"
        for other in range(n)
    ]
    return float(np.mean(passes)) if passes else 0.0


def _spell(pair: SteeredPair) -> tuple[str, str, str]:
    return f"  {pair.prompt} …", f"    plain:   {pair.unsteered}", f"    steered: {pair.steered}"


def _show(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)


def read_cells(one: Swept) -> tuple[str, ...]:
    """A line of the table."""
    setting = one.setting
    return (
        setting.form,
        setting.policy,
        f"{setting.kl:g}",
        str(setting.new_tokens),
        one.kind,
        str(one.n),
        f"{one.strength:.2f}",
        _show(one.wins, ".0%"),
        _show(one.null, ".0%"),
        _show(one.lift, "+.2f"),
        f"{one.nats[0]:.2f}",
        f"{one.nats[1]:.2f}",
        _show(one.collapsed, ".0%"),
        _show(one.passing, ".0%"),
        _show(one.others, ".1%"),
    )
