"""Training of a study's models, SAEs and word vectors: `python -m tools.training --help`."""
