"""A study as data: what is compared, on which text, in whose words."""
