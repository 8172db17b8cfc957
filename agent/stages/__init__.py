"""What a run does, in order: survey, select, observe, investigate, conclude; or the same again from memory."""
