"""What the rules call the places at which a feature is active, and whether these have anything in common to be called by.

Every direction is active most at some tokens or other; a list of them is no name. It becomes one where the feature is
active again where these tokens stand again, or where words of the domain stand near them, more than chance would have it.
"""

from __future__ import annotations

from tools.records import ActivationEvidence

NOTHING, NEVER = "nothing that can be named", "never active"
NAMEABLE = 0.01
"""How often something that means nothing may have as much in common: of 200 random readings at most one."""


def has_in_common(evidence: ActivationEvidence | None, near: float | None) -> bool | None:
    """Whether the places at which a feature is active have something in common that a list of words can say.

    What stands before them, or what whole passages are about, such a list does not say, but for the domain.

    Args:
        evidence: of where it is active.
        near: how often by chance as many of its peaks would have a word of the domain near; None where that is not known.

    Returns:
        None where nobody looked how often it is active again at the same tokens, or it never is.
    """
    statistics = evidence.statistics if evidence else None
    if statistics is None or statistics.recurrence_null_share is None:
        return None
    return statistics.recurrence_null_share <= NAMEABLE or (near is not None and near <= NAMEABLE)


def name_places(evidence: ActivationEvidence | None, in_common: bool | None) -> str:
    """The words that a feature is most active at, or that there is nothing to name."""
    if evidence is not None and evidence.density == 0:
        return NEVER
    return NOTHING if in_common is False else name_peaks(evidence)


def name_peaks(evidence: ActivationEvidence | None) -> str:
    """The different words a feature is most active at, strongest first, at most five."""
    peaks = [
        context.tokens[max(range(len(context.activations)), key=context.activations.__getitem__)].strip()
        for context in (evidence.top if evidence else ())
        if context.activations
    ]
    return ", ".join([peak for peak in dict.fromkeys(peaks) if peak][:5]) or "unnamed"


def explain_common(evidence: ActivationEvidence | None, in_common: bool | None) -> tuple[str, ...]:
    """In words; nothing where nobody looked."""
    statistics = evidence.statistics if evidence else None
    if statistics is None or in_common is None or statistics.recurrence is None:
        return ()
    said = (
        f"contexts: it is active again at {statistics.recurrence:.0%} of the other places of its tokens, a random reading as "
        f"often active at {statistics.usual_recurrence or 0:.0%}; {statistics.recurrence_null_share or 0:.1%} of these reach that"
    )
    return (said if in_common else f"{said}: {NOTHING}",)
