"""Figures of a comparison: the study's two, the coherence of features, and the measures over SAE seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from evals.arms.results import Comparison, Measured, SeedTest
from evals.arms.runs import Arm, column, equals
from tools.display.plots import Draw, save_figure
from tools.display.unseen import spell_out
from tools.proof.floors import Instrument
from tools.study.definition import Study
from tools.survey.keywords import load_vocabulary, token_words

BASE, FINETUNED = "#5b7083", "#0b6e4f"
WRAP = 26
"""Letters a line of a panel's title."""
LONGEST = 30
"""Letters of an arm's name in a legend."""
SHORT = 8
"""Letters of an arm's name under a strip."""


_SHOWS: dict[str, Instrument] = {"coherence": "coherence", "steering": "steering"}
"""The instrument behind a figure; all others show keyword hits."""


class DomainWeights(NamedTuple):
    """Logit weights of words of the domain among features' top tokens, in standard deviations of the feature's row."""

    keyword: Float[np.ndarray, " n"]
    relevant: Float[np.ndarray, " m"]


def collect_weights(arm: Arm, study: Study, words: Sequence[str]) -> DomainWeights | None:
    """Weights of domain words in the lists of keyword features and of relevant ones.

    None where the vocabulary as it stands now does not give the hits that the run counted: then it is another one.

    Args:
        arm: with its survey.
        study: that names the vocabulary.
        words: known words, most frequent first, as the survey read tokens by.
    """
    vocabulary = load_vocabulary(study.asset(study.domain.vocabulary))
    lists = [list(tokens) for tokens in arm.survey["top_tokens"]]
    different = list(dict.fromkeys(token for tokens in lists for token in tokens))
    read = zip(different, token_words(different, words), strict=True)
    is_domain = {token: entry.word is not None and entry.word in vocabulary for token, entry in read}
    listed = np.array([[is_domain[token] for token in tokens] for tokens in lists])
    if (listed.sum(axis=1) != arm.table["hits"].to_numpy()).any():
        return None
    weights = np.stack(list(arm.survey["top_weights"])) / np.maximum(arm.survey["std"].to_numpy()[:, None], 1e-12)
    keyword = (arm.table["hits"] >= arm.thresholds.hits).to_numpy()
    relevant = (arm.table["judged"] == "yes").to_numpy()
    return DomainWeights(*(weights[chosen][listed[chosen]].astype(float) for chosen in (keyword, relevant)))


def draw_comparison(
    folder: Path, found: Comparison, arms: tuple[Arm, Arm], weights: tuple[DomainWeights | None, DomainWeights | None]
) -> list[Path]:
    """Write each figure that there is something to show in, as PNG, and return their paths."""
    arms = (_named(arms[0]), _named(arms[1]))
    drawings: dict[str, tuple[str, Draw]] = {
        "hits_direct": ("Figure 1: keyword hits, direct lens", lambda axes: _draw_hits(axes, arms, "hits_direct")),
        "hits": ("Figure 1: keyword hits, the study's lens", lambda axes: _draw_hits(axes, arms, "hits")),
        "coherence": ("Coherence (each word once)", lambda axes: _draw_coherence(axes, arms)),
        "steering": ("Wins beyond the null", lambda axes: _draw_steering(axes, arms)),
    }
    left, right = weights
    if left is not None and right is not None:
        drawings["weights"] = (
            "Figure 2: logit weights of domain words",
            lambda axes: _draw_weights(axes, arms, (left, right)),
        )
    dead = {floor.instrument for arm in arms for floor in arm.floors if floor.stratum is None}
    drawn = [name for name in drawings if _SHOWS.get(name, "keywords") not in dead]
    paths = [save_figure(folder / f"{name}.png", (4.6, 3.0), drawings[name]) for name in drawn]
    names = (arms[0].name, arms[1].name)
    seeds = [_panel(one, one.seeds, names) for one in found.measured if one.claim is not None and one.seeds is not None]
    if seeds:
        paths.append(save_figure(folder / "seeds.png", (2.3 * len(seeds), 3.0), *seeds))
    return paths


def _named(arm: Arm) -> Arm:
    """Fonts have no glyphs for characters that are not seen, and a figure no room for a long name."""
    return arm._replace(name=spell_out(arm.name)[:LONGEST])


