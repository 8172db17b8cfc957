"""Labels that several features share, and labels that say yes to other features' contexts."""

from __future__ import annotations

from evals.scoring.collisions import OwnAndOthers, find_collisions, measure_specificity, normalise_label


def test_labels_are_the_same_up_to_case_punctuation_and_order() -> None:
    assert normalise_label("Heart, blood") == normalise_label("blood; heart; Heart.") == ("blood", "heart")
    assert normalise_label("heart") != normalise_label("hearts")


def test_labels_without_latin_words_are_told_apart() -> None:
    assert normalise_label("心臓") != normalise_label("血")
    assert normalise_label(" ! ") == ("!",)


def test_shared_labels_are_counted_by_feature() -> None:
    found = find_collisions({"a": "heart", "b": "Heart.", "c": "blood", "d": "river", "e": "heart", "f": "River"})
    assert (found.labels, found.shared) == (6, 5)
    assert [group.features for group in found.groups] == [("a", "b", "e"), ("d", "f")]
    assert find_collisions({}).shared == 0


def test_specificity_is_over_labels_that_were_asked_about_both() -> None:
    shares = [
        OwnAndOthers(own=1.0, others=0.2, others_asked=10),
        OwnAndOthers(own=0.5, others=0.0, others_asked=10),
        OwnAndOthers(own=None, others=1.0, others_asked=10),
    ]
    found = measure_specificity("words", shares, seed=0)
    assert (found.labels, found.own.value, found.others.value, found.others_asked) == (2, 0.75, 0.1, 20)
