"""The client of a language model. It knows no feature, no evidence and no graph."""