def _draw_hits(axes: Axes, arms: tuple[Arm, Arm], name: str) -> None:
    """Features by their number of hits; those without any are told in the legend, since they are nearly all."""
    most = max(2, *(int(column(arm.table, name).max()) for arm in arms))
    places = np.arange(1, most + 1)
    for arm, colour, shift in zip(arms, (BASE, FINETUNED), (-0.2, 0.2), strict=True):
        counts = np.bincount(column(arm.table, name).astype(int), minlength=most + 1)[: most + 1]
        label = f"{arm.name} ({counts[0]:,} of {counts.sum():,} without)"
        bars = axes.bar(places + shift, counts[1:], 0.4, color=colour, label=label)
        axes.bar_label(bars, labels=[str(count) if count else "" for count in counts[1:]], fontsize=6)
    axes.axvline(arms[0].thresholds.hits - 0.5, color="0.6", linewidth=0.8, linestyle="--")
    axes.set(xlabel="words of the domain among the top tokens", ylabel="features", xticks=places)
    axes.legend(frameon=False, fontsize=7)


def _draw_weights(axes: Axes, arms: tuple[Arm, Arm], weights: tuple[DomainWeights, DomainWeights]) -> None:
    groups = [side.keyword for side in weights] + [side.relevant for side in weights]
    names = [f"{arm.name}\n{over}" for over in ("keyword", "relevant") for arm in arms]
    _strip(axes, groups, names, (BASE, FINETUNED) * 2)
    axes.set_ylabel("logit weight, standard deviations\nof the feature's row")


def _draw_coherence(axes: Axes, arms: tuple[Arm, Arm]) -> None:
    _strip_sets(axes, arms, "coherence", ("keyword", "relevant", "all", "random"))
    axes.set_ylabel("mean weighted cosine")


def _draw_steering(axes: Axes, arms: tuple[Arm, Arm]) -> None:
    _strip_sets(axes, arms, "excess", ("relevant", "investigated", "random"))
    axes.axhline(0, color="0.6", linewidth=0.8, linestyle="--")
    axes.set_ylabel("share of texts won, less the null")


def _strip_sets(axes: Axes, arms: tuple[Arm, Arm], name: str, sets: Sequence[str]) -> None:
    groups = [_pick(arm, name, chosen) for chosen in sets for arm in arms]
    names = [f"{_short(arm.name)}\n{chosen}" for chosen in sets for arm in arms]
    _strip(axes, groups, names, (BASE, FINETUNED) * len(sets))
    axes.tick_params(axis="x", labelsize=7)


def _pick(arm: Arm, name: str, chosen: str) -> Float[np.ndarray, " n"]:
    """A column's values over one set of features, or over random directions."""
    values = column(arm.random if chosen == "random" else arm.table, name)
    if chosen == "keyword":
        values = values[column(arm.table, "hits") >= arm.thresholds.hits]
    elif chosen == "relevant":
        values = values[equals(arm.table, "judged", "yes")]
    elif chosen == "all":
        values = values[column(arm.table, "alive") > 0]
    return values[~np.isnan(values)]


def _short(name: str) -> str:
    return name if len(name) <= SHORT else f"{name[: SHORT - 2]}."


def _strip(axes: Axes, groups: Sequence[Float[np.ndarray, " n"]], names: Sequence[str], colours: Sequence[str]) -> None:
    """Every value as a dot with the mean as a bar: no bin hides anything."""
    rng = np.random.default_rng(0)
    for place, (values, colour) in enumerate(zip(groups, colours, strict=True)):
        size, alpha = (9, 0.55) if len(values) < 300 else (3, 0.25)
        spread = place + rng.uniform(-0.2, 0.2, len(values))
        axes.scatter(spread, values, s=size, alpha=alpha, color=colour, linewidths=0)
        if len(values):
            axes.hlines(float(np.mean(values)), place - 0.32, place + 0.32, color="#111111", linewidth=1.6)
    axes.set_xticks(range(len(names)), [f"{name}\nn = {len(v):,}" for name, v in zip(names, groups, strict=True)])


def _panel(one: Measured, test: SeedTest, names: tuple[str, str]) -> tuple[str, Draw]:
    return "", lambda axes: _draw_seeds(axes, one, test, names)


def _draw_seeds(axes: Axes, one: Measured, test: SeedTest, names: tuple[str, str]) -> None:
    """Each SAE a dot, and the arms' means as bars."""
    for place, (values, colour) in enumerate(zip((test.base, test.finetuned), (BASE, FINETUNED), strict=True)):
        axes.scatter([place] * len(values), values, s=18, color=colour, zorder=3)
        axes.hlines(float(np.mean(values)), place - 0.25, place + 0.25, color="#111111", linewidth=1.6)
    axes.set_xticks((0, 1), names)
    axes.set_xlim(-0.6, 1.6)
    axes.set_title(fill(f"{one.name}, over {one.over}", WRAP), fontsize=7)
    axes.tick_params(axis="y", labelsize=7)
