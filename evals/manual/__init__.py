"""Readers of other projects' label files, each from one layout into the one schema."""
