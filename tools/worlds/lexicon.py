"""The words of the text world, by what they depend on; spaces are part of them."""

from __future__ import annotations

TOPICS = ("cooking", "sailing", "gardening", "astronomy")
TENSES = ("past", "present", "future")
PERSONS = ("first", "second", "third")
NUMBERS = ("singular", "plural")
SENTIMENTS = ("positive", "negative")
SPEAKERS = ("Anna", "Clara", "Maria", "Ruth")

INSIDE_PLACES = {0: " kitchen", 2: " garden"}
OTHER_PLACES = {1: (" On", " ship"), 3: (" At", " observatory")}
"""Of each topic: what one is in, or a preposition with a place."""
TIMES = (
    ((" yesterday",), (" last", " night")),
    ((" every", " day"), (" these", " days")),
    ((" tomorrow",), (" next", " week")),
)
"""Of each tense."""
LATER = (" earlier", " now", " soon")
"""Of each tense, at a sentence's end."""
SUBJECTS = {
    (0, 0): " I",
    (0, 1): " we",
    (1, 0): " you",
    (2, 0): " she",
    (2, 1): " they",
}
"""Pronouns by person and number, inside a sentence."""
POSSESSIVES = {(0, 0): " my", (0, 1): " our", (1, 0): " your", (2, 0): " her", (2, 1): " their"}
PEOPLE = (
    (" cook", " cooks"),
    (" captain", " captains"),
    (" gardener", " gardeners"),
    (" astronomer", " astronomers"),
)
"""Of each topic: one and several."""
THINGS = (
    (" soup", " bread", " sauce", " knives", " onions", " plates"),
    (" sails", " anchor", " ropes", " deck", " harbour", " charts"),
    (" roses", " seeds", " hedge", " lawn", " spade", " beans"),
    (" telescope", " comet", " planets", " stars", " lenses", " eclipse"),
)
"""Of each topic."""
DEEDS = (
    ((" stir", " stirs", " stirred"), (" taste", " tastes", " tasted"), (" serve", " serves", " served")),
    ((" mend", " mends", " mended"), (" paint", " paints", " painted"), (" guard", " guards", " guarded")),
    ((" water", " waters", " watered"), (" trim", " trims", " trimmed"), (" weed", " weeds", " weeded")),
    ((" watch", " watches", " watched"), (" draw", " draws", " drew"), (" study", " studies", " studied")),
)
"""Of each topic: verbs in the base form, of the third person singular, in the past."""
FEELINGS = (
    ((" love", " loves", " loved"), (" praise", " praises", " praised"), (" enjoy", " enjoys", " enjoyed")),
    ((" hate", " hates", " hated"), (" blame", " blames", " blamed"), (" dread", " dreads", " dreaded")),
)
"""Of each sentiment, likewise."""
MOODS = ((" happy", " proud", " cheerful"), (" sad", " angry", " worried"))
QUALITIES = ((" wonderful", " lovely", " splendid"), (" awful", " terrible", " dreadful"))
"""Of each sentiment."""
OUTCOMES = ((" well", " smoothly"), (" badly", " wrong"))
"""Of each sentiment: how everything goes."""
GOES, SAYS = (" go", " goes", " went"), (" say", " says", " said")
HEARS = (" hear", " hear", " heard")
"""Which nobody but `I` does."""
OPENERS = ("Oh", "Well", "Listen", "Honestly")
"""Of each speaker, with which she may begin to speak."""
HABITS = (" really", " truly", " always", " simply")
"""Of each speaker, before a verb."""
ADDRESSES = (" darling", " friend", " comrade", " dear")
"""Of each speaker, with which she may end a sentence."""
OTHERS = (
    " In", " the", " The", "The", "the", " everything", " will", " be", " am", " are", " is", " was", " were", " and",
    " because", " However", "a", " gift", " from", " one", "as", " usual", ",", ".", " (", ")", " “", "”", " ‘", "’",
)  # fmt: skip


def capital(text: str) -> str:
    """The form that begins a sentence."""
    return f" {text.strip().capitalize()}"


def bare(text: str) -> str:
    """The form that follows an opening mark."""
    return text.strip()


def list_words() -> tuple[str, ...]:
    """All of them, each once."""
    starts = [capital(text) for text in SUBJECTS.values()]
    names = [f" {name}" for name in SPEAKERS]
    verbs = [form for group in (*DEEDS, *FEELINGS) for verb in group for form in verb]
    by_kind = [
        word
        for group in (OTHER_PLACES.values(), PEOPLE, THINGS, MOODS, QUALITIES, OUTCOMES)
        for words in group
        for word in words
    ]
    times = [word for ways in TIMES for way in ways for word in way]
    plain = [
        *INSIDE_PLACES.values(),
        *LATER,
        *SUBJECTS.values(),
        *POSSESSIVES.values(),
        *GOES,
        *SAYS,
        *HEARS,
        *OPENERS,
        *HABITS,
        *ADDRESSES,
    ]
    return tuple(sorted({*starts, *map(bare, starts), *names, *verbs, *by_kind, *times, *plain, *OTHERS}))
