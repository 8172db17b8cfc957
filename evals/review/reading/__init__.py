"""The desk's pages for reading."""
