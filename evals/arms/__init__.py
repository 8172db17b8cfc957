"""Two runs of two arms compared: guards, measures, inference over features and over SAE seeds, what changed."""
