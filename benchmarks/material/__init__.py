"""What is measured on: a study with random weights, made-up words, and typical evidence."""
