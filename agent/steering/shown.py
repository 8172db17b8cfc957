"""What a page shows of a steering run, as plain text and numbers: for `report.html` and for the desk alike.

All that comes from outside (targets, prompts, texts, labels) leaves here bounded in length and with every unseen character
spelt out; the template escapes it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from math import ceil
from typing import NamedTuple

from agent.folder.judged import LOSS, UNSTEERED, WIN, Floor, Verdicts, count_verdicts, key_of, measure_floor
from agent.folder.steered import ArmResult, ChosenFeature, Results, SteeredText, SteerManifest, TargetFound
from agent.folder.steering_store import SteeringFolder
from agent.steering.tables import Column, spell, tabulate_rows, used_columns
from prompts.fence import clip
from tools.display.unseen import spell_out

MOST_PROMPTS = 3
"""A target whose texts are shown where nothing else is said; the first sample of each."""
LEVELS = 9
"""Steps of shading."""
NAME, HEADING, LABEL, EXCERPT, PROMPT, TOKEN, TOKENS = 80, 200, 120, 400, 300, 40, 400
"""Most characters of what is shown, and most tokens of one text."""
Lines = list[tuple[str, ...]]
"""A table: its head, then its lines."""
Link = Callable[[ChosenFeature], str | None]
"""Where the investigation of a feature is read; None where it is not."""


class Piece(NamedTuple):
    """One token of a text."""

    text: str
    changed: bool
    """Whether the unsteered text of the same prompt and sample has something else there."""
    level: int
    """Of shading, 0 to `LEVELS`."""
    told: str
    """Its numbers in words."""


class ShownText(NamedTuple):
    """One continuation with what was measured of it."""

    arm: str
    pieces: tuple[Piece, ...]
    left_out: int
    """Tokens beyond what is shown."""
    figures: str
    verdict: str
    """Of the model, if there is one."""


class ShownPrompt(NamedTuple):
    """One beginning, and what each arm made of it."""

    text: str
    sample: int
    texts: tuple[ShownText, ...]


class ShownFeature(NamedTuple):
    """One of the features that stand for a target."""

    number: int
    score: str
    other: str
    tokens: tuple[str, ...]
    label: str
    link: str | None


class ShownTarget(NamedTuple):
    """One target."""

    name: str
    place: int
    excerpt: str
    facts: tuple[tuple[str, str], ...]
    refused: bool
    features: tuple[ShownFeature, ...]
    table: Lines
    prompts: tuple[ShownPrompt, ...]
    left_out: int
    """Beginnings beyond what is shown."""


class ShownRun(NamedTuple):
    """Everything."""

    title: str
    heading: tuple[str, ...]
    """What the run was, in a few words each."""
    refused: tuple[str, ...]
    """Targets outside what the SAE can represent."""
    finished: bool
    columns: tuple[Column, ...]
    table: Lines
    sentences: tuple[str, ...]
    floor: tuple[str, ...]
    targets: tuple[ShownTarget, ...]
    written: int
    """Texts so far."""


def show_run(
    folder: SteeringFolder, link: Link = lambda feature: None, only: str | None = None, most: int | None = MOST_PROMPTS
) -> ShownRun:
    """What a page shows of a run, finished or not.

    Args:
        folder: of the run.
        link: to investigations.
        only: the one target to show; None for all.
        most: beginnings of each target; None for all, and every sample.

    Raises:
        RunError: something in the folder does not read.
    """
    manifest, results, texts, judgements = folder.manifest(), folder.results(), folder.texts(), folder.judgements()
    rows = results.rows if results else ()
    columns = used_columns(rows)
    found = folder.targets() or ()
    by_target: defaultdict[str, list[SteeredText]] = defaultdict(list)
    for text in texts:
        by_target[text.target].append(text)
    known = _Known(manifest, results, columns, count_verdicts(judgements), link, most)
    targets = [
        known.show(place, one, by_target[one.name])
        for place, one in enumerate(found, 1)
        if only is None or one.name == only
    ]
    return ShownRun(
        title=_name(manifest),
        heading=tuple(plain(part, HEADING) for part in _head(manifest)),
        refused=tuple(plain(name, NAME) for name in results.refused) if results else (),
        finished=results is not None,
        columns=tuple(columns),
        table=_lay([row for row in rows if row.target is None], columns),
        sentences=tuple(_sum_up([row for row in rows if row.target is None])),
        floor=tuple(_say_floor(measure_floor(judgements))) if judgements else (),
        targets=tuple(targets),
        written=len(texts),
    )


def plain(text: str, most: int) -> str:
    """Text from outside as one bounded line in which everything can be seen."""
    return clip(spell_out(text), most)


def _name(manifest: SteerManifest) -> str:
    n = len(manifest.config.toward)
    return f"Steering toward {n} text{'s' if n > 1 else ''}: {plain(manifest.study_title, HEADING)}"


def _head(manifest: SteerManifest) -> Iterable[str]:
    config = manifest.config
    yield f"run {manifest.run_id}"
    yield f"SAE {config.sae}"
    yield f"scores by {config.scorer}"
    yield f"{manifest.support} features a position ({manifest.support_rule})"
    yield f"{len(config.prompts)} beginnings, {config.samples} samples each"
    yield f"seed {config.seed}"
    yield f"judge: {config.llm.judge_model if config.llm else 'none'}"
    yield f"started {manifest.started}"
    if manifest.proof:
        yield manifest.proof.sentence


def _lay(rows: Sequence[ArmResult], columns: Sequence[Column]) -> Lines:
    return [tuple(plain(cell, NAME) for cell in line) for line in tabulate_rows(rows, columns)]


class _Known(NamedTuple):
    """What every target of a run is shown by."""

    manifest: SteerManifest
    results: Results | None
    columns: Sequence[Column]
    verdicts: Verdicts
    link: Link
    most: int | None

    def show(self, place: int, found: TargetFound, texts: Sequence[SteeredText]) -> ShownTarget:
        """One target with its texts."""
        spots: defaultdict[tuple[int, int], dict[str, SteeredText]] = defaultdict(dict)
        for one in texts:
            spots[one.prompt, one.sample][one.arm] = one
        listed = sorted(spot for spot in spots if self.most is None or spot[1] == 0)
        rows = [row for row in (self.results.rows if self.results else ()) if row.target == found.name]
        return ShownTarget(
            name=plain(found.name, NAME),
            place=place,
            excerpt=plain(found.excerpt, EXCERPT),
            facts=tuple(_tell_doubt(found)),
            refused=self.results is not None and found.name in self.results.refused,
            features=tuple(_show_feature(one, self.link) for one in found.chosen),
            table=_lay(rows, self.columns),
            prompts=tuple(self._show_spot(spot, spots[spot]) for spot in listed[: self.most]),
            left_out=len(listed[self.most :]) if self.most is not None else 0,
        )

    def _show_spot(self, spot: tuple[int, int], texts: Mapping[str, SteeredText]) -> ShownPrompt:
        prompts, order = self.manifest.config.prompts, [arm.name for arm in self.manifest.arms]
        arms = [arm for arm in order if arm in texts] + sorted(texts.keys() - set(order))
        beginning = prompts[spot[0]] if 0 <= spot[0] < len(prompts) else ""
        shown = tuple(_show_text(texts[arm], texts.get(UNSTEERED), self.verdicts) for arm in arms)
        return ShownPrompt(plain(beginning, PROMPT), spot[1], shown)


def _tell_doubt(found: TargetFound) -> Iterable[tuple[str, str]]:
    doubt, agreement = found.doubt, found.agreement
    yield "documents", f"{found.documents:,}, {found.held_out:,} of them held out; {found.tokens:,} tokens"
    if doubt.confidence is not None:
        yield "confidence that steering succeeds", f"{doubt.confidence:.2f}"
    if doubt.auroc is not None:
        ends = "" if doubt.auroc_low is None else f" [{doubt.auroc_low:.2f}, {doubt.auroc_high or 1:.2f}]"
        yield "held-out text told from reference text", f"AUROC {doubt.auroc:.2f}{ends}"
    if doubt.error_ratio is not None:
        rare = (
            ""
            if doubt.as_unexplained is None
            else f"; as much in {doubt.as_unexplained:.0%} of the reference's documents"
        )
        yield "unexplained variance over the reference's", f"{doubt.error_ratio:.2f}{rare}"
    if doubt.significant is not None:
        yield "features that differ (5 % false)", f"{doubt.significant:,}"
    if doubt.uninterpretable is not None:
        yield "score on features that nobody could name", f"{doubt.uninterpretable:.0%}"
    spearman = "" if agreement.spearman is None else f"Spearman {agreement.spearman:.2f}; "
    yield (
        "both scorers",
        f"{spearman}{agreement.shared} of their best {agreement.top} shared ({agreement.shared_by_chance:.1f} by chance)",
    )


def _show_feature(one: ChosenFeature, link: Link) -> ShownFeature:
    rated = "" if one.interpretable is None else f" (interpretable {one.interpretable} of 4)"
    return ShownFeature(
        number=one.index,
        score=f"{one.score:.3g}",
        other="-" if one.other_score is None else f"{one.other_score:.3g}",
        tokens=tuple(plain(token, TOKEN) for token in one.tokens[:10]),
        label="" if one.label is None else plain(one.label, LABEL) + rated,
        link=link(one),
    )


def _show_text(one: SteeredText, twin: SteeredText | None, verdicts: Verdicts) -> ShownText:
    key = key_of(one)
    wins, ratings = verdicts.wins, verdicts.ratings
    said = {WIN: "more like the target than unsteered", LOSS: "less like it than unsteered"}
    verdict = [said.get(wins[key], "a tie with unsteered")] if key in wins else []
    verdict += [f"rated {ratings[key]:.2f} of 2"] if key in ratings else []
    likeness = "" if one.likeness is None else f" · likeness {one.likeness:+.2f}"
    return ShownText(
        arm=plain(one.arm, NAME),
        pieces=tuple(cut_up(one, twin))[:TOKENS],
        left_out=max(0, len(one.tokens) - TOKENS),
        figures=f"perplexity {one.perplexity:.1f} · repetition {one.repetition:.2f} · KL {one.kl:.2f}{likeness}",
        verdict="the model: " + ", ".join(verdict) if verdict else "",
    )


def cut_up(one: SteeredText, twin: SteeredText | None) -> Iterable[Piece]:
    """A text token by token: what the unsteered text has not, and how far the model was moved there.

    Shaded is the share of features put in others' places; where an arm puts none, activation moved over what there was.
    """
    changed = [False] * len(one.tokens)
    if twin is not None and one.arm != UNSTEERED:
        changed = [True] * len(one.tokens)
        for block in SequenceMatcher(None, twin.tokens, one.tokens, autojunk=False).get_matching_blocks():
            changed[block.b : block.b + block.size] = [False] * block.size
    for token, new, displaced, moved in zip_longest(one.tokens, changed, one.displaced or (), one.moved or ()):
        if token is None:
            return  # more numbers than tokens: a damaged line shows what there is
        shade = displaced if displaced is not None else moved
        told = [f"{displaced:.0%} of features displaced"] if displaced is not None else []
        told += [f"activation moved {moved:.2f}"] if moved is not None else []
        told += ["not in the unsteered text"] if new else []
        level = 0 if shade is None else min(LEVELS, max(0, ceil(LEVELS * min(1.0, shade))))
        yield Piece(plain(token, TOKEN), bool(new), level, "; ".join(told))


def _sum_up(rows: Sequence[ArmResult]) -> Iterable[str]:
    """For each scheme what it gains, beside its shuffled twin and the prompt that simply asks."""
    by_arm = {row.arm: row for row in rows}
    asked = by_arm.get("prompt")
    for arm, row in by_arm.items():
        controls = [name for name in by_arm if name.startswith(f"{arm}, ")]
        if not controls or row.likeness_gained is None:
            continue
        beside = [f"{spell(by_arm[name].likeness_gained)} for {name}" for name in controls]
        beside += [f"{spell(asked.likeness_gained)} for a prompt that asks for it"] if asked else []
        yield f"{arm}: likeness {spell(row.likeness_gained)}, beside {', '.join(beside)}"


def _say_floor(floor: Floor) -> Iterable[str]:
    shuffled, same, first, consistent = floor
    if shuffled.share is not None:
        yield f"under another target's excerpts the arms win {shuffled.share:.0%} of {shuffled.n} (chance: half)"
    if same.share is not None:
        yield f"of one text shown twice it names the first in {same.share:.0%} of {same.n} (chance: half)"
    if first.share is not None:
        yield f"of texts that differ it names the first in {first.share:.0%} of {first.n} (chance: half)"
    if consistent.share is not None:
        yield f"asked in both orders it says the same of {consistent.share:.0%} of {consistent.n} pairs"
