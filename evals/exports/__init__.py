"""A finished run in other tools' formats, one module per format. Everything comes from the run folder."""
