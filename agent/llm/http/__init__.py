"""Requests and replies on their way: one address, bounded, paced, tried again."""
