"""Steering toward texts: what is read and checked, scored, written, measured and told of a run of `python -m agent.steer`."""
