"""What comes from this machine's outside and what may leave it."""
