"""The run folder: what it holds, how it is written, and whether it may be believed. The examiner reads it."""
