"""Classifiers that read a model's activations, what features do to them, and what is left when features are taken out."""
