"""How evidence is to be read: said once, the same for every feature, in the beginning that requests share."""

from __future__ import annotations

LEGEND = """\
- Top tokens: tokens whose logits a step along the feature raises most, by a linear reading of the model. A claim about \
weights, not an observed effect: small models list rare words for many directions that mean nothing. Where it was measured, \
the share of random directions that do as well stands beside it.
- Contexts: text at which the feature is active. Tokens at which it is strongly active are marked «like this 3.2», with the \
activation, in the feature's own units; compare it with the largest activation in the corpus. Unmarked tokens of a context may \
be weakly active; what is not marked shows what surrounds the feature, and no meaning of it. Contexts begin and end in \
mid-sentence.
- Density: the share of all tokens at which it is active.
- Ablation: what happens to the top tokens' logits when the feature is removed. Survival 1: as much as the linear reading \
promises; 0: nothing of it."""
