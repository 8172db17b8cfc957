"""What the bench and the instruments must show of themselves before a figure of theirs counts."""
