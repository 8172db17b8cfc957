"""What people look at when a run has ended: counts, tables, figures, one page."""
