"""Which ratings say that a feature is beside the point: the one rule by which verdicts are acted on. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping

LEAST = 2
"""The least rating, of 0 to 4, that says a feature has to do with a concept by more than a trace."""
PUBLISHED = 1
"""The least rating by the rule published for a language model in the annotator's place: any trace at all."""


def is_beside(ratings: Mapping[str, int], removed: str, kept: str, least: int = LEAST) -> bool:
    """Whether a feature has to do with the concept that is taken out, and more so than with the one that stays.

    Args:
        ratings: concept -> 0 to 4.
        removed: the concept beside the point.
        kept: the concept that the classifier is meant to go by.
        least: of the rating for `removed`.

    Raises:
        KeyError: one of the concepts was not rated.
    """
    return ratings[removed] >= least and ratings[removed] > ratings[kept]


def is_published(ratings: Mapping[str, int], removed: str) -> bool:
    """The rule as published: any trace of the concept that is taken out, whatever else there is.

    Raises:
        KeyError: the concept was not rated.
    """
    return ratings[removed] >= PUBLISHED
