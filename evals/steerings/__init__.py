"""Steering over many targets: which arms work, whether a model's word and the measures agree, what the confidence is worth."""
