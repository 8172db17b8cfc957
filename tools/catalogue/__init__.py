"""The instruments that a language model may use on a feature."""
