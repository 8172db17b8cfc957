"""How evidence is to be read: said once, the same for every feature, in the beginning that requests share."""

from __future__ import annotations

LEGEND = """\
- Numbers in brackets, or behind "random directions", "median feature", "as frequent", say what chance or an unremarkable \
direction reaches by the same measurement. A number that does not stand out from them says nothing.
- Active tokens: the tokens at which the feature is active, those with most of its activation first. A/B/C: percent of its \
activation that falls on the token, of the places at which it is active, and of the token's own occurrences at which it is \
active; by chance, C would be its density. " the" has a leading blank, "the" has none; ␣ is a blank, ⏎ a line end, \
\\u{fffd} a byte that is no character by itself. Tokens before these: the same for the token that stands before; [row] is the \
start of a row of text.
- Contexts: text in which the feature is active, most of it before the peak, for the model reads from left to right. «Marks» \
enclose tokens at which it is strongly active; the number behind | is the activation of the token before it, in tenths of \
the largest in the corpus. What is not marked shows what surrounds the feature, and no meaning of it. [text] is where a text \
begins, [row] where a row of one begins, … where the context was cut. A silent context marks what it shares with active ones.
- Top tokens: tokens whose logits a step along the feature raises most, by a linear reading of the model. A claim about \
weights, not an observed effect: small models list rare words for many directions that mean nothing.
- Moved tokens: change of the next token's log-probability when the feature is added, in nats; in brackets the mean of \
random directions that change the next token by as much altogether. Any direction raises its own top tokens.
- Words that rise in steered texts: in how many steered texts they stand, in how many unsteered ones, and, where known, in \
how many steered along a random direction. Only words that rise beyond chance are listed."""
