"""What an SAE has found of a truth that is known: coverage, reconstruction, true labels, planted directions."""
