"""Whether what an instrument is read against is alive: a figure whose floor is dead measured nothing, whatever it says.

Every instrument has a floor: other features' words for steered texts, random directions for keywords and coherence, tokens
anywhere for contexts, tokens as frequent for the causal check. A floor from which nothing could stand out, or from which
everything would, is dead. All of it is read from the evidence and the survey's table as they are stored, so that runs made
before floors were looked at are told the same as new ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from tools.proof.steering_floor import pooled_reason
from tools.records import STRATA, ActivationEvidence, Evidence, Record, Stratum

Instrument = Literal["keywords", "coherence", "contexts", "steering", "causal check"]
INSTRUMENTS: tuple[Instrument, ...] = ("keywords", "coherence", "contexts", "steering", "causal check")
Accepted = Literal["accepted features"]
ACCEPTED: Accepted = "accepted features"
Dead = Mapping[Instrument, str]
"""Why, by instrument: what is dead for one direction."""
NOTHING_DEAD: Dead = {}
ALPHA = 0.05
"""An outcome that chance alone reaches more often is no evidence; where that is so of the best outcome, nothing can be."""
MOST_WITHOUT_SCORE = 0.5
"""Share of directions without a coherence beyond which the median is that of an odd minority."""
LEAST_COVERAGE = 0.2
"""Mean share of the top tokens with a word vector: two of ten, the fewest that have a cosine."""
FEW = 5
"""Different values that tell a constant null from chance, where the null itself is not at hand."""


class DeadFloor(Record):
    """An instrument that measured nothing, in one stratum or altogether, and why."""

    instrument: Instrument
    stratum: Stratum | Accepted | None = None
    """None for all of them."""
    why: str
    """Names no stratum, for a judge may read it."""

    @property
    def text(self) -> str:
        """A sentence for people."""
        where = "" if self.stratum is None else f" ({self.stratum})"
        return f"{self.instrument}{where}: this instrument measured nothing here: {self.why}"


class NullSample(NamedTuple):
    """What the survey's random directions reach."""

    hits: Int64[np.ndarray, " n"]
    coherence: Float[np.ndarray, " n"]
    """NaN where there is no value."""


class Surveyed(NamedTuple):
    """Of all features: keyword hits, and the share of random directions with as many."""

    hits: Int64[np.ndarray, " d_sae"]
    null_share: Float[np.ndarray, " d_sae"]


def find_dead(
    evidence: Sequence[Evidence], surveyed: Surveyed | None = None, null: NullSample | None = None
) -> tuple[DeadFloor, ...]:
    """Every instrument whose floor is dead: altogether if it is so in all strata, else stratum by stratum.

    Args:
        evidence: of all selected directions.
        surveyed: the survey's table, if there was a survey.
        null: the survey's random directions themselves, while they are at hand; without them a constant null is told by
            different values that share one place in it.
    """
    found: list[DeadFloor] = []
    if why := _keywords_reason(evidence, surveyed, null) or _lists_reason(evidence):
        found.append(DeadFloor(instrument="keywords", why=why))
    if why := _constant_coherence(evidence, null):
        found.append(DeadFloor(instrument="coherence", why=why))
    else:
        found += _by_stratum("coherence", evidence, coherence_reason)
    if why := _domain_reason([record.activations for record in evidence if record.activations]):
        found.append(DeadFloor(instrument="contexts", why=why))
    else:
        found += _by_stratum("contexts", evidence, _silent_reason)
    found += _by_stratum("steering", evidence, steering_reason)
    if why := _causal_reason(evidence):
        found.append(DeadFloor(instrument="causal check", why=why))
    return tuple(found)


def reasons_in(floors: Iterable[DeadFloor] | None, stratum: Stratum | Accepted) -> dict[Instrument, str]:
    """What is dead for the directions of a stratum, and why; nothing where floors were not looked at."""
    return {one.instrument: one.why for one in floors or () if one.stratum in (None, stratum)}


def reasons_for(floors: Iterable[DeadFloor] | None, evidence: Evidence) -> dict[Instrument, str]:
    """What no rule may use of one direction: what is dead in its stratum, and steering whose own null is dead.

    A direction whose own texts are refused has a null near 0, against which a single win would look like certainty. Too
    few texts are no such danger: a tail probability knows how few they are.
    """
    if floors is None:
        return {}
    found = reasons_in(floors, evidence.stratum)
    own = evidence.steering
    if "steering" not in found and own and own.n and (why := pooled_reason([own], alpha=1.0)):
        found["steering"] = why
    return found


def say_dead(instrument: Instrument, why: str) -> str:
    """What stands in the place of an instrument's numbers, for judges and for people."""
    return f"{instrument}: measured nothing here ({why})"


def keep_alive(evidence: Evidence, dead: Dead) -> Evidence:
    """The evidence without what measured nothing. Contexts stay to be read; what is counted in them goes."""
    gone: dict[str, object] = {}
    for instrument, field in (("keywords",) * 2, ("coherence",) * 2, ("steering",) * 2, ("causal check", "causal")):
        if instrument in dead:
            gone[field] = None
    if "contexts" in dead and evidence.activations:
        counted = {"domain_lift": None, "domain_peaks": None, "domain_share": None}
        gone["activations"] = evidence.activations.model_copy(update=counted)
    return evidence.model_copy(update=gone) if gone else evidence


def steering_reason(evidence: Sequence[Evidence]) -> str | None:
    """Why the steered texts of some directions measured nothing; None where they did, or nothing was steered."""
    return pooled_reason([record.steering for record in evidence if record.steering], ALPHA)


