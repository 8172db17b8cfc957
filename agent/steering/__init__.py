"""Steering toward a text: from a command line to texts, measures, judgements and a page."""
