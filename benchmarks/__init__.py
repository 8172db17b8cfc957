"""Measurements of speed and memory, each beside a named baseline. Nothing imports this package."""
