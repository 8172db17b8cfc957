"""Generation 2: what new runs are shown and fill in."""
