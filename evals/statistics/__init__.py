"""Estimates and their intervals, for every examiner."""
