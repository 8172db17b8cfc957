"""Instruments: they look at a model and a sparse autoencoder and return records. No LLM in here."""
