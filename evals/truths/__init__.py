"""Runs held against what is known to be true: what features stand for by construction, and what is there to be found."""
