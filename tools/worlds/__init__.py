"""Worlds of known truth: transcripts of which is known, at every token, what is so."""
