"""Text for language models: versioned files, rendered strictly, with everything from outside inside fences."""
