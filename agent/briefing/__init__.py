"""What a language model is shown of a feature, and the forms it fills in."""
