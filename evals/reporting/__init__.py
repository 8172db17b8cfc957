"""Tables and named figures, for every examiner's report."""