def coherence_reason(evidence: Sequence[Evidence]) -> str | None:
    """Why the coherence of some directions says nothing: the word vectors cover too little of their tokens."""
    found = [record.coherence for record in evidence if record.coherence]
    if not found:
        return None
    lacking = sum(one.deduplicated is None for one in found)
    coverage = float(np.mean([one.coverage for one in found]))
    if lacking / len(found) > MOST_WITHOUT_SCORE:
        return f"{lacking} of {len(found)} directions have no value, for too few of their tokens have a word vector"
    if coverage < LEAST_COVERAGE:
        return f"only {coverage:.0%} of the top tokens have a word vector"
    return None


def _by_stratum(
    instrument: Instrument, evidence: Sequence[Evidence], reason: Callable[[Sequence[Evidence]], str | None]
) -> list[DeadFloor]:
    groups: defaultdict[Stratum, list[Evidence]] = defaultdict(list)
    for record in evidence:
        if _has(record, instrument):
            groups[record.stratum].append(record)
    whys: dict[Stratum, str] = {stratum: why for stratum in STRATA if (why := reason(groups.get(stratum, [])))}
    if len(whys) == len(groups) and (why := reason(evidence)):
        return [DeadFloor(instrument=instrument, why=why)]
    return [DeadFloor(instrument=instrument, stratum=stratum, why=why) for stratum, why in whys.items()]


def _has(record: Evidence, instrument: Instrument) -> bool:
    return {"coherence": record.coherence, "contexts": record.activations, "steering": record.steering}.get(
        instrument
    ) is not None


def _keywords_reason(evidence: Sequence[Evidence], surveyed: Surveyed | None, null: NullSample | None) -> str | None:
    """Random directions that all have as many hits as each other: no number of hits can be told from another."""
    if null is not None and len(null.hits):
        if np.ptp(null.hits):
            return None
        return f"all {len(null.hits):,} random directions have {null.hits[0]} hits, so that none can be told from them"
    places: defaultdict[int, set[float]] = defaultdict(set)
    for record in evidence:
        if record.keywords:
            places[len(record.keywords.hits)].add(record.keywords.null_share)
    if surveyed is not None:
        for hits, share in zip(surveyed.hits.tolist(), surveyed.null_share.tolist(), strict=True):
            places[hits].add(share)
    shares = set[float]().union(*(found for hits, found in places.items() if hits))
    if shares == {1.0}:
        return "every random direction has as many hits as any feature"
    if shares == {0.0}:
        return "no random direction has a single hit, so that any hit would look certain"
    beyond = sum(max(found) < 1 for found in places.values())
    if surveyed is not None and beyond > 1 and _is_one_end(shares):
        return "random directions all have the same number of hits: more of them, or fewer, make no difference"
    return None


def _lists_reason(evidence: Sequence[Evidence]) -> str | None:
    """The lens reads every random direction as the same tokens."""
    lists = [
        tuple(token.token for token in record.projection.top)
        for record in evidence
        if record.projection and record.feature.kind == "random_direction"
    ]
    if len(lists) >= FEW and len(set(lists)) == 1:
        return f"the lens reads all {len(lists)} random directions as the same tokens"
    return None


def _is_one_end(shares: set[float]) -> bool:
    """Whether shares are what a constant null leaves: 1 up to it, and beyond it the least share that there is.

    That is one over its size, and a null too small to have a share of 5 % would be no null.
    """
    beyond = shares - {1.0}
    return len(beyond) <= 1 and all(share <= ALPHA for share in beyond)


def _constant_coherence(evidence: Sequence[Evidence], null: NullSample | None) -> str | None:
    if null is not None and len(null.coherence):
        values = null.coherence[~np.isnan(null.coherence)]
        if not len(values):
            return "no random direction has a coherence to be held against"
        return None if np.ptp(values) else f"all {len(values):,} random directions have the same coherence"
    places = {
        (record.coherence.deduplicated, record.coherence.null_share)
        for record in evidence
        if record.coherence and record.coherence.deduplicated is not None and record.coherence.null_share is not None
    }
    shares = {share for _, share in places}
    if len({value for value, _ in places}) < FEW or not _is_one_end(shares):
        return None
    return "different values have the same share of random directions beyond them: these are all alike"


def _domain_reason(found: Sequence[ActivationEvidence]) -> str | None:
    """Words of the domain that stand near no token, or near so many that even the best feature could not stand out."""
    shares = [one.domain_share for one in found if one.domain_share is not None]
    documents = max((one.peak_documents or 0 for one in found), default=0)
    if not shares or not documents:
        return None
    share = max(shares)
    if share <= 0:
        return "no token of the corpus has a word of the domain near it"
    if share**documents > ALPHA:
        return (
            f"{share:.0%} of all tokens have a word of the domain near them: even all {documents} documents that were "
            "looked at would be no more than chance"
        )
    return None


def _silent_reason(evidence: Sequence[Evidence]) -> str | None:
    found = [record.activations for record in evidence if record.activations]
    if found and all(one.peak_documents == 0 for one in found):
        return f"none of the {len(found)} directions is active anywhere in the corpus"
    return None


def _causal_reason(evidence: Sequence[Evidence]) -> str | None:
    found = [record.causal for record in evidence if record.causal]
    if not found:
        return None
    if all(one.ablation_effect == 0 and not one.addition_effect for one in found):
        return "taking the directions out changes no logit"
    if all(one.auroc == 0.5 for one in found):
        return "every token is moved as much as those it is compared with"
    return None
