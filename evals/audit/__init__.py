"""The published study held against its own recorded files, line by line."""
