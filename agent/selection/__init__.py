"""Which features are investigated: one file a strategy, behind one function type."""
