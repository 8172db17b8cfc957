"""From a text to features: what a target text is, two ways of scoring every feature for it, and how far they agree."""
