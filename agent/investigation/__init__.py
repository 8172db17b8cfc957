"""One feature, from evidence to decision: the graph, its steps, and why it stops."""
