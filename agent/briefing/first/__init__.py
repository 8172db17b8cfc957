"""Generation 1, as it was when its runs were made: every byte of it is in requests that are stored, so it is not changed."""
