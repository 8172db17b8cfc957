"""One model with one SAE on the bench: their files, found and loaded strictly, behind a small interface."""
