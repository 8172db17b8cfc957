"""How evidence is to be read: said once, the same for every feature, in the beginning that requests share."""

from __future__ import annotations

LEGEND = """\
- What stands in brackets, or behind "random directions", "median feature" or "other features", is what chance or an \
unremarkable direction reaches by the same measurement. A number that does not stand out from it says nothing.
- Active tokens: tokens at which the feature is active, those with most of its activation first. A/B/C: percent of its \
activation that falls on the token; of the places at which it is active; of the token's own occurrences at which it is \
active, where its density is what chance would give. Tokens before these: the same of the token that stands before. " the" \
has a leading blank, "the" has none; ␣ is a blank, ⏎ a line end, \\u{fffd} a byte that is no character by itself.
- Domain words near: share of its active tokens with a word of the domain within five tokens.
- Contexts: text in which it is active, most of it before the peak, for the model reads from left to right. First the \
strongest ones, then some drawn from all others, by falling activation. «Marks» hold tokens at which it is strongly active; \
the number behind | is the activation of the token before it, in tenths of the largest in the corpus. What is not marked shows \
what surrounds the feature, and no meaning of it. [text] is where a text begins, [row] where a row of one does, … a cut.
- Silent: text in which it is not active, although a token at which it peaks elsewhere is there, or the feature most like it \
is active; that token is marked |0.
- Top tokens: tokens whose logits a step along the feature raises most, by a linear reading of the model. A claim about \
weights, not an observed effect: small models list rare words for many directions that mean nothing.
- Added: change of the next token's log-probability, in nats, when the feature is added. Random directions change the next \
token by as much altogether; each raises its own top tokens, so that only how far they rise may tell. Moves most: the tokens \
that it moves furthest beyond what random directions do.
- Removed: what the top tokens lose where the feature is active and is taken out, beside what its weights promise.
- Words and tokens that rise: in how many steered texts / unsteered ones / texts along a random direction each stands. They are \
listed only if one rises further than any does along random directions.
- Words tried under steering: change of their log-probability in nats; in brackets what random directions as strong change on \
average, and the rank of the change among common words about as frequent, 1 for the largest."""
