"""SAEs as wholes: how well they reconstruct, what they belong to, what two of them have in common."""
