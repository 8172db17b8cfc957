"""A finished run in other tools' formats, one module a format. Everything comes from the run folder."""
